"""Which node a command talks to, and what it says when that one is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexmesh.admin.login import AdminLogin
from dexmesh.cli.connection import find_login
from tests.unit.admin.fake import KEY_A
from tests.unit.cli.conftest import Run, Served, write
from tests.unit.config.samples import config


def test_without_anything_the_usual_port_is_tried(home: Path) -> None:
    assert find_login(None) == AdminLogin("127.0.0.1", 11234, b"NONE")


def test_cjdnsadmin_comes_before_the_configuration_that_is_not_named(
    home: Path, config_file: Path
) -> None:
    own = home / ".config" / "dexmesh"
    own.mkdir(parents=True)
    write(own / "cjdroute.conf", config_file.read_text())
    assert find_login(None).port == 1
    (home / ".cjdnsadmin").write_text('{"addr": "127.0.0.1", "port": 7, "password": "x"}')
    assert find_login(None) == AdminLogin("127.0.0.1", 7, b"x")
    assert find_login(config_file).port == 1


@pytest.mark.parametrize("command", [["status"], ["peers"], ["ping", "fc00::1"]])
def test_no_node_has_an_exit_code_of_its_own(
    run: Run, config_file: Path, command: list[str]
) -> None:
    done = run(*command, "--config", config_file)
    assert done.exit_code == 69
    assert "no node is listening on 127.0.0.1:1\n" in done.stderr
    assert "dexmesh up" in done.stderr


def test_the_wrong_password_is_said_with_where_the_right_one_is(
    run: Run, served: Served, tmp_path: Path
) -> None:
    text = served.config.read_text().replace('"secret"', '"wrong"')
    done = run("peers", "--config", write(tmp_path / "wrong.conf", text))
    assert done.exit_code == 77
    assert "Auth failed." in done.stderr
    assert "admin.password" in done.stderr


def test_the_environment_can_name_the_configuration(
    run: Run, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEXMESH_CONFIG", str(served.config))
    assert json.loads(run("status", "--json").stdout)["public_key"].startswith("jvbx")
    assert served.node.key == KEY_A


def test_a_broken_configuration_is_told_by_every_command(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "c", config(privateKey="12"))
    for command in ("status", "peers", "wait-online", "address", "up"):
        assert run(command, "--config", path).exit_code == 78
