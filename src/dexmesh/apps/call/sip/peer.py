"""Say where a message came from and where one shall go.

Place     call/transport.py <-> transaction.py, dialog.py
Spec      docs/apps/sip.md §3 "Identity and safety rules" 1-2
Keeps     `address` of a message that came in is the source address of its packets, nothing else
"""

from __future__ import annotations

from dexmesh.values import dataclass
from dexmesh.wire.address import Address


@dataclass(frozen=True, slots=True)
class Peer:
    """A mesh address with a port, and the way there.

    `connection` is the transport's number of an open TCP connection. Coming in: where the message
    arrived. Going out: use it while it is open; where it is None or gone, connect to the port.
    """

    address: Address
    port: int
    is_tcp: bool = False
    connection: int | None = None
