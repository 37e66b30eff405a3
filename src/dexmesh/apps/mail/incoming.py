"""Take in the message that follows DATA: decode, check, edit its header, hash, write to the spool.

Place     smtp.py hands in chunks -> here -> spool.py; the finished message -> receiver, submission
Spec      docs/apps/mail.md §4; RFC 5321 §4.5.3 (sizes)
Keeps     in memory: the header (at most MAX_HEADER_BYTES) and a batch; after the first refusal
          nothing more is kept, only the end of the message is looked for
Not here  where the message ends (proto/data.py), what the header says afterwards (`edit`)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from dexmesh.apps.mail.proto.data import DataDecoder
from dexmesh.apps.mail.proto.headers import (
    MAX_HEADER_BYTES,
    Header,
    HeaderCollector,
    TooManyFieldsError,
    parse_header,
)
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.apps.mail.spool import Spool, SpoolFile
from dexmesh.values import dataclass

BARE = Refusal(550, "5.6.0", "bare CR or LF in the message; lines end with CR LF",
               Reason.BARE_LINE_END)  # fmt: skip
HEADER_TOO_BIG = Refusal(552, "5.3.4", "the header is too big", Reason.HEADER_TOO_BIG)

Edit = Callable[[Header], bytes | Refusal]
"""Gives the header as it is to be written, the empty line included."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is on disk, its lines ended by LF as Maildir readers want them.

    `wire_size` is its length with CRLF; `body_hash` covers what the sender wrote, not what we added.
    """

    file: SpoolFile
    wire_size: int
    header: Header
    body_hash: bytes

    @property
    def message_id(self) -> str:
        """The Message-ID as it came; empty when there was none."""
        return self.header.first("message-id") or ""


class IncomingMessage:
    """One per DATA command; feed it until `is_done`, then `finish`."""

    def __init__(self, spool: Spool, max_bytes: int, edit: Edit) -> None:
        self._decoder = DataDecoder()
        self._collector: HeaderCollector | None = HeaderCollector()
        self._header = Header(())
        self._hash = hashlib.sha256()
        self._file = spool.begin()
        self._max_bytes = max_bytes
        self._edit = edit
        self.refusal: Refusal | None = None
        self.received_bytes = 0
        self._text_bytes = 0
        self._wire_size = 0
        self._held_cr = b""
        self._is_handed_over = False

    @property
    def is_done(self) -> bool:
        """Whether the end mark came."""
        return self._decoder.is_done

    @property
    def is_hopeless(self) -> bool:
        """Refused, and yet the client goes on sending: twice as much as a message may have."""
        return self.refusal is not None and self.received_bytes > 2 * self._max_bytes

    async def feed(self, chunk: bytes) -> bytes:
        """Take in `chunk`; what follows the end mark is handed back."""
        self.received_bytes += len(chunk)
        text = self._decoder.feed(chunk)
        self._text_bytes += len(text)
        if self.refusal is None:
            self.refusal = self._judge() or await self._take(text)
            if self.refusal is not None:
                await self.remove()
        return self._decoder.rest

    async def finish(self) -> Message | Refusal:
        """The message, on disk; or why not (and then nothing of it is left)."""
        if self.refusal is None and self._collector is not None:
            self.refusal = await self._take_header(*self._collector.finish())
        if self.refusal is None:
            self.refusal = await self._file.finish()
        if self.refusal is not None:
            await self.remove()
            return self.refusal
        self._is_handed_over = True
        return Message(self._file, self._wire_size, self._header, self._hash.digest())

    async def remove(self) -> None:
        """Leave nothing of it behind; once finished, that is up to whoever has the message."""
        if not self._is_handed_over:
            await self._file.remove()

    def _judge(self) -> Refusal | None:
        if self._decoder.has_bare_line_end:
            return BARE
        if self._text_bytes > self._max_bytes:
            text = f"the message is bigger than {self._max_bytes} bytes"
            return Refusal(552, "5.3.4", text, Reason.TOO_BIG)
        return None

    async def _take(self, text: bytes) -> Refusal | None:
        if self._collector is None:
            return await self._take_body(text)
        parts = self._collector.feed(text)
        if parts is not None:
            return await self._take_header(*parts, empty_line=b"\r\n")
        if len(self._collector) > MAX_HEADER_BYTES:
            return await self._take_endless(self._collector.finish()[0])
        return None

    async def _take_endless(self, start: bytes) -> Refusal | None:
        """No empty line so far: either the header is too big, or a body began without one."""
        whole_lines = start.rfind(b"\r\n") + 2 if b"\r\n" in start else 0
        block = start[:whole_lines]
        try:
            has_body = bool(parse_header(block).rest)
        except TooManyFieldsError:
            has_body = False
        return await self._take_header(block, start[whole_lines:]) if has_body else HEADER_TOO_BIG

    async def _take_header(
        self, block: bytes, body: bytes, empty_line: bytes = b""
    ) -> Refusal | None:
        """`empty_line` is what stood between the two: part of the body if that began before it."""
        self._collector = None
        try:
            self._header = parse_header(block)
        except TooManyFieldsError:
            return HEADER_TOO_BIG
        if len(block) - len(self._header.rest) > MAX_HEADER_BYTES:
            return HEADER_TOO_BIG
        if self._header.rest:
            body = empty_line + body
        edited = self._edit(self._header)
        if isinstance(edited, Refusal):
            return edited
        if (
            self._header.first("message-id") is None
        ):  # else two notes with the same text would be one
            self._hash.update(block[: len(block) - len(self._header.rest)])
        self._hash.update(self._header.rest)
        return await self._write(edited) or await self._take_body(body)

    async def _take_body(self, text: bytes) -> Refusal | None:
        if not text:
            return None
        self._hash.update(text)
        return await self._write(text)

    async def _write(self, text: bytes) -> Refusal | None:
        """Write with LF line ends; a CR at the end of a piece waits for its LF."""
        self._wire_size += len(text)
        data = self._held_cr + text
        self._held_cr = b"\r" if data.endswith(b"\r") else b""
        if self._held_cr:
            data = data[:-1]
        return await self._file.write(data.replace(b"\r\n", b"\n"))
