"""Bytes of a SIP message to a frozen value and back; what decodes has all that an answer needs.

Place     transport -> stream.py (TCP only) -> transaction.py -> here -> dialog.py, phone/
Spec      RFC 3261 §7 and §25; tolerance and limits of docs/apps/sip.md §3 "SIP subset"; RFC 4475
Keeps     `decode` raises nothing but DecodeError; the accessors of a decoded message raise nothing;
          `decode(encode(m)) == m`
Not here  the answer to what cannot be decoded (refusal.py), making messages (build.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from dexmesh.apps.call.sip.fields import (
    MAX_FORWARDS,
    CSeq,
    MediaType,
    Via,
    parse_call_id,
    parse_cseq,
    parse_media_type,
    parse_number,
    parse_via,
)
from dexmesh.apps.call.sip.headers import Field, Headers, canonical, known_name
from dexmesh.apps.call.sip.uri import NameAddr, SipUri, check_uri, parse_name_addr, sip_uri_or_none
from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass

MAX_FIELDS: Final = 64  # docs/apps/sip.md §3
MAX_HEADER_BYTES: Final = 8192  # docs/apps/sip.md §3; the first line included
MAX_BODY_BYTES: Final = 64 * 1024  # docs/apps/sip.md §3
MAX_VIAS: Final = 70  # RFC 3261 §8.1.1.6: more hops than that, a message cannot have made

BAD_VERSION: Final = "not SIP/2.0"

HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\n[ \t]++")
_NAME = re.compile(r"[A-Za-z0-9.!%*_+`'~-]++", re.ASCII)
_REQUEST_LINE = re.compile(
    r"([A-Za-z0-9.!%*_+`'~-]++) ([^\s<>]++) SIP/(\d++\.\d++)", re.IGNORECASE | re.ASCII
)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?", re.IGNORECASE | re.ASCII)
_SINGLE: Final = frozenset(  # RFC 3261 §7.3.1: no list, so two of them are two meanings
    {"From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type"}
)


class _Message:
    """What requests and responses have in common. Reading a field of a message that was decoded
    never raises; in one that we build, a missing field is DecodeError."""

    __slots__ = ()

    headers: Headers
    body: bytes

    @property
    def vias(self) -> list[Via]:
        """Every hop, the latest first."""
        return self.headers.read("Via", _read_vias)

    @property
    def via(self) -> Via:
        """The latest hop."""
        return self.vias[0]

    @property
    def cseq(self) -> CSeq:
        """Number and method."""
        return self.headers.read("CSeq", _read_cseq)

    @property
    def call_id(self) -> str:
        """The Call-ID, to be compared as it is."""
        return self.headers.read("Call-ID", _read_call_id)

    @property
    def from_(self) -> NameAddr:
        """Who sent the request (in a response too)."""
        return self.headers.read("From", _read_from)

    @property
    def to(self) -> NameAddr:
        """Whom the request was for (in a response too)."""
        return self.headers.read("To", _read_to)

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None if there is none, or `*`."""
        return self.headers.read("Contact", _read_contact)

    @property
    def routes(self) -> tuple[str, ...]:
        """The values of Record-Route, as written."""
        return self.headers.all("Record-Route")

    @property
    def content_type(self) -> MediaType | None:
        """What the body is; None where nobody said."""
        return self.headers.read("Content-Type", _read_content_type)

    @property
    def max_forwards(self) -> int | None:
        """How many hops are left; None where nobody said."""
        return self.headers.read("Max-Forwards", _read_max_forwards)


@dataclass(frozen=True, slots=True)
class Request(_Message):
    """A request. `uri` is the text of the Request-URI, exactly as it came or shall go."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @property
    def sip_uri(self) -> SipUri | None:
        """The Request-URI; None if its scheme is not SIP (answer 416)."""
        return sip_uri_or_none(self.uri)


@dataclass(frozen=True, slots=True)
class Response(_Message):
    """A response: `status` 100-699."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def is_final(self) -> bool:
        """Whether nothing but (for INVITE) an ACK comes after it."""
        return self.status >= 200

    @property
    def is_success(self) -> bool:
        """Whether it is a 2xx."""
        return self.status // 100 == 2


def decode(data: bytes) -> Request | Response:
    """The message in a datagram, or in one piece that StreamDecoder cut off.

    Raises DecodeError with a fixed reason. Bytes behind Content-Length are left out; without
    Content-Length the body goes to the end. The field itself is not kept: it is `len(body)`.
    """
    (first, *lines), body = header_lines(data)
    fields, length = _fields(lines)
    message = _message(first, Headers.decoded(fields), _body(body, length))
    _check(message)
    return message


