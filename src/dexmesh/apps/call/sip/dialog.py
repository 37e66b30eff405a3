"""Keep what two phones agreed on: tags, sequence numbers, where to send the next request.

Place     phone/call.py makes one for each call -> requests go to transaction.py
Spec      RFC 3261 §12 (dialogs), §13.2.2.4 (ACK for 2xx), §14 (re-INVITE renews the target)
Keeps     requests go to the remote Contact exactly as given, and to no other node than the one the
          dialog began with (docs/apps/sip.md §1 and §3); CSeq of ours grows by one each time
Not here  who repeats a 2xx until its ACK (transaction.py), offer and answer (media/), states of a
          call (phone/call.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from dexmesh.apps.call.sip.build import FIRST_MAX_FORWARDS
from dexmesh.apps.call.sip.headers import Field, Headers
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import address_literal, parameter, parse_name_addr, sip_uri_or_none
from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass

OUT_OF_ORDER: Final = 500  # RFC 3261 §12.2.2
NO_DIALOG: Final = 481  # RFC 3261 §12.2.2

_RENEWS_TARGET: Final = frozenset({"INVITE", "UPDATE"})  # RFC 3261 §14, RFC 3311
_OUTSIDE_THE_ORDER: Final = frozenset({"ACK", "CANCEL"})  # they have the INVITE's number
_DIALOG_IS_GONE: Final = frozenset({408, 481})  # RFC 3261 §12.2.1.2
MAX_ROUTES: Final = 8  # ours: on the mesh a call passes one proxy at most


class DialogState(Enum):
    """EARLY after a 101-199 with a To tag, CONFIRMED after a 2xx, ENDED after BYE or refusal."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class DialogId:
    """What names a dialog, seen from us (RFC 3261 §12). Tags of RFC 2543 phones may be empty."""

    call_id: str
    local_tag: str
    remote_tag: str

    @classmethod
    def of(cls, message: Request | Response) -> DialogId:
        """Of a message that came in."""
        return cls.of_request(message) if isinstance(message, Request) else cls.of_response(message)

    @classmethod
    def of_request(cls, request: Request) -> DialogId:
        """Of a request that came in: our tag is in To."""
        return cls(request.call_id, request.to.tag, request.from_.tag)

    @classmethod
    def of_response(cls, response: Response) -> DialogId:
        """Of an answer that came in: our tag is in From."""
        return cls(response.call_id, response.from_.tag, response.to.tag)


