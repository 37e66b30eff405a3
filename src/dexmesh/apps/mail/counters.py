"""Count what the mail servers did and refused, and why.

Place     serving.py, smtp.py, receiver.py and submission.py count -> `dexmesh mail status` shows
Spec      docs/apps/mail.md §4 "Receiver" (limits)
Keeps     one number for each member of the two enums, so never more than that many
Not here  what the store and the queue count
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from dexmesh.apps.mail.proto.refusals import Reason


class Event(StrEnum):
    """What went well, or was nobody's fault."""

    CONNECTION = "connections"
    MAIL = "mails accepted"
    RECIPIENT = "recipients accepted"
    BYTES = "bytes accepted"
    TLS = "TLS started"


class Counters:
    """One per server; counts events and refusals since the start."""

    __slots__ = ("_events", "_refusals", "open_connections")

    def __init__(self) -> None:
        self._events: Counter[Event] = Counter()
        self._refusals: Counter[Reason] = Counter()
        self.open_connections = 0

    def add(self, event: Event, amount: int = 1) -> None:
        """Count something that went well."""
        self._events[event] += amount

    def refuse(self, reason: Reason) -> None:
        """Count a refusal."""
        self._refusals[reason] += 1

    def refused(self, reason: Reason) -> int:
        """How often that was the reason."""
        return self._refusals[reason]

    def counted(self, event: Event) -> int:
        """How often (or how much) that happened."""
        return self._events[event]

    def snapshot(self) -> dict[str, int]:
        """Everything counted at least once: words a person reads -> number."""
        numbers: dict[str, int] = {"open connections": self.open_connections}
        numbers |= {str(event): self._events[event] for event in Event}
        return numbers | {
            f"refused: {reason}": self._refusals[reason]
            for reason in Reason
            if self._refusals[reason]
        }
