"""Read and write vCards: text <-> cards of properties, for our own files and for foreign ones.

Place     book.py (our files), imports.py and exports.py (files of others) -> here
Spec      RFC 6350 (4.0), RFC 2426 (3.0), RFC 6868 (carets in parameters); docs/apps/mail.md §5
Keeps     a card that was read is written again with every property, parameter and byte of a value;
          whatever the bytes are, reading ends in cards or in one clear CardError, in linear time
Not here  what the properties mean for us (contact.py); why not vobject (docs/decisions/0010)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dexmesh.errors import ContactError
from dexmesh.values import dataclass

MAX_CARD_BYTES = 256 << 10  # ours: a person with a small picture
MAX_READ_CHARS = 1 << 20  # ours: a card of others with its pictures, which an import leaves out
MAX_PROPERTIES = 1000  # ours, of one card
MAX_CARDS = 20_000  # ours, of one file: as many as an address book holds
MAX_FILE_BYTES = 64 << 20  # ours

VERSIONS = ("4.0", "3.0")
FOLD_OCTETS = 75  # RFC 6350 §3.2

_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r?\n")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PROPERTY = re.compile(
    r"(?:(?P<group>[A-Za-z0-9-]+)\.)?(?P<name>[A-Za-z0-9-]+)"
    r'(?P<params>(?:;(?:[^":;]|"[^"]*")*+)*+):(?P<value>.*)',
    re.DOTALL,
)
_OUR_HEAD, _OUR_END = "BEGIN:VCARD\r\nVERSION:4.0\r\n", "\r\nEND:VCARD\r\n"
_OUR_LINES = {
    name: (name, "") for name in ("FN", "NOTE", "EMAIL", "IMPP", "X-CJDNS-KEY", "X-CJDNS-PETNAME")
} | {
    f"X-CJDNS-VERIFIED;HOW={how}": ("X-CJDNS-VERIFIED", f";HOW={how}")
    for how in ("scanned", "invited", "by-hand")
}
"""What stands before the colon in a line of a card that we wrote: name and parameters."""
_PARAM = re.compile(r';([A-Za-z0-9-]+)(?:=((?:[^":;]|"[^"]*")*+))?')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CARET = re.compile(r"\^(.)", re.DOTALL)
_UNCARET = {"n": "\n", "^": "^", "'": '"'}


@dataclass(frozen=True, slots=True)
class Property:
    """One line of a card. `value` is as written (escaped); `params` is the raw `;A=b` part."""

    name: str  # upper case
    value: str
    params: str = ""
    group: str = ""

    @property
    def text(self) -> str:
        """The value of a text property without its escapes."""
        return unescape(self.value) if "\\" in self.value else self.value

    def param(self, name: str) -> str:
        """The value of this parameter (the first of that name), empty if there is none."""
        for found in _PARAM.finditer(self.params):
            if found[1].upper() == name:
                return _plain_param(found[2] or "")
        return ""


@dataclass(frozen=True, slots=True)
class Card:
    """One vCard: its properties in order, without BEGIN, VERSION and END."""

    version: str
    properties: tuple[Property, ...]

    def all(self, name: str) -> tuple[Property, ...]:
        """The properties of that (upper case) name."""
        return tuple(one for one in self.properties if one.name == name)

    def text(self, name: str) -> str:
        """The text of the first property of that name, empty if there is none."""
        return next((one.text for one in self.properties if one.name == name), "")


class CardError(ContactError):
    """The text is no vCard that we take; the message says in which line and why."""


def text_property(name: str, text: str, **params: str) -> Property:
    """A property whose value is this text."""
    written = "".join(f";{key}={_quoted_param(value)}" for key, value in params.items())
    return Property(name, escape(text), written)


def escape(text: str) -> str:
    """The text as a value: RFC 6350 §3.4."""
    text = text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return text.replace("\r\n", "\n").replace("\n", "\\n").replace("\r", "")


def unescape(value: str) -> str:
    """The text of a value."""
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)


def decode_text(data: bytes, what: str) -> str:
    """The text of a file of contacts; CardError if it is too long, binary or not UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        raise CardError(f"{what} is longer than {MAX_FILE_BYTES >> 20} MB")
    try:
        text = data.decode().removeprefix("\ufeff")  # no codec to import: we may be the owner now
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "Convert it first: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        raise CardError(f"{what}, line {line}: not UTF-8", hint) from None
    control = _CONTROL.search(text)
    if control is not None:
        line = text.count("\n", 0, control.start()) + 1
        code = ord(control[0])
        raise CardError(f"{what}, line {line}: a control character (code {code}): this is no text")
    return text


def read_cards(text: str, what: str = "the card") -> Iterator[Card]:
    """Every card of a text, one after the other. Raises CardError at the first that is wrong."""
    count = 0
    for line, body in _bodies(text, what):
        count += 1
        if count > MAX_CARDS:
            raise CardError(f"{what}: more than {MAX_CARDS} cards")
        yield _read_body(body, f"{what}, card at line {line}" if line > 1 else what)
    if not count:
        raise CardError(f"{what}: there is no vCard in it", "A vCard begins with BEGIN:VCARD.")


