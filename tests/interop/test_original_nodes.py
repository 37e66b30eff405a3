"""Ours beside the original: links both ways, routing to and through, its tools on our node."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.interop.original import PORT, Original, needs_original, run_tool
from tests.netns.conftest import RunningNode, World
from tests.netns.reach import parent_of, reach_all

pytestmark = [pytest.mark.interop, needs_original]

Any_ = RunningNode | Original


@pytest.fixture
def world() -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-interop") as lab:
        yield World(lab)


def _make(world: World, name: str, kind: str) -> Any_:
    return world.node(name) if kind == "ours" else Original.make(world.lab, name)


def _join(world: World, caller: Any_, called: Any_) -> None:
    """A cable, and the caller is told how to call."""
    _, host = world.lab.cable(caller.machine, called.machine)
    endpoint = f"{host}:{PORT}"
    if isinstance(caller, Original):
        caller.connect_to[endpoint] = {
            "login": called.login,
            "password": called.password,
            "publicKey": called.key,
        }
    else:
        caller.dexmesh(
            *("peer", "add", endpoint, "--key", called.key, "--login", called.login),
            *("--name", called.machine.name, "--password-stdin", "--no-live"),
            stdin=called.password + "\n",
        )


def _reaches(node: Any_, other: Any_, limit_s: float) -> float:
    def answered() -> bool:
        argv = ["ping", "-c", "1", "-W", "1", other.address]
        return node.machine.run(argv, check=False).returncode == 0

    return wait_until(answered, limit_s, f"{node.machine.name} to reach {other.machine.name}")


def _line(world: World, kinds: list[str]) -> list[Any_]:
    """A line of nodes, each calling the one before it; all started."""
    nodes = [_make(world, f"n{number}", kind) for number, kind in enumerate(kinds, start=1)]
    for left, right in pairwise(nodes):
        _join(world, right, left)
    for node in nodes:
        node.start()
    return nodes


@pytest.mark.parametrize("caller", ["ours", "original"])
def test_a_direct_link_works_whoever_calls(world: World, caller: str) -> None:
    called = "original" if caller == "ours" else "ours"
    nodes = _line(world, [called, caller])
    _reaches(nodes[0], nodes[1], 15)
    _reaches(nodes[1], nodes[0], 5)


@pytest.mark.parametrize(
    "kinds",
    [
        ["original", "ours", "original"],
        ["ours", "original", "ours"],
        ["ours", "ours", "original", "original"],
        ["original", "ours", "ours", "original", "ours"],
    ],
    ids=lambda kinds: "-".join(kind[:4] for kind in kinds),
)
def test_every_node_of_a_mixed_line_reaches_every_other(world: World, kinds: list[str]) -> None:
    nodes = _line(world, kinds)
    for node in nodes:
        for other in nodes:
            if node is not other:
                _reaches(node, other, 40)


@pytest.mark.parametrize("shape", ["line", "tree"])
def test_every_node_of_ten_reaches_every_other(world: World, shape: str) -> None:
    """line: 1-2-...-10; tree: each node hangs under number // 2. Every other one is ours."""
    kinds = ["ours" if number % 2 else "original" for number in range(1, 11)]
    nodes = [_make(world, f"n{number}", kind) for number, kind in enumerate(kinds, start=1)]
    for number in range(2, 11):
        _join(world, nodes[number - 1], nodes[parent_of(number, shape) - 1])
    for node in nodes:
        node.start()
    assert reach_all(nodes, 120) == []


def test_tcp_runs_through_our_relay_between_originals(world: World) -> None:
    nodes = _line(world, ["original", "ours", "original"])
    first, last = nodes[0], nodes[-1]
    _reaches(first, last, 30)
    data = last.machine.folder / "www"
    data.mkdir()
    (data / "file").write_bytes(os.urandom(5_000_000))
    last.machine.start(
        [sys.executable, "-m", "http.server", "8080", "--bind", last.address, "-d", str(data)],
        log="http.log",
    )
    got = first.machine.folder / "got"
    url = f"http://[{last.address}]:8080/file"
    fetch = ["curl", "-sSf", "--retry", "10", "--retry-connrefused", "--retry-delay", "1"]
    first.machine.run([*fetch, "-o", str(got), url])
    assert got.read_bytes() == (data / "file").read_bytes()


def test_the_original_lists_us_as_an_established_peer_of_version_20(world: World) -> None:
    original, ours = _line(world, ["original", "ours"])
    assert isinstance(original, Original)
    _reaches(ours, original, 15)
    line = original.tool("peerStats").strip()
    assert re.search(rf"v20\.[0-9a-f.]{{19}}\.{re.escape(ours.key)} ESTABLISHED", line), line


def test_the_tools_of_the_original_work_on_our_node(world: World) -> None:
    ours, other = _line(world, ["ours", "original"])
    assert isinstance(other, Original)
    _reaches(ours, other, 15)
    line = run_tool(ours.machine, "peerStats").strip()
    assert re.search(rf"v2\d\.[0-9a-f.]{{19}}\.{re.escape(other.key)} ESTABLISHED in", line), line
    sessions = run_tool(ours.machine, "sessionStats")
    assert other.key in sessions
    info = json.loads(run_tool(ours.machine, "cexec", "Core_nodeInfo()"))
    assert info["compressedSchemeHex"] == "6114458100"
    pinged = run_tool(ours.machine, "ping", other.padded, check=False)
    assert re.search(rf"v2\d\.[0-9a-f.]{{19}}\.{re.escape(other.key)} \d+ms", pinged), pinged


def test_both_come_back_when_the_other_restarts(world: World) -> None:
    original, ours = _line(world, ["original", "ours"])
    assert isinstance(original, Original)
    assert isinstance(ours, RunningNode)
    _reaches(ours, original, 15)
    original.machine.run(["pkill", "-KILL", "cjdroute"], check=False)
    original.start()
    _reaches(ours, original, 15)
    ours.stop("KILL")
    ours.start()
    _reaches(original, ours, 15)


def test_our_configuration_file_starts_the_original(world: World) -> None:
    """The same file, the other program: nothing of ours in it disturbs the original."""
    ours = world.node("a")
    conf = ours.config.read_text()
    machine = ours.machine
    with ours.config.open("rb") as stdin:
        machine.start([os.environ["CJDROUTE"], "--nobg"], log="original.log", stdin=stdin)
    assert conf.startswith("{")
    wait_until(
        lambda: ours.address in machine.run(["ip", "-6", "addr"]).stdout,
        20,
        "the original to be up",
    )
