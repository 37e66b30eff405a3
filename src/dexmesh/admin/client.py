"""Call the admin functions of a running node, ours or the original's, and wait for the answer.

Place     cli/ and scripts -> here -> a socket
Spec      docs/protocol/08 §3 to §5; §8 says how other clients behave
Keeps     never waits longer than it is told; believes only replies that carry its own txid
Not here  asyncio (async_client.py)
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

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

PATIENCE_S = 5.0  # ours, for calls that are answered at once
COOKIE_RETRY_S = 0.5  # ours: asking for a cookie may be repeated, a call may not
TXID_BYTES = 4
MAX_REPLY_BYTES = 65536  # 08 §1


class AdminClient:
    """A connection to one node. A context manager; `close` gives the socket back."""

    def __init__(self, login: AdminLogin, patience_s: float = PATIENCE_S) -> None:
        """Raises NoNodeError if the address cannot even be sent to."""
        self._login = login
        self._patience_s = patience_s
        family = socket.AF_INET6 if ":" in login.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect((login.host, login.port))
        except OSError as error:
            self._socket.close()
            raise NoNodeError(login.where) from error

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, function: str, *, wait_s: float | None = None, **arguments: Value) -> Reading:
        """The reply to one call.

        Raises NoNodeError if nobody is there, AuthFailedError, UnknownFunctionError,
        BadArgumentError, or AdminError with the text of the node.
        """
        return self._reply(function, arguments, wait_s)

    def stream(
        self, function: str, *, wait_s: float | None = None, **arguments: Value
    ) -> Iterator[Reading]:
        """Every reply to one call, as they come; ends after the one that says `complete`.

        Raises like `call`, also when nothing came for `wait_s`.
        """
        for reply in self._replies(function, arguments, wait_s):
            yield reply
            if "complete" in reply:
                return

    def pages(self, function: str, key: str, **arguments: Value) -> list[Any]:
        """All entries of a list that comes in pages, oldest first. Raises like `call`."""
        pages = Pages(key)
        while pages.take(self._reply(function, {**arguments, "page": pages.number})):
            pass
        return pages.entries

    def ping(self) -> None:
        """Return if a node answers; NoNodeError if not."""
        for reply in self._exchange(encode_request("ping", {}, b""), b"", self._patience_s):
            if reply.get("q") == "pong":
                return
        raise NoNodeError(self._login.where)

    def peers(self) -> list[Reading]:
        """The links of the node, oldest first."""
        return self.pages("InterfaceController_peerStats", "peers")

    def sessions(self) -> list[Reading]:
        """The sessions of the node, oldest first."""
        handles = self.pages("SessionManager_getHandles", "handles")
        found = []
        for handle in handles:
            try:
                found.append(self.call("SessionManager_sessionStats", handle=handle))
            except AdminError as error:
                if error.wire_text != "no such session":  # it may have ended meanwhile
                    raise
        return found

    def table(self) -> list[Reading]:
        """Every node in the routing table of the node."""
        return self.pages("NodeStore_dumpTable", "routingTable")

    def drops(self) -> dict[str, int]:
        """What the node dropped, by reason (only ours tells)."""
        counts: dict[str, int] = self.call("Dexmesh_dropCounts")["drops"]
        return counts

    def functions(self) -> Reading:
        """Every function of the node with its arguments."""
        found: Reading = {}
        number = 0
        while page := self.call("Admin_availableFunctions", page=number)["availableFunctions"]:
            found.update(page)
            number += 1
        return found

    def _reply(
        self, function: str, arguments: dict[str, Value], wait_s: float | None = None
    ) -> Reading:
        return next(self._replies(function, arguments, wait_s))

    def _replies(
        self, function: str, arguments: dict[str, Value], wait_s: float | None
    ) -> Iterator[Reading]:
        patience_s = self._patience_s if wait_s is None else wait_s
        txid = secrets.token_hex(TXID_BYTES).encode()
        password = self._login.password
        cookie = 0 if password is None else self._cookie()
        request = encode_request(function, arguments, txid, password, cookie)
        for reply in self._exchange(request, txid, patience_s):
            raise_refusal(reply)
            yield reply
        raise AdminError(
            f"no reply to {function} within {patience_s:g} s", "The node may be busy; try again."
        )

    def _cookie(self) -> int:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            txid = secrets.token_hex(TXID_BYTES).encode()
            retry_s = min(COOKIE_RETRY_S, self._patience_s)
            for reply in self._exchange(encode_cookie_request(txid), txid, retry_s):
                cookie = cookie_in(reply)
                if cookie is not None:
                    return cookie
        raise NoNodeError(self._login.where)

    def _exchange(self, request: bytes, txid: bytes, patience_s: float) -> Iterator[Reading]:
        """Send, and give every reply of this txid until none came for `patience_s`."""
        try:
            self._socket.send(request)
            deadline = time.monotonic() + patience_s
            while (left_s := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left_s)
                message = decode_reply(self._socket.recv(MAX_REPLY_BYTES))
                if message is not None and message[0] == txid:
                    yield message[1]
                    deadline = time.monotonic() + patience_s
        except TimeoutError:
            return
        except OSError as error:  # nobody listens there
            raise NoNodeError(self._login.where) from error
