"""Be the phone of this node: wire the core, the sockets, the seats, the history and the texts.

Place     apps/service.py -> here; everything else of the phone is called from here
Spec      docs/apps/sip.md §3; docs/decisions/0013
Keeps     a text is in the history before its sender hears that it arrived; a call whose seat is gone
          is hung up; what cannot be written down is counted, and the phone goes on
Not here  what the phone decides (phone/), commands of people (control_calls.py), the machine that
          answers (voicemail.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import singledispatchmethod
from typing import Any

from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings
from dexmesh.apps.base.sockets import Listening, Purpose
from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.facts import caller_facts
from dexmesh.apps.call.phone.core import Phone, uri_at
from dexmesh.apps.call.phone.people import Contacts, Directory
from dexmesh.apps.call.phone.values import (
    AnsweredAt,
    CallError,
    CallId,
    DigitsArrived,
    Ended,
    EndReason,
    Established,
    MediaChanged,
    Missed,
    MissedReason,
    Output,
    Presence,
    Progress,
    ReceiptArrived,
    ReceiptState,
    Ringing,
    SeatMedia,
    SendDigits,
    TextArrived,
    TextDone,
    TextId,
    Unanswered,
)
from dexmesh.apps.call.preferences import Preferences
from dexmesh.apps.call.seats import SeatLine, Seats
from dexmesh.apps.call.sip.outputs import Send
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import SipUri, parse_uri
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.store.tables import Entry, Kind, State
from dexmesh.apps.call.transport import SipTransport
from dexmesh.wire.address import Address

MAX_WAITING = 2000  # ours: things to be written down
SIGNS_AFTER_S = 1.0  # ours: signs of life are told together, when a call has been set up
MAX_SIGNS = 1024  # ours: nodes, in that time
LOOK_S = (
    10.0  # ours: a phone that is there has answered by then, also where the way is searched first
)

log = logging.getLogger(__name__)


class PhoneService:
    """One per worker."""

    def __init__(
        self,
        me: Me,
        settings: AppSettings,
        contacts: Contacts,
        directory: Directory,
        history: History,
        preferences: Preferences,
        heard: Callable[[Address], None],
    ) -> None:
        self.me, self.history, self.preferences = me, history, preferences
        self.settings = settings.phone
        self.seats = Seats()
        self.statistics: dict[CallId, dict[str, Any]] = {}
        self.unanswered: Callable[[Unanswered], None] = lambda event: None
        self._machines: set[CallId] = set()
        self._heard = heard
        self._signs: set[Address] = set()
        self._sign_timer: asyncio.TimerHandle | None = None
        self._transport = SipTransport(
            me.address, self._take, self._fail, is_known=contacts.is_contact
        )
        self._phone = Phone(
            *(me.address, settings.phone.port, contacts, directory, random.SystemRandom()),
            codecs=catalogue.formats(),
            answers_at_once=self._sit_down,
            is_own=self._transport.is_own,
        )
        self._directory = directory
        self._texts: dict[TextId, asyncio.Future[TextDone]] = {}
        self._looks: dict[asyncio.Future[Presence], tuple[Address, str]] = {}
        self._writings: asyncio.Queue[Awaitable[None]] = asyncio.Queue(MAX_WAITING)
        self._timer: asyncio.TimerHandle | None = None
        self._ringing: dict[CallId, Ringing] = {}
        self._lost = 0

    @property
    def phone(self) -> Phone:
        """The core; call `pump` after a command."""
        return self._phone

    def uris(self, user: str) -> list[str]:
        """What others write to call this user, the shortest last."""
        return [
            uri_at(self.me.address, user).text,
            f"sip:{user}@{self.me.alt_name}",
        ]

    # --- Begin and end ------------------------------------------------------------------------------

    async def start(self, listening: Listening) -> bool:
        """Serve the sockets of the phone; False where the main one could not be had."""
        udp = listening.of(Purpose.PHONE, is_tcp=False)
        tcp = listening.of(Purpose.PHONE)
        if not udp:
            return False
        for user in self._directory.users():
            self._phone.configure(user, self.preferences.of(user))
        await self._transport.start(udp[0], tcp[0] if tcp else None)
        return True

    async def close(self) -> None:
        """Hang up what is under way, and stop listening."""
        for view in self._phone.calls(time.monotonic()):
            self._phone.hang_up(view.call, time.monotonic())
        self.pump()
        await self._transport.close()
        for timer in (self._timer, self._sign_timer):
            if timer is not None:
                timer.cancel()
        while not self._writings.empty():
            await self._write_down(self._writings.get_nowait())

    async def write(self) -> None:
        """Write down what happens, for ever."""
        while True:
            await self._write_down(await self._writings.get())

    async def _write_down(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except CallError as error:
            self._lost += 1
            log.warning("a call or text was not written down", extra={"reason": str(error)})

    def counters(self) -> dict[str, int]:
        """What happened since the start."""
        lost = {"not written down": self._lost} if self._lost else {}
        sip = {f"SIP: {name}": count for name, count in self._phone.sip_counts.items()}
        return {**self._phone.counters.snapshot(), **self._transport.counts, **sip, **lost}

    def rings(self, call: CallId, user: str) -> bool:
        """Whether that call rings for this user."""
        ringing = self._ringing.get(call)
        return ringing is not None and user in ringing.users

    def ringing_for(self, user: str) -> list[dict[str, Any]]:
        """The calls that ring for this user now, as events for a seat that came later."""
        return [_ringing_event(one) for one in self._ringing.values() if user in one.users]

    def hang_up(self, call: CallId) -> None:
        """End a call if it is not over."""
        with contextlib.suppress(CallError):
            self._phone.hang_up(call, time.monotonic())
        self.pump()

    def take_for_machine(self, call: CallId, user: str, port: int) -> SeatLine:
        """Voicemail answers a call for this user, with its media at this port. Raises CallError."""
        line = self.seats.take_call(call, user)
        self._machines.add(call)
        try:
            seat = SeatMedia(port, catalogue.formats())
            self._phone.answer(call, user, seat, time.monotonic(), is_machine=True)
        except CallError:
            self.leave_machine(call)
            raise
        self.pump()
        return line

    def leave_machine(self, call: CallId) -> None:
        """Voicemail is done with a call."""
        self.hang_up(call)
        self.seats.drop_call(call)
        self._machines.discard(call)

    def _sit_down(self, ringing: Ringing) -> AnsweredAt | None:
        """The seat that stands by for this call; nobody is rung then."""
        if ringing.is_waiting:
            return None
        seat = self.seats.sit_down(
            ringing.call, ringing.users, answers_itself=ringing.answers_itself
        )
        if seat is None:
            return None
        seat.line.tell(_ringing_event(ringing))
        return seat.line.user, seat.media

    # --- The core and its clock ---------------------------------------------------------------------

    def pump(self) -> None:
        """Do what the phone decided; after every command."""
        while outputs := self._phone.take_outputs():
            for output in outputs:
                self._act(output)
        self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._phone.next_timeout()
        if due is not None:
            delay_s = max(0.0, due[0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring_clock)

    def _ring_clock(self) -> None:
        self._timer = None
        self._phone.handle_timeout(time.monotonic())
        self.pump()

    def _take(self, data: bytes, peer: Peer, now: float) -> None:
        self._phone.handle_message(data, peer, now)
        self.pump()
        self._note_sign(peer.address)

    def _note_sign(self, address: Address) -> None:
        """A node lives, which the mail shall hear; in a moment, for it takes its time then."""
        if not self._signs:
            self._sign_timer = asyncio.get_running_loop().call_later(
                SIGNS_AFTER_S, self._tell_signs
            )
        if len(self._signs) < MAX_SIGNS:
            self._signs.add(address)

    def _tell_signs(self) -> None:
        signs, self._signs = self._signs, set()
        for address in signs:
            self._heard(address)

    def _fail(self, peer: Peer, now: float) -> None:
        self._phone.handle_transport_failed(peer, now)
        self.pump()

    # --- Outputs ------------------------------------------------------------------------------------

    @singledispatchmethod
    def _act(self, output: Output) -> None:
        """Nobody here waits for this one."""

    @_act.register
    def _(self, output: Send) -> None:
        self._transport.send(output.peer, output.data)

    @_act.register
    def _(self, output: Ringing) -> None:
        self._ringing[output.call] = output
        self.seats.ring(output.users, _ringing_event(output))

    @_act.register
    def _(self, output: Unanswered) -> None:
        self.unanswered(output)

    @_act.register
    def _(self, output: Progress) -> None:
        plan = None if output.plan is None else output.plan.as_dict()
        event = {"event": "progress", "status": output.status, "plan": plan}
        self.seats.tell(output.call, {**event, "is_ringing": output.is_ringing})

    @_act.register
    def _(self, output: Established) -> None:
        self.seats.tell(output.call, {"event": "established", "plan": output.plan.as_dict()})
        self._stop_bells(output.call, "voicemail" if output.call in self._machines else "answered")

    @_act.register
    def _(self, output: MediaChanged) -> None:
        event = {
            "event": "changed",
            "plan": output.plan.as_dict(),
            "held_here": output.held_here,
            "held_there": output.held_there,
        }
        self.seats.tell(output.call, event)

    @_act.register
    def _(self, output: DigitsArrived) -> None:
        self.seats.tell(output.call, {"event": "digits", "digits": output.digits})

    @_act.register
    def _(self, output: SendDigits) -> None:
        self.seats.tell(output.call, {"event": "send_digits", "digits": output.digits})

    @_act.register
    def _(self, output: Ended) -> None:
        event = {
            "event": "ended",
            "reason": str(output.reason),
            "by": str(output.by),
            "status": output.status,
            "talked_s": round(output.talked_s, 1),
            "retry_after_s": output.retry_after_s,
        }
        self.seats.tell(output.call, event, is_last=True)
        self.seats.drop_call(output.call)
        self._stop_bells(output.call, str(output.reason))
        self.statistics.pop(output.call, None)
        if output.call in self._machines:
            self._machines.discard(output.call)  # voicemail writes it down
        elif output.is_outgoing or output.talked_s or output.reason is EndReason.DECLINED:
            self._later(self._add(_call_entry(output)))

    def _stop_bells(self, call: CallId, why: str) -> None:
        ringing = self._ringing.pop(call, None)
        if ringing is not None:
            event = {"event": "stopped", "call": call, "reason": why}
            self.seats.ring(ringing.users, event)

    @_act.register
    def _(self, output: Missed) -> None:
        for user in output.users:
            self._later(self._add(missed_entry(user, output)))
        if output.reason is not MissedReason.STRANGER:
            event = {"event": "missed", "caller": caller_facts(output.caller)}
            self.seats.ring(output.users, {**event, "reason": str(output.reason)})

    @_act.register
    def _(self, output: TextArrived) -> None:
        self._later(self._store_text(output))

    @_act.register
    def _(self, output: TextDone) -> None:
        waiting = self._texts.pop(output.text_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(output)

    @_act.register
    def _(self, output: Presence) -> None:
        for waiting, person in self._looks.items():
            if person == (output.address, output.user) and not waiting.done():
                waiting.set_result(output)

    @_act.register
    def _(self, output: ReceiptArrived) -> None:
        if output.state is ReceiptState.DISPLAYED:
            self._later(self._note_receipt(output))

    # --- Writing down -------------------------------------------------------------------------------

    def _later(self, writing: Awaitable[None]) -> None:
        try:
            self._writings.put_nowait(writing)
        except asyncio.QueueFull:
            self._lost += 1
            close = getattr(writing, "close", None)
            if close is not None:
                close()

    async def _add(self, entry: Entry) -> None:
        await self.history.add(entry)

    async def _store_text(self, arrived: TextArrived) -> None:
        try:
            for user in arrived.users:
                await self._store_text_of(user, arrived)
        except CallError:
            self._phone.confirm_text(arrived.text_id, time.monotonic(), is_stored=False)
            self.pump()
            raise
        self._phone.confirm_text(arrived.text_id, time.monotonic(), is_stored=True)
        self.pump()

    async def _store_text_of(self, user: str, arrived: TextArrived) -> None:
        entry = Entry(
            *(user, Kind.TEXT, False, arrived.caller.address, time.time(), State.RECEIVED),
            remote_user=arrived.caller.claimed_user,
            claimed_name=arrived.caller.claimed_name,
            is_request=arrived.is_request,
            is_flagged=arrived.caller.is_flagged,
            text=arrived.text,
            message_id=arrived.message_id,
            is_seen=False,
        )
        number = await self.history.add(entry)
        if number is not None and not arrived.is_request:
            event = {"event": "text", "number": number, "caller": caller_facts(arrived.caller)}
            self.seats.ring([user], {**event, "text": arrived.text})

    async def _note_receipt(self, receipt: ReceiptArrived) -> None:
        await self.history.receipt(receipt.caller.address, receipt.message_id, State.DISPLAYED)

    # --- Who is there -------------------------------------------------------------------------------

    async def look(self, user: str, target: SipUri, address: Address) -> Presence | None:
        """Whether a phone answers there, as it was less than 5 minutes ago; None: not within LOOK_S.

        Raises CallError.
        """
        self._phone.ask(user, target, time.monotonic())
        self.pump()
        known = self._phone.presence_of(target)
        if known is not None:
            return known
        waiting: asyncio.Future[Presence] = asyncio.get_running_loop().create_future()
        self._looks[waiting] = address, target.user
        try:
            async with asyncio.timeout(LOOK_S):
                return await waiting
        except TimeoutError:
            return None
        finally:
            del self._looks[waiting]

    # --- Texts out ----------------------------------------------------------------------------------

    async def send_text(self, user: str, uri: str, body: str, message_id: str) -> TextDone:
        """Try to deliver a text; what became of the try. Raises CallError."""
        text_id = self._phone.send_text(
            user, parse_uri(uri), body, time.monotonic(), message_id=message_id
        )
        waiting: asyncio.Future[TextDone] = asyncio.get_running_loop().create_future()
        self._texts[text_id] = waiting
        try:
            self.pump()
            return await waiting
        finally:
            self._texts.pop(text_id, None)


def _ringing_event(ringing: Ringing) -> dict[str, Any]:
    return {
        "event": "ringing",
        "call": ringing.call,
        "caller": caller_facts(ringing.caller),
        "is_waiting": ringing.is_waiting,
        "answers_itself": ringing.answers_itself,
    }


def _call_entry(ended: Ended) -> Entry:
    state = State.ANSWERED if ended.talked_s else State.FAILED
    if not ended.is_outgoing and not ended.talked_s:
        state = State.DECLINED if ended.reason is EndReason.DECLINED else State.MISSED
    began = time.time() - ended.talked_s
    return Entry(
        *(ended.user, Kind.CALL, ended.is_outgoing, ended.peer.address, began, state),
        remote_user=ended.peer.claimed_user,
        claimed_name=ended.peer.claimed_name,
        is_flagged=ended.peer.is_flagged,
        reason=str(ended.reason),
        talked_s=ended.talked_s,
    )


def missed_entry(user: str, missed: Missed) -> Entry:
    """What the history says of a call that nobody answered."""
    caller = missed.caller
    return Entry(
        *(user, Kind.CALL, False, caller.address, time.time(), State.MISSED),
        remote_user=caller.claimed_user,
        claimed_name=caller.claimed_name,
        is_request=not caller.is_contact,
        is_flagged=caller.is_flagged,
        reason=str(missed.reason),
        is_seen=False,
    )
