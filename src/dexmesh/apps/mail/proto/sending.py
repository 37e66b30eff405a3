"""Bring a message into the form it is kept and sent in: CRLF lines, and dots stuffed on the wire.

Place     queue/files.py (LineEnds, once, before the disk) and outgoing.py (DotStuffer, every try)
Spec      RFC 5321 §2.3.8 and §4.5.2
Keeps     the same message gives the same bytes in whatever pieces it comes; constant memory
Not here  the opposite direction (data.py)
"""

from __future__ import annotations

import re

_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_HEADER_END = b"\r\n\r\n"


class LineEnds:
    """Make every line end of a message CRLF, and notice what a server must be able to take."""

    def __init__(self) -> None:
        self.is_8bit = False
        self.has_8bit_header = False
        self.size = 0
        self._held_cr = False
        self._in_header = True
        self._tail = b"\r\n"  # a message may begin with an empty line: it has no header

    def feed(self, chunk: bytes) -> bytes:
        """The next part of the message, in its final form."""
        data = (b"\r" if self._held_cr else b"") + chunk
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        return self._notice(_LONE.sub(b"\r\n", data))

    def finish(self) -> bytes:
        """The end of the message: its last line always has an end."""
        if self._held_cr:
            self._held_cr = False
            return self._notice(b"\r\n")
        return b"" if self._tail.endswith(b"\r\n") and self.size else self._notice(b"\r\n")

    def _notice(self, data: bytes) -> bytes:
        self.size += len(data)
        joined = self._tail + data
        end = joined.find(_HEADER_END) if self._in_header else 0
        if not data.isascii():
            self.is_8bit = True
            if self._in_header and not joined[: end if end >= 0 else None].isascii():
                self.has_8bit_header = True
        if end >= 0:
            self._in_header = False
        self._tail = joined[-3:]
        return data


class DotStuffer:
    """Double the dot at the start of each line of a message with CRLF lines."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """The next part as it goes on the wire."""
        if not chunk:
            return b""
        joined = self._tail + chunk
        stuffed = joined.replace(b"\r\n.", b"\r\n..")
        before = len(self._tail)
        self._tail = joined[-2:]
        return stuffed[before:]
