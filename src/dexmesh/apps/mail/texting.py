"""Bring the texts of the queue to other nodes, by a carrier that somebody else is.

Place     queue/ says what is due, delivery.py who lives -> here -> base/carrier.py
Spec      docs/apps/sip.md §3 (MESSAGE); docs/decisions/0013
Keeps     texts for one node go one after the other, in order; MAX_NODES at a time; a node that showed
          itself is tried at once, but not one that has just said "not now"; what became of a text is
          on disk before the next one goes
Not here  the mails (delivery.py), the rows (queue/texts.py), SIP (call/)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from dexmesh.apps.base.carrier import Carrier, Fate, QueuedText
from dexmesh.apps.mail.queue import TextQueue
from dexmesh.errors import DexmeshError, MailError
from dexmesh.wire.address import Address

MAX_NODES = 16  # ours
AT_ONCE = 20  # ours: texts for one node fetched at a time
LONGEST_SLEEP_S = 10.0  # ours
TROUBLE_S = 10.0  # ours: pause after our own disk said no
WATCHED = 1024  # ours: nodes whose return is noticed
AGAIN_AFTER_S = 60.0  # ours, as for mails: who answered "not now" is not asked sooner after a sign
GAVE_UP = "it could not be delivered in 14 days"

log = logging.getLogger(__name__)


class TextDelivery:
    """One per worker; `run` goes on for ever. Without a carrier texts wait."""

    def __init__(self, queue: TextQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts = {"delivered": 0, "refused": 0, "put off": 0}
        self._queue = queue
        self._carrier: Carrier | None = None
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        self._silent: frozenset[Address] = frozenset()
        self._shown: set[Address] = set()
        self._clock = clock
        self._resting: dict[Address, float] = {}
        self._wake = queue.news

    def heard(self, address: Address) -> None:
        """That node gave a sign of life. Its answer to a text is one, too: it begins no new try."""
        if address in self._silent and self._resting.get(address, 0.0) <= self._clock():
            self._resting.pop(address, None)
            self._shown.add(address)
            self._wake.set()

    def take_carrier(self, carrier: Carrier) -> None:
        """From now on there is somebody who carries texts."""
        self._carrier = carrier
        self._wake.set()

    @property
    def has_carrier(self) -> bool:
        """Whether anybody carries texts: the phone may be off."""
        return self._carrier is not None

    def is_carrying(self, address: Address) -> bool:
        """Whether a text for that node is on its way now."""
        return address in self._tasks

    async def cancel(self, numbers: Sequence[int] | None, user: str | None) -> int:
        """Take texts out (None: all), and say so to whoever wrote them; how many. Raises MailError."""
        taken = await self._queue.cancel(numbers, user)
        for text in taken:
            if self._carrier is not None:  # without one, it sees what is gone when it begins
                try:
                    await self._carrier.take_back(text)
                except DexmeshError as error:
                    log.warning("who wrote a text was not told", extra={"reason": str(error)})
        return len(taken)

    async def silent_nodes(self) -> Sequence[Address]:
        """The nodes that texts wait for."""
        try:
            found = await self._queue.nodes(WATCHED)
        except MailError:
            return tuple(self._silent)
        self._silent = frozenset(found)
        self._resting = {one: at for one, at in self._resting.items() if one in self._silent}
        return found

    async def run(self) -> None:
        """Deliver for ever."""
        try:
            while True:
                self._wake.clear()
                try:
                    pause_s = await self._begin()
                except MailError as error:
                    log.warning("the texts that wait cannot be read", extra={"reason": error.cause})
                    pause_s = TROUBLE_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """End every try; the texts stay."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    async def _begin(self) -> float:
        if self._carrier is None:
            return LONGEST_SLEEP_S
        for address in tuple(self._shown):
            await self._queue.wake(address)
        self._shown.clear()
        for address in await self._queue.nodes_due(MAX_NODES * 2):
            if address not in self._tasks and len(self._tasks) < MAX_NODES:
                self._tasks[address] = task = asyncio.create_task(self._to(address, self._carrier))
                task.add_done_callback(lambda done, who=address: self._finished(who, done))  # type: ignore[misc]
        left_s = await self._queue.seconds_until_due()
        if left_s is None or self._tasks:  # those are due until their try is over, which wakes us
            return LONGEST_SLEEP_S
        return min(max(left_s, 0.05), LONGEST_SLEEP_S)

    def _finished(self, address: Address, task: asyncio.Task[None]) -> None:
        self._tasks.pop(address, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a text could not be sent", exc_info=error)
        self._wake.set()

    async def _to(self, address: Address, carrier: Carrier) -> None:
        """Everything that waits for a node, until one has to wait longer."""
        try:
            while texts := await self._queue.texts_for(address, AT_ONCE):
                for text in texts:
                    if not await self._try(text, carrier):
                        return
        except DexmeshError as error:
            log.warning("texts stand still", extra={"reason": str(error)})
            await asyncio.sleep(TROUBLE_S)

    async def _try(self, text: QueuedText, carrier: Carrier) -> bool:
        carried = await carrier.carry(text)
        if carried.fate is not Fate.LATER:
            await self._queue.remove(text.number)
            self.counts["delivered" if carried.fate is Fate.DELIVERED else "refused"] += 1
            return True
        self._silent |= {text.address}
        if carried.is_answered:
            self._resting[text.address] = self._clock() + max(AGAIN_AFTER_S, carried.after_s)
        overdue = await self._queue.put_off(text.address, carried.reason, carried.after_s)
        self.counts["put off"] += 1
        for over in overdue:
            await carrier.give_up(over, GAVE_UP)
            await self._queue.remove(over.number)
        return False
