"""`dexmesh peers` and `dexmesh peer add | remove`: the file first, then the running node."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from dexmesh.config.reader import load_settings
from dexmesh.config.settings import ConnectTo
from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, encode_key
from tests.unit.admin.fake import KEY_B, FakeNode, peer_of, udp_interface
from tests.unit.cli.conftest import Run, Served, write
from tests.unit.config.samples import PEER, PEER_TEXT, PUBLIC, config

HOST, OTHER = "192.0.2.7:41234", "[2001:db8::1]:5000"


def _peers(path: Path) -> list[ConnectTo]:
    settings = load_settings(path.read_bytes(), "x").settings
    return [peer for interface in settings.udp_interfaces for peer in interface.connect_to]


def _added(node: FakeNode) -> list[tuple[object, ...]]:
    return [call for call in node.calls if call[0] == "add_peer"]


def test_peers_are_shown_with_everything_a_program_wants(run: Run, served: Served) -> None:
    endpoint = Endpoint("[2001:db8::1]:5000")
    served.node.links_up = [peer_of(KEY_B, endpoint=endpoint, user="bob", lost=7, is_incoming=True)]
    [peer] = json.loads(run("peers", "--json", "--config", served.config).stdout)["peers"]
    assert peer["address"] == format_address(address_of(KEY_B))
    assert peer["label"] == "0000.0000.0000.0013"
    assert (peer["user"], peer["lost"], peer["incoming"], peer["version"]) == ("bob", 7, True, 20)
    row = run("peers", "--config", served.config).stdout.rstrip("\n").split("\t")
    assert row[:3] == ["<- bob", "[2001:db8::1]:5000", "ESTABLISHED"]


def test_no_peers_is_said_to_people_and_an_empty_list_to_programs(run: Run, served: Served) -> None:
    done = run("peers", "--config", served.config)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "dexmesh peer add" in done.stderr
    assert json.loads(run("peers", "--json", "-c", served.config).stdout) == {"peers": []}


def _add(run: Run, path: Path, endpoint: str = HOST, password: str = "pw", *more: str) -> str:
    done = run(
        *("peer", "add", endpoint, "--key", PEER_TEXT, "--password-stdin", "--config", path, *more),
        stdin=password + "\n",
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_peer_is_added_to_the_file_and_to_the_running_node(run: Run, served: Served) -> None:
    said = _add(run, served.config, HOST, "pw", "--login", "me", "--name", "bob")
    [peer] = _peers(served.config)
    assert (peer.endpoint, peer.password, peer.login, peer.peer_name) == (HOST, b"pw", b"me", "bob")
    assert stat.S_IMODE(served.config.stat().st_mode) == 0o600
    assert _added(served.node) == [("add_peer", InterfaceNumber(0), HOST, PEER, b"pw", "me", "bob")]
    assert said.endswith("the running node: calling it\n")


def test_a_peer_is_called_from_an_interface_of_its_family(run: Run, served: Served) -> None:
    served.node.attachments = [udp_interface(3), udp_interface(5, "[::]:5000")]
    path = served.config
    interfaces = {"UDPInterface": [{"bind": "0.0.0.0:5000"}, {"bind": "[::]:5000"}]}
    write(path, {**json.loads(path.read_text()), "interfaces": interfaces})
    _add(run, path, OTHER)
    _add(run, path, HOST)
    assert [call[1] for call in _added(served.node)] == [InterfaceNumber(5), InterfaceNumber(3)]


def test_a_node_that_does_not_run_or_is_not_to_be_told_is_said(
    run: Run, config_file: Path, served: Served
) -> None:
    assert "not running" in _add(run, config_file)
    told = json.loads(_add(run, served.config, HOST, "pw", "--no-live", "--json"))
    assert told == {"file": str(served.config), "running_node": "left alone"}
    assert _added(served.node) == []


@pytest.mark.parametrize(
    ("endpoint", "key", "password", "complaint"),
    [
        ("192.0.2.7", PEER_TEXT, "pw", "the port is missing"),
        ("192.0.2.7:0", PEER_TEXT, "pw", "port 0"),
        ("192.0.2.7:99999", PEER_TEXT, "pw", "65535"),
        (HOST, "nonsense.k", "pw", "52 characters"),
        (HOST, encode_key(PUBLIC), "pw", "own key"),
        (HOST, PEER_TEXT, "", "no password"),
        (HOST, PEER_TEXT, "x" * 100, "1 to 64 bytes"),
    ],
)
def test_what_cannot_be_a_peer_is_wrong_usage_and_changes_nothing(
    run: Run, config_file: Path, endpoint: str, key: str, password: str, complaint: str
) -> None:
    before = config_file.read_bytes()
    done = run(
        *("peer", "add", endpoint, "--key", key, "--password-stdin", "--config", config_file),
        stdin=password,
    )
    assert done.exit_code == 2, done.output
    assert complaint in done.stderr
    assert config_file.read_bytes() == before


def test_a_peer_that_is_there_already_is_refused(run: Run, config_file: Path) -> None:
    _add(run, config_file)
    again = run(
        *("peer", "add", HOST, "--key", PEER_TEXT, "--password-stdin", "-c", config_file), stdin="x"
    )
    assert again.exit_code == 2
    assert "is in the file already" in again.stderr


def test_nothing_is_added_to_a_broken_file(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "c", config(privateKey="12"))
    done = run("peer", "add", HOST, "--key", PEER_TEXT, "--password-stdin", "-c", path, stdin="x")
    assert done.exit_code == 78


def test_without_a_configuration_there_is_nothing_to_add_to(run: Run) -> None:
    done = run("peer", "add", HOST, "--key", PEER_TEXT, "--password-stdin", stdin="x")
    assert done.exit_code == 1
    assert "dexmesh config new" in done.stderr


@pytest.mark.parametrize("which", [HOST, PEER_TEXT])
def test_a_peer_is_removed_by_endpoint_or_key(run: Run, served: Served, which: str) -> None:
    _add(run, served.config)
    served.node.links_up = [peer_of(PEER, endpoint=Endpoint(HOST)), peer_of(KEY_B)]
    done = run("peer", "remove", which, "--config", served.config)
    assert done.stdout.endswith("the running node: disconnected\n")
    assert _peers(served.config) == []
    assert [peer.key for peer in served.node.links_up] == [KEY_B]


def test_a_peer_by_name_is_disconnected_although_its_endpoint_is_an_address(
    run: Run, served: Served
) -> None:
    _add(run, served.config, "peer.example.org:5000")
    served.node.links_up = [peer_of(PEER)]
    run("peer", "remove", "peer.example.org:5000", "--config", served.config)
    assert served.node.links_up == []


def test_the_other_links_to_the_same_node_are_called_again(run: Run, served: Served) -> None:
    _add(run, served.config)
    _add(run, served.config, "192.0.2.8:5000", "other")
    served.node.links_up = [peer_of(PEER)]
    served.node.calls.clear()
    run("peer", "remove", HOST, "--config", served.config)
    assert [(call[2], call[4]) for call in _added(served.node)] == [("192.0.2.8:5000", b"other")]


def test_removing_says_when_the_node_had_no_such_peer_or_does_not_run(
    run: Run, served: Served, config_file: Path
) -> None:
    _add(run, served.config)
    done = run("peer", "remove", HOST, "--config", served.config, "--json")
    assert json.loads(done.stdout)["running_node"] == "had no such peer"
    _add(run, config_file)
    assert "not running" in run("peer", "remove", HOST, "-c", config_file).stdout


def test_removing_whom_the_file_does_not_have_fails(run: Run, config_file: Path) -> None:
    done = run("peer", "remove", "192.0.2.9:1", "--config", config_file)
    assert done.exit_code == 1
    assert "no connectTo entry is 192.0.2.9:1" in done.stderr


def test_a_file_with_a_mistake_can_still_lose_the_peer_that_is_the_mistake(
    run: Run, tmp_path: Path
) -> None:
    bad = {"publicKey": PEER_TEXT, "password": ""}
    interfaces = {"UDPInterface": [{"bind": "0.0.0.0:1", "connectTo": {HOST: bad}}]}
    admin = {"bind": "127.0.0.1:1", "password": "NONE"}
    path = write(tmp_path / "c", config(interfaces=interfaces, admin=admin))
    assert run("peer", "remove", HOST, "--config", path).exit_code == 0
    assert _peers(path) == []
