"""Code sound as G.722 does, by the system's libspandsp: 7 kHz wide in the 64 kbit/s of G.711.

Place     call/media -> here -> libspandsp.so.2 (Debian libspandsp2)
Spec      ITU-T G.722; RFC 3551 §4.5.2 (its RTP clock is 8000, an old mistake that is now the rule)
Keeps     what libspandsp allocates is freed with the object; bytes of any length give sound
Not here  whether the library is there (catalogue.py); lost frames (rust/media/src/concealment.rs)
"""

from __future__ import annotations

import ctypes
import weakref
from functools import cache
from typing import Final

from dexmesh.apps.call.codec.interface import FRAME_MS, MAX_PAYLOAD_MS
from dexmesh.apps.call.native import Concealment
from dexmesh.errors import UsageError

LIBRARY: Final = "libspandsp.so.2"
RTP_CLOCK: Final = 8_000
SAMPLE_RATE: Final = 16_000
FRAME_SAMPLES: Final = SAMPLE_RATE * FRAME_MS // 1000
MAX_PAYLOAD_BYTES: Final = RTP_CLOCK * MAX_PAYLOAD_MS // 1000  # a byte holds two samples

_BITS_PER_S = 64_000


class G722:
    """One stream of G.722. Is a `Codec`."""

    name = "G722"
    rtp_clock = RTP_CLOCK
    sample_rate = SAMPLE_RATE
    frame_samples = FRAME_SAMPLES

    def __init__(self) -> None:
        """Raises OSError without libspandsp."""
        self.damaged = 0
        self._library = load()
        self._encoder = self._state(self._library.g722_encode_init, self._library.g722_encode_free)
        self._decoder = self._state(self._library.g722_decode_init, self._library.g722_decode_free)
        self._payload = ctypes.create_string_buffer(FRAME_SAMPLES // 2)
        self._sound = ctypes.create_string_buffer(4 * MAX_PAYLOAD_BYTES)
        self._concealment = Concealment(SAMPLE_RATE)

    def encode(self, pcm: bytes) -> bytes:
        """160 bytes."""
        if len(pcm) != 2 * FRAME_SAMPLES:
            raise UsageError(f"a frame has {FRAME_SAMPLES} samples, not {len(pcm) / 2}")
        size = self._library.g722_encode(self._encoder, self._payload, pcm, FRAME_SAMPLES)
        return ctypes.string_at(self._payload, size)

    def decode(self, payload: bytes) -> bytes:
        """Two samples for each byte."""
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            self.damaged += 1
            return self.conceal()
        samples = self._library.g722_decode(self._decoder, self._sound, payload, len(payload))
        return self._concealment.heard(ctypes.string_at(self._sound, 2 * samples))

    def conceal(self) -> bytes:
        """The last pitch period again."""
        return self._concealment.lost()

    def decode_fec(self, next_payload: bytes) -> bytes:
        """As `conceal`: G.722 says nothing twice."""
        del next_payload
        return self.conceal()

    def _state(self, make: ctypes._NamedFuncPointer, free: ctypes._NamedFuncPointer) -> int:
        address: int | None = make(None, _BITS_PER_S, 0)
        if address is None:
            raise MemoryError("libspandsp")
        weakref.finalize(self, free, address)
        return address


@cache
def load() -> ctypes.CDLL:
    """The library with the types of its functions. Raises OSError where it is not installed."""
    library = ctypes.CDLL(LIBRARY)
    state, sound, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for direction in ("encode", "decode"):
        make = getattr(library, f"g722_{direction}_init")
        make.argtypes, make.restype = (state, number, number), state
        getattr(library, f"g722_{direction}_free").argtypes = (state,)
        getattr(library, f"g722_{direction}").argtypes = (state, sound, sound, number)
    return library
