"""Run the parts of a service in one event loop: opened in order, closed in reverse, kept alive between.

Place     service.py -> here
Spec      shared house style, "Errors and drops" (the last-resort handler)
Keeps     a task that fails is logged and begun again after a pause; a part that hangs while closing is
          left behind; what ends the process comes as an exit code, not as an exception
Not here  which parts there are (service.py); restarting the process (base/supervisor.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

RETRY_S = 5.0  # ours: pause before a failed task begins again
CLOSE_S = 10.0  # ours: for one part
LAST_S = 18.0  # ours: for all; the supervisor waits a little longer
COMPLAINT_S = 10.0  # ours: the same complaint is logged once in this time
MAX_KINDS = 100  # ours: of complaints told apart

log = logging.getLogger(__name__)


class Running:
    """What is open and what runs, for one loop."""

    def __init__(self) -> None:
        self._parts = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._end = asyncio.Event()
        self._code = 0

    def opened(self, name: str, close: Callable[[], Awaitable[object]]) -> None:
        """Remember how to close a part; parts are closed in reverse order."""
        self._parts.push_async_callback(_close_in_time, name, close)

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run this until the end; begin it again when it fails."""
        task = asyncio.create_task(_keep(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def insist(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do this now; if it fails, again and again until it does not."""
        task = asyncio.create_task(_insist(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def attempt(self, name: str, work: Awaitable[object]) -> None:
        """Do this; if it fails, say so and go on without it."""
        try:
            await work
        except Exception:  # the last resort: the others are not to suffer
            log.exception("a part of the service did not start", extra={"part": name})

    def end(self, code: int) -> None:
        """Stop everything; `wait` returns this code. The first one counts."""
        if not self._end.is_set():
            self._code = code
            self._end.set()
            signal.setitimer(signal.ITIMER_REAL, LAST_S)  # SIGALRM ends what does not end

    def watch_signals(self) -> None:
        """End with code 0 on SIGTERM, SIGINT and SIGHUP; say what the loop complains about."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.end, 0)
        loop.set_exception_handler(Complaints().handle)

    async def wait(self) -> int:
        """Until the end; the exit code."""
        await self._end.wait()
        return self._code

    async def close(self) -> None:
        """End the tasks, then close the parts."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        await self._parts.aclose()


async def _keep(name: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
            log.error("a part of the service ended by itself", extra={"part": name})
        except Exception:  # the last resort: the others go on
            log.exception("a part of the service failed", extra={"part": name})
        await asyncio.sleep(RETRY_S)


async def _insist(name: str, work: Callable[[], Awaitable[None]]) -> None:
    is_told = False
    while True:
        try:
            await work()
        except Exception:  # the last resort: the others go on
            if not is_told:
                log.exception("a part of the service waits", extra={"part": name})
            is_told = True
        else:
            return
        await asyncio.sleep(RETRY_S)


async def _close_in_time(name: str, close: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await close()
    except Exception:  # the last resort: the others are closed, too
        log.exception("a part of the service did not close", extra={"part": name})


class Complaints:
    """Logs what the event loop complains about; the same again and again (256 times for one accept that
    finds no free descriptor) only now and then, with its number.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}  # kind -> when it was told, how often since

    def handle(self, _loop: object, context: dict[str, Any]) -> None:
        """For `loop.set_exception_handler`."""
        what, now = str(context.get("message", "")), self._now()
        kind = what.partition("<")[0][:100]  # without the names of objects
        told_at, unsaid = self._kinds.get(kind, (-COMPLAINT_S, 0))
        if now - told_at < COMPLAINT_S:
            self._kinds[kind] = told_at, unsaid + 1
            return
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        error = context.get("exception")
        log.error(
            "the event loop complains",
            extra={"what": what, "times": unsaid + 1},
            exc_info=error if isinstance(error, BaseException) else None,
        )
