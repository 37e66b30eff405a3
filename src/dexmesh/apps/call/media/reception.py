"""Count what arrives of one source: order, doubles, loss and jitter, as RTCP reports them.

Place     receiver.py hands in each packet -> here -> session.py takes the report block
Spec      RFC 3550 A.1 (sequence), A.3 (loss), A.8 (jitter)
Keeps     a packet is counted once; a far jump of the sequence needs two packets in a row to be believed
Not here  when a packet is played (jitter.py)
"""

from __future__ import annotations

from typing import Final

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.rtcp import ReportBlock
from dexmesh.apps.call.media.rtp import SEQUENCES, TIMESTAMPS

MAX_DROPOUT: Final = 3_000  # RFC 3550 A.1
MAX_MISORDER: Final = 300  # RFC 3550 A.1 has 100; the mesh may hold a packet for seconds
_WINDOW: Final = (1 << MAX_MISORDER + 1) - 1
_MOST_LOST: Final = 0x7FFFFF  # signed 24 bit
_NTP_FRACTION: Final = 1 << 32
_SHORT_FRACTION: Final = 1 << 16


def ntp_time(now: float) -> int:
    """Monotonic seconds as an NTP time of 64 bits: RFC 3550 §6.4.1 allows any clock that runs."""
    return int(now * _NTP_FRACTION) & 0xFFFFFFFFFFFFFFFF


def short_ntp(ntp: int) -> int:
    """The middle 32 bits, in 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


class Reception:
    """The statistics of one SSRC. `clock` is the RTP clock in Hz."""

    __slots__ = (
        "_base",
        "_clock",
        "_expected_before",
        "_highest",
        "_jitter_16",
        "_last_report",
        "_received_before",
        "_report_at",
        "_restart_at",
        "_seen",
        "_transit",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock: int) -> None:
        self.ssrc = ssrc
        self.received = 0
        self._clock = clock
        self._highest = -1  # extended by the number of wraps; -1 before the first packet
        self._base = 0
        self._seen = 0  # bit n: the packet n before the highest was here
        self._restart_at = -1
        self._transit: int | None = None
        self._jitter_16 = 0  # sixteen times the jitter, so that integers keep the fraction
        self._expected_before = self._received_before = 0
        self._last_report = 0
        self._report_at = 0.0

    def place(self, sequence: int) -> int | DropReason:
        """Count a packet. Its sequence number with wraps, or why it is not to be used."""
        step = (sequence - self._highest) & 0xFFFF
        if step == 1 and self._highest >= 0:
            self._highest += 1
            self._seen = (self._seen << 1 | 1) & _WINDOW
            self.received += 1
            return self._highest
        placed = self._place(sequence, step)
        if not isinstance(placed, DropReason):
            self.received += 1
        return placed

    def time(self, timestamp: int, now: float) -> None:
        """Learn the jitter from a packet of sound."""
        transit = (int(now * self._clock) - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            change = (transit - self._transit) & 0xFFFFFFFF
            if change >> 31:
                change = TIMESTAMPS - change  # the absolute value, on a circle
            self._jitter_16 += change - (self._jitter_16 + 8 >> 4)
        self._transit = transit

    def _place(self, sequence: int, step: int) -> int | DropReason:
        """Where a packet stands that is not simply the next."""
        if self._highest < 0:
            return self._restart(sequence)
        if step < MAX_DROPOUT and step:
            self._highest += step
            self._seen = (self._seen << step | 1) & _WINDOW
            return self._highest
        back = SEQUENCES - step if step else 0
        if back <= MAX_MISORDER:
            return self._place_before(back)
        if sequence == self._restart_at:
            return self._restart(sequence)
        self._restart_at = (sequence + 1) % SEQUENCES
        return DropReason.SEQUENCE_JUMP

    def _place_before(self, back: int) -> int | DropReason:
        """A packet that others have overtaken, or that comes again."""
        bit = 1 << back
        if self._seen & bit:
            return DropReason.DUPLICATE
        self._seen |= bit
        self._base = min(self._base, self._highest - back)
        return self._highest - back

    def _restart(self, sequence: int) -> int:
        """Begin, or begin again where the other side did; what was lost before stays lost."""
        lost = self.lost
        # Above all before, and with room below for packets that come behind the first.
        highest = (max(self._highest, 0) // SEQUENCES + 1) * SEQUENCES + sequence
        self._base = highest - lost - self.received
        self._highest = highest
        self._seen = 1
        self._restart_at = -1
        self._transit = None
        return highest

    @property
    def expected(self) -> int:
        """How many packets there should have been."""
        return 0 if self._highest < 0 else self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """How many of them did not come, so far."""
        return max(0, self.expected - self.received)

    @property
    def jitter(self) -> int:
        """Mean change of transit, in units of the RTP clock (RFC 3550 A.8)."""
        return self._jitter_16 >> 4

    @property
    def jitter_ms(self) -> float:
        """The same in milliseconds."""
        return self._jitter_16 * 1000 / 16 / self._clock

    def handle_sender_report(self, ntp: int, now: float) -> None:
        """Remember the last SR, for the other side to measure the round trip with."""
        self._last_report = short_ntp(ntp)
        self._report_at = now

    def report_block(self, now: float) -> ReportBlock:
        """What happened since the last block, and in all."""
        expected, received = self.expected, self.received
        wanted = expected - self._expected_before
        missing = wanted - (received - self._received_before)
        self._expected_before, self._received_before = expected, received
        fraction = 0 if wanted <= 0 or missing <= 0 else min(255, (missing << 8) // wanted)
        since = int((now - self._report_at) * _SHORT_FRACTION) if self._last_report else 0
        return ReportBlock(
            self.ssrc,
            fraction,
            min(self.lost, _MOST_LOST),
            (self._highest - SEQUENCES) & 0xFFFFFFFF if self._highest >= 0 else 0,
            min(self.jitter, 0xFFFFFFFF),
            self._last_report,
            min(since, 0xFFFFFFFF),
        )
