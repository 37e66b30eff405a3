"""Keep every mail that is on its way to another node, whatever happens to us meanwhile.

Place     submission, control calls -> here -> files and tables; delivery.py takes work and brings
          back what became of it
Spec      docs/apps/mail.md §4 Queue
Keeps     text and rows are on the disk when `add` returns; MAX_MESSAGES and `max_bytes` are never
          exceeded (452); what lies half done after a crash is cleaned up at `open`
Not here  calling other nodes (delivery.py), telling senders (reports.py)
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.base.domains import parse_domain, suggest_tag
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.writer import Change, Writer
from dexmesh.apps.mail.proto.attempts import TEXT_GONE, Due, Outcome
from dexmesh.apps.mail.proto.schedule import QueueClock
from dexmesh.apps.mail.queue import progress, reports, tables
from dexmesh.apps.mail.queue.files import MAX_HEADER_BYTES, MessageFiles, Written
from dexmesh.apps.mail.queue.progress import Moment
from dexmesh.apps.mail.queue.reports import PendingReport
from dexmesh.apps.mail.queue.rows import DsnAsked, QueueId, Recipient, Waiting, Work
from dexmesh.apps.mail.queue.tables import Gone, NewMail
from dexmesh.apps.mail.queue.textqueue import TextQueue
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

MAX_MESSAGES = 50_000  # ours
MAX_BYTES = 4 << 30  # ours
MAX_RECIPIENTS = 100  # ours, as the receiver takes: RFC 5321 §4.5.3.1.8

T = TypeVar("T")
_log = logging.getLogger(__name__)


def unix_clock() -> float:
    """The wall clock, Unix seconds."""
    return time.time()


def boot_clock() -> float:
    """Seconds since the machine was switched on, asleep or not; it never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class MailQueue:
    """One per worker. Call `open` first; every method is for the one event loop."""

    def __init__(
        self,
        home: Home,
        executor: Executor,
        *,
        max_bytes: int = MAX_BYTES,
        clocks: tuple[Callable[[], float], Callable[[], float]] = (unix_clock, boot_clock),
    ) -> None:
        self._home, self._executor, self._max_bytes = home, executor, max_bytes
        self._unix_time, self._now = clocks
        self._files = MessageFiles(home.mail / "queue")
        self._database = home.mail / "queue.db"
        self._clock = QueueClock(0.0)
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._opening, self._reading = asyncio.Lock(), asyncio.Lock()
        self._is_open = self._is_closed = False
        self._messages = self._bytes = 0
        self._wants_sync = False
        self.texts = TextQueue(self._do, self._read, self._q, self._unix_time)
        self.news = asyncio.Event()
        """Set when a node may be due sooner than it was."""

    # --- Begin and end -----------------------------------------------------------------------

    async def open(self) -> None:
        """Make or continue the queue. Where the disk does not allow that now, whoever wants the queue later
        tries again.
        """
        try:
            await self._require_open()
        except MailError as error:
            _log.error("the mail queue cannot be opened yet", extra={"reason": error.cause})

    async def _require_open(self) -> None:
        """Raises MailError 452. Nothing may be written before: what has no row is removed by this."""
        if self._is_open:
            return
        async with self._opening:
            if self._is_open:
                return
            if self._is_closed:
                raise MailError(452, "4.3.0", "the mail queue is closed")
            with _disk_errors():
                try:
                    await self._open()
                except BaseException:
                    await self._let_go()
                    raise
            self._is_open = True
            self.news.set()

    async def _open(self) -> None:
        await self._in_thread(self._files.open)
        self._writer = Writer(
            "mail queue", lambda: tables.connect(self._database), self._before_commit
        )
        names = await self._in_thread(self._files.names)
        orphans = await self._do_now(lambda one: self._start(one, names))
        for file in orphans:
            await self._in_thread(self._files.remove, file)
        self._reader = await self._in_thread(tables.connect, self._database)
        self._messages, self._bytes = await self._read_now(tables.totals)

    async def _let_go(self) -> None:
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _start(self, connection: sqlite3.Connection, names: set[str]) -> set[str]:
        """After a crash: the files nobody needs. The senders of texts that are lost hear of it."""
        tables.prepare(connection)
        now, unix_time = self._now(), self._unix_time()
        self._clock = tables.resume_clock(connection, unix_time, now)
        tables.save_clock(connection, self._clock.read(now), unix_time)
        orphans, lost = tables.reconcile(connection, names)
        for number in lost:
            _log.error("the text of a queued mail is gone: mail=%d", number)
            progress.give_up(connection, number, TEXT_GONE, self._moment())
        return orphans

    async def close(self) -> None:
        """End; everything asked for is on the disk."""
        self._is_closed = True
        async with self._opening, self._reading:
            self._is_open = False
            await self._let_go()

    # --- For submission and people -----------------------------------------------------------

    async def add(
        self,
        message: Path | bytes,
        sender: str,
        recipients: Sequence[Mailbox],
        *,
        user: str = "",
        asked: DsnAsked | None = None,
    ) -> QueueId:
        """Take a mail; it is on the disk when this returns. The file given is copied.

        `sender` is the envelope sender, empty for a bounce; `user` the local user it belongs to
        (who sees it in the queue and gets its reports). Raises MailError: 550 5.1.2 for a
        recipient that is on no node, 452 4.3.1 when queue or disk are full, 452 4.5.3 for more
        than MAX_RECIPIENTS.
        """
        if not recipients or len(recipients) > MAX_RECIPIENTS:
            raise MailError(452, "4.5.3", f"a mail has 1 to {MAX_RECIPIENTS} recipients")
        rows = [(_node_of(one), str(Mailbox(one.local, "")), one.domain) for one in recipients]
        await self._require_open()
        size = await self._size_of(message)
        self._require_room(size)
        self._messages, self._bytes = self._messages + 1, self._bytes + size
        try:
            written = await self._write(message)
            self._bytes += written.needs.size - size
            size = written.needs.size
            self._wants_sync = True
            mail = NewMail(written, sender, user, rows, asked or DsnAsked())
            number = await self._enter(mail)
        except BaseException:
            self._messages, self._bytes = self._messages - 1, self._bytes - size
            raise
        self.news.set()
        return number

    async def _size_of(self, message: Path | bytes) -> int:
        if isinstance(message, bytes):
            return len(message)
        with _disk_errors():
            return (await self._in_thread(message.stat)).st_size

    async def _write(self, message: Path | bytes) -> Written:
        with _disk_errors():
            return await self._in_thread(self._files.write, message)

    async def _enter(self, mail: NewMail) -> QueueId:
        try:
            return await self._do(lambda one: tables.add(one, mail, self._q(), self._unix_time()))
        except MailError:
            await self._in_thread(self._files.remove, mail.written.file)
            raise

    def _require_room(self, size: int) -> None:
        if self._messages >= MAX_MESSAGES or self._bytes + size > self._max_bytes:
            hint = "`dexmesh mail queue` shows what waits, `dexmesh mail cancel` takes mails out"
            raise MailError(452, "4.3.1", "the mail queue is full", hint=hint)

    async def list(
        self, user: str | None = None, limit: int = 1000, number: QueueId | None = None
    ) -> Sequence[Waiting]:
        """What waits, oldest first; of one user, or of all; of one mail, or of all."""
        return await self._read(
            lambda one: tables.waiting(one, user, number, limit, self._q(), self._unix_time())
        )

    async def numbers(self, user: str | None = None) -> Sequence[QueueId]:
        """Every mail there is, oldest first; of one user, or of all."""
        return await self._read(lambda one: tables.numbers(one, user))

    async def retry(self, number: QueueId, user: str | None = None) -> Sequence[Address]:
        """Try a mail now; the nodes that are called for it (none: there is no such mail)."""
        addresses = await self._do(lambda one: tables.retry(one, number, user, self._q()))
        self.news.set()
        return addresses

    async def cancel(self, number: QueueId, user: str | None = None) -> int:
        """Take a mail out; how many recipients it will not reach. One that is on its way at this
        very moment may still arrive."""
        count, gone = await self._do(lambda one: tables.cancel(one, number, user))
        await self._forget(gone)
        return count

    def totals(self) -> tuple[int, int]:
        """How many mails there are, and their bytes."""
        return self._messages, self._bytes

    # --- For delivery ------------------------------------------------------------------------

    async def due(self, limit: int) -> Sequence[Due]:
        """Nodes to be called now."""
        return await self._read(lambda one: progress.due(one, self._q(), limit))

    async def seconds_until_due(self) -> float | None:
        """How long until a node is due; None while nothing waits."""
        at = await self._read(progress.next_due)
        return None if at is None else max(0.0, at - self._q())

    async def is_known(self, address: Address) -> bool:
        """Whether mail waits for a node, due or not."""
        return await self._read(lambda one: progress.is_known(one, address))

    async def waiting_nodes(self, limit: int) -> Sequence[Address]:
        """The nodes that mail waits for after a call that failed, at most `limit`."""
        return await self._read(lambda one: tables.silent_nodes(one, limit))

    async def work_for(
        self, address: Address, limit: int, *, is_flush: bool = False
    ) -> Sequence[Work]:
        """The oldest mails due for a node."""
        return await self._read(
            lambda one: progress.work_for(one, address, self._q(), limit, is_flush=is_flush)
        )

    def path(self, work: Work) -> Path:
        """The file with the text of a mail, its lines ended by CRLF."""
        return self._files.path(work.envelope.file)

    async def record_outcomes(
        self, work: Work, address: Address, outcomes: Iterable[tuple[Recipient, Outcome, bool]]
    ) -> None:
        """What became of recipients; durable when this returns. The flag: a receipt is ours."""
        rows, at = tuple(outcomes), self._moment()
        await self._forget(
            await self._do(lambda one: progress.record_outcomes(one, work, address, rows, at))
        )

    async def record_silence(self, address: Address, outcome: Outcome) -> None:
        """A node could not be reached."""
        at = self._moment()
        await self._forget(
            await self._do(lambda one: progress.record_silence(one, address, outcome, at))
        )

    async def record_reached(self, address: Address) -> None:
        """A node's mail server answered."""
        await self._do(lambda one: progress.record_reached(one, address))

    async def settle(self, address: Address) -> None:
        """A call that reached the node is over."""
        await self._do(lambda one: progress.settle(one, address, self._q()))

    async def spelling(self, address: Address) -> str | None:
        """The domain this node took last time."""
        return await self._read(lambda one: tables.remembered_spelling(one, address))

    async def known_nodes(self, limit: int) -> Sequence[Address]:
        """Nodes that took mail of ours, the latest first."""
        return await self._read(lambda one: tables.known_nodes(one, limit))

    async def remember_spelling(self, address: Address, domain: str) -> None:
        """This node takes this domain."""
        await self._do(lambda one: tables.remember_spelling(one, address, domain, self._q()))

    # --- For reports -------------------------------------------------------------------------

    async def next_report(self) -> PendingReport | None:
        """The oldest report that is due."""
        return await self._read(lambda one: reports.next_report(one, self._q()))

    async def seconds_until_report(self) -> float | None:
        """How long until a report is due; None while there is none."""
        at = await self._read(reports.next_due)
        return None if at is None else max(0.0, at - self._q())

    async def text_of(self, pending: PendingReport, limit: int) -> tuple[bytes, bytes | None]:
        """Header of the mail a report is about, and all of it if its sender asked for that.

        Raises MailError 452 when the disk cannot be read.
        """
        file, wants_full = pending.envelope.file, pending.envelope.returns_full
        with _disk_errors():
            header = await self._in_thread(self._files.header, file)
            full = await self._in_thread(self._files.read, file, limit) if wants_full else None
        return header[:MAX_HEADER_BYTES], full or None

    async def finish_report(self, number: int) -> None:
        """A report is with its reader."""
        await self._forget(await self._do(lambda one: reports.finish_report(one, number)))

    async def put_off_report(self, number: int) -> int:
        """A report could not be told now; how often that happened."""
        at = self._moment()
        return await self._do(lambda one: reports.put_off_report(one, number, at))

    # --- Inside ------------------------------------------------------------------------------

    def _q(self) -> float:
        return self._clock.read(self._now())

    def _moment(self) -> Moment:
        chance = secrets.randbelow(1 << 30) / (1 << 30)
        return Moment(self._q(), self._unix_time(), chance)

    def _before_commit(self) -> None:
        """In the writer's thread: names of new files are durable before the rows that name them."""
        if not self._wants_sync:
            return
        self._wants_sync = False
        try:
            self._files.sync()
        except OSError:
            self._wants_sync = True
            raise

    async def _do(self, change: Change[T]) -> T:
        """A durable change; the clock is saved with it."""
        await self._require_open()
        return await self._do_now(change)

    async def _do_now(self, change: Change[T]) -> T:
        def with_clock(connection: sqlite3.Connection) -> T:
            result = change(connection)
            tables.save_clock(connection, self._q(), self._unix_time())
            return result

        if self._writer is None:
            raise MailError(452, "4.3.0", "the mail queue is closed")
        with _disk_errors():
            return await self._writer.do(with_clock)

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        await self._require_open()
        return await self._read_now(question)

    async def _read_now(self, question: Callable[[sqlite3.Connection], T]) -> T:
        async with self._reading:
            if self._reader is None:
                raise MailError(452, "4.3.0", "the mail queue is closed")
            with _disk_errors():
                return await self._in_thread(question, self._reader)

    async def _forget(self, gone: Iterable[Gone]) -> None:
        for one in gone:
            self._messages, self._bytes = self._messages - 1, self._bytes - one.size
            await self._in_thread(self._files.remove, one.file)

    def _in_thread(self, work: Callable[..., T], *arguments: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


class _disk_errors:  # noqa: N801 used like a function
    """A disk that is full, read-only or broken: the mail may be taken later."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError | sqlite3.Error):
            text = "this node cannot write to its disk now"
            raise MailError(452, "4.3.1", text, cause=str(error)) from error


def _node_of(recipient: Mailbox) -> Address:
    address = parse_domain(recipient.domain)
    if address is None:
        better = suggest_tag(str(recipient))
        hint = f"write {better}" if better else "a mesh address is user@[IPv6:fc..] or user@<key>.k"
        raise MailError(550, "5.1.2", "the address of a recipient is no mesh address", hint=hint)
    return address
