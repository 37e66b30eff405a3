"""Change the tables of a database from one thread, many changes in one commit.

Place     mail/queue/mailqueue.py, call/store/history.py -> here -> SQLite
Spec      docs/apps/mail.md §4 Queue ("fsync before 250")
Keeps     a change is on the disk when `do` returns; a change that raises leaves nothing behind and
          does not harm those it shares the commit with; at most MAX_BATCH changes share one
Not here  which changes there are (the tables.py of each)
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from dexmesh.values import dataclass

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]

MAX_BATCH = 256  # ours


@dataclass(frozen=True, slots=True)
class _Job:
    change: Change[Any]
    done: asyncio.Future[Any]


class Writer:
    """The one thread that writes. `before_commit` runs once for each batch, ahead of its commit."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], sqlite3.Connection],
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._connect, self._before_commit = name, connect, before_commit
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_closed = False
        self._thread.start()

    async def do(self, change: Change[T]) -> T:
        """Make a change and wait until it is durable. Raises what it, or the commit, raises."""
        if self._is_closed:
            raise sqlite3.ProgrammingError(f"the {self._name} is closed")
        job = _Job(change, self._loop.create_future())
        self._jobs.put(job)
        result: T = await job.done
        return result

    async def close(self) -> None:
        """End after all that was asked for is done."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while batch := self._next_batch():
            try:
                connection = connection or self._connect()
                answers = self._commit(connection, batch)
            except (sqlite3.Error, OSError) as error:
                if connection is not None:
                    _roll_back(connection)
                answers = [(job, None, error) for job in batch]
                if len(batch) > 1 and connection is not None:
                    answers = self._one_by_one(connection, batch)
            self._answer(answers)
        if connection is not None:
            connection.close()

    def _next_batch(self) -> list[_Job]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            try:
                job = self._jobs.get_nowait() if len(batch) < MAX_BATCH else None
            except queue.Empty:
                return batch
            if job is None and len(batch) < MAX_BATCH:
                self._jobs.put(None)  # the end, for the next round
        return batch

    def _commit(
        self, connection: sqlite3.Connection, batch: list[_Job]
    ) -> list[tuple[_Job, Any, BaseException | None]]:
        answers: list[tuple[_Job, Any, BaseException | None]] = []
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            connection.execute("SAVEPOINT one")
            try:
                answers.append((job, job.change(connection), None))
            except (sqlite3.OperationalError, OSError):
                raise  # the disk, not the change: nothing of the batch is certain
            except Exception as error:  # noqa: BLE001 it goes to the one who asked
                connection.execute("ROLLBACK TO one")
                answers.append((job, None, error))
            connection.execute("RELEASE one")
        self._before_commit()
        connection.execute("COMMIT")
        return answers

    def _one_by_one(
        self, connection: sqlite3.Connection, batch: list[_Job]
    ) -> list[tuple[_Job, Any, BaseException | None]]:
        """A shared commit failed: what can be kept is kept (a full disk may hold one of two)."""
        answers: list[tuple[_Job, Any, BaseException | None]] = []
        for job in batch:
            try:
                answers += self._commit(connection, [job])
            except (sqlite3.Error, OSError) as error:
                _roll_back(connection)
                answers.append((job, None, error))
        return answers

    def _answer(self, answers: list[tuple[_Job, Any, BaseException | None]]) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it everybody who waits
            self._loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: list[tuple[_Job, Any, BaseException | None]]) -> None:
    for job, result, error in answers:
        if job.done.done():
            continue  # who asked was cancelled; the change is made all the same
        if error is None:
            job.done.set_result(result)
        else:
            job.done.set_exception(error)


def _roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
