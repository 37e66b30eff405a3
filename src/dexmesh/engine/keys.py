"""Make private keys and the public keys that belong to them.

Place     config/ and cli/ (new keys), host/ and mesh/ (our own key) -> here -> the native curve arithmetic
Spec      docs/protocol/01 §1
Not here  keys as text, addresses (wire/keys.py)
"""

from __future__ import annotations

from collections.abc import Callable

from dexmesh.engine import _native
from dexmesh.wire.keys import KEY_BYTES, PrivateKey, PublicKey, is_node_key


def public_key_of(private: bytes | PrivateKey) -> PublicKey:
    """The public key of 32 private bytes; ValueError for any other length."""
    return PublicKey(_native.public_key_of(bytes(private)))


def generate_private_key(draw: Callable[[int], bytes]) -> PrivateKey:
    """A private key whose address is in fc00::/8, from as many drawn bytes as that takes."""
    while True:
        private = PrivateKey(draw(KEY_BYTES))
        if is_node_key(public_key_of(private)):
            return private
