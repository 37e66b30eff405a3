"""`dexmesh phone look` between two real services."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from dexmesh.apps.base.home import HOME_VARIABLE
from dexmesh.apps.call import service
from dexmesh.apps.call.phone.counters import Count
from dexmesh.cli.main import app
from dexmesh.cli.output import Exit
from dexmesh.wire.address import format_address
from tests.unit.cli.phone_world import PhoneWorld


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneWorld]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "alice"))
    world = PhoneWorld(tmp_path)
    yield world
    world.close()


def look(name: str, *options: str, code: int = 0) -> Result:
    """What alice is told, with that exit code."""
    result = CliRunner().invoke(app, ["phone", "look", name, *options])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def test_a_phone_that_answers_says_what_it_takes_and_is_not_asked_again(world: PhoneWorld) -> None:
    assert look("bob").stdout == "the phone of bob answers and takes calls and texts\n"
    world.bob.is_online = False
    told = json.loads(look("bob", "--json").stdout)
    assert (told["is_there"], told["takes_calls"], told["takes_texts"]) == (True, True, True)
    assert "INVITE" in told["methods"]
    assert 0 <= told["age_s"] < 300  # in tenths of a second
    assert world.bob.service.counters()[Count.PROBE] == 1
    assert json.loads(CliRunner().invoke(app, ["calls", "--json"]).stdout)["entries"] == []


def test_a_phone_that_is_off_does_not_answer(world: PhoneWorld) -> None:
    world.bob.is_online = False
    error = look("bob", code=Exit.FAILED).stderr
    assert "the phone of bob does not answer" in error
    assert 'dexmesh text bob "words"' in error
    assert json.loads(look("bob", "--json", code=Exit.FAILED).stdout)["is_there"] is False


def test_one_that_keeps_silent_is_waited_for_a_moment_and_heard_later(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.2)
    take = world.bob.service._take
    monkeypatch.setattr(world.bob.service, "_take", lambda *_message: None)
    told = json.loads(look("bob", "--json", code=Exit.FAILED).stdout)
    assert (told["is_there"], told["takes_calls"], told["methods"]) == (False, None, [])
    monkeypatch.setattr(world.bob.service, "_take", take)
    monkeypatch.setattr(service, "LOOK_S", 10.0)
    assert json.loads(look("bob", "--json").stdout)["is_there"]  # the question is repeated (SIP)
    assert not world.alice.service._looks


def test_a_phone_that_says_nothing_of_itself_is_there(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = format_address(world.bob.me.address)
    told = look(f"sip:zoe@[{address}]").stdout  # 404, without Allow
    assert "answers and does not say what it takes" in told
    assert "takes calls and texts" in look("bob").stdout  # who lives at the same node


def test_strangers_are_not_asked(world: PhoneWorld) -> None:
    error = look("sip:eve@[fc00::e]", code=Exit.FAILED).stderr
    assert "is no contact, and strangers are not asked" in error
    assert "dexmesh contact add" in error
    assert "nobody is called 'bop'" in look("bop", code=Exit.FAILED).stderr


def test_it_is_said_how_old_the_answer_is(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    look("bob")
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 130)
    monkeypatch.setattr("dexmesh.apps.call.control_calls.time", later)
    assert look("bob").stdout.endswith("texts, as of 2 minutes ago\n")
