"""The little of `random.Random` that mesh/ uses, so that nothing here can make randomness by itself.

Place     host/ passes random.SystemRandom, tests/sim a seeded random.Random
"""

from __future__ import annotations

from typing import Protocol


class Random(Protocol):
    """A source of randomness that somebody else seeded."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """A number in [start, stop)."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...
