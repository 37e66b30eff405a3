"""Find the parts of a message: where headers and bodies lie, what they claim to be, what they say.

Place     a message's bytes -> here -> imap/ (structure, sections), reading.py (text, attachments)
Spec      RFC 5322 §2.2, RFC 2045 §5 and §6, RFC 2046 §5.1, RFC 2047, RFC 2231
Keeps     never raises, whatever the bytes are; depth, number of parts, of fields and their lengths are
          bounded, what is beyond counts as one opaque part; nothing is copied before it is asked for
Not here  addresses in headers (base/mailbox.py); what may be shown on a terminal (cli/output.py)
"""

from __future__ import annotations

import binascii
import codecs
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import field

from dexmesh.values import dataclass

MAX_DEPTH = 12  # ours
MAX_PARTS = 500  # ours, in a message
MAX_FIELDS = 1000  # ours, in a header
MAX_HEADER_BYTES = 256 << 10  # ours: what is looked at for fields
MAX_VALUE_BYTES = 16 << 10  # ours: of one field, when it is taken apart
MAX_PARAMETERS = 50  # ours

Span = tuple[int, int]
"""Where bytes lie: from, to (exclusive)."""

_BLANK_LINE = re.compile(rb"\n\r?\n")
_FIELD_NAME = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_MEDIA = re.compile(r"\s*([\w!#$&^.+-]{1,80})\s*/\s*([\w!#$&^.+-]{1,80})", re.ASCII)
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))', re.DOTALL)
_SECTION = re.compile(r"(.+?)\*(\d{1,3})?(\*)?")
_WORD = re.compile(r"=\?([\w-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?\s]{0,2000})\?=", re.ASCII)
_BETWEEN_WORDS = re.compile(r"(=\?[\w-]{1,40}\?[bBqQ]\?[^?\s]{0,2000}\?=)\s+(?==\?)", re.ASCII)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message; the message itself is the outermost."""

    header: Span  # with the empty line
    body: Span
    media: str = "text/plain"  # lower case
    parameters: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()  # of a multipart; or the one message inside a message/rfc822

    @property
    def is_multipart(self) -> bool:
        """Whether its parts are alternatives or a list, and not one message."""
        return bool(self.parts) and self.media.startswith("multipart/")

    @property
    def message(self) -> Part | None:
        """The message inside a message/rfc822."""
        return self.parts[0] if self.parts and self.media == "message/rfc822" else None

    def walk(self) -> Iterator[Part]:
        """This part and all inside it, in order."""
        yield self
        for part in self.parts:
            yield from part.walk()


def parse_message(data: bytes) -> Part:
    """The tree of parts of a whole message; CRLF and bare LF both end lines."""
    return _Parser(data).part(0, len(data), 0, "text/plain")


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_PARTS

    def part(self, start: int, end: int, depth: int, default: str) -> Part:
        self._left -= 1
        middle = header_end(self._data, start, end)
        header, body = (start, middle), (middle, end)
        value = field_value(self._data, header, b"content-type")
        media, parameters = parse_parameters(value, default) if value else (default, {})
        parts: tuple[Part, ...] = ()
        if depth < MAX_DEPTH and self._left > 0:
            if media == "message/rfc822":
                parts = (self.part(*body, depth + 1, "text/plain"),)
            elif media.startswith("multipart/"):
                inside = "message/rfc822" if media == "multipart/digest" else "text/plain"
                parts = tuple(self._multipart(body, parameters.get("boundary", ""), depth, inside))
        return Part(header, body, media, parameters, parts)

    def _multipart(self, body: Span, boundary: str, depth: int, default: str) -> Iterator[Part]:
        for start, end in _between(self._data, body, boundary):
            if self._left <= 0:
                return
            yield self.part(start, end, depth + 1, default)


def _between(data: bytes, body: Span, boundary: str) -> Iterator[Span]:
    """What lies between the delimiter lines of a multipart body (RFC 2046 §5.1.1)."""
    if not 0 < len(boundary) <= 200:
        return
    line = rb"\r?\n--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*\r?(?:\n|$)"
    pattern = re.compile(line)
    position, end = body
    for back in (2, 1):  # the line end before the body may be the delimiter's
        if position >= back and data[position - back : position] in (b"\r\n", b"\n"):
            position -= back
            break
    start = -1
    while match := pattern.search(data, position, end):
        if start >= 0:
            yield start, max(start, match.start())
        if match.group(1):
            return
        start = match.end()
        position = max(match.end() - 1, match.start() + 1)  # its line end may begin the next one
        if data[position - 1 : position] == b"\r":
            position -= 1
    if start >= 0:
        yield start, end


def header_end(data: bytes, start: int, end: int) -> int:
    """Where the body begins: after the first empty line, or at the end."""
    for blank in (b"\r\n", b"\n"):
        if data[start : min(end, start + len(blank))] == blank:
            return start + len(blank)
    match = _BLANK_LINE.search(data, start, end)
    return match.end() if match else end


def header_fields(data: bytes, header: Span) -> Iterator[tuple[bytes, Span]]:
    """Name (lower case) and place of each field, continuation lines and line end included."""
    position, end = header[0], min(header[1], header[0] + MAX_HEADER_BYTES)
    for _ in range(MAX_FIELDS):
        if position >= end:
            return
        stop = _field_end(data, position, end)
        if match := _FIELD_NAME.match(data, position, stop):
            yield match.group(1).lower(), (position, stop)
        position = stop


def _field_end(data: bytes, position: int, end: int) -> int:
    while True:
        line_end = data.find(b"\n", position, end)
        if line_end < 0:
            return end
        position = line_end + 1
        if data[position : position + 1] not in (b" ", b"\t") or position >= end:
            return position


def field_values(data: bytes, header: Span, name: bytes) -> list[str]:
    """Every value of a field, unfolded, as text; not decoded."""
    found = []
    for one, (start, stop) in header_fields(data, header):
        if one == name:
            value = data[start : min(stop, start + MAX_VALUE_BYTES)].partition(b":")[2]
            found.append(unfold(value))
    return found


def field_value(data: bytes, header: Span, name: bytes) -> str:
    """The first value of a field, unfolded; empty if it is not there."""
    for one, (start, stop) in header_fields(data, header):
        if one == name:
            return unfold(data[start : min(stop, start + MAX_VALUE_BYTES)].partition(b":")[2])
    return ""


def unfold(value: bytes) -> str:
    """A field's value on one line; bytes that are no UTF-8 are taken for Latin-1."""
    flat = value.replace(b"\r\n", b"").replace(b"\n", b"").strip()
    try:
        return flat.decode("utf-8")
    except UnicodeDecodeError:
        return flat.decode("latin-1")


