"""`dexmesh status` and `dexmesh wait-online`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexmesh.admin.client import AdminClient
from dexmesh.cli import node
from dexmesh.errors import UnknownFunctionError
from dexmesh.wire.address import Address, format_address
from dexmesh.wire.keys import address_of
from tests.unit.admin.fake import KEY_A, KEY_B, peer_of, session_with
from tests.unit.cli.conftest import Run, Served
from tests.unit.config.samples import PUBLIC

OWN = address_of(PUBLIC)


def _line(address: Address, flags: int = 0x80, device: str = "lo") -> str:
    return f"{address.hex()} 01 08 00 {flags:02x} {device:>8}\n"


@pytest.fixture
def addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /proc/net/if_inet6; nothing has the address yet."""
    path = tmp_path / "if_inet6"
    path.write_text(_line(Address(bytes(15) + b"\1")))
    monkeypatch.setattr(node, "_ADDRESSES", path)
    return path


def test_status_counts_links_and_sessions_and_names_drops(
    run: Run, served: Served, addresses: Path
) -> None:
    served.node.links_up = [peer_of(KEY_B), peer_of(KEY_B, state="UNRESPONSIVE")]
    served.node.open_sessions = [session_with(KEY_B, 1)]
    served.node.drops = {"TUN_NO_ROUTE": 3}
    facts = json.loads(run("status", "--json", "--config", served.config).stdout)
    assert facts["address"] == format_address(address_of(KEY_A))
    assert (facts["links"], facts["links_up"], facts["sessions"], facts["sessions_up"]) == (
        2,
        1,
        1,
        1,
    )
    assert facts["drops"]["TUN_NO_ROUTE"] == 3
    assert facts["online"] is False
    said = run("status", "--config", served.config).stdout
    assert "links     1 up of 2\n" in said
    assert "dropped   3 TUN_NO_ROUTE\n" in said
    assert "online    no" in said


def test_status_works_with_a_node_that_does_not_count_drops(
    run: Run, served: Served, addresses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_client: AdminClient) -> dict[str, int]:
        raise UnknownFunctionError("No such function")

    monkeypatch.setattr(AdminClient, "drops", refuse)
    facts = json.loads(run("status", "--json", "--config", served.config).stdout)
    assert facts["drops"] == {}


def test_wait_online_returns_at_once_when_the_address_is_there(
    run: Run, config_file: Path, addresses: Path
) -> None:
    addresses.write_text(_line(OWN))
    done = run("wait-online", "--config", config_file)
    assert (done.exit_code, done.stdout) == (0, f"online: {format_address(OWN)}\n")
    assert run("wait-online", "--config", config_file, "--quiet").stdout == ""
    assert json.loads(run("wait-online", "-c", config_file, "--json").stdout)["online"] is True


@pytest.mark.parametrize("flags", [0x40, 0xC0])
def test_an_address_that_is_still_tentative_is_not_online(
    run: Run, config_file: Path, addresses: Path, flags: int
) -> None:
    addresses.write_text(_line(OWN, flags))
    done = run("wait-online", "--config", config_file, "--exit")
    assert done.exit_code == 1
    assert "not online after 0 s" in done.stderr


def test_not_online_is_quiet_or_json_when_asked(
    run: Run, config_file: Path, addresses: Path
) -> None:
    quiet = run("wait-online", "-c", config_file, "--timeout", "0", "--quiet")
    assert (quiet.exit_code, quiet.output) == (1, "")
    told = run("wait-online", "-c", config_file, "-x", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout) == {"online": False, "address": format_address(OWN)}


def test_without_a_configuration_the_running_node_says_the_address(
    run: Run, home: Path, served: Served, addresses: Path
) -> None:
    bind = json.loads(served.config.read_text())["admin"]
    host, port = bind["bind"].split(":")
    login = {"addr": host, "port": int(port), "password": bind["password"]}
    (home / ".cjdnsadmin").write_text(json.dumps(login))
    addresses.write_text(_line(address_of(KEY_A)))
    assert run("wait-online", "-x").exit_code == 0


def test_without_any_node_nothing_is_online(run: Run, home: Path, addresses: Path) -> None:
    (home / ".cjdnsadmin").write_text('{"addr": "127.0.0.1", "port": 1}')
    done = run("wait-online", "-x", "--json")
    assert (done.exit_code, json.loads(done.stdout)["address"]) == (1, None)
