"""Say what was heard: how much of a recording is a tone, and where in it a known sentence lies.

Place     tests, `dexmesh demo` and the bench -> here
Spec      docs/apps/sip.md §5 ("calls with a tone each way, measured")
Keeps     sound is signed 16 bit, little endian, mono; silence is no tone and no match
Not here  loudness while a call runs (level.py)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Final

from dexmesh.apps.call.codec.samples import samples_of
from dexmesh.apps.call.sound.resample import resample
from dexmesh.values import dataclass

BLOCK_S: Final = 0.1  # a tone is looked for in blocks: another clock moves its phase slowly
COMPARED_RATE: Final = 4_000  # Hz: a voice has its energy below 2 kHz
PIECE_S: Final = 0.25  # a sentence is looked for in pieces: a jitter buffer moves them a little
SLACK_S: Final = 0.06  # by so much
_ENVELOPE_S = 0.01
_CANDIDATES = 3
_SURE = 0.7  # no need to look elsewhere


@dataclass(frozen=True, slots=True)
class Match:
    """How well a sentence was found, 0 to 1, and how long after the start of the recording it begins."""

    score: float
    delay_ms: float


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording at COMPARED_RATE, and the samples half way between."""

    samples: Sequence[int]
    between: Sequence[int]


def tone_share(pcm: bytes, rate: int, hertz: float) -> float:
    """The share of the energy, 0 to 1, that lies within some 10 Hz of a frequency."""
    samples = samples_of(pcm)
    size = max(1, min(len(samples), round(rate * BLOCK_S)))
    step = 2 * math.pi * hertz / rate
    cosine = [math.cos(step * at) for at in range(size)]
    sine = [math.sin(step * at) for at in range(size)]
    energy = found = 0.0
    for at in range(0, len(samples) - size + 1, size):
        block = samples[at : at + size]
        energy += sum(map(mul, block, block))
        in_phase, behind = sum(map(mul, block, cosine)), sum(map(mul, block, sine))
        found += 2 * (in_phase * in_phase + behind * behind) / size
    return min(1.0, found / energy) if energy else 0.0


def find(spoken: bytes, spoken_rate: int, recording: bytes, recording_rate: int) -> Match:
    """Look for a sentence in a recording: louder or softer, through any codec, with small slips.

    Above 0.7 it is there and well understood, below 0.3 it is not there.
    """
    said = samples_of(resample(spoken, spoken_rate, COMPARED_RATE))
    low = resample(recording, recording_rate, COMPARED_RATE)
    twice = samples_of(resample(low, COMPARED_RATE, 2 * COMPARED_RATE))
    heard = Heard(twice[::2], twice[1::2])
    best = Match(0.0, 0.0)
    for place in _likely_places(said, heard.samples):
        best = max(best, _match_at(said, heard, place), key=lambda one: one.score)
        if best.score > _SURE:
            break
    return best


def _likely_places(said: Sequence[int], heard: Sequence[int]) -> list[int]:
    """Where, in samples, the rise and fall of the loudness fits best; at most a few places apart."""
    step = round(COMPARED_RATE * _ENVELOPE_S)
    shape, long = _envelope(said, step), _envelope(heard, step)
    if not any(shape) or not any(long):
        return []
    long += [0.0] * len(shape)  # the end may have been cut off
    scores = _correlations(shape, long)
    places: list[int] = []
    for at in sorted(range(len(scores)), key=scores.__getitem__, reverse=True):
        if all(abs(at - other) * _ENVELOPE_S > SLACK_S for other in places):
            places.append(at)
        if len(places) == _CANDIDATES:
            break
    return [at * step for at in places]


def _envelope(samples: Sequence[int], step: int) -> list[float]:
    squares = list(accumulate(map(mul, samples, samples), initial=0))
    return [
        math.sqrt(squares[at + step] - squares[at])
        for at in range(0, len(samples) - step + 1, step)
    ]


def _correlations(short: Sequence[float], long: Sequence[float]) -> list[float]:
    """Of `short` with each stretch of `long`, each -1 to 1."""
    size = len(short)
    sums = list(accumulate(long, initial=0.0))
    squares = list(accumulate(map(mul, long, long), initial=0.0))
    mean = sum(short) / size
    centred = [one - mean for one in short]
    own = math.sqrt(sum(map(mul, centred, centred))) or 1.0
    scores = []
    for at in range(len(long) - size + 1):
        total = sums[at + size] - sums[at]
        spread = squares[at + size] - squares[at] - total * total / size
        product = sum(map(mul, centred, long[at : at + size]))
        scores.append(product / (own * math.sqrt(spread)) if spread > 1e-6 else 0.0)
    return scores


def _match_at(said: Sequence[int], heard: Heard, place: int) -> Match:
    """Compare piece by piece; the loud pieces count most."""
    size, slack = round(COMPARED_RATE * PIECE_S), round(COMPARED_RATE * SLACK_S)
    score = weight = 0.0
    delays: list[tuple[float, float]] = []
    for at in range(0, max(1, len(said) - size // 2), size):
        piece = said[at : at + size]
        energy = float(sum(map(mul, piece, piece)))
        found, where = _best_fit(piece, heard, place + at - slack, place + at + slack)
        score += found * energy
        weight += energy
        delays.append((found * energy, where - at))
    if not score:
        return Match(0.0, 0.0)
    return Match(score / weight, 1000 * _weighted_median(delays) / COMPARED_RATE)


def _best_fit(piece: Sequence[int], heard: Heard, first: int, last: int) -> tuple[float, float]:
    """The highest normalised correlation, 0 to 1, and where it is, to half a sample."""
    best, place = _best_place(piece, heard.samples, first, last)
    better, near = _best_place(piece, heard.between, place - 1, place)
    return (better, near + 0.5) if better > best else (best, place)


def _best_place(
    piece: Sequence[int], heard: Sequence[int], first: int, last: int
) -> tuple[float, int]:
    size, first = len(piece), max(0, first)
    near = heard[first : last + size]
    own = sum(map(mul, piece, piece))
    squares = list(accumulate(map(mul, near, near), initial=0))
    best, place = 0.0, first
    for at in range(len(near) - size + 1):
        energy = own * (squares[at + size] - squares[at])
        product = sum(map(mul, piece, near[at : at + size]))
        if product > 0 and energy and product * product > best * energy:
            best, place = product * product / energy, first + at
    return math.sqrt(best), place


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """Of (weight, value): the value that half of the weight lies below."""
    half = sum(weight for weight, _ in values) / 2
    for weight, value in sorted(values, key=lambda one: one[1]):
        half -= weight
        if half <= 0:
            return value
    return 0.0
