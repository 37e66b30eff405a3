"""The jitter buffer alone: order, gaps, the target, and its bounds."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.jitter import MAX_PACKETS, Gap, JitterBuffer

CLOCK = 8_000
UNITS = 160


def payload(number: int) -> bytes:
    return number.to_bytes(2, "big")


def put(buffer: JitterBuffer, number: int, now: float) -> DropReason | None:
    """Packet `number` of a source that began at timestamp 0."""
    return buffer.put(number * UNITS % 2**32, 70_000 + number, payload(number), now)


def started(*numbers: int) -> JitterBuffer:
    """A buffer that has these, and whose place is at the first."""
    buffer = JitterBuffer(CLOCK)
    for number in numbers:
        assert put(buffer, number, 1.0) is None
    assert buffer.take() is Gap.BEFORE_START
    buffer.advance(2 * UNITS)
    return buffer


def played(buffer: JitterBuffer, frames: int) -> list[bytes | Gap]:
    """What so many takes give."""
    taken = []
    for _ in range(frames):
        taken.append(buffer.take())
        buffer.advance(UNITS)
    return taken


def test_before_the_first_packet_there_is_nothing() -> None:
    buffer = JitterBuffer(CLOCK)
    assert played(buffer, 3) == [Gap.BEFORE_START] * 3
    assert buffer.delay_ms == 0
    assert buffer.adjust(1.0) == 0


def test_the_first_packet_waits_for_40_ms() -> None:
    buffer = JitterBuffer(CLOCK)
    put(buffer, 5, 1.0)
    assert played(buffer, 4) == [Gap.BEFORE_START, Gap.BEFORE_START, payload(5), Gap.EMPTY]


def test_what_came_out_of_order_is_played_in_order() -> None:
    assert played(started(0, 2, 1, 3), 4) == [payload(number) for number in range(4)]


def test_a_packet_that_is_missing_is_lost_and_its_successor_known() -> None:
    buffer = started(0, 2)
    assert played(buffer, 1) == [payload(0)]
    assert buffer.take() is Gap.LOST
    assert buffer.successor() == payload(2)
    buffer.advance(UNITS)
    assert buffer.take() == payload(2)


def test_of_two_that_are_missing_only_the_second_has_a_successor() -> None:
    buffer = started(0, 3)
    played(buffer, 1)
    assert (buffer.take(), buffer.successor()) == (Gap.LOST, None)
    buffer.advance(UNITS)
    assert (buffer.take(), buffer.successor()) == (Gap.LOST, payload(3))


def test_a_pause_of_the_other_side_is_no_loss() -> None:
    buffer = started(0)
    buffer.put(5 * UNITS, 70_001, payload(1), 1.0)
    assert played(buffer, 6) == [payload(0), *[Gap.PAUSE] * 4, payload(1)]


def test_a_packet_that_the_sound_has_passed_is_late() -> None:
    buffer = started(0, 2, 3)
    assert played(buffer, 3) == [payload(0), Gap.LOST, payload(2)]
    assert put(buffer, 1, 1.1) is DropReason.LATE
    assert played(buffer, 1) == [payload(3)]
    assert put(buffer, 1, 1.1) is DropReason.LATE  # even when nothing waits


def test_a_late_packet_is_played_if_nothing_waits() -> None:
    buffer = started(0)
    assert played(buffer, 3) == [payload(0), Gap.EMPTY, Gap.EMPTY]
    assert put(buffer, 1, 1.1) is None
    assert played(buffer, 1) == [payload(1)]


def test_the_same_moment_twice_is_a_double() -> None:
    buffer = started(0, 1)
    assert buffer.put(0, 70_002, b"other", 1.0) is DropReason.DUPLICATE


def test_a_packet_between_two_frames_is_played_with_the_first_of_them() -> None:
    buffer = started(0)
    buffer.put(UNITS + 80, 70_001, payload(1), 1.0)
    assert played(buffer, 2) == [payload(0), payload(1)]
    buffer.put(2 * UNITS + 80, 70_002, payload(2), 1.0)
    assert played(buffer, 1) == [payload(2)]


def test_the_timestamp_wraps() -> None:
    buffer = JitterBuffer(CLOCK)
    for number in range(4):
        buffer.put((2**32 - 2 * UNITS + number * UNITS) % 2**32, number, payload(number), 1.0)
    assert played(buffer, 6)[2:] == [payload(number) for number in range(4)]


def test_a_crowd_of_packets_is_cut_to_the_target() -> None:
    buffer = started(0)
    for number in range(1, 101):
        assert put(buffer, number, 1.0) is None
        assert buffer.ahead <= 240 * CLOCK // 1000
    assert buffer.overflowed > 80
    waiting = [one for one in played(buffer, 20) if isinstance(one, bytes)]
    assert waiting[-1] == payload(100)


def test_tiny_packets_do_not_fill_it_either() -> None:
    buffer = JitterBuffer(CLOCK)
    for number in range(10 * MAX_PACKETS):
        buffer.put(number, number, b"x", 1.0)
    assert buffer.overflowed >= 8 * MAX_PACKETS
    taken = [buffer.take() for _ in range(3 * MAX_PACKETS)]
    assert sum(isinstance(one, bytes) for one in taken) <= MAX_PACKETS


def test_a_packet_in_between_finds_no_room_where_all_is_full() -> None:
    buffer = JitterBuffer(CLOCK)
    for number in range(0, 2 * MAX_PACKETS, 2):
        assert buffer.put(number, number, b"x", 1.0) is None
    assert buffer.put(3, 1000, b"x", 1.0) is DropReason.OVERFLOW


@pytest.mark.parametrize("leap", [5_000_000, -5_000_000])
def test_a_leap_of_the_timestamp_is_followed(leap: int) -> None:
    """The other side starts its clock anew: some frames are lost, the call goes on."""
    buffer = started(0)
    taken = []
    for number in range(1, 30):
        timestamp = (number * UNITS + (leap if number > 10 else 0)) % 2**32
        buffer.put(timestamp, 70_000 + number, payload(number), 1.0 + number * 0.02)
        taken += played(buffer, 1)
    assert taken[-3:] == [payload(number) for number in (25, 26, 27)]
