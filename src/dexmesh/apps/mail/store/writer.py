"""Let deliveries that come at the same time share one transaction, in the one thread that writes.

Place     store.py hands in jobs -> here -> commit.py
Spec      issue 4 "Load" (300 small mails/s over 20 connections with fsync)
Keeps     one writer; whoever waits gets an answer; at most MAX_WAITING wait, others hear 452 4.3.2
Not here  what a delivery is (commit.py)
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dexmesh.apps.mail.store.commit import Committer, Job, Outcome
from dexmesh.apps.mail.store.journal import DeliveryId
from dexmesh.errors import MailError

MAX_BATCH = 64  # ours: mails in a transaction
MAX_WAITING = 2000  # ours

T = TypeVar("T")


class Writer:
    """The thread that owns the journal."""

    def __init__(self, committer: Committer, used: Callable[[set[str]], Mapping[str, int]]) -> None:
        self._committer = committer
        self._used = used
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mail-store")
        self._waiting: deque[tuple[Job, asyncio.Future[Outcome]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.appending: set[DeliveryId] = set()  # mbox deliveries whose row is written
        self.batches = 0

    async def call(self, work: Callable[[], T]) -> T:
        """Do `work` in the writer's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def commit(self, job: Job) -> Outcome:
        """Deliver with the next batch. Raises MailError when too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            raise MailError(452, "4.3.2", "too many mails at once, try again later")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="mail-store")
        return await future

    async def close(self) -> None:
        """Wait for what was begun, then end the thread."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        try:
            while self._waiting:
                take = min(MAX_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in itertools.repeat(None, take)]
                await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: Sequence[tuple[Job, asyncio.Future[Outcome]]]) -> None:
        jobs = [job for job, _ in batch]
        used = self._used({job.mail.user for job in jobs})
        busy = frozenset(self.appending)
        try:
            outcomes = await self.call(lambda: self._committer.commit(jobs, used, busy))
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(_answer(error))
            if not isinstance(error, Exception):
                raise
            return
        self.batches += 1
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _answer(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return MailError(451, "4.3.2", "the mail service is stopping")
