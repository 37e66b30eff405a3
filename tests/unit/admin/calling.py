"""Call a server the way a client does, without a socket.

Place     tests/unit/admin, tests/property -> here -> AdminServer
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from dexmesh.admin.auth import Source, cookie_at
from dexmesh.admin.exchange import Reading, decode_reply, encode_request
from dexmesh.admin.server import AdminServer, Pending, Reply, answer_of
from dexmesh.admin.values import Value
from dexmesh.errors import DexmeshError

SOURCE: Source = ("127.0.0.1", 40000)
START_UNIX_MS = 1_795_350_537_372


@dataclass(slots=True)
class Caller:
    """Calls a server from one address at a time that the test sets."""

    server: AdminServer
    password: bytes | None = None
    source: Source = SOURCE
    now: float = 1000.0

    @property
    def unix_ms(self) -> int:
        return START_UNIX_MS + int(self.now * 1000)

    def send(self, datagram: bytes) -> Reply | Pending | None:
        """What the server makes of a datagram."""
        return self.server.handle_datagram(datagram, self.source, self.unix_ms, self.now)

    def start(self, function: str, **arguments: Value) -> Reply | Pending | None:
        """What the server makes of a call."""
        cookie = cookie_at(self.unix_ms)
        return self.send(encode_request(function, arguments, b"tx", self.password, cookie))

    def call(self, function: str, **arguments: Value) -> Reading:
        """The one reply to a call."""
        replies = self.call_all(function, **arguments)
        assert len(replies) == 1
        return replies[0]

    def call_all(self, function: str, **arguments: Value) -> list[Reading]:
        """Every reply to a call."""
        outcome = self.start(function, **arguments)
        if isinstance(outcome, Pending):
            return asyncio.run(self._late(outcome))
        return [read(outcome)]

    def error(self, function: str, **arguments: Value) -> object:
        """The `error` of a call that must fail."""
        return self.call(function, **arguments)["error"]

    async def _late(self, pending: Pending) -> list[Reading]:
        found = []
        try:
            if isinstance(pending.answers, AsyncGenerator):
                found = [answer async for answer in pending.answers]
            else:
                found = [await pending.answers]
        except DexmeshError as error:
            found = [answer_of(error)]
        self.server.finish(pending)
        return [read(self.server.late_reply(pending, answer, self.now)) for answer in found]


def read(outcome: Reply | Pending | None) -> Reading:
    """The content of an immediate reply to a call of `Caller`."""
    assert isinstance(outcome, Reply)
    message = decode_reply(outcome.data)
    assert message is not None
    txid, content = message
    assert txid == b"tx"
    return content
