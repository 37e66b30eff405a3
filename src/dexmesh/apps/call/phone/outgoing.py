"""Call somebody: INVITE, what rings where, the answer, CANCEL.

Place     core.py `dial` -> here; call.py has the rest of the call
Spec      RFC 3261 §13.2 (INVITE; several answers with different To tags), §9.1 (CANCEL), §13.2.2.4
Keeps     it rings RING_S at most; each 2xx is acknowledged and all but the first are hung up; an
          answer that crossed our CANCEL is hung up too
Not here  what a refusal means (endings.py)
"""

from __future__ import annotations

from typing import ClassVar, Final

from dexmesh.apps.call.phone.bodies import SDP_FIELD, sdp_in
from dexmesh.apps.call.phone.call import Call
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.endings import reason_of, reason_of_failure, retry_after
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.line import SUPPORTED, USER_AGENT, Line
from dexmesh.apps.call.phone.states import Event, State
from dexmesh.apps.call.phone.values import CallId, EndReason, Progress, SeatMedia, Side
from dexmesh.apps.call.sip.build import make_request
from dexmesh.apps.call.sip.dialog import Dialog, DialogId
from dexmesh.apps.call.sip.message import Response
from dexmesh.apps.call.sip.outputs import TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import SipUri, format_name_addr

RING_S: Final = 60.0  # docs/apps/sip.md §3
MAX_EARLY: Final = 8  # ours: dialogs of one INVITE before one is confirmed


class OutgoingCall(Call):
    """A call of ours. `user` calls `target` at the node of `peer`."""

    is_outgoing: ClassVar[bool] = True
    first_state: ClassVar[State] = State.CALLING

    def __init__(
        self, line: Line, id_: CallId, peer: Caller, user: str, target: SipUri, seat: SeatMedia
    ) -> None:
        super().__init__(line, id_, peer, user)
        self.media.take_seat(seat)
        self._early: dict[DialogId, Dialog] = {}
        self._told: Progress | None = None
        self._early_answer: tuple[DialogId, bytes] | None = None
        self._target = target
        self._invite = make_request(
            "INVITE",
            target.text,
            from_=line.from_of(user, line.random_name()),
            to=format_name_addr("", target.text),
            call_id=line.random_name(),
            cseq=1,
            fields=[*self.media_fields(), SUPPORTED, USER_AGENT, SDP_FIELD],
            body=self.media.offer(),
        )
        self._id = TransactionId(0)

    def begin(self, now: float) -> None:
        """Send the INVITE."""
        to = Peer(self.peer.address, self._target.port_or_default, self._target.is_tcp)
        self._id = self.line.request(self._invite, to, self, now)
        self.own(self._id)
        self._deadline = now + RING_S

    def handle_answer(self, id_: TransactionId, response: Response, peer: Peer, now: float) -> None:
        """An answer to the INVITE, or to a request inside the call."""
        if id_ != self._id:
            super().handle_answer(id_, response, peer, now)
        elif response.is_success:
            self._handle_success(response, peer, now)
        elif response.is_final:
            self._handle_refusal(response, now)
        else:
            self._handle_progress(response, peer)

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """Nobody answered the INVITE, or a request inside the call."""
        if id_ != self._id:
            super().handle_failed(id_, why, now)
        elif self.step(Event.FAILED, now):
            self.tell_ended(*reason_of_failure(why), now)

    def handle_cancelled(self, id_: TransactionId, now: float) -> None:
        """A re-INVITE of theirs, which was answered already."""

    def _handle_progress(self, response: Response, peer: Peer) -> None:
        if self.state is not State.CALLING or response.status == 100:
            return
        if response.to.tag:
            self._dialog_of(response, peer)
        body = sdp_in(response)
        plan = None if body is None else self.media.preview(body)
        if body is not None:
            self._early_answer = DialogId.of_response(response), body
        progress = Progress(self.id, response.status, plan)
        if progress != self._told:
            self._told = progress
            self.line.tell(progress)

    def _handle_refusal(self, response: Response, now: float) -> None:
        if self.step(Event.REFUSED, now):
            reason, status = reason_of(response.status), response.status
            self.tell_ended(reason, Side.THEM, now, status, retry_after(response))

    def _handle_success(self, response: Response, peer: Peer, now: float) -> None:
        dialog = self._dialog_of(response, peer)
        ack = dialog.make_ack(self._invite.cseq.number)
        self.line.transactions.acknowledge(self._id, ack, dialog.peer, now)
        if self.state is not State.CALLING:  # a second answer, or it crossed our CANCEL
            self.step(Event.ACCEPTED, now)
            self.send_bye(dialog, now)
            return
        self.dialog = dialog
        self.keep_only(dialog)
        self.step(Event.ACCEPTED, now)
        if self.media.handle_answer(self._answer_in(response)) is not None:
            self.line.counters.add(Count.BAD_ANSWER)
            self.leave(EndReason.BROKEN, Side.THEM, now, status=response.status)
            return
        self.tell_established(now)
        self.handle_up(now)

    def _answer_in(self, response: Response) -> bytes:
        """The answer to our offer; some send it before the 2xx and not again (RFC 3261 §13.2.1)."""
        body = sdp_in(response)
        if body is None and self._early_answer is not None:
            id_, early = self._early_answer
            body = early if id_ == DialogId.of_response(response) else None
        return body or b""

    def _dialog_of(self, response: Response, peer: Peer) -> Dialog:
        """The dialog of this To tag, which an answer may begin."""
        id_ = DialogId.of_response(response)
        dialog = self._early.get(id_)
        if dialog is not None:
            dialog.handle_response(response, peer)
            return dialog
        dialog = Dialog.as_caller(self._invite, response, peer)
        if len(self._early) < MAX_EARLY:
            self._early[id_] = dialog
            self.learn_dialog(dialog)
        return dialog

    def _leave_unanswered(self, before: State, event: Event, status: int, now: float) -> None:
        if before is State.CALLING:
            self.line.transactions.cancel(self._id, now)
