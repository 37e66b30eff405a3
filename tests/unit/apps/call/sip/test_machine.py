"""The tables of transactions: complete, and of RFC 3261's values."""

from __future__ import annotations

from itertools import product

import pytest

from dexmesh.apps.call.sip.machine import (
    FIRST,
    STEPS,
    TIMERS,
    Action,
    Event,
    Kind,
    State,
    Timer,
    step,
    timers,
)
from dexmesh.apps.call.sip.outputs import TransactionId
from dexmesh.apps.call.sip.schedule import Schedule

ENDS = {Event.GIVE_UP, Event.FORGET}
ONE = TransactionId(1)


def wait_of(kind: Kind, state: State, name: str) -> tuple[float | None, float | None, float | None]:
    (timer,) = (timer for timer in timers(kind, state) if timer.name == name)
    return timer.udp_s, timer.tcp_s, timer.longest_s


@pytest.mark.parametrize("kind", Kind)
def test_every_state_can_be_reached_and_a_timer_leads_out_of_it(kind: Kind) -> None:
    reached, new = set[State](), {FIRST[kind]}
    while new:
        reached |= new
        new = {to for state in new for to, _ in STEPS[kind].get(state, {}).values()} - reached
    assert reached == {*STEPS[kind], State.TERMINATED}
    assert set(TIMERS[kind]) == set(STEPS[kind])
    for state in STEPS[kind]:
        ends = [one for one in timers(kind, state) if one.event in ENDS]
        assert len(ends) == 1
        assert None not in (ends[0].udp_s, ends[0].tcp_s)
        assert ends[0].longest_s is None
        assert ends[0].event in STEPS[kind][state]


@pytest.mark.parametrize(("kind", "state"), list(product(Kind, State)))
def test_a_timer_goes_off_only_where_it_means_something(kind: Kind, state: State) -> None:
    for timer in timers(kind, state):
        assert step(kind, state, timer.event) is not None


@pytest.mark.parametrize(("kind", "state", "event"), list(product(Kind, State, Event)))
def test_nothing_leads_back_from_an_answer_to_waiting(
    kind: Kind, state: State, event: Event
) -> None:
    """The order of states is the order of a transaction's life."""
    found = step(kind, state, event)
    order = list(State)
    if found is not None:
        assert order.index(found[0]) >= order.index(state)


def test_whoever_waits_is_told_exactly_once_how_it_ends() -> None:
    told = {Action.TELL, Action.FAIL_TIMEOUT, Action.FAIL_TRANSPORT}
    for kind in (Kind.CLIENT, Kind.INVITE_CLIENT):
        waiting = set(STEPS[kind]) - {State.COMPLETED, State.ACCEPTED}
        for to, actions in (found for state in waiting for found in STEPS[kind][state].values()):
            assert to in waiting or len(told & set(actions)) == 1
        for state in {State.COMPLETED, State.ACCEPTED} & set(STEPS[kind]):
            for _, actions in STEPS[kind][state].values():
                assert not told & set(actions)


def test_the_values_are_those_of_table_4_and_rfc_6026() -> None:
    assert wait_of(Kind.INVITE_CLIENT, State.CALLING, "A") == (0.5, None, float("inf"))
    assert wait_of(Kind.INVITE_CLIENT, State.CALLING, "B") == (32, 32, None)
    assert wait_of(Kind.INVITE_CLIENT, State.COMPLETED, "D") == (32, 0, None)
    assert wait_of(Kind.INVITE_CLIENT, State.ACCEPTED, "M") == (32, 32, None)
    assert wait_of(Kind.CLIENT, State.TRYING, "E") == (0.5, None, 4)
    assert wait_of(Kind.CLIENT, State.PROCEEDING, "E, slow") == (4, None, 4)
    assert wait_of(Kind.CLIENT, State.TRYING, "F") == (32, 32, None)
    assert wait_of(Kind.CLIENT, State.COMPLETED, "K") == (5, 0, None)
    assert wait_of(Kind.INVITE_SERVER, State.COMPLETED, "G") == (0.5, None, 4)
    assert wait_of(Kind.INVITE_SERVER, State.COMPLETED, "H") == (32, 32, None)
    assert wait_of(Kind.INVITE_SERVER, State.CONFIRMED, "I") == (5, 0, None)
    assert wait_of(Kind.INVITE_SERVER, State.ACCEPTED, "2xx again") == (0.5, 0.5, 4)
    assert wait_of(Kind.INVITE_SERVER, State.ACCEPTED, "L") == (32, 32, None)
    assert wait_of(Kind.SERVER, State.COMPLETED, "J") == (32, 0, None)


# --- The schedule -------------------------------------------------------------------------------------

REPEATING = Timer("R", Event.REPEAT, 1.0, None, longest_s=4.0)
ENDING = Timer("X", Event.GIVE_UP, 10.0, 10.0)


def due_times(schedule: Schedule, end: float) -> list[tuple[float, str]]:
    found = []
    while (due := schedule.next_timeout()) is not None and due[0] <= end:
        while (went_off := schedule.take_due(due[0])) is not None:
            found.append((due[0], went_off[1].name))
            if went_off[1] is ENDING:
                schedule.stop(went_off[0])
    return found


def test_a_repeating_timer_waits_twice_as_long_each_time_up_to_its_limit() -> None:
    schedule = Schedule()
    schedule.enter(ONE, (REPEATING, ENDING), is_tcp=False, now=0.0)
    assert due_times(schedule, 99.0) == [(1.0, "R"), (3.0, "R"), (7.0, "R"), (10.0, "X")]
    assert schedule.next_timeout() is None


def test_a_connection_needs_no_repetition() -> None:
    schedule = Schedule()
    schedule.enter(ONE, (REPEATING, ENDING), is_tcp=True, now=0.0)
    assert due_times(schedule, 99.0) == [(10.0, "X")]


def test_a_timer_that_runs_goes_on_unless_it_restarts() -> None:
    schedule = Schedule()
    again = Timer("C", Event.GIVE_UP, 5.0, 5.0, restarts=True)
    schedule.enter(ONE, (ENDING, again), is_tcp=False, now=0.0)
    schedule.enter(ONE, (ENDING, again), is_tcp=False, now=4.0)
    assert schedule.next_timeout() == (9.0, "C")
    schedule.enter(ONE, (ENDING,), is_tcp=False, now=4.0)
    assert schedule.next_timeout() == (10.0, "X")
    assert schedule.take_due(9.9) is None


def test_stopped_timers_take_no_room() -> None:
    schedule = Schedule()
    for number in range(2000):
        schedule.enter(TransactionId(number), (REPEATING, ENDING), is_tcp=False, now=0.0)
        schedule.stop(TransactionId(number))
        schedule.next_timeout()
    assert schedule.next_timeout() is None
    schedule.enter(ONE, (ENDING,), is_tcp=False, now=0.0)
    later = Timer("L", Event.FORGET, 99.0, 99.0)
    for _ in range(2000):
        schedule.enter(ONE, (ENDING, later), is_tcp=False, now=1.0)
        schedule.enter(ONE, (ENDING,), is_tcp=False, now=1.0)
        schedule.next_timeout()
    assert schedule.next_timeout() == (10.0, "X")
    assert len(schedule._heap) < 200
