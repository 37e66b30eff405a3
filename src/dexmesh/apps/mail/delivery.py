"""Bring the mails of the queue to other nodes.

Place     queue/ says what is due, base/signs.py who lives -> here -> outgoing.py, one task a node;
          reports.py tells the senders
Spec      docs/apps/mail.md §4 "Queue" (schedule, signs of life)
Keeps     one call a node, MAX_CALLS in all; a node that showed itself is called at once, also where a
          call into the void is under way; what became of a mail is on disk before it counts; trouble
          of our own is no reason to call again at once
Not here  the session (outgoing.py), the order of calls (proto/attempts.py), the rows (queue/)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass as mutable
from socket import socket
from typing import Protocol

from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.liveness import ask_often, is_stuck
from dexmesh.apps.mail.outgoing import CONNECT_S, CallError, Fate, Outgoing, Target, connected
from dexmesh.apps.mail.proto.attempts import Calls, Verdict, unreachable
from dexmesh.apps.mail.queue import MailQueue
from dexmesh.apps.mail.queue.rows import Work
from dexmesh.apps.mail.reports import Reports, Store
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.texting import TextDelivery
from dexmesh.errors import MailError
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of

MAILS_A_CALL = 90  # ours: receivers take 100 in a session
AT_ONCE = 10  # ours: mails fetched from the queue at a time
DUE_AT_ONCE = 200  # ours: nodes looked at for one decision
LONGEST_SLEEP_S = 10.0  # ours: after the machine slept, the rest of a pause is not waited for
FULL_SLEEP_S = 1.0  # ours: all places are taken
CONNECT_AFTER_SIGN_S = 8.0  # ours: a new packet is sooner there than the fifth copy of an old one
WATCHED = 4096  # ours: nodes whose return is noticed
TROUBLE_S = 10.0  # ours: pause after our own disk said no
OUR_FAULT = "this machine made a mistake, which its log tells"
CANCEL_S = 0.5  # ours: then a task is cancelled anew (asyncio.wait_for may swallow it, bpo-37658)
VERDICT_S = 5.0  # ours: at the end, for answers of nodes that have a whole message

log = logging.getLogger(__name__)


class Contact(Protocol):
    """What we need of a contact: the keys of its nodes."""

    @property
    def keys(self) -> Sequence[PublicKey]:
        """Their keys."""


class Book(Protocol):
    """What we need of the address book (contacts/)."""

    def by_address(self, address: Address) -> Sequence[Contact]:
        """The contacts on that node."""


class Signs(Protocol):
    """Who notices that a node lives (base/signs.py)."""

    async def watch(
        self,
        waiting: Callable[[], Awaitable[Sequence[Address]]],
        tell: Callable[[Address], None],
    ) -> None:
        """Call `tell` for each of the nodes `waiting` names whenever it shows itself, for ever."""

    async def greet(self, known: Callable[[], Awaitable[Sequence[Address]]]) -> None:
        """Show ourselves, once, to the nodes that `known` names."""


@mutable(slots=True)
class _Line:
    """A connection to a node, and the session on it once its server has greeted."""

    opened: socket
    session: Outgoing | None = None

    @property
    def is_deciding(self) -> bool:
        return self.session is not None and self.session.is_deciding


class Delivery:
    """One per worker; `run` goes on for ever."""

    def __init__(
        self,
        me: Me,
        queue: MailQueue,
        store: Store,
        book: Book,
        spool: Spool,
        *,
        port: int = 25,
        first_user: str = "",
        signs: Signs | None = None,
        texts: TextDelivery | None = None,
    ) -> None:
        self._me, self._queue, self._book, self._port = me, queue, book, port
        self._signs, self._texts = signs, texts
        self._reports = Reports(me, queue, store, spool, first_user)
        self._calls = Calls()
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._lines: dict[Address, _Line] = {}
        self._is_closing = False
        self._wake = queue.news
        self._counts = {"calls": 0, "silent": 0, "delivered": 0, "refused": 0, "put off": 0}
        self._signs_seen = 0

    @property
    def counters(self) -> dict[str, int]:
        """What happened since the start."""
        return {**self._counts, "signs": self._signs_seen, "reports": self._reports.told}

    def is_calling(self, address: Address) -> bool:
        """Whether that node is being called."""
        return address in self._calls.active

    def heard(self, address: Address) -> None:
        """That node just gave a sign of life: what waits for it goes first."""
        self._signs_seen += 1
        if self._texts is not None:
            self._texts.heard(address)
        line = self._lines.get(address)
        is_vain = self._calls.handle_sign(address, time.monotonic())
        if line is not None:
            ask_often(line.opened)
        if is_vain or (line is not None and is_stuck(line.opened)):
            task = self._tasks.pop(address, None)
            self._lines.pop(address, None)
            if task is not None:
                task.cancel()
            self._calls.handle_renewed(address)
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever."""
        self._calls, self._is_closing = Calls(), False
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deliver())
                tasks.create_task(self._patiently(self._reports.run))
                if self._signs is not None:
                    tasks.create_task(self._signs.watch(self._watched_nodes, self.heard))
                    tasks.create_task(self._signs.greet(self._known_nodes))
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up every call; the mails stay.

        A node that has all of a message gets VERDICT_S to say so: else it would get it once more.
        """
        self._is_closing = True
        tasks = dict(self._tasks)
        waited = {
            tasks[who] for who, line in self._lines.items() if who in tasks and line.is_deciding
        }
        for task in set(tasks.values()) - waited:
            task.cancel()
        if waited:
            await asyncio.wait(waited, timeout=VERDICT_S)
        left = set(tasks.values())
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_S)
        self._tasks.clear()

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Go on after our own disk said no."""
        while True:
            try:
                await work()
            except MailError as error:
                log.warning("the mail queue stands still", extra={"reason": error.cause})
            await asyncio.sleep(TROUBLE_S)

    async def _watched_nodes(self) -> Sequence[Address]:
        """Those whose return matters: a node we are connected to may go and come back, too."""
        texts = () if self._texts is None else await self._texts.silent_nodes()
        try:
            silent = await self._queue.waiting_nodes(WATCHED)
        except MailError:
            silent = ()
        return tuple(dict.fromkeys((*self._lines, *silent, *texts)))

    async def _known_nodes(self) -> Sequence[Address]:
        try:
            return await self._queue.known_nodes(WATCHED)
        except MailError:
            return ()

    # --- Whom to call -------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause_s = await self._begin_calls()
            except MailError as error:
                log.warning("the mail queue cannot be read", extra={"reason": error.cause})
                pause_s = TROUBLE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _begin_calls(self) -> float:
        """Call whom there is room for; when to look again."""
        due = await self._queue.due(DUE_AT_ONCE)
        idle = [one for one in due if one.address not in self._calls.active]
        now = time.monotonic()
        begun = self._calls.take_calls(idle, now)
        for address in begun:
            self._tasks[address] = task = asyncio.create_task(self._call(address))
            task.add_done_callback(lambda done, who=address: self._finished(who, done))  # type: ignore[misc]
        if {one.address for one in idle} - set(begun):
            return FULL_SLEEP_S
        left_s = await self._queue.seconds_until_due()
        pause_s = LONGEST_SLEEP_S if left_s is None else min(left_s, LONGEST_SLEEP_S)
        if self._calls.active:  # those are due until their call is over, which wakes us
            pause_s = max(pause_s, FULL_SLEEP_S)
        sign = self._calls.next_timeout()
        if sign is not None:
            pause_s = min(pause_s, sign[0] - now)
        return max(pause_s, 0.05)

    def _finished(self, address: Address, task: asyncio.Task[None]) -> None:
        if self._tasks.get(address) is task:
            del self._tasks[address]
            self._calls.handle_end(address, time.monotonic())
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed", exc_info=error)
        self._reports.wake()
        self._wake.set()

    # --- One call -----------------------------------------------------------------------------------

    async def _call(self, address: Address) -> None:
        """Call a node. Trouble of our own takes its place for a while: it is not called meanwhile."""
        try:
            await self._call_once(address)
        except MailError as error:
            log.warning("a call came to nothing", extra={"reason": error.cause})
            await asyncio.sleep(TROUBLE_S)
        except Exception:
            await asyncio.sleep(TROUBLE_S)
            raise

    async def _call_once(self, address: Address) -> None:
        is_flush = address in self._calls.signs
        work = await self._queue.work_for(address, AT_ONCE, is_flush=is_flush)
        if not work:
            self._calls.forget(address)
            if await self._queue.is_known(address):
                await self._queue.settle(address)
            return
        self._counts["calls"] += 1
        spelling, key = await self._queue.spelling(address), self._key_of(address)
        target = Target(address, self._port, spelling, key)
        try:
            is_broken = await self._speak(target, work, is_flush)
        except CallError as error:
            _heed_cancel()
            self._counts["silent"] += 1
            log.debug("a node could not be called", extra={"reason": error.outcome.text})
            await self._queue.record_silence(address, error.outcome)
            return
        if is_broken:
            await self._queue.record_silence(address, unreachable("the connection broke"))
        else:
            await self._queue.settle(address)

    async def _speak(self, target: Target, work: Sequence[Work], is_flush: bool) -> bool:
        """One session; whether the connection broke. Raises CallError if there is none."""
        address = target.address

        def taken(opened: socket) -> None:
            self._lines[address] = _Line(opened)
            self._calls.handle_taken(address)

        within_s = CONNECT_AFTER_SIGN_S if is_flush else CONNECT_S
        try:
            async with connected(self._me, target, within_s, taken) as session:
                _heed_cancel()
                self._lines[address].session = session
                self._calls.handle_greeted(address)
                await self._queue.record_reached(address)
                await self._hand_over(session, target, work, is_flush)
                return session.is_broken
        finally:
            if self._tasks.get(address) is asyncio.current_task():  # else there is another call
                self._lines.pop(address, None)

    async def _hand_over(
        self, session: Outgoing, target: Target, work: Sequence[Work], is_flush: bool
    ) -> None:
        count = 0
        while work and not (session.is_broken or self._is_closing) and count < MAILS_A_CALL:
            for one in work:
                self._count(await self._settle(session, target.address, one))
                _heed_cancel()
                if session.is_broken or self._is_closing:
                    break
            count += len(work)
            self._reports.wake()
            work = await self._queue.work_for(target.address, AT_ONCE, is_flush=is_flush)
        if session.spelling is not None:
            await self._queue.remember_spelling(target.address, session.spelling)

    async def _settle(self, session: Outgoing, address: Address, one: Work) -> Sequence[Fate]:
        """Hand over one mail, and have on disk what became of it."""
        try:
            fates = await session.hand_over(one, self._queue.path(one))
            await self._queue.record_outcomes(one, address, fates)
        except MailError:
            raise
        except Exception:  # else it would be sent anew with every call, many times an hour
            put_off = [(who, unreachable(OUR_FAULT), False) for who in one.recipients]
            await self._queue.record_outcomes(one, address, put_off)
            raise
        return fates

    def _count(self, fates: Sequence[Fate]) -> None:
        names = {
            Verdict.DELIVERED: "delivered",
            Verdict.FAILED: "refused",
            Verdict.RETRY: "put off",
        }
        for _, outcome, _ in fates:
            self._counts[names[outcome.verdict]] += 1

    def _key_of(self, address: Address) -> PublicKey | None:
        keys = (key for contact in self._book.by_address(address) for key in contact.keys)
        return next((key for key in keys if address_of(key) == address), None)


def _heed_cancel() -> None:
    """A library may swallow that we were cancelled: a call that was given up goes no further."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
