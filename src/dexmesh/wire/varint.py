"""Read and write the numbers of variable length in seed records and announcements.

Place     seed.py, and the link state of announcements
Spec      docs/protocol/04 §11.1; docs/protocol/07 §8
Keeps     one to nine bytes, big-endian; the writer takes the shortest form, the reader takes any
"""

from __future__ import annotations

from typing import Final

from dexmesh.errors import DecodeError, UsageError

_LARGEST_SHORT: Final = 0xFC
_WIDTHS: Final = {0xFD: 2, 0xFE: 4, 0xFF: 8}


def encode_varint(value: int) -> bytes:
    """1, 3, 5 or 9 bytes; `UsageError` for a number that needs more than 64 bits."""
    if 0 <= value <= _LARGEST_SHORT:
        return bytes((value,))
    for marker, width in _WIDTHS.items():
        if 0 <= value < 1 << width * 8:
            return bytes((marker,)) + value.to_bytes(width, "big")
    raise UsageError("number beyond 64 bits")


def decode_varint(data: bytes, start: int = 0) -> tuple[int, int]:
    """The number at `start`, and where the next thing begins; `DecodeError` if it is cut off."""
    if start >= len(data):
        raise DecodeError("number is cut off")
    first, after = data[start], start + 1
    if first <= _LARGEST_SHORT:
        return first, after
    end = after + _WIDTHS[first]
    if end > len(data):
        raise DecodeError("number is cut off")
    return int.from_bytes(data[after:end], "big"), end
