"""Let connections in on bound sockets: who may, how many, and nobody is left hanging at the end.

Place     service.py hands in sockets -> here -> one smtp.Conversation a connection
Spec      docs/apps/mail.md §4 "Receiver" (only fc00::/8; 10 connections an address, 100 in all)
Keeps     a connection costs nothing before it is admitted; no name is ever looked up; a mail whose
          delivery began is finished even if its connection is lost
Not here  the dialogue (smtp.py), what the two servers decide (receiver.py, submission.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dexmesh.apps.mail.counters import Counters, Event
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.apps.mail.roles import Role
from dexmesh.apps.mail.spool import Spool
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

if TYPE_CHECKING:
    from dexmesh.apps.mail.smtp import Conversation

MAX_CONNECTIONS = 100  # mail.md §4
MAX_CONNECTIONS_PER_ADDRESS = 10  # mail.md §4
CLOSING_S = 5.0  # ours: deliveries that began may take so long when we stop
FAREWELL_S = 1.0  # ours: and their answers so long to leave
BACKLOG = 256  # ours: connections that wait while the worker is restarted

OUR_FAULT = Refusal(421, "4.3.0", "internal error, try again later", Reason.OUR_FAULT)

_log = logging.getLogger(__name__)

T = TypeVar("T")
Source = Callable[[asyncio.BaseTransport], Address | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections a server has at once."""

    connections: int = MAX_CONNECTIONS
    per_address: int = MAX_CONNECTIONS_PER_ADDRESS


LIMITS = Limits()


def source_address(transport: asyncio.BaseTransport) -> Address | None:
    """The address the connection comes from, IPv4 mapped; None if the kernel does not know it."""
    peer = transport.get_extra_info("peername")
    try:
        address = ipaddress.ip_address(peer[0].partition("%")[0])
    except (TypeError, IndexError, ValueError, AttributeError):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return Address(bytes(10) + b"\xff\xff" + address.packed)
    return Address(address.packed)


class MailServer:
    """One role (receiver or submission) on any number of sockets."""

    def __init__(
        self,
        role: Role,
        spool: Spool,
        limits: Limits = LIMITS,
        source: Source = source_address,
    ) -> None:
        self.role = role
        self.spool = spool
        self.counters = Counters()
        self._limits = limits
        self._source = source
        self._servers: list[asyncio.Server] = []
        self._open: Counter[Address] = Counter()
        self._conversations: set[Conversation] = set()
        self._deliveries: set[asyncio.Task[Any]] = set()
        self._is_empty = asyncio.Event()

    async def serve(self, listening: socket) -> None:
        """Accept connections on a bound socket from now on; returns at once."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        server = await loop.create_server(lambda: _Door(self), sock=listening, backlog=BACKLOG)
        self._servers.append(server)

    async def close(self) -> None:
        """Accept nothing more, finish what was begun and answer it, end every connection."""
        for server in self._servers:
            server.close()
        for conversation in tuple(self._conversations):
            conversation.part()
        if self._deliveries:
            await asyncio.wait(tuple(self._deliveries), timeout=CLOSING_S)
        if self._conversations:
            self._is_empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), FAREWELL_S)
        for conversation in tuple(self._conversations):
            conversation.abort()
        for server in self._servers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), CLOSING_S)

    async def finish(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """Wait for `work`, which goes on to its end even if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._deliveries.add(task)
        task.add_done_callback(self._forget_delivery)
        return await asyncio.wait_for(asyncio.shield(task), limit_s)

    def admit(self, transport: asyncio.BaseTransport) -> Conversation | Refusal | None:
        """A conversation for this connection; a refusal to say first; None to close without a word."""
        from dexmesh.apps.mail.smtp import Conversation

        self.counters.add(Event.CONNECTION)
        address = self._source(transport)
        if address is None or not self.role.may_connect(address):
            self.counters.refuse(Reason.NOT_MESH)
            return None
        refusal = self._judge(address)
        if refusal is not None:
            self.counters.refuse(refusal.reason)
            return refusal
        conversation = Conversation(self, address)
        self._open[address] += 1
        self._conversations.add(conversation)
        self.counters.open_connections = len(self._conversations)
        return conversation

    def leave(self, conversation: Conversation) -> None:
        """The connection is gone."""
        if conversation not in self._conversations:
            return
        self._conversations.discard(conversation)
        self.counters.open_connections = len(self._conversations)
        if not self._conversations:
            self._is_empty.set()
        address = conversation.talk.remote
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]

    def _judge(self, address: Address) -> Refusal | None:
        if len(self._conversations) >= self._limits.connections:
            return Refusal(
                421, "4.3.2", "too many connections, try again later", Reason.TOO_MANY_CONNECTIONS
            )
        if self._open[address] >= self._limits.per_address:
            return Refusal(
                421, "4.7.0", "too many connections from your node", Reason.TOO_MANY_FROM_ONE
            )
        return None

    def _forget_delivery(self, task: asyncio.Task[Any]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a delivery failed: %s", type(error).__name__, exc_info=error)


class _Door(asyncio.Protocol):
    """Stands for a connection until it is admitted."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection on, or send it away; nobody waits for a greeting that never comes."""
        stream = cast("asyncio.Transport", transport)
        try:
            admitted = self._server.admit(stream)
        except Exception:  # noqa: BLE001 the last resort: else asyncio leaves the connection open
            _log.exception("a connection could not be admitted")
            self._server.counters.refuse(Reason.OUR_FAULT)
            admitted = OUR_FAULT
        if isinstance(admitted, Refusal):
            stream.write(f"{admitted}\r\n".encode())
            stream.close()
        elif admitted is None:
            stream.abort()
        else:
            stream.set_protocol(admitted)
            admitted.connection_made(stream)
