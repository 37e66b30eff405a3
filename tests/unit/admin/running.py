"""A fake node behind a real admin port on loopback, for tests that need a socket.

Place     tests/unit/admin/test_endpoint.py, tests/interop/test_admin_clients.py -> here
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.endpoint import AdminEndpoint, open_endpoint
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.login import AdminLogin
from dexmesh.admin.server import AdminServer
from tests.unit.admin.fake import FakeNode

T = TypeVar("T")
PASSWORD = b"secret"


class RunningNode:
    """A server on a free port of loopback, with a loop of its own in a thread."""

    def __init__(self, node: FakeNode, password: bytes = PASSWORD, host: str = "127.0.0.1") -> None:
        self.logger = logging.Logger("dexmesh.test", logging.INFO)
        self.stream = LogStream(self.logger)
        self.server: AdminServer = admin_server(node, password, self.stream)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.endpoint: AdminEndpoint = self.run(open_endpoint(self.server, host, 0, self.stream))
        self.login = AdminLogin(*self.endpoint.address, password)

    def run(self, task: Awaitable[T]) -> T:
        async def wait() -> T:
            return await task

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(10)

    def close(self) -> None:
        self.run(self.endpoint.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.stream.close()


@contextmanager
def running(
    node: FakeNode, password: bytes = PASSWORD, host: str = "127.0.0.1"
) -> Iterator[RunningNode]:
    with closing(RunningNode(node, password, host)) as started:
        yield started
