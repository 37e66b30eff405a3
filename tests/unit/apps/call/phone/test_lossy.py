"""Calls over links that lose and delay: both sides always come to the same end, and nothing is left."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.values import (
    Ended,
    EndReason,
    Established,
    MediaChanged,
    Ringing,
)
from tests.unit.apps.call.phone.world import ANN, BOB, SEAT, Node, World

SEEDS = range(24)


def lossy(seed: int, loss: float = 0.25) -> World:
    return World(seed=seed, loss=loss, delay_s=0.15, jitter_s=0.6)


def answer_when_it_rings(world: World) -> bool:
    for _ in range(50):
        world.run(1.0)
        for ringing in world.bob.all(Ringing)[-1:]:
            if any(view.state == "ringing" for view in world.bob.phone.calls(world.now)):
                world.bob.phone.answer(ringing.call, "bob", SEAT, world.now)
            return True
    return False


def direction(node: Node) -> Direction:
    told = [one for one in node.told if isinstance(one, Established | MediaChanged)]
    return told[-1].plan.agreed.direction


def assert_one_end_each(world: World) -> None:
    world.assert_empty()
    for node in (world.ann, world.bob):
        begun = {one.call for one in node.told if isinstance(one, Ringing | Established)}
        ended = [one.call for one in node.all(Ended)]
        assert len(ended) == len(set(ended)), node.told
        assert begun <= set(ended), node.told


@pytest.mark.parametrize("seed", SEEDS)
def test_a_call_with_hold_and_resume_over_a_bad_link(seed: int) -> None:
    world = lossy(seed)
    call = world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    is_answered = answer_when_it_rings(world)
    world.run(40.0)
    if is_answered and world.ann.all(Established) and not world.ann.all(Ended):
        world.ann.phone.hold(call, world.now)
        world.run(33.0)
        if not world.ann.all(Ended):
            assert direction(world.ann) is Direction.INACTIVE
            assert direction(world.bob) is Direction.RECVONLY
            world.ann.phone.resume(call, world.now)
            world.run(33.0)
        if not world.ann.all(Ended):
            assert direction(world.ann) is Direction.SENDRECV
            assert direction(world.bob) is Direction.SENDRECV
    for view in world.ann.phone.calls(world.now):
        world.ann.phone.hang_up(view.call, world.now)
    world.run(40.0)
    for node in (world.ann, world.bob):  # a BYE may be lost eleven times: then sound is missed
        for view in node.phone.calls(world.now):
            node.phone.handle_dead_media(view.call, world.now)
    assert_one_end_each(world)


def test_most_calls_come_up_on_a_link_that_loses_a_quarter() -> None:
    up = 0
    for seed in SEEDS:
        world = lossy(seed)
        world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
        answer_when_it_rings(world)
        world.run(35.0)
        up += bool(world.ann.all(Established) and world.bob.all(Established))
    assert up >= len(SEEDS) - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_giving_up_at_any_moment_over_a_bad_link(seed: int) -> None:
    world = lossy(seed)
    call = world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    world.run(0.2 * (seed % 10))
    for ringing in world.bob.all(Ringing):
        if seed % 2:
            world.bob.phone.answer(ringing.call, "bob", SEAT, world.now)
    world.run(0.3)
    for view in world.ann.phone.calls(world.now):
        assert view.call == call
        world.ann.phone.hang_up(call, world.now)
    world.run(100.0)
    for view in world.bob.phone.calls(world.now):
        world.bob.phone.handle_dead_media(view.call, world.now)
    assert_one_end_each(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_both_change_hold_all_the_time_and_agree_in_the_end(seed: int) -> None:
    world = World(seed=seed, delay_s=0.05, jitter_s=0.3)
    mine = world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    assert answer_when_it_rings(world)
    world.run(2.0)
    theirs = world.bob.one(Ringing).call
    for _ in range(12):
        side = world.random.randrange(4)
        node, call = ((world.ann, mine), (world.bob, theirs))[side % 2]
        (node.phone.hold if side < 2 else node.phone.resume)(call, world.now)
        world.run(world.random.random())
    world.ann.phone.resume(mine, world.now)
    world.bob.phone.resume(theirs, world.now)
    world.run(60.0)
    assert direction(world.ann) is Direction.SENDRECV
    assert direction(world.bob) is Direction.SENDRECV


def test_a_split_of_15_s_while_it_rings_ends_nothing() -> None:
    world = World()
    world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    world.run(1.0)
    world.loss = 1.0
    world.bob.phone.answer(world.bob.one(Ringing).call, "bob", SEAT, world.now)
    world.run(15.0)
    world.loss = 0.0
    world.run(5.0)
    assert world.ann.one(Established)
    assert world.ann.all(Ended) == []
    assert world.bob.all(Ended) == []


def test_one_side_dies_during_a_call() -> None:
    world = World()
    world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    assert answer_when_it_rings(world)
    world.run(1.0)
    del world.nodes[ANN]
    call = world.bob.one(Ringing).call
    world.bob.phone.handle_dead_media(call, world.now)
    world.run(40.0)
    assert world.bob.one(Ended).reason is EndReason.MEDIA_DEAD
    world.assert_empty()
