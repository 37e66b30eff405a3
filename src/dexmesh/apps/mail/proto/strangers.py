"""Decide how much people nobody knows may send in a day.

Place     store/strangers.py keeps the counts -> here -> accepted, or why not
Spec      docs/apps/mail.md §4 "Spam control without lists"
Keeps     counts of at most MAX_STRANGERS nodes, all of one day; a refusal changes nothing
Not here  who is a stranger (contacts), who is blocked, where the counts are kept (store/)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_MAILS = 5  # of one stranger in a day, in the Requests of one user
MAX_BYTES = 1_000_000  # likewise: 1 MB
MAX_STRANGERS = 100  # in a day, for all users: addresses are cheap, so their number is what counts
DAY_S = 86400
TOO_BIG_TEXT = (
    f"somebody who does not know you takes {MAX_BYTES} bytes at most; write a few lines first"
)


class StrangerRefusal(StrEnum):
    """Why a stranger's mail has to wait until tomorrow; TOO_BIG: why it can never be taken."""

    TOO_MANY_MAILS = "stranger sent too many mails today"
    TOO_MANY_BYTES = "stranger sent too many bytes today"
    TOO_MANY_STRANGERS = "too many strangers wrote today"
    TOO_BIG = "stranger sent more at once than any day allows"


@dataclass(frozen=True, slots=True)
class StrangerCount:
    """What one stranger sent to one user today."""

    mails: int = 0
    size: int = 0


_NOTHING = StrangerCount()

Pair = tuple[Address, str]
"""A stranger and the user he writes to."""


class StrangerPolicy:
    """The counts of one day (UTC). Performs no I/O and never reads a clock."""

    __slots__ = ("_strangers", "counts", "day")

    def __init__(self, day: int = 0, counts: Mapping[Pair, StrangerCount] | None = None) -> None:
        self.day = day
        self.counts = dict(counts or {})
        self._strangers = Counter(remote for remote, _ in self.counts)

    def judge(
        self, remote: Address, users: Sequence[str], size: int, unix_time: float
    ) -> StrangerRefusal | None:
        """Count a mail of `size` bytes for each user; or say why it is refused, and count nothing."""
        self._begin_day(unix_time)
        if size > MAX_BYTES:
            return StrangerRefusal.TOO_BIG
        if remote not in self._strangers and len(self._strangers) >= MAX_STRANGERS:
            return StrangerRefusal.TOO_MANY_STRANGERS
        counts = {(remote, user): self.counts.get((remote, user), _NOTHING) for user in users}
        if any(count.mails >= MAX_MAILS for count in counts.values()):
            return StrangerRefusal.TOO_MANY_MAILS
        if any(count.size + size > MAX_BYTES for count in counts.values()):
            return StrangerRefusal.TOO_MANY_BYTES
        for pair, count in counts.items():
            if count.mails == 0:
                self._strangers[remote] += 1
            self.counts[pair] = StrangerCount(count.mails + 1, count.size + size)
        return None

    def give_back(self, pair: Pair, size: int, unix_time: float) -> None:
        """A counted mail was not stored after all, or had been before: it shall not count."""
        self._begin_day(unix_time)
        count = self.counts.get(pair)
        if count is None:
            return
        if count.mails > 1:
            self.counts[pair] = StrangerCount(count.mails - 1, max(0, count.size - size))
            return
        del self.counts[pair]
        self._strangers[pair[0]] -= 1
        self._strangers += Counter()  # drops whoever has none left

    def _begin_day(self, unix_time: float) -> None:
        """A clock that was set back begins a day too: else one wrong date would close the door."""
        day = int(unix_time // DAY_S)
        if day != self.day:
            self.day, self.counts, self._strangers = day, {}, Counter()
