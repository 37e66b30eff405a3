"""Say who this node is: its keys, its address, what it speaks.

Place     host/daemon.py makes one from the settings -> every part of mesh/
Spec      docs/protocol/01 §1; docs/protocol/03 §3 (scheme), §11 (version)
Keeps     key and address belong together; the private key stays in the engine
Not here  making a key pair (engine/keys.py)
"""

from __future__ import annotations

from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.scheme import V358, EncodingScheme
from dexmesh.wire.versions import PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Identity:
    """The public half of a node. `address` follows from `key`."""

    key: PublicKey
    address: Address = field(init=False)
    scheme: EncodingScheme = V358
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", address_of(self.key))
