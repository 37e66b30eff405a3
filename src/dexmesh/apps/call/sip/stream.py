"""Cut a TCP stream into SIP messages.

Place     call/transport.py, one for each connection -> here -> transaction.py (`handle_message`)
Spec      RFC 3261 §18.3 (Content-Length), §7.5 (CRLF in front); RFC 5626 §3.5.1 (keep-alives)
Keeps     linear work; at most MAX_HEADER_BYTES + MAX_BODY_BYTES kept from one call to the next;
          nothing but DecodeError is raised
Not here  whether a message is sound (message.py)
"""

from __future__ import annotations

import re

from dexmesh.apps.call.sip.fields import parse_number
from dexmesh.apps.call.sip.message import (
    HEADER_END,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    header_lines,
    split_field,
)
from dexmesh.errors import DecodeError

_KEEP_ALIVE = re.compile(rb"[\r\n\0]*+")
_END_BYTES = 4


class StreamDecoder:
    """One for each connection. After a DecodeError the connection has to be closed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0
        self._whole_bytes = 0  # of the message in front, once its header is there

    def feed(self, data: bytes) -> list[bytes]:
        """The whole messages now there, in order, each as `decode` wants it.

        Keep-alives (CRLF, NUL) are left out. A header without Content-Length has no body.
        DecodeError where no border can be found: header too long, Content-Length unsound or over
        64 kB.
        """
        self._data += data
        messages: list[bytes] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> bytes | None:
        """The message in front, once it is whole."""
        if not self._whole_bytes and not self._find_end():
            return None
        if len(self._data) < self._whole_bytes:
            return None
        message = bytes(self._data[: self._whole_bytes])
        del self._data[: self._whole_bytes]
        self._whole_bytes = self._searched = 0
        return message

    def _find_end(self) -> bool:
        """Find out how long the message in front is; False while its header is not whole."""
        if not self._searched:
            del self._data[: len(_KEEP_ALIVE.match(self._data)[0])]  # type: ignore[index]
        found = HEADER_END.search(self._data, max(0, self._searched - _END_BYTES + 1))
        end = None if found is None else found.end()
        del found  # it holds the buffer, which could not grow
        self._searched = len(self._data)
        if (self._searched if end is None else end) > MAX_HEADER_BYTES + _END_BYTES:
            raise DecodeError("header too long")
        if end is None:
            return False
        self._whole_bytes = end + _body_bytes(bytes(self._data[:end]))
        return True


def _body_bytes(header: bytes) -> int:
    """What Content-Length says; 0 where there is none (RFC 3261 §18.3 wants one)."""
    _, *lines = header_lines(header)[0]
    named = [value for name, value in map(split_field, lines) if name == "Content-Length"]
    if len(named) > 1:
        raise DecodeError("more than one Content-Length")
    return parse_number(named[0], MAX_BODY_BYTES) if named else 0
