"""Make the signals of a telephone: it rings there, it is busy, it rings here.

Place     `dexmesh call` and `dexmesh phone` play them through a seat
Spec      ITU-T E.180, supplement 2 (the tones of the countries)
Keeps     every beginning and end is softened, so that nothing clicks
Not here  the tones of pressed keys: those travel as events (call/media/dtmf.py)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from dexmesh.apps.call.codec.samples import bytes_of
from dexmesh.apps.call.sound.interface import frame_bytes
from dexmesh.values import dataclass

AMPLITUDE: Final = 6_000  # of 32768, for the sum of the tones
_RAMP_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Part:
    """Tones together for some time; no tone is a pause. `fades`: as if struck, not blown."""

    hertz: tuple[float, ...]
    seconds: float
    fades: bool = False


@dataclass(frozen=True, slots=True)
class Signals:
    """What callers of a region know."""

    ringback: tuple[Part, ...]
    busy: tuple[Part, ...]


def _cadence(hertz: tuple[float, ...], *seconds: float) -> tuple[Part, ...]:
    """On, off, on, off."""
    return tuple(Part(() if at % 2 else hertz, one) for at, one in enumerate(seconds))


REGIONS: Final = {
    "eu": Signals(_cadence((425,), 1, 4), _cadence((425,), 0.5, 0.5)),
    "fr": Signals(_cadence((440,), 1.5, 3.5), _cadence((440,), 0.5, 0.5)),
    "jp": Signals(_cadence((400,), 1, 2), _cadence((400,), 0.5, 0.5)),
    "uk": Signals(_cadence((400, 450), 0.4, 0.2, 0.4, 2), _cadence((400,), 0.375, 0.375)),
    "us": Signals(_cadence((440, 480), 2, 4), _cadence((480, 620), 0.5, 0.5)),
}

_E5, _G5, _C6, _D6 = 659.3, 784.0, 1046.5, 1174.7
RING: Final = (
    *(Part((hertz,), 0.16, fades=True) for hertz in (_G5, _C6, _E5, _G5, _C6, _D6, _C6)),
    Part((_C6,), 0.6, fades=True),
    Part((), 2.0),
)
"""What is heard where a call arrives."""

BEEP: Final = (Part((1000,), 0.4), Part((), 0.1))
"""After the greeting: now it is recorded."""


class Tones:
    """A source of such parts, again and again or once."""

    def __init__(self, parts: Sequence[Part], *, is_repeated: bool = True) -> None:
        self._parts = tuple(parts)
        self._is_repeated = is_repeated
        self._sound = b""
        self._rate = self._at = 0

    @property
    def is_finished(self) -> bool:
        """Whether it was played, if once is all."""
        return not self._is_repeated and self._at >= len(self._sound) > 0

    def start(self, rate: int) -> None:
        """Begin; at another rate go on where it was."""
        if rate == self._rate:
            return
        played_s = self._at / (2 * self._rate) if self._rate else 0.0
        self._sound = b"".join(_render(part, rate) for part in self._parts)
        self._rate, self._at = rate, 2 * int(played_s * rate)

    def read(self) -> bytes:
        """The next 20 ms."""
        size = frame_bytes(self._rate)
        frame = self._sound[self._at : self._at + size]
        self._at += size
        if self._is_repeated:
            while len(frame) < size and self._sound:
                self._at = size - len(frame)
                frame += self._sound[: self._at]
        return frame.ljust(size, b"\0")

    def close(self) -> None:
        """Nothing is held."""


def _render(part: Part, rate: int) -> bytes:
    count = round(part.seconds * rate)
    if not part.hertz:
        return bytes(2 * count)
    steps = [2 * math.pi * hertz / rate for hertz in part.hertz]
    loud = AMPLITUDE / len(steps)
    ramp = rate * _RAMP_S
    samples = []
    for at in range(count):
        gain = min(1.0, at / ramp, (count - at) / ramp)
        if part.fades:
            gain *= math.exp(-2.5 * at / count)
        samples.append(round(loud * gain * sum(math.sin(step * at) for step in steps)))
    return bytes_of(samples)
