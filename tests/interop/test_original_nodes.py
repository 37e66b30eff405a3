"""Ours beside the original: routing to and through, its tools on our node, its file format.

n1 ----- n2 ----- n3 ...    each calls the one before it
"""

from __future__ import annotations

import json
import os
import re

import pytest

from dexmesh.cli.lab import wait_until
from tests.interop.mixed import join, make, reaches, start_line
from tests.interop.original import Original, needs_original, run_tool
from tests.netns.conftest import World
from tests.netns.reach import parent_of, reach_all

pytestmark = [pytest.mark.interop, needs_original]


@pytest.mark.parametrize(
    "kinds",
    [
        ["original", "ours", "original"],
        ["ours", "original", "ours"],
        ["ours", "ours", "original", "original"],
        ["original", "ours", "ours", "original", "ours"],
        ["original", "ours", "original", "ours", "original"],
    ],
    ids=lambda kinds: "-".join(kind[:4] for kind in kinds),
)
def test_every_node_of_a_mixed_line_reaches_every_other(world: World, kinds: list[str]) -> None:
    nodes = start_line(world, kinds)
    for node in nodes:
        for other in nodes:
            if node is not other:
                reaches(node, other, 40)


@pytest.mark.parametrize("shape", ["line", "tree"])
def test_every_node_of_ten_reaches_every_other(world: World, shape: str) -> None:
    """line: 1-2-...-10; tree: each node hangs under number // 2. Every other one is ours."""
    kinds = ["ours" if number % 2 else "original" for number in range(1, 11)]
    nodes = [make(world, f"n{number}", kind) for number, kind in enumerate(kinds, start=1)]
    for number in range(2, 11):
        join(world, nodes[number - 1], nodes[parent_of(number, shape) - 1])
    for node in nodes:
        node.start()
    assert reach_all(nodes, 120) == []


def test_the_original_lists_us_as_an_established_peer_of_version_20(world: World) -> None:
    original, ours = start_line(world, ["original", "ours"])
    assert isinstance(original, Original)
    reaches(ours, original, 15)
    line = original.tool("peerStats").strip()
    assert re.search(rf"v20\.[0-9a-f.]{{19}}\.{re.escape(ours.key)} ESTABLISHED", line), line


def test_the_tools_of_the_original_work_on_our_node(world: World) -> None:
    ours, other = start_line(world, ["ours", "original"])
    assert isinstance(other, Original)
    reaches(ours, other, 15)
    line = run_tool(ours.machine, "peerStats").strip()
    assert re.search(rf"v2\d\.[0-9a-f.]{{19}}\.{re.escape(other.key)} ESTABLISHED in", line), line
    sessions = run_tool(ours.machine, "sessionStats")
    assert other.key in sessions
    info = json.loads(run_tool(ours.machine, "cexec", "Core_nodeInfo()"))
    assert info["compressedSchemeHex"] == "6114458100"
    pinged = run_tool(ours.machine, "ping", other.padded, check=False)
    assert re.search(rf"v2\d\.[0-9a-f.]{{19}}\.{re.escape(other.key)} \d+ms", pinged), pinged


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
