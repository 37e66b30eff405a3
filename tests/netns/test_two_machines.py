"""Nodes as people run them: the installed program, TUN, sockets, namespaces.

a ----- b            (direct tests)
a ----- r ----- b    (relay tests)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from dexmesh.cli.lab import wait_until
from tests.netns.conftest import PORT, RunningNode, World

pytestmark = pytest.mark.netns

LINK_S = 10.0
CAP_NET_ADMIN = 1 << 12


def _wait_reaches(node: RunningNode, other: RunningNode, limit_s: float = LINK_S) -> float:
    return wait_until(lambda: node.reaches(other), limit_s, f"{other.machine.name} to answer")


def _download(node: RunningNode, server: RunningNode, size: int) -> None:
    """Fetch random bytes over HTTP and compare hashes."""
    folder = server.machine.folder / "www"
    folder.mkdir(exist_ok=True)
    data = os.urandom(size)
    (folder / "file").write_bytes(data)
    server.machine.start(
        [sys.executable, "-m", "http.server", "8080", "--bind", server.address, "-d", str(folder)],
        log="http.log",
    )
    url = f"http://[{server.address}]:8080/file"
    got = node.machine.folder / "got"
    node.machine.run(
        [
            "curl",
            "-sSf",
            "--retry",
            "20",
            "--retry-connrefused",
            "--retry-delay",
            "1",
            "-o",
            str(got),
            url,
        ]
    )
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(data).digest()


def _status_field(pid: str, name: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE)
    assert found is not None
    return found.group(1)


def _host_pid(node: RunningNode) -> str:
    """The pid of the node as the host sees it (the machine has its own numbers)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            b"up" in command
            and str(node.config).encode() in command
            and b"nsenter" not in command[0]
        ):
            return entry.name
    raise AssertionError("the node's process is not there")


