"""`dexmesh config`: what it writes, what it says, what it keeps to itself."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dexmesh.config.reader import load_settings
from tests.unit.cli.conftest import Run, write
from tests.unit.config.samples import PEER_TEXT, PRIVATE, config, connect


def test_new_writes_a_file_only_its_owner_can_read_and_says_the_address(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "er" / "cjdroute.conf"
    done = run("config", "new", path)
    assert done.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = load_settings(path.read_bytes(), "x").settings
    assert str(path) in done.stdout
    facts = json.loads(run("config", "check", path, "--json").stdout)
    assert facts["address"] in done.stdout
    assert [facts["admin"], facts["ok"], facts["warnings"]] == ["127.0.0.1:11234", True, []]
    assert settings.private_key.hex() not in json.dumps(facts)


def test_new_overwrites_only_when_asked(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "c", "old")
    refused = run("config", "new", path)
    assert refused.exit_code == 1
    assert "exists already" in refused.stderr
    assert path.read_text() == "old"
    assert run("config", "new", path, "--overwrite").exit_code == 0
    assert path.read_text() != "old"


def test_new_prints_to_standard_output_when_the_file_is_a_dash(run: Run) -> None:
    assert load_settings(run("config", "new", "-").stdout.encode(), "x")
    assert "privateKey" in json.loads(run("config", "new", "-", "--json").stdout)


def test_new_without_a_file_goes_where_up_looks(run: Run, home: Path) -> None:
    done = run("config", "new", "--json")
    path = Path(json.loads(done.stdout)["file"])
    assert path.is_file()
    assert run("config", "check", path).exit_code == 0


def test_new_says_what_the_system_said_about_an_impossible_place(run: Run) -> None:
    done = run("config", "new", "/proc/no/such/place")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


def test_check_says_every_mistake_with_its_line(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "c", config(privateKey="12", admin={"bind": "nowhere", "password": 3}))
    done = run("config", "check", path)
    assert done.exit_code == 78
    assert "mistakes; nothing was done" in done.stderr
    assert f"{path}:2:" in done.stderr
    told = json.loads(run("config", "check", path, "--json").stdout)
    assert told["ok"] is False
    assert len(told["mistakes"]) >= 2
    assert all(one["line"] for one in told["mistakes"])


def test_check_warns_about_a_file_that_others_can_read(run: Run, config_file: Path) -> None:
    config_file.chmod(0o644)
    done = run("config", "check", config_file)
    assert done.exit_code == 0
    assert f"chmod 600 {config_file}" in done.stderr
    assert "good" in done.stdout


def test_check_says_what_is_asked_for_and_not_there_yet(run: Run, tmp_path: Path) -> None:
    router = {"supernodes": [PEER_TEXT], "ipTunnel": {"outgoingConnections": [PEER_TEXT]}}
    path = write(tmp_path / "c", config(router={**router, "dnsSeeds": ["seed.example.org"]}))
    said = run("config", "check", path).stderr
    for what in ("supernodes", "ipTunnel", "dnsSeeds"):
        assert f"{what}: asked for, and not supported" in said
    run("config", "new", fresh := tmp_path / "fresh")
    assert run("config", "check", fresh).stderr == ""


def test_check_reads_standard_input(run: Run) -> None:
    done = run("config", "check", "-", stdin=json.dumps(config()))
    assert done.stdout.startswith("standard input: good.")


def test_check_shows_passwords_only_when_asked_and_keys_never(run: Run, tmp_path: Path) -> None:
    entry = {"password": "a-long-password", "user": "bob"}
    path = write(tmp_path / "c", config(authorizedPasswords=[entry]))
    shown = run("config", "check", path, "--json").stdout
    assert "a-long-password" not in shown
    with_secrets = run("config", "check", path, "--json", "--show-secrets").stdout
    assert json.loads(with_secrets)["authorizedPasswords"] == [entry]
    assert PRIVATE.hex() not in shown + with_secrets


def test_check_tells_programs_whom_the_node_will_call(run: Run, tmp_path: Path) -> None:
    peer = {"publicKey": PEER_TEXT, "password": "secret", "peerName": "bob"}
    path = write(tmp_path / "c", connect("192.0.2.7:41234", peer))
    facts = json.loads(run("config", "check", path, "--json").stdout)
    expected = {"endpoint": "192.0.2.7:41234", "publicKey": PEER_TEXT, "name": "bob"}
    assert facts["udp_interfaces"][0]["connectTo"] == [expected]
    assert "1 peer to call" in run("config", "check", path).stdout


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_clean_prints_plain_json(run: Run, tmp_path: Path, flags: list[str]) -> None:
    path = write(tmp_path / "c", '{ // a remark\n "b": [1, ], }')
    assert json.loads(run("config", "clean", path, *flags).stdout) == {"b": [1], "version": 2}


@pytest.mark.parametrize("command", ["check", "clean"])
@pytest.mark.parametrize("place", ["/no/such/file", "/proc"])
def test_a_file_that_cannot_be_read_is_said(run: Run, command: str, place: str) -> None:
    done = run("config", command, place)
    assert done.exit_code == 1
    assert place in done.stderr
