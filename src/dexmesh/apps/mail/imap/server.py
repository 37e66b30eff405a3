"""Serve IMAP on sockets that are bound already, to programs of this machine.

Place     service.py hands in sockets and the certificate -> here -> connection.py, one a client
Spec      docs/apps/mail.md §4 "Reading"
Keeps     only loopback clients are served, MAX_CLIENTS at most; nothing is looked up; a client that
          breaks ends alone; signals are left alone
Not here  binding (base/sockets.py), the certificate (tls.py)

Another IMAP server takes the place of this one by being a `MailboxServer`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import traceback
import uuid
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from proxyprotocol.sock import SocketInfoLocal
from pymap.context import connection_exit, socket_info

from dexmesh.apps.mail.imap.backend import CheckRoom
from dexmesh.apps.mail.imap.boxes import Boxes
from dexmesh.apps.mail.imap.config import Config
from dexmesh.apps.mail.imap.connection import (
    LINE_BYTES,
    LITERAL_ROOM_BYTES,
    SMALL_LITERALS_BYTES,
    Connection,
    Room,
    State,
)
from dexmesh.apps.mail.imap.content import Contents
from dexmesh.apps.mail.imap.sessions import CheckPassword, Login

MAX_CLIENTS = 100  # ours: mail programs open five each
GOODBYE_S = 2.0  # ours: for clients to end when the server does

log = logging.getLogger(__name__)
logging.getLogger("pymap").setLevel(logging.WARNING)  # at DEBUG it logs passwords and mail


class MailboxServer(Protocol):
    """A way for mail programs to read the store."""

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take clients on this listening socket from now on."""
        ...

    async def close(self) -> None:
        """Take no more clients and end those that are there."""
        ...


class ImapServer:
    """The `MailboxServer` made of pymap's protocol and our folders."""

    def __init__(
        self,
        boxes: Boxes,
        check_password: CheckPassword,
        check_room: CheckRoom,
        max_message_bytes: int,
    ) -> None:
        self._boxes = boxes
        self._check_password = check_password
        self._check_room = check_room
        self._max_message_bytes = max_message_bytes
        self._contents = Contents()
        self._room = Room(max(LITERAL_ROOM_BYTES, max_message_bytes + SMALL_LITERALS_BYTES))
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.Task[None]] = set()
        self.counters = {"clients": 0, "refused": 0, "broken": 0}

    async def serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take clients on this listening socket from now on."""
        config = Config(tls, self._max_message_bytes)
        login = Login(config, self._boxes, self._contents, self._check_password, self._check_room)

        def greet(reader: StreamReader, writer: StreamWriter) -> None:
            if len(self._clients) >= MAX_CLIENTS or not _is_local(writer):
                self.counters["refused"] += 1
                writer.write(b"* BYE [UNAVAILABLE] Too many clients.\r\n")
                writer.close()
                return
            self.counters["clients"] += 1
            task = asyncio.ensure_future(self._talk(config, login, reader, writer))
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

        self._servers.append(
            await asyncio.start_server(greet, sock=listening, limit=LINE_BYTES, backlog=MAX_CLIENTS)
        )

    async def _talk(
        self, config: Config, login: Login, reader: StreamReader, writer: StreamWriter
    ) -> None:
        info = SocketInfoLocal(writer, unique_id=uuid.uuid4().bytes)
        connection = Connection(config, reader, writer, info, self._room)
        socket_info.set(info)
        try:
            async with AsyncExitStack() as stack:
                connection_exit.set(stack)
                await connection.run(State(login, config, self._contents))
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001 - the last resort: a client must not end others
            self.counters["broken"] += 1
            reason = type(error).__name__  # its text may hold what a client said
            log.warning(
                "an IMAP client was let go", extra={"reason": reason, "where": _where(error)}
            )
        finally:
            writer.close()

    async def close(self) -> None:
        """Take no more clients and end those that are there."""
        for server in self._servers:
            server.close()
        for task in list(self._clients):
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=GOODBYE_S)
        self._contents.clear()


def _is_local(writer: StreamWriter) -> bool:
    peer = writer.get_extra_info("peername")
    try:
        address = ipaddress.ip_address(peer[0])
    except (TypeError, ValueError, IndexError):
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _where(error: BaseException) -> str:
    """The line of code an exception comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
