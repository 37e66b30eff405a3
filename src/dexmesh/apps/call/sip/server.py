"""The requests of others: recognise what comes twice, repeat answers, match CANCEL and ACK.

Place     transaction.py -> here
Spec      RFC 3261 §17.2, §18.2 (where answers go), §9.2 (CANCEL), §13.3.1.4 (2xx until ACK);
          RFC 6026 §8.7; RFC 3581 §4
Keeps     at most MAX_SERVER transactions, MAX_PER_ADDRESS of one address: beyond that 503. A full table
          forgets what was answered long ago, but no accepted INVITE: a flood keeps no call out
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.machine import FIRST, Action, Event, Kind, State
from dexmesh.apps.call.sip.message import Request, Response, encode
from dexmesh.apps.call.sip.outputs import Acked, Cancelled, Incoming, TransactionId
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.record import AckKey, ServerKey, ServerRecord, ack_key, answer_peer
from dexmesh.apps.call.sip.record import server_key as key_of
from dexmesh.apps.call.sip.table import FAILURES, Cause, Shared, Table, forget_one
from dexmesh.wire.address import Address

MAX_SERVER: Final = 2048  # ours
MAX_PER_ADDRESS: Final = 512  # ours: ten requests a second for 32 s, and room
RETRY_AFTER_S: Final = 10  # ours

_TAG_BYTES = 8


class ServerTransactions(Table[ServerRecord]):
    """All requests to us that may come again or wait for an answer."""

    def __init__(self, shared: Shared, randbytes: Callable[[int], bytes]) -> None:
        super().__init__(shared)
        self._randbytes = randbytes
        self._by_key: dict[ServerKey, ServerRecord] = {}
        self._by_ack: dict[AckKey, ServerRecord] = {}
        self._of_address: Counter[Address] = Counter()
        self._invites: Counter[Address] = Counter()  # of these
        self._answered: dict[TransactionId, ServerRecord] = {}  # the oldest first

    def handle_request(self, request: Request, peer: Peer, now: float) -> None:
        """A request, new or come again."""
        if request.method == "ACK":
            self._handle_ack(request, peer, now)
            return
        record = self._by_key.get(key_of(request, peer.address, request.method))
        if record is not None:
            self._handle_again(record, request, peer, now)
            return
        request = _with_source(request, peer)
        if request.method == "CANCEL":
            self._handle_cancel(request, peer, now)
        elif self._is_full(peer.address):
            self._refuse(request, peer)
        else:
            record = self._new(request, peer, now)
            self._shared.outputs.append(Incoming(record.id, request, peer))

    def is_waiting_for(self, address: Address) -> bool:
        """As `Transactions.awaits_ack`."""
        return address in self._invites

    def respond(self, id_: TransactionId, response: Response, now: float) -> None:
        """As `Transactions.respond`."""
        record = self.records.get(id_)
        if record is None or not self.happen(record, _event(response), Cause(now, response)):
            self._shared.counts["answer of ours too late"] += 1

    def _handle_again(self, record: ServerRecord, request: Request, peer: Peer, now: float) -> None:
        self._shared.counts["request repeated"] += 1
        record.peer = answer_peer(request.via, peer)
        self.happen(record, Event.GOT_REQUEST, Cause(now))

    def _handle_ack(self, request: Request, peer: Peer, now: float) -> None:
        """Of a refusal by its branch, of a 2xx by Call-ID, tags and number (both by either)."""
        record = self._by_key.get(key_of(request, peer.address, "INVITE"))
        record = record or self._by_ack.get(ack_key(request, peer.address))
        if record is None or request.to.tag != record.to_tag:
            self._shared.counts["ACK for nothing"] += 1
        elif not self.happen(record, Event.GOT_ACK, Cause(now, request, peer)):
            self._shared.counts["ACK repeated"] += 1

    def _handle_cancel(self, request: Request, peer: Peer, now: float) -> None:
        """Answer it, and take the INVITE back that it names (RFC 3261 §9.2)."""
        invite = self._by_key.get(key_of(request, peer.address, "INVITE"))
        tag = (invite.to_tag if invite is not None else "") or self._randbytes(_TAG_BYTES).hex()
        response = make_response(request, 481 if invite is None else 200, to_tag=tag)
        if self._is_full(peer.address):
            self._shared.send(answer_peer(request.via, peer), encode(response))
        else:
            self.respond(self._new(request, peer, now).id, response, now)
        if invite is not None:
            self.happen(invite, Event.GOT_CANCEL, Cause(now))

    # --- The table ------------------------------------------------------------------------------------

    def _new(self, request: Request, peer: Peer, now: float) -> ServerRecord:
        is_invite = request.method == "INVITE"
        kind = Kind.INVITE_SERVER if is_invite else Kind.SERVER
        record = ServerRecord(
            id=self._shared.new_id(),
            kind=kind,
            state=FIRST[kind],
            key=key_of(request, peer.address, request.method),
            ack_key=ack_key(request, peer.address),
            peer=answer_peer(request.via, peer),
            trying=encode(make_response(request, 100)) if is_invite else b"",
        )
        self._by_key[record.key] = record
        self._of_address[peer.address] += 1
        if is_invite:
            self._invites[peer.address] += 1
        self._learn(record, now)
        return record

    def _forget(self, record: ServerRecord) -> None:
        super()._forget(record)
        del self._by_key[record.key]
        if self._by_ack.get(record.ack_key) is record:
            del self._by_ack[record.ack_key]
        self._answered.pop(record.id, None)
        forget_one(self._of_address, record.peer.address)
        if record.kind is Kind.INVITE_SERVER:
            forget_one(self._invites, record.peer.address)

    def _is_full(self, address: Address) -> bool:
        if self._of_address[address] >= MAX_PER_ADDRESS:
            return True
        if len(self.records) >= MAX_SERVER and self._answered:
            self._shared.counts["answered requests forgotten early"] += 1
            self._forget(next(iter(self._answered.values())))
        return len(self.records) >= MAX_SERVER

    def _refuse(self, request: Request, peer: Peer) -> None:
        """503 without a transaction."""
        self._shared.counts["too many requests"] += 1
        fields = (("Retry-After", str(RETRY_AFTER_S)),)
        tag = self._randbytes(_TAG_BYTES).hex()
        response = make_response(request, 503, to_tag=tag, fields=fields)
        self._shared.send(answer_peer(request.via, peer), encode(response))

    # --- What the machine wants -----------------------------------------------------------------------

    def _act(self, record: ServerRecord, action: Action, cause: Cause) -> None:
        outputs, message = self._shared.outputs, cause.message
        if action is Action.SEND:
            self._send(record, message)
        elif action is Action.SEND_TRYING:
            record.data = record.trying
            self._send(record, None)
        elif action is Action.TELL_CANCEL:
            outputs.append(Cancelled(record.id))
        elif action in FAILURES:
            self._fail(record, action)
        elif action is Action.TELL_ACK and isinstance(message, Request) and cause.peer is not None:
            self._answered[record.id] = record
            outputs.append(Acked(record.id, message, cause.peer))

    def _send(self, record: ServerRecord, message: Request | Response | None) -> None:
        """A new answer, or the last one again."""
        if isinstance(message, Response):
            record.data = encode(message)
            record.to_tag = message.to.tag
            if record.state is State.ACCEPTED:
                self._by_ack[record.ack_key] = record
            elif record.state is State.COMPLETED:
                self._answered[record.id] = record
        if record.data:
            self._shared.send(record.peer, record.data)


def _event(response: Response) -> Event:
    if not response.is_final:
        return Event.PROVISIONAL
    return Event.SUCCESS if response.is_success else Event.REFUSAL


def _with_source(request: Request, peer: Peer) -> Request:
    """The request with `received` and `rport` in its latest Via (RFC 3261 §18.2.1, RFC 3581 §4)."""
    _, *others = request.headers.all("Via")
    via = str(request.via.with_source(peer.address, peer.port))
    headers = request.headers.with_vias((via, *others))
    return Request(request.method, request.uri, headers, request.body)
