"""The mail service without its network: store, queue, contacts, submission and the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dexmesh.apps.base.control import Caller, ControlClient, ControlServer, Users
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings, MailSettings, UserSettings, save_settings
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.mail import control_calls
from dexmesh.apps.mail.control_calls import Desk
from dexmesh.apps.mail.imap.boxes import Boxes
from dexmesh.apps.mail.passwords import Logins, PasswordBook
from dexmesh.apps.mail.proto.attempts import Outcome
from dexmesh.apps.mail.proto.reach import Ours, Port, ReachReport
from dexmesh.apps.mail.queue import MailQueue
from dexmesh.apps.mail.reach import ReachChecker
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail
from dexmesh.apps.mail.submission import Submission
from dexmesh.apps.mail.texting import TextDelivery
from dexmesh.wire.address import Address, format_address
from dexmesh.wire.keys import PublicKey, decode_key
from tests.unit.config.samples import PUBLIC

EVE = Address(bytes.fromhex("fceeeeeeeeeeeeeeeeeeeeeeeeeeeeee"))
EVE_LITERAL = f"[IPv6:{format_address(EVE)}]"
MAX_MESSAGE_BYTES = 2_000_000


def our_key() -> PublicKey:
    """The key of this node."""
    return decode_key(PUBLIC) if isinstance(PUBLIC, str) else PUBLIC


class StillChecker(ReachChecker):
    """Finds the same everywhere, without any call: no way there, and nobody on our port 25."""

    def __init__(self, me: Me) -> None:
        super().__init__(me, source=None)

    async def _check(self, address: Address) -> ReachReport:
        report = ReachReport(address, Port.UNREACHABLE, Ours.DEAF, unix_time=time.time())
        self.reports[address] = report
        return report


class DeskWorld:
    """The service in a thread; users bob and alice, and the account of the tests may be both."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        folder.mkdir(parents=True, exist_ok=True)
        users = (UserSettings("bob"), UserSettings("alice", mbox=folder / "alice.mbox"))
        mail = MailSettings(
            is_on=True,
            users=users,
            aliases={"postmaster": ("bob",)},
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
        save_settings(self.home, AppSettings(our_key(), mail))
        self.me = Me.of(our_key())
        self.book = AddressBook(self.home.contacts)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._executor = ThreadPoolExecutor(4)
        self._count = 0
        self.called: set[Address] = set()
        """The nodes that delivery would be calling."""
        self.server, self.desk = self.do(self._start(mail))

    def do(self, work: Any) -> Any:
        """Run this in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self, mail: MailSettings) -> tuple[ControlServer, Desk]:
        store = MailStore(self.home, mail, self._executor)
        queue = MailQueue(self.home, self._executor)
        spool = Spool(self.home.mail / "spool", self._executor)
        await store.open()
        await spool.open()
        await queue.open()
        passwords = PasswordBook(self.home.mail / "passwords")
        logins = Logins(passwords, lambda name: mail.user(name) is not None)
        submission = Submission(self.me, mail, store, queue, self.book, spool, logins)
        mboxes = {user.name: user.mbox for user in mail.users if user.mbox is not None}
        boxes = Boxes(self.home.mail_users, self._executor, mboxes)
        desk = Desk(
            self.me,
            mail,
            boxes,
            store,
            queue,
            self.book,
            spool,
            passwords,
            submission,
            self._executor,
            StillChecker(self.me),
            self.called.__contains__,
            TextDelivery(queue.texts),
        )
        server = ControlServer(Users(mail, os.geteuid()))
        control_calls.register(server, desk)
        server.register("reach.check", self._reach)
        await server.start(self.home.control_socket)
        return server, desk

    async def _reach(self, _caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {"sentences": ["his port 25 answers"]}

    def close(self) -> None:
        """End it all."""
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._executor.shutdown()

    async def _close(self) -> None:
        await self.server.close()
        await self.desk.boxes.close()
        await self.desk.reach.close()
        await self.desk.queue.close()
        await self.desk.store.close()

    def client(self, user: str = "bob") -> ControlClient:
        """A program that acts for this user."""
        return ControlClient(self.home.control_socket, user)

    def receive(
        self,
        body: bytes = b"Subject: hello\r\n\r\nbody\r\n",
        *,
        user: str = "bob",
        remote: Address | None = EVE,
        folder: str = Folder.INBOX,
        sender: str = f"eve@{EVE_LITERAL}",
        author: str = f"Eve E <eve@{EVE_LITERAL}>",
        differs: bool = False,
        message_id: str = "",
    ) -> None:
        """A mail from another node, as the receiver stores it."""
        self._count += 1
        trace = f"Return-Path: <{sender}>\r\n"
        if remote is not None:
            result = f"x-mesh=pass smtp.remote-ip={format_address(remote)}"
            trace += f"Authentication-Results: x.k;\r\n\t{result}\r\n"
        if differs:
            trace += "X-Mesh-From-Differs: yes\r\n"
        message_id = message_id or f"<{self._count}@eve>"
        head = f"{trace}From: {author}\r\nTo: bob@{self.me.literal}\r\nMessage-ID: {message_id}\r\n"
        data = head.encode() + body
        spool = self.home.path / f"incoming-{self._count}"
        spool.write_bytes(data)
        mail = ReceivedMail(
            spool, len(data), user, folder, remote, sender, f"<{self._count}@eve>", b"x", len(data)
        )
        self.do(self.desk.store.deliver(mail))

    def fail_delivery(self, *outcomes: Outcome, retry: bool = False) -> None:
        """An attempt at the oldest mail ends like that for each of its recipients, the last for all
        that are left: the first attempt, or, with `retry`, one more.
        """
        self.do(self._fail(outcomes, retry))

    @contextlib.contextmanager
    def delivering(self, outcome: Outcome) -> Iterator[None]:
        """The first attempt at the mail that is sent meanwhile ends like that."""

        def deliver() -> None:
            deadline = time.monotonic() + 20
            while not self.do(self.desk.queue.list()) and time.monotonic() < deadline:
                time.sleep(0.05)
            self.fail_delivery(outcome)

        thread = threading.Thread(target=deliver)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    async def _fail(self, outcomes: Sequence[Outcome], retry: bool) -> None:
        rows = await self.desk.queue.list()
        if retry:
            await self.desk.queue.retry(rows[0].id)
        (work,) = await self.desk.queue.work_for(rows[0].address, 1)
        every = itertools.chain(outcomes, itertools.repeat(outcomes[-1]))
        ended = [
            (one, outcome, False) for one, outcome in zip(work.recipients, every, strict=False)
        ]
        await self.desk.queue.record_outcomes(work, rows[0].address, ended)
