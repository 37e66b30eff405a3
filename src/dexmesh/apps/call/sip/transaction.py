"""Carry every request to its answer: repeat what may be lost, answer what comes twice, give up in time.

Place     call/transport.py hands datagrams and stream messages in -> here -> phone/core.py; back
          through `Send`
Spec      RFC 3261 §17, §18, §9 (CANCEL), §13.3.1.4 and §13.2.2.4 (2xx and ACK); RFC 6026; RFC 3581;
          docs/apps/sip.md §3 "SIP subset"
Keeps     every transaction ends by itself; at most MAX_SERVER + MAX_CLIENT of them, MAX_PER_ADDRESS
          for one address; an answer counts only from the address the request went to; whatever is
          left out is counted in `counts`
Not here  our requests (client.py), those of others (server.py), states and timers (machine.py);
          dialogs (dialog.py), who may ring (phone/policy.py), connections (call/transport.py)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dexmesh.apps.call.sip.client import ClientTransactions
from dexmesh.apps.call.sip.message import Request, Response, decode
from dexmesh.apps.call.sip.outputs import Output, TransactionId
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.refusal import refuse
from dexmesh.apps.call.sip.server import ServerTransactions
from dexmesh.apps.call.sip.table import Cause, Shared
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address

_KEEP_ALIVE_CHARS = b"\r\n\0 "  # RFC 5626 §3.5.1; docs/apps/sip.md §3
_TAG_BYTES = 8


class Transactions:
    """All transactions of one phone. Performs no I/O and reads no clock.

    `own` and `port` are where the phone listens; they stand in its Via. `randbytes(n)` gives n
    random bytes. All times are monotonic seconds.
    """

    counts: Counter[str]
    """Why messages went no further, each with its number."""

    def __init__(self, own: Address, port: int, randbytes: Callable[[int], bytes]) -> None:
        self._shared = Shared()
        self._client = ClientTransactions(self._shared, own, port, randbytes)
        self._server = ServerTransactions(self._shared, randbytes)
        self._randbytes = randbytes
        self.counts = self._shared.counts

    def handle_message(self, data: bytes, peer: Peer, now: float) -> None:
        """Take a datagram or one message of a stream. Never raises."""
        if not data.strip(_KEEP_ALIVE_CHARS):
            self.counts["keep-alive"] += 1
            return
        try:
            message = decode(data)
        except DecodeError as error:
            self._handle_unreadable(data, error.reason, peer)
            return
        if isinstance(message, Request):
            self._server.handle_request(message, peer, now)
        else:
            self._client.handle_response(message, peer, now)

    def request(self, request: Request, peer: Peer, now: float) -> TransactionId:
        """Send a request (no ACK, no CANCEL) in a new client transaction.

        The request has no Via: it gets one here. Over 1,200 bytes it goes by TCP, and by UDP after
        all if `handle_transport_failed` says that the peer takes no TCP. Where `peer.is_tcp` the
        caller wants TCP, and there is no way back.
        """
        return self._client.request(request, peer, now)

    def acknowledge(self, id_: TransactionId, ack: Request, peer: Peer, now: float) -> None:
        """Send the ACK (without Via) for the 2xx of this INVITE, again for every repeated 2xx."""
        self._client.acknowledge(id_, ack, peer, now)

    def respond(self, id_: TransactionId, response: Response, now: float) -> None:
        """Answer a request. Nothing happens if its transaction is over or was answered finally.

        A 2xx to an INVITE is repeated until its ACK: then `Acked`, or `Failed(NO_ACK)` after 32 s.
        An INVITE never answered is `Failed(TIMEOUT)` after 300 s.
        """
        self._server.respond(id_, response, now)

    def cancel(self, id_: TransactionId, now: float) -> None:
        """Take an INVITE back; its final answer (487 as a rule) still comes as `Answered`.

        Waits for the first provisional answer (RFC 3261 §9.1); Failed(TIMEOUT) 32 s after the CANCEL
        if none ever comes. Nothing happens where a final answer was there first.
        """
        self._client.cancel(id_, now)

    def handle_transport_failed(self, peer: Peer, now: float) -> None:
        """The transport could not send to this peer (refused, reset, or no connection in 5 s).

        `peer` is that of the `Send`.
        """
        self._client.handle_transport_failed(peer, now)

    def awaits_answer(self, address: Address) -> bool:
        """Whether a request of ours is under way to that address."""
        return self._client.is_waiting_for(address)

    def awaits_ack(self, address: Address) -> bool:
        """Whether an INVITE from that address is not forgotten yet."""
        return self._server.is_waiting_for(address)

    def next_timeout(self) -> tuple[float, str] | None:
        """When, and for what reason, `handle_timeout` wants to be called."""
        found = self._shared.schedule.next_timeout()
        return None if found is None else (found[0], f"SIP timer {found[1]}")

    def handle_timeout(self, now: float) -> None:
        """Do what is due: repeat, give up, forget."""
        while (due := self._shared.schedule.take_due(now)) is not None:
            id_, timer = due
            if (client := self._client.records.get(id_)) is not None:
                self._client.happen(client, timer.event, Cause(now))
            elif (server := self._server.records.get(id_)) is not None:
                self._server.happen(server, timer.event, Cause(now))

    def take_outputs(self) -> list[Output]:
        """Everything decided since the last call, in order."""
        outputs, self._shared.outputs = self._shared.outputs, []
        return outputs

    def __len__(self) -> int:
        """How many transactions live."""
        return len(self._client.records) + len(self._server.records)

    def _handle_unreadable(self, data: bytes, reason: str, peer: Peer) -> None:
        """Say so where the sender can be told; count it in any case."""
        self.counts[reason] += 1
        refusal = refuse(data, reason, self._randbytes(_TAG_BYTES).hex(), peer)
        if refusal is not None:
            self._shared.send(*refusal)
