"""Read and write the head of a WAV file, and make its samples signed 16 bit, mono.

Place     wav.py -> here
Spec      RIFF/WAVE as Microsoft and IBM wrote it (1991), WAVE_FORMAT_EXTENSIBLE (2000)
Keeps     a file that is none, or of a kind we do not read, gives SoundError with what to do; nothing in a
          file makes us read past its end or hold more than a block
Not here  other rates (resample.py)
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import BinaryIO, Final

from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.sound.resample import HIGHEST_RATE, LOWEST_RATE
from dexmesh.errors import SoundError
from dexmesh.values import dataclass

HEAD_BYTES: Final = 44
MOST_DATA_BYTES: Final = 0xFFFFFFFF - HEAD_BYTES  # the sizes have 32 bits
MOST_CHANNELS: Final = 8  # ours

_MOST_CHUNKS = 1000  # ours: before the sound
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_HINT = "make one with `sox IN -e signed -b 16 OUT.wav` or `ffmpeg -i IN OUT.wav`"


@dataclass(frozen=True, slots=True)
class WavHead:
    """What the samples of a file are, and where: `size` bytes from `start` on, or None: to its end."""

    rate: int
    channels: int
    bits: int
    is_float: bool
    start: int
    size: int | None

    @property
    def step(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8


def encode_head(rate: int, data_bytes: int) -> bytes:
    """The first 44 bytes of a file with so much sound of 16 bit, mono."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEAD_BYTES - 8 + data_bytes, b"WAVE"),
        *(b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16),
        *(b"data", data_bytes),
    )


def decode_head(file: BinaryIO, name: str) -> WavHead:
    """Read up to the sound. Raises SoundError."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise SoundError(f"{name} is no WAV file", _HINT)
    layout: bytes | None = None
    for _ in range(_MOST_CHUNKS):
        kind, size = _chunk(file, name)
        if kind == b"data":
            if layout is None:
                break
            # 0 and the highest number are what programs leave that could not come back to say
            known = None if size in {0, 0xFFFFFFFF} else size
            return _head(layout, file.tell(), known, name)
        if kind == b"fmt ":
            layout = file.read(min(size, 64))
            size -= len(layout)
        file.seek(size + (size & 1), 1)
    raise SoundError(f"{name} says not what its sound is", _HINT)


def _chunk(file: BinaryIO, name: str) -> tuple[bytes, int]:
    head = file.read(8)
    if len(head) < 8:
        raise SoundError(f"{name} has no sound in it", _HINT)
    return head[:4], int.from_bytes(head[4:], "little")


def _head(layout: bytes, start: int, size: int | None, name: str) -> WavHead:
    if len(layout) < 16:
        raise SoundError(f"{name} says not what its sound is", _HINT)
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", layout[:16])
    if kind == _EXTENSIBLE and len(layout) >= 26:
        kind = int.from_bytes(layout[24:26], "little")
    is_float = kind == _FLOAT
    if kind not in {_PCM, _FLOAT} or bits not in ((32, 64) if is_float else (8, 16, 24, 32)):
        raise SoundError(f"{name} is compressed, or of a kind we do not read", _HINT)
    if not (LOWEST_RATE <= rate <= HIGHEST_RATE and 1 <= channels <= MOST_CHANNELS):
        raise SoundError(f"{name} has {channels} channels at {rate} Hz: we cannot play that", _HINT)
    return WavHead(rate, channels, bits, is_float, start, size)


def to_mono(data: bytes, head: WavHead) -> bytes:
    """Whole samples of a file to signed 16 bit, little endian; all channels together."""
    sound = _from_float(data, head.bits) if head.is_float else _from_whole(data, head.bits)
    if head.channels == 1:
        return sound
    samples = samples_of(sound)
    channels = [samples[at :: head.channels] for at in range(head.channels)]
    return bytes_of([total // head.channels for total in map(sum, zip(*channels, strict=True))])


def _from_whole(data: bytes, bits: int) -> bytes:
    if bits == 16:
        return data
    width, sound = bits // 8, bytearray(2 * (len(data) * 8 // bits))
    if bits == 8:
        sound[1::2] = data.translate(bytes(byte ^ 0x80 for byte in range(256)))  # it has no sign
    else:
        sound[::2], sound[1::2] = data[width - 2 :: width], data[width - 1 :: width]
    return bytes(sound)


def _from_float(data: bytes, bits: int) -> bytes:
    samples = array("f" if bits == 32 else "d")
    samples.frombytes(data)
    if sys.byteorder == "big":
        samples.byteswap()
    # in this order a NaN becomes a number
    return bytes_of([round(32767 * max(-1.0, min(1.0, one))) for one in samples])
