"""Hold what the parts of a phone share: the way out, who waits for which answer, counters, settings.

Place     core.py makes one -> call.py, texts.py, presence.py send and answer through it
Spec      RFC 3261 §8.1.1, §8.2.6, §20.5 (Allow); docs/apps/sip.md §3 "SIP subset"
Keeps     whoever is released gets no answer any more
Not here  what to send when (the parts), repeating it (sip/transaction.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from dexmesh.apps.call.phone.counters import Count, Counters
from dexmesh.apps.call.phone.people import Contacts, Directory, Random
from dexmesh.apps.call.phone.policy import MAX_MISSED_OF_ONE, StrangersQuota
from dexmesh.apps.call.phone.values import AnswersAtOnce, Missed, Output, UserSettings, nobody
from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.dialog import Dialog, DialogId
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import Incoming, TransactionId, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.transaction import Transactions
from dexmesh.apps.call.sip.uri import DEFAULT_PORT, address_literal, format_name_addr
from dexmesh.wire.address import Address

if TYPE_CHECKING:
    from dexmesh.apps.call.phone.call import Call

ALLOW: Final[Field] = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, UPDATE, INFO")
SUPPORTED: Final[Field] = ("Supported", "")
USER_AGENT: Final[Field] = ("User-Agent", "dexmesh")


class Owner(Protocol):
    """Who began a transaction, or answers one, and hears what becomes of it."""

    def handle_answer(self, id_: TransactionId, response: Response, peer: Peer, now: float) -> None:
        """An answer to a request of ours."""
        ...

    def handle_failed(self, id_: TransactionId, why: Why, now: float) -> None:
        """The transaction came to nothing."""
        ...


class Line:
    """One per phone. `own` and `port` are where it listens."""

    def __init__(
        self,
        own: Address,
        port: int,
        contacts: Contacts,
        directory: Directory,
        random: Random,
        answers_at_once: AnswersAtOnce = nobody,
        is_own: Callable[[Peer], bool] = lambda _peer: True,
    ) -> None:
        self.own = own
        self.answers_at_once = answers_at_once
        self.is_own = is_own
        self.contacts = contacts
        self.directory = directory
        self.random = random
        self.counters = Counters()
        self.transactions = Transactions(own, port, random.randbytes)
        self.owners: dict[TransactionId, Owner] = {}
        self.dialogs: dict[DialogId, tuple[Call, Dialog]] = {}
        self.ended: list[Call] = []
        self._settings: dict[str, UserSettings] = {}
        self._outputs: list[Output] = []
        self._quota = StrangersQuota(MAX_MISSED_OF_ONE)
        self._host = address_literal(own) + ("" if port == DEFAULT_PORT else f":{port}")

    # --- Telling the service

    def tell(self, output: Output) -> None:
        """Hand something to the service."""
        self._outputs.append(output)

    def take_outputs(self) -> list[Output]:
        """Everything told since the last call, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def tell_missed(self, missed: Missed, now: float) -> None:
        """A call that nobody answered, unless the history has enough of this stranger."""
        caller = missed.caller
        if caller.is_contact or self._quota.take(caller.address, now) is None:
            self.counters.add(Count.CALL_MISSED)
            self.tell(missed)

    # --- Settings

    def settings_of(self, user: str) -> UserSettings:
        """What this user wants."""
        return self._settings.get(user, _DEFAULTS)

    def configure(self, user: str, settings: UserSettings) -> None:
        """Note what this user wants from now on."""
        self._settings[user] = settings

    # --- Names

    def random_name(self) -> str:
        """A tag or Call-ID that nobody can guess (RFC 3261 §19.3)."""
        return self.random.randbytes(12).hex()

    def uri_of(self, user: str) -> str:
        """`sip:bob@[fc00::1]`: how others reach this user."""
        return f"sip:{quote_user(user)}@{self._host}"

    def from_of(self, user: str, tag: str) -> str:
        """The whole From of a request of this user."""
        return format_name_addr("", self.uri_of(user), tag)

    def contact_of(self, user: str) -> Field:
        """Where requests of a call go."""
        return "Contact", f"<{self.uri_of(user)}>"

    def warning(self, reason: str) -> Field:
        """Why something was refused, for a person (RFC 3261 §20.43)."""
        return "Warning", f'399 {self._host} "{reason}"'

    # --- Sending

    def request(self, request: Request, peer: Peer, owner: Owner, now: float) -> TransactionId:
        """Send a request; the owner hears what becomes of it."""
        id_ = self.transactions.request(request, peer, now)
        self.owners[id_] = owner
        return id_

    def respond(
        self,
        incoming: Incoming,
        status: int,
        now: float,
        *,
        to_tag: str = "",
        fields: Iterable[Field] = (),
        body: bytes = b"",
    ) -> Response:
        """Answer a request; what was sent."""
        tag = to_tag or self.random_name()
        response = make_response(
            incoming.request, status, to_tag=tag, fields=tuple(fields), body=body
        )
        self.transactions.respond(incoming.id, response, now)
        return response

    def refuse(
        self,
        incoming: Incoming,
        status: int,
        why: Count,
        now: float,
        *,
        to_tag: str = "",
        fields: Iterable[Field] = (),
    ) -> None:
        """Answer a request with a refusal, and count it."""
        self.counters.add(why)
        self.respond(incoming, status, now, to_tag=to_tag, fields=fields)

    # --- Forgetting

    def release(self, ids: Iterable[TransactionId]) -> None:
        """Nobody waits for these any more."""
        for id_ in ids:
            self.owners.pop(id_, None)


def quote_user(user: str) -> str:
    """A name as the user part of a URI."""
    return quote(user, safe=_USER_CHARS)


_DEFAULTS = UserSettings()
_USER_CHARS = "-_.!~*'()&=+$,"  # RFC 3261 §25.1 user, without what often means something
