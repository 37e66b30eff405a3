"""Every state of a call meets every event: nothing raises, one end is told, nothing is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.states import TABLE, Event, State
from dexmesh.apps.call.phone.values import CallError, CallId, Ended, Ringing
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.peer import Peer
from tests.unit.apps.call.phone.world import (
    ANN,
    BOB,
    SEAT,
    World,
    answer_to,
    invite,
    request,
    sdp,
)

Situation = tuple[World, CallId, str]
"""A world where BOB is bare, Ann's call, and her tag in it."""


def new_world() -> World:
    world = World()
    del world.nodes[BOB]
    return world


def calling() -> Situation:
    world = new_world()
    call = world.ann.phone.dial("ann", uri_at(BOB, "bob"), SEAT, world.now)
    world.run(0.1)
    return world, call, world.requests("INVITE")[0].from_.tag


def early() -> Situation:
    world, call, tag = calling()
    world.put(answer_to(world.requests("INVITE")[0], 180))
    return world, call, tag


def cancelling() -> Situation:
    world, call, tag = early()
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    return world, call, tag


def up_as_caller() -> Situation:
    world, call, tag = early()
    world.put(answer_to(world.requests("INVITE")[0], 200, body=sdp()))
    return world, call, tag


def ringing() -> Situation:
    world = new_world()
    [answer] = world.put(invite())
    return world, world.ann.one(Ringing).call, answer.to.tag


def answered() -> Situation:
    world, call, tag = ringing()
    world.ann.phone.answer(call, "ann", SEAT, world.now)
    world.run(0.1)
    return world, call, tag


def answered_with_offer() -> Situation:
    world = new_world()
    [answer] = world.put(invite(""))
    call = world.ann.one(Ringing).call
    world.ann.phone.answer(call, "ann", SEAT, world.now)
    world.run(0.1)
    return world, call, answer.to.tag


def leaving() -> Situation:
    world, call, tag = answered()
    world.ann.phone.hang_up(call, world.now)
    return world, call, tag


def up_as_callee() -> Situation:
    world, call, tag = answered()
    world.put(request("ACK", to_tag=tag, branch="z9hG4bK-ack"))
    return world, call, tag


def changing() -> Situation:
    world, call, tag = up_as_callee()
    world.ann.phone.hold(call, world.now)
    world.run(0.1)
    return world, call, tag


def changed_by_them() -> Situation:
    world, call, tag = up_as_callee()
    world.put(request("INVITE", to_tag=tag, cseq=2, branch="z9hG4bK-re"))
    return world, call, tag


def over() -> Situation:
    world, call, tag = up_as_callee()
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    return world, call, tag


SITUATIONS: list[Callable[[], Situation]] = [
    calling,
    early,
    cancelling,
    up_as_caller,
    ringing,
    answered,
    answered_with_offer,
    leaving,
    up_as_callee,
    changing,
    changed_by_them,
    over,
]
METHODS = (
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "UPDATE",
    "INFO",
    "OPTIONS",
    "MESSAGE",
    "PRACK",
    "REFER",
    "FOO",
)
BODIES = ("", sdp(version=2, direction="sendonly"), sdp(version=2, formats="18"), "v=0\nrubbish")
STATUSES = (100, 180, 183, 200, 202, 302, 401, 408, 481, 486, 487, 488, 491, 500, 503, 603, 699)


def send_request(situation: Situation, method: str, body: str, cseq: int) -> None:
    """A request inside the call, as the bare node would name it."""
    world, _, tag = situation
    first = world.requests("INVITE")
    call_id, from_tag = (first[0].call_id, "bare") if first else ("call-1", "from-1")
    world.put(
        request(
            method,
            call_id=call_id,
            from_tag=from_tag,
            to_tag=tag,
            cseq=cseq,
            branch=f"z9hG4bK-{method}{cseq}",
            body=body,
            fields=("Content-Type: application/sdp",) if body else (),
        )
    )


def send_plain(situation: Situation, method: str) -> None:
    """The same transaction as the INVITE of the bare node: CANCEL, ACK."""
    situation[0].put(request(method))


def answer_all(situation: Situation, status: int, body: str) -> None:
    """Answer every request that Ann has sent, with this status."""
    world = situation[0]
    for sent in [one for _, one in list(world.inbox) if isinstance(one, Request)]:
        if sent.method != "ACK":
            world.put(answer_to(sent, status, body=body))


def command(situation: Situation, name: str) -> None:
    world, call, _ = situation
    phone = world.ann.phone
    commands: dict[str, Callable[[], object]] = {
        "answer": lambda: phone.answer(call, "ann", SEAT, world.now),
        "decline": lambda: phone.decline(call, world.now),
        "decline 480": lambda: phone.decline(call, world.now, status=480),
        "hang up": lambda: phone.hang_up(call, world.now),
        "hold": lambda: phone.hold(call, world.now),
        "resume": lambda: phone.resume(call, world.now),
        "keys": lambda: phone.dtmf(call, "1", world.now),
        "dead": lambda: phone.handle_dead_media(call, world.now),
        "transport": lambda: phone.handle_transport_failed(Peer(BOB, 5060), world.now),
        "stream": lambda: phone.handle_transport_failed(Peer(BOB, 5060, True), world.now),
    }
    with contextlib.suppress(CallError):
        commands[name]()
    world.collect()


