"""Notice that a node somebody waits for is back: its sessions, its links, its answer to a probe.

Place     delivery.py says whom it waits for -> here -> `tell`, once for each return
Spec      docs/apps/mail.md §4 "Send when the peer comes back"
Keeps     asks nothing while nobody is waited for; a bounded number of admin calls a look and of probes
          at a time; works without the admin port (then only probes count) and outlives the node
Not here  connections to our own ports (the receiver tells delivery), what is done then (delivery.py)
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.node_tables import NodeTables
from dexmesh.apps.base.presence import Presence, Row, Table
from dexmesh.errors import AdminError, NoNodeError
from dexmesh.wire.address import Address, format_address

LOOK_EVERY_S = 1.5  # ours: a return is to be noticed within 2.5 s
IDLE_S = 3.0  # ours: how often it is asked whether anybody is waited for
LONGEST_REST_S = 15.0  # ours: between looks at a node whose tables are slow to read
REST_RATIO = 5.0  # ours: a look takes a sixth of the time at most
PROBE_EVERY_S = 300.0  # mail.md §4
PROBE_S = 4.0  # ours: a packet and its one repetition
MAX_PROBES = 8  # ours: at a time
MAX_ROWS = 100  # ours: sessions looked at one by one in a look; the others in the next ones
MAX_ABSENT = 20  # ours: the same for nodes without a session
MAX_WAITED = 4096  # ours
GREET_AFTER_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # ours: our own way into the mesh may take a while
SLEPT_S = 20.0  # ours: a sleep of this machine that others have noticed
MAX_GREETED = 64  # ours

Waiting = Callable[[], Awaitable[Sequence[Address]]]
Tell = Callable[[Address], None]

log = logging.getLogger(__name__)


class SignsOfLife:
    """One per service; `watch` goes on for ever."""

    def __init__(self, login: AdminLogin | None, own: Address, *, port: int = 25) -> None:
        self._login, self._own, self._port = login, own, port
        self._tables: NodeTables | None = None
        self._presence = Presence()
        self._order: list[Address] = []
        self._probe_at: dict[Address, float] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self._refusing: set[Address] = set()

    async def watch(self, waiting: Waiting, tell: Tell) -> None:
        """Call `tell` whenever one of the nodes that `waiting` names shows itself."""
        try:
            while True:
                wanted = tuple(await waiting())[:MAX_WAITED]
                began = time.monotonic()
                self._forget_except(frozenset(wanted))
                self._begin_probes(wanted, tell, began)
                if wanted:
                    await self._look(wanted, tell)
                else:
                    self._drop_tables()
                took_s = time.monotonic() - began
                rest_s = min(max(LOOK_EVERY_S, took_s * REST_RATIO), LONGEST_REST_S)
                await asyncio.sleep(rest_s if wanted else IDLE_S)
        finally:
            self._drop_tables()
            for task in self._probes:
                task.cancel()

    async def greet(self, known: Waiting) -> None:
        """Show ourselves to nodes we know whenever our own node comes back, or this machine wakes:
        what waits there for us comes at once.
        """
        was_here, slept_s = False, _asleep_s()
        while True:
            is_here, asleep_s = _has_address(self._own), _asleep_s()
            if is_here and (not was_here or asleep_s - slept_s >= SLEPT_S):
                await self._greet_all(known)
            was_here, slept_s = is_here, asleep_s
            await asyncio.sleep(IDLE_S)

    async def _greet_all(self, known: Waiting) -> None:
        answered: set[Address] = set()
        for after_s in GREET_AFTER_S:
            await asyncio.sleep(after_s)
            left = [one for one in tuple(await known())[:MAX_GREETED] if one not in answered]
            for start in range(0, len(left), MAX_PROBES):
                some = left[start : start + MAX_PROBES]
                answers = await asyncio.gather(*(self._knock(one) for one in some))
                answered |= {one for one, it in zip(some, answers, strict=True) if it == 0}

    async def _knock(self, address: Address) -> int:
        return await probe(self._own, address, self._port)

    # --- The tables of our node ---------------------------------------------------------------------

    async def _look(self, wanted: Sequence[Address], tell: Tell) -> None:
        if self._login is None:
            return
        try:
            if self._tables is None:
                self._tables = await NodeTables.connect(self._login)
            async for address in self._signs(self._tables, wanted):
                self._probe_at[address] = time.monotonic() + PROBE_EVERY_S
                tell(address)
        except (AdminError, NoNodeError) as error:
            log.debug("the node does not show its tables", extra={"reason": str(error)})
            self._drop_tables()

    async def _signs(self, tables: NodeTables, wanted: Sequence[Address]) -> AsyncIterator[Address]:
        """The nodes that showed themselves since the last look, each once."""
        told: set[Address] = set()
        async for address, table, row in self._rows(tables, wanted):
            is_sign = self._presence.handle_row(address, table, row, int(time.time() * 1000))
            if is_sign and address not in told:
                told.add(address)
                yield address

    async def _rows(
        self, tables: NodeTables, wanted: Sequence[Address]
    ) -> AsyncIterator[tuple[Address, Table, Row | None]]:
        members = frozenset(wanted)
        for address, row in await tables.links():
            if address in members:
                yield address, Table.LINKS, row
        for address, row in await tables.new_sessions():
            if address in members and self._presence.is_seen(address, Table.SESSIONS):
                yield address, Table.SESSIONS, row
        for address in self._turn(wanted):
            before = self._presence.row(address, Table.SESSIONS)
            if before is not None:
                yield address, Table.SESSIONS, await tables.session_at(before.handle, address)
            else:
                yield address, Table.SESSIONS, await tables.session_of(address)

    def _turn(self, wanted: Iterable[Address]) -> list[Address]:
        """Whose session is looked at now, in turn: most of all those that have one or were never
        looked at. One that is made anew comes with `new_sessions`; the look here is for safety.
        """
        seen, row = self._presence.is_seen, self._presence.row
        position = {address: at for at, address in enumerate(self._order)}
        ordered = sorted(wanted, key=lambda one: position.get(one, -1))
        absent = {one for one in ordered if seen(one, Table.SESSIONS)}
        absent -= {one for one in absent if row(one, Table.SESSIONS) is not None}
        chosen = [one for one in ordered if one not in absent][:MAX_ROWS]
        chosen += [one for one in ordered if one in absent][:MAX_ABSENT]
        taken = set(chosen)
        self._order = [one for one in self._order if one not in taken] + chosen
        return chosen

    def _drop_tables(self) -> None:
        if self._tables is not None:
            self._tables.close()
            self._tables = None
            self._presence.forget_all()

    def _forget_except(self, wanted: frozenset[Address]) -> None:
        self._presence.forget_except(wanted)
        self._refusing &= wanted
        self._order = [one for one in self._order if one in wanted]
        self._probe_at = {one: at for one, at in self._probe_at.items() if one in wanted}

    # --- Probes -------------------------------------------------------------------------------------

    def _begin_probes(self, wanted: Iterable[Address], tell: Tell, now: float) -> None:
        for address in wanted:
            at = self._probe_at.setdefault(address, now + _spread(PROBE_EVERY_S))
            if at > now or len(self._probes) >= MAX_PROBES:
                continue
            self._probe_at[address] = now + _spread(PROBE_EVERY_S)
            task = asyncio.create_task(self._probe(address, tell))
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def _probe(self, address: Address, tell: Tell) -> None:
        answer = await self._knock(address)
        is_news = answer == 0 or address not in self._refusing
        if answer == errno.ECONNREFUSED:  # the node lives, its mail server does not: told once
            self._refusing.add(address)
        else:
            self._refusing.discard(address)
        if answer in (0, errno.ECONNREFUSED) and is_news:
            tell(address)


async def probe(own: Address, address: Address, port: int) -> int:
    """Knock at a port of a node: 0 if it opens, else the errno (ETIMEDOUT for silence)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as knocking:
        knocking.setblocking(False)
        knocking.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        try:
            knocking.bind((format_address(own), 0))
            async with asyncio.timeout(PROBE_S):
                where = (format_address(address), port)
                await asyncio.get_running_loop().sock_connect(knocking, where)
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno or errno.EIO
    return 0


def _has_address(address: Address) -> bool:
    """Whether this machine has that address now: a node gives it, and takes it away."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as tried:
        try:
            tried.bind((format_address(address), 0))
        except OSError:
            return False
    return True


def _asleep_s() -> float:
    """How long this machine has slept since it was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _spread(seconds: float) -> float:
    """Not everybody at the same time."""
    return seconds * (0.8 + 0.4 * secrets.randbelow(1000) / 1000)
