"""Send texts: into the history and the durable queue first, then by SIP, now or when the node is back.

Place     control_calls.py -> here -> the queue (handed in by apps/service.py) -> here (carry) -> service.py
Spec      docs/apps/sip.md §3 (MESSAGE; after 10 minutes offered as mail); docs/decisions/0013
Keeps     a text is on the disk before anybody hears that it was taken; the history says what became of
          it before the queue forgets it
Not here  when it is tried (mail/texting.py), the message (phone/texts.py)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from dexmesh.apps.base.carrier import MAX_TEXT_BYTES, Carried, Fate, QueuedText, WaitingText
from dexmesh.apps.call.people import Target
from dexmesh.apps.call.phone.values import CallError, TextState
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.store.tables import Entry, Kind, State
from dexmesh.wire.address import Address, format_address

_FINAL = {Fate.DELIVERED: State.DELIVERED, Fate.REFUSED: State.REFUSED}


class TextQueue(Protocol):
    """The durable queue, as we need it."""

    async def add(self, text: QueuedText, /) -> int:
        """Take a text; it is on the disk when this returns, and due."""
        ...

    async def list(self, user: str | None, /) -> Sequence[WaitingText]:
        """What waits, oldest first; of one user, or of all."""
        ...

    async def retry(self, numbers: Sequence[int] | None, user: str, /) -> Sequence[Address]:
        """Make texts due (None: all); the node of each."""
        ...

    async def cancel(self, numbers: Sequence[int] | None, user: str, /) -> Sequence[QueuedText]:
        """Take texts out (None: all)."""
        ...


SendMail = Callable[[str, QueuedText], Awaitable[None]]
"""Send a text of a user as a mail to the same person. Raises MailError."""


class Texting:
    """One per worker; a carrier for the queue (base/carrier.py)."""

    def __init__(self, service: PhoneService, queue: TextQueue, send_mail: SendMail) -> None:
        self._service, self._queue, self._send_mail = service, queue, send_mail
        self._entries: dict[str, int] = {}
        self._watched: dict[str, asyncio.Future[Carried]] = {}

    async def open(self) -> None:
        """Say in the history which texts of former days wait no more: they were taken out while the
        phone was off, or we ended in the middle of it. Raises CallError, MailError.
        """
        waiting = {one.text.message_id for one in await self._queue.list(None)}
        for message_id in await self._service.history.waiting_texts():
            if message_id not in waiting:
                await self._service.history.settle_text(message_id, State.TAKEN_BACK)

    # --- Asked by people ----------------------------------------------------------------------------

    async def send(self, user: str, target: Target, body: str, wait_s: float) -> dict[str, Any]:
        """Take a text, and wait that long for it to be delivered; how it stands then."""
        if not body.strip():
            raise CallError("the text is empty", "write something")
        if len(body.encode()) > MAX_TEXT_BYTES:
            hint = "send it as a mail: `dexmesh mail send`"
            raise CallError(f"a text has at most {MAX_TEXT_BYTES} bytes", hint)
        message_id = secrets.token_hex(12)
        entry = Entry(
            *(user, Kind.TEXT, True, target.address, time.time(), State.WAITING),
            remote_user=target.uri.user,
            text=body,
            message_id=message_id,
        )
        number = await self._service.history.add(entry) or 0
        watched: asyncio.Future[Carried] = asyncio.get_running_loop().create_future()
        self._watched[message_id] = watched
        try:
            text = QueuedText(
                0, user, target.address, target.uri.text, body, message_id, entry.at_unix
            )
            await self._enter(text, number)
            async with asyncio.timeout(wait_s):
                carried = await watched
        except TimeoutError:
            return {"number": number, "state": str(State.WAITING), "reason": ""}
        finally:
            self._watched.pop(message_id, None)
        state = _FINAL.get(carried.fate, State.WAITING)
        return {"number": number, "state": str(state), "reason": carried.reason}

    async def _enter(self, text: QueuedText, number: int) -> None:
        try:
            await self._queue.add(text)
        except BaseException:
            await self._service.history.settle(number, State.REFUSED, "it could not be queued")
            raise

    async def waiting(self, user: str) -> list[dict[str, Any]]:
        """What is not delivered yet, for people."""
        now = time.time()
        return [
            {
                "id": f"t{one.text.number}",
                "number": one.text.number,
                "to": format_address(one.text.address),
                "uri": one.text.uri,
                "text": one.text.body,
                "since_unix": one.text.created_unix,
                "tries": one.tries,
                "next_unix": one.next_unix,
                "reason": one.reason,
                "is_offered_as_mail": one.is_offered_as_mail(now),
            }
            for one in await self._queue.list(user)
        ]

    async def retry(self, user: str, numbers: Sequence[int] | None) -> list[str]:
        """Try now; the nodes that are tried."""
        found = await self._queue.retry(numbers, user)
        if numbers and not found:
            raise _unknown(numbers)
        return [format_address(one) for one in dict.fromkeys(found)]

    async def cancel(self, user: str, numbers: Sequence[int] | None) -> int:
        """Take texts back; how many."""
        taken = await self._queue.cancel(numbers, user)
        if numbers and not taken:
            raise _unknown(numbers)
        for text in taken:
            await self.take_back(text)
        return len(taken)

    async def send_as_mail(self, user: str, number: int) -> dict[str, Any]:
        """A text that waits goes as a mail; it waits there for the same node."""
        for one in await self._queue.list(user):
            if one.text.number == number:
                await self._send_mail(user, one.text)
                await self._queue.cancel([number], user)
                await self._settle(one.text, State.MAILED, "")
                return {"number": number, "to": one.text.uri}
        raise _unknown([number])

    # --- Asked by the queue -------------------------------------------------------------------------

    async def carry(self, text: QueuedText, /) -> Carried:
        """Try once. Where the fate is final, whoever wrote the text can see it when this returns."""
        done = await self._service.send_text(text.user, text.uri, text.body, text.message_id)
        fate = Fate.LATER
        if done.state is not TextState.UNDELIVERED:
            fate = Fate.DELIVERED if done.state is TextState.DELIVERED else Fate.REFUSED
            await self._settle(text, _FINAL[fate], "" if fate is Fate.DELIVERED else done.reason)
        carried = Carried(
            fate, done.reason, float(done.retry_after_s or 0), is_answered=done.status != 0
        )
        watched = self._watched.get(text.message_id)
        if watched is not None and not watched.done():
            watched.set_result(carried)
        return carried

    async def give_up(self, text: QueuedText, reason: str, /) -> None:
        """The text waits no longer and was not delivered: whoever wrote it is to see that."""
        await self._settle(text, State.REFUSED, reason)

    async def take_back(self, text: QueuedText, /) -> None:
        """The text waits no longer, as whoever wrote it wished."""
        await self._settle(text, State.TAKEN_BACK, "")

    async def _settle(self, text: QueuedText, state: State, reason: str) -> None:
        await self._service.history.settle_text(text.message_id, state, reason)


def _unknown(numbers: Sequence[int]) -> CallError:
    hint = "`dexmesh texts --waiting` shows what waits; it may have been delivered meanwhile"
    return CallError(f"no text t{numbers[0]} waits", hint)
