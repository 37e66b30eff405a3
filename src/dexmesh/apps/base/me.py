"""Say who this node is, in every form mail and names need.

Place     settings.py has the key -> here -> receiver, submission, names
Spec      docs/apps/mail.md §1
Keeps     everything is computed from the key; nothing is looked up
"""

from __future__ import annotations

from dexmesh.apps.base.domains import ALT_SUFFIX, literal, padded_literal
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.keys import KEY_SUFFIX, PublicKey, address_of, encode_key


@dataclass(frozen=True, slots=True)
class Me:
    """This node: its key, and the address the key stands for."""

    key: PublicKey
    address: Address

    @classmethod
    def of(cls, key: PublicKey) -> Me:
        """The node with this key."""
        return cls(key, address_of(key))

    @property
    def literal(self) -> str:
        """`[IPv6:fc38:ffd::1]`, the form we show and store (RFC 5952)."""
        return literal(self.address)

    @property
    def padded_literal(self) -> str:
        """`[IPv6:fc38:0ffd:...]`, as cjdns writes addresses."""
        return padded_literal(self.address)

    @property
    def key_name(self) -> str:
        """`<52 characters>.k`."""
        return encode_key(self.key)

    @property
    def alt_name(self) -> str:
        """`<52 characters>.cjdns.alt`, for programs that reject a top label of one letter."""
        return encode_key(self.key).removesuffix(KEY_SUFFIX) + ALT_SUFFIX
