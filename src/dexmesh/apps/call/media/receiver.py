"""Turn the packets of the other side into sound, 20 ms at a time.

Place     session.py, or seat/ directly -> native.Incoming (counted, waiting) -> here -> the codec
Spec      RFC 3550 §5.1 (SSRC), RFC 4733; docs/apps/sip.md §3 Media
Keeps     `pull` always gives exactly one frame; one source at a time: another proves itself by
          PROOF_PACKETS in a row, or by coming when the first has been silent
Not here  headers, order, loss and waiting (rust/media), reports and their time (session.py)
"""

from __future__ import annotations

from typing import Final

from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.dtmf import EventReceiver
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.offer import Agreed
from dexmesh.apps.call.media.rtcp import ReportBlock
from dexmesh.apps.call.media.rtp import SEQUENCES, RtpPacket
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.native import Incoming

PROOF_PACKETS: Final = 3  # ours
SILENT_S: Final = 0.5  # ours: a source that pauses so long is replaced at once
MOST_CONCEALED: Final = 50  # ours: after 1 s without a packet there is silence, at no cost


class Receiver:
    """The incoming half of a session. `incoming` may be handed sound directly (seat/sockets.py)."""

    __slots__ = (
        "_codec",
        "_concealed",
        "_events",
        "_frame_bytes",
        "_frame_units",
        "_gap_frames",
        "_is_sound_due",
        "_known",
        "_left_over",
        "_newcomer",
        "_pending",
        "_silence",
        "incoming",
        "is_listening",
        "played",
    )

    def __init__(self, agreed: Agreed, codec: Codec, now: float) -> None:
        self.incoming = Incoming(codec.rtp_clock, now)
        self.played = 0  # packets
        self._concealed = 0  # frames that were made up
        self._pending = 0  # as well, with no sound behind them yet
        self._gap_frames = 0  # since the last packet that was played
        self._newcomer: list[tuple[RtpPacket, bytes]] = []
        self._known = 0  # packets of the source we know, when the first of these came
        self.change(agreed, codec)

    def change(self, agreed: Agreed, codec: Codec) -> None:
        """Go on with another agreement: other payload types, another codec, held or not."""
        sound, events = agreed.sound, agreed.events
        self.is_listening = agreed.direction.receives
        self._is_sound_due = agreed.direction is Direction.SENDRECV  # who holds may be silent
        self._codec = codec
        self._frame_bytes = 2 * codec.frame_samples
        self._frame_units = codec.rtp_clock * FRAME_MS // 1000
        self._silence = bytes(self._frame_bytes)
        self.incoming.agree(
            codec.rtp_clock,
            bytes((sound.receive_type, sound.send_type)),
            b"" if events is None else bytes((events.receive_type, events.send_type)),
            self.is_listening,
        )
        self._pending = 0  # the other side fell silent because it knew before us
        self._begin_sound()

    def _begin_sound(self) -> None:
        """The next packet begins anew; what was counted stays counted."""
        self._events = EventReceiver()
        self._left_over = b""
        self._gap_frames = 0

    @property
    def is_sound_due(self) -> bool:
        """Whether the other side sends without a pause: nobody holds."""
        return self._is_sound_due

    @property
    def concealed(self) -> int:
        """Frames that were made up where there should have been sound."""
        return self._concealed + (self._pending if self._is_sound_due else 0)

    def handle(self, data: bytes, now: float) -> str | DropReason | None:
        """Take in a datagram: a digit that begins with it, why it is dropped, or None."""
        outcome = self.incoming.handle(data, now)
        if outcome is None:
            return None
        if isinstance(outcome, str):
            return DropReason[outcome]
        packet = RtpPacket(*outcome)
        if packet.ssrc != self.incoming.ssrc:
            return self._handle_newcomer(packet, data, now)
        return self._events.handle(packet.payload, packet.timestamp)

    def _handle_newcomer(
        self, packet: RtpPacket, data: bytes, now: float
    ) -> str | DropReason | None:
        """A packet of another source: it takes the place of the one we know once it is believed."""
        incoming, known = self.incoming, self._newcomer
        last = known[-1][0] if known and incoming.known == self._known else None
        is_next = (
            last is not None
            and last.ssrc == packet.ssrc
            and (last.sequence + 1) % SEQUENCES == packet.sequence
        )
        known = [*known, (packet, data)] if is_next else [(packet, data)]
        heard_at = incoming.source_heard_at
        has_silence = heard_at is None or now - heard_at > SILENT_S
        if not has_silence and len(known) < PROOF_PACKETS:
            self._newcomer, self._known = known, incoming.known
            return DropReason.NEW_SOURCE
        self._newcomer = []
        self._count_pending()
        self._begin_sound()
        incoming.begin(packet.ssrc)
        for _, earlier in known[:-1]:  # reported as dropped, and heard nevertheless
            self.handle(earlier, now)
        return self.handle(data, now)

    def report_block(self, now: float) -> ReportBlock | None:
        """What is to be reported of the source we know."""
        block = self.incoming.report_block(now)
        return None if block is None else ReportBlock(*block)

    def pull(self, now: float) -> bytes:
        """The next 20 ms to play; silence while we hold the call."""
        if not self.is_listening:
            return self._silence
        change = self.incoming.adjust(now)
        if change > 0:
            self._pending += 1
            return self._make_up()
        frame = self._frame()
        if change < 0:
            frame = self._shortened(frame)
        return frame

    def _shortened(self, frame: bytes) -> bytes:
        """This frame and the next, the one fading into the other."""
        payload = self.incoming.take()
        if isinstance(payload, str):
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
            taken = self.incoming.take()
            more = self._fill(taken) if isinstance(taken, str) else self._decode(taken)
            if len(more) == size and not sound:
                return more  # nearly always
            sound += more
        self._left_over = sound[size:]
        return sound[:size]

    def _decode(self, payload: bytes) -> bytes:
        sound = self._codec.decode(payload) or self._codec.conceal()
        if self._pending or self._gap_frames:
            self._count_pending()
            self._gap_frames = 0
        self.played += 1
        self.incoming.advance(len(sound) * self._frame_units // self._frame_bytes)
        return sound

    def _fill(self, gap: str) -> bytes:
        """20 ms where there is no packet."""
        if gap == "before start":
            sound = self._silence
        elif gap == "lost":
            sound = self._find_lost()
        else:
            self._pending += 1
            sound = self._make_up()
        self.incoming.advance(self._frame_units)
        return sound

    def _find_lost(self) -> bytes:
        """A frame that later ones have overtaken: there was sound in it, whoever holds the call."""
        self._concealed += 1
        successor = self.incoming.successor()
        return self._make_up() if successor is None else self._codec.decode_fec(successor)

    def _count_pending(self) -> None:
        self._concealed, self._pending = self.concealed, 0

    def _make_up(self) -> bytes:
        """A frame like the sound before it, and silence when that is long ago."""
        self._gap_frames += 1
        return self._silence if self._gap_frames > MOST_CONCEALED else self._codec.conceal()
