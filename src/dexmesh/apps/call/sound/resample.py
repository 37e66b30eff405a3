"""Bring sound from one rate to another, without what the new rate cannot carry.

Place     wav.py, measure.py -> here
Spec      a polyphase filter: windowed sinc (Kaiser); what would fold back lies 60 dB below
Keeps     any block lengths in give the same sound out; some hundredths of a core at most; clips, never wraps
Not here  devices: miniaudio brings them to the rate of the call

With rates in the ratio up/down, output number `k * up + phase` needs the inputs around `k * down`, and the
coefficients depend on `phase` alone. So the outputs of one phase are made together, for many `k`: the
inputs lie in one integer of 48-bit lanes, and one multiplication of integers filters them all.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from operator import mul

from dexmesh.errors import UsageError
from dexmesh.values import dataclass

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz

_ZERO_CROSSINGS = 12  # of the sinc, to each side
_KAISER_BETA = 6.5
_CUTOFF = 0.92  # of half the lower rate
_MOST_PHASES = 640  # enough for every pair of usual rates; others are off by 2 in a million
_BLOCK_S = 0.5
_LANE = 6  # bytes: 2 of fraction, 2 of sample, 2 that tell whether it clips
_ONE = 1 << 16  # the sum of the coefficients of a phase
_IN_RANGE = 1 << 8  # what the upper two bytes hold unless the sample clips
_FLIP = bytes(byte ^ 0x80 for byte in range(256))  # between two's complement and offset binary


@dataclass(frozen=True, slots=True)
class Filter:
    """`up` outputs for `down` inputs. `reach`: inputs needed on each side; `taps`: 2 * reach, by phase."""

    up: int
    down: int
    reach: int
    taps: tuple[tuple[int, ...], ...]


_NO_FILTER = Filter(1, 1, 1, ())


class Resampler:
    """One stream of signed 16 bit, little endian, mono."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise UsageError(f"no rate of sound: {rate} Hz")
        self._is_through = rate_in == rate_out
        self._filter = _NO_FILTER if self._is_through else make_filter(rate_in, rate_out)
        self._block = max(1, int(rate_in * _BLOCK_S / self._filter.down))
        self._waiting = bytes(2 * (self._filter.reach - 1))  # silence before the first sample
        self._owed = Fraction(0)  # outputs that the inputs so far are worth, less those given

    def feed(self, pcm: bytes) -> bytes:
        """Take whole samples; give what is ready, in blocks of half a second or less."""
        if self._is_through:
            return pcm
        self._waiting += pcm
        self._owed += Fraction(len(pcm) // 2 * self._filter.up, self._filter.down)
        return self._give()

    def flush(self) -> bytes:
        """The end of the sound, after which the stream may begin anew."""
        if self._is_through:
            return b""
        owed = round(self._owed)
        size = 2 * (self._filter.reach + self._filter.down)
        made = self._give()
        while len(made) < 2 * owed:
            self._waiting += bytes(size)
            made += self._give()
        self._waiting, self._owed = bytes(2 * (self._filter.reach - 1)), Fraction(0)
        return made[: 2 * owed]

    def _give(self) -> bytes:
        """Everything for which the inputs have come."""
        down, reach = self._filter.down, self._filter.reach
        periods = (len(self._waiting) // 2 - 2 * reach) // down
        made = []
        while periods > 0:
            count = min(periods, self._block)
            made.append(_convert(self._waiting, count, self._filter))
            self._waiting = self._waiting[2 * count * down :]
            periods -= count
        sound = b"".join(made)
        self._owed -= len(sound) // 2
        return sound


def resample(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    """A whole sound at once; the work grows with its length, and no faster."""
    stream = Resampler(rate_in, rate_out)
    size = (
        2 * rate_in
    )  # a stream moves what it has not used yet: all of it would be moved each time
    pieces = [stream.feed(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    return b"".join([*pieces, stream.flush()])


def _convert(pcm: bytes, periods: int, shape: Filter) -> bytes:
    """`periods * up` outputs; the first input lies `reach - 1` before the first output."""
    up, down = shape.up, shape.down
    lanes = _lanes(pcm, periods, down, (up - 1) * down // up + 2 * shape.reach)
    # In offset binary the sum of the coefficients lifts the outputs as the inputs were lifted.
    start = (_IN_RANGE << 32 | _ONE >> 1) * int.from_bytes(b"\1\0\0\0\0\0" * periods, "little")
    inside = (1 << 8 * _LANE * periods) - 1
    made = bytearray(2 * periods * up)
    samples = memoryview(made).cast("H")
    for phase, taps in enumerate(shape.taps):
        first = phase * down // up
        total = sum(map(mul, taps, lanes[first : first + 2 * shape.reach]), start)
        samples[phase::up] = _samples((total & inside).to_bytes(_LANE * periods, "little"))
    made[1::2] = made[1::2].translate(_FLIP)
    return bytes(made)


def _lanes(pcm: bytes, periods: int, down: int, count: int) -> list[int]:
    """For each of `count` places, the input at that place in every period of `down` inputs.

    A place beyond the first period is a place inside it, a period later.
    """
    low, high = pcm[::2], pcm[1::2].translate(_FLIP)
    more = periods + (count - 1) // down
    lanes = []
    for place in range(min(down, count)):
        lane = bytearray(_LANE * more)
        here = slice(place, place + more * down, down)
        size = _LANE * len(low[here])
        lane[0:size:_LANE], lane[1:size:_LANE] = low[here], high[here]
        lanes.append(int.from_bytes(lane, "little"))
    return [lanes[at % down] >> 8 * _LANE * (at // down) for at in range(count)]


def _samples(lanes: bytes) -> memoryview:
    """The middle two bytes of each lane, clipped where the upper two say so."""
    words = memoryview(lanes).cast("H")
    if words[2::3].tobytes() != _IN_RANGE.to_bytes(2, "little") * (len(lanes) // _LANE):
        clipped = bytearray(lanes)
        for at in range(0, len(lanes), _LANE):
            upper = int.from_bytes(lanes[at + 4 : at + 6], "little")
            if upper != _IN_RANGE:
                clipped[at + 2 : at + 4] = b"\xff\xff" if upper > _IN_RANGE else b"\0\0"
        words = memoryview(clipped).cast("H")
    return words[1::3]


@lru_cache(maxsize=8)
def make_filter(rate_in: int, rate_out: int) -> Filter:
    """The filter for a pair of rates; it takes some milliseconds to make."""
    ratio = _ratio(rate_in, rate_out)
    up, down = ratio.numerator, ratio.denominator
    narrower = min(1.0, rate_out / rate_in)
    reach = math.ceil(_ZERO_CROSSINGS / narrower)
    taps = (_taps(phase * down % up / up, reach, _CUTOFF * narrower) for phase in range(up))
    return Filter(up, down, reach, tuple(taps))


def _ratio(rate_in: int, rate_out: int) -> Fraction:
    """up / down, of which neither is above the most phases."""
    if rate_out >= rate_in:
        return 1 / Fraction(rate_in, rate_out).limit_denominator(_MOST_PHASES)
    return Fraction(rate_out, rate_in).limit_denominator(_MOST_PHASES)


def _taps(after: float, reach: int, cutoff: float) -> tuple[int, ...]:
    """The coefficients of an output that lies `after` (0 to 1) behind an input; their sum is _ONE."""
    places = [at - reach + 1 - after for at in range(2 * reach)]
    weights = [_sinc(cutoff * place) * _kaiser(place / reach) for place in places]
    whole = sum(weights)
    taps = [round(weight / whole * _ONE) for weight in weights]
    taps[reach - 1] += _ONE - sum(taps)  # what rounding left over
    return tuple(taps)


def _sinc(place: float) -> float:
    return math.sin(math.pi * place) / (math.pi * place) if place else 1.0


def _kaiser(place: float) -> float:
    """The window, from -1 to 1."""
    return _bessel(_KAISER_BETA * math.sqrt(max(0.0, 1 - place * place)))


def _bessel(value: float) -> float:
    """I0, by its series."""
    term = total = 1.0
    for number in range(1, 30):
        term *= (value / (2 * number)) ** 2
        total += term
        if term < 1e-9 * total:
            break
    return total
