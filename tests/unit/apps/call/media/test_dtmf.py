"""Digits by telephone-event: told once, however they are repeated, lost or drawn out."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.dtmf import (
    DIGIT_FRAMES,
    DIGITS,
    LAST_PACKETS,
    MAX_WAITING,
    PAUSE_FRAMES,
    EventPacket,
    EventReceiver,
    EventSender,
)

FRAME = 160
END = 0x80


def event(number: int, duration: int, *, is_end: bool = False) -> bytes:
    return bytes([number, END | 10 if is_end else 10]) + duration.to_bytes(2, "big")


def press(receiver: EventReceiver, number: int, timestamp: int) -> list[object]:
    """A whole digit as RFC 4733 sends it."""
    packets = [event(number, n * FRAME) for n in range(1, 5)]
    packets += [event(number, 5 * FRAME, is_end=True)] * 3
    return [receiver.handle(payload, timestamp) for payload in packets]


def sent(sender: EventSender, frames: int) -> list[EventPacket | None]:
    return [sender.next_packet(1000 + FRAME * number) for number in range(frames)]


@pytest.mark.parametrize(("number", "digit"), [*enumerate(DIGITS)])
def test_a_digit_is_told_with_its_first_packet_and_never_again(number: int, digit: str) -> None:
    assert press(EventReceiver(), number, 800) == [digit, *[None] * 6]


def test_the_same_digit_pressed_twice_is_told_twice() -> None:
    receiver = EventReceiver()
    assert press(receiver, 5, 800)[0] == "5"
    assert press(receiver, 5, 2400)[0] == "5"


def test_a_digit_of_which_only_the_last_packet_arrived_is_told() -> None:
    assert EventReceiver().handle(event(3, 800, is_end=True), 7) == "3"


def test_packets_about_the_digit_before_are_no_news() -> None:
    receiver = EventReceiver()
    press(receiver, 1, 800)
    press(receiver, 2, 2400)
    assert receiver.handle(event(1, 800, is_end=True), 800) is None


def test_timestamps_wrap() -> None:
    receiver = EventReceiver()
    assert press(receiver, 1, 2**32 - 100)[0] == "1"
    assert press(receiver, 2, 1500)[0] == "2"


def test_a_tone_longer_than_its_counter_is_one_digit() -> None:
    """RFC 4733 §2.5.1.3: the next segment begins where the counter ended."""
    receiver = EventReceiver()
    assert receiver.handle(event(9, 160), 1000) == "9"
    assert receiver.handle(event(9, 0xFFFF), 1000) is None
    assert receiver.handle(event(9, 160), 1000 + 0xFFFF) is None
    assert receiver.handle(event(9, 320, is_end=True), 1000 + 0xFFFF) is None
    assert receiver.handle(event(9, 160), 1000 + 2 * 0xFFFF) == "9"


def test_events_that_are_no_digits_are_left_alone() -> None:
    receiver = EventReceiver()
    assert receiver.handle(event(16, 160), 800) is None  # flash
    assert receiver.handle(event(255, 160), 2400) is None


@pytest.mark.parametrize("payload", [b"", b"\1", b"\1\2\3"])
def test_a_short_event_is_dropped(payload: bytes) -> None:
    assert EventReceiver().handle(payload, 1) is DropReason.BAD_EVENT


def test_our_digit_is_100_ms_with_its_end_three_times() -> None:
    sender = EventSender(8_000)
    assert sender.add("5")
    packets = sent(sender, DIGIT_FRAMES + LAST_PACKETS - 1)
    expected = [event(5, n * FRAME) for n in range(1, DIGIT_FRAMES)]
    expected += [event(5, DIGIT_FRAMES * FRAME, is_end=True)] * LAST_PACKETS
    assert packets == [
        EventPacket(payload, 1000, number == 0) for number, payload in enumerate(expected)
    ]


def test_between_two_digits_there_is_a_pause() -> None:
    sender = EventSender(8_000)
    assert sender.add("1")
    assert sender.add("2")
    busy = DIGIT_FRAMES + LAST_PACKETS - 1
    packets = sent(sender, 2 * (busy + PAUSE_FRAMES))
    spoken = [None if one is None else one.payload[0] for one in packets]
    assert spoken == [*[1] * busy, *[None] * PAUSE_FRAMES, *[2] * busy, *[None] * PAUSE_FRAMES]
    assert not sender.is_busy


def test_what_we_send_we_understand() -> None:
    sender, receiver = EventSender(8_000), EventReceiver()
    for digit in "15#a":
        assert sender.add(digit)
    packets = [one for one in sent(sender, 60) if one is not None]
    told = [receiver.handle(one.payload, one.timestamp) for one in packets]
    assert [digit for digit in told if digit is not None] == ["1", "5", "#", "A"]


@pytest.mark.parametrize("digit", ["", "12", "x", " ", "٣"])
def test_what_is_no_digit_is_not_sent(digit: str) -> None:
    assert not EventSender(8_000).add(digit)


def test_only_so_many_digits_wait() -> None:
    sender = EventSender(8_000)
    assert all(sender.add("1") for _ in range(MAX_WAITING))
    assert not sender.add("1")


def test_durations_are_in_the_clock_of_the_events() -> None:
    sender = EventSender(48_000)
    sender.add("1")
    packet = sender.next_packet(0)
    assert packet is not None
    assert packet.payload == event(1, 960)
