"""Which configuration a command means."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import typer

from dexmesh.cli import places


def test_a_given_file_always_wins(home: Path) -> None:
    assert places.find_config(Path("/somewhere")) == Path("/somewhere")


def test_ones_own_configuration_comes_before_the_systems(home: Path) -> None:
    own = home / ".config" / "dexmesh" / "cjdroute.conf"
    assert places.find_config(None) is None
    places.SYSTEM_CONFIG.parent.mkdir()
    places.SYSTEM_CONFIG.write_text("{}")
    assert places.find_config(None) == places.SYSTEM_CONFIG
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert places.find_config(None) == own


def test_xdg_says_where_ones_own_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert places.user_config() == Path("/xdg/dexmesh/cjdroute.conf")


@pytest.mark.parametrize("user", [0, 1000])
def test_a_new_configuration_of_root_is_the_systems(
    home: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    expected = places.user_config() if user else places.SYSTEM_CONFIG
    assert places.new_config_path(None) == expected
    assert places.new_config_path(Path("x")) == Path("x")


@pytest.mark.parametrize("value", [math.nan, math.inf, places.LONGEST_S + 1])
def test_no_number_of_seconds_is_refused(value: float) -> None:
    with pytest.raises(typer.BadParameter):
        places.seconds(value)
    assert places.seconds(0.5) == 0.5
