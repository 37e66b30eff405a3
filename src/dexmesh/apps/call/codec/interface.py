"""Describe what a call wants of a codec: 20 ms of sound to one RTP payload and back.

Place     call/media (the session of a call) -> here; made by catalogue.py
Spec      docs/apps/sip.md, "Media"
Keeps     sound is signed 16 bit, little endian, mono; no payload of any length raises
Not here  payload types and SDP lines (call/media/sdp.py), where the sound comes from (call/sound)
"""

from __future__ import annotations

from typing import Protocol

FRAME_MS = 20
MAX_PAYLOAD_MS = 120  # the longest packet Opus allows (RFC 6716 §2.1.4); the others are held to it


class Codec(Protocol):
    """Both directions of one stream. Keeps state from frame to frame: one object for each call."""

    name: str
    """The encoding name in SDP: `opus`, `G722`, `PCMU`, `PCMA`."""
    rtp_clock: int
    """Units of an RTP timestamp in a second: 8000 for G.722, whatever it samples at (RFC 3551 §4.5.2)."""
    sample_rate: int
    """Samples of sound in a second, in `encode` and out of `decode`."""
    frame_samples: int
    """Samples of 20 ms."""
    damaged: int
    """Payloads so far that could not be decoded."""

    def encode(self, pcm: bytes) -> bytes:
        """One payload of exactly `frame_samples` samples. Raises UsageError for another length."""
        ...

    def decode(self, payload: bytes) -> bytes:
        """As much sound as the payload holds, at most MAX_PAYLOAD_MS.

        Bytes that are no payload of this codec are counted in `damaged` and sound like a lost frame.
        """
        ...

    def conceal(self) -> bytes:
        """20 ms in the place of a frame that is lost: the sound before it, fading when more is lost."""
        ...

    def decode_fec(self, next_payload: bytes) -> bytes:
        """20 ms in the place of a lost frame whose successor is here; as `conceal` where that is no help."""
        ...
