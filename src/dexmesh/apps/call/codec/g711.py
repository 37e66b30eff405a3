"""Code sound as G.711 does: one byte a sample, 8000 a second; PCMU (mu-law) and PCMA (A-law).

Place     call/media -> here
Spec      ITU-T G.711; the two laws as ITU-T G.191 (Software Tool Library, module G711) writes them
Keeps     no library is needed; a frame of 160 samples takes a few microseconds
Not here  lost frames (concealment.py)

The code of a sample depends on 15 bits of magnitude, and `bytes.translate` maps bytes. But a sample of
the upper four segments is told by bits 7 to 14, one of the lower four by bits 3 to 10: two tables of 256
do, and the arithmetic around them works on a whole frame, held in one integer of 16-bit lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dexmesh.apps.call.codec.concealment import Concealment
from dexmesh.apps.call.codec.interface import FRAME_MS, MAX_PAYLOAD_MS
from dexmesh.errors import UsageError
from dexmesh.values import dataclass

SAMPLE_RATE = 8000
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000
MAX_PAYLOAD_BYTES = SAMPLE_RATE * MAX_PAYLOAD_MS // 1000

_UPPER_SHIFT, _LOWER_SHIFT = 7, 3  # the lowest bit that counts in the upper and the lower segments
_UPPER_FROM = 1 << 11  # the magnitude at which the upper segments begin
_SIGN = bytes(0x80 if high < 0x80 else 0 for high in range(256))  # by the high byte of the sample


@dataclass(frozen=True, slots=True)
class Law:
    """The tables of one law. All have 256 bytes.

    `upper`, `lower`: the code but for its sign, by bits 7 to 14 and 3 to 10 of the magnitude plus `bias`;
    `is_lower`: 255 where the second of them counts; `low`, `high`: the two bytes of the sample, by code.
    """

    bias: int
    upper: bytes
    lower: bytes
    is_lower: bytes
    low: bytes
    high: bytes

    def encode(self, pcm: bytes) -> bytes:
        """One byte for each sample of signed 16 bit, little endian."""
        size, count = len(pcm), len(pcm) // 2
        ones = _ones(count)
        lanes = int.from_bytes(pcm, "little")
        negative = (lanes >> 15) & ones
        biased = (lanes ^ negative * 0xFFFF) + ones * self.bias  # one's complement, as G.191
        biased |= ((biased >> 15) & ones) * 0x7FFF  # clipped
        by_upper = (biased >> _UPPER_SHIFT).to_bytes(size, "little")[::2]
        by_lower = (biased >> _LOWER_SHIFT).to_bytes(size, "little")[::2]
        code = int.from_bytes(by_upper.translate(self.upper), "little")
        lower = int.from_bytes(by_lower.translate(self.lower), "little")
        code |= lower & int.from_bytes(by_upper.translate(self.is_lower), "little")
        sign = int.from_bytes(pcm[1::2].translate(_SIGN), "little")
        return (code | sign).to_bytes(count, "little")

    def decode(self, payload: bytes) -> bytes:
        """One sample of signed 16 bit, little endian, for each byte."""
        pcm = bytearray(2 * len(payload))
        pcm[::2] = payload.translate(self.low)
        pcm[1::2] = payload.translate(self.high)
        return bytes(pcm)


@lru_cache(maxsize=8)
def _ones(count: int) -> int:
    """1 in each of `count` lanes of 16 bits."""
    return int.from_bytes(b"\x01\x00" * count, "little")


def make_law(bias: int, code: Callable[[int], int], sample: Callable[[int], int]) -> Law:
    """The tables, from the two functions that G.191 gives: magnitude to code, code to sample."""
    decoded = [sample(byte) & 0xFFFF for byte in range(256)]
    upper_from = _UPPER_FROM >> _UPPER_SHIFT
    return Law(
        bias,
        upper=bytes(code(at << _UPPER_SHIFT) if at >= upper_from else 0 for at in range(256)),
        lower=bytes(code(at << _LOWER_SHIFT) for at in range(256)),
        is_lower=bytes(0 if at >= upper_from else 0xFF for at in range(256)),
        low=bytes(value & 0xFF for value in decoded),
        high=bytes(value >> 8 for value in decoded),
    )


def mu_code(biased: int) -> int:
    """The code of a magnitude of at most 15 bits plus 132, without its sign."""
    segment = max(0, biased.bit_length() - 8)
    return (segment << 4 | biased >> (segment + 3) & 0x0F) & 0x7F ^ 0x7F


def mu_sample(code: int) -> int:
    """The sample, of 16 bits, that a decoder gives for a code."""
    segment, step = ~code >> 4 & 7, ~code & 0x0F
    magnitude = ((2 * step + 33) << (segment + 2)) - 132
    return magnitude if code & 0x80 else -magnitude


def a_code(magnitude: int) -> int:
    """The code of a magnitude of at most 15 bits, without its sign."""
    segment = max(0, magnitude.bit_length() - 8)
    return (segment << 4 | magnitude >> (max(1, segment) + 3) & 0x0F) & 0x7F ^ 0x55


def a_sample(code: int) -> int:
    """The sample, of 16 bits, that a decoder gives for a code."""
    segment, step = (code ^ 0x55) >> 4 & 7, (code ^ 0x55) & 0x0F
    magnitude = (2 * step + 33) << (segment + 2) if segment else (2 * step + 1) << 3
    return magnitude if code & 0x80 else -magnitude


MU_LAW = make_law(132, mu_code, mu_sample)
A_LAW = make_law(0, a_code, a_sample)


class G711:
    """One stream of PCMU or PCMA. Is a `Codec`."""

    rtp_clock = SAMPLE_RATE
    sample_rate = SAMPLE_RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self, name: str, law: Law) -> None:
        self.name = name
        self.damaged = 0
        self._law = law
        self._concealment = Concealment(SAMPLE_RATE)

    def encode(self, pcm: bytes) -> bytes:
        """160 bytes."""
        if len(pcm) != 2 * FRAME_SAMPLES:
            raise UsageError(f"a frame has {FRAME_SAMPLES} samples, not {len(pcm) / 2}")
        return self._law.encode(pcm)

    def decode(self, payload: bytes) -> bytes:
        """A sample for each byte."""
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            self.damaged += 1
            return self.conceal()
        return self._concealment.heard(self._law.decode(payload))

    def conceal(self) -> bytes:
        """The last pitch period again."""
        return self._concealment.lost()

    def decode_fec(self, next_payload: bytes) -> bytes:
        """As `conceal`: G.711 says nothing twice."""
        del next_payload
        return self.conceal()


def make_pcmu() -> G711:
    """Mu-law: what every SIP phone speaks."""
    return G711("PCMU", MU_LAW)


def make_pcma() -> G711:
    """A-law."""
    return G711("PCMA", A_LAW)
