"""Fill the gap of a lost frame with what was heard before it: its last pitch period, repeated and fading.

Place     g711.py, g722.py -> here; Opus has its own
Spec      after ITU-T G.711 Appendix I, without its 3.75 ms of delay
Keeps     frames that arrive cost no more than being remembered; 60 ms after the loss there is silence
Not here  deciding that a frame is lost (call/media/jitter.py)
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

from dexmesh.apps.call.codec.interface import FRAME_MS
from dexmesh.apps.call.codec.samples import bytes_of, samples_of

HISTORY_MS = 40
MIN_PITCH_MS = 2.5  # 400 Hz
MAX_PITCH_MS = 15  # 66 Hz
WINDOW_MS = 15  # what is compared to find the pitch
STEADY_MS = 10  # before fading begins
FADED_MS = 60
REJOIN_MS = 5  # from the filling back to what was said
_SEARCH_HZ = 4000  # the rate at which the pitch is looked for


class Concealment:
    """The memory of one decoder."""

    def __init__(self, sample_rate: int) -> None:
        self._per_ms = sample_rate // 1000
        self._frame = FRAME_MS * self._per_ms
        self._history = bytes(2 * HISTORY_MS * self._per_ms)
        self._period: list[int] = []
        self._filled = 0  # samples since the loss began; 0: nothing is lost

    def heard(self, pcm: bytes) -> bytes:
        """Remember a decoded frame; after a loss its beginning is blended with the filling."""
        if self._filled:
            pcm = self._rejoin(pcm)
            self._filled = 0
        size = len(self._history)
        self._history = (self._history + pcm)[-size:]
        return pcm

    def lost(self) -> bytes:
        """20 ms of filling."""
        if not self._filled:
            self._period = self._last_period(samples_of(self._history))
        filling = self._fill(self._frame)
        self._filled += self._frame
        return bytes_of(filling)

    def _fill(self, count: int) -> list[int]:
        """The next `count` samples of the repeated period, faded by how long the loss lasts."""
        first, period = self._filled, self._period
        steady, faded = STEADY_MS * self._per_ms, FADED_MS * self._per_ms
        if first >= faded:
            return [0] * count
        length, slope = len(period), faded - steady
        return [
            period[at % length] * min(slope, max(0, faded - at)) // slope
            for at in range(first, first + count)
        ]

    def _rejoin(self, pcm: bytes) -> bytes:
        samples = samples_of(pcm)
        count = min(REJOIN_MS * self._per_ms, len(samples))
        for at, filled in enumerate(self._fill(count)):
            samples[at] = (samples[at] * at + filled * (count - at)) // count
        return bytes_of(samples)

    def _last_period(self, history: array[int]) -> list[int]:
        """The last pitch period, its end blended so that it flows into its own beginning."""
        lag = self._pitch(history)
        period = list(history[-lag:])
        before = history[-lag - lag // 4 : -lag]
        blended = len(before)
        for at, sample in enumerate(before):
            place = lag - blended + at
            period[place] = (period[place] * (blended - at) + sample * at) // blended
        return period

    def _pitch(self, history: array[int]) -> int:
        """The lag, in samples, at which the end of the sound resembles itself most."""
        step = max(1, self._per_ms * 1000 // _SEARCH_HZ)
        coarse = _best_lag(
            history[::-step][::-1],  # so that the last sample is in it
            range(int(MIN_PITCH_MS * _SEARCH_HZ / 1000), int(MAX_PITCH_MS * _SEARCH_HZ / 1000) + 1),
            WINDOW_MS * _SEARCH_HZ // 1000,
        )
        near = range(coarse * step - step + 1, coarse * step + step)
        return _best_lag(history, near, WINDOW_MS * self._per_ms)


def _best_lag(samples: Sequence[int], lags: range, window: int) -> int:
    """The lag with the highest normalised correlation of the last `window` samples."""
    heard = list(samples)
    end, size = heard[-window:], len(heard)
    energy = list(accumulate(map(mul, heard, heard), initial=0))  # of all before a place
    best, best_score = lags[-1], 0.0
    for lag in lags:
        score = sum(map(mul, end, heard[-window - lag : -lag]))
        if score <= 0:
            continue
        score = score * score / (energy[size - lag] - energy[size - lag - window])
        if score > best_score:
            best, best_score = lag, score
    return best
