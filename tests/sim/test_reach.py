"""Every node of a small network is found and reached soon after all have started at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dexmesh.mesh.notices import NoRouteFound
from tests.sim.world import SimNode, World


def test_two_nodes_reach_each_other_with_the_first_packets(world: World) -> None:
    left, right = world.line(2)
    assert (world.first_reply(left, right, within=1.0) or 9) < 0.25
    assert (world.first_reply(right, left, within=1.0) or 9) < 0.25


@pytest.mark.parametrize(("length", "within"), [(3, 0.5), (5, 1.0), (10, 3.0)])
@pytest.mark.parametrize("is_backwards", [False, True])
def test_the_ends_of_a_cold_line_reach_each_other(
    world: World, length: int, within: float, is_backwards: bool
) -> None:
    nodes = world.line(length)
    source, target = (nodes[-1], nodes[0]) if is_backwards else (nodes[0], nodes[-1])
    assert world.first_reply(source, target, within) is not None
    assert world.first_reply(target, source, within=1.0) is not None


def test_all_pairs_of_a_tree_of_ten_reach_each_other(world: World) -> None:
    nodes = tree_of_ten(world)
    for source in nodes:
        for target in nodes:
            if source is not target:
                assert world.first_reply(source, target, within=5.0) is not None


def test_leaves_of_a_cold_tree_reach_each_other_within_seconds(world: World) -> None:
    nodes = tree_of_ten(world)
    assert world.first_reply(nodes[7], nodes[9], within=3.0) is not None


def test_the_spokes_of_a_hub_reach_each_other_over_wide_directors(world: World) -> None:
    hub = world.add("hub")
    spokes = [world.add(f"s{number}") for number in range(1, 13)]
    for spoke in spokes:
        world.connect(spoke, hub)
    behind = world.add("behind")
    world.connect(behind, spokes[-1])
    world.run(5.0)
    for source in (spokes[0], spokes[9], spokes[11], behind):
        for target in (spokes[1], spokes[10], hub, behind):
            if source is not target:
                assert world.first_reply(source, target, within=5.0) is not None


def test_a_hub_with_more_peers_than_fit_a_reply_is_known_whole(world: World) -> None:
    hub = world.add("hub")
    spokes = [world.add(f"s{number}") for number in range(1, 21)]
    for spoke in spokes:
        world.connect(spoke, hub)
    world.run(20.0)
    for spoke in (spokes[0], spokes[19]):
        told = spoke.node.pathfinder.links_of(hub.address)
        assert len(told) == len(spokes)


def test_a_node_that_joins_later_reaches_the_far_end_at_once(world: World) -> None:
    nodes = world.line(6)
    world.run(30.0)
    late = world.add("late")
    world.connect(late, nodes[0])
    assert (world.first_reply(late, nodes[-1], within=3.0) or 9) < 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fifth_of_all_datagrams_may_be_lost(make_world: Callable[..., World], seed: int) -> None:
    world = make_world(seed)
    nodes = world.line(3, loss=0.2)
    assert world.first_reply(nodes[0], nodes[2], within=15.0) is not None
    assert world.first_reply(nodes[2], nodes[0], within=15.0) is not None


def test_reordering_stops_nothing(world: World) -> None:
    nodes = world.line(4, jitter=0.05)
    assert world.first_reply(nodes[0], nodes[3], within=5.0) is not None
    pinger = world.ping(nodes[0], nodes[3], interval=0.01)
    world.run(5.0)
    assert len(pinger.replies) > 0.95 * (len(pinger.sent) - 40)


def test_a_link_that_carries_small_packets_only_is_enough_to_find_routes(world: World) -> None:
    """The widest message of the control plane here is a reply with eight nodes (06 §5)."""
    nodes = world.line(10, mtu=600)
    assert world.first_reply(nodes[0], nodes[9], within=5.0) is not None


def test_slow_links_only_take_longer(world: World) -> None:
    nodes = world.line(4, delay=0.4)
    assert world.first_reply(nodes[0], nodes[3], within=30.0) is not None


def test_a_node_that_is_not_there_is_given_up_and_its_packets_dropped(world: World) -> None:
    nodes = world.line(3)
    stranger = SimNode(world, "stranger", 99)
    world.nodes.append(stranger)
    assert world.first_reply(nodes[0], stranger, within=20.0) is None
    assert nodes[0].heard(NoRouteFound)
    world.run(30.0)
    assert nodes[0].node.wants.next_timeout() is None


def tree_of_ten(world: World) -> list[SimNode]:
    """A root with three branches.

    0 - 1 - 4 - 7     0 - 2 - 5     0 - 3 - 6 - 8 - 9
    """
    nodes = [world.add(f"t{number}") for number in range(10)]
    parents = {1: 0, 2: 0, 3: 0, 4: 1, 5: 2, 6: 3, 7: 4, 8: 6, 9: 8}
    for child, parent in parents.items():
        world.connect(nodes[child], nodes[parent])
    return nodes
