"""Measure the media core alone: what 20 ms of a call cost without sockets, sound and codec.

Place     run by hand: `python -m bench.media_session [SECONDS]`; prints one line a question, in CPU time
Spec      ours: at most 40 us for a packet in, a frame played and a packet out; a call is 50 of these a second
Not here  the same with codecs and sockets (bench/call_media.py), how it sounds (tests)
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

from dexmesh.apps.call.media.formats import PCMU
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.media.session import MediaSession
from dexmesh.wire.address import Address

FRAME_S = 0.02
ROUNDS = 5
TARGET_US = 40.0
SOUND = bytes(320)
PLAN = MediaPlan(
    Address(b"\xfc" * 16),
    Agreed(AgreedFormat(PCMU, 0, 0), None, 7078, 7079, Direction.SENDRECV, 20),
)


class NoCodec:
    """Takes no time, so that what remains is ours."""

    name = PCMU.name
    rtp_clock = sample_rate = 8_000
    frame_samples = 160
    damaged = 0

    def encode(self, pcm: bytes) -> bytes:
        return SOUND[: len(pcm) // 2]

    def decode(self, payload: bytes) -> bytes:
        return SOUND[: 2 * len(payload)]

    def conceal(self) -> bytes:
        return SOUND

    def decode_fec(self, next_payload: bytes) -> bytes:
        return SOUND[: 2 * len(next_payload)]


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if the target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.media_session", description=__doc__.splitlines()[0]
    )
    parser.add_argument("seconds", type=float, nargs="?", default=100, help="of the call (100)")
    seconds: float = parser.parse_args(arguments).seconds
    if not 1 <= seconds <= 1e6:
        parser.error("at least one second")
    frames = round(seconds / FRAME_S)
    noise = random.Random(1)
    ways: dict[str, Callable[[], float | None]] = {
        "a steady way": lambda: 0.03,
        "60 ms of jitter, out of order": lambda: 0.03 + noise.random() * 0.06,
        "5 % loss": lambda: 0.03 if noise.random() > 0.05 else None,
    }
    is_met = True
    for name, way in ways.items():
        took_us = statistics.median(measure(frames, way) for _ in range(ROUNDS))
        is_met &= took_us <= TARGET_US
        print(
            f"{name:31} {took_us:5.1f} us for 20 ms ({took_us / 200:.3f} % of a core), "
            f"target {TARGET_US:.0f} us, ratio {took_us / TARGET_US:.2f}"
        )
    return 0 if is_met else 1


def measure(frames: int, way: Callable[[], float | None]) -> float:
    """Microseconds of CPU for one frame of both ways, reports included."""
    speaker, listener = (
        MediaSession(PLAN, NoCodec(), random.Random(n).getrandbits, 0.0) for n in (1, 2)
    )
    arrivals: list[list[tuple[float, bytes]]] = [[] for _ in range(frames + 50)]
    for number in range(frames):
        (packet,) = speaker.push(SOUND, number * FRAME_S)
        lasts = way()
        if lasts is not None:
            at = number * FRAME_S + lasts
            arrivals[int(at / FRAME_S) + 1].append((at, packet))
    began = time.thread_time()
    for number, packets in enumerate(arrivals):
        for at, packet in sorted(packets):
            listener.handle_rtp(packet, at)
        now = number * FRAME_S
        listener.pull(now)
        listener.push(SOUND, now)
        listener.next_rtcp(now)
        listener.take_outputs()
    return (time.thread_time() - began) / frames * 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
