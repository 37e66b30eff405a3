"""Wait for the results of requests: a notice of the node becomes the result of an await.

Place     pump.py hands in notices -> here -> services.py
Spec      docs/architecture.md §3 (requests and notices)
Keeps     every waiter is woken or cancelled; a search that nobody reads any more is forgotten
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

from dexmesh.mesh.notices import (
    Notice,
    PingFinished,
    QueryFinished,
    RequestId,
    SearchFinished,
    SearchProgress,
)

GRACE_S = 5.0  # the node answers every request in its time; this is for a bug of ours
_T = TypeVar("_T", PingFinished, QueryFinished)
_SearchNotice = SearchProgress | SearchFinished


class Answers:
    """The requests that wait, by number."""

    def __init__(self) -> None:
        self._single: dict[RequestId, asyncio.Future[PingFinished | QueryFinished]] = {}
        self._searches: dict[RequestId, asyncio.Queue[_SearchNotice]] = {}

    def handle_notice(self, notice: Notice) -> None:
        """Wake whoever waits for this notice."""
        if isinstance(notice, PingFinished | QueryFinished):
            future = self._single.pop(notice.request, None)
            if future is not None and not future.done():
                future.set_result(notice)
        elif isinstance(notice, SearchProgress | SearchFinished):
            queue = self._searches.get(notice.request)
            if queue is not None:
                queue.put_nowait(notice)

    def expect(self, request: RequestId) -> asyncio.Future[PingFinished | QueryFinished]:
        """Register before the node's outputs are carried out, so that no answer is missed."""
        future: asyncio.Future[PingFinished | QueryFinished]
        future = asyncio.get_running_loop().create_future()
        self._single[request] = future
        return future

    async def wait(
        self,
        request: RequestId,
        future: asyncio.Future[PingFinished | QueryFinished],
        kind: type[_T],
        timeout_s: float,
    ) -> _T:
        """The result; TimeoutError only if the node broke its promise to answer."""
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                result = await future
        finally:
            self._single.pop(request, None)
        if not isinstance(result, kind):
            raise TypeError(f"request {request} was answered by {type(result).__name__}")
        return result

    def expect_search(self, request: RequestId) -> asyncio.Queue[_SearchNotice]:
        """Register a search whose answers are wanted."""
        queue: asyncio.Queue[_SearchNotice] = asyncio.Queue()
        self._searches[request] = queue
        return queue

    async def search(
        self, request: RequestId, queue: asyncio.Queue[_SearchNotice], timeout_s: float
    ) -> AsyncGenerator[SearchProgress, None]:
        """Every answer of a search until it ends."""
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                while True:
                    notice = await queue.get()
                    if isinstance(notice, SearchFinished):
                        return
                    yield notice
        finally:
            self._searches.pop(request, None)
