"""Read and write the Ethernet frames of links and beacons.

Place     the Ethernet interface hands frames in; the payload is a link message or a beacon
Spec      docs/protocol/04 §3
Keeps     padding never reaches the payload; a frame that says it is longer than it is, is refused
Not here  beacons (beacon.py), link messages (rust/engine link)
"""

from __future__ import annotations

import struct
from typing import Final, NewType

from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass

MacAddress = NewType("MacAddress", bytes)
"""An Ethernet address, 6 bytes."""

MAC_BYTES: Final = 6
ETHERTYPE: Final = 0xFC00
LINK_HEADER_BYTES: Final = 6
MAX_PAYLOAD_BYTES: Final = 1492  # 04 §3: receivers read 1498 bytes after the Ethernet header
MIN_FRAME_BYTES: Final = 60  # IEEE 802.3, without the check sequence: shorter frames are padded
BROADCAST: Final = MacAddress(b"\xff" * MAC_BYTES)

_ETHERNET = struct.Struct(f">{MAC_BYTES}s{MAC_BYTES}sH")
_LINK = struct.Struct(">BxHH")
_LINK_VERSION: Final = 0
_MAGIC: Final = 0xFC00


@dataclass(frozen=True, slots=True)
class EtherFrame:
    """A whole frame without its check sequence."""

    destination: MacAddress
    source: MacAddress
    payload: bytes

    @property
    def is_beacon(self) -> bool:
        """Whether the payload is a beacon: whatever goes to everybody is one (04 §3)."""
        return self.destination == BROADCAST

    def encode(self) -> bytes:
        """At least 60 bytes, padded with zeros; `UsageError` for a field of a wrong length."""
        if len(self.destination) != MAC_BYTES or len(self.source) != MAC_BYTES:
            raise UsageError("an Ethernet address has 6 bytes")
        header = _ETHERNET.pack(self.destination, self.source, ETHERTYPE)
        return (header + encode_link_payload(self.payload)).ljust(MIN_FRAME_BYTES, b"\0")


def decode_ether_frame(data: bytes) -> EtherFrame:
    """The frame in `data`, its padding cut off; `DecodeError` when it is not one of ours."""
    if len(data) < _ETHERNET.size:
        raise DecodeError("Ethernet frame is cut off")
    destination, source, ethertype = _ETHERNET.unpack_from(data)
    if ethertype != ETHERTYPE:
        raise DecodeError("Ethernet frame of another type")
    payload = decode_link_payload(data[_ETHERNET.size :])
    return EtherFrame(MacAddress(destination), MacAddress(source), payload)


def encode_link_payload(payload: bytes) -> bytes:
    """Link header and payload, as they follow the Ethernet header.

    `UsageError` when the payload has more than 1492 bytes.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UsageError("payload too long for an Ethernet frame")
    return _LINK.pack(_LINK_VERSION, LINK_HEADER_BYTES + len(payload), _MAGIC) + payload


def decode_link_payload(data: bytes) -> bytes:
    """What follows the link header, as long as it says; `DecodeError` when that cannot be."""
    if len(data) < LINK_HEADER_BYTES:
        raise DecodeError("link header is cut off")
    link_version, length, magic = _LINK.unpack_from(data)
    if link_version != _LINK_VERSION:
        raise DecodeError("frame of another link version")
    if magic != _MAGIC:
        raise DecodeError("frame without the magic number")
    if not LINK_HEADER_BYTES <= length <= len(data):
        raise DecodeError("frame of a wrong length")
    return bytes(data[LINK_HEADER_BYTES:length])
