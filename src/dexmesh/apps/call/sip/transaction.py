"""Carry every request to its answer: repeat what may be lost, answer what comes twice, give up in time.

Place     call/transport.py hands datagrams and stream messages in -> here -> phone/core.py; back
          through `Send`
Spec      RFC 3261 §17, §18, §9 (CANCEL), §13.3.1.4 and §13.2.2.4 (2xx and ACK); RFC 6026; RFC 3581;
          docs/apps/sip.md §3 "SIP subset"
Keeps     every transaction ends by itself; at most MAX_SERVER + MAX_CLIENT of them, MAX_PER_ADDRESS
          for one address; an answer counts only from the address the request went to; whatever is
          left out is counted in `counts`
Not here  dialogs (dialog.py), who may ring (phone/policy.py), connections (call/transport.py)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Output, TransactionId
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.wire.address import Address

MAX_SERVER: Final = 2048  # ours
MAX_CLIENT: Final = 1024  # ours
MAX_PER_ADDRESS: Final = 512  # ours: ten requests a second for 32 s, and room
MAX_UDP_REQUEST_BYTES: Final = 1200  # docs/apps/sip.md §3: more goes by TCP


class Transactions:
    """All transactions of one phone. Performs no I/O and reads no clock.

    `own` and `port` are where the phone listens; they stand in its Via. `randbytes(n)` gives n
    random bytes. All times are monotonic seconds.
    """

    counts: Counter[str]
    """Why messages went no further, each with its number."""

    def __init__(self, own: Address, port: int, randbytes: Callable[[int], bytes]) -> None:
        raise NotImplementedError

    def handle_message(self, data: bytes, peer: Peer, now: float) -> None:
        """Take a datagram or one message of a stream. Never raises."""
        raise NotImplementedError

    def request(self, request: Request, peer: Peer, now: float) -> TransactionId:
        """Send a request (no ACK, no CANCEL) in a new client transaction.

        The request has no Via: it gets one here. Over 1,200 bytes it goes by TCP, and by UDP after
        all if `handle_transport_failed` says that the peer takes no TCP. Where `peer.is_tcp` the
        caller wants TCP, and there is no way back.
        """
        raise NotImplementedError

    def acknowledge(self, id_: TransactionId, ack: Request, peer: Peer, now: float) -> None:
        """Send the ACK (without Via) for the 2xx of this INVITE, again for every repeated 2xx."""
        raise NotImplementedError

    def respond(self, id_: TransactionId, response: Response, now: float) -> None:
        """Answer a request. Nothing happens if its transaction is over or was answered finally.

        A 2xx to an INVITE is repeated until its ACK: then `Acked`, or `Failed(NO_ACK)` after 32 s.
        """
        raise NotImplementedError

    def cancel(self, id_: TransactionId, now: float) -> None:
        """Take an INVITE back; its final answer (487 as a rule) still comes as `Answered`.

        Waits for the first provisional answer (RFC 3261 §9.1); Failed(TIMEOUT) 32 s after the CANCEL
        if none ever comes. Nothing happens where a final answer was there first.
        """
        raise NotImplementedError

    def handle_transport_failed(self, peer: Peer, now: float) -> None:
        """The transport could not send to this peer (refused, reset, or no connection in 5 s)."""
        raise NotImplementedError

    def next_timeout(self) -> tuple[float, str] | None:
        """When, and for what reason, `handle_timeout` wants to be called."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        """Do what is due: repeat, give up, forget."""
        raise NotImplementedError

    def take_outputs(self) -> list[Output]:
        """Everything decided since the last call, in order."""
        raise NotImplementedError

    def __len__(self) -> int:
        """How many transactions live."""
        raise NotImplementedError
