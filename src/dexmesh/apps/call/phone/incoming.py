"""Be called: ring, answer, decline, hand over to voicemail, hear that the caller gave up.

Place     frontdesk.py found who is called -> here; call.py has the rest of the call
Spec      RFC 3261 §13.3 (INVITE), §9.2 (CANCEL), §15 (no BYE before the ACK); docs/apps/sip.md §3
Keeps     it rings RING_S at most; the first answer wins; whoever called and was answered by nobody is
          told to the service as `Missed`
Not here  who may ring (policy.py)
"""

from __future__ import annotations

from typing import ClassVar, Final

from dexmesh.apps.call.media.offer import Refusal
from dexmesh.apps.call.phone.bodies import SDP_FIELD, sdp_in
from dexmesh.apps.call.phone.call import Call
from dexmesh.apps.call.phone.changes import refuse_media
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.line import SUPPORTED, Line
from dexmesh.apps.call.phone.policy import Ring, TurnedAway
from dexmesh.apps.call.phone.states import Event, State
from dexmesh.apps.call.phone.values import (
    CallError,
    CallId,
    EndReason,
    Missed,
    MissedReason,
    Ringing,
    SeatMedia,
    Side,
    Unanswered,
)
from dexmesh.apps.call.sip.dialog import Dialog
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Incoming, TransactionId, Why
from dexmesh.wire.address import Address

RING_S: Final = 60.0  # docs/apps/sip.md §3
UNANSWERED_S: Final = 30.0  # issue 5: then voicemail may answer


