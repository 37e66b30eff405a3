"""Receive mail from other nodes on our mesh address, for the people who live here.

Place     another node -> serving.py, smtp.py -> here -> store; signs of life are told
Spec      docs/apps/mail.md §4 "Receiver"
Keeps     the TCP source address is the sender's identity; nothing is looked up, nothing passed on;
          None from `take` means every recipient has it on disk
Not here  the rules (proto/policy.py), the header (proto/receiving.py), the dialogue (smtp.py)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from socket import socket
from ssl import SSLContext
from typing import Protocol

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.apps.mail.callback import Callbacks
from dexmesh.apps.mail.counters import Counters
from dexmesh.apps.mail.incoming import Message
from dexmesh.apps.mail.local_names import LocalDirectory
from dexmesh.apps.mail.proto.headers import Header
from dexmesh.apps.mail.proto.policy import judge_recipient, judge_sender
from dexmesh.apps.mail.proto.receiving import Arrival, edit_received
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.apps.mail.proto.strangers import MAX_BYTES, TOO_BIG_TEXT
from dexmesh.apps.mail.roles import Recipient, Talk
from dexmesh.apps.mail.serving import LIMITS, Limits, MailServer, Source, source_address
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, Folder, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.wire.address import Address, is_mesh_address


class Store(Protocol):
    """What we need of the store (store/)."""

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        """Durable when it returns. Raises MailError."""

    async def admit_stranger(
        self, mails: Sequence[ReceivedMail], unix_time: float
    ) -> Sequence[ReceivedMail]:
        """Count a stranger's mail; as it may be delivered. Raises MailError when it is too much."""

    def require_room(self, user: str, size: int) -> None:
        """Raises MailError when a mail of this size would find no room."""

    def is_blocked(self, address: Address) -> bool:
        """Whether the user wants nothing from there."""


class Book(Protocol):
    """What we need of the address book (contacts/)."""

    def by_address(self, address: Address) -> Sequence[object]:
        """The contacts on that node."""


class Signs(Protocol):
    """Who wants to know that a node lives (base/signs.py)."""

    def heard(self, address: Address) -> None:
        """That node has just been heard of."""


class MailReceiver:
    """The server on port 25 of the mesh address."""

    has_login = False
    has_dsn = False
    tls: SSLContext | None = None  # the mesh seals every packet, and the address is the key

    def __init__(
        self,
        me: Me,
        settings: MailSettings,
        store: Store,
        book: Book,
        signs: Signs,
        spool: Spool,
        names: LocalDirectory | None = None,
        *,
        callbacks: Callbacks | None = None,
        limits: Limits = LIMITS,
        source: Source = source_address,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._me = me
        self._settings = settings
        self._store = store
        self._book = book
        self._signs = signs
        self._names = names or LocalDirectory(me, settings)
        self._unix_time = unix_time
        self.callbacks = callbacks
        self._server = MailServer(self, spool, limits, source)

    @property
    def counters(self) -> Counters:
        """What was accepted and refused, for `dexmesh mail status`."""
        return self._server.counters

    @property
    def hostname(self) -> str:
        """Our literal: every stock program takes it in a greeting (mail.md §3)."""
        return self._me.literal

    @property
    def max_bytes(self) -> int:
        """The biggest message."""
        return self._settings.max_message_bytes

    async def serve(self, listening: socket) -> None:
        """Accept mail on a bound socket from now on; returns at once."""
        await self._server.serve(listening)

    async def close(self) -> None:
        """Accept nothing more; finish deliveries that began."""
        await self._server.close()

    def may_connect(self, address: Address) -> bool:
        """Only nodes of the mesh; whoever comes is alive."""
        if not is_mesh_address(address):
            return False
        self._signs.heard(address)
        return True

    def judge_sender(self, talk: Talk, sender: Mailbox | None, size: int) -> Refusal | None:
        """MAIL FROM: the connecting address says who may be named, and how much a stranger may send."""
        refusal = judge_sender(
            sender,
            talk.remote,
            is_blocked=self._store.is_blocked(talk.remote),
            allows_foreign=self._settings.allow_foreign_senders,
        )
        if refusal is None and size > MAX_BYTES and not self._is_known(talk.remote):
            return Refusal(550, "5.7.1", TOO_BIG_TEXT, Reason.STRANGER_LIMIT)
        return refusal

    def judge_recipient(
        self, talk: Talk, mailbox: Mailbox, parameters: Mapping[str, str]
    ) -> Recipient | Refusal:
        """RCPT TO: only people of this node."""
        users = judge_recipient(mailbox, self._names.names())
        if isinstance(users, Refusal):
            return users
        try:
            for user in users:
                self._store.require_room(user, int(talk.parameters.get("SIZE", 0)))
        except MailError as error:
            return _refusal(error)
        return Recipient(mailbox, users)

    def edit_header(self, talk: Talk, header: Header) -> bytes | Refusal:
        """Repaired, with our trace on top."""
        arrival = Arrival(
            remote=talk.remote,
            helo=talk.helo,
            protocol=talk.protocol,
            sender=talk.sender,
            id=secrets.token_hex(6),
            date=datetime.fromtimestamp(self._unix_time(), UTC),
        )
        return edit_received(header, arrival, self._me)

    async def take(self, talk: Talk, message: Message) -> Refusal | None:
        """Deliver to every recipient; any refusal stands for all.

        Whoever already has the mail does not get it again when it is sent once more: the store knows
        remote node, Message-ID and body.
        """
        try:
            is_known = self._is_known(talk.remote)
            folder = Folder.INBOX if is_known else Folder.REQUESTS
            mails: Sequence[ReceivedMail] = _mails(talk, message, folder)
            if not is_known:
                mails = await self._store.admit_stranger(mails, self._unix_time())
            await self._deliver(mails)
        except MailError as error:
            return _refusal(error)
        finally:
            await message.file.remove()
        return None

    async def authenticate(self, name: str, password: str) -> str | None:
        """Nobody logs in from another node."""
        return None

    def _is_known(self, address: Address) -> bool:
        return bool(self._book.by_address(address))

    async def _deliver(self, mails: Sequence[ReceivedMail]) -> None:
        """Raises the first MailError, but only when no delivery is under way any more."""
        results = await asyncio.gather(
            *(self._store.deliver(mail) for mail in mails), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _refusal(error: MailError) -> Refusal:
    is_about_strangers = error.enhanced in ("4.7.1", "5.7.1")
    reason = Reason.STRANGER_LIMIT if is_about_strangers else Reason.STORE
    return Refusal(error.code, error.enhanced, error.public_text, reason)


def _mails(talk: Talk, message: Message, folder: Folder) -> list[ReceivedMail]:
    """The message, once for every user it is for."""
    return [
        ReceivedMail(
            spool=message.file.path,
            size=message.file.size,
            remote=talk.remote,
            sender="" if talk.sender is None else str(talk.sender),
            user=user,
            folder=folder,
            message_id=message.message_id,
            body_hash=message.body_hash,
            wire_size=message.wire_size,
        )
        for user in dict.fromkeys(user for one in talk.recipients for user in one.users)
    ]
