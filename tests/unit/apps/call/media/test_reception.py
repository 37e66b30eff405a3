"""Packets are counted as RFC 3550 A counts them: wraps, doubles, late ones, restarts, loss, jitter."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.reception import (
    MAX_DROPOUT,
    MAX_MISORDER,
    Reception,
    ntp_time,
    short_ntp,
)

SSRC = 0xCAFE


def heard(*sequences: int) -> Reception:
    """A source of which these came."""
    reception = Reception(SSRC, 8_000)
    for sequence in sequences:
        reception.place(sequence)
    return reception


def test_nothing_lost_nothing_counted() -> None:
    reception = heard(7, 8, 9)
    assert (reception.expected, reception.received, reception.lost) == (3, 3, 0)


def test_the_sequence_wraps() -> None:
    reception = heard(65534, 65535)
    before = reception.place(0)
    assert reception.place(1) == before + 1  # type: ignore[operator]
    assert (reception.expected, reception.lost) == (4, 0)
    assert reception.report_block(0.0).highest_sequence == 1 << 16 | 1


def test_what_is_missing_is_lost_until_it_comes() -> None:
    reception = heard(1, 2, 4)
    assert reception.lost == 1
    assert not isinstance(reception.place(3), DropReason)
    assert reception.lost == 0


def test_a_double_is_told_and_not_counted() -> None:
    reception = heard(1, 2, 3)
    for sequence in (3, 2, 1):
        assert reception.place(sequence) is DropReason.DUPLICATE
    assert reception.received == 3


def test_packets_before_the_first_count_too() -> None:
    reception = heard(2)
    assert not isinstance(reception.place(1), DropReason)
    assert not isinstance(reception.place(65535), DropReason)
    assert (reception.expected, reception.lost) == (4, 1)


def test_a_far_jump_is_believed_with_the_second_packet() -> None:
    reception = heard(1, 2)
    assert reception.place(30_000) is DropReason.SEQUENCE_JUMP
    assert not isinstance(reception.place(3), DropReason)
    assert reception.place(40_000) is DropReason.SEQUENCE_JUMP
    assert not isinstance(reception.place(40_001), DropReason)
    assert reception.lost == 0


def test_after_a_restart_numbers_are_above_all_before() -> None:
    reception = Reception(SSRC, 8_000)
    before = reception.place(60_000)
    reception.place(5)
    after = reception.place(6)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after > before


def test_what_was_lost_before_a_restart_stays_lost() -> None:
    reception = heard(1, 3, 40_000, 40_001, 40_003)
    assert (reception.lost, reception.received) == (2, 4)


@pytest.mark.parametrize(
    ("sequence", "is_taken"),
    [
        (1000 + MAX_DROPOUT - 1, True),
        (1000 + MAX_DROPOUT, False),
        (1000 - MAX_MISORDER, True),
        (1000 - MAX_MISORDER - 1, False),
    ],
)
def test_how_far_a_sequence_may_jump(sequence: int, is_taken: bool) -> None:
    assert (heard(1000).place(sequence) is not DropReason.SEQUENCE_JUMP) is is_taken


def test_a_report_tells_of_the_time_since_the_last() -> None:
    reception = heard(*range(10), *range(15, 20))  # 5 of 20 are missing
    assert reception.report_block(1.0).fraction_lost == 64
    for sequence in range(20, 40):
        reception.place(sequence)
    block = reception.report_block(2.0)
    assert (block.fraction_lost, block.cumulative_lost) == (0, 5)
    assert block.ssrc == SSRC


def test_a_report_without_a_packet_is_all_zeros() -> None:
    block = Reception(SSRC, 8_000).report_block(5.0)
    assert (block.fraction_lost, block.cumulative_lost, block.highest_sequence) == (0, 0, 0)
    assert (block.last_report, block.delay_since) == (0, 0)


def test_late_packets_never_make_a_negative_loss() -> None:
    reception = heard(5)
    reception.report_block(0.0)
    for sequence in (4, 3, 2):
        reception.place(sequence)
    assert reception.report_block(1.0).fraction_lost == 0


def test_even_arrival_has_no_jitter() -> None:
    reception = Reception(SSRC, 8_000)
    for number in range(50):
        reception.time(number * 160, 1.0 + number * 0.02)
    assert reception.jitter == 0


def test_jitter_follows_the_example_of_the_standard() -> None:
    """RFC 3550 A.8: J += (|D| - J) / 16, here with |D| = 80 units each time."""
    reception = Reception(SSRC, 8_000)
    expected = 0.0
    for number in range(200):
        reception.time(number * 160, number * 0.02 + (0.01 if number % 2 else 0.0))
        expected += (80 - expected) / 16 if number else 0
    assert reception.jitter == pytest.approx(expected, abs=1)
    assert reception.jitter_ms == pytest.approx(10, abs=0.2)


def test_jitter_survives_the_wrap_of_the_timestamp() -> None:
    reception = Reception(SSRC, 8_000)
    for number in range(50):
        timestamp = (0xFFFFFFFF - 1600 + number * 160) & 0xFFFFFFFF
        reception.time(timestamp, number * 0.02)
    assert reception.jitter == 0


def test_the_last_sender_report_is_told_back_with_its_age() -> None:
    reception = heard(1)
    reception.handle_sender_report(0x1122334455667788, 10.0)
    block = reception.report_block(10.5)
    assert (block.last_report, block.delay_since) == (0x33445566, 0x8000)


def test_times_are_fixed_point() -> None:
    assert ntp_time(1.5) == 0x180000000
    assert short_ntp(ntp_time(1.5)) == 0x18000
