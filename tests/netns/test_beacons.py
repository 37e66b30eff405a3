"""Nodes that find each other by LAN beacons: nobody is told whom to call.

a ----- b
"""

from __future__ import annotations

import time

import pytest

from dexmesh.cli.lab import wait_until
from tests.netns.conftest import PORT, RunningNode, World

pytestmark = pytest.mark.netns

LINK_S = 5.0


def set_beacon(node: RunningNode, state: int) -> None:
    """What a person does: change one digit."""
    text = node.config.read_text()
    assert text.count('"beacon": 0,') == 1
    node.config.write_text(text.replace('"beacon": 0,', f'"beacon": {state},'))


def pair(world: World, state_a: int, state_b: int) -> tuple[RunningNode, RunningNode]:
    """Two nodes on one cable; their configurations differ from new ones in the beacon alone."""
    a, b = world.node("a"), world.node("b")
    world.lab.cable(a.machine, b.machine)
    for node, state in ((a, state_a), (b, state_b)):
        if state:
            set_beacon(node, state)
    return a, b


def wait_linked(a: RunningNode, b: RunningNode, limit_s: float = LINK_S) -> float:
    took = wait_until(a.is_linked, limit_s, f"a link\n{a.peers()}\n{a.machine.log('node.log')}")
    wait_until(b.is_linked, limit_s, f"the other end of it\n{b.peers()}")
    return took


def test_two_nodes_on_one_cable_are_linked_within_five_seconds(world: World) -> None:
    a, b = pair(world, 2, 2)
    a.start()
    b.start()
    wait_linked(a, b)
    wait_until(lambda: a.reaches(b), 5, "an answer over the mesh")
    (seen_by_a,), (seen_by_b,) = a.peers(), b.peers()
    assert seen_by_a["endpoint"] == f"10.99.1.2:{PORT}"
    assert seen_by_b["endpoint"] == f"10.99.1.1:{PORT}"
    assert "Local Peers" in (seen_by_a["user"], seen_by_b["user"])


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_node_that_only_listens_finds_the_one_that_announces(world: World, first: str) -> None:
    """It is found nowhere itself: only the announcer's beacon, sent once at its start, links them."""
    a, b = pair(world, 2, 1)
    (b if first == "b" else a).start()
    (a if first == "b" else b).start()
    if first == "a":  # the announcement is over: a new cable brings another one
        b.machine.set_link("to-a", is_up=False)
        b.machine.set_link("to-a", is_up=True)
    wait_linked(b, a)
    (peer,) = b.peers()
    assert peer["endpoint"] == f"10.99.1.1:{PORT}"


def test_two_nodes_that_only_listen_stay_alone(world: World) -> None:
    a, b = pair(world, 1, 1)
    a.start()
    b.start()
    time.sleep(3)
    assert (a.peers(), b.peers()) == ([], [])


def test_a_node_that_is_not_told_to_beacon_stays_alone(world: World) -> None:
    a, b = pair(world, 0, 2)
    b.start()
    a.start()
    time.sleep(3)
    assert (a.peers(), b.peers()) == ([], [])


def test_a_node_bound_to_one_address_hears_and_is_heard(world: World) -> None:
    a, b = pair(world, 2, 2)
    a.config.write_text(a.config.read_text().replace(f"0.0.0.0:{PORT}", f"10.99.1.1:{PORT}"))
    b.start()
    a.start()
    wait_linked(a, b)
    a.stop()
    b.stop()
    b.config.write_text(b.config.read_text().replace('"beacon": 2,', '"beacon": 1,'))
    b.start()
    a.start()
    wait_linked(b, a)
    (peer,) = b.peers()
    assert peer["endpoint"] == f"10.99.1.1:{PORT}"


def test_the_link_is_back_soon_after_one_end_restarts(world: World) -> None:
    """The restarted node has a new beacon password; its first beacon tells the other end."""
    a, b = pair(world, 2, 2)
    a.start()
    b.start()
    wait_linked(a, b)
    b.stop("KILL")
    b.start()
    wait_until(b.is_linked, LINK_S, "a link again")
    wait_until(lambda: b.reaches(a), LINK_S, "an answer over the mesh")


def test_a_cable_that_is_plugged_in_later_is_noticed(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    for node in (a, b):
        set_beacon(node, 2)
        node.start()
    assert a.peers() == []
    world.lab.cable(a.machine, b.machine)
    wait_linked(a, b)


def test_the_devices_of_the_configuration_alone_get_beacons(world: World) -> None:
    a, b = pair(world, 2, 1)
    text = a.config.read_text()
    assert text.count('["all"]') == 1
    a.config.write_text(text.replace('["all"]', '["no-such-device"]'))
    b.start()
    a.start()
    time.sleep(2)
    assert b.peers() == []
    a.stop()
    a.config.write_text(text.replace('["all"]', '["10.99.1.255:64512"]'))
    a.start()
    wait_linked(b, a)
