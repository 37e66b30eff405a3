"""Ask a contact with OPTIONS whether he is there, seldom.

Place     core.py `ask` -> here -> `Presence`
Spec      docs/apps/sip.md §3 "SIP subset" (at most once in 5 minutes, no SUBSCRIBE); RFC 3261 §11
Keeps     at most MAX_PEOPLE people are remembered, each for himself: a user whom a node does not have
          says nothing of the others there
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from dexmesh.apps.call.phone.line import USER_AGENT, Line
from dexmesh.apps.call.phone.values import Presence
from dexmesh.apps.call.sip.build import make_request
from dexmesh.apps.call.sip.message import Response
from dexmesh.apps.call.sip.outputs import TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import SipUri, format_name_addr
from dexmesh.wire.address import Address

AGAIN_AFTER_S: Final = 300.0  # docs/apps/sip.md §3
MAX_PEOPLE: Final = 1024  # ours: the one asked longest ago is forgotten
MAX_METHODS: Final = 32  # ours

_Person: TypeAlias = tuple[Address, str]  # the user at that node


class Asking:
    """One per phone. Performs no I/O and never reads a clock."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asked_at: OrderedDict[_Person, float] = OrderedDict()
        self._known: dict[_Person, Presence] = {}  # of these
        self._open: dict[TransactionId, _Person] = {}

    def ask(self, user: str, target: SipUri, address: Address, now: float) -> bool:
        """Ask; False if that was done less than 5 minutes ago. `Presence` follows."""
        person = address, target.user
        before = self._asked_at.get(person)
        if before is not None and now - before < AGAIN_AFTER_S:
            return False
        self._note(person, now)
        request = make_request(
            "OPTIONS",
            target.text,
            from_=self._line.from_of(user, self._line.random_name()),
            to=format_name_addr("", target.text),
            call_id=self._line.random_name(),
            cseq=1,
            fields=[self._line.contact_of(user), ("Accept", "application/sdp"), USER_AGENT],
        )
        to = Peer(address, target.port_or_default, target.is_tcp)
        self._open[self._line.request(request, to, self, now)] = person
        return True

    def presence_of(self, target: SipUri, address: Address) -> Presence | None:
        """What was found out last; None if that is not known (yet)."""
        return self._known.get((address, target.user))

    def _note(self, person: _Person, now: float) -> None:
        """He is asked now, and what was known of him is old."""
        self._asked_at.pop(person, None)
        self._known.pop(person, None)
        self._asked_at[person] = now
        if len(self._asked_at) > MAX_PEOPLE:
            forgotten, _ = self._asked_at.popitem(last=False)
            self._known.pop(forgotten, None)

    def handle_answer(self, id_: TransactionId, response: Response, peer: Peer, now: float) -> None:
        """Any answer means that a phone is there."""
        if response.is_final:
            methods = response.headers.all("Allow")[:MAX_METHODS]
            self._finish(id_, True, frozenset(one.upper() for one in methods))

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """No answer."""
        self._finish(id_, False, frozenset())

    def _finish(self, id_: TransactionId, is_there: bool, methods: frozenset[str]) -> None:
        person = self._open.pop(id_, None)
        self._line.release([id_])
        asked_at = None if person is None else self._asked_at.get(person)
        if person is not None and asked_at is not None:
            self._known[person] = Presence(*person, is_there, methods, asked_at)
            self._line.tell(self._known[person])
