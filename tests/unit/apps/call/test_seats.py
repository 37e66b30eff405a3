"""Who has which call, and who answers the next by himself."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.formats import PCMU
from dexmesh.apps.call.phone.values import CallId, SeatMedia
from dexmesh.apps.call.seats import MAX_SEATS, Seats
from dexmesh.errors import AppError

MEDIA = SeatMedia(7078, (PCMU,))
ONE, OTHER = CallId(1), CallId(2)


def test_who_waits_longest_takes_the_next_call_and_only_one() -> None:
    seats = Seats()
    first = seats.stand_by("bob", MEDIA, takes_all=True)
    second = seats.stand_by("bob", MEDIA, takes_all=True)
    found = seats.sit_down(ONE, ("bob",), answers_itself=False)
    assert found is not None
    assert found.line is first
    assert seats.leave(first) == ONE
    found = seats.sit_down(OTHER, ("bob",), answers_itself=False)
    assert found is not None
    assert found.line is second
    assert seats.sit_down(CallId(3), ("bob",), answers_itself=False) is None


def test_calls_for_others_are_not_for_a_seat_that_stands_by() -> None:
    seats = Seats()
    seats.stand_by("bob", MEDIA, takes_all=True)
    assert seats.sit_down(ONE, ("ann",), answers_itself=True) is None
    assert seats.sit_down(ONE, ("ann", "bob"), answers_itself=False) is not None


def test_a_seat_for_calls_that_answer_themselves_takes_those_of_its_user_alone() -> None:
    seats = Seats()
    seats.stand_by("bob", MEDIA, takes_all=False)
    assert seats.sit_down(ONE, ("bob",), answers_itself=False) is None
    assert (
        seats.sit_down(ONE, ("ann", "bob"), answers_itself=True) is None
    )  # it is ann who wants it
    assert seats.sit_down(ONE, ("bob", "ann"), answers_itself=True) is not None


def test_who_has_left_gets_no_call() -> None:
    seats = Seats()
    line = seats.stand_by("bob", MEDIA, takes_all=True)
    assert len(seats) == 1
    assert seats.leave(line) is None
    assert len(seats) == 0
    assert seats.sit_down(ONE, ("bob",), answers_itself=True) is None


def test_no_more_stand_by_than_there_may_be_seats() -> None:
    seats = Seats()
    for _ in range(MAX_SEATS):
        seats.stand_by("bob", MEDIA, takes_all=True)
    with pytest.raises(AppError, match="too many phones"):
        seats.stand_by("bob", MEDIA, takes_all=True)
