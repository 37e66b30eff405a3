"""Read SIP URIs and what stands around them in From, To and Contact; find the node that is meant.

Place     fields of a message, a person's command line -> here -> dialog.py, phone/
Spec      docs/apps/sip.md §1; RFC 3261 §19.1, §20.10, §25.1; RFC 3986 §3.2.2 (brackets)
Keeps     nothing but DecodeError is raised; a URI's text is never rewritten, so that a request goes
          to a Contact exactly as given; a display name holds no control character
Not here  petnames of contacts (names/, phone/identity.py)
"""

from __future__ import annotations

import re
from typing import TypeAlias
from urllib.parse import unquote

from dexmesh.apps.base.domains import parse_domain
from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address, is_mesh_address, parse_address

MAX_URI_CHARS = 2048  # ours
DEFAULT_PORT = 5060  # RFC 3261 §19.1.2

_SIP_URI = re.compile(
    r"""(?:sips?):
        (?:(?P<user>[^@\s<>"]+)@)?
        (?P<host>\[[0-9A-Fa-f:.]++\]|[\w.-]++)
        (?::(?P<port>\d{1,5}))?
        (?P<params>(?:;[^;?@\s<>"]++)*+)
        (?:\?(?P<headers>[^@\s<>"]*+))?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_OTHER_URI = re.compile(r"[a-z][a-z0-9+.-]*+:[^\s<>\"]++", re.IGNORECASE | re.ASCII)
_VALUE = r""""(?:[^"\\]|\\.)*+"|[^\s;",<>]++"""
PARAMS = rf"""((?:[ \t]*+;[ \t]*+[^\s;=",<>]++(?:[ \t]*+=[ \t]*+(?:{_VALUE}))?)*+)[ \t]*+"""
_PARAM = re.compile(rf"""[ \t]*+;[ \t]*+([^\s;=",<>]++)(?:[ \t]*+=[ \t]*+({_VALUE}))?""", re.DOTALL)
_NAME_ADDR = re.compile(
    r"""[ \t]*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<words>[^"<>,;]*+))[ \t]*+<(?P<uri>[^\s<>"]++)>"""
    + PARAMS,
    re.DOTALL,
)
_BARE_ADDR = re.compile(rf"""[ \t]*+(?P<uri>[^\s<>",;?]++){PARAMS}""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)

Parameters: TypeAlias = tuple[tuple[str, str | None], ...]
"""Names in lower case with their values as written, quotes taken off; None without `=`."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:` or `sips:` URI. `host` is as given, a literal with its brackets.

    `user` is unescaped and without a password; `text` is what was read.
    """

    text: str
    user: str
    host: str
    port: int | None = None
    params: Parameters = ()
    headers: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def address(self) -> Address | None:
        """The mesh address the host names: `[literal]` in any spelling, `<key>.k`, `<key>.cjdns.alt`."""
        return host_address(self.host)

    @property
    def is_tcp(self) -> bool:
        """Whether the URI asks for TCP (`;transport=tcp`)."""
        return (parameter(self.params, "transport") or "").lower() == "tcp"

    @property
    def port_or_default(self) -> int:
        """The port, 5060 where none is given."""
        return DEFAULT_PORT if self.port is None else self.port


@dataclass(frozen=True, slots=True)
class NameAddr:
    """One value of From, To, Contact, Route: a display name, a URI as text, the header's parameters.

    `display` is unquoted, for showing; control and direction characters in it are U+FFFD.
    """

    display: str
    uri: str
    params: Parameters = ()

    @property
    def sip(self) -> SipUri | None:
        """The URI, if it is a SIP URI that can be read."""
        return sip_uri_or_none(self.uri)

    @property
    def address(self) -> Address | None:
        """The mesh address that the URI names; None if it names none."""
        uri = self.sip
        return None if uri is None else uri.address

    @property
    def tag(self) -> str:
        """The `tag` parameter, empty if there is none (RFC 2543 phones)."""
        return parameter(self.params, "tag") or ""


def parameter(params: Parameters, name: str) -> str | None:
    """The value of the first parameter of this (lower case) name; empty for one without value."""
    for key, value in params:
        if key == name:
            return value or ""
    return None


def parse_params(text: str) -> Parameters:
    """The parameters of a text that is only `;name=value;name` and blanks between them."""
    if not text:
        return ()
    return tuple(
        (name.lower(), unquoted(value) if value[:1] == '"' else value or None)
        for name, value in _PARAM.findall(text)
    )


def parse_uri(text: str) -> SipUri:
    """The SIP URI that `text` is, without anything around it; DecodeError otherwise."""
    user, host, port, params, headers = _match(text).groups()
    name = unquote((user or "").partition(":")[0], errors="replace")
    number = None if port is None else int(port)
    return SipUri(text, name, host, number, _uri_params(params), headers or "")


def _match(text: str) -> re.Match[str]:
    match = _SIP_URI.fullmatch(text) if len(text) <= MAX_URI_CHARS else None
    if match is None:
        raise DecodeError("not a SIP URI")
    port = match["port"]
    if port is not None and not 0 < int(port) < 1 << 16:
        raise DecodeError("port of a URI out of range")
    return match


def sip_uri_or_none(text: str) -> SipUri | None:
    """The SIP URI that `text` is; None for another scheme and for what cannot be read."""
    try:
        return parse_uri(text)
    except DecodeError:
        return None


def check_uri(text: str) -> None:
    """DecodeError unless `text` is a sound SIP URI, or an absolute URI of another scheme."""
    if text[:4].lower() in {"sip:", "sips"}:
        _match(text)
    elif len(text) > MAX_URI_CHARS or _OTHER_URI.fullmatch(text) is None:
        raise DecodeError("not a URI")


def parse_name_addr(text: str) -> NameAddr:
    """`"Name" <uri>;params`, `Name <uri>`, `uri;params`: without brackets the parameters are the header's.

    DecodeError for anything else, for a second value after a comma, and for an unsound URI.
    """
    match = _NAME_ADDR.fullmatch(text)
    if match is not None:
        quoted, words, uri, params = match.groups()
        display = words.strip(" \t") if quoted is None else _unescaped(quoted)
    else:
        match = _BARE_ADDR.fullmatch(text)
        if match is None:
            raise DecodeError("not an address")
        display, (uri, params) = "", match.groups()
    check_uri(uri)
    return NameAddr(printable(display), uri, parse_params(params))


def host_address(host: str) -> Address | None:
    """The mesh address behind the host of a URI or a Via; None if it is another kind of host."""
    if not host.startswith("["):
        return parse_domain(host)
    try:
        address = parse_address(host[1:-1])
    except DecodeError:
        return None
    return address if is_mesh_address(address) else None


def address_literal(address: Address) -> str:
    """`[fc38:ffd::1]`, as SIP writes it: brackets, no tag (docs/apps/sip.md §1)."""
    return f"[{format_address(address)}]"


def printable(text: str) -> str:
    """`text` fit for a terminal: control, zero-width and direction characters become U+FFFD."""
    return _UNSHOWABLE.sub("\ufffd", text)


def quoted(text: str) -> str:
    """`text` as a quoted string."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    """What a quoted string says; any other text as it is."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return _unescaped(text[1:-1]) if is_quoted else text


def format_name_addr(display: str, uri: str, tag: str = "") -> str:
    """`"Name" <uri>;tag=...`; without a name just the brackets."""
    name = f"{quoted(display)} " if display else ""
    return f"{name}<{uri}>" + (f";tag={tag}" if tag else "")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _uri_params(text: str) -> Parameters:
    if not text:
        return ()
    pairs = (one.partition("=") for one in text[1:].split(";"))
    return tuple(
        (unquote(name).lower(), unquote(value) if equals else None) for name, equals, value in pairs
    )
