"""Ours and the original find each other by LAN beacons, whoever announces.

ours ----- original
"""

from __future__ import annotations

import re

import pytest

from dexmesh.cli.lab import wait_until
from tests.interop.original import PORT, Original, needs_original
from tests.netns.conftest import RunningNode, World
from tests.netns.test_beacons import set_beacon

pytestmark = [pytest.mark.interop, needs_original]

LINK_S = 5.0
THEIR_FIRST_BEACON_S = 40.0  # 32.768 s after its start; an earlier one goes nowhere (04 §9.2)


def pair(world: World, our_state: int, their_state: int) -> tuple[RunningNode, Original]:
    """Both on one cable, nobody told whom to call."""
    ours, original = world.node("ours"), Original.make(world.lab, "original")
    world.lab.cable(ours.machine, original.machine)
    set_beacon(ours, our_state)
    original.beacon = their_state
    return ours, original


def wait_reaches(ours: RunningNode, original: Original, limit_s: float) -> None:
    wait_until(ours.is_linked, limit_s, f"a link\n{ours.peers()}")
    argv = ["ping", "-c", "1", "-W", "1", original.address]
    wait_until(
        lambda: ours.machine.run(argv, check=False).returncode == 0,
        limit_s + 10,
        "an answer over the mesh",
    )


def test_the_original_calls_us_because_of_our_beacon(world: World) -> None:
    ours, original = pair(world, 2, 1)
    original.start()
    ours.start()
    wait_reaches(ours, original, LINK_S)
    (peer,) = ours.peers()
    assert peer["endpoint"] == f"10.99.1.2:{PORT}"
    assert peer["user"] == "Local Peers"
    line = original.tool("peerStats").strip()
    assert re.search(rf"v20\.[0-9a-f.]{{19}}\.{re.escape(ours.key)} ESTABLISHED", line), line


def test_we_call_the_original_because_of_its_beacon(world: World) -> None:
    ours, original = pair(world, 1, 2)
    ours.start()
    original.start()
    wait_reaches(ours, original, THEIR_FIRST_BEACON_S)
    (peer,) = ours.peers()
    assert peer["endpoint"] == f"10.99.1.2:{PORT}"
    line = original.tool("peerStats").strip()
    assert re.search(rf"v20\.[0-9a-f.]{{19}}\.{re.escape(ours.key)} ESTABLISHED", line), line


def test_two_that_both_announce_have_one_link_and_keep_it(world: World) -> None:
    """Ours restarts meanwhile: the original hears the new password and begins anew."""
    ours, original = pair(world, 2, 2)
    original.start()
    ours.start()
    wait_reaches(ours, original, LINK_S)
    ours.stop("KILL")
    ours.start()
    wait_reaches(ours, original, LINK_S)
    assert len(ours.peers()) == 1


def test_we_notice_that_the_original_restarted(world: World) -> None:
    """Its old link is noise to it; either beacon that comes first brings the new one."""
    ours, original = pair(world, 2, 2)
    original.start()
    ours.start()
    wait_reaches(ours, original, LINK_S)
    original.machine.run(["pkill", "-KILL", "cjdroute"], check=False)
    original.start()
    wait_reaches(ours, original, THEIR_FIRST_BEACON_S)
    assert len(ours.peers()) == 1
