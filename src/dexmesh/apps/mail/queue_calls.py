"""Show what waits for other nodes, try it again, take it out.

Place     control_calls.py -> here -> queue/
Spec      docs/apps/mail.md §4 Queue; ours: docs/apps/mail-control.md
Keeps     a user sees and touches his own mail only; root and the service's account may ask for all
Not here  when mail is tried by itself (queue/, delivery.py)
"""

from __future__ import annotations

from typing import Any

from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.mail.control_calls import (
    Arguments,
    Desk,
    flag_of,
    is_trusted,
    number_of,
    require_user,
    text_of,
)
from dexmesh.apps.mail.queue import QueueId, Waiting
from dexmesh.errors import AppError, PermissionNeededError
from dexmesh.wire.address import format_address

MAX_ROWS = 1000  # ours, shown at once
EVERY = "all"


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.queue`, `retry` and `cancel`."""
    calls = Outgoing(desk)
    server.register("mail.queue", calls.show)
    server.register("mail.retry", calls.retry)
    server.register("mail.cancel", calls.cancel)


class Outgoing:
    """The calls about mail on its way."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """What waits, oldest first, a row for each recipient."""
        limit = int(number_of(arguments, "limit", 200, 1, MAX_ROWS))
        rows = await self._desk.queue.list(_whose(caller, arguments), limit)
        return {"waiting": [self._row(one) for one in rows]}

    def _row(self, one: Waiting) -> dict[str, Any]:
        petname = self._desk.book.petname_of(one.address)
        return {
            "id": one.id,
            "user": one.user,
            "from": one.sender,
            "to": one.recipient,
            "petname": petname or "",
            "address": format_address(one.address),
            "size": one.size,
            "since_unix": one.created_unix,
            "tries": one.tries,
            "next_unix": one.next_unix,
            "state": one.state.name.lower(),
            "reason": one.reason,
        }

    async def retry(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Try a mail, or all, now."""
        user = _whose(caller, arguments)
        numbers = await self._numbers(user, arguments)
        nodes = set()
        for number in numbers:
            nodes |= set(await self._desk.queue.retry(number, user))
        if not nodes and text_of(arguments, "id", EVERY) != EVERY:
            raise _unknown(arguments)
        return {"mails": len(numbers), "nodes": sorted(format_address(one) for one in nodes)}

    async def cancel(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Take a mail, or all, out of the queue."""
        user = _whose(caller, arguments)
        count = 0
        for number in await self._numbers(user, arguments):
            count += await self._desk.queue.cancel(number, user)
        if not count and text_of(arguments, "id") != EVERY:
            raise _unknown(arguments)
        return {"recipients": count}

    async def _numbers(self, user: str | None, arguments: Arguments) -> list[QueueId]:
        text = text_of(arguments, "id", EVERY).strip()
        if text == EVERY:
            rows = await self._desk.queue.list(user, MAX_ROWS)
            return sorted({one.id for one in rows})
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise _unknown(arguments)
        return [QueueId(int(text))]


def _whose(caller: Caller, arguments: Arguments) -> str | None:
    """The user whose mail it is about; None for everybody's."""
    if not flag_of(arguments, "everybody"):
        return require_user(caller)
    if not is_trusted(caller):
        raise PermissionNeededError(
            "the mail of others is not yours to see", "leave out --everybody"
        )
    return None


def _unknown(arguments: Arguments) -> AppError:
    text = text_of(arguments, "id")[:40]
    hint = "`dexmesh mail queue` shows what waits; it may have been delivered meanwhile"
    return AppError(f"no mail {text} waits", hint)
