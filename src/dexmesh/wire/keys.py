"""Hold keys, write them as text, and find the address a public key stands for.

Place     configuration, admin and the wire hand keys in -> here -> everything else
Spec      docs/protocol/01 §1; the texts of key errors are those of docs/protocol/08 §6.8
Keeps     a `PublicKey` is always 32 bytes; a private key never shows in a log or a traceback
Not here  arithmetic on keys: the engine derives public keys and shared secrets
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NewType

from dexmesh.errors import DecodeError
from dexmesh.wire.address import ADDRESS_BYTES, Address, is_mesh_address
from dexmesh.wire.base32 import decode_base32, encode_base32

PublicKey = NewType("PublicKey", bytes)
"""A Curve25519 public key, 32 bytes."""

KEY_BYTES = 32
KEY_SUFFIX = ".k"

BAD_LENGTH: Final = "key must be 52 characters long"  # 08 §6.8
BAD_SUFFIX: Final = "key must end in .k"  # 08 §6.8
BAD_BASE32: Final = "failed to base-32 decode key"  # 08 §6.8
NOT_A_NODE: Final = "not a valid cjdns public key"  # 08 §6.8

_BASE32_LENGTH = 52
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")


class PrivateKey:
    """32 secret bytes, kept unclamped. Equal in constant time; prints as `<secret>`."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Take 32 bytes; `DecodeError` for any other length."""
        if len(secret) != KEY_BYTES:
            raise DecodeError("private key is not 32 bytes")
        self._secret = bytes(secret)

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """The key written as 64 hex digits, either case; `DecodeError` otherwise."""
        if _HEX_KEY.fullmatch(text) is None:
            raise DecodeError("private key is not 64 hex digits")
        return cls(bytes.fromhex(text))

    def hex(self) -> str:
        """64 hex digits, as the configuration keeps them. This is the secret."""
        return self._secret.hex()

    def __bytes__(self) -> bytes:
        return self._secret

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def __repr__(self) -> str:
        return "<secret>"


def encode_key(key: PublicKey) -> str:
    """The key as people see it: 52 base32 characters and `.k`."""
    return encode_base32(key) + KEY_SUFFIX


def decode_key(text: str) -> PublicKey:
    """The node key written in `text`, exactly 54 characters.

    Raises `DecodeError` with one of `BAD_LENGTH`, `BAD_SUFFIX`, `BAD_BASE32`, `NOT_A_NODE`.
    """
    digits, suffix = text[:_BASE32_LENGTH], text[_BASE32_LENGTH:]
    if len(digits) < _BASE32_LENGTH:
        raise DecodeError(BAD_LENGTH)
    if not suffix.startswith(KEY_SUFFIX):
        raise DecodeError(BAD_SUFFIX)
    if suffix != KEY_SUFFIX:
        raise DecodeError(BAD_LENGTH)
    try:
        key = PublicKey(decode_base32(digits))
    except DecodeError:
        raise DecodeError(BAD_BASE32) from None
    if not is_node_key(key):
        raise DecodeError(NOT_A_NODE)
    return key


def address_of(key: PublicKey) -> Address:
    """The address of whoever holds this key: 16 bytes of SHA-512 over SHA-512."""
    inner = hashlib.sha512(key).digest()
    return Address(hashlib.sha512(inner).digest()[:ADDRESS_BYTES])


def is_node_key(key: PublicKey) -> bool:
    """Whether the key is a valid identity: its address lies in fc00::/8."""
    return is_mesh_address(address_of(key))
