"""Load what messages contain, as much as is asked for, and not too many large ones at once.

Place     fetch.py and backend.py ask -> here -> boxes.py reads
Spec      docs/apps/mail.md §4 "Reading"
Keeps     whole large messages in memory: at most LARGE_AT_ONCE, and what CACHE_BYTES hold for clients
          that fetch a message piece by piece; a header is read without its body
Not here  what is answered (fetch.py, structure.py)
"""

from __future__ import annotations

import asyncio
import enum
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dexmesh.apps.mail.imap.boxes import Box
from dexmesh.apps.mail.imap.folder import Folder
from dexmesh.apps.mail.proto.parts import Part, header_end, parse_message
from dexmesh.values import dataclass

LARGE_BYTES = 1 << 20  # ours
LARGE_AT_ONCE = 2  # ours
CACHE_BYTES = 40 << 20  # ours: one message of the largest size
_HEADER_READS = (16 << 10, 1 << 20)  # ours: a header is in the first, or the second, or all of it


class Need(enum.IntEnum):
    """How much of a message is wanted."""

    NOTHING = 0
    HEADER = 1
    WHOLE = 2


@dataclass(frozen=True, slots=True)
class Content:
    """What was loaded. `data` may end behind the header; `size` is that of the whole message."""

    data: bytes
    tree: Part
    size: int


NO_PART = Part((0, 0), (0, 0))
GONE = Content(b"", NO_PART, 0)

_Key = tuple[Path, int, int]


class Contents:
    """Loads for all connections."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(LARGE_AT_ONCE)
        self._cached: OrderedDict[_Key, Content] = OrderedDict()

    @asynccontextmanager
    async def load(
        self, box: Box, uid: int, need: Need, *, wants_size: bool
    ) -> AsyncIterator[Content]:
        """The content of a message, while inside. GONE if it is gone. Raises OSError."""
        key = (box.folder.path, box.folder.validity, uid)
        cached = self._cached.get(key)
        if cached is not None and uid in box.folder.entries:
            self._cached.move_to_end(key)
            yield cached
        elif need < Need.WHOLE or not await box.run(_is_large, box.folder, uid):
            yield await box.run(_load, box.folder, uid, need, wants_size)
        else:
            async with self._places:
                content = await box.run(_load, box.folder, uid, need, wants_size)
                self._keep(key, content)
                yield content

    def _keep(self, key: _Key, content: Content) -> None:
        self._cached[key] = content
        while sum(len(one.data) for one in self._cached.values()) > CACHE_BYTES:
            self._cached.popitem(last=False)

    def clear(self) -> None:
        """Forget what was kept."""
        self._cached.clear()


def _is_large(folder: Folder, uid: int) -> bool:
    return folder.stored_size(uid) > LARGE_BYTES


def _load(folder: Folder, uid: int, need: Need, wants_size: bool) -> Content:
    if need is Need.WHOLE:
        data = folder.read(uid)
        return GONE if data is None else Content(data, parse_message(data), len(data))
    size = folder.size(uid) if wants_size else 0
    if need is Need.NOTHING:
        return Content(b"", NO_PART, size)
    data = _read_header(folder, uid)
    if data is None:
        return GONE
    tree = Part((0, len(data)), (len(data), len(data)))
    return Content(data, tree, size)


def _read_header(folder: Folder, uid: int) -> bytes | None:
    for most in (*_HEADER_READS, None):
        data = folder.read(uid, most)
        if data is None:
            return None
        end = header_end(data, 0, len(data))
        if end < len(data) or most is None or len(data) < most:
            return data[:end]
    return None
