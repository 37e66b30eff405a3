"""Read, write and order the IPv6 addresses of the mesh.

Place     everywhere an address is shown, typed in, or compared with a search target
Spec      docs/protocol/01 §1; docs/protocol/06 §6
Keeps     an `Address` is always 16 bytes; it is a node's only if `is_mesh_address` says so
Not here  making an address from a key (keys.py)
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NewType

from dexmesh.errors import DecodeError

Address = NewType("Address", bytes)
"""An IPv6 address, 16 bytes."""

ADDRESS_BYTES = 16
MESH_PREFIX = 0xFC  # 01 §1: the first byte of every node's address
OWN_BUCKET = 127  # 06 §6: the bucket a node sees itself in

_EIGHT_GROUPS = re.compile(r"[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){7}")
_GROUPS = struct.Struct(">8H")
_GROUPS_AS_TEXT = ":".join(["%x"] * 8)


def decode_address(data: bytes) -> Address:
    """The address in 16 bytes; `DecodeError` for any other length."""
    if len(data) != ADDRESS_BYTES:
        raise DecodeError("address is not 16 bytes")
    return Address(bytes(data))


def parse_address(text: str) -> Address:
    """The address written in `text`, padded or compressed; `DecodeError` if it is not one."""
    if _EIGHT_GROUPS.fullmatch(text) is not None:  # as nearly all are written, and much quicker
        return Address(bytes.fromhex("".join(group.zfill(4) for group in text.split(":"))))
    if "%" in text:
        raise DecodeError("not an IPv6 address")
    try:
        return Address(ipaddress.IPv6Address(text).packed)
    except ipaddress.AddressValueError:
        raise DecodeError("not an IPv6 address") from None


def format_address(address: Address) -> str:
    """The address as RFC 5952 writes it: `fc38:ffd:e3e1::1`."""
    text = _GROUPS_AS_TEXT % _GROUPS.unpack(address)
    return str(ipaddress.IPv6Address(address)) if ":0:0" in f":{text}:" else text


def format_padded(address: Address) -> str:
    """The address as eight groups of four digits, cjdns' form in configuration and admin."""
    return ipaddress.IPv6Address(address).exploded


def is_mesh_address(address: Address) -> bool:
    """Whether a node can have this address: it lies in fc00::/8."""
    return address[0] == MESH_PREFIX


def rot(address: Address) -> int:
    """The address with its halves swapped, as the 128-bit number nodes are ordered by (06 §6)."""
    return int.from_bytes(address[8:] + address[:8], "big")


def distance(a: Address, b: Address) -> int:
    """How far two addresses lie apart, 128 bits; 0 means the same address (06 §6)."""
    return rot(a) ^ rot(b)


def bucket(own: Address, other: Address) -> int:
    """How many leading bits of `rot` are equal: 0 is the far half, 127 ourselves (06 §6)."""
    return min(128 - distance(own, other).bit_length(), OWN_BUCKET)
