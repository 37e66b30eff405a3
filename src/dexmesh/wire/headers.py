"""Read and write the fixed headers: switch header, data header, route header.

Place     control frames and error causes carry switch headers; admin handlers carry route headers
Spec      docs/protocol/03 §2; docs/protocol/05 §4 and §10; docs/protocol/08 §6.7
Keeps     whatever a byte holds survives decode and encode; nothing is dropped for version or class
Not here  changing a header on the way (rust/engine switch)
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import ADDRESS_BYTES, Address
from dexmesh.wire.keys import KEY_BYTES, PublicKey
from dexmesh.wire.label import Label

SWITCH_HEADER_BYTES: Final = 12
DATA_HEADER_BYTES: Final = 4
ROUTE_HEADER_BYTES: Final = 68
HEADER_VERSION = 1  # 03 §2 and 05 §4: the version senders write in both headers
CONTROL_WORD = 0xFFFFFFFF  # 03 §8: the word that announces a control frame

_SWITCH = struct.Struct(">QBBH")
_DATA = struct.Struct(">BBH")
_ROUTE_REST = struct.Struct(">IB3x")


class ContentType(IntEnum):
    """What follows a data header; 0 to 255 are IPv6 next-header numbers (05 §4)."""

    CJDHT = 256
    IPTUN = 257
    CONTROL = 0x10000  # in route headers of handlers only, never on the wire


@dataclass(frozen=True, slots=True)
class SwitchHeader:
    """The 12 bytes at the start of every packet."""

    label: Label
    congestion: int = 0
    suppress_errors: bool = False
    version: int = HEADER_VERSION
    label_shift: int = 0
    traffic_class: int = 0

    def encode(self) -> bytes:
        """12 bytes."""
        return _SWITCH.pack(
            self.label,
            self.congestion << 1 | self.suppress_errors,
            self.version << 6 | self.label_shift,
            self.traffic_class,
        )


@dataclass(frozen=True, slots=True)
class DataHeader:
    """The 4 bytes before the content of an end-to-end message."""

    content_type: int
    version: int = HEADER_VERSION

    def encode(self) -> bytes:
        """4 bytes."""
        return _DATA.pack(self.version << 4, 0, self.content_type)


@dataclass(frozen=True, slots=True)
class RouteHeader:
    """Where a message of a local handler comes from or goes to; never on the network (05 §10)."""

    key: PublicKey
    switch_header: SwitchHeader
    version: int
    address: Address
    is_incoming: bool = False
    is_control: bool = False
    is_pathfinder: bool = False

    def encode(self) -> bytes:
        """68 bytes."""
        flags = self.is_incoming | self.is_control << 1 | self.is_pathfinder << 2
        rest = _ROUTE_REST.pack(self.version, flags)
        return self.key + self.switch_header.encode() + rest + self.address


def decode_switch_header(data: bytes) -> SwitchHeader:
    """The header in the first 12 bytes; `DecodeError` when there are fewer."""
    if len(data) < SWITCH_HEADER_BYTES:
        raise DecodeError("switch header is cut off")
    label, congestion, shift, traffic_class = _SWITCH.unpack_from(data)
    return SwitchHeader(
        label=Label(label),
        congestion=congestion >> 1,
        suppress_errors=bool(congestion & 1),
        version=shift >> 6,
        label_shift=shift & 0x3F,
        traffic_class=traffic_class,
    )


def decode_data_header(data: bytes) -> DataHeader:
    """The header in the first 4 bytes; `DecodeError` when there are fewer."""
    if len(data) < DATA_HEADER_BYTES:
        raise DecodeError("data header is cut off")
    first, _, content_type = _DATA.unpack_from(data)
    return DataHeader(content_type, version=first >> 4)


def decode_route_header(data: bytes) -> RouteHeader:
    """The header in the first 68 bytes; `DecodeError` when there are fewer."""
    if len(data) < ROUTE_HEADER_BYTES:
        raise DecodeError("route header is cut off")
    header_end = KEY_BYTES + SWITCH_HEADER_BYTES
    version, flags = _ROUTE_REST.unpack_from(data, header_end)
    return RouteHeader(
        key=PublicKey(bytes(data[:KEY_BYTES])),
        switch_header=decode_switch_header(data[KEY_BYTES:]),
        version=version,
        address=Address(bytes(data[ROUTE_HEADER_BYTES - ADDRESS_BYTES : ROUTE_HEADER_BYTES])),
        is_incoming=bool(flags & 1),
        is_control=bool(flags & 2),
        is_pathfinder=bool(flags & 4),
    )
