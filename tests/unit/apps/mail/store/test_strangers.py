"""How much strangers may send in a day."""

from __future__ import annotations

import pytest

from dexmesh.apps.mail.proto.strangers import (
    DAY_S,
    MAX_BYTES,
    MAX_MAILS,
    MAX_STRANGERS,
    StrangerPolicy,
    StrangerRefusal,
)
from dexmesh.wire.address import Address

TODAY = 20_000.0 * DAY_S


def node(number: int) -> Address:
    return Address(b"\xfc" + number.to_bytes(15, "big"))


def test_the_sixth_mail_of_a_day_is_refused_and_taken_tomorrow() -> None:
    policy = StrangerPolicy()
    assert [policy.judge(node(1), ["ann"], 10, TODAY) for _ in range(MAX_MAILS)] == MAX_MAILS * [
        None
    ]
    assert policy.judge(node(1), ["ann"], 10, TODAY) is StrangerRefusal.TOO_MANY_MAILS
    assert policy.judge(node(1), ["tom"], 10, TODAY) is None
    assert policy.judge(node(1), ["ann"], 10, TODAY + DAY_S) is None


@pytest.mark.parametrize(("size", "is_taken"), [(MAX_BYTES, True), (MAX_BYTES + 1, False)])
def test_a_megabyte_is_enough(size: int, is_taken: bool) -> None:
    policy = StrangerPolicy()
    refusal = policy.judge(node(1), ["ann"], size, TODAY)
    assert refusal is (None if is_taken else StrangerRefusal.TOO_BIG)
    assert len(policy.counts) == is_taken
    refused = policy.judge(node(1), ["ann"], MAX_BYTES, TODAY)
    assert refused is (StrangerRefusal.TOO_MANY_BYTES if is_taken else None)


def test_the_hundred_and_first_stranger_waits_but_those_who_wrote_may_go_on() -> None:
    policy = StrangerPolicy()
    for number in range(MAX_STRANGERS):
        assert policy.judge(node(number), ["ann"], 10, TODAY) is None
    for number in range(1000, 3000):
        refusal = policy.judge(node(number), ["ann"], 10, TODAY)
        assert refusal is StrangerRefusal.TOO_MANY_STRANGERS
    assert policy.judge(node(5), ["ann"], 10, TODAY) is None
    assert len(policy.counts) == MAX_STRANGERS


def test_what_is_given_back_does_not_count_and_frees_the_strangers_place() -> None:
    policy = StrangerPolicy()
    for number in range(MAX_STRANGERS):
        policy.judge(node(number), ["ann"], 10, TODAY)
    policy.judge(node(1), ["ann"], 10, TODAY)
    policy.give_back((node(1), "ann"), 10, TODAY)
    policy.give_back((node(99_999), "ann"), 10, TODAY)
    refusal = policy.judge(node(500), ["ann"], 10, TODAY)
    assert refusal is StrangerRefusal.TOO_MANY_STRANGERS
    policy.give_back((node(1), "ann"), 10, TODAY)
    assert policy.judge(node(500), ["ann"], 10, TODAY) is None


def test_a_clock_set_back_closes_no_door() -> None:
    policy = StrangerPolicy()
    for _ in range(MAX_MAILS + 1):
        policy.judge(node(1), ["ann"], 10, TODAY + 1000 * DAY_S)
    assert policy.judge(node(1), ["ann"], 10, TODAY) is None


def test_kept_counts_go_on_where_they_were() -> None:
    policy = StrangerPolicy()
    for _ in range(MAX_MAILS):
        policy.judge(node(1), ["ann"], 10, TODAY)
    again = StrangerPolicy(policy.day, policy.counts)
    assert again.judge(node(1), ["ann"], 10, TODAY) is StrangerRefusal.TOO_MANY_MAILS


def test_a_mail_for_two_that_one_may_not_get_any_more_counts_for_neither() -> None:
    policy = StrangerPolicy()
    for _ in range(MAX_MAILS):
        assert policy.judge(node(1), ["tom"], 10, TODAY) is None
    for _ in range(MAX_MAILS + 1):
        refusal = policy.judge(node(1), ["ann", "tom"], 10, TODAY)
        assert refusal is StrangerRefusal.TOO_MANY_MAILS
    assert [policy.judge(node(1), ["ann"], 10, TODAY) for _ in range(MAX_MAILS)] == MAX_MAILS * [
        None
    ]
