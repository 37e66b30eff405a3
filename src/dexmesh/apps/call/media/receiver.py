"""Turn the packets of the other side into sound, 20 ms at a time.

Place     session.py hands in packets -> reception.py (counted) -> dtmf.py or jitter.py -> the codec
Spec      RFC 3550 §5.1 (SSRC), RFC 4733; docs/apps/sip.md §3 Media
Keeps     `pull` always gives exactly one frame; one source at a time: another proves itself by
          PROOF_PACKETS in a row, or by coming when the first has been silent
Not here  what a header says (rtp.py), reports and their time (session.py)
"""

from __future__ import annotations

from typing import Final

from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.dtmf import EventReceiver
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.jitter import Gap, JitterBuffer
from dexmesh.apps.call.media.offer import Agreed
from dexmesh.apps.call.media.reception import Reception
from dexmesh.apps.call.media.rtp import SEQUENCES, RtpPacket

PROOF_PACKETS: Final = 3  # ours
SILENT_S: Final = 0.5  # ours: a source that pauses so long is replaced at once
MOST_CONCEALED: Final = 50  # ours: after 1 s without a packet there is silence, at no cost


class Receiver:
    """The incoming half of a session."""

    __slots__ = (
        "_buffer",
        "_codec",
        "_event_types",
        "_events",
        "_frame_bytes",
        "_frame_units",
        "_gap_frames",
        "_heard_at",
        "_left_over",
        "_lost_before",
        "_newcomer",
        "_received_before",
        "_sound_types",
        "_thrown_before",
        "concealed",
        "is_listening",
        "played",
        "reception",
        "too_late",
    )

    def __init__(self, agreed: Agreed, codec: Codec, now: float) -> None:
        self.reception: Reception | None = None
        self.played = 0  # packets
        self.concealed = 0  # frames that were made up
        self.too_late = 0  # packets that came after their time
        self._lost_before = self._received_before = self._thrown_before = 0  # of former sources
        self._heard_at = now
        self._newcomer: list[RtpPacket] = []
        self._buffer = JitterBuffer(codec.rtp_clock)
        self.change(agreed, codec)

    def change(self, agreed: Agreed, codec: Codec) -> None:
        """Go on with another agreement: other payload types, another codec, held or not."""
        sound, events = agreed.sound, agreed.events
        self._sound_types = frozenset((sound.receive_type, sound.send_type))
        self._event_types = (
            frozenset() if events is None else frozenset((events.receive_type, events.send_type))
        ) - self._sound_types
        self.is_listening = agreed.direction.receives
        self._codec = codec
        self._frame_bytes = 2 * codec.frame_samples
        self._frame_units = codec.rtp_clock * FRAME_MS // 1000
        self._forget_source()

    def _forget_source(self) -> None:
        """The next packet begins anew; what was counted stays counted."""
        self._lost_before, self._received_before = self.lost, self.received
        self._thrown_before = self.thrown_away
        self.reception = None
        self._buffer = JitterBuffer(self._codec.rtp_clock)
        self._events = EventReceiver()
        self._left_over = b""
        self._gap_frames = 0

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return self._lost_before + (0 if self.reception is None else self.reception.lost)

    @property
    def received(self) -> int:
        """Packets that came, doubles not counted."""
        return self._received_before + (0 if self.reception is None else self.reception.received)

    @property
    def thrown_away(self) -> int:
        """Packets that would have been played, had the delay not been shortened."""
        return self._thrown_before + self._buffer.overflowed

    @property
    def delay_ms(self) -> float:
        """How long sound waits here."""
        return self._buffer.delay_ms

    def handle(self, packet: RtpPacket, now: float) -> str | DropReason | None:
        """Take in a packet: a digit that begins with it, why it is dropped, or None."""
        reception = self.reception
        if reception is None or packet.ssrc != reception.ssrc:
            return self._handle_newcomer(packet, now)
        self._heard_at = now
        if self._newcomer:
            self._newcomer.clear()
        return self._handle_known(packet, reception, now)

    def _handle_newcomer(self, packet: RtpPacket, now: float) -> str | DropReason | None:
        """A packet of another source: it takes the place of the one we know once it is believed."""
        known = self._newcomer
        is_next = (
            bool(known)
            and known[-1].ssrc == packet.ssrc
            and (known[-1].sequence + 1) % SEQUENCES == packet.sequence
        )
        known = [*known, packet] if is_next else [packet]
        has_silence = self.reception is None or now - self._heard_at > SILENT_S
        if not has_silence and len(known) < PROOF_PACKETS:
            self._newcomer = known
            return DropReason.NEW_SOURCE
        self._forget_source()
        self._newcomer = []
        self._heard_at = now
        self.reception = reception = Reception(packet.ssrc, self._codec.rtp_clock)
        for one in known[:-1]:  # they were reported as dropped and are heard nevertheless
            self._handle_known(one, reception, now)
        return self._handle_known(packet, reception, now)

    def _handle_known(
        self, packet: RtpPacket, reception: Reception, now: float
    ) -> str | DropReason | None:
        sequence = reception.place(packet.sequence)
        if isinstance(sequence, DropReason):
            return sequence
        kind = packet.payload_type
        if kind in self._sound_types:
            if not self.is_listening:
                return DropReason.NOT_LISTENING
            if not packet.payload:
                return DropReason.EMPTY
            timestamp = packet.timestamp
            reception.time(timestamp, now)
            dropped = self._buffer.put(timestamp, sequence, packet.payload, now)
            if dropped is DropReason.LATE:
                self.too_late += 1
            return dropped
        if kind in self._event_types:
            if not self.is_listening:
                return DropReason.NOT_LISTENING
            return self._events.handle(packet.payload, packet.timestamp)
        return DropReason.UNKNOWN_PAYLOAD_TYPE

    def pull(self, now: float) -> bytes:
        """The next 20 ms to play; silence while we hold the call."""
        if not self.is_listening:
            return bytes(self._frame_bytes)
        change = self._buffer.adjust(now)
        if change > 0:
            return self._make_up()
        frame = self._frame()
        if change < 0:
            frame = self._shortened(frame)
        return frame

    def _shortened(self, frame: bytes) -> bytes:
        """This frame and the next, the one fading into the other."""
        payload = self._buffer.take()
        if isinstance(payload, Gap):
            return frame
        self._left_over += self._decode(payload)
        following = self._frame()
        count = len(frame) // 2
        pairs = zip(samples_of(frame), samples_of(following), strict=True)
        mixed = [(one * (count - at) + two * at) // count for at, (one, two) in enumerate(pairs)]
        return bytes_of(mixed)

    def _frame(self) -> bytes:
        size = self._frame_bytes
        sound = self._left_over
        while len(sound) < size:
            taken = self._buffer.take()
            sound += self._fill(taken) if isinstance(taken, Gap) else self._decode(taken)
        self._left_over = sound[size:]
        return sound[:size]

    def _decode(self, payload: bytes) -> bytes:
        sound = self._codec.decode(payload) or self._codec.conceal()
        self._gap_frames = 0
        self.played += 1
        if len(sound) == self._frame_bytes:
            self._buffer.advance(self._frame_units)
        else:
            self._buffer.advance(len(sound) * self._frame_units // self._frame_bytes)
        return sound

    def _fill(self, gap: Gap) -> bytes:
        """20 ms where there is no packet."""
        if gap is Gap.BEFORE_START:
            sound = bytes(self._frame_bytes)
        elif gap is Gap.LOST and (successor := self._buffer.successor()) is not None:
            self.concealed += 1
            sound = self._codec.decode_fec(successor)
        else:
            sound = self._make_up()
        self._buffer.advance(self._frame_units)
        return sound

    def _make_up(self) -> bytes:
        """A frame like the sound before it, and silence when that is long ago."""
        self.concealed += 1
        self._gap_frames += 1
        return (
            bytes(self._frame_bytes) if self._gap_frames > MOST_CONCEALED else self._codec.conceal()
        )
