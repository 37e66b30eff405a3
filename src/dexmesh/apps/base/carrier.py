"""Say how a text goes from the durable queue to the other node, without queue and phone knowing each other.

Place     mail/texting.py (which text, when) -> here -> call/texting.py (how)
Spec      docs/decisions/0013; docs/apps/sip.md §3 ("the same queue as mail")
Not here  the queue (mail/queue/), SIP (call/)
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

OFFER_MAIL_AFTER_S = 600.0  # sip.md §3: after 10 minutes
MAX_TEXT_BYTES = 60_000  # ours: what a SIP message over TCP may carry, with room for its header


@dataclass(frozen=True, slots=True)
class QueuedText:
    """A text that waits. `uri`: who is meant, a SIP URI on the node `address`.

    `message_id` is the same in every try; `number` is the queue's, never used twice.
    """

    number: int
    user: str
    address: Address
    uri: str
    body: str
    message_id: str
    created_unix: float


@dataclass(frozen=True, slots=True)
class WaitingText:
    """How a text stands. `next_unix`: when it is tried next; `reason`: why it was not delivered yet."""

    text: QueuedText
    tries: int
    next_unix: float
    reason: str

    def is_offered_as_mail(self, unix_time: float) -> bool:
        """Whether it waits for so long that a mail is offered instead."""
        return unix_time - self.text.created_unix >= OFFER_MAIL_AFTER_S


class Fate(Enum):
    """What became of a try."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good: it waits no longer
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Carried:
    """The end of a try; `reason` is for a person, `after_s` the least pause the other side asks for.

    `is_answered`: the other side said so itself; nobody being there is no answer.
    """

    fate: Fate
    reason: str = ""
    after_s: float = 0.0
    is_answered: bool = False


class Carrier(Protocol):
    """Who takes texts to other nodes."""

    async def carry(self, text: QueuedText, /) -> Carried:
        """Try once. Where the fate is final, whoever wrote the text can see it when this returns."""
        ...

    async def give_up(self, text: QueuedText, reason: str, /) -> None:
        """The text waits no longer and was not delivered: whoever wrote it is to see that."""
        ...

    async def take_back(self, text: QueuedText, /) -> None:
        """The text waits no longer, as whoever wrote it wished."""
        ...
