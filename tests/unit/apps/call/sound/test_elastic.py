"""Two clocks that differ, for minutes of their time: no gap, no growing delay, no click."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.sound.elastic import GOAL_MS, MOST_MS, ElasticBuffer
from dexmesh.apps.call.sound.measure import tone_share
from tests.unit.apps.call.codec.sounds import frames, sine

RATE = 8_000


def endless(pcm: bytes, size: int) -> Iterator[bytes]:
    while True:
        yield from frames(pcm, size)


def run(buffer: ElasticBuffer, seconds: float, faster: float, seed: int = 1) -> tuple[bytes, float]:
    """Write 10 ms whenever the one clock says so, read 20 ms at each 20 ms of the other.

    The writer is `faster` times as fast and up to 4 ms late. Gives what was heard, and the longest wait.
    """
    dice, sound = random.Random(seed), endless(sine(400, RATE, 1.0), 80)
    heard, written, longest, due = [], 0, 0.0, 0.0
    for tick in range(round(seconds * 50)):
        now = 0.02 * tick
        while due <= now:
            buffer.write(next(sound))
            written += 1
            due = 0.01 * written / faster + dice.random() * 0.004
        longest = max(longest, buffer.waiting_ms if now > 5 else 0)
        heard.append(buffer.read(320))
    return b"".join(heard), longest


@pytest.mark.parametrize("parts_in_a_million", [-1000, -100, 0, 100, 1000])
def test_a_clock_that_differs_makes_no_gap_and_no_delay(parts_in_a_million: int) -> None:
    buffer = ElasticBuffer(RATE)
    heard, longest = run(buffer, 300, 1 + parts_in_a_million / 1e6)
    assert buffer.underruns == buffer.overflows == 0
    assert longest < 90
    assert tone_share(heard[2 * RATE :], RATE, 400) > 0.98
    most = 20 if abs(parts_in_a_million) < 1000 else 250
    assert buffer.slips <= most


def test_a_slip_does_not_click() -> None:
    buffer = ElasticBuffer(RATE)
    heard, _ = run(buffer, 60, 1.002)
    assert buffer.slips > 5
    samples = samples_of(heard[2 * RATE :])
    steepest = max(abs(b - a) for a, b in pairwise(samples_of(sine(400, RATE, 1.0))))
    assert max(abs(b - a) for a, b in pairwise(samples)) < 1.5 * steepest


def test_what_waits_too_long_after_a_stall_is_caught_up() -> None:
    buffer = ElasticBuffer(RATE)
    run(buffer, 2, 1.0)
    for frame in frames(sine(400, RATE, 0.15), 80):
        buffer.write(frame)
    assert buffer.waiting_ms > 150
    run(buffer, 20, 1.0)
    assert buffer.waiting_ms < 60
    assert buffer.underruns == 0


def test_a_card_that_gives_in_lumps_is_given_more_time() -> None:
    """Some give 40 ms at once, whatever they were asked for."""
    buffer = ElasticBuffer(RATE)
    lumps = endless(sine(400, RATE, 1.0), 320)
    for tick in range(3000):
        if tick % 2:
            buffer.write(next(lumps))
        buffer.read(320)
        if tick == 500:
            before = buffer.underruns
    assert buffer.underruns == before <= 4


def test_it_never_holds_more_than_its_bound() -> None:
    buffer = ElasticBuffer(RATE)
    for _ in range(10_000):
        buffer.write(bytes(320))
    assert buffer.waiting_ms <= MOST_MS
    assert buffer.overflows > 0
    buffer.write(bytes(10**6))
    assert buffer.waiting_ms <= MOST_MS


def test_silence_until_there_is_enough_and_after_it_ran_dry() -> None:
    buffer = ElasticBuffer(RATE)
    loud = bytes_of([1000] * 80)
    buffer.write(loud)
    buffer.write(loud)
    assert buffer.read(320) == bytes(320)  # 20 ms are there, but nothing to spare
    for _ in range(2 + GOAL_MS // 10):
        buffer.write(loud)
    assert buffer.read(320) == loud + loud
    while buffer.read(320) == loud + loud:
        pass
    assert buffer.underruns == 1
    buffer.write(loud + loud)
    assert buffer.read(320) == bytes(320)


@pytest.mark.parametrize("size", [2, 46, 320, 2048, 4000])
def test_a_card_may_ask_for_any_length(size: int) -> None:
    buffer, dice = ElasticBuffer(48_000), random.Random(2)
    for _ in range(3000):
        if buffer.waiting_ms < 100:
            buffer.write(dice.randbytes(2 * dice.randrange(0, 1000)))
        assert len(buffer.read(size)) == size
