"""Be the phone of this node: one object that takes messages, commands and time, and decides.

Place     call/transport.py hands in messages, the service commands -> here -> `take_outputs`: `Send`
          for the transport, everything else (values.py) for the service
Spec      docs/apps/sip.md §3; RFC 3261 §8, §12.2.2; docs/decisions/0013
Keeps     no message raises; everything is bounded and counted; nothing from outside the mesh counts
Not here  the parts: frontdesk.py (requests from outside), outgoing.py and incoming.py (calls),
          changes.py (hold, re-INVITE), texts.py, presence.py; sound (call/seat)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dexmesh.apps.call.media.formats import SOUND_FORMATS, Format
from dexmesh.apps.call.phone.call import IN_CALL_METHODS, Call
from dexmesh.apps.call.phone.calls import MAX_CALLS, Calls
from dexmesh.apps.call.phone.counters import Count, Counters
from dexmesh.apps.call.phone.frontdesk import (
    FrontDesk,
    answer_options,
    refuse_extensions,
    refuse_method,
)
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.incoming import DECLINED, IncomingCall
from dexmesh.apps.call.phone.line import Line, quote_user
from dexmesh.apps.call.phone.outgoing import OutgoingCall
from dexmesh.apps.call.phone.people import Contacts, Directory, Random
from dexmesh.apps.call.phone.policy import Rates, TooMuch
from dexmesh.apps.call.phone.presence import Asking
from dexmesh.apps.call.phone.texts import Texts
from dexmesh.apps.call.phone.values import (
    AnswersAtOnce,
    CallError,
    CallId,
    CallView,
    Output,
    Presence,
    SeatMedia,
    TextId,
    UserSettings,
    nobody,
)
from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.dialog import DialogId
from dexmesh.apps.call.sip.message import Request, decode, encode
from dexmesh.apps.call.sip.outputs import Acked, Answered, Cancelled, Failed, Incoming, Send
from dexmesh.apps.call.sip.outputs import Output as SipOutput
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.record import answer_peer
from dexmesh.apps.call.sip.uri import SipUri, address_literal, parse_uri
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address, is_mesh_address

_OF_CALLS: Final = frozenset({b"BYE", b"CANCEL", b"INFO", b"UPDATE", b"PRACK"})
_IN_FRONT: Final = b"\r\n\0 \t"  # of a message, whoever sends it: keep-alives, or to deceive
_LONGEST_METHOD: Final = 32
_HIGHEST_PORT: Final = 65_534  # RTCP is the next one


class Phone:
    """One per node. Performs no I/O and never reads a clock; `now` is monotonic seconds.

    `codecs` is what the seats of this machine can have: a call without any of them does not ring.
    `answers_at_once` is called from inside `handle_message`, and must not call the phone. `is_own`:
    whether what came from the own address was sent by this phone.
    Commands raise CallError.
    """

    def __init__(
        self,
        own: Address,
        port: int,
        contacts: Contacts,
        directory: Directory,
        random: Random,
        codecs: tuple[Format, ...] = SOUND_FORMATS,
        answers_at_once: AnswersAtOnce = nobody,
        is_own: Callable[[Peer], bool] = lambda _peer: True,
    ) -> None:
        self._line = Line(own, port, contacts, directory, random, answers_at_once, is_own)
        self._calls = Calls()
        self._texts = Texts(self._line)
        self._asking = Asking(self._line)
        self._desk = FrontDesk(self._line, self._calls, self._texts, codecs)
        self._rates = Rates()

    # --- Settings

    def configure(self, user: str, settings: UserSettings) -> None:
        """What this user wants from now on; calls that ring already ring on."""
        self._line.configure(user, settings)

    def settings_of(self, user: str) -> UserSettings:
        """What this user wants."""
        return self._line.settings_of(user)

    # --- Calls

    def dial(self, user: str, target: SipUri, seat: SeatMedia, now: float) -> CallId:
        """Call somebody for this user; `Progress`, `Established`, `Ended` follow."""
        address, target = _place(target)
        _check_seat(seat)
        if len(self._calls) >= MAX_CALLS:
            raise CallError("too many calls at once", "hang up one first")
        line = self._line
        contacts = line.contacts
        peer = Caller(
            address,
            contacts.petname_of(address, target.user),
            claimed_user=target.user,
            is_contact=contacts.is_contact(address),
        )
        call = OutgoingCall(line, self._calls.new_id(), peer, user, target, seat)
        line.counters.add(Count.CALL_OUT)
        self._calls.add(call, now)
        self._drain(now)
        return call.id

    def answer(
        self, call: CallId, user: str, seat: SeatMedia, now: float, *, is_machine: bool = False
    ) -> None:
        """Take a call that rings for this user; as voicemail (`is_machine`) he is not busy with it."""
        _check_seat(seat)
        self._incoming(call).answer(user, seat, now, is_machine=is_machine)
        self._drain(now)

    def decline(self, call: CallId, now: float, *, user: str = "", status: int = DECLINED) -> None:
        """Not for this user; the call ends when all have declined. Without a user: for all at once.

        `status` 480 says that nobody answered (voicemail neither): then the call counts as missed.
        """
        if not 400 <= status <= 699:
            raise CallError(f"{status} refuses no call", "603 declines, 480 says nobody is there")
        self._incoming(call).decline(user, status, now)
        self._drain(now)

    def hang_up(self, call: CallId, now: float) -> None:
        """End a call in any state."""
        self._call(call).hang_up(now)
        self._drain(now)

    def hold(self, call: CallId, now: float) -> None:
        """Hold a call: nothing is sent to the other side any more, from this moment."""
        self._call(call).hold(is_held=True, now=now)
        self._drain(now)

    def resume(self, call: CallId, now: float) -> None:
        """Take a held call back; sound flows when the other side has agreed."""
        self._call(call).hold(is_held=False, now=now)
        self._drain(now)

    def dtmf(self, call: CallId, digits: str, now: float) -> None:
        """Press keys (0-9 * # A-D): `SendDigits` for the seat, or INFO where it has to be."""
        self._call(call).send_digits(digits, now)
        self._drain(now)

    def handle_dead_media(self, call: CallId, now: float) -> None:
        """The seat of a call heard nothing for 20 s. Unknown calls are over already."""
        found = self._calls.get(call)
        if found is not None:
            found.handle_dead_media(now)
            self._drain(now)

    def calls(self, now: float) -> tuple[CallView, ...]:
        """The calls that are not over."""
        return tuple(one.view(now) for one in self._calls.all() if not one.is_over)

    # --- Texts, presence

    def send_text(
        self, user: str, target: SipUri, text: str, now: float, *, message_id: str
    ) -> TextId:
        """Send a text to somebody (without a user: whoever is first there); `TextDone` follows.

        `message_id` names the text however often it is tried (8 to 128 of A-Z a-z 0-9 . @ _ -), so
        that it is shown once: nobody else may be able to guess it.
        """
        address, target = _place(target)
        text_id = self._texts.send(user, target, address, text, message_id, now)
        self._drain(now)
        return text_id

    def confirm_text(self, text_id: TextId, now: float, *, is_stored: bool) -> None:
        """What became of a `TextArrived`: its sender hears 200, or 480 to come again."""
        self._texts.confirm(text_id, is_stored=is_stored, now=now)
        self._drain(now)

    def ask(self, user: str, target: SipUri, now: float) -> bool:
        """Ask whether somebody is there; False if that was done within 5 minutes. `Presence` follows."""
        address, target = _place(target)
        is_asked = self._asking.ask(user, target, address, now)
        self._drain(now)
        return is_asked

    def presence_of(self, target: SipUri) -> Presence | None:
        """What was found out last by `ask`; None if that is not known (yet)."""
        address, target = _place(target)
        return self._asking.presence_of(target, address)

    # --- Messages and time

    def handle_message(self, data: bytes, peer: Peer, now: float) -> None:
        """Take a datagram, or one message of a stream. Never raises."""
        if not is_mesh_address(peer.address):
            self._line.counters.add(Count.NOT_MESH)
            return
        too_much = self._judge_rate(data, peer, now)
        if too_much is not None:
            self._refuse_rate(data, peer, too_much)
            return
        self._line.transactions.handle_message(data, peer, now)
        self._drain(now)

    def handle_transport_failed(self, peer: Peer, now: float) -> None:
        """The transport could not send to this peer (that of the `Send`)."""
        self._line.transactions.handle_transport_failed(peer, now)
        self._drain(now)

    def next_timeout(self) -> tuple[float, str] | None:
        """When, and for what reason, `handle_timeout` wants to be called."""
        found = [self._line.transactions.next_timeout(), self._texts.next_timeout()]
        found += (call.next_timeout() for call in self._calls.all())
        return min((one for one in found if one is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._line.transactions.handle_timeout(now)
        self._texts.handle_timeout(now)
        for call in list(self._calls.all()):
            call.handle_timeout(now)
        self._drain(now)

    def take_outputs(self) -> list[Output]:
        """Everything decided since the last call, in order."""
        return self._line.take_outputs()

    @property
    def counters(self) -> Counters:
        """What the phone did and refused since the start."""
        return self._line.counters

    @property
    def sip_counts(self) -> Mapping[str, int]:
        """Why messages went no further than the transactions."""
        return self._line.transactions.counts

    def sizes(self) -> dict[str, int]:
        """How much is kept now: names a person reads -> number."""
        return {
            "calls": len(self._calls),
            "texts on their way": len(self._texts),
            "transactions": len(self._line.transactions),
        }

    # --- Inside

    def _drain(self, now: float) -> None:
        """Act on what the transactions decided, until nothing is left."""
        while outputs := self._line.transactions.take_outputs():
            for output in outputs:
                self._act_on(output, now)
            self._forget_ended()
        self._forget_ended()

    def _act_on(self, output: SipOutput, now: float) -> None:
        if isinstance(output, Send):
            self._line.tell(output)
        elif isinstance(output, Incoming):
            self._handle_request(output, now)
        else:
            self._handle_outcome(output, now)

    def _handle_outcome(self, output: Answered | Cancelled | Acked | Failed, now: float) -> None:
        """What became of a transaction, for whoever waits for it."""
        owner = self._line.owners.get(output.id)
        if owner is None:
            return
        if isinstance(output, Answered):
            owner.handle_answer(output.id, output.response, output.peer, now)
        elif isinstance(output, Failed):
            owner.handle_failed(output.id, output.why, now)
        elif isinstance(owner, Call):
            if isinstance(output, Acked):
                owner.handle_acked(output.id, output.request, now)
            else:
                owner.handle_cancelled(output.id, now)

    def _handle_request(self, incoming: Incoming, now: float) -> None:
        request, line = incoming.request, self._line
        if not request.to.tag:
            self._desk.handle_request(incoming, now)
            return
        found = line.dialogs.get(DialogId.of_request(request))
        if found is None or not found[1].matches(request, incoming.peer):
            why = Count.NO_DIALOG if found is None else Count.WRONG_PEER
            line.refuse(incoming, 481, why, now)
            return
        call, dialog = found
        refused = dialog.handle_request(request, incoming.peer)
        if refused:
            line.refuse(incoming, refused, Count.OUT_OF_TURN, now)
        elif not refuse_extensions(line, incoming, now):
            self._handle_in_call(call, incoming, now)

    def _handle_in_call(self, call: Call, incoming: Incoming, now: float) -> None:
        request, line = incoming.request, self._line
        if request.method in IN_CALL_METHODS:
            call.handle_request(incoming, now)
        elif request.method == "OPTIONS":
            answer_options(line, incoming, now)
        elif request.method == "MESSAGE":
            self._texts.handle_message(incoming, call.peer, (call.user,), now)
        else:
            refuse_method(line, incoming, now)

    def _forget_ended(self) -> None:
        ended, self._line.ended = self._line.ended, []
        for call in ended:
            call.forget()
            self._calls.forget(call)

    def _judge_rate(self, data: bytes, peer: Peer, now: float) -> TooMuch | None:
        """Whether this is a message too many; looks at its first word only."""
        method = data.lstrip(_IN_FRONT)[:_LONGEST_METHOD].partition(b" ")[0].upper()
        address = peer.address
        if not method:
            return None
        if method == b"ACK" or method.startswith(b"SIP/"):
            return self._judge_reply(address, now, is_ack=method == b"ACK")
        is_in_call = method in _OF_CALLS and any(
            call.peer.address == address for call in self._calls.all()
        )
        is_contact = self._line.contacts.is_contact(address)
        return self._rates.judge(address, now, is_contact=is_contact, is_in_call=is_in_call)

    def _judge_reply(self, address: Address, now: float, *, is_ack: bool) -> TooMuch | None:
        """Whether an answer or an ACK is worth reading: somebody waits for it, and it is no flood."""
        transactions = self._line.transactions
        awaits = transactions.awaits_ack if is_ack else transactions.awaits_answer
        if not awaits(address):
            return TooMuch(Count.STRAY_ANSWER, None)
        is_contact = not is_ack or self._line.contacts.is_contact(address)
        return self._rates.judge_reply(address, now, is_contact=is_contact)

    def _refuse_rate(self, data: bytes, peer: Peer, too_much: TooMuch) -> None:
        """503 without a transaction, so that a flood leaves no trace but a number."""
        self._line.counters.add(too_much.why)
        if too_much.retry_after_s is None:
            return
        try:
            request = decode(data.lstrip(b"\r\n\0"))
        except DecodeError:
            return
        if isinstance(request, Request):
            fields = [("Retry-After", str(too_much.retry_after_s))]
            tag = self._line.random_name()
            response = make_response(request, 503, to_tag=tag, fields=fields)
            self._line.tell(Send(answer_peer(request.via, peer), encode(response)))

    def _call(self, id_: CallId) -> Call:
        call = self._calls.get(id_)
        if call is None or call.is_over:
            raise CallError("there is no such call any more", "`dexmesh calls` shows what there is")
        return call

    def _incoming(self, id_: CallId) -> IncomingCall:
        call = self._call(id_)
        if not isinstance(call, IncomingCall):
            raise CallError("this is a call of ours; nobody here can answer it")
        return call


def uri_at(
    address: Address, name: str = "", port: int | None = None, *, is_tcp: bool = False
) -> SipUri:
    """`sip:name@[fc00::1]`, the form that every phone reads (docs/apps/sip.md §1)."""
    user = f"{quote_user(name)}@" if name else ""
    where = address_literal(address) + ("" if port is None else f":{port}")
    return parse_uri(f"sip:{user}{where}" + (";transport=tcp" if is_tcp else ""))


def _place(target: SipUri) -> tuple[Address, SipUri]:
    """The node that is meant, and the URI in the form that every phone reads."""
    address = target.address
    if address is None:
        hint = "sip:NAME@[fc00:...], sip:NAME@<key>.cjdns.alt, or the petname of a contact"
        raise CallError(f"{target.host} is no node of the mesh", hint)
    return address, uri_at(address, target.user, target.port, is_tcp=target.is_tcp)


def _check_seat(seat: SeatMedia) -> None:
    if not seat.codecs or not 0 < seat.port <= _HIGHEST_PORT or seat.port % 2:
        raise CallError("a seat needs an even port and a codec", "ports from 7078 on are usual")
