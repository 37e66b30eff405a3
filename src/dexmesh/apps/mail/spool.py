"""Keep messages on disk while they come in, within a budget.

Place     incoming.py writes -> here -> store and queue take the finished file; receiver.py and
          submission.py remove it after that
Spec      docs/apps/mail.md §4 "Queue" (fsync before 250); `452 4.3.1` when there is no room
Keeps     a finished file is on disk (fsync) and complete; small messages touch the disk once, in
          another thread; all unfinished and unclaimed files together stay within BUDGET_BYTES
Not here  where a message stays for good (store/, queue.py)
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.mail.proto.refusals import Reason, Refusal

BUDGET_BYTES = 1024 * 1024 * 1024  # ours: of messages that are on their way in
BATCH_BYTES = 256 * 1024  # ours: written at once; what is smaller waits in memory

DISK_TROUBLE = Refusal(452, "4.3.1", "no room on this machine for the moment", Reason.DISK)
NO_ROOM = Refusal(
    452, "4.3.1", "too many messages are coming in, try again later", Reason.SPOOL_FULL
)

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Spool:
    """The directory of messages on their way in. One per worker; servers may share it."""

    def __init__(
        self, directory: Path, executor: Executor | None = None, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._directory = directory
        self._executor = executor
        self._budget = budget_bytes
        self._used = 0
        self._is_open = False
        self._mark = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    @property
    def used_bytes(self) -> int:
        """How much of the budget is taken."""
        return self._used

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` bytes could begin now."""
        return self._used + size <= self._budget

    async def open(self) -> None:
        """Make the directory; remove what an earlier process left unfinished.

        Nothing of that was ever answered with 250. Call it after `MailStore.open`. What the disk does not
        allow now is done before the first message.
        """
        try:
            await self.run(self._open)
        except OSError as error:
            _log.error("messages cannot be taken in yet: errno=%s", error.errno)

    def require_open(self) -> None:
        """For a thread. Raises OSError."""
        if not self._is_open:
            self._open()

    def begin(self) -> SpoolFile:
        """A new, empty message."""
        return SpoolFile(self, self._directory / f"{self._mark}-{next(self._numbers)}")

    def take(self, size: int) -> bool:
        """Take `size` bytes of the budget; False if it has not as much left."""
        if not self.has_room(size):
            return False
        self._used += size
        return True

    def give_back(self, size: int) -> None:
        """The opposite of `take`."""
        self._used -= size

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in self._directory.iterdir():
            if not entry.name.startswith(f"{self._mark}-"):
                entry.unlink(missing_ok=True)
        self._is_open = True


class SpoolFile:
    """One message on its way in: `write`, then `finish`, in the end `remove`."""

    __slots__ = ("_descriptor", "_is_removed", "_lock", "_spool", "_taken", "_waiting", "path",
                 "size")  # fmt: skip

    def __init__(self, spool: Spool, path: Path) -> None:
        self._spool = spool
        self._descriptor = -1
        self._taken = 0
        self._waiting = bytearray()
        self._lock = threading.Lock()  # a lost connection may remove while a thread still writes
        self._is_removed = False
        self.path = path
        self.size = 0

    async def write(self, data: bytes) -> Refusal | None:
        """Add `data`. A refusal means: give up, call `remove`."""
        if not self._spool.take(len(data)):
            return NO_ROOM
        self._taken += len(data)
        self.size += len(data)
        self._waiting += data
        if len(self._waiting) < BATCH_BYTES:
            return None
        return await self._attempt(self._flush)

    async def finish(self) -> Refusal | None:
        """Everything on disk; None when that is so."""
        return await self._attempt(self._sync)

    async def remove(self) -> None:
        """Forget the message; harmless when the file has been moved away.

        One that cannot be removed is removed at the next start: whoever has the message has it.
        """
        self._spool.give_back(self._taken)
        self._taken = 0
        await self._spool.run(self._unlink)

    async def _attempt(self, work: Callable[[], None]) -> Refusal | None:
        try:
            await self._spool.run(work)
        except OSError as error:
            _log.warning("a message cannot be written: errno=%s", error.errno)
            return DISK_TROUBLE
        return None

    def _flush(self) -> None:
        with self._lock:
            self._write_out()

    def _sync(self) -> None:
        with self._lock:
            self._write_out()
            if not self._is_removed:
                os.fsync(self._descriptor)
                self._close()

    def _unlink(self) -> None:
        with self._lock:
            self._is_removed = True
            try:
                self._close()
                self.path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("a message cannot be removed: errno=%s", error.errno)

    def _write_out(self) -> None:
        if self._is_removed:
            return
        if self._descriptor < 0:
            self._spool.require_open()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
        waiting, self._waiting = self._waiting, bytearray()
        with memoryview(waiting) as data:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
