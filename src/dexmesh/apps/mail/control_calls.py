"""Offer everything `dexmesh mail` does to programs on this machine, over the control socket.

Place     service.py -> register() -> reading_calls.py, sending_calls.py, people_calls.py, queue_calls.py
Spec      ours: docs/apps/mail-control.md lists calls, arguments and results
Keeps     a caller sees the mail of the user he acts for and of nobody else; arguments are checked, not
          believed; messages come and go in pieces
Not here  who may act for whom (base/control.py), how it looks on a terminal (cli/mail_*.py)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

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
from dexmesh.errors import AppError, DexmeshError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_WORD_CHARS = 2000  # ours: of one argument that is no text

Arguments = dict[str, Any]
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


def is_trusted(caller: Caller) -> bool:
    """Whether the caller may look at what is everybody's."""
    return caller.uid in (0, os.geteuid())


def require_user(caller: Caller) -> str:
    """The user the caller acts for. Raises AppError if there is none."""
    if not caller.user:
        raise AppError("there are no mail users yet", "`dexmesh mail user add NAME` makes one")
    return caller.user


# --- Arguments --------------------------------------------------------------------------------------


def text_of(arguments: Arguments, name: str, default: str | None = None, most: int = 2000) -> str:
    """A text argument. Raises AppError."""
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > most:
        raise AppError(f"the call needs {name!r}, a text of at most {most} characters")
    return value


def texts_of(arguments: Arguments, name: str, most: int = 200) -> list[str]:
    """A list of texts; a missing one is empty. Raises AppError."""
    value = arguments.get(name, [])
    is_list = isinstance(value, list) and len(value) <= most
    if not is_list or not all(isinstance(one, str) and len(one) <= MAX_WORD_CHARS for one in value):
        raise AppError(f"{name!r} is a list of at most {most} texts")
    return list(value)


def number_of(arguments: Arguments, name: str, default: float, least: float, most: float) -> float:
    """A number within limits. Raises AppError."""
    value = arguments.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise AppError(f"{name!r} is a number from {least:g} to {most:g}")
    return float(value)


def flag_of(arguments: Arguments, name: str) -> bool:
    """Whether something is asked for; a missing one is no. Raises AppError."""
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        raise AppError(f"{name!r} is true or false")
    return value
