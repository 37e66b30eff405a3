"""Commands as a user runs them: a home of its own, and a fake node behind a real admin port."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dexmesh.cli import places, setup_checks
from dexmesh.cli.main import app
from tests.unit.admin.fake import FakeNode
from tests.unit.admin.running import PASSWORD, running
from tests.unit.config.samples import config

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an /etc without a configuration."""
    folder = tmp_path / "home"
    folder.mkdir()
    for variable in ("XDG_CONFIG_HOME", places.CONFIG_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(places, "SYSTEM_CONFIG", tmp_path / "etc" / "cjdroute.conf")
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Run `dexmesh` with these arguments; `stdin` is what it can read."""
    runner = CliRunner()

    def start(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
        return runner.invoke(app, [str(one) for one in arguments], input=stdin)

    return start


def write(path: Path, value: dict[str, Any] | str) -> Path:
    """Put a configuration into a file only its owner can read."""
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=4))
    path.chmod(0o600)
    return path


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration whose node does not run (nobody listens on port 1)."""
    interfaces = {"UDPInterface": [{"bind": "0.0.0.0:5000"}, {"bind": "[::]:5000"}]}
    admin = {"bind": "127.0.0.1:1", "password": "NONE"}
    return write(tmp_path / "cjdroute.conf", config(interfaces=interfaces, admin=admin))


@dataclass(frozen=True, slots=True)
class Served:
    """A fake node and the configuration that leads to it."""

    node: FakeNode
    config: Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A node that answers."""
    node = FakeNode()
    with running(node) as started:
        bind = f"{started.login.host}:{started.login.port}"
        interfaces = {"UDPInterface": [{"bind": "0.0.0.0:5000"}]}
        value = config(interfaces=interfaces, admin={"bind": bind, "password": PASSWORD.decode()})
        yield Served(node, write(tmp_path / "running.conf", value))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all the programs there are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "grep"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(setup_checks, "SYSTEM_PATHS", str(folder))
    monkeypatch.setenv("DEXMESH_HOME", str(tmp_path / "apps"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    return folder


def install(folder: Path, name: str, script: str) -> None:
    """A program that is this shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
