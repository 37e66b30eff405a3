"""Turn our sound and our digits into RTP packets.

Place     session.py hands in 20 ms -> the codec or dtmf.py -> packing.py -> native.Outgoing -> session.py
Spec      RFC 3550 §5.1; RFC 4733 §2.5; docs/apps/sip.md §3 Media (random start, marker first)
Keeps     the timestamp runs on while nothing is sent; the first packet after that has the marker
Not here  when reports are sent (session.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.media.dtmf import EventPacket, EventSender
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.offer import Agreed
from dexmesh.apps.call.media.packing import make_packing
from dexmesh.apps.call.native import Outgoing

RandomBits = Callable[[int], int]
"""So many random bits as a number: `secrets.randbits`."""

_TIMESTAMP_MASK: Final = 0xFFFFFFFF


class Sender:
    """The outgoing half of a session."""

    __slots__ = (
        "_agreed",
        "_codec",
        "_events",
        "_events_type",
        "_frame_units",
        "_is_first",
        "_is_sending",
        "_outgoing",
        "_packing",
        "_payload_type",
        "_pushed_at",
        "_random_bits",
    )

    def __init__(self, agreed: Agreed, codec: Codec, random_bits: RandomBits, now: float) -> None:
        self._random_bits = random_bits
        self._codec = codec
        self._pushed_at = now
        self._outgoing = self._new_source()
        self.change(agreed, codec)

    def _new_source(self) -> Outgoing:
        """RFC 3550 §5.1 wants everything to start at random."""
        return Outgoing(self._random_bits(32), self._random_bits(16), self._random_bits(32))

    @property
    def ssrc(self) -> int:
        """Our source; packets and octets are of this one."""
        return self._outgoing.ssrc

    @property
    def packets(self) -> int:
        """Sent so far."""
        return self._outgoing.packets

    @property
    def octets(self) -> int:
        """Of payload, sent so far."""
        return self._outgoing.octets

    def change(self, agreed: Agreed, codec: Codec) -> None:
        """Go on with another agreement; another clock makes another source (RFC 7160 §4.1)."""
        if codec.rtp_clock != self._codec.rtp_clock:
            self._outgoing = self._new_source()
        self._codec = codec
        self._frame_units = codec.rtp_clock * FRAME_MS // 1000
        self._payload_type = agreed.sound.send_type
        self._is_sending = agreed.direction.sends
        self._is_first = True
        self._agreed = agreed
        self._packing = make_packing(agreed.codec, agreed.ptime_ms)
        events = agreed.events
        self._events = None if events is None else EventSender(events.format.clock)
        self._events_type = 0 if events is None else events.send_type

    def send_digit(self, digit: str) -> bool:
        """Send a digit behind those that wait; False where it cannot be sent so."""
        return self._is_sending and self._events is not None and self._events.add(digit)

    def push(self, pcm: bytes, now: float) -> list[bytes]:
        """The packets that are complete with these 20 ms."""
        timestamp = self._outgoing.advance(self._frame_units)
        self._pushed_at = now
        if not self._is_sending:
            return []
        events = self._events
        if events is not None and events.is_busy:
            event = events.next_packet(timestamp)
            if event is not None:
                return [self._event(event)]
        payload = self._codec.encode(pcm)
        packing = self._packing
        if packing is None:
            return [self._sound(payload, timestamp)]
        return [
            self._sound(whole, (timestamp - before) & _TIMESTAMP_MASK)
            for before, whole in packing(payload)
        ]

    def _sound(self, payload: bytes, timestamp: int) -> bytes:
        is_marked, self._is_first = self._is_first, False
        return self._outgoing.packet(self._payload_type, is_marked, timestamp, payload)

    def _event(self, event: EventPacket) -> bytes:
        if event.is_first:  # what waits for its packet to be complete would come too late after it
            self._packing = make_packing(self._agreed.codec, self._agreed.ptime_ms)
        return self._outgoing.packet(
            self._events_type, event.is_first, event.timestamp, event.payload
        )

    def timestamp_at(self, now: float) -> int:
        """The RTP timestamp of this moment, for a sender report."""
        since = int((now - self._pushed_at) * self._codec.rtp_clock)
        return (self._outgoing.timestamp + since) & _TIMESTAMP_MASK
