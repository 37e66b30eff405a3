"""Keep the store within its quotas: for each user, and for all together.

Place     store.py reserves room for each delivery -> here; journal.py keeps the numbers
Spec      docs/apps/mail.md §4 "total store quota with 452 4.3.1"; RFC 3463 §3.3 (4.2.2, mailbox full)
Keeps     costs a delivery two comparisons; numbers that are too high (other programs remove mail) are
          put right by counting before anybody is refused, at most once in RECOUNT_S a user
Not here  counting files (maildir.py), space on the disk (troubles.py)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from dexmesh.apps.mail.store.troubles import no_room
from dexmesh.apps.mail.store.values import Usage

RECOUNT_S = 30.0  # ours


class Quota:
    """What every user has, in bytes. A limit of 0 means none. Lives in the event loop's thread."""

    def __init__(self, total_limit: int, limits: Mapping[str, int]) -> None:
        self._total_limit = total_limit
        self._limits = dict(limits)
        self._used = dict.fromkeys(limits, 0)
        self._coming: Counter[str] = Counter()  # taken, and not yet sure to be in a file
        self._counted: dict[str, float] = {}

    def learn(self, used: Mapping[str, int]) -> None:
        """What the journal remembers; users who are no more count too, their mail is still there."""
        self._used |= used

    @property
    def total(self) -> int:
        """How much all users have together."""
        return sum(self._used.values())

    def used(self, users: Iterable[str]) -> dict[str, int]:
        """How much these users have."""
        return {user: self._used.get(user, 0) for user in users}

    def usage(self) -> tuple[Usage, ...]:
        """Every user's share."""
        return tuple(
            Usage(user, self._used.get(user, 0), limit) for user, limit in self._limits.items()
        )

    def has_room(self, user: str, size: int) -> bool:
        """Whether `size` bytes more fit."""
        limit = self._limits.get(user, 0)
        fits = not limit or self._used.get(user, 0) + size <= limit
        return fits and (not self._total_limit or self.total + size <= self._total_limit)

    def take(self, user: str, size: int) -> None:
        """`size` bytes more. Raises MailError 452 when they do not fit."""
        limit = self._limits.get(user, 0)
        if limit and self._used.get(user, 0) + size > limit:
            raise no_room("the mailbox is full, try again later", "4.2.2")
        if self._total_limit and self.total + size > self._total_limit:
            raise no_room("the mail store is full, try again later")
        self._used[user] = self._used.get(user, 0) + size
        self._coming[user] += size

    def keep(self, user: str, size: int) -> None:
        """What was taken is in a file now."""
        self._coming[user] -= size

    def give_back(self, user: str, size: int) -> None:
        """What was taken will be in no file."""
        self._coming[user] -= size
        self.remove(user, size)

    def remove(self, user: str, size: int) -> None:
        """A file of `size` bytes is gone."""
        self._used[user] = max(0, self._used.get(user, 0) - size)

    def to_count(self, user: str, now: float) -> tuple[str, ...]:
        """Whose mail to count before this user is refused."""
        limit = self._limits.get(user, 0)
        is_own = limit and self._used.get(user, 0) >= limit // 2
        candidates = (user,) if is_own else tuple(self._limits)
        return tuple(
            one for one in candidates if now - self._counted.get(one, -RECOUNT_S) >= RECOUNT_S
        )

    def settled(self, user: str) -> int:
        """What is in files for sure: to be asked before counting, and handed to `counted`."""
        return self._used.get(user, 0) - self._coming[user]

    def counted(self, user: str, settled: int, found: int, now: float) -> None:
        """Counting found that much. What came meanwhile may count twice, until the next time."""
        meanwhile = self._used.get(user, 0) - settled
        self._used[user] = found + max(0, meanwhile)
        self._counted[user] = now