def test_two_nodes_carry_ping_and_tcp_over_addresses_that_are_keys(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start()
    _wait_reaches(a, b)
    assert b.reaches(a)
    _download(a, b, 3_000_000)
    _download(b, a, 3_000_000)


def test_ipv6_underlay_works_like_ipv4(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b, ipv6=True)
    b.start()
    a.start()
    _wait_reaches(a, b)
    assert [peer["endpoint"] for peer in a.peers()] == [f"[fd99:1::2]:{PORT}"]


def test_a_relay_carries_traffic_between_nodes_that_know_only_the_relay(world: World) -> None:
    a, r, b = (world.node(name) for name in "arb")
    world.join(a, r)
    world.join(b, r)
    for node in (r, a, b):
        node.start()
    _wait_reaches(a, b)
    _download(a, b, 3_000_000)
    result = json.loads(a.dexmesh("ping", b.key, "--json", "-n", "2", "-i", "0"))
    assert result["received"] == 2


def test_the_link_is_back_within_two_seconds_after_the_cable_is(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start()
    _wait_reaches(a, b)
    b.machine.set_link("to-a", is_up=False)
    time.sleep(25)  # longer than the 20.48 s after which a peer is unresponsive
    assert not a.is_linked()
    b.machine.set_link("to-a", is_up=True)
    start = time.monotonic()
    wait_until(lambda: a.reaches(b), 8, "b to answer again")
    took = time.monotonic() - start
    assert took <= 3.0, (
        f"the link needed {took:.1f} s"
    )  # 2 s, and 1 s for a ping that is on its way


def test_a_restarted_peer_is_found_again_by_both_sides(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start()
    _wait_reaches(a, b)
    b.stop("KILL")
    b.start()
    _wait_reaches(a, b, 5)
    assert b.reaches(a)
    a.stop()
    a.start()
    _wait_reaches(b, a, 5)


def test_the_daemon_keeps_no_other_right_than_net_admin(world: World) -> None:
    node = world.node("a")
    node.start()
    pid = _host_pid(node)
    assert int(_status_field(pid, "CapEff"), 16) & ~CAP_NET_ADMIN == 0
    assert int(_status_field(pid, "CapBnd"), 16) & ~CAP_NET_ADMIN == 0
    assert _status_field(pid, "NoNewPrivs") == "1"
    if not os.environ.get("DEXMESH_USERNS"):
        assert "0" not in _status_field(pid, "Uid").split()


def test_nothing_listens_on_the_mesh_address(world: World) -> None:
    node = world.node("a")
    node.start()
    listening = node.machine.run(["ss", "-Hltun"]).stdout
    locals_ = {line.split()[4] for line in listening.splitlines()}
    assert locals_ == {f"0.0.0.0:{PORT}", f"[::]:{PORT}", "127.0.0.1:11234"}


def test_the_tun_has_the_reference_mtu_and_prefix_and_goes_with_the_node(world: World) -> None:
    node = world.node("a")
    node.start()
    shown = json.loads(node.machine.run(["ip", "-j", "addr", "show", "dev", "tun0"]).stdout)
    assert shown[0]["mtu"] == 1304
    ours = [one for one in shown[0]["addr_info"] if one["local"] == node.address]
    assert [one["prefixlen"] for one in ours] == [8]
    node.stop()
    assert "tun0" not in node.machine.run(["ip", "-br", "link"]).stdout


def test_a_second_node_on_the_same_admin_port_is_refused_with_a_hint(world: World) -> None:
    node = world.node("a")
    node.start()
    argv = [sys.executable, "-m", "dexmesh", "up", "--config", str(node.config)]
    done = node.machine.run(argv, check=False)
    assert done.returncode == 1
    assert "running already" in done.stderr
    assert "admin.bind" in done.stderr


def test_peer_add_and_remove_reach_the_running_node_and_survive_a_restart(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    _, host = world.lab.cable(a.machine, b.machine)
    a.start()
    b.start()
    endpoint = f"{host}:{PORT}"
    argv = [
        sys.executable,
        "-m",
        "dexmesh",
        "peer",
        "add",
        endpoint,
        "--key",
        b.key,
        "--login",
        b.login,
    ]
    argv += ["--password-stdin", "--config", str(a.config)]
    a.machine.run(argv, stdin=b.password + "\n")
    wait_until(a.is_linked, LINK_S, "the new link")
    a.stop()
    a.start()
    wait_until(a.is_linked, LINK_S, "the link after a restart")
    a.dexmesh("peer", "remove", endpoint)
    assert a.peers() == []
    a.stop()
    a.start()
    assert a.peers() == []


def test_a_peer_given_by_host_name_is_called(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    _, host = world.lab.cable(a.machine, b.machine)
    hosts = a.machine.folder / "etc" / "hosts"
    hosts.write_text(hosts.read_text() + f"{host} bee.example\n")
    world.tell(a, b, f"bee.example:{PORT}")
    b.start()
    a.start()
    wait_until(a.is_linked, LINK_S, "the link by name")


@pytest.mark.parametrize(
    "rung",
    [
        {"DEXMESH_TUN_OFFLOAD": "tso"},
        {"DEXMESH_TUN_OFFLOAD": "off"},
        {"DEXMESH_UDP_GSO": "0"},
        {"DEXMESH_UDP_GRO": "0"},
        {"DEXMESH_CRYPTO": "portable"},
        {"DEXMESH_TUN_OFFLOAD": "off", "DEXMESH_UDP_GSO": "0", "DEXMESH_UDP_GRO": "0"},
    ],
    ids=lambda rung: ",".join(f"{name[8:]}={value}" for name, value in rung.items()),
)
def test_every_rung_of_the_fallback_ladder_carries_tcp(world: World, rung: dict[str, str]) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start(env=rung)
    _wait_reaches(a, b)
    _download(a, b, 2_000_000)
    _download(b, a, 2_000_000)


def test_a_tun_that_somebody_deletes_comes_back(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start()
    _wait_reaches(a, b)
    a.machine.run(["ip", "link", "del", "tun0"])
    a.dexmesh("wait-online", "--timeout", "10")
    _wait_reaches(a, b)


def test_a_packet_longer_than_the_mtu_and_an_address_nobody_has_are_answered(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    b.start()
    a.start()
    _wait_reaches(a, b)
    nobody = "fc00:1:2:3:4:5:6:7"
    said = a.machine.run(["ping", "-c", "1", "-W", "15", nobody], check=False).stdout
    assert "Destination unreachable: No route" in said
    a.machine.run(["ip", "link", "set", "tun0", "mtu", "2000"])
    said = a.machine.run(
        ["ping", "-c", "1", "-s", "1400", "-M", "do", b.address], check=False
    ).stdout
    assert "Packet too big" in said
    assert "mtu=1304" in said
