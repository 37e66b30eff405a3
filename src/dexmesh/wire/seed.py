"""Read and write seed records: the first peers and the supernode a DNS name offers.

Place     a resolver hands in the TXT text; mesh/ chooses among the peers
Spec      docs/protocol/04 §11.1
Keeps     a damaged record gives nothing at all; items of unknown type are skipped
Not here  which names to ask, and whom to call how often (04 §11.2)
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass
from dexmesh.wire.keys import KEY_BYTES, PublicKey
from dexmesh.wire.varint import decode_varint, encode_varint

TEXT_PREFIX: Final = "cjdns0="
PEER_PASSWORD_BYTES: Final = 8
MAX_PEER_ID_BYTES: Final = 64

_MAX_PORT: Final = (1 << 16) - 1
_MAX_LOGIN: Final = (1 << 16) - 1
_MAX_VERSION: Final = (1 << 32) - 1
_PORT_BYTES: Final = 2
_ITEM_HEADER_BYTES: Final = 2  # an item's length counts them too


class _Item(IntEnum):
    SUPERNODE = 1
    PEER_IPV4 = 2
    PEER_IPV6 = 3
    PEER_ID = 4


_ADDRESS_BYTES: Final = {_Item.PEER_IPV4: 4, _Item.PEER_IPV6: 16}


@dataclass(frozen=True, slots=True)
class SeedPeer:
    """A node that lets strangers in. `UsageError` when a field has no place in a record."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    login: int
    password: bytes
    key: PublicKey
    version: int

    def __post_init__(self) -> None:
        if len(self.password) != PEER_PASSWORD_BYTES or len(self.key) != KEY_BYTES:
            raise UsageError("seed peer needs a password of 8 bytes and a key of 32")
        if not 0 <= self.port <= _MAX_PORT or not 0 <= self.login <= _MAX_LOGIN:
            raise UsageError("port or login beyond 16 bits")
        if not 0 <= self.version <= _MAX_VERSION:
            raise UsageError("version beyond 32 bits")

    @property
    def login_text(self) -> str:
        """The login to present."""
        return f"AP_LOGIN: {self.login}"

    @property
    def password_text(self) -> str:
        """The password to present."""
        return f"AP_PASS: {_to_base64(self.password)}"


@dataclass(frozen=True, slots=True)
class SeedRecord:
    """What one name offers. `peer_id` is up to 64 bytes that say whose record it is."""

    peers: tuple[SeedPeer, ...] = ()
    supernode: PublicKey | None = None
    peer_id: bytes | None = None


def format_seed(record: SeedRecord) -> str:
    """The text of the TXT record."""
    return TEXT_PREFIX + _to_base64(encode_seed(record))


def parse_seed(text: str) -> SeedRecord:
    """The record in the joined strings of a TXT record; `DecodeError` when it is none."""
    if not text.startswith(TEXT_PREFIX):
        raise DecodeError("not a seed record")
    return decode_seed(_from_base64(text.removeprefix(TEXT_PREFIX)))


def encode_seed(record: SeedRecord) -> bytes:
    """The items, in the order peer id, supernode, peers; `UsageError` for a field too long."""
    items = [_encode_peer(peer) for peer in record.peers]
    if record.supernode is not None:
        if len(record.supernode) != KEY_BYTES:
            raise UsageError("supernode key is not 32 bytes")
        items.insert(0, _encode_item(_Item.SUPERNODE, record.supernode))
    if record.peer_id is not None:
        if len(record.peer_id) > MAX_PEER_ID_BYTES:
            raise UsageError("peer id beyond 64 bytes")
        items.insert(0, _encode_item(_Item.PEER_ID, record.peer_id))
    return b"".join(items)


def decode_seed(data: bytes) -> SeedRecord:
    """The record in `data`. Of two supernodes or peer ids the first counts (ours).

    `DecodeError` when one item is damaged: the others are not to be trusted then.
    """
    peers: list[SeedPeer] = []
    supernodes: list[PublicKey] = []
    peer_ids: list[bytes] = []
    for kind, value in _items(data):
        match kind:
            case _Item.SUPERNODE:
                supernodes.append(_decode_supernode(value))
            case _Item.PEER_IPV4 | _Item.PEER_IPV6:
                peers.append(_decode_peer(value, _ADDRESS_BYTES[_Item(kind)]))
            case _Item.PEER_ID:
                peer_ids.append(_decode_peer_id(value))
            case _:
                continue
    return SeedRecord(tuple(peers), next(iter(supernodes), None), next(iter(peer_ids), None))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of every item; one byte left over at the end is ignored."""
    start = 0
    while start + _ITEM_HEADER_BYTES <= len(data):
        kind, length = data[start], data[start + 1]
        if length < _ITEM_HEADER_BYTES or start + length > len(data):
            raise DecodeError("seed item of a wrong length")
        yield kind, data[start + _ITEM_HEADER_BYTES : start + length]
        start += length


def _encode_item(kind: _Item, value: bytes) -> bytes:
    return bytes((kind, _ITEM_HEADER_BYTES + len(value))) + value


def _encode_peer(peer: SeedPeer) -> bytes:
    value = b"".join(
        (
            peer.host.packed,
            peer.port.to_bytes(_PORT_BYTES, "big"),
            encode_varint(peer.login),
            peer.password,
            peer.key,
            encode_varint(peer.version),
        )
    )
    return _encode_item(_Item.PEER_IPV4 if peer.host.version == 4 else _Item.PEER_IPV6, value)


def _decode_peer(value: bytes, address_bytes: int) -> SeedPeer:
    """A peer item's value; what a later protocol may put behind it is ignored (ours)."""
    login_start = address_bytes + _PORT_BYTES
    login, password_start = decode_varint(value, login_start)
    key_start = password_start + PEER_PASSWORD_BYTES
    key_end = key_start + KEY_BYTES
    version, _ = decode_varint(value, key_end)
    if login > _MAX_LOGIN or version > _MAX_VERSION:
        raise DecodeError("seed peer with a number out of range")
    return SeedPeer(
        host=ipaddress.ip_address(value[:address_bytes]),
        port=int.from_bytes(value[address_bytes:login_start], "big"),
        login=login,
        password=value[password_start:key_start],
        key=PublicKey(value[key_start:key_end]),
        version=version,
    )


def _decode_supernode(value: bytes) -> PublicKey:
    if len(value) != KEY_BYTES:
        raise DecodeError("supernode key is not 32 bytes")
    return PublicKey(value)


def _decode_peer_id(value: bytes) -> bytes:
    if len(value) > MAX_PEER_ID_BYTES:
        raise DecodeError("peer id beyond 64 bytes")
    return value


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    """The bytes in standard base64 without padding; `DecodeError` for any other spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise DecodeError("seed record is not base64") from None
    if _to_base64(data) != text:
        raise DecodeError("seed record is not base64")
    return data
