"""Bring the mails of the queue to other nodes, and reports about them to their senders.

Place     queue/ says what is due, base/signs.py who lives -> here -> outgoing.py, one task a node
Spec      docs/apps/mail.md §4 "Queue" (schedule, signs of life, bounces)
Keeps     one call a node, MAX_CALLS in all; a node that showed itself is called at once, also where a
          call into the void is under way; what became of a mail is on disk before it counts
Not here  the session (outgoing.py), the order of calls (proto/attempts.py), the rows (queue/)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.outgoing import CallError, Fate, Outgoing, Target, connected
from dexmesh.apps.mail.proto.attempts import Calls, Verdict
from dexmesh.apps.mail.proto.bounces import MAX_FULL_BYTES, Original, Report, encode_report
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.apps.mail.queue import MailQueue
from dexmesh.apps.mail.queue.reports import MAX_TRIES, PendingReport
from dexmesh.apps.mail.queue.rows import Work
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, Folder, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey

MAILS_A_CALL = 90  # ours: receivers take 100 in a session
AT_ONCE = 10  # ours: mails fetched from the queue at a time
DUE_AT_ONCE = 200  # ours: nodes looked at for one decision
LONGEST_SLEEP_S = 60.0  # ours
FULL_SLEEP_S = 1.0  # ours: all places are taken

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where reports go (store/)."""

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        """Durable when it returns. Raises MailError."""


class Contact(Protocol):
    """What we need of a contact: the keys of its nodes."""

    @property
    def keys(self) -> Sequence[PublicKey]:
        """Their keys."""


class Book(Protocol):
    """What we need of the address book (contacts/)."""

    def by_address(self, address: Address) -> Sequence[Contact]:
        """The contacts on that node."""


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
    ) -> None:
        self._me, self._queue, self._store, self._book = me, queue, store, book
        self._spool, self._port, self._first_user = spool, port, first_user
        self._calls = Calls()
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._wake = queue.news
        self.counters = {"calls": 0, "silent": 0, "delivered": 0, "refused": 0, "put off": 0}

    def heard(self, address: Address) -> None:
        """That node just gave a sign of life: what waits for it goes first."""
        if self._calls.handle_sign(address, time.monotonic()):
            task = self._tasks.pop(address, None)
            if task is not None:
                task.cancel()
            self._calls.handle_renewed(address)
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever."""
        self._calls = Calls()
        try:
            while True:
                self._wake.clear()
                is_full = await self._begin_calls()
                while await self._tell_report():
                    pass
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(await self._pause(is_full)):
                        await self._wake.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up every call; the mails stay."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _begin_calls(self) -> bool:
        """Whether nodes are due that found no place."""
        due = await self._queue.due(DUE_AT_ONCE)
        waiting = [one for one in due if one.address not in self._calls.active]
        begun = self._calls.take_calls(waiting, time.monotonic())
        for address in begun:
            task = asyncio.create_task(self._call(address))
            self._tasks[address] = task
            task.add_done_callback(lambda done, who=address: self._finished(who, done))  # type: ignore[misc]
        return len({one.address for one in waiting} - set(begun)) > 0

    async def _pause(self, is_full: bool) -> float:
        if is_full:
            return FULL_SLEEP_S
        left_s = await self._queue.seconds_until_due()
        pause_s = LONGEST_SLEEP_S if left_s is None else min(left_s, LONGEST_SLEEP_S)
        if self._calls.active:  # those are due until their call is over, which wakes us
            pause_s = max(pause_s, FULL_SLEEP_S)
        sign = self._calls.next_timeout()
        if sign is not None:
            pause_s = min(pause_s, sign[0] - time.monotonic())
        return max(pause_s, 0.01)

    def _finished(self, address: Address, task: asyncio.Task[None]) -> None:
        if self._tasks.get(address) is task:
            del self._tasks[address]
            self._calls.handle_end(address, time.monotonic())
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed", exc_info=error)
        self._wake.set()

    # --- One call -----------------------------------------------------------------------------------

    async def _call(self, address: Address) -> None:
        is_flush = address in self._calls.signs
        work = await self._queue.work_for(address, AT_ONCE, is_flush=is_flush)
        if not work:
            self._calls.forget(address)
            await self._queue.settle(address)
            return
        self.counters["calls"] += 1
        target = Target(
            address, self._port, await self._queue.spelling(address), self._key_of(address)
        )
        try:
            async with connected(self._me, target) as session:
                self._calls.handle_connected(address)
                await self._queue.record_reached(address)
                await self._hand_over(session, target, work, is_flush)
        except CallError as error:
            self.counters["silent"] += 1
            log.debug("a node could not be called", extra={"reason": error.outcome.text})
            await self._queue.record_silence(address, error.outcome)
            return
        await self._queue.settle(address)

    async def _hand_over(
        self, session: Outgoing, target: Target, work: Sequence[Work], is_flush: bool
    ) -> None:
        count = 0
        while work and not session.is_broken:
            for one in work:
                fates = await session.hand_over(one, self._queue.path(one))
                await self._queue.record_outcomes(one, target.address, fates)
                self._count(fates)
                count += 1
                if session.is_broken or count >= MAILS_A_CALL:
                    break
            else:
                work = await self._queue.work_for(target.address, AT_ONCE, is_flush=is_flush)
                continue
            break
        if session.spelling is not None and session.spelling != target.spelling:
            await self._queue.remember_spelling(target.address, session.spelling)

    def _count(self, fates: Sequence[Fate]) -> None:
        names = {
            Verdict.DELIVERED: "delivered",
            Verdict.FAILED: "refused",
            Verdict.RETRY: "put off",
        }
        for _, outcome, _ in fates:
            self.counters[names[outcome.verdict]] += 1

    def _key_of(self, address: Address) -> PublicKey | None:
        for contact in self._book.by_address(address):
            if contact.keys:
                return contact.keys[0]
        return None

    # --- Reports ------------------------------------------------------------------------------------

    async def _tell_report(self) -> bool:
        """Tell a sender what became of his mail; False if no report is due."""
        pending = await self._queue.next_report()
        if pending is None:
            return False
        if pending.concerned and pending.envelope.sender:
            try:
                await self._deliver_report(pending)
            except MailError as error:
                log.warning("a report waits", extra={"reason": error.public_text})
                if await self._queue.put_off_report(pending.number) < MAX_TRIES:
                    return True
        await self._queue.finish_report(pending.number)
        return True

    async def _deliver_report(self, pending: PendingReport) -> None:
        header, full = await self._queue.text_of(pending, MAX_FULL_BYTES)
        envelope = pending.envelope
        report = Report(
            action=pending.action,
            to=envelope.sender,
            node=self._me.literal,
            remote=literal(pending.remote),
            concerned=pending.concerned,
            original=Original(
                str(envelope.id), header, full, envelope.created_unix, envelope.envelope_id
            ),
            number=pending.number,
            unix_time=pending.created_unix,
        )
        data = encode_report(report)
        file = self._spool.begin()
        try:
            _require(await file.write(data))
            _require(await file.finish())
            await self._store.deliver(
                ReceivedMail(
                    spool=file.path,
                    size=file.size,
                    user=envelope.user or self._first_user,
                    folder=Folder.INBOX,
                    message_id=f"report-{envelope.id}-{pending.number}",
                    wire_size=file.size,
                )
            )
        finally:
            await file.remove()


def _require(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise MailError(refusal.code, refusal.enhanced, refusal.text)
