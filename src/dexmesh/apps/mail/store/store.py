"""Keep the mail of this node's users: the one door for everything that is delivered.

Place     receiver, submission and bounces deliver -> here -> commit.py (Maildir), mbox.py; the reader
          and the strangers' counts hang on it
Spec      docs/apps/mail.md §4; issue 4 "Crash safety", "Load"
Keeps     `deliver` returns when the mail is on disk, and a mail that is sent again is there once; every
          refusal is a MailError with a counted reason; a disk that is full or read-only stops nothing
          else, and mail flows again when it is well
Not here  who may send (policy), who is a contact (contacts), IMAP (imap/)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, TypeVar

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.store.appending import Appender
from dexmesh.apps.mail.store.commit import DRAFT, Committer, Job
from dexmesh.apps.mail.store.journal import DeliveryId, Journal, Row, delivery_id
from dexmesh.apps.mail.store.line_ends import remove_draft, write_with_lf
from dexmesh.apps.mail.store.maildir import Maildir
from dexmesh.apps.mail.store.quota import Quota
from dexmesh.apps.mail.store.reader import Reader
from dexmesh.apps.mail.store.strangers import Strangers
from dexmesh.apps.mail.store.troubles import DiskError, disk_trouble
from dexmesh.apps.mail.store.values import DeliveryResult, Folder, ReceivedMail, Usage
from dexmesh.apps.mail.store.writer import Writer
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

Watcher = Callable[[str, str], None]
"""Hears of a delivery: user, folder."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class MailStore:
    """One per worker. `reader` reads and tidies; everything else is delivering."""

    def __init__(
        self,
        home: Home,
        settings: MailSettings,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._users = {user.name: user for user in settings.users}
        self._executor = executor
        self._clock = clock
        limits = {user.name: user.quota_bytes for user in settings.users}
        self._quota = Quota(settings.quota_bytes, limits)
        self._journal = Journal(home.mail / "received.db")
        self._committer = Committer(self._journal, home.mail / "staging", self._box, clock)
        self._writer = Writer(self._committer, self._quota.used)
        self._strangers = Strangers(self._journal, self._writer)
        self._appender = Appender(self._committer, self._writer, executor)
        self._running: dict[DeliveryId, asyncio.Task[DeliveryResult]] = {}
        self._load_lock = asyncio.Lock()
        self._count_lock = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._is_loaded = False
        self._watchers: list[Watcher] = []
        self.counts: Counter[str] = Counter()
        self.reader = Reader(self.maildir, self._quota, executor, clock)

    # Start and stop

    async def open(self) -> None:
        """Finish what a crash interrupted. A disk that cannot be written now is tried again later."""
        try:
            await self._require_loaded()
        except MailError as error:
            _log.error("the mail store cannot be written yet: reason=%s", error.public_text)
        self._later(self._count_all())

    async def close(self) -> None:
        """Finish the deliveries that were begun, and let go of the files."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        while self._running:
            await asyncio.wait(list(self._running.values()))
        await self._writer.call(self._journal.close)
        await self._writer.close()

    async def _require_loaded(self) -> None:
        async with self._load_lock:
            if not self._is_loaded:
                await self._load()

    async def _load(self) -> None:
        try:
            rows = await self._writer.call(self._load_in_thread)
        except DiskError as error:
            raise disk_trouble(error) from error
        self._is_loaded = True
        for row in rows:
            self._later(self._finish_append(row))

    def _load_in_thread(self) -> list[Row]:
        self._home.mail.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in self._users:
            self._box(name).make()
        self._quota.learn(self._journal.used())
        self._strangers.load()
        self._committer.remove_drafts()
        return self._committer.recover(frozenset(self._writer.appending))

    # Deliver

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        """Store a mail for one user; it is on disk when this returns.

        Raises MailError: 452 4.3.1 (no room, not writable), 452 4.2.2 (mailbox full), 452 4.2.0 (mbox in
        use), 550 5.1.1 (no such user). What was begun is finished even if the caller is cancelled.
        """
        mail = replace(mail, user=mail.user.lower())
        one = delivery_id(mail)
        while (running := self._running.get(one)) is not None:
            await asyncio.wait([running])  # the same mail on another connection
        task = asyncio.create_task(self._deliver(one, mail), name="deliver")
        self._running[one] = task
        task.add_done_callback(lambda _: self._forget(one))
        return await asyncio.shield(task)

    def _forget(self, one: DeliveryId) -> None:
        task = self._running.pop(one)
        if not task.cancelled() and task.exception() is not None:
            pass  # it was looked at: whoever waits hears of it, and nobody else has to

    async def _deliver(self, one: DeliveryId, mail: ReceivedMail) -> DeliveryResult:
        try:
            user = self._user(mail.user)
            self._box(user.name).target(mail.folder, "")  # a folder that can be none stops here
            await self._require_loaded()
            async with self._stored_form(one, mail) as stored:
                result = await self._within_quota(one, stored, user)
        except MailError as error:
            self.counts[f"refused: {error.public_text}"] += 1
            await self._uncount(mail)
            raise
        if result.is_duplicate:
            self.counts["duplicates"] += 1
            await self._uncount(mail)
        else:
            self.counts["delivered"] += 1
            self._tell(mail.user, result.folder)
        return result

    @contextlib.asynccontextmanager
    async def _stored_form(
        self, one: DeliveryId, mail: ReceivedMail
    ) -> AsyncIterator[ReceivedMail]:
        """The mail with LF line ends. Raises MailError 452."""
        draft = self._committer.staged(one).with_suffix(DRAFT)
        try:
            size = await self._run(lambda: write_with_lf(mail.spool, draft))
        except OSError as error:
            raise disk_trouble(error) from error
        if size is None:
            yield mail
            return
        try:
            wire_size = mail.wire_size or mail.size
            yield replace(mail, spool=draft, size=size, wire_size=wire_size)
        finally:
            await self._run(lambda: remove_draft(draft))

    async def _within_quota(
        self, one: DeliveryId, mail: ReceivedMail, user: UserSettings
    ) -> DeliveryResult:
        if not self._quota.has_room(user.name, mail.size):
            await self._recount(user.name)
        self._quota.take(user.name, mail.size)
        try:
            if user.mbox is not None and mail.folder == Folder.INBOX:
                result = await self._appender.append(one, mail, user.mbox)
            else:
                result = await self._commit(Job(one, mail))
        except BaseException:
            self._quota.give_back(user.name, mail.size)
            raise
        settle = self._quota.give_back if result.is_duplicate else self._quota.keep
        settle(user.name, mail.size)
        return result

    async def _commit(self, job: Job) -> DeliveryResult:
        outcome = await self._writer.commit(job)
        if isinstance(outcome, MailError):
            raise outcome
        if isinstance(outcome, Row):  # an mbox row from before the user had a Maildir
            await self._finish_append(outcome)
            if self._committer.staged(outcome.id).exists():
                raise MailError(452, "4.2.0", "the mailbox is in use, try again later")
            return DeliveryResult(True, outcome.key, outcome.folder)
        return outcome

    async def _finish_append(self, row: Row) -> None:
        """A crash came between the decision and the end of an append to an mbox."""
        user = self._users.get(row.user)
        if user is None or user.mbox is None:
            _log.warning("an interrupted delivery waits for the mbox of a user who has none now")
            return
        with contextlib.suppress(MailError):  # it stays staged, for a re-send or the next start
            await self._appender.finish(row, user.mbox)

    async def _uncount(self, mail: ReceivedMail) -> None:
        if mail.is_counted and mail.remote is not None:
            pair = (mail.remote, mail.user)
            await self._strangers.give_back(pair, mail.size, self._clock())

    # Quota

    def require_room(self, user: str, size: int) -> None:
        """Raises MailError 452 when a mail of this size would not fit: for MAIL FROM with SIZE."""
        name = self._user(user).name
        if not self._quota.has_room(name, size):
            self._later(self._recount(name))  # the numbers may be too high: next time they are not
            self._quota.take(name, size)
            self._quota.give_back(name, size)

    def usage(self) -> tuple[Usage, ...]:
        """How much of his quota each user has taken."""
        return self._quota.usage()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="mail-store")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _recount(self, user: str) -> None:
        """Other programs remove mail without telling us: count before anybody is refused."""
        async with self._count_lock:
            for one in self._quota.to_count(user, asyncio.get_running_loop().time()):
                await self._count(one)

    async def _count_all(self) -> None:
        for name in self._users:
            async with self._count_lock:
                await self._count(name)
        with contextlib.suppress(*DiskError):
            used = self._quota.used(self._users)
            await self._writer.call(lambda: self._journal.set_used(used))

    async def _count(self, name: str) -> None:
        settled = self._quota.settled(name)
        user, box = self._users[name], self._box(name)

        def count() -> int:
            is_there = user.mbox is not None and user.mbox.exists()
            extra = user.mbox.stat().st_size if user.mbox is not None and is_there else 0
            return box.used_bytes() + extra

        try:
            found = await self._run(count)
        except OSError as error:
            disk_trouble(error)  # logged; the old number stands
            return
        self._quota.counted(name, settled, found, asyncio.get_running_loop().time())

    # Strangers and blocked nodes

    async def admit_stranger(
        self, mails: Sequence[ReceivedMail], unix_time: float
    ) -> tuple[ReceivedMail, ...]:
        """One mail of a stranger for one or more users, as it may be delivered: it is counted now.

        A copy that is here already is not: its sender only did not hear so. Raises MailError 451 4.7.1
        when it is too much today, 550 5.7.1 when it is too much on any day; it counts for nobody then, nor
        where `deliver` fails.
        """
        await self._require_loaded()
        ids = {delivery_id(replace(mail, user=self._user(mail.user).name)): mail for mail in mails}
        try:
            known = await self._writer.call(lambda: self._journal.find(ids))
        except DiskError as error:
            raise disk_trouble(error) from error
        new = [mail for one, mail in ids.items() if one not in known]
        if new and new[0].remote is not None:
            users = [self._user(mail.user).name for mail in new]
            await self._strangers.judge(new[0].remote, users, new[0].size, unix_time)
        return tuple(replace(mail, is_counted=mail in new) for mail in ids.values())

    def is_blocked(self, address: Address) -> bool:
        """Whether a user wants nothing from this node any more."""
        return self._strangers.is_blocked(address)

    @property
    def blocked(self) -> tuple[Address, ...]:
        """Every blocked node."""
        return self._strangers.blocked

    async def block(self, address: Address) -> None:
        """Refuse everything from this node from now on. Raises MailError."""
        await self._strangers.block(address)

    async def unblock(self, address: Address) -> None:
        """Let this node in again. Raises MailError."""
        await self._strangers.unblock(address)

    async def accept(self, user: str, remote: Address) -> int:
        """Move everything this node sent from Requests to INBOX; how many mails that were."""
        name = self._user(user).name
        keys = await self.reader.from_node(name, Folder.REQUESTS, remote)
        if not keys:
            return 0
        if self._users[name].mbox is None:
            moved = await self.reader.move_all(name, Folder.REQUESTS, keys, Folder.INBOX)
        else:
            moved = 0
            for key in keys:
                moved += await self._accept_into_mbox(name, remote, key)
        self._tell(name, Folder.INBOX)
        return moved

    async def _accept_into_mbox(self, user: str, remote: Address, key: str) -> bool:
        try:
            path = await self.reader.path(user, Folder.REQUESTS, key)
        except MailError:
            return False
        size = path.stat().st_size
        # Named by its key: if we die in the middle, doing it again gives no second copy.
        mail = ReceivedMail(path, size, user, Folder.INBOX, remote, "", f"request {key}")
        await self.deliver(mail)
        await self.reader.remove(user, Folder.REQUESTS, key)
        return True

    # The rest

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher(user, folder)` after each delivery; the result ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def maildir(self, user: str) -> Maildir:
        """The Maildir of a user. Raises MailError 550 5.1.1."""
        return self._box(self._user(user).name)

    def status(self) -> dict[str, int]:
        """Everything counted since the start: words a person reads -> number."""
        return {
            **self.counts,
            **{f"refused: {reason}": number for reason, number in self._strangers.refusals.items()},
            "blocked nodes": len(self._strangers.blocked),
            "bytes stored": self._quota.total,
            "deliveries forgotten early": self._journal.forgotten_early,
        }

    def _tell(self, user: str, folder: str) -> None:
        for watcher in tuple(self._watchers):
            try:
                watcher(user, folder)
            except Exception:  # noqa: BLE001 the mail is delivered, whatever becomes of the news
                _log.exception("somebody who was told of new mail failed")

    def _box(self, user: str) -> Maildir:
        return Maildir(self._home.mail_users / user / "Maildir")

    def _user(self, name: str) -> UserSettings:
        user = self._users.get(name.lower())
        if user is None:
            raise MailError(
                550, "5.1.1", "no such user here", hint="`dexmesh mail user` lists them"
            )
        return user

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
