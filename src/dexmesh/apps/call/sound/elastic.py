"""Carry sound from one clock to another: a buffer that slips a little when one of them runs faster.

Place     device.py puts one between the callbacks of a device and the 20 ms clock of a seat
Keeps     bounded in length; a slip joins two places that look alike, so that nobody hears it; a thread
          writes, another reads
Not here  packets that come early and late (rust/media/src/jitter.rs)

A sound card's crystal and the computer's differ by some 100 parts in a million: 6 ms in a minute. What is
left over after a read, at its lowest in half a second, says how much of the waiting sound is of no use.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from dexmesh.apps.call.codec.samples import bytes_of, samples_of

GOAL_MS: Final = 20  # ours: what is left after a read; a card that runs it dry gets more
MOST_GOAL_MS: Final = 80
MOST_MS: Final = 300  # ours: more is thrown away
WINDOW_MS: Final = 500  # ours: so often it may slip
_BELOW_MS, _ABOVE_MS = 8, 15  # of the goal: what is left there stays as it is
_MORE_MS = 10
_MOST_SLIP_MS = 8
_BLEND_MS = 4
_LEAST_MS = 0.5


class ElasticBuffer:
    """Signed 16 bit, little endian, mono."""

    def __init__(self, rate: int) -> None:
        self.underruns = self.overflows = self.slips = 0
        self.goal_ms = GOAL_MS
        self._per_ms = 2 * rate // 1000  # bytes
        self._waiting = bytearray()
        self._is_filling = True  # silence is given until there is enough
        self._lowest: int | None = None  # bytes that were left after a read, in this window
        self._read = 0  # bytes, in this window
        self._lock = Lock()

    def write(self, pcm: bytes | bytearray) -> None:
        """Take whole samples of any number."""
        with self._lock:
            self._waiting += pcm
            surplus = len(self._waiting) - MOST_MS * self._per_ms
            if surplus > 0:
                self.overflows += 1
                del self._waiting[: surplus + (surplus & 1)]

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        with self._lock:
            if self._is_filling and len(self._waiting) < size + self.goal_ms * self._per_ms:
                return bytes(size)
            self._is_filling = False
            if len(self._waiting) < size:
                return self._run_dry(size)
            shift = self._shift(size)
            taken = bytes(self._waiting[: size + max(0, shift)])
            del self._waiting[: size + shift]
            return taken if not shift else _join(taken, size, shift, _BLEND_MS * self._per_ms)

    @property
    def waiting_ms(self) -> float:
        """How late the sound is that is read now."""
        return len(self._waiting) / self._per_ms

    def _run_dry(self, size: int) -> bytes:
        self.underruns += 1
        self.goal_ms = min(self.goal_ms + _MORE_MS, MOST_GOAL_MS)
        self._is_filling, self._lowest, self._read = True, None, 0
        rest = bytes(self._waiting)
        self._waiting.clear()
        return rest.ljust(size, b"\0")

    def _shift(self, size: int) -> int:
        """Bytes to leave out (positive) or to give twice (negative) in this read; 0 almost always."""
        left = len(self._waiting) - size
        self._lowest = left if self._lowest is None else min(left, self._lowest)
        self._read += size
        if self._read < WINDOW_MS * self._per_ms:
            return 0
        lowest, self._lowest, self._read = self._lowest, None, 0
        surplus = lowest - self.goal_ms * self._per_ms
        if -_BELOW_MS * self._per_ms <= surplus <= _ABOVE_MS * self._per_ms:
            return 0
        most = min(
            abs(surplus), _MOST_SLIP_MS * self._per_ms, size // 2, left if surplus > 0 else size
        )
        return self._best_slip(size, most // 2, 1 if surplus > 0 else -1)

    def _best_slip(self, size: int, most: int, direction: int) -> int:
        """Bytes: of all shifts up to `most` samples the one that is heard least, the longest of equals."""
        least = max(1, int(_LEAST_MS * self._per_ms) // 2)
        if most < least:
            return 0
        self.slips += 1
        samples = samples_of(bytes(self._waiting[: size + 2 * most]))
        shifts = range(direction * most, direction * (least - 1), -direction * max(1, most // 64))
        return 2 * _most_alike(samples, size // 4, _BLEND_MS * self._per_ms // 2, shifts)


def _most_alike(samples: Sequence[int], middle: int, blend: int, shifts: Sequence[int]) -> int:
    """The shift, in samples, at which the sound goes on most as it would have."""
    step = max(1, blend // 32)
    here = samples[middle : middle + blend : step]

    def difference(shift: int) -> float:
        there = samples[middle + shift : middle + shift + blend : step]
        return sum(abs(a - b) for a, b in zip(here, there, strict=False)) / max(1, len(there))

    return min(shifts, key=difference)


def _join(pcm: bytes, size: int, shift: int, blend: int) -> bytes:
    """The first half of `size` bytes as it is, the second from `shift` bytes later, blended between."""
    samples = samples_of(pcm)
    count, moved, middle = size // 2, shift // 2, size // 4
    blend = min(blend // 2, count - middle)
    made = samples[:middle]
    for at in range(middle, middle + blend):
        part = at - middle
        made.append((samples[at] * (blend - part) + samples[at + moved] * part) // blend)
    made.extend(samples[middle + blend + moved : count + moved])
    return bytes_of(made)
