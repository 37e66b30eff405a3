"""RTP packets: bytes to fields and back.

Place     seat/ -> session.py -> here -> receiver.py; sender.py -> here -> seat/
Spec      RFC 3550 §5.1 (header), §5.3.1 (extension); docs/apps/sip.md §3 Media
Keeps     every bit of the header is honoured; bounded: MAX_BYTES; any bytes give a packet or a reason
Not here  order, loss and time (reception.py, jitter.py)
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from dexmesh.apps.call.media.drops import DropReason

MAX_BYTES: Final = 2_048  # ours: no 120 ms of sound in any codec of ours are longer
HEADER_BYTES: Final = 12
SEQUENCES: Final = 1 << 16
TIMESTAMPS: Final = 1 << 32

_HEADER: Final = Struct("!BBHII")
_VERSION: Final = 0x80
_VERSION_MASK: Final = 0xC0
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_SOURCES_MASK: Final = 0x0F
_MARKER: Final = 0x80
_TYPE_MASK: Final = 0x7F
_WORD_BYTES: Final = 4

_decode_header = _HEADER.unpack_from
_encode_header = _HEADER.pack


class RtpPacket(NamedTuple):
    """A packet without padding, extension and contributing sources. A tuple, for it is made often."""

    payload_type: int
    is_marked: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def decode_rtp(data: bytes | memoryview) -> RtpPacket | DropReason:
    """The packet in a datagram."""
    end = len(data)
    if end < HEADER_BYTES:
        return DropReason.TOO_SHORT
    if end > MAX_BYTES:
        return DropReason.TOO_LONG
    first, second, sequence, timestamp, ssrc = _decode_header(data)
    start = HEADER_BYTES
    if first != _VERSION:  # more than the usual header
        bounds = _payload_bounds(data, first)
        if isinstance(bounds, DropReason):
            return bounds
        start, end = bounds
    payload = bytes(data[start:end])
    return RtpPacket(second & _TYPE_MASK, second > _TYPE_MASK, sequence, timestamp, ssrc, payload)


def _payload_bounds(data: bytes | memoryview, first: int) -> tuple[int, int] | DropReason:
    """Where the payload begins and ends in a packet with sources, an extension or padding."""
    if first & _VERSION_MASK != _VERSION:
        return DropReason.BAD_VERSION
    start, end = HEADER_BYTES + _WORD_BYTES * (first & _SOURCES_MASK), len(data)
    if first & _EXTENSION:
        if start + _WORD_BYTES > end:
            return DropReason.BAD_EXTENSION
        words = data[start + 2] << 8 | data[start + 3]
        start += _WORD_BYTES + _WORD_BYTES * words
        if start > end:
            return DropReason.BAD_EXTENSION
    if start > end:
        return DropReason.TOO_SHORT
    if first & _PADDING:
        padding = data[-1]
        if padding == 0 or start + padding > end:
            return DropReason.BAD_PADDING
        end -= padding
    return start, end


def encode_rtp(
    payload_type: int, is_marked: bool, sequence: int, timestamp: int, ssrc: int, payload: bytes
) -> bytes:
    """A datagram. Numbers are those of the wire: below 128, SEQUENCES, TIMESTAMPS and 2^32."""
    second = payload_type | _MARKER if is_marked else payload_type
    return _encode_header(_VERSION, second, sequence, timestamp, ssrc) + payload
