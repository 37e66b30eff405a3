"""One call's sound: packets in, 20 ms out; 20 ms in, packets out; and how well it goes.

Place     seat/ (sockets, the 20 ms clock, the sound card) <-> here; a thread of the seat calls everything
Spec      docs/apps/sip.md §3 Media; RFC 3550 §6 (RTCP)
Keeps     no packet raises, blocks or grows anything without bound; every packet not used is counted by
          its reason; a silence of DEAD_S is told once, and that it ended
Not here  whose packets these are: the seat takes datagrams from the signalling peer's address alone
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, TypeAlias

from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.media import rtcp
from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.receiver import Receiver
from dexmesh.apps.call.media.rtcp import ntp_time, short_ntp
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.media.sender import RandomBits, Sender
from dexmesh.apps.call.media.stats import CallStatistics, mean_opinion, percent
from dexmesh.errors import UsageError
from dexmesh.values import dataclass

REPORT_EVERY_S: Final = 5.0
FIRST_REPORT_S: Final = 1.0  # ours: the round trip is known early
DEAD_S: Final = 20.0
SILENCE_S: Final = 1.0  # ours: a longer pause is a loss, before any packet tells of it
MOST_OUTPUTS: Final = 64  # ours: digits that nobody fetched

_NAME_BITS: Final = 96  # RFC 7022 §4.2
_HIGHEST_ROUND_TRIP: Final = 60 << 16  # in 1/65536 s: more is nonsense


@dataclass(frozen=True, slots=True)
class DigitArrived:
    """The other side pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class MediaDead:
    """Both sides should be heard, and nothing came for so long: time to hang up."""

    silent_s: float


@dataclass(frozen=True, slots=True)
class MediaBack:
    """Something came after all."""


MediaOutput: TypeAlias = DigitArrived | MediaDead | MediaBack


