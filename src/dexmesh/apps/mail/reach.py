"""Find out whether a contact's mail server answers, and whether ours can be reached from there.

Place     control calls `reach.check` and `reach.reports` (contact add, mail send, doctor, queue) -> here;
          service.py runs `watch` for mail that waits
Spec      shared issue "Reply-ability"; docs/apps/mail.md §4 "Queue"
Keeps     one check of a node at a time, MAX_AT_ONCE in all; MAX_REPORTS are kept, the oldest goes
Not here  what is said about it (proto/reach.py), answering others (callback.py)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.callback import SMTP_PORT, Call, CallFailedError, call, callback_probe
from dexmesh.apps.mail.proto.reach import (
    AGAIN_S,
    CALLBACK_KEYWORD,
    Ours,
    Port,
    ReachReport,
    judge_greeting,
    parse_callback,
    program_of,
)
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

GREETING_S = 20.0  # ours: a person waits for this; a queue does not
REPLY_S = 20.0  # ours: the other node calls us meanwhile
HEARD_S = 7 * 86_400.0  # ours: how old a call of the other node may be and still prove something
WAITED_S = 300.0  # the issue: long before an hour
STEP_S = 30.0
MAX_REPORTS = 1000
MAX_HEARD = 4096
MAX_AT_ONCE = 4
MAX_QUEUED = 64  # nodes looked at in one round

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a call to the other node showed."""

    theirs: Port
    program: str = ""
    greeting_s: float = 0.0
    called_back: Port | None = None
    has_own_address: bool = True


class ReachChecker:
    """One per service. Every method is for the one event loop."""

    def __init__(
        self,
        me: Me,
        *,
        source: Address | None,
        own_port: int = SMTP_PORT,
        remote_port: int = SMTP_PORT,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._me = me
        self._source = source
        self._own_port = own_port
        self._remote_port = remote_port
        self._unix_clock = unix_clock
        self._heard: OrderedDict[Address, float] = OrderedDict()
        self._running: dict[Address, asyncio.Task[ReachReport]] = {}
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self.reports: OrderedDict[Address, ReachReport] = OrderedDict()
        """The newest report about each node, oldest first."""

    def heard(self, address: Address) -> None:
        """The mail server of a node called us: it can reach our port 25."""
        self._heard[address] = self._unix_clock()
        self._heard.move_to_end(address)
        if len(self._heard) > MAX_HEARD:
            self._heard.popitem(last=False)

    async def check(self, address: Address) -> ReachReport:
        """Try both ways, at most some 40 s; who asks at the same time gets the same report."""
        return await asyncio.shield(self.begin(address))

    def begin(self, address: Address) -> asyncio.Task[ReachReport]:
        """The check that runs, or a new one; it goes on whether or not somebody waits for it."""
        task = self._running.get(address)
        if task is None:
            task = asyncio.create_task(self._check(address))
            self._running[address] = task
            task.add_done_callback(lambda _: self._running.pop(address, None))
        return task

    def is_checking(self, address: Address) -> bool:
        """Whether this node is being looked at."""
        return address in self._running

    async def close(self) -> None:
        """End what runs."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def watch(
        self, waiting: Callable[[], Awaitable[Sequence[tuple[Address, float]]]]
    ) -> None:
        """Check, for ever, the nodes that mail waits for. `waiting` gives (node, oldest mail's age)."""
        while True:
            await asyncio.sleep(STEP_S)
            due = [one for one, age_s in await waiting() if age_s >= WAITED_S and self._is_due(one)]
            await asyncio.gather(*(self.check(one) for one in due[:MAX_QUEUED]))

    def _is_due(self, address: Address) -> bool:
        known = self.reports.get(address)
        return known is None or self._unix_clock() - known.unix_time >= AGAIN_S

    async def _check(self, address: Address) -> ReachReport:
        async with self._places:
            found = await self._call(address)
            heard_ago_s = self._heard_ago(address)
            report = ReachReport(
                address,
                found.theirs,
                await self._ours(found, heard_ago_s),
                found.program,
                found.greeting_s,
                found.called_back,
                heard_ago_s,
                found.has_own_address,
                self._unix_clock(),
            )
        self.reports[address] = report
        self.reports.move_to_end(address)
        if len(self.reports) > MAX_REPORTS:
            self.reports.popitem(last=False)
        log.debug(
            "looked at a node", extra={"theirs": report.theirs.value, "ours": report.ours.value}
        )
        return report

    def _heard_ago(self, address: Address) -> float | None:
        at = self._heard.get(address)
        ago = None if at is None else max(0.0, self._unix_clock() - at)
        return ago if ago is not None and ago <= HEARD_S else None

    async def _ours(self, found: _Found, heard_ago_s: float | None) -> Ours:
        """The best knowledge there is about the way back."""
        if found.called_back is not None:
            is_through = found.called_back in (Port.ANSWERS, Port.TURNS_AWAY)
            return Ours.PROVEN if is_through else Ours.BLOCKED
        if heard_ago_s is not None:
            return Ours.HEARD
        own = await callback_probe(self._me.address, self._source, self._own_port)
        return Ours.UNPROVEN if own is Port.ANSWERS else Ours.DEAF

    async def _call(self, address: Address) -> _Found:
        began = time.monotonic()
        try:
            async with call(address, self._source, self._remote_port) as one:
                greeting = await one.listen(GREETING_S)
                greeting_s = time.monotonic() - began
                theirs = judge_greeting(greeting.code)
                text = " ".join(greeting.lines)
                if theirs is not Port.ANSWERS:
                    return _Found(theirs, program_of(text, frozenset()), greeting_s)
                program, called_back = await self._ask_back(one, text)
                return _Found(theirs, program, greeting_s, called_back)
        except CallFailedError as error:
            return _Found(error.port, has_own_address=error.has_address)

    async def _ask_back(self, one: Call, greeting: str) -> tuple[str, Port | None]:
        """Which program it is, and what it finds at our port 25 if it can look."""
        try:
            answer = await one.say(f"EHLO {self._me.literal}", REPLY_S)
            keywords = frozenset(line.split(" ")[0].upper() for line in answer.lines[1:])
            program = program_of(greeting, keywords)
            if answer.code != 250 or CALLBACK_KEYWORD not in keywords:
                return program, None
            reply = await one.say(CALLBACK_KEYWORD, REPLY_S)
        except CallFailedError:
            return program_of(greeting, frozenset()), None
        return program, parse_callback(reply.code, " ".join(reply.lines))