def encode(message: Request | Response) -> bytes:
    """The bytes of a message: full names, one line a field, a Content-Length that is right.

    UsageError for a line end in the first line.
    """
    if isinstance(message, Request):
        first = f"{message.method} {message.uri} SIP/2.0"
    else:
        first = f"SIP/2.0 {message.status} {message.reason}"
    if "\r" in first or "\n" in first:
        raise UsageError("a line end in the first line of a SIP message")
    lines = [first]
    lines += [f"{name}: {value}" for name, value in message.headers if name != "Content-Length"]
    lines.append(f"Content-Length: {len(message.body)}\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "replace") + message.body


# --- From bytes to fields -----------------------------------------------------------------------------


def header_lines(data: bytes) -> tuple[list[str], bytes]:
    """The lines of the header, unfolded, the first line among them; and what is behind its end."""
    start = len(data) - len(data.lstrip(b"\r\n"))  # RFC 3261 §7.5: empty lines in front
    end = HEADER_END.search(data, start, start + MAX_HEADER_BYTES + 4)
    if end is None:
        raise DecodeError("no end of the header")
    text = data[start : end.start()].decode("utf-8", "replace").replace("\r\n", "\n")
    if "\r" in text:
        raise DecodeError("bare CR in the header")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    return text.split("\n"), data[end.end() :]


def split_field(line: str) -> Field:
    """The canonical name and the value of an unfolded line; DecodeError if it is no field."""
    name, colon, value = line.partition(":")
    known = known_name(name)
    if known is None:
        name = name.rstrip(" \t")
        if _NAME.fullmatch(name) is None:
            raise DecodeError("not a field")
        known = canonical(name)
    if not colon:
        raise DecodeError("not a field")
    return known, value.strip(" \t")


def _fields(lines: list[str]) -> tuple[tuple[Field, ...], int | None]:
    """The fields, and Content-Length taken out of them."""
    if len(lines) > MAX_FIELDS:
        raise DecodeError("too many fields")
    fields: list[Field] = []
    seen: set[str] = set()
    length: int | None = None
    for name, value in map(split_field, lines):
        if name in _SINGLE:
            if name in seen:
                raise DecodeError("a field that may stand once stands twice")
            seen.add(name)
        if name == "Content-Length":
            length = parse_number(value, MAX_BODY_BYTES)
        else:
            fields.append((name, value))
    return tuple(fields), length


def _body(body: bytes, length: int | None) -> bytes:
    if length is None:
        length = len(body)
    if length > MAX_BODY_BYTES:
        raise DecodeError("body too long")
    if length > len(body):
        raise DecodeError("body shorter than Content-Length")
    return body[:length]


def _message(first: str, headers: Headers, body: bytes) -> Request | Response:
    request = _REQUEST_LINE.fullmatch(first)
    if request is not None:
        method, uri, version = request.groups()
        if version != "2.0":
            raise DecodeError(BAD_VERSION)
        return Request(method, uri, headers, body)
    response = _STATUS_LINE.fullmatch(first)
    if response is None:
        raise DecodeError("neither a request nor a response")
    return Response(int(response[1]), response[2] or "", headers, body)


# --- What every message must have ---------------------------------------------------------------------


def _check(message: Request | Response) -> None:
    """Read every field that has an accessor, so that none of them raises later."""
    headers = message.headers
    for name, reader in _READERS:
        headers.read(name, reader)
    if isinstance(message, Request):
        if message.method != message.cseq.method:
            raise DecodeError("the method is not that of CSeq")
        _check_target(message.uri)


def _check_target(uri: str) -> None:
    check_uri(uri)
    if "?" in uri and (parsed := sip_uri_or_none(uri)) is not None and parsed.headers:
        raise DecodeError("headers in a Request-URI")  # RFC 3261 §19.1.1


def _text(headers: Headers, name: str) -> str:
    value = headers.first(name)
    if value is None:
        raise DecodeError(f"no {name}")
    return value


def _read_vias(headers: Headers) -> list[Via]:
    vias = [parse_via(text) for text in headers.all("Via")]
    if not 0 < len(vias) <= MAX_VIAS:
        raise DecodeError("no Via, or too many")
    return vias


def _read_cseq(headers: Headers) -> CSeq:
    return parse_cseq(_text(headers, "CSeq"))


def _read_call_id(headers: Headers) -> str:
    return parse_call_id(_text(headers, "Call-ID"))


def _read_from(headers: Headers) -> NameAddr:
    return parse_name_addr(_text(headers, "From"))


def _read_to(headers: Headers) -> NameAddr:
    return parse_name_addr(_text(headers, "To"))


def _read_contact(headers: Headers) -> NameAddr | None:
    values = headers.all("Contact")
    return parse_name_addr(values[0]) if values and values[0] != "*" else None


def _read_content_type(headers: Headers) -> MediaType | None:
    text = headers.first("Content-Type")
    return None if text is None else parse_media_type(text)


def _check_date(headers: Headers) -> None:
    """Dates are in GMT (RFC 3261 §20.17). Nothing here reads them, but a person may be shown one."""
    text = headers.first("Date")
    if text is not None and not text.upper().endswith(" GMT"):
        raise DecodeError("a date that is not in GMT")


def _read_max_forwards(headers: Headers) -> int | None:
    text = headers.first("Max-Forwards")
    return None if text is None else parse_number(text, MAX_FORWARDS)


_READERS: Final[tuple[tuple[str, Callable[[Headers], object]], ...]] = (
    ("Via", _read_vias),
    ("CSeq", _read_cseq),
    ("Call-ID", _read_call_id),
    ("From", _read_from),
    ("To", _read_to),
    ("Contact", _read_contact),
    ("Content-Type", _read_content_type),
    ("Max-Forwards", _read_max_forwards),
    ("Date", _check_date),
)
