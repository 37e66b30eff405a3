"""Change the media of a call that is up: hold and resume from here, re-INVITE and UPDATE from there.

Place     call.py -> here -> negotiation.py
Spec      RFC 3261 §14 (re-INVITE; glare), RFC 3311 (UPDATE), RFC 3264 §8.4 (hold)
Keeps     one INVITE of ours is under way at a time; what was wanted meanwhile is sent behind it; a
          change that is refused leaves the call as it was; at most MAX_TRIES tries
Not here  what offers and answers come to (negotiation.py)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dexmesh.apps.call.media.offer import Refusal
from dexmesh.apps.call.phone.bodies import (
    ACCEPT_ENCODING,
    ACCEPT_SDP,
    SDP_FIELD,
    has_foreign_body,
    is_encoded,
    sdp_in,
)
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.negotiation import BAD_REQUEST
from dexmesh.apps.call.phone.states import State
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Incoming, TransactionId

if TYPE_CHECKING:
    from dexmesh.apps.call.phone.call import Call

MAX_TRIES: Final = 5  # ours
MAX_UNACKED: Final = 4  # ours: answers of ours to re-INVITEs whose ACK did not come yet
RETRY_AFTER: Final[Field] = ("Retry-After", "3")  # RFC 3261 §14.2: 0 to 10 s
TRY_LATER: Final = frozenset({491, 500, 503})


class Changes:
    """One per call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._is_wanted = False
        self._sent: TransactionId | None = None
        self._sent_cseq = 0
        self._unacked: set[TransactionId] = set()
        self._offered_in: TransactionId | None = None  # their INVITE whose ACK answers our offer
        self._tries = 0
        self._retry_at: float | None = None

    def owns(self, id_: TransactionId) -> bool:
        """Whether this is an INVITE inside the call, of ours or of theirs."""
        return id_ == self._sent or id_ in self._unacked

    # --- From here

    def want(self, now: float) -> None:
        """Offer anew what the seat does, as soon as that is allowed."""
        self._is_wanted, self._tries = True, 0
        self.send_wanted(now)

    def send_wanted(self, now: float) -> None:
        """Send what is wanted, unless something is under way."""
        call = self._call
        is_blocked = self._sent is not None or self._retry_at is not None or call.media.is_offering
        if not self._is_wanted or is_blocked or not call.is_up or call.dialog is None:
            return
        self._is_wanted = False
        self._tries += 1
        fields = [*call.media_fields(), SDP_FIELD]
        request = call.dialog.make_request("INVITE", fields=fields, body=call.media.offer())
        self._sent_cseq = request.cseq.number
        self._sent = call.send(request, call.dialog, now)

    def handle_answer(self, response: Response, now: float) -> None:
        """The answer to our INVITE."""
        id_ = self._sent
        if id_ is None or not response.is_final:
            return
        if response.is_success:
            self._acknowledge(id_, now)
            if self._call.media.handle_answer(sdp_in(response) or b"") is not None:
                self._call.line.counters.add(Count.BAD_ANSWER)
        else:
            self._call.media.drop_offer()
            if response.status in TRY_LATER and self._tries < MAX_TRIES:
                self._is_wanted, self._retry_at = True, now + self._delay()
        self._sent = None
        self._call.tell_media()
        self.send_wanted(now)

    def _acknowledge(self, id_: TransactionId, now: float) -> None:
        dialog = self._call.dialog
        if dialog is not None:
            ack = dialog.make_ack(self._sent_cseq)
            self._call.line.transactions.acknowledge(id_, ack, dialog.peer, now)

    def _delay(self) -> float:
        """RFC 3261 §14.1: whoever made the call waits longer, so that one goes first."""
        chance = self._call.line.random.random()
        return 2.1 + 1.9 * chance if self._call.is_outgoing else 2.0 * chance

    # --- From there

    def handle_invite(self, incoming: Incoming, now: float) -> None:
        """A re-INVITE."""
        if self._is_refused(incoming, now):
            return
        call, request = self._call, incoming.request
        offer = sdp_in(request)
        body = call.media.offer() if offer is None else self._answer(incoming, offer, now)
        if body is None:
            return
        call.own(incoming.id)
        self._unacked.add(incoming.id)
        self._offered_in = incoming.id if offer is None else None
        fields = [*call.media_fields(), SDP_FIELD]
        call.line.respond(incoming, 200, now, fields=fields, body=body)
        call.tell_media()

    def handle_update(self, incoming: Incoming, now: float) -> None:
        """An UPDATE: with an offer, or only with a new Contact."""
        call, offer = self._call, sdp_in(incoming.request)
        contact = call.line.contact_of(call.user)
        if not incoming.request.body and not call.is_over:
            call.line.respond(incoming, 200, now, fields=[contact])
            return
        if self._is_refused(incoming, now) or offer is None:
            return
        body = self._answer(incoming, offer, now)
        if body is not None:
            call.line.respond(incoming, 200, now, fields=[contact, SDP_FIELD], body=body)
            call.tell_media()

    def handle_acked(self, id_: TransactionId, request: Request, now: float) -> None:
        """The ACK for our answer to a re-INVITE; it answers our offer, if that was one."""
        self._unacked.discard(id_)
        self._call.disown(id_)
        if id_ == self._offered_in:
            self._offered_in = None
            if self._call.media.handle_answer(sdp_in(request) or b"") is not None:
                self._call.line.counters.add(Count.BAD_ANSWER)
            self._call.tell_media()
        self.send_wanted(now)

    def _is_refused(self, incoming: Incoming, now: float) -> bool:
        """Whether it is no time for changes, or the body is none of ours; then it is answered."""
        call, line = self._call, self._call.line
        if call.is_over:
            line.refuse(incoming, 481, Count.NO_DIALOG, now)
        elif self._sent is not None or call.state is State.CALLING:
            line.refuse(incoming, 491, Count.OUT_OF_TURN, now)
        elif not call.is_up or call.media.is_offering or len(self._unacked) >= MAX_UNACKED:
            line.refuse(incoming, 500, Count.OUT_OF_TURN, now, fields=[RETRY_AFTER])
        elif has_foreign_body(incoming.request) or is_encoded(incoming.request):
            fields = [ACCEPT_SDP, ACCEPT_ENCODING]
            line.refuse(incoming, 415, Count.BAD_CONTENT, now, fields=fields)
        else:
            return False
        return True

    def _answer(self, incoming: Incoming, offer: bytes, now: float) -> bytes | None:
        """Our answer to their offer; None if it was refused."""
        result = self._call.media.answer(offer)
        if isinstance(result, Refusal):
            refuse_media(self._call, incoming, result, now)
            return None
        return result

    # --- Time

    def next_timeout(self) -> tuple[float, str] | None:
        """When a change that crossed another is tried again."""
        return None if self._retry_at is None else (self._retry_at, "change of a call")

    def handle_timeout(self, now: float) -> None:
        """Try again."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self.send_wanted(now)


def refuse_media(
    call: Call, incoming: Incoming, refusal: Refusal, now: float, *, to_tag: str = ""
) -> None:
    """Refuse an INVITE or UPDATE for what it offers."""
    why = Count.BAD_REQUEST if refusal.status == BAD_REQUEST else Count.NO_COMMON_CODEC
    fields = [call.line.warning(refusal.reason)]
    call.line.refuse(incoming, refusal.status, why, now, to_tag=to_tag, fields=fields)
