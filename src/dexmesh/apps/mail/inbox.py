"""Read command lines and message data from one connection, however they are cut.

Place     asyncio's reader -> here -> smtp.py (lines), incoming.py (chunks)
Spec      docs/apps/mail.md §4 (limits; bare LF and CR are never line ends); RFC 2920 (what comes
          early waits here, which is all that PIPELINING asks of a server)
Keeps     holds at most one read of READ_BYTES more than a line; linear time whatever the pieces
Not here  what a line means (smtp.py), the end of a message (proto/data.py)
"""

from __future__ import annotations

import asyncio

READ_BYTES = 64 * 1024  # ours
MAX_SKIPPED_BYTES = 1024 * 1024  # ours: of one line that is too long


class LineError(Exception):
    """A line that is none; `is_final` when the connection cannot go on."""

    def __init__(self, text: str, is_final: bool) -> None:
        super().__init__(text)
        self.text = text
        self.is_final = is_final


class Inbox:
    """What one client sent and nobody has looked at yet."""

    __slots__ = ("_buffer", "_reader")

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    @property
    def has_line(self) -> bool:
        """Whether the client already sent another line: it does not wait for an answer."""
        return b"\n" in self._buffer

    async def line(self, limit: int) -> bytes | None:
        """The next line without its CRLF; None when the client closed. Raises `LineError`.

        `limit` counts the CRLF. The caller sets a time limit around this.
        """
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if 0 <= end < limit:
                return self._cut(end)
            if end >= limit or len(self._buffer) > limit:
                await self._skip_line()
                raise LineError("command line too long", is_final=False)
            searched = len(self._buffer)
            if not await self._fill():
                return None

    async def chunk(self) -> bytes:
        """Whatever is there, or comes next; b"" when the client closed."""
        if not self._buffer and not await self._fill():
            return b""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def put_back(self, data: bytes) -> None:
        """Have `data` read again, first."""
        self._buffer[:0] = data

    def clear(self) -> None:
        """Forget what was sent (before TLS: nobody knows by whom)."""
        self._buffer.clear()

    def _cut(self, end: int) -> bytes:
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise LineError("lines end with CR LF", is_final=True)
        return line[:-2]

    async def _skip_line(self) -> None:
        """Throw away the rest of a line that is too long."""
        skipped = 0
        while (end := self._buffer.find(b"\n")) < 0:
            skipped += len(self._buffer)
            self._buffer.clear()
            if skipped > MAX_SKIPPED_BYTES or not await self._fill():
                raise LineError("command line far too long", is_final=True)
        del self._buffer[: end + 1]

    async def _fill(self) -> bool:
        data = await self._reader.read(READ_BYTES)
        self._buffer += data
        return bool(data)
