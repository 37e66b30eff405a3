"""Read and edit the header of a message as raw bytes; what needs no change keeps every byte.

Place     message.py hands in the header it collected -> receiving.py and compose.py decide with
          the fields -> the edited header goes to the file in front of the untouched body
Spec      docs/apps/mail.md §3 "Quoted literal repair", §4 "Receiver"; RFC 5322 §2.2; RFC 8601
Keeps     linear time in the size of the header; at most MAX_FIELDS fields; never looks at the body
Not here  mailboxes inside a field (base/mailbox.py), which field gets what value (the two above)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dexmesh.values import dataclass

MAX_HEADER_BYTES = 256 * 1024  # ours
MAX_FIELDS = 1000  # ours
ADDRESS_FIELDS = frozenset({"from", "reply-to", "sender", "to", "cc"})

_END = b"\r\n\r\n"
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_QUOTED = re.compile(rb'(@[ \t]*)?"([^"\\]*+(?:\\.[^"\\]*+)*+)("|\\?\Z)', re.DOTALL)
_LITERAL = re.compile(rb"\[IPv6:[0-9a-fA-F:.]+\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `name` in lower case, `raw` as it came, folds and the last CRLF included."""

    name: str
    raw: bytes

    @property
    def value(self) -> str:
        """The text behind the colon, unfolded; bytes that are not UTF-8 become U+FFFD."""
        text = self.raw.partition(b":")[2].decode("utf-8", "replace")
        return _FOLD.sub("", text).strip(" \t\r\n")


@dataclass(frozen=True, slots=True)
class Header:
    """The fields in order, and what stood in the header's place but is no field."""

    fields: tuple[Field, ...]
    rest: bytes = b""

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of this (lower case) name."""
        return tuple(field for field in self.fields if field.name == name)

    def first(self, name: str) -> str | None:
        """The value of the first field of this (lower case) name."""
        return next((field.value for field in self.fields if field.name == name), None)


class TooManyFieldsError(ValueError):
    """The header has more than MAX_FIELDS fields."""


class HeaderCollector:
    """Collects the start of a message until its header is complete."""

    __slots__ = ("_data", "_searched")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The header (without the empty line) and the start of the body, once both are known."""
        self._data += data
        if self._data.startswith(b"\r\n"):
            return b"", bytes(self._data[2:])
        at = self._data.find(_END, self._searched)
        if at < 0:
            self._searched = max(0, len(self._data) - len(_END) + 1)
            return None
        return bytes(self._data[: at + 2]), bytes(self._data[at + len(_END) :])

    def finish(self) -> tuple[bytes, bytes]:
        """The message ended before an empty line: all of it is header."""
        return bytes(self._data), b""


def parse_header(block: bytes) -> Header:
    """The fields in `block` (CRLF lines). `rest` starts at the first line that is no field.

    Raises `TooManyFieldsError`.
    """
    fields: list[Field] = []
    name, start, at = "", 0, 0
    while at < len(block):
        end = block.find(b"\r\n", at) + 2
        end = len(block) if end < 2 else end
        if not (block[at] in b" \t" and name):
            if name:
                fields.append(Field(name, block[start:at]))
            match = _NAME.match(block, at, end)
            if match is None:
                return Header(tuple(fields), block[at:])
            if len(fields) >= MAX_FIELDS:
                raise TooManyFieldsError(f"more than {MAX_FIELDS} header fields")
            name, start = match[1].decode("ascii").lower(), at
        at = end
    if name:
        fields.append(Field(name, block[start:]))
    return Header(tuple(fields))


def render(fields: Iterable[Field | bytes], rest: bytes = b"") -> bytes:
    """The header with its empty line; `rest`, which was no field, becomes the start of the body."""
    raw = b"".join(one if isinstance(one, bytes) else one.raw for one in fields)
    if raw and not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    return raw + b"\r\n" + rest


def repair_literals(field: Field) -> Field:
    """`@"[IPv6:..]"` becomes `@[IPv6:..]` in address fields; nothing else changes."""
    if field.name not in ADDRESS_FIELDS or b'"' not in field.raw:
        return field
    return Field(field.name, _QUOTED.sub(_unquote, field.raw))


def _unquote(match: re.Match[bytes]) -> bytes:
    at, inner = match[1], match[2]
    if at and _LITERAL.fullmatch(inner):
        return at + inner
    return match[0]


def without(fields: Iterable[Field], names: frozenset[str]) -> tuple[Field, ...]:
    """The fields whose (lower case) name is not among `names`."""
    return tuple(field for field in fields if field.name not in names)


def make_field(name: str, value: str) -> bytes:
    """One field of ours; `value` may hold folds as "\\r\\n\\t", other line ends are taken out."""
    parts = (part.replace("\r", " ").replace("\n", " ") for part in value.split("\r\n\t"))
    folded = "\r\n\t".join(parts)
    return f"{name}: {folded}\r\n".encode("utf-8", "surrogateescape")
