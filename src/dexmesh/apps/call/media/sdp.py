"""Session descriptions: what a body of `application/sdp` says, and how we write one.

Place     a SIP body -> here -> offer.py, and back
Spec      RFC 8866; docs/apps/sip.md §1 (no brackets in `c=`), §2 (what linphone and baresip write)
Keeps     tolerant in: any line end, lines in any order, unknown lines ignored; strict out;
          bounded: MAX_BYTES, MAX_LINES, MAX_MEDIA, MAX_FORMATS; never anything but DecodeError
Not here  what an offer means and what is answered (offer.py)
"""

from __future__ import annotations

import ipaddress
import re
from enum import Enum
from functools import lru_cache
from typing import Final

from dexmesh.errors import DecodeError
from dexmesh.values import dataclass

CONTENT_TYPE: Final = "application/sdp"
MAX_BYTES: Final = 65_536  # ours: a SIP body is no larger
MAX_LINES: Final = 1_000  # ours
MAX_MEDIA: Final = 16  # ours
MAX_FORMATS: Final = 64  # ours: formats of one m= line

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_TOKEN: Final = re.compile(r"[!-~]{1,64}")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:/[0-9]{1,5})?")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_ATTRIBUTE: Final = re.compile(r"([!-9;-~]{1,64})(?::(.*))?", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HIGHEST_PORT: Final = 65_535

Attribute = tuple[str, str]
"""Name and value; the value is "" for a flag such as `sendonly`."""


class Direction(Enum):
    """Which way sound goes, seen from whoever writes it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the writer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the writer listens."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    def reversed(self) -> Direction:
        """The same as the other side sees it."""
        return direction_of(sends=self.receives, receives=self.sends)

    def limited_to(self, other: Direction) -> Direction:
        """Only what both allow."""
        return direction_of(
            sends=self.sends and other.sends, receives=self.receives and other.receives
        )


def direction_of(*, sends: bool, receives: bool) -> Direction:
    """The direction with these two ways."""
    if sends:
        return Direction.SENDRECV if receives else Direction.SENDONLY
    return Direction.RECVONLY if receives else Direction.INACTIVE


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line: who made the session, its number, and the version that grows with each change."""

    session_id: int
    version: int
    address: str  # IPv4 or IPv6 as written, without brackets; never used to send anything to
    username: str = "-"


@dataclass(frozen=True, slots=True)
class Media:
    """One m= line with what follows it. `port` 0 means the stream is refused."""

    kind: str  # "audio", "video"
    port: int
    protocol: str  # "RTP/AVP"
    formats: tuple[str, ...]
    connection: str | None = None
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole body. `connection` is the address of the session's own c= line."""

    origin: Origin
    connection: str | None = None
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()
    name: str = "-"


def value_of(attributes: tuple[Attribute, ...], name: str) -> str | None:
    """The first value of an attribute; None where it is absent."""
    return next((value for key, value in attributes if key == name), None)


def direction_in(attributes: tuple[Attribute, ...]) -> Direction | None:
    """The last direction that is written; None where none is."""
    found = [key for key, _ in attributes if key in _DIRECTIONS]
    return _DIRECTIONS[found[-1]] if found else None


_DIRECTIONS: Final = {one.value: one for one in Direction}


def is_unspecified(address: str | None) -> bool:
    """Whether this is `0.0.0.0` or `::`, the old way to say hold (RFC 3264 §8.4)."""
    bare = (address or "").partition("%")[0]
    if bare.strip("0:."):  # as nearly all
        return False
    try:
        return ipaddress.ip_address(bare).is_unspecified
    except ValueError:
        return False


def encode(description: SessionDescription) -> bytes:
    """The body, with CRLF, in the order RFC 8866 §5 wants."""
    origin = description.origin
    lines = [
        "v=0",
        f"o={origin.username} {origin.session_id} {origin.version} IN {_typed(origin.address)}",
        f"s={description.name}",
        *_connection_line(description.connection),
        "t=0 0",
        *map(_attribute_line, description.attributes),
    ]
    for media in description.media:
        lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
        lines += _connection_line(media.connection)
        lines += map(_attribute_line, media.attributes)
    return "".join(f"{line}\r\n" for line in lines).encode()


def _typed(address: str) -> str:
    return f"{'IP6' if ':' in address else 'IP4'} {address}"


def _connection_line(address: str | None) -> list[str]:
    return [] if address is None else [f"c=IN {_typed(address)}"]