COMMANDS = (
    "answer",
    "decline",
    "decline 480",
    "hang up",
    "hold",
    "resume",
    "keys",
    "dead",
    "transport",
    "stream",
)
Step = tuple[str, Callable[[Situation], None]]
EVENTS: list[Step] = [
    *(
        (f"{method} {number} {cseq}", lambda s, m=method, b=body, c=cseq: send_request(s, m, b, c))
        for method in METHODS
        for number, body in enumerate(BODIES)
        for cseq in ((1, 7) if not body else (7,))
    ),
    *(
        (f"plain {method}", lambda s, m=method: send_plain(s, m))
        for method in ("CANCEL", "ACK", "INVITE")
    ),
    *(
        (f"{status} {number}", lambda s, status=status, b=body: answer_all(s, status, b))
        for status in STATUSES
        for number, body in enumerate(BODIES[:2])
    ),
    *((name, lambda s, n=name: command(s, n)) for name in COMMANDS),
    *((f"{wait} s", lambda s, w=wait: s[0].run(w)) for wait in (0.6, 31.0, 62.0)),
]


def finish(situation: Situation) -> None:
    """Hang up whatever is left: afterwards there is nothing, and one end was told of each call."""
    world = situation[0]
    world.run(0.1)
    for view in world.ann.phone.calls(world.now):
        world.ann.phone.hang_up(view.call, world.now)
    world.assert_empty()
    ended = [one.call for one in world.ann.all(Ended)]
    assert len(ended) == len(set(ended))
    assert situation[1] in ended


@pytest.mark.parametrize("begin", SITUATIONS, ids=lambda one: one.__name__)
def test_every_event_in_every_state(begin: Callable[[], Situation]) -> None:
    for name, event in EVENTS:
        situation = begin()
        event(situation)
        try:
            finish(situation)
        except AssertionError as error:
            raise AssertionError(f"after {name}") from error


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    begin=st.sampled_from(SITUATIONS),
    steps=st.lists(st.sampled_from(EVENTS), min_size=2, max_size=8),
)
def test_any_events_one_after_another(begin: Callable[[], Situation], steps: list[Step]) -> None:
    situation = begin()
    for _, event in steps:
        event(situation)
    finish(situation)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300), begin=st.sampled_from([calling, ringing, up_as_callee]))
def test_any_bytes_in_some_states(data: bytes, begin: Callable[[], Situation]) -> None:
    situation = begin()
    situation[0].put(data)
    finish(situation)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cut=st.integers(0, 700),
    put=st.binary(max_size=6),
    kept=st.integers(0, 12),
    method=st.sampled_from(METHODS),
)
def test_damaged_messages(cut: int, put: bytes, kept: int, method: str) -> None:
    world = new_world()
    data = request(method, fields=("Content-Type: application/sdp",), body=sdp()).encode()
    data = data.replace(b"\n", b"\r\n")
    world.put(data[:cut] + put + data[cut + kept :])
    for view in world.ann.phone.calls(world.now):
        world.ann.phone.hang_up(view.call, world.now)
    world.assert_empty()


def test_every_answer_is_told_to_whom_it_concerns_only() -> None:
    """An answer that fits no transaction changes nothing."""
    world, _, _ = calling()
    foreign = answer_to(world.requests("INVITE")[0], 200, body=sdp()).replace(
        "branch=z9hG4bK", "branch=z9hG4bKx"
    )
    world.put(foreign)
    assert world.ann.phone.sip_counts
    assert [view.state for view in world.ann.phone.calls(world.now)] == ["calling"]


# --- The table itself


def test_every_state_has_its_row_and_only_the_end_has_no_way_out() -> None:
    assert set(TABLE) == set(State)
    assert [state for state, row in TABLE.items() if not row] == [State.ENDED]


def test_every_state_leads_to_the_end() -> None:
    reached = {State.ENDED}
    while True:
        more = {state for state, row in TABLE.items() if set(row.values()) & reached} | reached
        if more == reached:
            break
        reached = more
    assert reached == set(State)


def test_every_event_is_used() -> None:
    assert {event for row in TABLE.values() for event in row} == set(Event)


def test_no_response_is_answered() -> None:
    world = new_world()
    before = len(world.wire)
    world.put(answer_to(calling()[0].requests("INVITE")[0], 200))
    assert len(world.wire) == before
    assert not [one for _, one in world.inbox if isinstance(one, Response)]
    assert world.ann.address == ANN
