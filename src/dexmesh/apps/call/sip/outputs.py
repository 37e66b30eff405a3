"""What `Transactions` tells the phone and the transport, all on one page.

Place     transaction.py -> here -> phone/core.py; `Send` goes on to call/transport.py
Spec      RFC 3261 §17 (what a transaction passes to its user)
"""

from __future__ import annotations

from enum import Enum
from typing import NewType, TypeAlias

from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.values import dataclass

TransactionId = NewType("TransactionId", int)
"""Names a transaction while it lives; never used twice."""


class Why(Enum):
    """Why a transaction came to nothing."""

    TIMEOUT = "timeout"  # 64*T1 without a final answer: act as on 408
    TRANSPORT = "transport"  # nothing can be sent there: act as on 503
    NO_ACK = "no ACK"  # our 2xx (or other final answer) to an INVITE was never acknowledged
    OVERLOAD = "overload"  # our own table is full; nothing was sent


@dataclass(frozen=True, slots=True)
class Send:
    """Hand these bytes to the transport."""

    peer: Peer
    data: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """A new request. Answer it with `Transactions.respond(id, ...)`; never an ACK, never a CANCEL."""

    id: TransactionId
    request: Request
    peer: Peer


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a request of ours: provisional ones, then one final one.

    After a 2xx to an INVITE call `acknowledge` with the ACK the dialog made. A 2xx with another To
    tag (a forked INVITE) is Answered again; a repeated one is answered from the table.
    """

    id: TransactionId
    response: Response
    peer: Peer


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller takes this INVITE back before our final answer: respond 487 to it.

    The CANCEL itself was answered already.
    """

    id: TransactionId


@dataclass(frozen=True, slots=True)
class Acked:
    """The ACK for our 2xx arrived, once; its body may carry the answer to our offer.

    `id` is the INVITE's.
    """

    id: TransactionId
    request: Request
    peer: Peer


@dataclass(frozen=True, slots=True)
class Failed:
    """The transaction ends without what it waited for."""

    id: TransactionId
    why: Why


Output: TypeAlias = Send | Incoming | Answered | Cancelled | Acked | Failed
