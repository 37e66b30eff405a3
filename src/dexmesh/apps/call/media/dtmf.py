"""Digits as telephone-events: recognise those of the other side, send ours.

Place     receiver.py -> `EventReceiver` -> session.py's outputs; session.py -> `EventSender` -> sender.py
Spec      RFC 4733 §2.3 (payload), §2.5 (sending and receiving); docs/apps/sip.md §3 Media
Keeps     a digit is told once, however many packets speak of it; at most MAX_WAITING digits wait
Not here  digits by SIP INFO (phone/)
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import Final, NamedTuple

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.rtp import TIMESTAMPS

DIGITS: Final = "0123456789*#ABCD"  # RFC 4733 §3.2, by event number
MAX_WAITING: Final = 64  # ours
DIGIT_FRAMES: Final = 5  # ours: 100 ms of tone
LAST_PACKETS: Final = 3  # RFC 4733 §2.5.1.4: the final packet is sent three times
PAUSE_FRAMES: Final = 3  # ours: 60 ms between two digits

_PAYLOAD: Final = Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 10  # -10 dBm0
_LONGEST: Final = 0xFFFF


class EventReceiver:
    """The events of one source."""

    __slots__ = ("_duration", "_event", "_has_ended", "_timestamp")

    def __init__(self) -> None:
        self._timestamp: int | None = None  # of the newest event
        self._event = -1
        self._duration = 0
        self._has_ended = True

    def handle(self, payload: bytes, timestamp: int) -> str | DropReason | None:
        """The digit that begins with this packet; None if it goes on, ends, or is no digit."""
        if len(payload) < _PAYLOAD.size:
            return DropReason.BAD_EVENT
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        previous, has_ended = self._timestamp, self._has_ended
        if previous is not None:
            step = (timestamp - previous) % TIMESTAMPS
            if step > TIMESTAMPS // 2:
                return None  # about an event before this one
            if step == 0:
                self._duration = max(duration, self._duration)
                self._has_ended = has_ended or bool(flags & _END)
                return None
        goes_on = previous is not None and self._goes_on(event, timestamp - previous)
        self._timestamp, self._event, self._duration = timestamp, event, duration
        self._has_ended = bool(flags & _END)
        if goes_on or event >= len(DIGITS):
            return None
        return DIGITS[event]

    def _goes_on(self, event: int, step: int) -> bool:
        """Whether this is the next segment of a tone that is longer than its counter (§2.5.1.3)."""
        is_next = step % TIMESTAMPS == self._duration == _LONGEST
        return is_next and event == self._event and not self._has_ended


class EventPacket(NamedTuple):
    """What goes into one RTP packet. All packets of a digit have the timestamp of its beginning."""

    payload: bytes
    timestamp: int
    is_first: bool


class EventSender:
    """The digits we press. `clock` is that of telephone-event in Hz."""

    __slots__ = ("_began_at", "_frame", "_step", "_waiting")

    def __init__(self, clock: int) -> None:
        self._frame = clock * FRAME_MS // 1000
        self._waiting: deque[int] = deque()
        self._step = 0  # frames since the digit began
        self._began_at = 0

    def add(self, digit: str) -> bool:
        """Send a digit behind those that wait. False if it is none, or too many wait."""
        event = DIGITS.find(digit.upper()) if len(digit) == 1 else -1
        if event < 0 or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(event)
        return True

    @property
    def is_busy(self) -> bool:
        """Whether the next frame may belong to a digit."""
        return bool(self._waiting)

    def next_packet(self, timestamp: int) -> EventPacket | None:
        """What this frame carries instead of sound; None in the pause between digits."""
        if not self._waiting:
            return None
        self._step += 1
        step = self._step
        if step == 1:
            self._began_at = timestamp
        if step < DIGIT_FRAMES + LAST_PACKETS:
            return self._packet(self._waiting[0], step)
        if step >= DIGIT_FRAMES + LAST_PACKETS + PAUSE_FRAMES - 1:
            self._waiting.popleft()
            self._step = 0
        return None

    def _packet(self, event: int, step: int) -> EventPacket:
        flags = _VOLUME | (_END if step >= DIGIT_FRAMES else 0)
        duration = min(step, DIGIT_FRAMES) * self._frame
        return EventPacket(_PAYLOAD.pack(event, flags, duration), self._began_at, step == 1)