def read_card(text: str, what: str = "the card") -> Card:
    """The one card of a text. Raises CardError when there is none, or more, or it is wrong."""
    ours = _read_ours(text)
    if ours is not None:
        return ours
    cards = read_cards(text, what)
    card = next(cards)
    for _second in cards:
        raise CardError(f"{what}: more than one card in one file", "Give every card its own file.")
    return card


def _read_ours(text: str) -> Card | None:
    """The card, if all of it is as we write it ourselves: much quicker, and nearly every card is."""
    if not text.startswith(_OUR_HEAD) or not text.endswith(_OUR_END):
        return None
    lines = text[len(_OUR_HEAD) : -len(_OUR_END)].split("\r\n")
    if text.count("\n") != len(lines) + 3 or len(lines) > MAX_PROPERTIES:
        return None
    properties = []
    for line in lines:
        before, colon, value = line.partition(":")
        known = _OUR_LINES.get(before)
        if known is None or not colon:
            return None
        properties.append(Property(known[0], value, known[1]))
    return Card("4.0", tuple(properties))


def _bodies(text: str, what: str) -> Iterator[tuple[int, str]]:
    """The text between BEGIN and END of each card, and in which line it begins."""
    start: int | None = None
    first_line = 0
    for number, begin, end, word in _marks(text):
        if word == "BEGIN":
            if start is not None:
                raise CardError(f"{what}, line {number}: a card inside a card")
            start, first_line = end, number
        elif start is None:
            raise CardError(f"{what}, line {number}: END without a BEGIN")
        else:
            if begin - start > MAX_READ_CHARS:
                raise _too_long(f"{what}, card at line {first_line}", MAX_READ_CHARS)
            yield first_line, text[start:begin]
            start = None
    if start is not None:
        raise CardError(f"{what}, line {first_line}: the card has no END:VCARD")


_MARK = re.compile(r"^(BEGIN|END):[ \t]*VCARD[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def _marks(text: str) -> Iterator[tuple[int, int, int, str]]:
    number, counted = 1, 0
    for found in _MARK.finditer(text):
        number += text.count("\n", counted, found.start())
        counted = found.start()
        yield number, found.start(), found.end(), found[1].upper()


def _read_body(body: str, what: str) -> Card:
    lines = _LINE_END.split(_FOLD.sub("", body))
    version = ""
    properties = []
    for line in lines:
        if not line.strip():
            continue
        one = _read_line(line, what)
        if one.name == "VERSION":
            version = one.value.strip()
            continue
        properties.append(one)
        if len(properties) > MAX_PROPERTIES:
            raise CardError(f"{what}: more than {MAX_PROPERTIES} properties")
    if version not in VERSIONS:
        hint = "Export it again as vCard 4.0 or 3.0."
        raise CardError(f"{what}: version {version[:20] or 'missing'}, not 4.0 or 3.0", hint)
    return Card(version, tuple(properties))


def _read_line(line: str, what: str) -> Property:
    found = _PROPERTY.fullmatch(line)
    if found is None:
        shown = line if len(line) <= 40 else line[:40] + "..."
        raise CardError(f"{what}: {shown!r} is no property of the form NAME:value")
    group, name, params, value = found.groups()
    return Property(name.upper(), value, params, group or "")


def write_card(card: Card) -> str:
    """The card as text, lines folded and ended by CRLF. Raises CardError if it is too long."""
    lines = ["BEGIN:VCARD", f"VERSION:{card.version}"]
    for one in card.properties:
        group = f"{one.group}." if one.group else ""
        lines.append(_folded(f"{group}{one.name}{one.params}:{one.value}"))
    lines.append("END:VCARD\r\n")
    text = "\r\n".join(lines)
    if len(text) * 4 > MAX_CARD_BYTES and len(text.encode()) > MAX_CARD_BYTES:
        raise _too_long("the card", MAX_CARD_BYTES)
    return text


def _too_long(what: str, most: int) -> CardError:
    hint = "Take pictures out of it, or make them smaller."
    return CardError(f"{what} is longer than {most >> 10} kB", hint)


def _folded(line: str) -> str:
    """The line in pieces of at most 75 octets, never cut inside a character (RFC 6350 §3.2)."""
    if len(line) <= FOLD_OCTETS and line.isascii():
        return line
    data = line.encode()
    pieces, start, room = [], 0, FOLD_OCTETS
    while len(data) - start > room:
        end = start + room
        while data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[start:end])
        start, room = end, FOLD_OCTETS - 1
    pieces.append(data[start:])
    return b"\r\n ".join(pieces).decode()


def _plain_param(raw: str) -> str:
    if raw.startswith('"') and raw.endswith('"') and len(raw) > 1:
        raw = raw[1:-1]
    return _CARET.sub(lambda found: _UNCARET.get(found[1], found[0]), raw)


def _quoted_param(value: str) -> str:
    value = value.replace("^", "^^").replace("\n", "^n").replace('"', "^'")
    return f'"{value}"' if any(mark in value for mark in ',;:"') else value
