"""Be the mail service: wire store, queue, servers, names and control on one page.

Place     apps/service.py -> here; everything else of the mail is called from here
Spec      docs/apps/mail.md §4 (the picture); docs/decisions on the one process of the apps
Keeps     opened in order, closed in reverse; a part that people can do without (IMAP, names) does not
          take the others with it; contents and contacts' addresses never reach the log
Not here  binding sockets and restarting (base/); how parts are kept alive (base/running.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.control import Caller, ControlServer, Users
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.running import Running
from dexmesh.apps.base.settings import AppSettings
from dexmesh.apps.base.signs import SignsOfLife
from dexmesh.apps.base.sockets import Listening, Purpose
from dexmesh.apps.base.supervisor import AGAIN
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.mail import control_calls, reach_calls
from dexmesh.apps.mail.callback import Callbacks
from dexmesh.apps.mail.control_calls import Desk
from dexmesh.apps.mail.delivery import Delivery
from dexmesh.apps.mail.imap.boxes import Boxes
from dexmesh.apps.mail.imap.server import ImapServer
from dexmesh.apps.mail.local_names import LocalDirectory
from dexmesh.apps.mail.passwords import Logins, PasswordBook
from dexmesh.apps.mail.posting import Postman
from dexmesh.apps.mail.queue.mailqueue import MailQueue
from dexmesh.apps.mail.reach import MAX_QUEUED, ReachChecker
from dexmesh.apps.mail.receiver import MailReceiver
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store import MailStore
from dexmesh.apps.mail.submission import Submission
from dexmesh.apps.mail.texting import TextDelivery
from dexmesh.apps.mail.tls import load_tls
from dexmesh.apps.names.server import NamesServer
from dexmesh.errors import DexmeshError, HostError, PermissionNeededError
from dexmesh.wire.address import Address

THREADS = 4  # ours: they wait for the disk, not for each other
RENEW_S = 0.05  # ours: for the reply to whoever asked for it

log = logging.getLogger(__name__)


class MailService:
    """All parts of the mail in one worker."""

    def __init__(
        self,
        home: Home,
        settings: AppSettings,
        listening: Listening,
        login: AdminLogin | None,
        running: Running,
    ) -> None:
        self.settings = settings
        self.running = running
        self._tls: ssl.SSLContext | None = None
        self._home = home
        self._listening = listening
        self._began = time.monotonic()
        self._executor = ThreadPoolExecutor(THREADS, "disk")
        mail = settings.mail
        self.me = me = Me.of(settings.key)
        self.book = AddressBook(home.contacts)
        self.store = MailStore(home, mail, self._executor)
        self.queue = MailQueue(home, self._executor)
        self.spool = Spool(home.mail / "spool", self._executor)
        mboxes = {user.name: user.mbox for user in mail.users if user.mbox is not None}
        self.boxes = Boxes(home.mail_users, self._executor, mboxes)
        self.passwords = PasswordBook(home.mail / "passwords")
        self.logins = Logins(self.passwords, lambda name: mail.user(name) is not None)
        self.people = LocalDirectory(me, mail)
        self.receiver = MailReceiver(
            *(me, mail, self.store, self.book, self, self.spool, self.people),
            callbacks=Callbacks(me.address, time.monotonic),
        )
        self.submission = Submission(
            me, mail, self.store, self.queue, self.book, self.spool, self.logins, self.people
        )
        first = mail.users[0].name if mail.users else ""
        self.signs = SignsOfLife(login, me.address)
        self.texts = TextDelivery(self.queue.texts)
        self.postman = Postman(me, self.spool, self.submission)
        self.delivery = Delivery(
            *(me, self.queue, self.store, self.book, self.spool),
            first_user=first,
            signs=self.signs,
            texts=self.texts,
        )
        self.imap = ImapServer(
            self.boxes, self.logins.check, self._check_room, mail.max_message_bytes
        )
        self.reach = ReachChecker(me, source=me.address, own_port=mail.receive_port)
        self.names = NamesServer(me, self.book)
        self.control = ControlServer(Users(mail, os.geteuid()))
        self._silent_since: dict[Address, float] = {}

    # --- Start --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the disk, then the doors."""
        await self._open_disk()
        await self._open_doors()
        await self._open_control()

    async def _open_disk(self) -> None:
        self.running.opened("threads", self._close_threads)
        await self.store.open()
        self.running.opened("store", self.store.close)
        await self.spool.open()
        await self.queue.open()
        self.running.opened("queue", self.queue.close)
        self.running.opened("folders", self.boxes.close)
        await self._read_contacts()

    async def _read_contacts(self) -> None:
        """Before anybody waits: a large address book takes a while, and who calls is looked up in it."""
        with contextlib.suppress(DexmeshError, OSError):  # whoever asks for it hears of it
            await asyncio.get_running_loop().run_in_executor(self._executor, self.book.all)

    async def _open_doors(self) -> None:
        self.running.opened("reach", self.reach.close)
        self._tls = await self._load_tls()
        self.running.opened("submission", self.submission.close)
        for listening in self._listening.of(Purpose.SUBMIT):
            await self.submission.serve(listening, self._tls)
        self.running.opened("receiver", self.receiver.close)
        for listening in self._listening.of(Purpose.RECEIVE):
            await self.receiver.serve(listening)
        self.running.keep("delivery", self.delivery.run)
        self.running.keep("texts", self.texts.run)
        self.running.keep("reach", lambda: self.reach.watch(self._silent))
        await self._open_extras()

    async def _load_tls(self) -> ssl.SSLContext | None:
        """Without a certificate mail still flows, only programs that insist on STARTTLS do not."""
        arguments = (self._home, self.me, self.settings.mail, time.time())
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, load_tls, *arguments)
        except (OSError, HostError) as error:
            log.warning("no STARTTLS on this machine", extra={"reason": str(error)})
            return None

    async def _open_extras(self) -> None:
        """What people can do without: a failure here is told and leaves mail flowing."""
        self.running.opened("imap", self.imap.close)
        for listening in self._listening.of(Purpose.IMAP):
            await self.running.attempt("imap", self.imap.serve(listening, self._tls))
        self.running.opened("names", self.names.close)
        udp = self._listening.of(Purpose.NAMES, is_tcp=False)
        tcp = self._listening.of(Purpose.NAMES)
        if udp and tcp:
            await self.running.attempt("names", self.names.serve(udp[0], tcp[0]))

    async def _open_control(self) -> None:
        control_calls.register(self.control, self._desk())
        reach_calls.register(self.control, self.reach, self.book)
        self.control.register("service.status", self._status)
        self.control.register("service.renew", self._renew)
        self.running.opened("control", self.control.close)
        try:
            await self.control.start(self._home.control_socket)
        except OSError as error:  # a full disk: mail is answered with 452 meanwhile
            log.error("no commands can be taken yet", extra={"reason": str(error)})
            self.running.insist("control", lambda: self.control.start(self._home.control_socket))

    def _desk(self) -> Desk:
        return Desk(
            self.me,
            self.settings.mail,
            self.boxes,
            self.store,
            self.queue,
            self.book,
            self.spool,
            self.passwords,
            self.submission,
            self._executor,
            self.reach,
            self.delivery.is_calling,
            self.texts,
        )

    async def _close_threads(self) -> None:
        await asyncio.to_thread(self._executor.shutdown)

    # --- Between the parts --------------------------------------------------------------------------

    def heard(self, address: Address) -> None:
        """The mail server of another node connected to ours."""
        self.reach.heard(address)
        self.delivery.heard(address)

    async def _silent(self) -> list[tuple[Address, float]]:
        """The nodes that mail waits for, and for how long we have known them silent."""
        now = time.monotonic()
        silent = await self.queue.waiting_nodes(MAX_QUEUED)
        self._silent_since = {one: self._silent_since.get(one, now) for one in silent}
        return [(one, now - since) for one, since in self._silent_since.items()]

    async def _check_room(self, user: str, size: int) -> None:
        self.store.require_room(user, size)

    # --- Asked from outside -------------------------------------------------------------------------

    async def _status(self, _caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        mails, size = self.queue.totals()
        return {
            "address": self.me.literal,
            "key_name": self.me.key_name,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "users": [user.name for user in self.settings.mail.users],
            "listening": [
                {"where": one.wish.where, "purpose": one.wish.purpose.value}
                for one in self._listening.opened
            ],
            "warnings": list(self._listening.warnings),
            "waiting": {"mails": mails, "bytes": size},
            "counters": {
                "received": self.receiver.counters.snapshot(),
                "submitted": self.submission.counters.snapshot(),
                "sent": dict(self.delivery.counters),
                "IMAP": dict(self.imap.counters),
                "passwords": dict(self.logins.refused),
                "stored": self.store.status(),
                "names": self.names.counts,
            },
        }

    async def _renew(self, caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        """The settings changed: this worker ends in order, and a new one reads them."""
        if caller.uid not in (0, os.geteuid()):
            raise PermissionNeededError("only the owner of the service may do that", "use sudo")
        asyncio.get_running_loop().call_later(RENEW_S, self.running.end, AGAIN)
        return {}
