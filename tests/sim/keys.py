"""Make the key pairs of simulated nodes: the same number, the same keys.

Keeps     every address lies in fc00::/8
"""

from __future__ import annotations

import hashlib
from functools import cache

from nacl.bindings import crypto_scalarmult_base

from dexmesh.wire.keys import PrivateKey, PublicKey, is_node_key


@cache
def key_pair(number: int) -> tuple[PrivateKey, PublicKey]:
    """The pair of node `number`."""
    secret = hashlib.sha256(b"simulated node %d" % number).digest()
    while True:
        key = PublicKey(crypto_scalarmult_base(secret))
        if is_node_key(key):
            return PrivateKey(secret), key
        secret = hashlib.sha256(secret).digest()
