"""Read and write control frames: pings, errors and questions between switches.

Place     engine ControlFrame -> decode_control -> mesh/; encode_control -> SendControl -> engine
Spec      docs/protocol/03 §9 and §10
Keeps     a frame is bytes from its checksum on; opaque data comes back to the last byte
Not here  whether and what to answer (mesh/control.py), errors of our own switch (rust/engine)
"""

from __future__ import annotations

import ipaddress
import struct
from enum import IntEnum
from typing import Final, Self, TypeAlias

from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.headers import SWITCH_HEADER_BYTES, SwitchHeader, decode_switch_header
from dexmesh.wire.keys import KEY_BYTES, PublicKey
from dexmesh.wire.label import NO_LABEL, Label, decode_label, encode_label, label_length

SMALLEST_FRAME_BYTES: Final = 8  # 03 §10: checksum, type and four bytes more
MAX_KEYPING_DATA_BYTES: Final = 64  # 03 §10.4
MAX_PING_DATA_BYTES: Final = 256  # 03 §10.3: what a sender keeps to; a responder takes any length
KEEPALIVE_DATA: Final = b"IFACE_CNTRLR"  # 03 §10.3: how v22.3 marks the pings of its link layer

_MAGIC_AND_VERSION = struct.Struct(">II")
_NO_KEY = PublicKey(bytes(KEY_BYTES))


class ControlType(IntEnum):
    """What a control frame is (03 §10.2)."""

    ERROR = 2
    PING = 3
    PONG = 4
    KEYPING = 5
    KEYPONG = 6
    GETSNODE_QUERY = 7
    GETSNODE_REPLY = 8
    RPATH_QUERY = 9
    RPATH_REPLY = 10
    LLADDR_QUERY = 11
    LLADDR_REPLY = 12


class ErrorCode(IntEnum):
    """Why a packet went no further (03 §9.2). Treat a number that is not here as a broken route."""

    NONE = 0
    MALFORMED_ADDRESS = 1
    FLOOD = 2
    LINK_LIMIT_EXCEEDED = 3
    OVERSIZE_MESSAGE = 4
    UNDERSIZE_MESSAGE = 5
    AUTHENTICATION = 6
    INVALID = 7
    UNDELIVERABLE = 8
    LOOP_ROUTE = 9
    RETURN_PATH_INVALID = 10


@dataclass(frozen=True, slots=True)
class _PingFields:
    version: int
    data: bytes = b""

    def fixed_part(self) -> bytes:
        return b""

    @classmethod
    def read(cls, version: int, body: bytes) -> Self:
        return cls(version, body)


class Ping(_PingFields):
    """Are you there? `data` is opaque to whoever answers."""

    __slots__ = ()


class Pong(_PingFields):
    """The answer to a `Ping`, with its `data`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _KeyPingFields:
    version: int
    key: PublicKey
    data: bytes = b""

    def fixed_part(self) -> bytes:
        return self.key

    @classmethod
    def read(cls, version: int, body: bytes) -> Self:
        key, data = _cut(body, KEY_BYTES)
        if len(data) > MAX_KEYPING_DATA_BYTES:
            raise DecodeError("key ping too long")
        return cls(version, PublicKey(key), data)


class KeyPing(_KeyPingFields):
    """Who are you? `key` is the asker's, a claim and not a proof."""

    __slots__ = ()


class KeyPong(_KeyPingFields):
    """The answer to a `KeyPing`: `key` is the responder's, `data` the asker's."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _SnodeFields:
    version: int
    snode_version: int = 0
    kbps: int = 0
    snode_key: PublicKey | None = None
    snode_label: Label = NO_LABEL
    data: bytes = b""

    def fixed_part(self) -> bytes:
        numbers = struct.pack(">II", self.snode_version, self.kbps)
        return numbers + (self.snode_key or _NO_KEY) + encode_label(self.snode_label)

    @classmethod
    def read(cls, version: int, body: bytes) -> Self:
        fixed, data = _cut(body, 48)
        snode_version, kbps = struct.unpack_from(">II", fixed)
        key = PublicKey(fixed[8:40])
        known_key = None if key == _NO_KEY else key
        return cls(version, snode_version, kbps, known_key, decode_label(fixed[40:]), data)


class SnodeQuery(_SnodeFields):
    """Which supernode do you use? The asker tells its own, `snode_key` None = none (03 §10.5)."""

    __slots__ = ()


class SnodeReply(_SnodeFields):
    """The answer to a `SnodeQuery`; `snode_label` leads from the responder to its supernode."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _RpathFields:
    version: int
    label: Label
    data: bytes = b""

    def fixed_part(self) -> bytes:
        return encode_label(self.label)

    @classmethod
    def read(cls, version: int, body: bytes) -> Self:
        label, data = _cut(body, 8)
        return cls(version, decode_label(label), data)


