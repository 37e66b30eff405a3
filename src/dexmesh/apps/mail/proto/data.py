"""Read the message that follows DATA: find its end, undo the dot stuffing, notice forbidden bytes.

Place     smtp.py hands in what arrived -> here -> message.py gets the bytes as the sender had them
Spec      docs/apps/mail.md §4 "End of data"; RFC 5321 §4.5.2; §6 (smuggling)
Keeps     the end is CRLF.CRLF and nothing else; holds back four bytes at most; the same bytes give
          the same message in whatever pieces they come
Not here  sizes, files and replies (message.py, smtp.py)
"""

from __future__ import annotations

END = b"\r\n.\r\n"
_STUFFED = b"\r\n."
_LINE_END = b"\r\n"


class DataDecoder:
    """One per message; feed it until `is_done`. `rest` is what follows the end mark."""

    __slots__ = ("_carry", "_virtual", "has_bare_line_end", "is_done", "rest")

    def __init__(self) -> None:
        self._carry = _LINE_END  # DATA stands at the start of a line: that CRLF is not part of it
        self._virtual = len(_LINE_END)
        self.has_bare_line_end = False
        self.is_done = False
        self.rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """What `chunk` adds to the message; sets `is_done` and `rest` when the end is in it."""
        if self.is_done:
            self.rest += chunk
            return b""
        data = self._carry + chunk
        end = data.find(END)
        if end >= 0:
            self.is_done = True
            self._carry, self.rest = b"", data[end + len(END) :]
            body = data[: end + len(_LINE_END)]
        else:
            held = _start_of_end(data)
            self._carry = data[len(data) - held :]
            body = data[: len(data) - held]
        return self._finish(body)

    def _finish(self, body: bytes) -> bytes:
        """Judge the line ends of `body` (which never ends between CR and LF), unstuff it."""
        ends = body.count(_LINE_END)
        if body.count(b"\r") != ends or body.count(b"\n") != ends:
            self.has_bare_line_end = True
        text = body.replace(_STUFFED, _LINE_END)
        if self._virtual and text:
            text = text[self._virtual :]
            self._virtual = 0
        return text


def _start_of_end(data: bytes) -> int:
    """How many of the last bytes of `data` could be the start of the end mark: 0 to 4."""
    for length in range(min(len(END) - 1, len(data)), 0, -1):
        if data.endswith(END[:length]):
            return length
    return 0


def encode_data(message: bytes) -> bytes:
    """`message` (CRLF lines) as it goes after DATA: dots stuffed, end mark added."""
    stuffed = (_LINE_END + message).replace(_STUFFED, b"\r\n..")[len(_LINE_END) :]
    if message and not message.endswith(_LINE_END):
        stuffed += _LINE_END
    return stuffed + b".\r\n"
