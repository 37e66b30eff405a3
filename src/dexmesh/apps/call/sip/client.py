"""Our own requests: send, repeat, fall back from TCP to UDP, acknowledge, cancel.

Place     transaction.py -> here
Spec      RFC 3261 §17.1, §18.1.1 (TCP by size, and back), §9.1 (CANCEL), §17.1.1.3 (ACK for a
          refusal), §13.2.2.4 (ACK for a 2xx); RFC 6026 §8.4; RFC 3581 §3
Keeps     an answer counts only from the address the request went to, and with one Via
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.sip.fields import MAGIC_COOKIE
from dexmesh.apps.call.sip.headers import Headers
from dexmesh.apps.call.sip.machine import FIRST, Action, Event, Kind, State
from dexmesh.apps.call.sip.message import Request, Response, encode
from dexmesh.apps.call.sip.outputs import Answered, Failed, TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.record import ClientRecord, Outgoing
from dexmesh.apps.call.sip.table import FAILURES, Cause, Shared, Table, forget_one
from dexmesh.apps.call.sip.uri import address_literal
from dexmesh.errors import UsageError
from dexmesh.wire.address import Address

MAX_CLIENT: Final = 1024  # ours
MAX_UDP_REQUEST_BYTES: Final = 1200  # docs/apps/sip.md §3: more goes by TCP
MAX_DATAGRAM_BYTES: Final = 65_000  # what UDP can carry at all, a little rounded
MAX_FORKS: Final = 8  # ours: answers with different To tags to one INVITE
NO_TCP_S: Final = 600.0  # ours: how long we remember that an address takes no TCP
MAX_NO_TCP: Final = 256  # ours

_BRANCH_BYTES = 12
_SAME_HOP = ("Max-Forwards", "From", "To", "Call-ID", "Route")  # RFC 3261 §9.1 and §17.1.1.3


class ClientTransactions(Table[ClientRecord]):
    """All requests of ours that wait for something."""

    def __init__(
        self, shared: Shared, own: Address, port: int, randbytes: Callable[[int], bytes]
    ) -> None:
        super().__init__(shared)
        self._sent_by = f"{address_literal(own)}:{port}"
        self._randbytes = randbytes
        self._by_branch: dict[tuple[str, str], ClientRecord] = {}
        self._of_address: Counter[Address] = Counter()
        self._no_tcp: dict[Address, float] = {}

    def request(self, request: Request, peer: Peer, now: float) -> TransactionId:
        """As `Transactions.request`."""
        if request.method in {"ACK", "CANCEL"}:
            raise UsageError(f"a {request.method} is no transaction of its own")
        id_ = self._shared.new_id()
        if len(self.records) >= MAX_CLIENT:
            self._shared.counts["too many requests of ours"] += 1
            self._shared.outputs.append(Failed(id_, Why.OVERLOAD))
            return id_
        self._start(id_, self._outgoing(request, peer, now), now)
        return id_

    def acknowledge(self, id_: TransactionId, ack: Request, peer: Peer, now: float) -> None:
        """As `Transactions.acknowledge`."""
        outgoing = self._outgoing(ack, peer, now)
        record = self.records.get(id_)
        if record is not None and len(record.acks) < MAX_FORKS:
            record.acks[ack.to.tag] = outgoing
        self._shared.send(outgoing.peer, outgoing.data)

    def cancel(self, id_: TransactionId, now: float) -> None:
        """As `Transactions.cancel`."""
        record = self.records.get(id_)
        if record is not None:
            self.happen(record, Event.CANCEL, Cause(now))

    def is_waiting_for(self, address: Address) -> bool:
        """As `Transactions.awaits_answer`."""
        return address in self._of_address

    def handle_response(self, response: Response, peer: Peer, now: float) -> None:
        """An answer, perhaps to a request of ours."""
        record = self._by_branch.get((response.via.branch, response.cseq.method))
        if record is None:
            self._shared.counts["answer to nothing"] += 1
        elif record.outgoing.peer.address != peer.address:
            self._shared.counts["answer from another address"] += 1
        elif len(response.vias) != 1:  # RFC 3261 §8.1.3.3
            self._shared.counts["answer for another"] += 1
        elif not self.happen(record, _event(response), Cause(now, response, peer)):
            self._shared.counts["answer repeated"] += 1

    def handle_transport_failed(self, peer: Peer, now: float) -> None:
        """As `Transactions.handle_transport_failed`."""
        for record in list(self.records.values()):
            if record.state in {State.CALLING, State.REGRETTING, State.TRYING}:
                self._lose_way(record, peer, now)
            for tag, ack in list(record.acks.items()):
                if ack.may_fall_back and _is_way(ack.peer, peer):
                    record.acks[tag] = self._by_udp(ack.request, ack.branch, ack.peer)
                    self._shared.send(record.acks[tag].peer, record.acks[tag].data)
        if peer.is_tcp and peer.connection is None:
            self._remember_no_tcp(peer.address, now)

    def _lose_way(self, record: ClientRecord, peer: Peer, now: float) -> None:
        """Go on by UDP if we may, else fail."""
        outgoing = record.outgoing
        if not _is_way(outgoing.peer, peer):
            return
        udp = self._by_udp(outgoing.request, outgoing.branch, outgoing.peer)
        if not outgoing.may_fall_back or len(udp.data) > MAX_DATAGRAM_BYTES:
            self.happen(record, Event.BROKEN, Cause(now))
            return
        record.outgoing = udp
        self._shared.schedule.stop(record.id)
        self._run_timers(record, now)
        self._shared.send(udp.peer, udp.data)

    # --- What goes out --------------------------------------------------------------------------------

    def _start(
        self, id_: TransactionId, outgoing: Outgoing, now: float, *, is_silent: bool = False
    ) -> None:
        method = outgoing.request.method
        kind = Kind.INVITE_CLIENT if method == "INVITE" else Kind.CLIENT
        record = ClientRecord(id_, kind, FIRST[kind], outgoing, is_silent)
        self._by_branch[outgoing.branch, method] = record
        self._of_address[outgoing.peer.address] += 1
        self._learn(record, now)
        self._shared.send(outgoing.peer, outgoing.data)

    def _forget(self, record: ClientRecord) -> None:
        super()._forget(record)
        del self._by_branch[record.outgoing.branch, record.outgoing.request.method]
        forget_one(self._of_address, record.outgoing.peer.address)

    def _outgoing(self, request: Request, peer: Peer, now: float) -> Outgoing:
        """The request with a new branch, by the way its size and the caller want."""
        branch = MAGIC_COOKIE + self._randbytes(_BRANCH_BYTES).hex()
        if peer.is_tcp:
            return self._by_tcp(request, branch, peer, may_fall_back=False)
        udp = self._by_udp(request, branch, peer)
        if len(udp.data) <= MAX_UDP_REQUEST_BYTES or self._takes_no_tcp(peer.address, now):
            return udp
        tcp_peer = Peer(peer.address, peer.port, is_tcp=True)
        return self._by_tcp(request, branch, tcp_peer, may_fall_back=True)

    def _by_udp(self, request: Request, branch: str, peer: Peer) -> Outgoing:
        request = self._with_via(request, "UDP", branch)
        return Outgoing(request, branch, Peer(peer.address, peer.port), encode(request))

    def _by_tcp(
        self, request: Request, branch: str, peer: Peer, *, may_fall_back: bool
    ) -> Outgoing:
        request = self._with_via(request, "TCP", branch)
        return Outgoing(request, branch, peer, encode(request), may_fall_back)

    def _with_via(self, request: Request, transport: str, branch: str) -> Request:
        via = f"SIP/2.0/{transport} {self._sent_by};branch={branch};rport"
        headers = request.headers.without("Via").with_first("Via", via)
        return Request(request.method, request.uri, headers, request.body)

    def _takes_no_tcp(self, address: Address, now: float) -> bool:
        return self._no_tcp.get(address, now) > now

    def _remember_no_tcp(self, address: Address, now: float) -> None:
        self._no_tcp.pop(address, None)
        while len(self._no_tcp) >= MAX_NO_TCP:
            del self._no_tcp[next(iter(self._no_tcp))]
        self._no_tcp[address] = now + NO_TCP_S

    # --- What the machine wants -----------------------------------------------------------------------

    def _act(self, record: ClientRecord, action: Action, cause: Cause) -> None:
        outgoing, message = record.outgoing, cause.message
        if action is Action.SEND:
            self._shared.send(outgoing.peer, outgoing.data)
        elif action is Action.SEND_CANCEL:
            cancel = _same_hop(outgoing.request, "CANCEL", None)
            sent = Outgoing(cancel, outgoing.branch, outgoing.peer, encode(cancel))
            self._start(self._shared.new_id(), sent, cause.now, is_silent=True)
        elif action in FAILURES:
            if not record.is_silent:
                self._fail(record, action)
        elif isinstance(message, Response) and cause.peer is not None:
            self._act_on_answer(record, action, message, cause.peer)

    def _act_on_answer(
        self, record: ClientRecord, action: Action, response: Response, peer: Peer
    ) -> None:
        if action is Action.SEND_ACK:
            ack = _same_hop(record.outgoing.request, "ACK", response)
            self._shared.send(record.outgoing.peer, encode(ack))
        elif action is Action.SEND_ACK_OF_SUCCESS and response.to.tag in record.acks:
            ack_again = record.acks[response.to.tag]
            self._shared.send(ack_again.peer, ack_again.data)
        elif not record.is_silent:
            self._tell(record, response, peer)

    def _tell(self, record: ClientRecord, response: Response, peer: Peer) -> None:
        """Pass an answer on; a 2xx once for each To tag."""
        if response.is_success:
            if response.to.tag in record.told or len(record.told) >= MAX_FORKS:
                self._shared.counts["answer repeated"] += 1
                return
            record.told.add(response.to.tag)
        self._shared.outputs.append(Answered(record.id, response, peer))


def _event(response: Response) -> Event:
    if not response.is_final:
        return Event.GOT_PROVISIONAL
    return Event.GOT_SUCCESS if response.is_success else Event.GOT_REFUSAL


def _is_way(mine: Peer, failed: Peer) -> bool:
    """Whether what failed is where this goes. A failed connection is only itself."""
    return (mine.address, mine.port, mine.is_tcp) == (failed.address, failed.port, failed.is_tcp)


def _same_hop(request: Request, method: str, response: Response | None) -> Request:
    """The CANCEL of a request, or the ACK for its refusal: with its Via, its Route, its number."""
    fields = [field for field in request.headers if field[0] in _SAME_HOP]
    if response is not None:
        to = response.headers.first("To") or ""
        fields = [(name, to) if name == "To" else (name, value) for name, value in fields]
    via = ("Via", request.headers.all("Via")[0])
    cseq = ("CSeq", f"{request.cseq.number} {method}")
    return Request(method, request.uri, Headers((via, *fields, cseq)))
