"""Two sessions and the way between them, in virtual time, with sound that can be told apart.

Place     the tests of jitter.py, receiver.py, session.py -> here
Keeps     no clock and no randomness of its own: the same line, the same call
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from dexmesh.apps.call.media.formats import EVENTS_8000, PCMU, Format
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.media.session import MediaSession
from dexmesh.wire.address import Address

FRAME_S = 0.02
BEGIN = 100.0
MADE_UP = -1
SILENT = 0
FRAMES_APART = 250  # then the numbers of frames begin anew
REMOTE = Address(bytes.fromhex("fc22") * 8)

Way = Callable[[int, float], float | None]
"""Number and moment of a packet -> how many seconds it is under way; None: it is lost."""


class NumberCodec:
    """A codec that codes a sample as its low byte, so that a frame sounds like its number."""

    damaged = 0

    def __init__(self, format_: Format = PCMU, sample_rate: int = 8_000) -> None:
        self.name = format_.name
        self.rtp_clock = format_.clock
        self.sample_rate = sample_rate
        self.frame_samples = sample_rate // 50
        self.asked_for_fec: list[bytes] = []

    def encode(self, pcm: bytes) -> bytes:
        assert len(pcm) == 2 * self.frame_samples
        return pcm[::2]

    def decode(self, payload: bytes) -> bytes:
        return array("h", list(payload)).tobytes()

    def conceal(self) -> bytes:
        return array("h", [MADE_UP] * self.frame_samples).tobytes()

    def decode_fec(self, next_payload: bytes) -> bytes:
        self.asked_for_fec.append(next_payload)
        return self.conceal()


def frame(number: int, codec: NumberCodec | None = None) -> bytes:
    """20 ms that sound like a number (1 to 250)."""
    samples = 160 if codec is None else codec.frame_samples
    return array("h", [1 + number % FRAMES_APART] * samples).tobytes()


def plan(
    direction: Direction = Direction.SENDRECV,
    ptime_ms: int = 20,
    sound: Format = PCMU,
    events: Format | None = EVENTS_8000,
) -> MediaPlan:
    """A plan with the payload types that we offer."""
    agreed_events = None if events is None else AgreedFormat(events, 101, 101)
    kind = sound.payload_type
    agreed = Agreed(AgreedFormat(sound, kind, kind), agreed_events, 7078, 7079, direction, ptime_ms)
    return MediaPlan(REMOTE, agreed)


def session(seed: int, own: MediaPlan | None = None, now: float = 0.0) -> MediaSession:
    """One end of a call."""
    return MediaSession(own or plan(), NumberCodec(), random.Random(seed).getrandbits, now)


@dataclass
class Call:
    """`here` speaks, `there` listens; both have a clock of 20 ms, that of `there` 7 ms later."""

    way: Way
    here: MediaSession = field(default_factory=lambda: session(1, now=BEGIN))
    there: MediaSession = field(default_factory=lambda: session(2, now=BEGIN))
    now: float = BEGIN
    rate: float = 1.0  # how fast the clock of `here` runs
    sound: Callable[[int], bytes] = frame  # what is said in each frame
    heard: list[array[int]] = field(default_factory=list)  # the samples of each frame
    delays_ms: list[float] = field(default_factory=list)
    _under_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _spoken: int = 0
    _began_at: float | None = None

    def run(self, seconds: float) -> None:
        """Talk for so long."""
        if self._began_at is None:
            self._began_at = self.now
        end = self.now + seconds - FRAME_S / 2
        while self.now < end:
            self.now += FRAME_S
            self._speak()
            self._listen(self.now + 0.007)

    def _speak(self) -> None:
        assert self._began_at is not None
        while self._spoken * FRAME_S < (self.now - self._began_at) * self.rate:
            at = self._began_at + self._spoken * FRAME_S / self.rate
            for data in self.here.push(self.sound(self._spoken), at):
                number = next(self._numbers)
                lasts = self.way(number, at - self._began_at)
                if lasts is not None:
                    heapq.heappush(self._under_way, (at + lasts, number, data))
            self._spoken += 1

    def _listen(self, now: float) -> None:
        while self._under_way and self._under_way[0][0] <= now:
            at, _, data = heapq.heappop(self._under_way)
            self.there.handle_rtp(data, at)
        self.heard.append(array("h", self.there.pull(now)))
        self.delays_ms.append(self.there.statistics(now).buffer_ms)

    def numbers(self) -> list[int]:
        """The frames as they were heard, each by its middle sample."""
        return [samples[len(samples) // 2] for samples in self.heard]