def parse_parameters(value: str, default: str = "text/plain") -> tuple[str, dict[str, str]]:
    """The first word (`text/plain`, `attachment`) and the parameters of a structured field."""
    match = _MEDIA.match(value)
    if match:
        first = f"{match.group(1)}/{match.group(2)}".lower()
    else:
        token = value.partition(";")[0].strip().lower()
        first = token if default == "" and token.isascii() else default
    raw: dict[str, str] = {}
    for count, found in enumerate(_PARAMETER.finditer(value[:MAX_VALUE_BYTES])):
        if count >= MAX_PARAMETERS:
            break
        quoted, plain = found.group(2), found.group(3)
        text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
        raw.setdefault(found.group(1).lower(), text)
    return first, _join_sections(raw)


def _join_sections(raw: Mapping[str, str]) -> dict[str, str]:
    """Put `name*0*=`, `name*1=` together and decode them (RFC 2231 §3 and §4)."""
    plain: dict[str, str] = {}
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in raw.items():
        match = _SECTION.fullmatch(name) if "*" in name else None
        if match is None:
            plain[name] = value
        else:
            is_encoded = bool(match.group(3)) or match.group(2) is None
            number = int(match.group(2) or 0)
            sections.setdefault(match.group(1), []).append((number, is_encoded, value))
    for name, found in sections.items():
        plain[name] = _decode_sections(sorted(found))
    return plain


def _decode_sections(sections: list[tuple[int, bool, str]]) -> str:
    charset, joined = "utf-8", b""
    for number, is_encoded, value in sections:
        text = value
        if is_encoded and number == 0 and value.count("'") >= 2:
            charset, _, text = value.split("'", 2)
        if is_encoded:
            joined += urllib.parse.unquote_to_bytes(text)
        else:
            joined += text.encode("utf-8", "replace")
    return decode_charset(joined, charset)


def decode_words(value: str) -> str:
    """A header value with its encoded words (RFC 2047) decoded; what is wrong stays as it is."""
    if "=?" not in value:
        return value
    closer = _BETWEEN_WORDS.sub(r"\1", value[:MAX_VALUE_BYTES])
    return _WORD.sub(_decode_word, closer)


def _decode_word(match: re.Match[str]) -> str:
    charset, kind, text = match.groups()
    raw = text.encode("ascii", "replace")
    if kind in "bB":
        return decode_charset(decode_base64(raw), charset)
    return decode_charset(binascii.a2b_qp(raw.replace(b"_", b" ")), charset)


def decode_base64(data: bytes) -> bytes:
    """What base64 says; letters that do not belong there are skipped, a cut end is no error."""
    clean = _NOT_BASE64.sub(b"", data)
    clean = clean[:-1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def decode_body(data: bytes, part: Part) -> bytes:
    """The content of a part without its transfer encoding."""
    encoding = field_value(data, part.header, b"content-transfer-encoding").lower()
    body = data[slice(*part.body)]
    if encoding == "base64":
        return decode_base64(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def decode_charset(data: bytes, charset: str) -> str:
    """The bytes as text; an unknown character set is taken for UTF-8, wrong bytes are marked."""
    name = charset.strip().strip('"').lower() or "utf-8"
    if name in ("us-ascii", "ascii", "unknown-8bit"):
        name = "utf-8"
    try:
        info = codecs.lookup(name)
        if not info._is_text_encoding:  # zlib and the like are codecs, but no character sets
            return data.decode("utf-8", "replace")
        return data.decode(name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return data.decode("utf-8", "replace")


def file_name(data: bytes, part: Part) -> str:
    """The name the sender gave an attachment, decoded, or empty. It is not safe as a path."""
    disposition = field_value(data, part.header, b"content-disposition")
    parameters = parse_parameters(disposition, "")[1]
    return decode_words(parameters.get("filename") or part.parameters.get("name", ""))


def is_attachment(data: bytes, part: Part) -> bool:
    """Whether the sender meant the part to be kept as a file."""
    disposition = field_value(data, part.header, b"content-disposition").lower()
    return disposition.startswith("attachment") or bool(file_name(data, part))
