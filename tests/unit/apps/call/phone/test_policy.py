"""Who may ring, and how much one node may ask."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.phone.counters import Count, Counters
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.policy import (
    MAX_EARLY_OF_STRANGERS,
    MAX_NODES,
    Rates,
    Ring,
    StrangersQuota,
    TooMuch,
    TurnedAway,
    find_called,
    has_room,
    judge_call,
)
from dexmesh.apps.call.phone.values import MissedReason, UserSettings
from dexmesh.wire.address import Address
from tests.unit.apps.call.phone.world import ANN, BOB, EVE, House

FRIEND = Caller(BOB, "bob", is_contact=True)
STRANGER = Caller(EVE)


def judge(
    caller: Caller = FRIEND,
    *,
    users: tuple[str, ...] = ("ann",),
    busy: tuple[str, ...] = (),
    **settings: UserSettings,
) -> Ring | TurnedAway:
    return judge_call(
        users, caller, lambda user: settings.get(user, UserSettings()), lambda user: user in busy
    )


def test_a_contact_rings() -> None:
    assert judge() == Ring(("ann",), is_waiting=False, answers_itself=False)


def test_a_stranger_does_not_unless_a_user_wants_that() -> None:
    assert judge(STRANGER) == TurnedAway(480, MissedReason.STRANGER, ("ann",))
    wants = UserSettings(strangers_ring=True)
    found = judge(STRANGER, users=("ann", "amy"), amy=wants)
    assert found == Ring(("amy",), is_waiting=False, answers_itself=False)


def test_do_not_disturb_comes_before_busy_and_leaves_the_others() -> None:
    quiet = UserSettings(do_not_disturb=True)
    assert judge(busy=("ann",), ann=quiet) == TurnedAway(480, MissedReason.DO_NOT_DISTURB, ("ann",))
    assert judge(users=("ann", "amy"), ann=quiet) == Ring(("amy",), False, False)
    found = judge(users=("ann", "amy"), busy=("amy",), ann=quiet)
    assert found == TurnedAway(486, MissedReason.BUSY, ("amy",))


def test_call_waiting_rings_the_busy() -> None:
    waits = UserSettings(call_waiting=True, auto_answer=True)
    assert judge(busy=("ann",), ann=waits) == Ring(("ann",), is_waiting=True, answers_itself=False)


def test_a_stranger_is_never_answered_by_itself() -> None:
    open_house = UserSettings(auto_answer=True, strangers_ring=True)
    assert judge(STRANGER, ann=open_house) == Ring(("ann",), False, answers_itself=False)
    assert judge(FRIEND, ann=open_house) == Ring(("ann",), False, answers_itself=True)


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("", ("ann",)),
        ("ANN", ("ann",)),
        ("Amy", ("amy",)),
        ("FAMILY", ("ann", "amy")),
        ("nobody", ()),
    ],
)
def test_names_in_any_case(name: str, users: tuple[str, ...]) -> None:
    assert find_called(name, House("ann", "amy")) == users


def test_an_alias_wins_over_a_user_of_the_same_name() -> None:
    house = House("ann", "amy")
    house.aliases["ann"] = ("amy",)
    assert find_called("ann", house) == ("amy",)


def test_a_house_without_users_has_nobody_to_call() -> None:
    assert find_called("", House()) == ()


def test_three_of_one_and_thirty_in_all_ring() -> None:
    bob, others = callers(BOB)[0], callers(*nodes(30))
    assert has_room([bob] * 2 + others[:27], bob)
    assert not has_room([bob] * 3, bob)
    assert has_room([bob] * 3, others[0])
    assert not has_room(others, bob)


def test_strangers_who_may_ring_leave_half_to_contacts() -> None:
    ringing = callers(*nodes(MAX_EARLY_OF_STRANGERS), is_contact=False)
    assert not has_room(ringing, Caller(EVE))
    assert has_room(ringing, callers(BOB)[0])


def callers(*addresses: Address, is_contact: bool = True) -> list[Caller]:
    return [Caller(one, is_contact=is_contact) for one in addresses]


def nodes(count: int) -> list[Address]:
    return [Address(bytes([252, number]) + bytes(14)) for number in range(count)]


def ask(rates: Rates, now: float, *, in_call: bool = False, who: Address = BOB) -> TooMuch | None:
    return rates.judge(who, now, is_contact=who != EVE, is_in_call=in_call)


def test_ten_at_once_and_ten_a_second() -> None:
    rates = Rates()
    assert [ask(rates, 5.0) for _ in range(10)] == [None] * 10
    assert ask(rates, 5.0) == TooMuch(Count.TOO_FAST, 1)
    assert ask(rates, 5.11) is None
    assert ask(rates, 5.11) is not None
    served = sum(ask(rates, 6.0 + n / 100) is None for n in range(1000))
    assert 98 <= served <= 110


def test_requests_in_calls_have_their_own_measure() -> None:
    rates = Rates()
    for _ in range(20):
        ask(rates, 0.0)
    assert [ask(rates, 0.0, in_call=True) for _ in range(50)] == [None] * 50
    assert ask(rates, 0.0, in_call=True) is not None


def test_refusals_are_told_ten_times_a_second_too() -> None:
    rates = Rates()
    found = [ask(rates, 0.0) for _ in range(40)]
    assert found[:10] == [None] * 10
    assert [one.retry_after_s for one in found[10:] if one] == [1] * 10 + [None] * 20


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    rates = Rates()
    for _ in range(10):
        ask(rates, 100.0)
    assert ask(rates, 50.0) is not None
    assert ask(rates, 100.0) is not None


def test_nodes_that_are_remembered_are_bounded() -> None:
    rates = Rates()
    for number in range(3 * MAX_NODES):
        ask(rates, 0.0, who=Address(bytes([252]) + number.to_bytes(15, "big")))
    assert len(rates) == MAX_NODES


def test_a_quota_of_strangers_begins_anew_after_an_hour() -> None:
    quota = StrangersQuota(2)
    assert [quota.take(EVE, 0.0) for _ in range(3)] == [None, None, 3600]
    assert quota.take(EVE, 3599.5) == 1
    assert quota.take(EVE, 3600.0) is None


def test_a_quota_knows_a_hundred_strangers() -> None:
    quota = StrangersQuota(2)
    for number in range(100):
        assert quota.take(Address(bytes([252, number]) + bytes(14)), 0.0) is None
    assert quota.take(ANN, 0.0) == 3600


def test_counters_show_what_was_counted() -> None:
    counters = Counters()
    counters.add(Count.BUSY)
    counters.add(Count.BUSY)
    assert counters[Count.BUSY] == 2
    assert counters.snapshot() == {"refused: busy": 2}