class IncomingCall(Call):
    """A call to `verdict.users`. A `TurnedAway` verdict rings nobody and waits for voicemail."""

    is_outgoing: ClassVar[bool] = False
    first_state: ClassVar[State] = State.RINGING

    def __init__(
        self,
        line: Line,
        id_: CallId,
        incoming: Incoming,
        caller: Caller,
        verdict: Ring | TurnedAway,
    ) -> None:
        super().__init__(line, id_, caller, verdict.users[0])
        self.users = verdict.users
        self._verdict = verdict
        self._incoming = incoming
        self._tag = line.random_name()
        self._unanswered_at: float | None = None

    @property
    def key(self) -> tuple[Address, str, str, int]:
        """What is equal in an INVITE that came here on two ways (RFC 3261 §8.2.2.2)."""
        return key_of(self._incoming)

    def begin(self, now: float) -> None:
        """Tell both sides that it rings; or answer, where a seat stands by for it."""
        self.own(self._incoming.id)
        ringing, verdict = None, self._verdict
        if not isinstance(verdict, TurnedAway):
            ringing = Ringing(
                *(self.id, self.users, self.peer, verdict.is_waiting, verdict.answers_itself)
            )
        seat = None if ringing is None else self.line.answers_at_once(ringing)
        if seat is not None:
            self.answer(*seat, now)
            return
        fields = self.media_fields()
        response = self.line.respond(self._incoming, 180, now, to_tag=self._tag, fields=fields)
        self._begin_dialog(response)
        self._deadline = now + RING_S
        if ringing is not None:
            self._unanswered_at = now + UNANSWERED_S
            self.line.tell(ringing)
        elif isinstance(verdict, TurnedAway):
            self.line.tell(Unanswered(self.id, self.users, self.peer, verdict.reason))

    def _begin_dialog(self, response: Response) -> None:
        self.dialog = Dialog.as_callee(self._incoming.request, response, self._incoming.peer)
        self.learn_dialog(self.dialog)

    # --- Commands

    def answer(self, user: str, seat: SeatMedia, now: float, *, is_machine: bool = False) -> None:
        """This user (or voicemail for him) takes the call at this seat. Raises CallError."""
        self._require_ringing(user)
        self.is_machine = is_machine
        self.media.take_seat(seat)
        offer = sdp_in(self._incoming.request)
        body = self.media.offer() if offer is None else self.media.answer(offer)
        if isinstance(body, Refusal):
            self.step(Event.LEAVE, now)
            refuse_media(self, self._incoming, body, now, to_tag=self._tag)
            self.tell_ended(EndReason.NO_COMMON_CODEC, Side.US, now, body.status)
            self._tell_missed(MissedReason.NO_COMMON_CODEC, now)
            return
        self.user = user
        self.step(Event.ANSWER, now)
        self._unanswered_at = None
        fields = [*self.media_fields(), SUPPORTED, SDP_FIELD]
        response = self.line.respond(
            self._incoming, 200, now, to_tag=self._tag, fields=fields, body=body
        )
        if self.dialog is None:  # it did not ring
            self._begin_dialog(response)
        else:
            self.dialog.confirm()
        self.tell_established(now)

    def decline(self, user: str, status: int, now: float) -> None:
        """This user (all, if empty) does not take the call; 480 means that nobody did.

        Raises CallError.
        """
        self._require_ringing(user or self.users[0])
        self.users = tuple(one for one in self.users if one != user) if user else ()
        if not self.users:
            is_missed = status == UNAVAILABLE
            reason = EndReason.NO_ANSWER if is_missed else EndReason.DECLINED
            self.leave(reason, Side.NOBODY if is_missed else Side.US, now, status=status)

    def _require_ringing(self, user: str) -> None:
        if self.state is not State.RINGING:
            raise CallError(
                "this call does not ring any more", "somebody else answered, or it ended"
            )
        if user not in self.users:
            raise CallError(f"this call is not for {user}")

    # --- What the other side does

    def handle_cancelled(self, id_: TransactionId, now: float) -> None:
        """The caller gave up; a re-INVITE was answered already."""
        if id_ == self._incoming.id:
            self.leave(EndReason.CANCELLED, Side.THEM, now, Event.WITHDRAWN)

    def handle_acked(self, id_: TransactionId, request: Request, now: float) -> None:
        """The caller saw our answer; in the ACK may be his answer to our offer."""
        if id_ != self._incoming.id:
            super().handle_acked(id_, request, now)
            return
        was_over = self.is_over
        if not self.step(Event.ACKED, now):
            return
        if was_over:
            self.send_bye(self.dialog, now)
            return
        if self.media.is_offering and self.media.handle_answer(sdp_in(request) or b"") is not None:
            self.line.counters.add(Count.BAD_ANSWER)
            self.leave(EndReason.BROKEN, Side.THEM, now)
            return
        self.tell_established(now)
        self.handle_up(now)

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """The caller never saw our answer, or a request inside the call came to nothing."""
        if id_ != self._incoming.id:
            super().handle_failed(id_, why, now)
        else:
            self.leave(EndReason.LOST, Side.NOBODY, now, Event.FAILED)

    # --- Time

    def next_timeout(self) -> tuple[float, str] | None:
        """When, and for what reason, `handle_timeout` wants to be called."""
        found = super().next_timeout()
        if self._unanswered_at is None:
            return found
        mine = (self._unanswered_at, "nobody answers")
        return mine if found is None else min(found, mine)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self._unanswered_at is not None and now >= self._unanswered_at:
            self._unanswered_at = None
            if self.state is State.RINGING:
                self.line.tell(Unanswered(self.id, self.users, self.peer))
        super().handle_timeout(now)

    # --- Ending

    def _leave_unanswered(self, before: State, event: Event, status: int, now: float) -> None:
        self._unanswered_at = None
        if before is State.RINGING:
            self._refuse(event, status, now)
        elif event in (Event.FAILED, Event.TOO_LONG):  # no ACK came, for which BYE has waited
            self.send_bye(self.dialog, now)

    def _refuse(self, event: Event, status: int, now: float) -> None:
        """Answer the INVITE, and say whether the call was missed; a person who declines has seen it."""
        self.line.respond(
            self._incoming, status or _STATUS.get(event, DECLINED), now, to_tag=self._tag
        )
        if event is not Event.LEAVE or status == UNAVAILABLE:
            is_cancelled = event in (Event.WITHDRAWN, Event.BYE)
            reason = MissedReason.CANCELLED if is_cancelled else MissedReason.NO_ANSWER
            self._tell_missed(reason, now)

    def _tell_missed(self, reason: MissedReason, now: float) -> None:
        if isinstance(self._verdict, TurnedAway):
            reason = self._verdict.reason
        self.line.tell_missed(Missed(self.id, self._verdict.users, self.peer, reason), now)


def key_of(invite: Incoming) -> tuple[Address, str, str, int]:
    """What is equal in an INVITE that came on two ways; nobody can make that of another's."""
    request = invite.request
    return invite.peer.address, request.call_id, request.from_.tag, request.cseq.number


DECLINED: Final = 603
UNAVAILABLE: Final = 480
_STATUS: Final = {Event.WITHDRAWN: 487, Event.BYE: 487, Event.TOO_LONG: UNAVAILABLE}