class MediaSession:
    """The sound of one call, from its agreement to its end. Used by one thread.

    `codec` is of the plan's format; `random_bits(n)` gives n random bits; `now` is monotonic seconds
    everywhere. Once for every 20 ms: `pull` and `push`; now and then `next_rtcp` and `take_outputs`.
    Sound may go into `incoming` directly (CallPort); whatever that gives back is for `handle_rtp`.
    """

    def __init__(self, plan: MediaPlan, codec: Codec, random_bits: RandomBits, now: float) -> None:
        _require_match(plan, codec)
        self._plan = plan
        self._codec = codec
        self._receiver = Receiver(plan.agreed, codec, now)
        self._sender = Sender(plan.agreed, codec, random_bits, now)
        self.incoming = self._receiver.incoming
        self._name = b64encode(random_bits(_NAME_BITS).to_bytes(_NAME_BITS // 8, "big"))
        self._began_at = self._heard_at = now
        self._silent_from: float | None = now  # None: with the next `pull`
        self._due_from = now  # since then the other side should be heard, if nobody holds
        self._is_dead = False
        self._outputs: deque[MediaOutput] = deque(maxlen=MOST_OUTPUTS)
        self._drops: dict[DropReason, int] = {}
        self._sent_before = 0  # by the last source of ours
        self._report_at = now + FIRST_REPORT_S
        self._reported_packets = 0
        self._round_trip_s: float | None = None
        self._remote: rtcp.ReportBlock | None = None
        self._loss_marks: deque[tuple[int, int]] = deque([(0, 0)], maxlen=2)

    def change(self, plan: MediaPlan, codec: Codec | None = None) -> None:
        """Go on with another plan: held, resumed, other ports; with a codec if it is another one."""
        codec = codec or self._codec
        _require_match(plan, codec)
        if plan.agreed == self._plan.agreed and codec is self._codec:
            return  # a session timer is refreshed: nobody should hear that
        self._silent_from = None
        ssrc, sent = self._sender.ssrc, self._sender.packets
        self._plan, self._codec = plan, codec
        self._receiver.change(plan.agreed, codec)
        self._sender.change(plan.agreed, codec)
        if ssrc != self._sender.ssrc:
            self._sent_before += sent
            self._reported_packets = 0
            self._remote = None

    def handle_rtp(self, data: bytes, now: float) -> DropReason | None:
        """Take in a datagram from the peer's RTP port; why it is dropped, or None."""
        result = self._receiver.handle(data, now)
        self._hear_sound()
        if isinstance(result, DropReason):
            return self._drop(result)
        if result is not None:
            self._outputs.append(DigitArrived(result))
        return None

    def handle_rtcp(self, data: bytes, now: float) -> DropReason | None:
        """Take in a datagram from the peer's RTCP port. A BYE ends nothing: that is SIP's to say."""
        packets = rtcp.decode_rtcp(data)
        if isinstance(packets, DropReason):
            return self._drop(packets)
        self._hear(now)
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport | rtcp.ReceiverReport):
                self._handle_report(packet, now)
        return None

    def _handle_report(self, report: rtcp.SenderReport | rtcp.ReceiverReport, now: float) -> None:
        incoming = self.incoming
        if isinstance(report, rtcp.SenderReport) and report.ssrc == incoming.ssrc:
            incoming.handle_sender_report(report.ntp_time, now)
        for block in report.blocks:
            if block.ssrc == self._sender.ssrc:
                self._remote = block
                self._learn_round_trip(block, now)

    def _learn_round_trip(self, block: rtcp.ReportBlock, now: float) -> None:
        """RFC 3550 §6.4.1: now, less when our report left, less how long it lay there."""
        if not block.last_report:
            return
        there = (block.last_report + block.delay_since) & 0xFFFFFFFF
        units = (short_ntp(ntp_time(now)) - there) & 0xFFFFFFFF
        if units < _HIGHEST_ROUND_TRIP:
            self._round_trip_s = units / 65_536

    def _hear_sound(self) -> None:
        """Learn whether a packet came since the last time."""
        heard_at = self.incoming.heard_at
        if heard_at > self._heard_at:
            self._hear(heard_at)

    def _hear(self, now: float) -> None:
        self._heard_at = now
        if self._silent_from is not None:
            self._silent_from = max(self._silent_from, now)
        if self._is_dead:
            self._is_dead = False
            self._outputs.append(MediaBack())

    def _drop(self, reason: DropReason) -> DropReason:
        self._drops[reason] = self._drops.get(reason, 0) + 1
        return reason

    def pull(self, now: float) -> bytes:
        """Exactly 20 ms to play, signed 16 bit, little endian, mono, at the codec's sample rate."""
        silent_from = self._silent_from
        if silent_from is None:
            self._silent_from = self._due_from = now
        elif self._is_dead or now - silent_from >= DEAD_S:
            self._judge_silence(now)
        return self._receiver.pull(now)

    def _judge_silence(self, now: float) -> None:
        """Who holds a call may be silent; where both talk, silence means that the way is gone."""
        self._hear_sound()
        is_silent = self._silent_from is not None and now - self._silent_from >= DEAD_S
        may_be = self._plan.agreed.direction is not Direction.SENDRECV
        if is_silent and not may_be and not self._is_dead:
            self._is_dead = True
            self._outputs.append(MediaDead(now - self._heard_at))

    def push(self, pcm: bytes, now: float) -> list[bytes]:
        """Exactly 20 ms that were recorded; the RTP packets to send, in order.

        One, as a rule. None while the call is held and while a longer packet is not complete; two
        where the peer wants packets of 10 ms.
        """
        return self._sender.push(pcm, now)

    def send_digit(self, digit: str) -> bool:
        """Press a key; False if it cannot be told by telephone-event (INFO is left), or too many wait."""
        return self._sender.send_digit(digit)

    def next_rtcp(self, now: float) -> bytes | None:
        """The report that is due, for the peer's RTCP port; None for most of the time."""
        if now < self._report_at:
            return None
        self._report_at += REPORT_EVERY_S
        if self._report_at <= now:  # the machine slept
            self._report_at = now + REPORT_EVERY_S
        self._loss_marks.append(self._loss())
        return rtcp.encode_rtcp(self._report(now))

    def end(self, now: float) -> bytes:
        """The last report and BYE, for the peer's RTCP port when the call is over."""
        return rtcp.encode_rtcp((*self._report(now), rtcp.Goodbye((self._sender.ssrc,))))

    def _report(self, now: float) -> tuple[rtcp.RtcpPacket, ...]:
        """SR where we sent something since the last, else RR; and who we are."""
        sender, block = self._sender, self._receiver.report_block(now)
        blocks = () if block is None else (block,)
        name = rtcp.SourceDescription(((sender.ssrc, self._name),))
        has_sent = sender.packets > self._reported_packets
        self._reported_packets = sender.packets
        if not has_sent:
            return rtcp.ReceiverReport(sender.ssrc, blocks), name
        counts = (sender.packets & 0xFFFFFFFF, sender.octets & 0xFFFFFFFF)
        timestamp = sender.timestamp_at(now)
        return rtcp.SenderReport(sender.ssrc, ntp_time(now), timestamp, *counts, blocks), name

    def take_outputs(self) -> list[MediaOutput]:
        """What happened since the last call, in order."""
        if not self._outputs:
            return []
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    def _loss(self) -> tuple[int, int]:
        """Packets that were not heard, and all that were sent to us."""
        incoming = self.incoming
        lost = incoming.lost
        missing = lost + incoming.too_late + incoming.thrown_away
        return missing, lost + incoming.received

    def _unheard(self, now: float) -> int:
        """Packets that should have come since the last one did; reports and time on hold are no sound."""
        if self._silent_from is None or not self._receiver.is_sound_due:
            return 0
        silent_s = now - max(self._due_from, self.incoming.heard_at)
        return int(1000 * silent_s) // FRAME_MS if silent_s >= SILENCE_S else 0

    @property
    def drops(self) -> Mapping[DropReason, int]:
        """How many packets were dropped, by reason."""
        incoming = self.incoming
        drops = Counter(self._drops)
        drops.update({DropReason[name]: count for name, count in incoming.drops().items() if count})
        drops[DropReason.OVERFLOW] += incoming.thrown_away
        return +drops  # without zeros

    def statistics(self, now: float) -> CallStatistics:
        """How the call goes."""
        incoming, remote = self.incoming, self._remote
        missing, expected = self._loss()
        missing_before, expected_before = self._loss_marks[0]
        unheard = self._unheard(now)
        missing, expected = missing + unheard, expected + unheard
        recent = percent(max(0, missing - missing_before), expected - expected_before)
        trip_ms = None if self._round_trip_s is None else 1000 * self._round_trip_s
        delay_ms = None if trip_ms is None else trip_ms / 2 + incoming.delay_ms
        known_delay_ms = incoming.delay_ms if delay_ms is None else delay_ms
        units_in_ms = self._codec.rtp_clock / 1000
        return CallStatistics(
            duration_s=now - self._began_at,
            codec=self._codec.name,
            sent=self._sent_before + self._sender.packets,
            received=incoming.received,
            lost=incoming.lost,
            too_late=incoming.too_late + incoming.thrown_away,
            concealed=self._receiver.concealed,
            loss_percent=percent(missing, expected),
            recent_loss_percent=recent,
            jitter_ms=incoming.jitter_ms,
            buffer_ms=incoming.delay_ms,
            round_trip_ms=trip_ms,
            delay_ms=delay_ms,
            remote_loss_percent=None if remote is None else remote.fraction_lost / 2.56,
            remote_jitter_ms=None if remote is None else remote.jitter / units_in_ms,
            mos=mean_opinion(self._codec.name, recent, known_delay_ms),
            silent_s=now - max(self._heard_at, incoming.heard_at),
            drops={reason.name.lower(): count for reason, count in self.drops.items()},
        )


def _require_match(plan: MediaPlan, codec: Codec) -> None:
    agreed = plan.agreed.codec
    if (agreed.name.lower(), agreed.clock) != (codec.name.lower(), codec.rtp_clock):
        raise UsageError(f"the plan is for {agreed.rtpmap}, the codec is {codec.name}")
