"""Take texts in and send them: MESSAGE, receipts, what came twice.

Place     core.py -> here -> `TextArrived`, the service stores -> `confirm`; `send` -> `TextDone`
Spec      RFC 3428; docs/apps/sip.md §3 "SIP subset" (MESSAGE), rule 5 (Requests)
Keeps     a sender hears 200 only after the text was stored; a text that comes twice is told once; at
          most MAX_WAITING texts wait in each direction, each for a bounded time
Not here  what a body says (contents.py), the queue of what could not be delivered (the service)
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass as mutable_dataclass
from dataclasses import field
from typing import Final

from dexmesh.apps.call.phone.bodies import ACCEPT_ENCODING, is_encoded
from dexmesh.apps.call.phone.contents import ACCEPT_TEXT, TEXT_TYPE, Receipt, Text, read_content
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.endings import retry_after
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.line import ALLOW, USER_AGENT, Line
from dexmesh.apps.call.phone.policy import MAX_TEXTS_OF_ONE, StrangersQuota
from dexmesh.apps.call.phone.values import (
    CallError,
    ReceiptArrived,
    TextArrived,
    TextDone,
    TextId,
    TextState,
)
from dexmesh.apps.call.sip.build import make_request
from dexmesh.apps.call.sip.message import MAX_BODY_BYTES, Request, Response
from dexmesh.apps.call.sip.outputs import Incoming, TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import SipUri, format_name_addr
from dexmesh.wire.address import Address

MAX_WAITING: Final = 256  # ours: in each direction
MAX_COPIES: Final = 8  # ours: of one text that waits to be stored
TWICE_S: Final = 32.0  # docs/apps/sip.md §3: the same within 64*T1 is shown once
STORE_S: Final = 10.0  # ours: who asks is told to come again after that
MAX_REMEMBERED: Final = 1024  # ours: texts that came, the oldest is forgotten
MAX_STRANGER_BYTES: Final = 4096  # ours: of one text of a stranger
MAY_WAIT: Final = frozenset(
    {408, 480, 482, 503}
)  # docs/apps/sip.md §3; 482: it is being handled there

_MESSAGE_ID = re.compile(r"[A-Za-z0-9.@_-]{8,128}")
_Key = tuple[Address, str, tuple[str, ...]]


@mutable_dataclass(slots=True)
class _Arrival:
    """A text that came. `status` is 0 until the service knows what became of it."""

    text_id: TextId
    deadline: float
    status: int = 0
    copies: list[Incoming] = field(default_factory=list)


class Texts:
    """The texts of one phone. Performs no I/O and never reads a clock."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._last = 0
        self._arrivals: OrderedDict[_Key, _Arrival] = OrderedDict()
        self._keys: dict[TextId, _Key] = {}  # of those that wait to be stored
        self._sent: dict[TransactionId, tuple[TextId, str]] = {}
        self._quota = StrangersQuota(MAX_TEXTS_OF_ONE)

    # --- In

    def handle_message(
        self, incoming: Incoming, caller: Caller, users: tuple[str, ...], now: float
    ) -> None:
        """A MESSAGE for these users."""
        request, line = incoming.request, self._line
        kind = request.content_type
        content = None if kind is None else read_content(kind, request.body)
        if content is None or is_encoded(request):
            fields = [ACCEPT_TEXT, ACCEPT_ENCODING]
            line.refuse(incoming, 415, Count.BAD_CONTENT, now, fields=fields)
        elif content.claimed is not None and content.claimed.address not in (None, caller.address):
            line.refuse(incoming, 403, Count.FORGED, now)
        elif isinstance(content, Receipt):
            self._handle_receipt(incoming, caller, content, now)
        else:
            self._handle_text(incoming, caller, users, content, now)

    def _handle_receipt(
        self, incoming: Incoming, caller: Caller, receipt: Receipt, now: float
    ) -> None:
        self._line.counters.add(Count.RECEIPT)
        self._line.respond(incoming, 200, now)
        if receipt.state is not None:
            self._line.tell(ReceiptArrived(caller, receipt.message_id, receipt.state))

    def _handle_text(
        self, incoming: Incoming, caller: Caller, users: tuple[str, ...], text: Text, now: float
    ) -> None:
        message_id = text.message_id or _id_of(incoming.request)
        key = caller.address, message_id, users  # one id for several is right, too (RFC 5438 §6.3)
        known = self._arrivals.get(key)
        if known is not None and (known.status == 0 or now < known.deadline):
            self._handle_twice(incoming, known, now)
            return
        if not self._has_room(incoming, caller, now):
            return
        self._line.counters.add(Count.TEXT_IN)
        self._last += 1
        arrival = _Arrival(TextId(self._last), now + STORE_S, copies=[incoming])
        self._remember(key, arrival)
        is_request = not caller.is_contact
        self._line.tell(
            TextArrived(arrival.text_id, users, caller, text.text, message_id, is_request)
        )

    def _handle_twice(self, incoming: Incoming, arrival: _Arrival, now: float) -> None:
        self._line.counters.add(Count.TEXT_TWICE)
        if arrival.status:
            self._line.respond(incoming, arrival.status, now)
        elif len(arrival.copies) < MAX_COPIES:
            arrival.copies.append(incoming)
        else:
            self._line.refuse(incoming, 482, Count.TOO_MANY_TEXTS, now)

    def _has_room(self, incoming: Incoming, caller: Caller, now: float) -> bool:
        """Whether one more may be told to the service; else it is answered."""
        wait = 1 if len(self._keys) >= MAX_WAITING else None
        if not caller.is_contact:
            if len(incoming.request.body) > MAX_STRANGER_BYTES:
                self._line.refuse(incoming, 413, Count.TOO_MANY_TEXTS, now)
                return False
            wait = wait or self._quota.take(caller.address, now)
        if wait is None:
            return True
        fields = [("Retry-After", str(wait))]
        self._line.refuse(incoming, 503, Count.TOO_MANY_TEXTS, now, fields=fields)
        return False

    def _remember(self, key: _Key, arrival: _Arrival) -> None:
        self._arrivals.pop(key, None)
        self._arrivals[key] = arrival
        self._keys[arrival.text_id] = key
        if len(self._arrivals) > MAX_REMEMBERED:
            oldest = next(
                (key for key, one in self._arrivals.items() if one.status),
                next(iter(self._arrivals)),
            )
            self._keys.pop(self._arrivals.pop(oldest).text_id, None)

    def confirm(self, text_id: TextId, *, is_stored: bool, now: float) -> None:
        """The service stored the text, or could not: now the sender hears. Unknown ids are late."""
        self._settle(text_id, 200 if is_stored else 480, now)

    def _settle(self, text_id: TextId, status: int, now: float) -> None:
        key = self._keys.pop(text_id, None)
        arrival = None if key is None else self._arrivals.get(key)
        if key is None or arrival is None:
            return
        arrival.status, arrival.deadline = status, now + TWICE_S
        copies, arrival.copies = arrival.copies, []
        for incoming in copies:
            self._line.respond(incoming, status, now)
        if status != 200:
            del self._arrivals[key]  # the next try is a new one

    # --- Out

    def send(
        self, user: str, target: SipUri, address: Address, text: str, message_id: str, now: float
    ) -> TextId:
        """Send a text; `TextDone` follows. Raises CallError for what can never be sent."""
        body = text.encode("utf-8", "replace")
        if not text.strip() or len(body) > MAX_BODY_BYTES:
            raise CallError("a text has 1 to 65536 bytes", "send more as mail")
        if _MESSAGE_ID.fullmatch(message_id) is None:
            raise CallError("the id of a text is 8 to 128 letters, digits and .@_-")
        if any(sent == message_id for _text_id, sent in self._sent.values()):
            raise CallError("this text is on its way already")
        if len(self._sent) >= MAX_WAITING:
            raise CallError("too many texts are on their way", "try again in half a minute")
        self._last += 1
        text_id = TextId(self._last)
        # Call-ID, CSeq and tag are the same each time, so that whoever got it before can tell.
        tag = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        request = make_request(
            "MESSAGE",
            target.text,
            from_=self._line.from_of(user, tag),
            to=format_name_addr("", target.text),
            call_id=message_id,
            cseq=1,
            fields=[TEXT_TYPE, ALLOW, USER_AGENT],
            body=body,
        )
        to = Peer(address, target.port_or_default, target.is_tcp)
        self._sent[self._line.request(request, to, self, now)] = text_id, message_id
        self._line.counters.add(Count.TEXT_OUT)
        return text_id

    def handle_answer(self, id_: TransactionId, response: Response, peer: Peer, now: float) -> None:
        """What the other side says to a text of ours."""
        if not response.is_final:
            return
        status = response.status
        if response.is_success:
            state = TextState.DELIVERED
        else:
            state = TextState.UNDELIVERED if status in MAY_WAIT else TextState.REFUSED
        reason = _ANSWERS.get(status, response.reason)
        self._finish(id_, state, status, reason, retry_after(response))

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """Nobody answered."""
        self._finish(id_, TextState.UNDELIVERED, 0, _REASONS.get(why, why.value), None)

    def _finish(
        self,
        id_: TransactionId,
        state: TextState,
        status: int,
        reason: str,
        retry_after_s: int | None,
    ) -> None:
        found = self._sent.pop(id_, None)
        self._line.release([id_])
        if found is not None:
            text_id, message_id = found
            shown = "".join(char if char.isprintable() else " " for char in reason[:200])
            done = TextDone(text_id, message_id, state, status, shown, retry_after_s)
            self._line.tell(done)

    # --- Time

    def next_timeout(self) -> tuple[float, str] | None:
        """When a text that nobody stored is given back."""
        key = next(iter(self._keys.values()), None)
        return None if key is None else (self._arrivals[key].deadline, "text to be stored")

    def handle_timeout(self, now: float) -> None:
        """Tell senders that their texts were not stored, and forget what came long ago."""
        late = [one for one, key in self._keys.items() if self._arrivals[key].deadline <= now]
        for text_id in late:
            self._settle(text_id, 480, now)

    def __len__(self) -> int:
        """How many texts wait, in both directions."""
        return len(self._keys) + len(self._sent)


def _id_of(request: Request) -> str:
    """What is the same in every copy of a MESSAGE (docs/apps/sip.md §3), as one short name."""
    whole = f"{request.call_id} {request.cseq.number} {request.from_.tag}"
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


_ANSWERS: Final = {
    403: "not allowed there",
    404: "nobody of that name lives there",
    413: "too long for the program there",
    415: "the program there takes no such text",
    480: "not available",
    501: "the program there takes no texts",
    503: "too much to do there",
}
_REASONS: Final = {
    Why.TIMEOUT: "no answer",
    Why.TRANSPORT: "not reachable",
    Why.OVERLOAD: "too much is on its way",
}
