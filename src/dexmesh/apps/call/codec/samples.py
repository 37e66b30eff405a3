"""Sound as bytes to sound as numbers and back.

Place     codec/, sound/, seat/ -> here
Spec      signed 16 bit, little endian, mono: what everything inside a call is
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

SAMPLE_BYTES = 2


def samples_of(pcm: bytes) -> array[int]:
    """The numbers; half a sample at the end is dropped."""
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) & ~1])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def bytes_of(samples: Sequence[int]) -> bytes:
    """The bytes. Raises OverflowError beyond 16 bits."""
    made = array("h", samples)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()
