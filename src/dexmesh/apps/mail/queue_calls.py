"""Show what waits for other nodes and why, try it again, take it out.

Place     control_calls.py -> here -> queue/
Spec      docs/apps/mail.md §4 Queue; ours: docs/apps/mail-control.md
Keeps     a user sees and touches his own mail only; root and the service's account may ask for all
Not here  when mail is tried by itself (queue/, delivery.py)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
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
from dexmesh.apps.mail.proto.reach import is_outdated
from dexmesh.apps.mail.queue import QueueId, State, Waiting
from dexmesh.apps.mail.reach_calls import describe, name_of
from dexmesh.errors import AppError, PermissionNeededError
from dexmesh.wire.address import Address, format_address

MAX_ROWS = 1000  # ours, shown at once
AT_ONCE = 200  # ours: mails changed with one commit
MAX_LOOKED_AT = 20  # ours: nodes that one call has looked at
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
        """What waits, oldest first, a row for each recipient; and what is known of the nodes.

        With `look`, a node of which nothing is known, or nothing new, is looked at from now on.
        """
        limit = int(number_of(arguments, "limit", 200, 1, MAX_ROWS))
        rows = await self._desk.queue.list(_whose(caller, arguments), limit)
        nodes = dict.fromkeys(one.address for one in rows if one.state is State.WAITING)
        if flag_of(arguments, "look"):
            self._look(nodes)
        return {
            "waiting": [self._row(one) for one in rows],
            "reach": [self._reach(address) for address in nodes],
        }

    def _look(self, nodes: Iterable[Address]) -> None:
        reach, now = self._desk.reach, time.time()
        due = [
            address
            for address in nodes
            if is_outdated(reach.reports.get(address), now, is_delivered=False)
        ]
        for address in due[:MAX_LOOKED_AT]:
            reach.begin(address)

    def _reach(self, address: Address) -> dict[str, Any]:
        """What was found at a node, as far as somebody looked."""
        reach, book = self._desk.reach, self._desk.book
        report = reach.reports.get(address)
        told = {"address": format_address(address), "name": name_of(address, book), "sentences": []}
        if report is not None:
            told = describe(report, book)
        return {**told, "is_being_checked": reach.is_checking(address)}

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
            "is_tried": one.state is State.WAITING and self._desk.is_calling(one.address),
            "reason": one.reason,
        }

    async def retry(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Try a mail, or all, now."""
        user, nodes, queue = _whose(caller, arguments), set(), self._desk.queue
        numbers = await self._numbers(user, arguments)
        for some in _batches(numbers):
            for found in await asyncio.gather(*(queue.retry(one, user) for one in some)):
                nodes |= set(found)
        if not nodes and text_of(arguments, "id", EVERY) != EVERY:
            raise _unknown(arguments)
        return {"mails": len(numbers), "nodes": sorted(format_address(one) for one in nodes)}

    async def cancel(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Take a mail, or all, out of the queue."""
        user, count, queue = _whose(caller, arguments), 0, self._desk.queue
        for some in _batches(await self._numbers(user, arguments)):
            count += sum(await asyncio.gather(*(queue.cancel(one, user) for one in some)))
        if not count and text_of(arguments, "id") != EVERY:
            raise _unknown(arguments)
        return {"recipients": count}

    async def _numbers(self, user: str | None, arguments: Arguments) -> Sequence[QueueId]:
        text = text_of(arguments, "id", EVERY).strip()
        if text == EVERY:
            return await self._desk.queue.numbers(user)
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise _unknown(arguments)
        return [QueueId(int(text))]


def _batches(numbers: Sequence[QueueId]) -> Iterator[Sequence[QueueId]]:
    """Some at a time, which the queue takes to the disk together."""
    for start in range(0, len(numbers), AT_ONCE):
        yield numbers[start : start + AT_ONCE]


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
