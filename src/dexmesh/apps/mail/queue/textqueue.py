"""Keep every text that is on its way to another node, in the database of the mail queue.

Place     mail/texting.py, control calls -> here -> texts.py, in the threads of mailqueue.py
Spec      docs/apps/sip.md §3; docs/decisions/0013
Keeps     a text is on the disk when `add` returns, and until what became of it is known
Not here  mails (mailqueue.py), sending (mail/texting.py)
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from dexmesh.apps.base.carrier import QueuedText, WaitingText
from dexmesh.apps.mail.queue import texts
from dexmesh.wire.address import Address

T = TypeVar("T")


class _Doing(Protocol):
    def __call__(self, change: Callable[[sqlite3.Connection], T], /) -> Awaitable[T]: ...


class TextQueue:
    """One per mail queue. Every method raises MailError 452 when the disk says no."""

    def __init__(
        self, do: _Doing, read: _Doing, q: Callable[[], float], unix_time: Callable[[], float]
    ) -> None:
        self._do, self._read, self._q, self._unix_time = do, read, q, unix_time
        self.news = asyncio.Event()
        """Set when a text may be due sooner than it was."""

    async def add(self, text: QueuedText) -> int:
        """Take a text; its number. It is on the disk when this returns, and due."""
        number = await self._do(lambda one: texts.add_text(one, text, self._q()))
        self.news.set()
        return number

    async def list(self, user: str | None = None, limit: int = 1000) -> Sequence[WaitingText]:
        """What waits, oldest first; of one user, or of all."""
        return await self._read(
            lambda one: texts.waiting_texts(one, user, limit, self._q(), self._unix_time())
        )

    async def retry(self, numbers: Sequence[int] | None, user: str | None) -> Sequence[Address]:
        """Make texts due (None: all); the node of each."""
        found = await self._do(lambda one: texts.retry_texts(one, numbers, user, self._q()))
        self.news.set()
        return found

    async def cancel(self, numbers: Sequence[int] | None, user: str | None) -> Sequence[QueuedText]:
        """Take texts out (None: all); which. One that is on its way now may still arrive."""
        return await self._do(lambda one: texts.cancel_texts(one, numbers, user))

    # --- For delivery ------------------------------------------------------------------------

    async def nodes_due(self, limit: int) -> Sequence[Address]:
        """The nodes that a text is due for."""
        return await self._read(lambda one: texts.nodes_due(one, self._q(), limit))

    async def seconds_until_due(self) -> float | None:
        """How long until a text is due; None while none waits."""
        at = await self._read(texts.next_due)
        return None if at is None else max(0.0, at - self._q())

    async def nodes(self, limit: int) -> Sequence[Address]:
        """The nodes that texts wait for."""
        return await self._read(lambda one: texts.nodes(one, limit))

    async def texts_for(self, address: Address, limit: int) -> Sequence[QueuedText]:
        """What waits for a node, oldest first."""
        return await self._read(lambda one: texts.texts_for(one, address, limit))

    async def remove(self, number: int) -> None:
        """It waits no longer."""
        await self._do(lambda one: texts.remove_text(one, number))

    async def put_off(self, address: Address, reason: str, after_s: float) -> Sequence[QueuedText]:
        """A try failed; the texts for that node that have waited too long."""
        chance = secrets.randbelow(1 << 30) / (1 << 30)
        return await self._do(
            lambda one: texts.put_off(one, address, reason, after_s, self._q(), chance)
        )

    async def wake(self, address: Address) -> None:
        """That node showed itself."""
        await self._do(lambda one: texts.wake(one, address, self._q()))
