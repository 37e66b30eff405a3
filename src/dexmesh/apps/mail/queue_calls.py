"""Show what waits for other nodes and why, mails and texts alike; try it again, take it out.

Place     control_calls.py -> here -> queue/, texting.py
Spec      docs/apps/mail.md §4 Queue; ours: docs/apps/mail-control.md
Keeps     a user sees and touches his own only; root and the service's account may ask for all
Not here  when something is tried by itself (queue/, delivery.py, texting.py)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dexmesh.apps.base.carrier import WaitingText
from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.mailbox import Mailbox
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
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address

MAX_ROWS = 1000  # ours, shown at once
AT_ONCE = 200  # ours: mails changed with one commit
MAX_LOOKED_AT = 20  # ours: nodes that one call has looked at
EVERY = "all"
NO_PHONE = "the phone does not run here, and texts go out by it"

_ID = re.compile(r"(t?)([0-9]{1,15})", re.ASCII)


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.queue`, `retry` and `cancel`."""
    calls = Outgoing(desk)
    server.register("mail.queue", calls.show)
    server.register("mail.retry", calls.retry)
    server.register("mail.cancel", calls.cancel)


class Outgoing:
    """The calls about mails and texts on their way. Texts have ids like t3."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """What waits, oldest first, a row for each recipient and each text; what is known of the nodes
        that mail waits for. `limit` is for mails and for texts.

        With `look`, a node of which nothing is known, or nothing new, is looked at from now on.
        """
        limit = int(number_of(arguments, "limit", 200, 1, MAX_ROWS))
        user = _whose(caller, arguments)
        rows = await self._desk.queue.list(user, limit)
        texts = await self._desk.queue.texts.list(user, limit)
        nodes = dict.fromkeys(one.address for one in rows if one.state is State.WAITING)
        if flag_of(arguments, "look"):
            self._look(nodes)
        waiting = [*map(self._row, rows), *map(self._text_row, texts)]
        return {
            "waiting": sorted(waiting, key=lambda one: one["since_unix"]),
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
            "kind": "mail",
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

    def _text_row(self, one: WaitingText) -> dict[str, Any]:
        text, texts = one.text, self._desk.texts
        return {
            "kind": "text",
            "id": f"t{text.number}",
            "user": text.user,
            "from": str(Mailbox(text.user, self._desk.me.literal)),
            "to": text.uri.removeprefix("sip:"),
            "petname": self._desk.book.petname_of(text.address) or "",
            "address": format_address(text.address),
            "size": len(text.body.encode()),
            "since_unix": text.created_unix,
            "tries": one.tries,
            "next_unix": one.next_unix,
            "state": State.WAITING.name.lower(),
            "is_tried": texts.is_carrying(text.address),
            "reason": one.reason if texts.has_carrier else NO_PHONE,
            "text": text.body,
            "is_offered_as_mail": texts.has_carrier and one.is_offered_as_mail(time.time()),
        }

    async def retry(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Try a mail, a text, or all, now."""
        user, nodes, queue = _whose(caller, arguments), set(), self._desk.queue
        chosen = _chosen(arguments, text_of(arguments, "id", EVERY))
        numbers = await self._mails(user, chosen)
        for some in _batches(numbers):
            for found in await asyncio.gather(*(queue.retry(one, user) for one in some)):
                nodes |= set(found)
        texts = await queue.texts.retry(chosen.texts, user)
        nodes |= set(texts)
        if not nodes and not chosen.is_all:
            raise _unknown(arguments)
        return {
            "mails": len(numbers),
            "texts": len(texts),
            "nodes": sorted(format_address(one) for one in nodes),
        }

    async def cancel(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Take a mail, a text, or all, out of the queue."""
        user, count, queue = _whose(caller, arguments), 0, self._desk.queue
        chosen = _chosen(arguments, text_of(arguments, "id"))
        for some in _batches(await self._mails(user, chosen)):
            count += sum(await asyncio.gather(*(queue.cancel(one, user) for one in some)))
        texts = await self._desk.texts.cancel(chosen.texts, user)
        if not count and not texts and not chosen.is_all:
            raise _unknown(arguments)
        return {"recipients": count, "texts": texts}

    async def _mails(self, user: str | None, chosen: _Chosen) -> Sequence[QueueId]:
        return await self._desk.queue.numbers(user) if chosen.mails is None else chosen.mails


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Of what is asked; None is all there are."""

    mails: Sequence[QueueId] | None = None
    texts: Sequence[int] | None = None

    @property
    def is_all(self) -> bool:
        return self.mails is None


def _chosen(arguments: Arguments, text: str) -> _Chosen:
    """`12` is a mail, `t12` a text, `all` everything. Raises AppError."""
    text = text.strip().lower()
    if text == EVERY:
        return _Chosen()
    found = _ID.fullmatch(text)
    if found is None:
        raise _unknown(arguments)
    number = int(found[2])
    return _Chosen((), (number,)) if found[1] else _Chosen((QueueId(number),), ())


def _batches(numbers: Sequence[QueueId]) -> Iterator[Sequence[QueueId]]:
    """Some at a time, which the queue takes to the disk together."""
    for start in range(0, len(numbers), AT_ONCE):
        yield numbers[start : start + AT_ONCE]


def _whose(caller: Caller, arguments: Arguments) -> str | None:
    """The user whose mails and texts it is about; None for everybody's."""
    if not flag_of(arguments, "everybody"):
        return require_user(caller)
    if not is_trusted(caller):
        raise PermissionNeededError(
            "what others write is not yours to see", "leave out --everybody"
        )
    return None


def _unknown(arguments: Arguments) -> AppError:
    text = text_of(arguments, "id")[:40]
    hint = "`dexmesh mail queue` shows what waits; it may have been delivered meanwhile"
    return AppError(f"no {'text' if text[:1] in 'tT' else 'mail'} {text} waits", hint)
