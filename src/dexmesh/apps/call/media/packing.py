"""Put frames of 20 ms into packets of the length that the other side wants.

Place     sender.py -> here -> RTP
Spec      RFC 3551 §4.5 (sound by the byte), RFC 6716 §3.2.5 (several frames of Opus)
Keeps     nothing is sent twice or left out; where a codec cannot do a length, it stays 20 ms
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from dexmesh.apps.call.media.formats import FRAME_MS, OPUS, Format

_OPUS_SEVERAL: Final = 3  # code 3: any number of frames
_OPUS_VARIABLE: Final = 0x80  # each frame says how long it is
_OPUS_SHORT: Final = 252  # lengths below need one byte

Packed = tuple[int, bytes]
"""How many units of the RTP clock before this frame the packet begins, and its payload."""

Packing = Callable[[bytes], Sequence[Packed]]
"""Takes the payload of each frame, gives the packets that are complete with it."""


def make_packing(format_: Format, ptime_ms: int) -> Packing | None:
    """How to send `ptime_ms` in a packet; None where a frame is a packet."""
    if ptime_ms == FRAME_MS:
        return None
    if format_.name != OPUS.name:
        return ByteStream(format_, ptime_ms)
    return OpusFrames(format_, ptime_ms) if ptime_ms % FRAME_MS == 0 else None


class ByteStream:
    """Codecs of 64 kbit/s whose sound can be cut at any byte: G.711, G.722."""

    __slots__ = ("_size", "_units", "_waiting")

    def __init__(self, format_: Format, ptime_ms: int) -> None:
        self._size = ptime_ms * 8  # bytes in a millisecond
        self._units = format_.clock // 8_000  # units of the clock in a byte
        self._waiting = b""

    def __call__(self, payload: bytes) -> Sequence[Packed]:
        before = len(self._waiting)
        data = self._waiting + payload
        whole = len(data) // self._size * self._size
        self._waiting = data[whole:]
        return [
            ((before - start) * self._units, data[start : start + self._size])
            for start in range(0, whole, self._size)
        ]


class OpusFrames:
    """Packets of two or three frames, for as long as those are of one kind."""

    __slots__ = ("_count", "_frame", "_waiting")

    def __init__(self, format_: Format, ptime_ms: int) -> None:
        self._count = ptime_ms // FRAME_MS
        self._frame = format_.clock * FRAME_MS // 1000
        self._waiting: list[bytes] = []

    def __call__(self, payload: bytes) -> Sequence[Packed]:
        packets: list[Packed] = []
        waiting = self._waiting
        if waiting and payload[:1] != waiting[0][:1]:
            packets.append((len(waiting) * self._frame, join_opus(waiting)))
            waiting.clear()
        if not payload or payload[0] & _OPUS_SEVERAL:
            return [*packets, (0, payload)]  # several frames already
        waiting.append(payload)
        if len(waiting) == self._count:
            packets.append(((self._count - 1) * self._frame, join_opus(waiting)))
            waiting.clear()
        return packets


def join_opus(frames: Sequence[bytes]) -> bytes:
    """One packet of frames that begin with the same byte (their TOC)."""
    if len(frames) == 1:
        return frames[0]
    head = bytes([frames[0][0] | _OPUS_SEVERAL, _OPUS_VARIABLE | len(frames)])
    lengths = b"".join(_opus_length(len(one) - 1) for one in frames[:-1])
    return head + lengths + b"".join(one[1:] for one in frames)


def _opus_length(size: int) -> bytes:
    """RFC 6716 §3.2.1."""
    if size < _OPUS_SHORT:
        return bytes([size])
    first = _OPUS_SHORT + (size & 3)
    return bytes([first, (size - first) >> 2])
