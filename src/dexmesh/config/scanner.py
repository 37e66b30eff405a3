"""Read the smallest pieces of a configuration: blanks, strings, numbers, stray words.

Place     config/dialect.py -> here
Spec      docs/protocol/09 section 1.1 "v20.7, strict", section 1.4 "Rule for ours"
Keeps     every call moves forward or stops; a mistake that can be stepped over is noted and
          stepped over, so that one run reports them all
Not here  dictionaries, lists and the choice of dialect (config/dialect.py)
"""

from __future__ import annotations

import re

from dexmesh.config.document import Broken, Node, Number, Source, Text
from dexmesh.errors import ConfigProblem

MAX_NOTES = 100  # ours: nobody reads more, and a junk file must not grow memory
MAX_DIGITS = 64  # ours: twenty are enough for 64 bits

_BLANK = re.compile(rb"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_INTEGER = re.compile(rb"-?[0-9]+")
_FLOAT_TAIL = re.compile(rb"(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(rb"[^\s,:\"\[\]{}/]+")
_TEXT_STOP = re.compile(rb'["\\\n]')
_TEXT_STOP_ANY_LINES = re.compile(rb'["\\]')
_HEX2 = re.compile(rb"[0-9a-fA-F]{2}")
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_SIMPLE_ESCAPES = {
    b'"': b'"',
    b"\\": b"\\",
    b"/": b"/",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
_NO_SUCH_VALUE = {
    b"true": ("true is not a value of this file format", "Write 1 instead."),
    b"false": ("false is not a value of this file format", "Write 0 instead."),
    b"null": ("null is not a value of this file format", "Leave the key out instead."),
}
_VALUE_HINT = (
    'A value is "text" in double quotes, a whole number, a list [...] or a dictionary {...}.'
)


class ScanStopped(Exception):  # noqa: N818 - a way out, not an error; its cause is in `problems`
    """Reading cannot go on behind this point."""


class Scanner:
    """A position in a source, and what was noted on the way there."""

    def __init__(self, source: Source, *, multi_line_text: bool) -> None:
        self.source = source
        self.at = 0
        self.problems: list[ConfigProblem] = []
        self.warnings: list[ConfigProblem] = []
        self._text_stop = _TEXT_STOP_ANY_LINES if multi_line_text else _TEXT_STOP

    def note(self, offset: int, message: str, hint: str = "") -> None:
        """Remember a mistake and go on."""
        if len(self.problems) < MAX_NOTES:
            self.problems.append(self.source.problem(offset, message, hint))

    def warn(self, offset: int, message: str, hint: str = "") -> None:
        """Remember something odd that is no mistake."""
        if len(self.warnings) < MAX_NOTES:
            self.warnings.append(self.source.problem(offset, message, hint))

    def stop(self, offset: int, message: str, hint: str = "") -> ScanStopped:
        """Remember a mistake nothing can be read behind; raise what this returns."""
        self.note(offset, message, hint)
        return ScanStopped(message)

    def peek(self) -> bytes:
        """The next byte, or nothing at the end."""
        return self.source.data[self.at : self.at + 1]

    def skip_blank(self) -> None:
        """Step over white space and comments."""
        if found := _BLANK.match(self.source.data, self.at):
            self.at = found.end()
        if self.source.data.startswith(b"/*", self.at):
            raise self.stop(self.at, "this comment is never closed", "End it with */.")

    def take_text(self) -> Text:
        """The string that begins here."""
        start = self.at
        self.at += 1
        pieces: list[bytes] = []
        while found := self._text_stop.search(self.source.data, self.at):
            pieces.append(self.source.data[self.at : found.start()])
            self.at = found.start()
            match found.group():
                case b'"':
                    self.at += 1
                    return Text(start, self.at, b"".join(pieces))
                case b"\\":
                    pieces.append(self._take_escape())
                case _:
                    break
        hint = 'A text begins and ends with " on the same line.'
        raise self.stop(start, "this text has no closing quote", hint)

    def _take_escape(self) -> bytes:
        start = self.at
        letter = self.source.data[start + 1 : start + 2]
        self.at += 2
        if letter == b"x" and (found := _HEX2.match(self.source.data, self.at)):
            self.at = found.end()
            return bytes.fromhex(found.group().decode())
        if letter == b"u" and (found := _HEX4.match(self.source.data, self.at)):
            self.at = found.end()
            return self._finish_unicode(start, int(found.group(), 16))
        if letter in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[letter]
        hint = r"Known are \xHH, \uHHHH and \" \\ \/ \b \f \n \r \t; cjdns itself knows only \xHH."
        self.note(start, "unknown escape in a text", hint)
        return b""

    def _finish_unicode(self, start: int, unit: int) -> bytes:
        """UTF-8 of one \\u escape, which may be the first half of a pair."""
        if 0xD800 <= unit < 0xDC00 and self.source.data.startswith(b"\\u", self.at):
            found = _HEX4.match(self.source.data, self.at + 2)
            low = int(found.group(), 16) if found else 0
            if found and 0xDC00 <= low < 0xE000:
                self.at = found.end()
                unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
        if 0xD800 <= unit < 0xE000:
            self.note(start, "half of a surrogate pair in a text", "Write both halves.")
            return b""
        return chr(unit).encode()

    def take_scalar(self) -> Node:
        """The number that begins here; anything else is noted and stepped over if it can be."""
        start = self.at
        if number := _INTEGER.match(self.source.data, start):
            self.at = number.end()
            tail = _FLOAT_TAIL.match(self.source.data, self.at)
            if tail is None or tail.group() == b"":
                return self._number(start, number.group())
            self.at = tail.end()
            hint = "Write a whole number."
            self.note(start, "a number with a fraction or exponent is not allowed here", hint)
            return Broken(start, self.at)
        word = self.skip_word()
        if not word:
            shown = self.peek().decode("ascii", "replace")
            found = f"found {shown!r}" if shown else "found the end of the file"
            raise self.stop(start, f"a value is missing here, {found}", _VALUE_HINT)
        message, hint = _NO_SUCH_VALUE.get(word, ("this is not a value", _VALUE_HINT))
        self.note(start, message, hint)
        return Broken(start, self.at)

    def skip_word(self) -> bytes:
        """Step over a run of bytes that mean nothing here, and give it."""
        found = _WORD.match(self.source.data, self.at)
        if not found:
            return b""
        self.at = found.end()
        return found.group()

    def _number(self, start: int, digits: bytes) -> Node:
        if len(digits) > MAX_DIGITS:
            self.note(start, "this number is far too long", "Numbers have at most 64 bits.")
            return Broken(start, self.at)
        return Number(start, self.at, self._wrap(start, int(digits)))

    def _wrap(self, start: int, value: int) -> int:
        """The number as cjdns v20 sees it: what does not fit 64 bits wraps around."""
        wrapped = (value + (1 << 63)) % (1 << 64) - (1 << 63)
        if wrapped != value:
            self.warn(start, f"this number does not fit 64 bits and is read as {wrapped}")
        return wrapped
