"""Links break, nodes restart, endpoints move: traffic finds its way again, and soon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dexmesh.engine.messages import SetPeerUp
from dexmesh.mesh.notices import PeerDown, PeerLeft, PeerUp, RouteChanged
from dexmesh.mesh.peers import PeerState
from tests.sim.world import MAIN, Pinger, SimNode, World, pinging


def reply_after(world: World, pinger: Pinger, within: float) -> float | None:
    """How long until a request that is sent from now on is answered."""
    begin = world.now
    first = len(pinger.sent)

    def is_answered() -> bool:
        return any(number >= first for number in pinger.answered)

    world.run_until(is_answered, within)
    return world.now - begin if is_answered() else None


@pytest.mark.parametrize("outage", [1.0, 5.0, 15.0, 30.0, 90.0, 300.0])
@pytest.mark.parametrize("is_busy", [False, True])
def test_a_link_is_back_two_seconds_after_it_is_mended(
    world: World, outage: float, is_busy: bool
) -> None:
    called, caller = world.line(2)
    world.run(10.0)
    wire = world.wires[0]
    for source, target in ((called, caller), (caller, called)):
        pinger = world.ping(source, target)
        world.run(5.0)
        pinger.is_on = is_busy
        wire.is_up = False
        world.run(outage)
        wire.is_up = True
        pinger.is_on = False
        with pinging(world, source, target) as fresh:
            assert (reply_after(world, fresh, within=10.0) or 99) <= 2.0
        world.run(5.0)


@pytest.mark.parametrize("is_caller", [True, False])
@pytest.mark.parametrize("downtime", [0.5, 8.0, 40.0])
def test_a_restarted_peer_is_back_soon(world: World, is_caller: bool, downtime: float) -> None:
    called, caller = world.line(2)
    world.run(5.0)
    restarted, other = (caller, called) if is_caller else (called, caller)
    with pinging(world, other, restarted):
        world.run(5.0)
        restarted.is_running = False
        world.run(downtime)
    restarted.restart()
    with pinging(world, other, restarted) as pinger:
        within = 2.0 if is_caller or downtime > 5 else 4.0
        assert (reply_after(world, pinger, within=20.0) or 99) <= within


def test_a_peer_behind_a_nat_that_rebinds_is_back_in_seconds(world: World) -> None:
    called, caller = world.line(2)
    wire = world.wires[0]
    with pinging(world, called, caller) as pinger:
        world.run(10.0)
        wire.rebind(0, "192.0.2.77:9999")
        assert (reply_after(world, pinger, within=30.0) or 99) <= 8.0
        world.run(5.0)
        assert len(called.node.peering.peers) == 1, "the old link makes room for the new one"


def test_a_network_change_is_followed_at_once(world: World) -> None:
    called, caller = world.line(2)
    wire = world.wires[0]
    with pinging(world, called, caller) as pinger:
        world.run(10.0)
        wire.rebind(0, "192.0.2.77:9999")
        caller.node.handle_network_changed(world.now)
        caller.pump()
        assert (reply_after(world, pinger, within=30.0) or 99) <= 2.5


def test_traffic_leaves_a_broken_path_in_a_ring(world: World) -> None:
    nodes = [world.add(f"r{number}") for number in range(1, 6)]
    wires = [world.connect(nodes[i], nodes[(i + 1) % 5]) for i in range(5)]
    world.run(20.0)
    one, three = nodes[0], nodes[2]
    for broken in (wires[0], wires[1]):
        with pinging(world, one, three) as pinger:
            world.run(10.0)
            assert len(pinger.replies) > 45
            broken.is_up = False
            assert (reply_after(world, pinger, within=60.0) or 99) <= 10.0
            before = len(pinger.replies)
            world.run(20.0)
            assert len(pinger.replies) - before > 95, "no falling back to the broken path"
            broken.is_up = True
            world.run(60.0)
    assert [notice for _, notice in one.heard(RouteChanged)]


def test_traffic_takes_the_short_way_again_when_it_is_mended(world: World) -> None:
    nodes = [world.add(f"r{number}") for number in range(1, 6)]
    wires = [world.connect(nodes[i], nodes[(i + 1) % 5]) for i in range(5)]
    one, three = nodes[0], nodes[2]
    world.run(20.0)
    with pinging(world, one, three):
        world.run(5.0)
        short = one.node.sessions.session(three.address)
        assert short is not None
        label = short.used
        wires[1].is_up = False
        world.run(30.0)
        assert short.used != label
        wires[1].is_up = True
        world.run(120.0)
        assert short.used == label


def test_traffic_in_one_direction_only_also_leaves_a_broken_path(world: World) -> None:
    nodes = [world.add(f"r{number}") for number in range(1, 5)]
    wires = [world.connect(nodes[i], nodes[(i + 1) % 4]) for i in range(4)]
    world.run(20.0)
    one, three = nodes[0], nodes[2]
    with pinging(world, three, one) as other_way:
        world.run(5.0)
        session = one.node.sessions.session(three.address)
        assert session is not None
        used = session.used
        assert used
        for wire in wires:
            carried = wire.carried
            world.run(1.0)
            if wire.carried - carried > 6:
                wire.is_up = False
                break
        assert (reply_after(world, other_way, within=60.0) or 99) <= 12.0


def test_a_partition_heals(world: World) -> None:
    nodes = world.line(6)
    world.run(20.0)
    with pinging(world, nodes[0], nodes[5]) as pinger:
        world.run(5.0)
        world.wires[2].is_up = False
        world.run(120.0)
        world.wires[2].is_up = True
        assert (reply_after(world, pinger, within=30.0) or 99) <= 10.0


def test_two_links_to_one_node_are_two_peers_and_one_may_break(world: World) -> None:
    left, right = world.add("left"), world.add("right")
    first = world.connect(left, right)
    second = world.connect(left, right, caller_interface=1, called_interface=1)
    world.run(5.0)
    assert [peer.state for peer in left.node.peering.peers.all()] == [PeerState.ESTABLISHED] * 2
    with pinging(world, left, right) as pinger:
        world.run(5.0)
        for wire in (first, second):
            wire.is_up = False
            assert (reply_after(world, pinger, within=30.0) or 99) <= 8.0
            wire.is_up = True
            world.run(30.0)


def test_a_caller_that_went_away_is_unresponsive_and_then_forgotten(world: World) -> None:
    called, caller = world.line(2)
    world.run(5.0)
    caller.is_running = False
    last = world.now
    went = world.run_until(
        lambda: any(p.state is PeerState.UNRESPONSIVE for p in called.node.peering.peers.all()), 60
    )
    assert went is not None
    assert 15.4 <= went <= 28.7
    world.run_until(lambda: len(called.node.peering.peers) == 0, 300)
    assert 262.144 - 5 <= world.now - last <= 272
    assert called.heard(PeerDown)
    assert called.heard(PeerLeft)


def test_a_silent_configured_peer_is_kept_and_its_slot_marked(world: World) -> None:
    called, caller = world.line(2)
    world.run(5.0)
    called.is_running = False
    world.run(400.0)
    peers = caller.node.peering.peers.all()
    assert len(peers) == 1
    marks = [row.what for row in world.recorder.rows if "decided SetPeerUp" in row.what]
    assert marks == [f"decided {SetPeerUp(peers[0].id, False)}"]
    called.is_running = True
    took = world.run_until(lambda: peers[0].state is PeerState.ESTABLISHED, 10.0)
    assert took is not None
    assert took <= 2.0
    assert len(caller.heard(PeerUp)) >= 2


def test_the_same_seed_gives_the_same_run(make_world: Callable[..., World]) -> None:
    def run(seed: int) -> str:
        world = make_world(seed)
        nodes: list[SimNode] = world.line(5, loss=0.1, jitter=0.02)
        world.ping(nodes[0], nodes[4])
        world.run(20.0)
        return world.recorder.digest()

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_a_wanted_peer_moves_to_another_endpoint(world: World) -> None:
    called, caller = world.line(2)
    world.run(5.0)
    wire = world.wires[0]
    wire.rebind(1, "198.51.100.3:7000")
    assert caller.node.peering.change_endpoint(MAIN, "10.0.0.1:5000", "198.51.100.3:7000")  # type: ignore[arg-type]
    caller.pump()
    assert world.first_reply(caller, called, within=3.0) is not None
    assert not caller.node.peering.change_endpoint(MAIN, "10.0.0.1:5000", "x")  # type: ignore[arg-type]
