"""Take mail from programs of this machine: to people here at once, to others through the queue.

Place     mail programs -> serving.py, smtp.py -> here -> store, queue; control calls use `submit`
Spec      docs/apps/mail.md §4 "Submission"; RFC 6409, RFC 3461 (DSN parameters)
Keeps     only loopback is served; None from `take` means that every recipient's copy is on disk
Not here  the rules and the header (proto/submitting.py), passwords (passwords.py), tries (delivery.py)
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
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
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.apps.mail.proto.submitting import (
    Addressee,
    authors,
    complete_header,
    judge_addressee,
    own_sender,
)
from dexmesh.apps.mail.queue.rows import DsnAsked, Notify, QueueId
from dexmesh.apps.mail.roles import Recipient, Talk
from dexmesh.apps.mail.serving import Limits, MailServer, Source, source_address
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, Folder, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

LIMITS = Limits(connections=100, per_address=100)  # ours: every program here has one address

_CHUNK_BYTES = 1 << 20
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_HEADER_END = b"\r\n\r\n"


class Store(Protocol):
    """What we need of the store (store/)."""

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        """Durable when it returns. Raises MailError."""


class Queue(Protocol):
    """What we need of the queue (queue/)."""

    async def add(
        self,
        message: Path | bytes,
        sender: str,
        recipients: Sequence[Mailbox],
        *,
        user: str = "",
        asked: DsnAsked | None = None,
    ) -> QueueId:
        """Durable when it returns. Raises MailError."""


class Book(Protocol):
    """What we need of the address book (contacts/)."""

    def address_of(self, petname: str) -> Address | None:
        """The node of a contact."""


class Logins(Protocol):
    """Who checks passwords (passwords.py)."""

    async def check(self, user: str, password: str) -> bool:
        """Whether this is a local user with his password."""


class Submission:
    """The server on the submission ports, and the way in for our own commands."""

    has_login = True
    has_dsn = True
    callbacks: Callbacks | None = None  # programs of this machine have nothing to be called at

    def __init__(
        self,
        me: Me,
        settings: MailSettings,
        store: Store,
        queue: Queue,
        book: Book,
        spool: Spool,
        logins: Logins,
        names: LocalDirectory | None = None,
        *,
        limits: Limits = LIMITS,
        source: Source = source_address,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._me = me
        self._settings = settings
        self._store = store
        self._queue = queue
        self._book = book
        self._logins = logins
        self._names = names or LocalDirectory(me, settings)
        self._unix_time = unix_time
        self._server = MailServer(self, spool, limits, source)
        self.tls: SSLContext | None = None

    @property
    def counters(self) -> Counters:
        """What was accepted and refused, for `dexmesh mail status`."""
        return self._server.counters

    @property
    def hostname(self) -> str:
        """Programs here know us by this name; it needs no lookup."""
        return "localhost"

    @property
    def max_bytes(self) -> int:
        """The biggest message."""
        return self._settings.max_message_bytes

    async def serve(self, listening: socket, tls: SSLContext | None) -> None:
        """Accept mail on a bound socket from now on; returns at once."""
        self.tls = tls
        await self._server.serve(listening)

    async def close(self) -> None:
        """Accept nothing more; finish what began."""
        await self._server.close()

    # --- The role (smtp.py) -------------------------------------------------------------------------

    def may_connect(self, address: Address) -> bool:
        """Only programs of this machine."""
        found = ipaddress.IPv6Address(address)
        return (found.ipv4_mapped or found).is_loopback

    def judge_sender(self, talk: Talk, sender: Mailbox | None, size: int) -> Refusal | None:
        """Whatever a program says: the mail is sent as an own address."""
        return None

    def judge_recipient(
        self, talk: Talk, mailbox: Mailbox, parameters: Mapping[str, str]
    ) -> Recipient | Refusal:
        """RCPT TO: a person here, or on a node of the mesh."""
        found = judge_addressee(mailbox, self._names.names(), self._book.address_of)
        if isinstance(found, Refusal):
            return found
        return Recipient(found.mailbox, found.users, parameters)

    def edit_header(self, talk: Talk, header: Header) -> bytes | Refusal:
        """Completed, and From an own address."""
        return complete_header(
            header,
            self._sender(talk, header),
            self._names.names(),
            self._book.address_of,
            date=datetime.fromtimestamp(self._unix_time(), UTC),
            message_id=f"<{secrets.token_hex(12)}@{self._me.key_name}>",
        )

    async def take(self, talk: Talk, message: Message) -> Refusal | None:
        """People here first: if the queue refuses then, a repeated mail is not doubled for them."""
        sender = self._sender(talk, message.header)
        people = [Addressee(one.mailbox, one.users) for one in talk.recipients]
        try:
            await self._place(
                message.file.path,
                message.file.size,
                "" if talk.sender is None else str(Mailbox(sender.local, sender.domain)),
                self._user_of(talk, sender),
                people,
                message_id=message.message_id
                or secrets.token_hex(12),  # each such mail is a new one
                body_hash=message.body_hash,
                asked=_asked(talk),
                wire_size=message.wire_size,
            )
        except MailError as error:
            return Refusal(error.code, error.enhanced, error.public_text, Reason.STORE)
        finally:
            await message.file.remove()
        return None

    async def authenticate(self, name: str, password: str) -> str | None:
        """The local user with this password; `stuart@localhost` is stuart."""
        user = name.partition("@")[0].lower()
        return user if await self._logins.check(user, password) else None

    # --- For our own commands -----------------------------------------------------------------------

    async def submit(
        self, user: str, message: Path, recipients: Sequence[Mailbox]
    ) -> QueueId | None:
        """Take a message of a local user (CRLF lines, a whole header); on disk when this returns.

        The file stays the caller's. The result is the number of what waits for other nodes; None if
        everybody lives here. Raises MailError.
        """
        people = [self._require(one) for one in recipients]
        sender = str(Mailbox(user, self._me.literal))
        loop = asyncio.get_running_loop()
        message_id, body_hash, size = await loop.run_in_executor(None, _fingerprint, message)
        return await self._place(
            message, size, sender, user, people, message_id=message_id, body_hash=body_hash
        )

    def _require(self, mailbox: Mailbox) -> Addressee:
        found = judge_addressee(mailbox, self._names.names(), self._book.address_of)
        if isinstance(found, Refusal):
            raise MailError(found.code, found.enhanced, found.text)
        return found

    # --- Inside -------------------------------------------------------------------------------------

    def _sender(self, talk: Talk, header: Header) -> Mailbox:
        candidates = (*authors(header)[:1], talk.sender)
        return own_sender(talk.user, candidates, self._names.names())

    def _user_of(self, talk: Talk, sender: Mailbox) -> str:
        users = self._names.names().users_of(sender.local)
        return talk.user or (users[0] if users else "")

    async def _place(
        self,
        path: Path,
        size: int,
        sender: str,
        user: str,
        people: Sequence[Addressee],
        *,
        message_id: str,
        body_hash: bytes,
        asked: DsnAsked | None = None,
        wire_size: int = 0,
    ) -> QueueId | None:
        here = dict.fromkeys(user for one in people for user in one.users)
        for name in here:
            mail = ReceivedMail(
                spool=path,
                size=size,
                user=name,
                folder=Folder.INBOX,
                sender=sender,
                message_id=message_id,
                body_hash=body_hash,
                wire_size=wire_size or size,
            )
            await self._store.deliver(mail)
        others = [one.mailbox for one in people if not one.users]
        if not others:
            return None
        return await self._queue.add(path, sender, others, user=user, asked=asked)


def _asked(talk: Talk) -> DsnAsked:
    """What the program wants to hear about recipients on other nodes (RFC 3461)."""
    others = [one for one in talk.recipients if not one.users]
    return DsnAsked(
        returns_full=talk.parameters.get("RET", "HDRS").upper() == "FULL",
        envelope_id=_from_xtext(talk.parameters.get("ENVID", "")),
        notify=tuple(_notify(one.parameters.get("NOTIFY")) for one in others),
        original=tuple(_from_xtext(one.parameters.get("ORCPT", "")) for one in others),
    )


def _notify(value: str | None) -> Notify | None:
    if value is None:
        return None
    wanted = Notify.NEVER
    for word in value.upper().split(","):
        wanted |= Notify[word]
    return wanted


def _from_xtext(text: str) -> str:
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)[:500]


def _fingerprint(path: Path) -> tuple[str, bytes, int]:
    """Message-ID, hash and size of a message that did not come by SMTP."""
    from dexmesh.apps.mail.proto.headers import MAX_HEADER_BYTES, TooManyFieldsError, parse_header

    digest = hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
        digest.update(start)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
        size = file.tell()
    try:
        header = parse_header(start[: start.find(_HEADER_END) + 2])
    except TooManyFieldsError:
        return "", digest.digest(), size
    return header.first("message-id") or "", digest.digest(), size
