"""Offer everything `dexmesh mail` does to programs on this machine, over the control socket.

Place     service.py -> register() -> reading_calls.py, sending_calls.py, people_calls.py, queue_calls.py
Spec      ours: docs/apps/mail-control.md lists calls, arguments and results
Keeps     a caller sees the mail of the user he acts for and of nobody else; arguments are checked, not
          believed; messages come and go in pieces
Not here  who may act for whom (base/control.py), how it looks on a terminal (cli/mail_*.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from dexmesh.apps.base.arguments import MAX_WORD_CHARS as MAX_WORD_CHARS
from dexmesh.apps.base.arguments import Arguments as Arguments
from dexmesh.apps.base.arguments import flag_of as flag_of
from dexmesh.apps.base.arguments import is_trusted as is_trusted
from dexmesh.apps.base.arguments import number_of as number_of
from dexmesh.apps.base.arguments import require_user as require_user
from dexmesh.apps.base.arguments import text_of as text_of
from dexmesh.apps.base.arguments import texts_of as texts_of
from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.mail.imap.boxes import Boxes
from dexmesh.apps.mail.passwords import PasswordBook
from dexmesh.apps.mail.queue import MailQueue, QueueId
from dexmesh.apps.mail.reach import ReachChecker
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store import MailStore
from dexmesh.apps.mail.texting import TextDelivery
from dexmesh.errors import DexmeshError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

P = ParamSpec("P")
R = TypeVar("R")


class Submit(Protocol):
    """The way to other people (submission.py)."""

    async def submit(
        self, user: str, message: Path, recipients: Sequence[Mailbox]
    ) -> QueueId | None:
        """Take a message of a local user; it is on disk when this returns. Raises MailError.

        The file (CRLF lines, a whole header) stays the caller's. The result is the number of what
        waits for other nodes; None if everybody lives here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the calls work with."""

    me: Me
    settings: MailSettings
    boxes: Boxes
    store: MailStore
    queue: MailQueue
    book: AddressBook
    spool: Spool
    passwords: PasswordBook
    submission: Submit
    executor: Executor
    reach: ReachChecker
    is_calling: Callable[[Address], bool]
    """Whether delivery is calling that node now."""
    texts: TextDelivery

    async def in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call this where it may wait for the disk."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, lambda: call(*args, **kwargs))

    def petname_at(self, mailbox: Mailbox) -> str:
        """What the person with this mailbox is called here; empty if nobody knows."""
        try:
            contact = self.book.by_mailbox(mailbox)
        except (DexmeshError, OSError):
            return ""
        return contact.petname if contact else ""


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.*`."""
    from dexmesh.apps.mail import people_calls, queue_calls, reading_calls, sending_calls

    reading_calls.register(server, desk)
    sending_calls.register(server, desk)
    people_calls.register(server, desk)
    queue_calls.register(server, desk)

    async def password(caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        user = require_user(caller)
        return {"user": user, "password": await desk.in_thread(desk.passwords.renew, user)}

    server.register("mail.password", password)
