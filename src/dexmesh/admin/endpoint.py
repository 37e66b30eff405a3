"""Give the admin server its socket, its clock and its tasks.

Place     host/daemon.py opens it; server.py decides what is answered
Spec      docs/protocol/08 §1; docs/protocol/08 §7 (pushed log messages)
Keeps     every waiting call is a task of this endpoint and ends with it, after CALL_LIMIT_S at the
          latest; when the socket cannot take more, replies are dropped and counted
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, cast

from dexmesh.admin.auth import Source
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.server import AdminServer, Pending, Reply, answer_of
from dexmesh.admin.values import Answer
from dexmesh.errors import BindError

CALL_LIMIT_S = 60.0  # ours: a search takes longer than a ping, nothing takes longer than this

log = logging.getLogger(__name__)


class AdminEndpoint(asyncio.DatagramProtocol):
    """The admin port of a running node. Make it with `open_endpoint`, end it with `close`."""

    def __init__(self, server: AdminServer, log_stream: LogStream | None = None) -> None:
        self._server = server
        self._log_stream = log_stream
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._is_writable = True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port the endpoint is bound to."""
        name = self._socket_transport().get_extra_info("sockname")
        return str(name[0]), int(name[1])

    async def close(self) -> None:
        """End every waiting call and give the port back."""
        if self._log_stream is not None:
            self._log_stream.set_waker(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        if self._log_stream is not None:
            self._log_stream.set_waker(self._wake)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer a datagram, or begin to."""
        source = cast(Source, addr)
        outcome = self._server.handle_datagram(
            data, source, time.time_ns() // 1_000_000, self._loop.time()
        )
        if isinstance(outcome, Pending):
            task = self._loop.create_task(self._finish(outcome), name="admin call")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._send(outcome)

    def error_received(self, exc: Exception) -> None:
        """A reply was refused by its receiver's machine: it left without waiting."""
        self._server.drop("admin: receiver gone")

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self._is_writable = True

    async def _finish(self, pending: Pending) -> None:
        """Send the answers of a call as they come."""
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                await self._send_answers(pending)
        except TimeoutError:
            self._send_late(pending, {"error": "timeout"})
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave the caller waiting
            self._send_late(pending, answer_of(error))
        finally:
            self._server.finish(pending)

    async def _send_answers(self, pending: Pending) -> None:
        if not isinstance(pending.answers, AsyncGenerator):
            self._send_late(pending, await pending.answers)
            return
        async with aclosing(pending.answers) as answers:
            async for answer in answers:
                if not self._send_late(pending, answer):
                    return

    def _send_late(self, pending: Pending, answer: Answer) -> bool:
        reply = self._server.late_reply(pending, answer, self._loop.time())
        self._send(reply)
        return reply is not None

    def _send(self, reply: Reply | None) -> None:
        if reply is None or self._transport is None:
            return
        if self._is_writable:
            self._transport.sendto(reply.data, reply.source)
        else:
            self._server.drop("admin: socket full")

    def _wake(self) -> None:
        """From any thread: log messages wait to be sent."""
        with suppress(RuntimeError):  # the loop has just been closed
            self._loop.call_soon_threadsafe(self._send_logs)

    def _send_logs(self) -> None:
        if self._log_stream is None:
            return
        now = self._loop.time()
        messages = self._log_stream.take_messages(
            lambda source: self._server.is_tracked(source, now)
        )
        for source, data in messages:
            self._send(Reply(source, data))

    def _socket_transport(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise BindError("the admin endpoint is not open")
        return self._transport


async def open_endpoint(
    server: AdminServer, host: str, port: int, log_stream: LogStream | None = None
) -> AdminEndpoint:
    """Listen on an IP address; port 0 takes any. BindError if that is not possible."""
    loop = asyncio.get_running_loop()
    try:
        _, endpoint = await loop.create_datagram_endpoint(
            lambda: AdminEndpoint(server, log_stream), local_addr=(host, port)
        )
    except OSError as error:
        raise BindError(
            f"cannot listen for admin calls on {host}:{port}: {error.strerror}",
            'Another node may be running; "admin" "bind" says where this one listens.',
        ) from error
    return endpoint