class RpathQuery(_RpathFields):
    """By which label do you reach me? `label` is the one the asker used (03 §10.6)."""

    __slots__ = ()


class RpathReply(_RpathFields):
    """The answer to an `RpathQuery`: `label` is the responder's way to the asker."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class UnderlayAddress:
    """A UDP endpoint, as an LLADDR frame carries it."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int


@dataclass(frozen=True, slots=True)
class _LladdrFields:
    version: int
    endpoint: UnderlayAddress | None = None
    data: bytes = b""

    def fixed_part(self) -> bytes:
        return _encode_endpoint(self.endpoint).ljust(_ADDRESS_BLOCK_BYTES, b"\0")

    @classmethod
    def read(cls, version: int, body: bytes) -> Self:
        block, data = _cut(body, _ADDRESS_BLOCK_BYTES)
        return cls(version, _decode_endpoint(block), data)


class LladdrQuery(_LladdrFields):
    """From which endpoint do you see me? Answered to direct peers only (03 §10.7)."""

    __slots__ = ()


class LladdrReply(_LladdrFields):
    """The answer to an `LladdrQuery`: `endpoint` is the asker's, None when it has no such form."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AuthenticationFailure:
    """Why a message did not open, and the state of the session there (01 §13, 01 §7)."""

    failure: int
    state: int


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """A packet of ours went no further. `error` may be a number `ErrorCode` does not know.

    `cause_header` is the header of that packet where it failed, `cause_rest` what followed.
    Any node on the way can forge this: a hint, not a proof.
    """

    error: int
    cause_header: SwitchHeader
    cause_rest: bytes = b""

    def authentication_failure(self) -> AuthenticationFailure | None:
        """What an AUTHENTICATION error tells besides (03 §9.3); None if this is not one."""
        end = _AUTHENTICATION_EXCERPT_BYTES + 8
        if self.error != ErrorCode.AUTHENTICATION or len(self.cause_rest) < end:
            return None
        numbers = struct.unpack_from(">II", self.cause_rest, _AUTHENTICATION_EXCERPT_BYTES)
        return AuthenticationFailure(*numbers)


ControlMessage: TypeAlias = (
    ErrorFrame
    | Ping
    | Pong
    | KeyPing
    | KeyPong
    | SnodeQuery
    | SnodeReply
    | RpathQuery
    | RpathReply
    | LladdrQuery
    | LladdrReply
)

_ADDRESS_BLOCK_BYTES = 32  # 03 §10.7
_AUTHENTICATION_EXCERPT_BYTES = 16  # 03 §9.3

_Message: TypeAlias = (
    type[Ping]
    | type[Pong]
    | type[KeyPing]
    | type[KeyPong]
    | type[SnodeQuery]
    | type[SnodeReply]
    | type[RpathQuery]
    | type[RpathReply]
    | type[LladdrQuery]
    | type[LladdrReply]
)

# Type, value and magic of everything but errors (03 §10.2-10.7). RPATH has GETSNODE's magic.
_TABLE: Final[tuple[tuple[ControlType, _Message, int], ...]] = (
    (ControlType.PING, Ping, 0x09F91102),
    (ControlType.PONG, Pong, 0x9D74E35B),
    (ControlType.KEYPING, KeyPing, 0x01234567),
    (ControlType.KEYPONG, KeyPong, 0x89ABCDEF),
    (ControlType.GETSNODE_QUERY, SnodeQuery, 0x736E6F71),
    (ControlType.GETSNODE_REPLY, SnodeReply, 0x736E6F72),
    (ControlType.RPATH_QUERY, RpathQuery, 0x736E6F71),
    (ControlType.RPATH_REPLY, RpathReply, 0x736E6F72),
    (ControlType.LLADDR_QUERY, LladdrQuery, 0x6C6C6171),
    (ControlType.LLADDR_REPLY, LladdrReply, 0x6C6C6172),
)
_BY_NUMBER: Final[dict[int, tuple[_Message, int]]] = {
    kind: (message, magic) for kind, message, magic in _TABLE
}
_BY_CLASS: Final = {message: (kind, magic) for kind, message, magic in _TABLE}


def encode_control(message: ControlMessage) -> bytes:
    """The frame, from its checksum on."""
    if isinstance(message, ErrorFrame):
        kind = ControlType.ERROR
        body = message.error.to_bytes(4, "big") + message.cause_header.encode() + message.cause_rest
    else:
        kind, magic = _BY_CLASS[type(message)]
        body = _MAGIC_AND_VERSION.pack(magic, message.version) + message.fixed_part() + message.data
    rest = kind.to_bytes(2, "big") + body
    return checksum(bytes(2) + rest).to_bytes(2, "big") + rest


def decode_control(frame: bytes) -> ControlMessage:
    """The message in a frame that begins with its checksum.

    Raises `DecodeError` for a runt, a wrong checksum, an unknown type, a wrong magic, and a body
    that is too short or too long. Any protocol version is let through (03 §10.2 is for callers).
    """
    if len(frame) < SMALLEST_FRAME_BYTES:
        raise DecodeError("control frame is cut off")
    number = int.from_bytes(frame[2:4], "big")
    if not _is_intact(frame, number):
        raise DecodeError("control frame with a wrong checksum")
    body = bytes(frame[4:])
    if number == ControlType.ERROR:
        return _decode_error(body)
    found = _BY_NUMBER.get(number)
    if found is None:
        raise DecodeError("control frame of unknown type")
    message, right_magic = found
    start, rest = _cut(body, _MAGIC_AND_VERSION.size)
    magic, version = _MAGIC_AND_VERSION.unpack(start)
    if magic != right_magic:
        raise DecodeError("control frame with a wrong magic")
    return message.read(version, rest)


def checksum(data: bytes) -> int:
    """The Internet checksum of `data`, 16 bits; 0 for data that contains its own (03 §10.1)."""
    padded = data + b"\0" if len(data) % 2 else data
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def failing_label(full_label: Label, shift: int) -> Label:
    """The path to the node that complained: `shift` bits into the route we sent along (03 §9.4).

    `full_label` is the path label of the offending packet, `shift` the label shift in the cause
    header. A shift beyond the route means its end.
    """
    if shift >= label_length(full_label):
        return full_label
    return Label(full_label & ((1 << shift) - 1) | 1 << shift)


def _is_intact(frame: bytes, number: int) -> bool:
    """Whether the checksum holds; v20.7 swaps its bytes in some errors (03 §9.3)."""
    if checksum(frame) == 0:
        return True
    return number == ControlType.ERROR and checksum(frame[1::-1] + frame[2:]) == 0


def _decode_error(body: bytes) -> ErrorFrame:
    number, cause = _cut(body, 4)
    header, rest = _cut(cause, SWITCH_HEADER_BYTES)
    return ErrorFrame(int.from_bytes(number, "big"), decode_switch_header(header), rest)


def _encode_endpoint(endpoint: UnderlayAddress | None) -> bytes:
    """The used part of an address block: type, its own length, port, host (03 §10.7)."""
    if endpoint is None:
        return bytes((0, 2))
    host = endpoint.host.packed
    kind = 1 if endpoint.host.version == 4 else 2
    return bytes((kind, 4 + len(host))) + endpoint.port.to_bytes(2, "big") + host


def _decode_endpoint(block: bytes) -> UnderlayAddress | None:
    """The endpoint in an address block; None for every form without a defined meaning."""
    port = int.from_bytes(block[2:4], "big")
    match block[0], block[1]:
        case 1, 8:
            return UnderlayAddress(ipaddress.IPv4Address(block[4:8]), port)
        case 2, 20:
            return UnderlayAddress(ipaddress.IPv6Address(block[4:20]), port)
        case _:
            return None


def _cut(data: bytes, length: int) -> tuple[bytes, bytes]:
    """The first `length` bytes and the rest; `DecodeError` when there are fewer."""
    if len(data) < length:
        raise DecodeError("control frame is cut off")
    return data[:length], data[length:]
