"""Code sound with Opus, by the system's libopus: wide band at 24 kbit/s, each packet with a copy of the last.

Place     call/media -> here -> libopus.so.0 (Debian libopus0)
Spec      RFC 6716, RFC 7587; docs/apps/sip.md, "Media"; docs/decisions/0013-calls.md
Keeps     memory is Python's own, so nothing is to be freed; bytes of any length give sound
Not here  whether the library is there (catalogue.py)
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

from dexmesh.apps.call.codec.interface import FRAME_MS, MAX_PAYLOAD_MS
from dexmesh.errors import UsageError

LIBRARY: Final = "libopus.so.0"
RTP_CLOCK: Final = 48_000  # RFC 7587 §4.1, at any rate of sampling
SAMPLE_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
BITRATE: Final = 24_000
COMPLEXITY: Final = (
    5  # ours: half the work of 10, and no difference one hears (bench/call_media.py)
)
EXPECTED_LOSS_PERCENT: Final = (
    10  # ours: without loss to expect libopus puts no copies into packets
)
MAX_PACKET_BYTES: Final = 1275  # RFC 6716 §3.2.1: one frame

_APPLICATION_VOIP = 2048  # opus_defines.h
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC = 4002, 4010, 4012
_SET_PACKET_LOSS_PERCENT, _SET_DTX, _SET_SIGNAL = 4014, 4016, 4024
_SIGNAL_VOICE = 3001
_OK = 0


class Opus:
    """One stream of Opus, mono. Is a `Codec`."""

    name = "opus"
    rtp_clock = RTP_CLOCK

    def __init__(self, sample_rate: int = 48_000) -> None:
        """`sample_rate` is ours alone; the other side need not know. Raises OSError without libopus."""
        if sample_rate not in SAMPLE_RATES:
            raise UsageError(f"Opus does not sample at {sample_rate} Hz")
        self.sample_rate = sample_rate
        self.frame_samples = sample_rate * FRAME_MS // 1000
        self.damaged = 0
        self._library = load()
        self._encoder = _make_encoder(self._library, sample_rate)
        self._decoder = ctypes.create_string_buffer(self._library.opus_decoder_get_size(1))
        _check(self._library.opus_decoder_init(self._decoder, sample_rate, 1))
        self._most_samples = sample_rate * MAX_PAYLOAD_MS // 1000
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._sound = ctypes.create_string_buffer(2 * self._most_samples)

    def encode(self, pcm: bytes) -> bytes:
        """Some 60 bytes."""
        if len(pcm) != 2 * self.frame_samples:
            raise UsageError(f"a frame has {self.frame_samples} samples, not {len(pcm) / 2}")
        size = self._library.opus_encode(
            self._encoder, pcm, self.frame_samples, self._packet, MAX_PACKET_BYTES
        )
        return ctypes.string_at(self._packet, _check(size))

    def decode(self, payload: bytes) -> bytes:
        """As much sound as the packet holds."""
        heard = self._decode(payload, self._most_samples, use_copy=False) if payload else b""
        if not heard:
            self.damaged += 1
            return self.conceal()
        return heard

    def conceal(self) -> bytes:
        """What libopus makes of the sound before."""
        return self._decode(None, self.frame_samples, use_copy=False) or bytes(
            2 * self.frame_samples
        )

    def decode_fec(self, next_payload: bytes) -> bytes:
        """The copy of the lost frame in the next packet; without one libopus conceals."""
        heard = self._decode(next_payload, self.frame_samples, use_copy=True)
        return heard or self.conceal()

    def _decode(self, payload: bytes | None, most_samples: int, *, use_copy: bool) -> bytes:
        """The sound; empty if libopus finds the packet damaged."""
        samples = self._library.opus_decode(
            self._decoder, payload, len(payload or b""), self._sound, most_samples, use_copy
        )
        return ctypes.string_at(self._sound, 2 * samples) if samples > 0 else b""


@cache
def load() -> ctypes.CDLL:
    """The library with the types of its functions. Raises OSError where it is not installed."""
    library = ctypes.CDLL(LIBRARY)
    pointer, number = ctypes.c_char_p, ctypes.c_int
    library.opus_encode.argtypes = (pointer, pointer, number, pointer, ctypes.c_int32)
    library.opus_decode.argtypes = (pointer, pointer, ctypes.c_int32, pointer, number, number)
    return library


def _make_encoder(library: ctypes.CDLL, sample_rate: int) -> ctypes.Array[ctypes.c_char]:
    encoder = ctypes.create_string_buffer(library.opus_encoder_get_size(1))
    _check(library.opus_encoder_init(encoder, sample_rate, 1, _APPLICATION_VOIP))
    for request, value in (
        (_SET_BITRATE, BITRATE),
        (_SET_COMPLEXITY, COMPLEXITY),
        (_SET_INBAND_FEC, 1),
        (_SET_PACKET_LOSS_PERCENT, EXPECTED_LOSS_PERCENT),
        (_SET_DTX, 0),
        (_SET_SIGNAL, _SIGNAL_VOICE),
    ):
        _check(library.opus_encoder_ctl(encoder, request, ctypes.c_int(value)))
    return encoder


def _check(result: int) -> int:
    """What libopus said, unless it refuses what we asked: that is no one's fault but ours."""
    if result < _OK:
        raise UsageError(f"libopus refuses: error {result}")
    return result
