"""Decide how much people nobody knows may send in a day.

Place     store/strangers.py keeps the counts -> here -> accepted, or why not
Spec      docs/apps/mail.md §4 "Spam control without lists"
Keeps     at most MAX_STRANGERS counts, all of one day; a refusal changes nothing
Not here  who is a stranger (contacts), who is blocked, where the counts are kept (store/)
"""

from __future__ import annotations

from enum import StrEnum

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_MAILS = 5  # of one stranger in a day
MAX_BYTES = 1_000_000  # of one stranger in a day: 1 MB
MAX_STRANGERS = 100  # in a day: addresses are cheap to make, so their number is what counts
DAY_S = 86400


class StrangerRefusal(StrEnum):
    """Why a stranger's mail has to wait until tomorrow."""

    TOO_MANY_MAILS = "stranger sent too many mails today"
    TOO_MANY_BYTES = "stranger sent too many bytes today"
    TOO_MANY_STRANGERS = "too many strangers wrote today"


@dataclass(frozen=True, slots=True)
class StrangerCount:
    """What one stranger sent today. A mail for two users counts twice."""

    mails: int = 0
    size: int = 0


class StrangerPolicy:
    """The counts of one day (UTC). Performs no I/O and never reads a clock."""

    __slots__ = ("counts", "day")

    def __init__(self, day: int = 0, counts: dict[Address, StrangerCount] | None = None) -> None:
        self.day = day
        self.counts = dict(counts or {})

    def judge(self, remote: Address, size: int, unix_time: float) -> StrangerRefusal | None:
        """Count a mail of `size` bytes; or say why it is refused, and count nothing."""
        self._begin_day(unix_time)
        count = self.counts.get(remote)
        if count is None and len(self.counts) >= MAX_STRANGERS:
            return StrangerRefusal.TOO_MANY_STRANGERS
        count = count or StrangerCount()
        if count.mails >= MAX_MAILS:
            return StrangerRefusal.TOO_MANY_MAILS
        if count.size + size > MAX_BYTES:
            return StrangerRefusal.TOO_MANY_BYTES
        self.counts[remote] = StrangerCount(count.mails + 1, count.size + size)
        return None

    def give_back(self, remote: Address, size: int, unix_time: float) -> None:
        """A counted mail was not stored after all, or had been before: it shall not count."""
        self._begin_day(unix_time)
        count = self.counts.get(remote)
        if count is None:
            return
        left = StrangerCount(count.mails - 1, max(0, count.size - size))
        if left.mails <= 0:
            del self.counts[remote]
        else:
            self.counts[remote] = left

    def _begin_day(self, unix_time: float) -> None:
        """A clock that was set back begins a day too: else one wrong date would close the door."""
        day = int(unix_time // DAY_S)
        if day != self.day:
            self.day, self.counts = day, {}
