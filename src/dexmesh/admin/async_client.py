"""Call the admin functions of a running node from an event loop.

Place     programs with a loop -> here -> a socket
Spec      docs/protocol/08 §3 to §5, §7 (who hears nothing for 30 s is forgotten)
Keeps     many calls at a time, MAX_WAITING replies for each; every wait has an end
Not here  waiting without a loop (client.py)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, cast

from dexmesh.admin.client import COOKIE_RETRY_S, PATIENCE_S, TXID_BYTES
from dexmesh.admin.exchange import (
    Pages,
    Reading,
    cookie_in,
    decode_reply,
    encode_cookie_request,
    encode_request,
    raise_refusal,
)
from dexmesh.admin.login import AdminLogin
from dexmesh.admin.values import Value
from dexmesh.errors import AdminError, NoNodeError

MAX_WAITING = 256  # ours: replies of one call that nobody has taken yet
KEEP_ALIVE_S = 10.0  # 08 §7

_KEEP_ALIVE = b"d1:q18:Admin_asyncEnabled4:txid5:alivee"


class AsyncAdminClient(asyncio.DatagramProtocol):
    """A connection to one node. Make it with `connect`, end it with `close`."""

    def __init__(self, login: AdminLogin, patience_s: float = PATIENCE_S) -> None:
        self._login = login
        self._patience_s = patience_s
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, asyncio.Queue[Reading | None]] = {}

    @classmethod
    async def connect(cls, login: AdminLogin, patience_s: float = PATIENCE_S) -> AsyncAdminClient:
        """Raises NoNodeError if the address cannot even be sent to."""
        try:
            _, client = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(login, patience_s), remote_addr=(login.host, login.port)
            )
        except OSError as error:
            raise NoNodeError(login.where) from error
        return client

    def close(self) -> None:
        """End the connection; calls that wait end with NoNodeError."""
        if self._transport is not None:
            self._transport.close()
        self._tell_all_gone()

    async def call(
        self, function: str, *, wait_s: float | None = None, **arguments: Value
    ) -> Reading:
        """The reply to one call. Raises like AdminClient.call."""
        return await self._reply(function, arguments, wait_s)

    async def stream(
        self, function: str, *, wait_s: float | None = None, **arguments: Value
    ) -> AsyncGenerator[Reading, None]:
        """Every reply to one call, as they come; ends after the one that says `complete`.

        Raises like AdminClient.call, also when nothing came for `wait_s`. While it runs the node
        is told that we are still there.
        """
        async with aclosing(self._replies(function, arguments, wait_s)) as replies:
            async for reply in replies:
                yield reply
                if "complete" in reply:
                    return

    async def pages(self, function: str, key: str, **arguments: Value) -> list[Any]:
        """All entries of a list that comes in pages, oldest first. Raises like `call`."""
        pages = Pages(key)
        while pages.take(await self._reply(function, {**arguments, "page": pages.number})):
            pass
        return pages.entries

    async def _reply(
        self, function: str, arguments: dict[str, Value], wait_s: float | None = None
    ) -> Reading:
        async with aclosing(self._replies(function, arguments, wait_s)) as replies:
            return await anext(replies)

    async def _replies(
        self, function: str, arguments: dict[str, Value], wait_s: float | None
    ) -> AsyncGenerator[Reading, None]:
        patience_s = self._patience_s if wait_s is None else wait_s
        password = self._login.password
        cookie = 0 if password is None else await self._cookie()
        txid = secrets.token_hex(TXID_BYTES).encode()
        request = encode_request(function, arguments, txid, password, cookie)
        async with aclosing(self._exchange(request, txid, patience_s)) as replies:
            async for reply in replies:
                raise_refusal(reply)
                yield reply
        raise AdminError(
            f"no reply to {function} within {patience_s:g} s", "The node may be busy; try again."
        )

    async def _cookie(self) -> int:
        for _ in range(max(1, round(self._patience_s / COOKIE_RETRY_S))):
            txid = secrets.token_hex(TXID_BYTES).encode()
            retry_s = min(COOKIE_RETRY_S, self._patience_s)
            request = encode_cookie_request(txid)
            async with aclosing(self._exchange(request, txid, retry_s)) as replies:
                async for reply in replies:
                    cookie = cookie_in(reply)
                    if cookie is not None:
                        return cookie
        raise NoNodeError(self._login.where)

    async def _exchange(
        self, request: bytes, txid: bytes, patience_s: float
    ) -> AsyncGenerator[Reading, None]:
        """Send, and give every reply of this txid until none came for `patience_s`."""
        replies: asyncio.Queue[Reading | None] = asyncio.Queue(MAX_WAITING)
        self._waiting[txid] = replies
        try:
            self._send(request)
            while (reply := await self._next(replies, patience_s)) is not None:
                yield reply
        finally:
            del self._waiting[txid]

    async def _next(
        self, replies: asyncio.Queue[Reading | None], patience_s: float
    ) -> Reading | None:
        """The next reply; None if there was none in time."""
        left_s = patience_s
        while left_s > 0:
            step_s = min(left_s, KEEP_ALIVE_S)
            try:
                async with asyncio.timeout(step_s):
                    reply = await replies.get()
            except TimeoutError:
                left_s -= step_s
                self._send(_KEEP_ALIVE)
                continue
            if reply is None:
                raise NoNodeError(self._login.where)
            return reply
        return None

    def _send(self, datagram: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise NoNodeError(self._login.where)
        self._transport.sendto(datagram)

    def _tell_all_gone(self) -> None:
        for replies in self._waiting.values():
            with suppress(asyncio.QueueFull):
                replies.put_nowait(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Hand a reply to the call it belongs to."""
        message = decode_reply(data)
        replies = None if message is None else self._waiting.get(message[0])
        if message is not None and replies is not None:
            with suppress(asyncio.QueueFull):
                replies.put_nowait(message[1])

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        self._tell_all_gone()
