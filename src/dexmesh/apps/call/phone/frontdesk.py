"""Receive what comes from outside a call: who is it, whom does he want, what may he have.

Place     core.py hands in requests without a To tag -> here -> incoming.py, texts.py, or an answer
Spec      RFC 3261 §8.2 (order of the checks), §11 (OPTIONS), §8.2.2.2 (482); docs/apps/sip.md §3
Keeps     every request is answered once, and every refusal is counted
Not here  requests of a call (call.py), how many requests are too many (policy.py `Rates`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dexmesh.apps.call.media.formats import Format
from dexmesh.apps.call.phone.bodies import (
    ACCEPT_ENCODING,
    ACCEPT_SDP,
    has_foreign_body,
    is_encoded,
    sdp_in,
)
from dexmesh.apps.call.phone.calls import MAX_CALLS, Calls
from dexmesh.apps.call.phone.contents import CPIM, IMDN, PLAIN
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.identity import Caller, identify
from dexmesh.apps.call.phone.incoming import IncomingCall, key_of
from dexmesh.apps.call.phone.line import ALLOW, SUPPORTED, USER_AGENT, Line
from dexmesh.apps.call.phone.negotiation import BAD_REQUEST, refuse_offer
from dexmesh.apps.call.phone.policy import (
    Ring,
    TurnedAway,
    find_called,
    has_room,
    judge_call,
)
from dexmesh.apps.call.phone.states import State
from dexmesh.apps.call.phone.texts import Texts
from dexmesh.apps.call.phone.values import Missed, MissedReason
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.outputs import Incoming

ACCEPT: Final[Field] = ("Accept", f"application/sdp, {PLAIN}, {CPIM}, {IMDN}")
RETRY_AFTER: Final[Field] = ("Retry-After", "10")
IN_DIALOG_ONLY: Final = frozenset({"BYE", "INFO", "UPDATE"})
EVENTS: Final = frozenset({"SUBSCRIBE", "NOTIFY"})

Serve = Callable[["FrontDesk", Incoming, Caller, tuple[str, ...], float], None]


class FrontDesk:
    """One per phone. `codecs`: what the seats of this machine can have."""

    def __init__(self, line: Line, calls: Calls, texts: Texts, codecs: tuple[Format, ...]) -> None:
        self._line = line
        self._calls = calls
        self._texts = texts
        self._codecs = codecs

    def handle_request(self, incoming: Incoming, now: float) -> None:
        """Any request outside of a call."""
        request, line, address = incoming.request, self._line, incoming.peer.address
        caller = identify(request.from_, address, line.contacts)
        serve = _SERVES.get(request.method)
        if caller is None:
            line.refuse(incoming, 403, Count.FORGED, now)
        elif address == line.own and not line.is_own(incoming.peer):
            line.refuse(incoming, 403, Count.NOT_OURS, now)
        elif line.contacts.is_blocked(address):
            line.refuse(incoming, 403, Count.BLOCKED, now)
        elif request.method in IN_DIALOG_ONLY:
            line.refuse(incoming, 481, Count.NO_DIALOG, now)
        elif serve is None:
            refuse_method(line, incoming, now)
        elif not refuse_extensions(line, incoming, now):
            users = self._find_users(incoming, now)
            if users:
                serve(self, incoming, caller, users, now)

    def _find_users(self, incoming: Incoming, now: float) -> tuple[str, ...]:
        """Who is meant; () if that is nobody here, which is answered."""
        uri, line = incoming.request.sip_uri, self._line
        if uri is None or uri.text[:5].lower() == "sips:":  # the mesh encrypts; we have no TLS
            line.refuse(incoming, 416, Count.BAD_REQUEST, now)
            return ()
        users = () if uri.address not in (None, line.own) else find_called(uri.user, line.directory)
        if not users:
            line.refuse(incoming, 404, Count.NO_USER, now)
        return users

    def _serve_options(
        self, incoming: Incoming, _caller: Caller, _users: tuple[str, ...], now: float
    ) -> None:
        self._line.counters.add(Count.PROBE)
        answer_options(self._line, incoming, now)

    def _serve_message(
        self, incoming: Incoming, caller: Caller, users: tuple[str, ...], now: float
    ) -> None:
        self._texts.handle_message(incoming, caller, users, now)

    def _serve_invite(
        self, incoming: Incoming, caller: Caller, users: tuple[str, ...], now: float
    ) -> None:
        line = self._line
        line.counters.add(Count.CALL_IN)
        if has_foreign_body(incoming.request) or is_encoded(incoming.request):
            fields = [ACCEPT_SDP, ACCEPT_ENCODING]
            line.refuse(incoming, 415, Count.BAD_CONTENT, now, fields=fields)
        elif self._came_before(incoming):
            line.refuse(incoming, 482, Count.OUT_OF_TURN, now)
        else:
            verdict = judge_call(
                users, caller, line.settings_of, lambda user: self._is_busy(user, caller)
            )
            self._act_on(verdict, incoming, caller, now)

    def _act_on(
        self, verdict: Ring | TurnedAway, incoming: Incoming, caller: Caller, now: float
    ) -> None:
        if isinstance(verdict, TurnedAway) and not self._takes_voicemail(verdict):
            self._turn_away(verdict, incoming, caller, now)
        elif not self._has_room(caller):
            self._line.refuse(incoming, 503, Count.TOO_MANY_CALLS, now, fields=[RETRY_AFTER])
        elif not self._refuse_offer(incoming, caller, verdict.users, now):
            call = IncomingCall(self._line, self._calls.new_id(), incoming, caller, verdict)
            self._calls.add(call, now)

    def _takes_voicemail(self, verdict: TurnedAway) -> bool:
        settings = map(self._line.settings_of, verdict.users)
        return verdict.reason is not MissedReason.STRANGER and any(
            one.has_voicemail for one in settings
        )

    def _turn_away(
        self, verdict: TurnedAway, incoming: Incoming, caller: Caller, now: float
    ) -> None:
        self._line.refuse(incoming, verdict.status, _COUNTS[verdict.reason], now)
        self._line.tell_missed(Missed(None, verdict.users, caller, verdict.reason), now)

    def _refuse_offer(
        self, incoming: Incoming, caller: Caller, users: tuple[str, ...], now: float
    ) -> bool:
        """Whether no seat here could take what is offered; then it is answered."""
        offer = sdp_in(incoming.request)
        result = None if offer is None else refuse_offer(offer, self._codecs)
        if result is None:
            return False
        is_bad = result.status == BAD_REQUEST
        why = Count.BAD_REQUEST if is_bad else Count.NO_COMMON_CODEC
        fields = [self._line.warning(result.reason)]
        self._line.refuse(incoming, result.status, why, now, fields=fields)
        if not is_bad:
            missed = Missed(None, users, caller, MissedReason.NO_COMMON_CODEC)
            self._line.tell_missed(missed, now)
        return True

    def _came_before(self, incoming: Incoming) -> bool:
        key = key_of(incoming)
        return any(isinstance(one, IncomingCall) and one.key == key for one in self._calls.all())

    def _has_room(self, caller: Caller) -> bool:
        early = [one.peer for one in self._calls.all() if one.state is State.RINGING]
        return len(self._calls) < MAX_CALLS and has_room(early, caller)

    def _is_busy(self, user: str, caller: Caller) -> bool:
        """Whether the user is in a call, or calls somebody else than who calls him now."""
        return any(
            one.user == user
            and not one.is_machine
            and (
                one.state in (State.UP, State.ANSWERED)
                or (one.state is State.CALLING and one.peer.address != caller.address)
            )
            for one in self._calls.all()
        )


def answer_options(line: Line, incoming: Incoming, now: float) -> None:
    """Say all that is served here."""
    fields = [ALLOW, ACCEPT, ACCEPT_ENCODING, ("Accept-Language", "en"), SUPPORTED, USER_AGENT]
    line.respond(incoming, 200, now, fields=fields)


def refuse_method(line: Line, incoming: Incoming, now: float) -> None:
    """489 for events, of which there are none; 501 for what is not served at all."""
    status = 489 if incoming.request.method in EVENTS else 501
    line.refuse(incoming, status, Count.BAD_METHOD, now, fields=[ALLOW])


def refuse_extensions(line: Line, incoming: Incoming, now: float) -> bool:
    """Whether the request requires something that we do not have; then it is answered (420)."""
    required = incoming.request.headers.all("Require")
    if not required:
        return False
    fields = [("Unsupported", ", ".join(required))]
    line.refuse(incoming, 420, Count.BAD_EXTENSION, now, fields=fields)
    return True


_SERVES: Final[Mapping[str, Serve]] = {
    "INVITE": FrontDesk._serve_invite,
    "MESSAGE": FrontDesk._serve_message,
    "OPTIONS": FrontDesk._serve_options,
}
_COUNTS: Final = {
    MissedReason.STRANGER: Count.STRANGER,
    MissedReason.DO_NOT_DISTURB: Count.DO_NOT_DISTURB,
    MissedReason.BUSY: Count.BUSY,
}
