"""The primitives of CryptoAuth: keys, boxes, credentials and the replay window.

Place     cryptoauth.py and the vector tests beside it
Spec      docs/protocol/01 §2, §3, §5, §6 and §12
Keeps     PyNaCl and hashlib only, nothing of the engine
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from nacl.bindings import (
    crypto_box_beforenm,
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as NaclRuntimeError

# --- Toolbox (01 §2) ----------------------------------------------------------------------------


class LowOrderKeyError(Exception):
    """A shared secret came out as zeros."""


def public_of(private: bytes) -> bytes:
    return crypto_scalarmult_base(private)


def box_key(private: bytes, public: bytes) -> bytes:
    """HSalsa20 of the shared secret."""
    _shared(private, public)
    return crypto_box_beforenm(public, private)


def password_key(private: bytes, public: bytes, password_hash: bytes) -> bytes:
    """SHA-256 of the shared secret and the password hash."""
    return hashlib.sha256(_shared(private, public) + password_hash).digest()


def handshake_key(private: bytes, public: bytes, password_hash: bytes | None) -> bytes:
    if password_hash is None:
        return box_key(private, public)
    return password_key(private, public, password_hash)


def data_nonce(counter: int, sender_is_initiator: bool) -> bytes:
    """The counter in the slot of its sender, little-endian (01 §6)."""
    slots = (0, counter) if sender_is_initiator else (counter, 0)
    return struct.pack("<II16x", *slots)


def seal(key: bytes, nonce: bytes, message: bytes) -> bytes:
    return bytes(crypto_secretbox(message, nonce, key))


def open_sealed(key: bytes, nonce: bytes, sealed: bytes) -> bytes | None:
    try:
        return bytes(crypto_secretbox_open(sealed, nonce, key))
    except CryptoError:
        return None


def _shared(private: bytes, public: bytes) -> bytes:
    try:
        return crypto_scalarmult(private, public)
    except NaclRuntimeError:
        raise LowOrderKeyError from None


# --- Credentials (01 §3) ------------------------------------------------------------------------


@dataclass(frozen=True)
class Credential:
    """What a caller presents: a password, and a login if it has one."""

    password: bytes
    login: bytes | None = None

    @property
    def secret(self) -> bytes:
        return hashlib.sha256(self.password).digest()

    @property
    def lookup(self) -> bytes:
        if self.login is not None:
            return login_lookup(self.login)
        return password_lookup(self.secret)


def password_lookup(secret: bytes) -> bytes:
    return b"\x01" + hashlib.sha256(secret).digest()[1:8]


def login_lookup(login: bytes) -> bytes:
    return b"\x02" + hashlib.sha256(login).digest()[1:8]


@dataclass(frozen=True)
class User:
    """Somebody a node lets in."""

    login: bytes
    password: bytes
    only_address: bytes | None = None


def find_user(users: list[User], lookup: bytes) -> User | None:
    """The first user with this lookup value."""
    for user in users:
        secret = hashlib.sha256(user.password).digest()
        if lookup in (password_lookup(secret), login_lookup(user.login)):
            return user
    return None


# --- Replay window (01 §12) ---------------------------------------------------------------------


@dataclass
class ReplayWindow:
    """64 counters from `base` on; a set bit is a counter that was seen."""

    base: int = 0
    bits: int = 0

    def accepts(self, counter: int) -> bool:
        if counter < self.base:
            return False
        offset = counter - self.base
        while offset > 63:
            shift = 32 if self.bits & 0xFFFFFFFF == 0xFFFFFFFF else offset - 47
            self.base += shift
            self.bits >>= shift
            offset -= shift
        if self.bits >> offset & 1:
            return False
        self.bits |= 1 << offset
        return True
