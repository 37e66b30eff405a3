"""Keep the header fields of a message in order, found by any spelling of their names.

Place     message.py (decode, encode), build.py -> here
Spec      RFC 3261 §7.3 (fields, lists, compact names), §20
Keeps     names are canonical; a value holds no line end, so no value can begin another field
Not here  what a value means (fields.py, uri.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from dexmesh.errors import UsageError

T = TypeVar("T")

Field = tuple[str, str]
"""A canonical name and a value without folds."""

_NAMES: Final = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "CSeq",
    "Call-ID",
    "Call-Info",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "Date",
    "Error-Info",
    "Event",
    "Expires",
    "From",
    "In-Reply-To",
    "MIME-Version",
    "Max-Forwards",
    "Min-Expires",
    "Organization",
    "P-Asserted-Identity",
    "Path",
    "Priority",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "RSeq",
    "Reason",
    "Record-Route",
    "Refer-To",
    "Referred-By",
    "Reply-To",
    "Replaces",
    "Require",
    "Retry-After",
    "Route",
    "Server",
    "Session-Expires",
    "Subject",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "WWW-Authenticate",
    "Warning",
]
_COMPACT: Final = {  # RFC 3261 §7.3.3; RFC 3515, 3892, 4028, 6665
    "v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "c": "Content-Type",
    "l": "Content-Length", "k": "Supported", "s": "Subject", "e": "Content-Encoding",
    "o": "Event", "u": "Allow-Events", "r": "Refer-To", "b": "Referred-By", "x": "Session-Expires",
}  # fmt: skip
_KNOWN: Final = {
    **{name: name for name in _NAMES},  # as nearly everybody writes them, found at once
    **{name.lower(): name for name in _NAMES},
    **_COMPACT,
}
_LISTS: Final = frozenset(
    [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Alert-Info",
        "Allow",
        "Allow-Events",
        "Call-Info",
        "Contact",
        "Content-Encoding",
        "Content-Language",
        "Error-Info",
        "In-Reply-To",
        "Path",
        "Proxy-Require",
        "Record-Route",
        "Require",
        "Route",
        "Supported",
        "Unsupported",
        "Via",
        "Warning",
    ]
)
_LINE_END = re.compile(r"[\r\n]")
_BETWEEN_COMMAS = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*+(?:"|\Z)|<[^>]*+(?:>|\Z)|[^",<])++""", re.DOTALL
)


def canonical(name: str) -> str:
    """The one spelling of a field's name: `Call-ID` for `call-id` and `i`; `X-Foo` for `x-foo`."""
    return known_name(name) or "-".join(part.capitalize() for part in name.split("-"))


def known_name(name: str) -> str | None:
    """The same for the fields of the RFCs; None for any other text."""
    return _KNOWN.get(name) or _KNOWN.get(name.lower())


class Headers:
    """An ordered multi-map that never changes; `with_` and `without` give another one.

    UsageError for a value with a line end: whoever builds a message must not let one in.
    """

    __slots__ = ("_fields", "_read")

    def __init__(self, fields: Iterable[Field] = ()) -> None:
        self._fields = tuple((canonical(name), value) for name, value in fields)
        self._read: dict[tuple[str, object], object] = {}
        for name, value in self._fields:
            if _LINE_END.search(value) or _LINE_END.search(name):
                raise UsageError(f"a line end in the SIP field {name}")

    @classmethod
    def decoded(cls, fields: tuple[Field, ...]) -> Headers:
        """Fields that are known to be canonical and without line ends."""
        self = cls.__new__(cls)
        self._fields, self._read = fields, {}
        return self

    def first(self, name: str) -> str | None:
        """The value of the first field of this name, as written."""
        name = canonical(name)
        for field, value in self._fields:
            if field == name:
                return value
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of this name in order; lists are split at their commas where RFC 3261 allows."""
        name = canonical(name)
        values = [value for field, value in self._fields if field == name]
        if name not in _LISTS:
            return tuple(values)
        return tuple(one for value in values for one in split_list(value))

    def with_(self, name: str, value: str) -> Headers:
        """The same with one field more, behind the others."""
        return Headers((*self._fields, (name, value)))

    def with_first(self, name: str, value: str) -> Headers:
        """The same with one field more, in front of the others (Via, Record-Route)."""
        return Headers(((name, value), *self._fields))

    def with_vias(self, vias: Iterable[str]) -> Headers:
        """The same with these hops, in front. What was read of the other fields stays read."""
        rest = (field for field in self._fields if field[0] != "Via")
        changed = Headers.decoded((*(("Via", via) for via in vias), *rest))
        changed._read = {key: value for key, value in self._read.items() if key[0] != "Via"}
        return changed

    def without(self, name: str) -> Headers:
        """The same without any field of this name."""
        name = canonical(name)
        return Headers.decoded(tuple(field for field in self._fields if field[0] != name))

    def read(self, name: str, reader: Callable[[Headers], T]) -> T:
        """What `reader` makes of these headers; made once."""
        key = (name, reader)
        if key not in self._read:
            self._read[key] = reader(self)
        return self._read[key]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.first(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)!r})"


def split_list(value: str) -> list[str]:
    """The parts between commas that stand outside quotes and angle brackets; empty ones left out."""
    if "," not in value:
        stripped = value.strip(" \t")
        return [stripped] if stripped else []
    parts = (match[0].strip(" \t") for match in _BETWEEN_COMMAS.finditer(value))
    return [part for part in parts if part]
