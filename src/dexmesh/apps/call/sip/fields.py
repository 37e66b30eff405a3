"""Read the values of single fields: Via, CSeq, numbers, media types, dates.

Place     message.py -> here; transaction.py writes a Via of its own
Spec      RFC 3261 §20.16 (CSeq), §20.42 (Via), §18.1.1 (sent-by), §25.1; RFC 3581 (rport)
Keeps     nothing but DecodeError is raised; blanks and any case are taken where RFC 3261 allows
Not here  addresses (uri.py)
"""

from __future__ import annotations

import re
from typing import Final

from dexmesh.apps.call.sip.uri import (
    DEFAULT_PORT,
    PARAMS,
    Parameters,
    address_literal,
    host_address,
    parameter,
    parse_params,
    quoted,
)
from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAGIC_COOKIE: Final = "z9hG4bK"  # RFC 3261 §8.1.1.7
MAX_CSEQ: Final = (1 << 31) - 1  # RFC 3261 §8.1.1.5
MAX_FORWARDS: Final = 255  # RFC 3261 §20.22


_WORD = r"[A-Za-z0-9.!%*_+`'~-]++"
_VIA = re.compile(
    rf"SIP[ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+({_WORD})[ \t]++"
    rf"(\[[0-9A-Fa-f:.]++\]|[\w.-]++)(?:[ \t]*+:[ \t]*+(\d{{1,5}}))?{PARAMS}",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_CSEQ = re.compile(rf"(\d{{1,20}})[ \t]++({_WORD})", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_CALL_ID = re.compile(r"[!-~]{1,255}")
_MEDIA_TYPE = re.compile(rf"({_WORD})[ \t]*+/[ \t]*+({_WORD}){PARAMS}", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Via:
    """One hop. `transport` in upper case; `host` as given, a literal with its brackets."""

    transport: str
    host: str
    port: int | None = None
    params: Parameters = ()

    @property
    def branch(self) -> str:
        """What names the transaction; empty if there is none."""
        return parameter(self.params, "branch") or ""

    @property
    def address(self) -> Address | None:
        """The mesh address the host names, if it names one."""
        return host_address(self.host)

    @property
    def port_or_default(self) -> int:
        """The port that answers would go to without rport."""
        return DEFAULT_PORT if self.port is None else self.port

    def with_source(self, address: Address, port: int) -> Via:
        """The same with `received` and `rport` telling where the message came from (RFC 3581 §4)."""
        told = {"received", "rport"}
        kept = tuple(pair for pair in self.params if pair[0] not in told)
        source = (("received", address_literal(address)[1:-1]), ("rport", str(port)))
        return Via(self.transport, self.host, self.port, kept + source)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        params = "".join(
            f";{name}" if value is None else f";{name}={_token_or_quoted(value)}"
            for name, value in self.params
        )
        return f"SIP/2.0/{self.transport} {self.host}{port}{params}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """The number of a request in its dialog, and its method."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class MediaType:
    """`text/plain;charset=UTF-8`: type and subtype in lower case."""

    kind: str
    params: Parameters = ()

    @property
    def charset(self) -> str:
        """The charset in lower case; UTF-8 where none is named (RFC 3261 §25.1, docs/apps/sip.md §2)."""
        return (parameter(self.params, "charset") or "utf-8").lower()


def parse_via(text: str) -> Via:
    """One Via value, already split from its list; DecodeError if it is none."""
    match = _VIA.fullmatch(text)
    if match is None:
        raise DecodeError("not a Via")
    transport, host, port, params = match.groups()
    if port is not None and not 0 < int(port) < 1 << 16:
        raise DecodeError("port of a Via out of range")
    return Via(transport.upper(), host, None if port is None else int(port), parse_params(params))


def parse_cseq(text: str) -> CSeq:
    """`314159 INVITE`; DecodeError otherwise and above 2**31 - 1."""
    match = _CSEQ.fullmatch(text)
    if match is None or int(match[1]) > MAX_CSEQ:
        raise DecodeError("not a CSeq")
    return CSeq(int(match[1]), match[2])


def parse_number(text: str, most: int) -> int:
    """Digits only, at most `most`; DecodeError otherwise."""
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        raise DecodeError("not a number in range")
    return int(text)


def parse_call_id(text: str) -> str:
    """Any printable ASCII without blanks; DecodeError otherwise."""
    if _CALL_ID.fullmatch(text) is None:
        raise DecodeError("not a Call-ID")
    return text


def parse_media_type(text: str) -> MediaType:
    """The value of Content-Type; DecodeError if it is none."""
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None:
        raise DecodeError("not a media type")
    return MediaType(f"{match[1]}/{match[2]}".lower(), parse_params(match[3]))


def _token_or_quoted(value: str) -> str:
    is_plain = value and not any(character in ' \t;",<>' for character in value)
    return value if is_plain else quoted(value)
