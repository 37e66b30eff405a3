"""Serve the names of the mesh over UDP and TCP on a loopback address.

Place     service.py hands in bound sockets -> here -> answers.py
Spec      docs/apps/mail.md §2; RFC 7766 (DNS over TCP)
Keeps     only this machine is answered; MAX_CONNECTIONS over TCP, the next is closed at once; a
          connection that is idle or slow ends after IDLE_S; nobody else is ever asked
Not here  what the answers are (answers.py), how a machine gets to ask us (resolved.py, advice.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections import Counter
from typing import Any, cast

from dexmesh.apps.base.me import Me
from dexmesh.apps.names.answers import MAX_QUERY_BYTES, Answers
from dexmesh.apps.names.zones import Book, Names

MAX_CONNECTIONS = 32
MAX_QUESTIONS = 200  # of one connection
IDLE_S = 5.0
BATCH = 64  # datagrams taken before others get their turn
_LENGTH_BYTES = 2
_MAX_DATAGRAM = 65_535

log = logging.getLogger(__name__)


class NamesServer:
    """The stub resolver of this node. Start it with `serve`, end it with `close`."""

    def __init__(self, me: Me, book: Book) -> None:
        self._answers = Answers(Names(me, book))
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()
        self._dropped: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many messages ended how, by reason."""
        answered = {outcome.value: count for outcome, count in self._answers.counts.items()}
        return answered | dict(self._dropped)

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer on these bound sockets from now on; returns when it does."""
        loop = asyncio.get_running_loop()
        udp.setblocking(False)
        self._udp = udp
        loop.add_reader(udp, self._handle_readable)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp, limit=MAX_QUERY_BYTES)
        log.info("answering for names of the mesh", extra={"where": str(udp.getsockname())})

    async def close(self) -> None:
        """Stop, and end the connections that are open."""
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
            self._udp = None
        if self._tcp is not None:
            self._tcp.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def answer_datagram(self, data: bytes, asker: tuple[Any, ...]) -> bytes | None:
        """The answer to a datagram; None if it gets none."""
        if not is_loopback(str(asker[0])):
            self._dropped["from another machine"] += 1
            return None
        return self._answers.answer(data, is_udp=True)

    def _handle_readable(self) -> None:
        """One answer a datagram; what the kernel does not take is lost, as datagrams are."""
        for _ in range(BATCH):
            if self._udp is None:
                return
            try:
                data, asker = self._udp.recvfrom(_MAX_DATAGRAM)
            except OSError:  # nothing left; or somebody asked and did not wait for the answer
                return
            reply = self.answer_datagram(data, asker)
            if reply is None:
                continue
            try:
                self._udp.sendto(reply, asker)
            except OSError:
                self._dropped["answer lost"] += 1

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        peer = writer.get_extra_info("peername") or ("",)
        if not is_loopback(str(peer[0])):
            self._dropped["from another machine"] += 1
            writer.transport.abort()
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            self._dropped["too many connections"] += 1
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._answer_all(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the other end left, or is too slow
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(IDLE_S):
                    await writer.wait_closed()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(MAX_QUESTIONS):
            async with asyncio.timeout(IDLE_S):
                length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
                if length > MAX_QUERY_BYTES:
                    self._dropped["too long"] += 1
                    return
                query = await reader.readexactly(length)
            reply = self._answers.answer(query, is_udp=False)
            if reply is None:
                return
            writer.write(len(reply).to_bytes(_LENGTH_BYTES, "big") + reply)
            async with asyncio.timeout(IDLE_S):
                await writer.drain()


def is_loopback(host: str) -> bool:
    """Whether an address belongs to this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
