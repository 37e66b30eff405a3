"""RTP packets as values: what Rust reads, named.

Place     receiver.py (packets to decide about), tests -> here -> rust/media/src/rtp.rs
Spec      RFC 3550 §5.1; docs/apps/sip.md §3 Media
Not here  reading and writing the bytes (rust/media)
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dexmesh.apps.call import native
from dexmesh.apps.call.media.drops import DropReason

MAX_BYTES: Final = 2_048  # ours: no 120 ms of sound in any codec of ours are longer
SEQUENCES: Final = 1 << 16
TIMESTAMPS: Final = 1 << 32


class RtpPacket(NamedTuple):
    """A packet without padding, extension and contributing sources."""

    payload_type: int
    is_marked: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def decode_rtp(data: bytes) -> RtpPacket | DropReason:
    """The packet in a datagram."""
    decoded = native.decode_rtp(data)
    return DropReason[decoded] if isinstance(decoded, str) else RtpPacket(*decoded)


encode_rtp = native.encode_rtp
"""A datagram. Numbers are those of the wire: below 128, SEQUENCES, TIMESTAMPS and 2^32."""
