"""Run one call from its first message to its last: what both directions have in common.

Place     core.py -> outgoing.py, incoming.py -> here -> changes.py, digits.py, negotiation.py
Spec      RFC 3261 §12 to §15; docs/apps/sip.md §3 "SIP subset"
Keeps     `Ended` is told exactly once; a call whose person has left ends by itself, at the latest
          LINGER_S later
Not here  the table of states (states.py), re-INVITE and UPDATE (changes.py), who may ring (policy.py)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.phone.changes import Changes
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.digits import ACCEPT_KEYS, KeySender, check_digits, read_digits
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.line import ALLOW, Line
from dexmesh.apps.call.phone.negotiation import Negotiation
from dexmesh.apps.call.phone.states import TABLE, Event, State
from dexmesh.apps.call.phone.values import (
    CallError,
    CallId,
    CallView,
    DigitsArrived,
    Ended,
    EndReason,
    Established,
    MediaChanged,
    SendDigits,
    Side,
)
from dexmesh.apps.call.sip.dialog import Dialog, DialogState
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Incoming, TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer

CHECK_S: Final = 60.0  # ours: how often a call without sound is checked to be alive
LINGER_S: Final = 70.0  # ours: longer than any transaction, which ends the call as a rule
_OVER: Final = (State.CANCELLING, State.LEAVING, State.ENDED)


class Call(ABC):
    """One call; `OutgoingCall` or `IncomingCall`. Performs no I/O and never reads a clock."""

    is_outgoing: ClassVar[bool]
    first_state: ClassVar[State]

    def __init__(self, line: Line, id_: CallId, peer: Caller, user: str) -> None:
        self.line = line
        self.id = id_
        self.peer = peer
        self.user = user
        self.is_machine = False  # voicemail has it, not the person
        self.state = self.first_state
        self.dialog: Dialog | None = None
        session_id = int.from_bytes(line.random.randbytes(8), "big") >> 1
        self.media = Negotiation(line.own, peer.address, session_id)
        self.changes = Changes(self)
        self._keys = KeySender(self)
        self._dialogs: list[Dialog] = []
        self._transactions: set[TransactionId] = set()
        self._check: TransactionId | None = None
        self._deadline: float | None = None
        self._up_at: float | None = None
        self._was_told = False
        self._told_media: MediaChanged | None = None

    @property
    def is_up(self) -> bool:
        """Whether both sides may talk, and know it."""
        return self.state is State.UP

    @property
    def is_over(self) -> bool:
        """Whether the person has left; messages may still be under way."""
        return self.state in _OVER

    def view(self, now: float) -> CallView:
        """How it stands, for a person."""
        return CallView(
            self.id,
            self.state.value,
            self.user,
            self.peer,
            self.is_outgoing,
            self.media.plan,
            self.media.held_here,
            self.media.held_there,
            0.0 if self._up_at is None else now - self._up_at,
            self.is_machine,
        )

    @abstractmethod
    def begin(self, now: float) -> None:
        """Do the first thing: send the INVITE, or say that it rings."""

    # --- Commands

    def hang_up(self, now: float) -> None:
        """End it, whatever its state."""
        self.leave(EndReason.HUNG_UP, Side.US, now)

    def handle_dead_media(self, now: float) -> None:
        """The seat hears nothing of the other side any more."""
        self.leave(EndReason.MEDIA_DEAD, Side.NOBODY, now)

    def hold(self, *, is_held: bool, now: float) -> None:
        """Hold the call, or take it back. Sound from here stops at once."""
        self._require_answered()
        if self.media.held_here == is_held:
            return
        self.media.held_here = is_held
        self.tell_media()
        self.changes.want(now)

    def send_digits(self, digits: str, now: float) -> None:
        """Press keys: by telephone-event where that was agreed, else by INFO."""
        self._require_answered()
        digits, plan = check_digits(digits), self.media.plan
        if plan is None or plan.agreed.events is None:
            self._keys.send(digits, now)
        elif plan.agreed.direction.sends:
            self.line.tell(SendDigits(self.id, digits))
        else:
            raise CallError("the call is on hold: keys go with the sound", "press them afterwards")

    def _require_answered(self) -> None:
        if self.state not in (State.UP, State.ANSWERED):
            raise CallError("nobody has answered this call yet", "wait until it is established")

    # --- What the other side does

    def handle_request(self, incoming: Incoming, now: float) -> None:
        """A request of this call that its dialog took."""
        handler = _REQUESTS.get(incoming.request.method)
        if handler is not None:
            handler(self, incoming, now)

    def _handle_bye(self, incoming: Incoming, now: float) -> None:
        self.line.respond(incoming, 200, now)
        self.leave(EndReason.HUNG_UP, Side.THEM, now, Event.BYE)

    def _handle_info(self, incoming: Incoming, now: float) -> None:
        request = incoming.request
        digits = read_digits(request)
        if digits is not None:
            self.line.tell(DigitsArrived(self.id, digits))
        elif request.headers.first("Info-Package") is not None:  # RFC 6086 §4.2.2
            fields = [("Recv-Info", "")]
            self.line.refuse(incoming, 469, Count.BAD_CONTENT, now, fields=fields)
            return
        elif request.body:
            self.line.refuse(incoming, 415, Count.BAD_CONTENT, now, fields=[ACCEPT_KEYS])
            return
        self.line.respond(incoming, 200, now)

    def _handle_invite(self, incoming: Incoming, now: float) -> None:
        self.changes.handle_invite(incoming, now)

    def _handle_update(self, incoming: Incoming, now: float) -> None:
        self.changes.handle_update(incoming, now)

    def handle_answer(self, id_: TransactionId, response: Response, peer: Peer, now: float) -> None:
        """An answer to a request of ours in this call."""
        dialog = self.dialog
        if dialog is None or self.state is not State.UP:
            return
        dialog.handle_response(response, peer)
        if dialog.state is DialogState.ENDED:
            self.leave(EndReason.LOST, Side.NOBODY, now, Event.LOST, response.status)
        elif self.changes.owns(id_):
            self.changes.handle_answer(response, now)
        elif self._keys.owns(id_):
            self._keys.handle_answer(response, now)
        elif id_ == self._check and response.is_final:
            self._check = None
        if response.is_final:
            self.disown(id_)

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """A request of ours in this call, or an answer to a re-INVITE, came to nothing."""
        if self._keys.owns(id_):
            self._keys.handle_failed()
        elif self.changes.owns(id_) or id_ == self._check:
            self.leave(EndReason.LOST, Side.NOBODY, now, Event.LOST)

    def handle_acked(self, id_: TransactionId, request: Request, now: float) -> None:
        """The ACK for an answer of ours to an INVITE."""
        if self.changes.owns(id_):
            self.changes.handle_acked(id_, request, now)

    @abstractmethod
    def handle_cancelled(self, id_: TransactionId, now: float) -> None:
        """The other side takes an INVITE back."""

    # --- Time

    def next_timeout(self) -> tuple[float, str] | None:
        """When, and for what reason, `handle_timeout` wants to be called."""
        change = self.changes.next_timeout()
        own = None if self._deadline is None else (self._deadline, f"call {self.state.value}")
        return min((one for one in (change, own) if one is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self.changes.handle_timeout(now)
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._handle_deadline(now)

    def _handle_deadline(self, now: float) -> None:
        """It rang too long, lingered too long, or it is time to look whether it is alive."""
        if self.state is State.UP:
            self._look_alive(now)
        else:
            self.leave(EndReason.NO_ANSWER, Side.NOBODY, now, Event.TOO_LONG)

    def _look_alive(self, now: float) -> None:
        """Nobody misses the sound of a held call: ask with OPTIONS whether the other side is there."""
        self._deadline = now + CHECK_S
        plan, dialog = self.media.plan, self.dialog
        is_silent = plan is None or plan.agreed.direction is not Direction.SENDRECV
        if is_silent and self._check is None and dialog is not None:
            self._check = self.send(dialog.make_request("OPTIONS"), dialog, now)

    # --- Ending

    def leave(
        self,
        reason: EndReason,
        by: Side,
        now: float,
        event: Event = Event.LEAVE,
        status: int = 0,
    ) -> None:
        """Take the step that the table has for the event, with what it needs on the wire."""
        before = self.state
        if not self.step(event, now):
            return
        self.tell_ended(reason, by, now, status)
        if before is State.UP and event is not Event.BYE:
            self.send_bye(self.dialog, now)
        elif before is not State.UP:
            self._leave_unanswered(before, event, status, now)

    @abstractmethod
    def _leave_unanswered(self, before: State, event: Event, status: int, now: float) -> None:
        """Tell the other side, in the way the state demands; `status` is 0 where none is chosen."""

    def step(self, event: Event, now: float) -> bool:
        """Go where the table says; False if it has no such step."""
        after = TABLE[self.state].get(event)
        if after is None:
            return False
        self.state = after
        self._deadline = now + (LINGER_S if self.is_over else CHECK_S)
        if after is State.ENDED:
            self._deadline = None
            self.line.ended.append(self)
        return True

    def tell_ended(
        self,
        reason: EndReason,
        by: Side,
        now: float,
        status: int = 0,
        retry_after_s: int | None = None,
    ) -> None:
        """Tell the service, the first time."""
        if self._was_told:
            return
        self._was_told = True
        talked_s = 0.0 if self._up_at is None else now - self._up_at
        self.line.tell(
            Ended(
                self.id, reason, by, self.user, self.peer, self.is_outgoing, status, talked_s,
                retry_after_s,
            )
        )  # fmt: skip

    def send_bye(self, dialog: Dialog | None, now: float) -> None:
        """Tell the other side that this dialog is over; nobody waits for the answer."""
        if dialog is None or dialog.state is DialogState.ENDED:
            return
        dialog.end()
        self.line.transactions.request(dialog.make_request("BYE"), dialog.peer, now)

    # --- For the parts

    def handle_up(self, now: float) -> None:
        """Both sides know that the call is up: what was wanted before may go."""
        self.changes.send_wanted(now)
        self._keys.handle_up(now)

    def tell_established(self, now: float) -> None:
        """Tell the service that sound may flow, once there is a plan."""
        plan = self.media.plan
        if plan is None or self._up_at is not None or self._was_told:
            return
        self._up_at = now
        self.line.counters.add(Count.CALL_UP)
        self._told_media = self._media_now()
        self.line.tell(Established(self.id, self.user, plan))

    def tell_media(self) -> None:
        """Tell the service what has changed for the seat, if anything has."""
        changed = self._media_now()
        if self._up_at is None or self._was_told or changed is None or changed == self._told_media:
            return
        self._told_media = changed
        self.line.tell(changed)

    def _media_now(self) -> MediaChanged | None:
        plan = self.media.plan
        if plan is None:
            return None
        return MediaChanged(self.id, plan, self.media.held_here, self.media.held_there)

    def send(self, request: Request, dialog: Dialog, now: float) -> TransactionId:
        """Send a request that the dialog made, and hear what becomes of it."""
        id_ = self.line.request(request, dialog.peer, self, now)
        self._transactions.add(id_)
        return id_

    def own(self, id_: TransactionId) -> None:
        """Hear what becomes of this transaction."""
        self._transactions.add(id_)
        self.line.owners[id_] = self

    def disown(self, id_: TransactionId) -> None:
        """Not any more."""
        self._transactions.discard(id_)
        self.line.release([id_])

    def learn_dialog(self, dialog: Dialog) -> None:
        """Requests of this dialog are for this call."""
        self._dialogs.append(dialog)
        self.line.dialogs[dialog.id] = (self, dialog)

    def keep_only(self, kept: Dialog | None) -> None:
        """Requests of the other dialogs are for nobody any more."""
        for dialog in self._dialogs:
            if dialog is not kept:
                self.line.dialogs.pop(dialog.id, None)
        self._dialogs = []
        if kept is not None:
            self.learn_dialog(kept)

    def forget(self) -> None:
        """Leave the tables of the line: the call is over."""
        self.line.release(self._transactions)
        self.keep_only(None)

    def media_fields(self) -> list[Field]:
        """What an INVITE and a 2xx to one carry."""
        return [self.line.contact_of(self.user), ALLOW]


_REQUESTS: Final[Mapping[str, Callable[[Call, Incoming, float], None]]] = {
    "BYE": Call._handle_bye,
    "INFO": Call._handle_info,
    "INVITE": Call._handle_invite,
    "UPDATE": Call._handle_update,
}
IN_CALL_METHODS: Final = frozenset(_REQUESTS)
