"""Files with secrets are private from the first moment, and whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dexmesh.config.files import (
    MAX_CONFIG_BYTES,
    is_exposed,
    read_config_file,
    write_secret_file,
)
from dexmesh.errors import HostError


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    before = os.umask(0)
    try:
        write_secret_file(path, "secret")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_config_file(path) == b"secret"
    assert os.listdir(tmp_path) == ["x.conf"]


def test_an_existing_file_is_only_replaced_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("old")
    path.chmod(0o644)
    with pytest.raises(HostError, match="exists already"):
        write_secret_file(path, "new")
    assert path.read_text() == "old"
    assert is_exposed(path)
    write_secret_file(path, b"new", overwrite=True)
    assert path.read_text() == "new"
    assert not is_exposed(path)
    assert os.listdir(tmp_path) == ["x.conf"]


def test_a_link_stays_a_link_to_the_renewed_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_secret_file(link, "new", overwrite=True)
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_what_cannot_be_read_or_written_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="does not exist") as caught:
        read_config_file(tmp_path / "none")
    assert "config new" in caught.value.hint
    with pytest.raises(HostError, match="cannot be read"):
        read_config_file(tmp_path)
    with pytest.raises(HostError, match="cannot be written"):
        write_secret_file(tmp_path / "no" / "such" / "place", "x")
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(HostError, match="longer than"):
        read_config_file(big)
