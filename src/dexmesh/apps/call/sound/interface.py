"""Describe where the sound of a call comes from and goes to.

Place     seat/ -> here; wav.py, silence.py, tones.py, device.py are such ends
Keeps     sound is signed 16 bit, little endian, mono; `read` and `write` take no longer than a moment:
          a thread with a 20 ms clock calls them
"""

from __future__ import annotations

from typing import Protocol

FRAME_MS = 20


class Source(Protocol):
    """Gives sound."""

    @property
    def is_finished(self) -> bool:
        """Whether only silence follows."""
        ...

    def start(self, rate: int) -> None:
        """Begin, or go on, at so many samples a second. Raises SoundError."""
        ...

    def read(self) -> bytes:
        """The next 20 ms; silence where there is nothing."""
        ...

    def close(self) -> None:
        """Give back what it holds. More than once does no harm."""
        ...


class Sink(Protocol):
    """Takes sound."""

    def start(self, rate: int) -> None:
        """Begin, or go on, at so many samples a second. Raises SoundError."""
        ...

    def write(self, pcm: bytes) -> None:
        """Take 20 ms."""
        ...

    def close(self) -> None:
        """Finish. More than once does no harm."""
        ...


def frame_bytes(rate: int) -> int:
    """What 20 ms take at a rate that is a multiple of 50."""
    return 2 * (rate * FRAME_MS // 1000)
