"""Deliver into the mbox of a user: wait for its locks, decide, append.

Place     store.py -> here -> writer.py (the row), mbox.py (the file)
Spec      issue 4 "Crash safety", "mbox (for the article's setup)"
Keeps     the row with the file's length is on disk before the first byte of the mail; waits for a lock
          MBOX_WAIT_S and no longer, and without a thread
Not here  what stands in the file (mbox.py)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.mail.store.commit import Committer, Job
from dexmesh.apps.mail.store.journal import DeliveryId, Row
from dexmesh.apps.mail.store.mbox import LockedMbox, busy_mbox, lock_mbox
from dexmesh.apps.mail.store.troubles import disk_trouble
from dexmesh.apps.mail.store.values import DeliveryResult, ReceivedMail
from dexmesh.apps.mail.store.writer import Writer
from dexmesh.errors import MailError

MBOX_WAIT_S = 30.0  # ours: for the lock of an mbox
MBOX_RETRY_S = 0.1  # ours
RECOVERY_WAIT_S = 300.0  # ours: for that lock, after a start

T = TypeVar("T")


class Appender:
    """One per store."""

    def __init__(self, committer: Committer, writer: Writer, executor: Executor | None) -> None:
        self._committer = committer
        self._writer = writer
        self._executor = executor
        self._locks: dict[Path, asyncio.Lock] = {}  # one a user

    async def append(self, one: DeliveryId, mail: ReceivedMail, path: Path) -> DeliveryResult:
        """Deliver a mail. Raises MailError 452."""
        async with self._locked(path, MBOX_WAIT_S) as mbox:
            self._writer.appending.add(one)
            try:
                outcome = await self._writer.commit(Job(one, mail, mbox.size))
                if isinstance(outcome, MailError):
                    raise outcome
                if isinstance(outcome, DeliveryResult):
                    return outcome
                await self._append_row(mbox, outcome)
            finally:
                self._writer.appending.discard(one)
        return DeliveryResult(False, outcome.key, outcome.folder)

    async def finish(self, row: Row, path: Path) -> None:
        """Append what was decided before a crash, or see that it is there. Raises MailError 452."""
        async with self._locked(path, RECOVERY_WAIT_S) as mbox:
            if self._committer.staged(row.id).exists():  # else a re-send came first
                await self._append_row(mbox, row)

    async def _append_row(self, mbox: LockedMbox, row: Row) -> None:
        staged = self._committer.staged(row.id)
        try:
            await self._run(lambda: mbox.append(row, staged))
            await self._run(lambda: self._committer.finish(row.id))
        except OSError as error:
            await self._writer.call(lambda: self._committer.undo([row.id]))
            raise disk_trouble(error) from error

    @contextlib.asynccontextmanager
    async def _locked(self, path: Path, wait_s: float) -> AsyncIterator[LockedMbox]:
        """The mbox, ours alone. Raises MailError 452 when somebody holds it for longer."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        try:
            async with asyncio.timeout(wait_s):
                await lock.acquire()
        except TimeoutError:
            raise busy_mbox(path) from None
        try:
            mbox = await self._lock(path, wait_s)
            try:
                yield mbox
            finally:
                await self._run(mbox.close)
        finally:
            lock.release()

    async def _lock(self, path: Path, wait_s: float) -> LockedMbox:
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                mbox = await self._run(lambda: lock_mbox(path))
            except OSError as error:
                raise disk_trouble(error) from error
            if mbox is not None:
                return mbox
            if asyncio.get_running_loop().time() > deadline:
                raise busy_mbox(path)
            await asyncio.sleep(MBOX_RETRY_S)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