def _attribute_line(attribute: Attribute) -> str:
    name, value = attribute
    return f"a={name}:{value}" if value else f"a={name}"


@lru_cache(maxsize=4)
def decode(body: bytes) -> SessionDescription:
    """The description in a body; `DecodeError` if it is none.

    An offer is read when it comes and again when it is answered, which is soon as a rule.
    """
    if len(body) > MAX_BYTES:
        raise DecodeError("session description is too long")
    reader = _Reader()
    lines = _LINE_END.split(body.decode("utf-8", "replace").strip("\0\r\n "))
    if len(lines) > MAX_LINES:
        raise DecodeError("session description has too many lines")
    if lines[0].strip() != "v=0":
        raise DecodeError("session description does not begin with v=0")
    for line in lines:
        reader.handle_line(line)
    return reader.finish()


class _Reader:
    """Takes the lines of one body in their order."""

    __slots__ = ("_attributes", "_connection", "_media", "_name", "_origin")

    def __init__(self) -> None:
        self._origin: Origin | None = None
        self._name = "-"
        self._connection: list[str | None] = [None]  # of the session, then of each m= line
        self._attributes: list[list[Attribute]] = [[]]
        self._media: list[Media] = []

    def handle_line(self, line: str) -> None:
        kind, equals, value = line[:1], line[1:2], line[2:].strip()
        if equals != "=":
            return
        if kind == "o" and self._origin is None:
            self._origin = _origin(value)
        elif kind == "s" and not self._media:
            self._name = _CONTROL.sub("", value).strip() or "-"
        elif kind == "c":
            self._connection[-1] = _connection(value)
        elif kind == "a":
            self._add_attribute(value)
        elif kind == "m":
            self._add_media(value)

    def _add_attribute(self, value: str) -> None:
        match = _ATTRIBUTE.fullmatch(value)
        if match is not None and not _CONTROL.search(value):
            self._attributes[-1].append((match[1], (match[2] or "").strip()))

    def _add_media(self, value: str) -> None:
        if len(self._media) >= MAX_MEDIA:
            raise DecodeError("session description has too many m= lines")
        self._media.append(_media(value))
        self._connection.append(None)
        self._attributes.append([])

    def finish(self) -> SessionDescription:
        if self._origin is None:
            raise DecodeError("session description has no o= line")
        media = tuple(
            Media(one.kind, one.port, one.protocol, one.formats, connection, tuple(attributes))
            for one, connection, attributes in zip(
                self._media, self._connection[1:], self._attributes[1:], strict=True
            )
        )
        return SessionDescription(
            self._origin, self._connection[0], tuple(self._attributes[0]), media, self._name
        )


def _origin(value: str) -> Origin:
    """`- 3761 1 IN IP6 fc00::1`; numbers that are none count as 0, for we only compare them."""
    parts = value.split()
    if len(parts) != 6 or not all(map(_TOKEN.fullmatch, parts)):
        raise DecodeError("o= line is malformed")
    numbers = [int(part) if _NUMBER.fullmatch(part) else 0 for part in parts[1:3]]
    return Origin(numbers[0], numbers[1], _address(parts[5]), parts[0])


def _connection(value: str) -> str:
    """`IN IP6 fc00::1`, with a TTL or count behind the address cut off."""
    parts = value.split()
    if len(parts) != 3:
        raise DecodeError("c= line is malformed")
    return _address(parts[2].partition("/")[0])


def _address(text: str) -> str:
    """An address or a name, without the brackets it should not have."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _TOKEN.fullmatch(bare):
        raise DecodeError("session description has a malformed address")
    return bare


def _media(value: str) -> Media:
    """`audio 7078 RTP/AVP 96 0 8`."""
    kind, port, protocol, *formats = [*value.split(), "", "", ""][: MAX_FORMATS + 4]
    formats = [one for one in formats if one]
    if not all(map(_TOKEN.fullmatch, (kind, port, protocol, *formats))):
        raise DecodeError("m= line is malformed")
    match = _PORT.fullmatch(port)
    if match is None or int(match[1]) > _HIGHEST_PORT:
        raise DecodeError("m= line has no port")
    if not formats or len(formats) > MAX_FORMATS:
        raise DecodeError("m= line has no formats, or too many")
    return Media(kind.lower(), int(match[1]), protocol.upper(), tuple(formats))
