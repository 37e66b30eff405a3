"""One transaction of the tables, and the names it is found by.

Place     client.py and server.py keep them
Spec      RFC 3261 §17.1.3 (an answer finds its request), §17.2.3 (a request finds its transaction,
          with and without the magic cookie), §13.3.1.4 (an ACK for a 2xx finds its INVITE)
Keeps     nobody at another address finds a transaction; only what is needed to repeat is kept
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from dexmesh.apps.call.sip.fields import MAGIC_COOKIE, Via
from dexmesh.apps.call.sip.machine import Kind, State
from dexmesh.apps.call.sip.message import Request
from dexmesh.apps.call.sip.outputs import TransactionId
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.values import dataclass as frozen_dataclass
from dexmesh.wire.address import Address

ServerKey: TypeAlias = tuple[Address, str, str, str]
"""Source address, what names the transaction, sent-by, method."""
AckKey: TypeAlias = tuple[Address, str, str, int]
"""Source address, Call-ID, From tag, CSeq number: what an INVITE and the ACK for its 2xx share."""


@frozen_dataclass(frozen=True, slots=True)
class Outgoing:
    """A request of ours on its way: with its Via, and as bytes.

    `may_fall_back`: TCP was chosen only because of its size.
    """

    request: Request
    branch: str
    peer: Peer
    data: bytes
    may_fall_back: bool = False


@dataclass(slots=True)
class ClientRecord:
    """A request of ours. Nobody hears of one that `is_silent` (CANCEL).

    `told` are the To tags of the 2xx the phone knows of, `acks` its ACKs for them.
    """

    id: TransactionId
    kind: Kind
    state: State
    outgoing: Outgoing
    is_silent: bool = False
    told: set[str] = field(default_factory=set)
    acks: dict[str, Outgoing] = field(default_factory=dict)

    @property
    def is_tcp(self) -> bool:
        """Whether the network repeats for us."""
        return self.outgoing.peer.is_tcp


@dataclass(slots=True)
class ServerRecord:
    """A request to us. `peer` is where answers go; `data` is our last answer, with `to_tag`."""

    id: TransactionId
    kind: Kind
    state: State
    key: ServerKey
    ack_key: AckKey
    peer: Peer
    trying: bytes = b""
    data: bytes = b""
    to_tag: str = ""

    @property
    def is_tcp(self) -> bool:
        """Whether the network repeats for us."""
        return self.peer.is_tcp


def server_key(request: Request, address: Address, method: str) -> ServerKey:
    """The name of the transaction that a request belongs to; of its INVITE's with that method."""
    via = request.via
    sent_by = f"{via.host.lower()}:{via.port_or_default}"
    if via.branch.startswith(MAGIC_COOKIE) and via.branch != MAGIC_COOKIE:
        return address, via.branch, sent_by, method
    # RFC 2543: what a request, its ACK and its CANCEL have in common.
    name = f"{request.call_id} {request.from_.tag} {request.cseq.number} {via.branch}"
    return address, name, sent_by, method


def ack_key(request: Request, address: Address) -> AckKey:
    """What names the INVITE that the ACK for a 2xx belongs to."""
    return address, request.call_id, request.from_.tag, request.cseq.number


def answer_peer(via: Via, source: Peer) -> Peer:
    """Where answers go: back to where the request came from (RFC 3581 §4).

    Over TCP by the same connection, and where that is gone to the port in Via (RFC 3261 §18.2.2).
    """
    if not source.is_tcp:
        return source
    return Peer(source.address, via.port_or_default, True, source.connection)
