"""The values that go into the queue and come out of it.

Place     submission and delivery <-> here <-> tables.py
Spec      docs/apps/mail.md §4 Queue; RFC 3461 (what a sender may ask for)
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NewType

from dexmesh.apps.mail.proto.attempts import Needs
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

QueueId = NewType("QueueId", int)
"""The number of a mail in the queue; never used twice."""


class Notify(IntFlag):
    """When the sender wants a report (RFC 3461 §4.1)."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4
    USUAL = FAILURE | DELAY  # where the sender does not say


@dataclass(frozen=True, slots=True)
class DsnAsked:
    """What MAIL and RCPT of the submission said about reports.

    `notify` and `original` are by recipient, in the order of the recipients; shorter is allowed.
    """

    returns_full: bool = False
    envelope_id: str = ""
    notify: tuple[Notify | None, ...] = ()
    original: tuple[str, ...] = ()

    def notify_of(self, number: int) -> Notify | None:
        """What was said for that recipient; None if nothing was."""
        return self.notify[number] if number < len(self.notify) else None

    def original_of(self, number: int) -> str:
        """ORCPT of that recipient (`rfc822;..`), empty if there was none."""
        return self.original[number] if number < len(self.original) else ""


class State(IntEnum):
    """Of a recipient."""

    WAITING = 0
    FAILED = 1  # kept until its report is with the sender
    RELAYED = 2  # likewise


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message of the queue without its text. `file` is its name in the folder of the queue."""

    id: QueueId
    file: str
    sender: str
    user: str
    needs: Needs
    returns_full: bool
    envelope_id: str
    created_unix: float


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient still to be served."""

    id: int
    local: str
    domain: str  # as the user wrote it
    notify: Notify | None
    original: str


@dataclass(frozen=True, slots=True)
class Work:
    """A message and those of its recipients that live on the node that is called."""

    envelope: Envelope
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient as `dexmesh mail queue` shows it. Times are Unix seconds."""

    id: QueueId
    user: str
    sender: str
    recipient: str
    address: Address
    size: int
    created_unix: float
    tries: int
    next_unix: float
    state: State
    reason: str
