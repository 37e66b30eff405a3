"""Make and read the IPv6 packets that programs in a simulated world exchange."""

from __future__ import annotations

import struct

from dexmesh.wire.address import Address
from dexmesh.wire.control import checksum

ICMPV6 = 58
ECHO_REQUEST, ECHO_REPLY = 128, 129
PADDING = bytes(48)

_IPV6 = struct.Struct(">IHBB16s16s")
_ECHO = struct.Struct(">BBHHH")


def echo_request(source: Address, target: Address, identity: int, number: int) -> bytes:
    """A whole ICMPv6 echo request."""
    return _echo(ECHO_REQUEST, source, target, identity, number & 0xFFFF)


def echo_reply_to(packet: bytes) -> bytes:
    """The answer of the host to an echo request."""
    source, target = Address(packet[8:24]), Address(packet[24:40])
    _, _, _, identity, number = _ECHO.unpack_from(packet, 40)
    return _echo(ECHO_REPLY, target, source, identity, number)


def is_echo_request(packet: bytes) -> bool:
    """Whether a host would answer this."""
    return len(packet) >= 48 and packet[6] == ICMPV6 and packet[40] == ECHO_REQUEST


def is_echo_reply(packet: bytes) -> tuple[int, int] | None:
    """Identity and number of an echo reply, None if it is something else."""
    if len(packet) < 48 or packet[6] != ICMPV6 or packet[40] != ECHO_REPLY:
        return None
    _, _, _, identity, number = _ECHO.unpack_from(packet, 40)
    return identity, number


def _echo(kind: int, source: Address, target: Address, identity: int, number: int) -> bytes:
    body = _ECHO.pack(kind, 0, 0, identity, number) + PADDING
    pseudo = source + target + struct.pack(">I3xB", len(body), ICMPV6)
    total = checksum(pseudo + body)
    body = body[:2] + total.to_bytes(2, "big") + body[4:]
    return _IPV6.pack(0x60000000, len(body), ICMPV6, 64, source, target) + body