class Dialog:
    """One dialog. Changes only through the methods below.

    `peer` is where the next request of ours goes: always the address the dialog began with; the
    port and transport are those of the remote Contact (or of the nearest route) if it names that
    address, else those the last message came from.
    """

    id: DialogId
    state: DialogState
    peer: Peer
    local: str
    """Our From in this dialog, with tag."""
    remote: str
    """Our To in this dialog: the other side's own text, with tag."""
    remote_target: str
    """The other side's Contact, exactly as given."""

    def __init__(
        self, id_: DialogId, state: DialogState, peer: Peer, local: str, remote: str
    ) -> None:
        """Half of a dialog: `as_caller` and `as_callee` make whole ones."""
        self.id = id_
        self.state = state
        self.peer = peer
        self.local = local
        self.remote = remote
        self.remote_target = f"sip:{address_literal(peer.address)}:{peer.port}"
        self._routes: tuple[str, ...] = ()
        self._local_cseq = 0
        self._remote_cseq: int | None = None

    @classmethod
    def as_caller(cls, invite: Request, response: Response, peer: Peer) -> Dialog:
        """From an INVITE of ours and a 101-299 with a To tag that came from `peer`."""
        id_ = DialogId.of_response(response)
        local, remote = invite.headers.first("From") or "", response.headers.first("To") or ""
        self = cls(id_, DialogState.EARLY, peer, local, remote)
        self._local_cseq = invite.cseq.number
        self.handle_response(response, peer)
        return self

    @classmethod
    def as_callee(cls, invite: Request, response: Response, peer: Peer) -> Dialog:
        """From an INVITE that came from `peer` and our 101-299 with our To tag."""
        id_ = DialogId(invite.call_id, response.to.tag, invite.from_.tag)
        local, remote = response.headers.first("To") or "", invite.headers.first("From") or ""
        self = cls(id_, DialogState.EARLY, peer, local, remote)
        self._routes = invite.routes[:MAX_ROUTES]
        self._remote_cseq = invite.cseq.number
        self._renew_target(invite, peer)
        if response.is_success:
            self.confirm()
        return self

    def matches(self, message: Request | Response, peer: Peer) -> bool:
        """Whether a message that came in belongs here: the three names and the source address."""
        return peer.address == self.peer.address and self.id == DialogId.of(message)

    def handle_request(self, request: Request, peer: Peer) -> int:
        """A request that came in inside this dialog: the status to refuse it with, 0 if it is sound.

        481 once the dialog is over, 500 where its CSeq is lower than one before (RFC 3261 §12.2.2).
        INVITE and UPDATE renew the remote target; a BYE ends the dialog.
        """
        if request.method in _OUTSIDE_THE_ORDER:
            return 0
        if self.state is DialogState.ENDED:
            return NO_DIALOG
        number = request.cseq.number
        if self._remote_cseq is not None and number < self._remote_cseq:
            return OUT_OF_ORDER
        self._remote_cseq = number
        if request.method in _RENEWS_TARGET:
            self._renew_target(request, peer)
        if request.method == "BYE":
            self.end()
        return 0

    def handle_response(self, response: Response, peer: Peer) -> None:
        """An answer to a request of ours inside this dialog (or to its INVITE).

        A 2xx to INVITE confirms and renews the remote target; a refused first INVITE, 481 and 408
        to anything, and any final answer to BYE end the dialog (RFC 3261 §12.2.1.2, §15).
        """
        method = response.cseq.method
        if self._is_the_end(response, method):
            self.end()
        if self.state is DialogState.ENDED or response.status >= 300:
            return
        if method == "INVITE" and self.state is DialogState.EARLY:
            self._routes = response.routes[:MAX_ROUTES][::-1]  # §13.2.2.4: that of the 2xx counts
        if method in _RENEWS_TARGET:
            self._renew_target(response, peer)
        if method == "INVITE" and response.is_success:
            self.confirm()

    def _is_the_end(self, response: Response, method: str) -> bool:
        is_first_refused = (
            method == "INVITE"
            and self.state is DialogState.EARLY
            and response.is_final
            and not response.is_success
        )
        is_bye_answered = method == "BYE" and response.is_final
        return is_first_refused or is_bye_answered or response.status in _DIALOG_IS_GONE

    def confirm(self) -> None:
        """We sent or got the 2xx: an early dialog is confirmed."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def end(self) -> None:
        """No more requests: BYE was sent, or the call was refused."""
        self.state = DialogState.ENDED

    def make_request(
        self, method: str, *, fields: Iterable[Field] = (), body: bytes = b""
    ) -> Request:
        """The next request of ours (no ACK, no CANCEL), with the next CSeq. UsageError once ended,
        but for a BYE."""
        if self.state is DialogState.ENDED and method != "BYE":
            raise UsageError(f"{method} in a dialog that ended")
        self._local_cseq += 1
        return self._request(method, self._local_cseq, fields, body)

    def make_ack(self, cseq: int, *, fields: Iterable[Field] = (), body: bytes = b"") -> Request:
        """The ACK for the 2xx to our INVITE of that CSeq number (RFC 3261 §13.2.2.4)."""
        return self._request("ACK", cseq, fields, body)

    def _request(self, method: str, cseq: int, fields: Iterable[Field], body: bytes) -> Request:
        uri, routes = self._target_and_routes()
        own: list[Field] = [("Route", route) for route in routes]
        own += [
            ("Max-Forwards", str(FIRST_MAX_FORWARDS)),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.id.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        return Request(method, uri, Headers((*own, *fields)), body)

    def _target_and_routes(self) -> tuple[str, tuple[str, ...]]:
        """The Request-URI and the Route values; a strict router is the target itself (§12.2.1.1)."""
        if not self._routes or _is_loose(self._routes[0]):
            return self.remote_target, self._routes
        return _uri_of(self._routes[0]), (*self._routes[1:], f"<{self.remote_target}>")

    def _renew_target(self, message: Request | Response, source: Peer) -> None:
        """Take over the Contact, and find out where requests go from now on."""
        if message.contact is not None:
            self.remote_target = _without_headers(message.contact.uri)
        if source.address == self.peer.address:
            self.peer = self._next_hop(source)

    def _next_hop(self, source: Peer) -> Peer:
        uri = sip_uri_or_none(_uri_of(self._routes[0]) if self._routes else self.remote_target)
        if uri is None or uri.address != source.address:
            return source
        connection = source.connection if uri.is_tcp else None
        return Peer(source.address, uri.port_or_default, uri.is_tcp, connection)


def _without_headers(text: str) -> str:
    """A Contact as a Request-URI, which may hold no `?headers` (RFC 3261 §19.1.1)."""
    uri = sip_uri_or_none(text)
    return text.removesuffix(f"?{uri.headers}") if uri is not None and uri.headers else text


def _uri_of(route: str) -> str:
    try:
        return parse_name_addr(route).uri
    except DecodeError:
        return ""


def _is_loose(route: str) -> bool:
    """Whether a route says `;lr`; one that cannot be read is passed on as it is."""
    uri = sip_uri_or_none(_uri_of(route))
    return uri is None or parameter(uri.params, "lr") is not None
