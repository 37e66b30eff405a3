"""Remember what strangers sent today, and whom the users blocked.

Place     receiver.py asks -> here -> proto/strangers.py decides, journal.py keeps
Spec      docs/apps/mail.md §4 "Spam control without lists"
Keeps     a refusal writes nothing, so a flood costs no disk; `is_blocked` is answered from memory
Not here  the limits (proto/strangers.py), who is a contact (contacts)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dexmesh.apps.mail.proto.strangers import (
    TOO_BIG_TEXT,
    Pair,
    StrangerPolicy,
    StrangerRefusal,
)
from dexmesh.apps.mail.store.journal import Journal
from dexmesh.apps.mail.store.troubles import DiskError, disk_trouble
from dexmesh.apps.mail.store.writer import Writer
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

_WORDS = {
    StrangerRefusal.TOO_MANY_MAILS: "you wrote enough for a day to somebody who does not know you",
    StrangerRefusal.TOO_MANY_BYTES: "that is more than somebody who does not know you takes in a day",
    StrangerRefusal.TOO_MANY_STRANGERS: "too many strangers wrote today",
}


class Strangers:
    """One per store."""

    def __init__(self, journal: Journal, writer: Writer) -> None:
        self._journal = journal
        self._writer = writer
        self._policy = StrangerPolicy()
        self._blocked: set[Address] = set()
        self.refusals: Counter[StrangerRefusal] = Counter()

    def load(self) -> None:
        """Read what is kept (in the writer's thread). Raises what the disk raises."""
        self._blocked = self._journal.blocked()
        self._policy = StrangerPolicy(*self._journal.strangers())

    async def judge(
        self, remote: Address, users: Sequence[str], size: int, unix_time: float
    ) -> None:
        """Count a mail for these users.

        Raises MailError 451 4.7.1 when it is too much today for one of them, 550 5.7.1 when it is too much
        on any day, 452 when nothing can be kept; then it counts for nobody.
        """
        refusal = self._policy.judge(remote, users, size, unix_time)
        if refusal is not None:
            self.refusals[refusal] += 1
            raise _too_much(refusal)
        pairs = [(remote, user) for user in users]
        try:
            await self._keep(pairs)
        except DiskError as error:
            for pair in pairs:
                self._policy.give_back(pair, size, unix_time)
            raise disk_trouble(error) from error

    async def give_back(self, pair: Pair, size: int, unix_time: float) -> None:
        """A counted mail was not stored, or was a duplicate."""
        self._policy.give_back(pair, size, unix_time)
        try:
            await self._keep([pair])
        except DiskError as error:
            disk_trouble(error)  # logged; the count in memory is right

    def is_blocked(self, address: Address) -> bool:
        """Whether a user wants nothing from this node any more."""
        return address in self._blocked

    @property
    def blocked(self) -> tuple[Address, ...]:
        """Every blocked node, in order."""
        return tuple(sorted(self._blocked))

    async def block(self, address: Address) -> None:
        """Refuse everything from this node from now on. Raises MailError."""
        await self._change(lambda: self._journal.block(address))
        self._blocked.add(address)

    async def unblock(self, address: Address) -> None:
        """Let this node in again. Raises MailError."""
        await self._change(lambda: self._journal.unblock(address))
        self._blocked.discard(address)

    async def _keep(self, pairs: Sequence[Pair]) -> None:
        day, counts = self._policy.day, {pair: self._policy.counts.get(pair) for pair in pairs}
        await self._writer.call(lambda: self._journal.set_strangers(day, counts))

    async def _change(self, work: Callable[[], None]) -> None:
        try:
            await self._writer.call(work)
        except DiskError as error:
            raise disk_trouble(error) from error


def _too_much(refusal: StrangerRefusal) -> MailError:
    if refusal is StrangerRefusal.TOO_BIG:
        return MailError(550, "5.7.1", TOO_BIG_TEXT, cause=str(refusal))
    return MailError(451, "4.7.1", f"{_WORDS[refusal]}; try again tomorrow", cause=str(refusal))
