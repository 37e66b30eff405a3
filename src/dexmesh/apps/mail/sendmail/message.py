"""Read the message a program hands over: where it ends, what is header, who gets it, how it leaves.

Place     program.py -> here -> handing_over.py
Spec      docs/apps/mail.md §4 "Submission" (-t, -i, Bcc); RFC 5322 §3.6.6 (Resent-)
Keeps     literals are read as what they are; Bcc leaves no trace; not more than the limit in memory
Not here  From and what else a header needs (proto/submitting.py)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox, parse_mailboxes
from dexmesh.apps.mail.proto.headers import (
    Field,
    Header,
    TooManyFieldsError,
    make_field,
    parse_header,
    render,
    without,
)
from dexmesh.apps.mail.sendmail.exits import EX_DATAERR, Trouble
from dexmesh.apps.mail.sendmail.options import Options
from dexmesh.errors import AddressError
from dexmesh.values import dataclass

_TO_FIELDS = ("to", "cc", "bcc")
_RESENT_FIELDS = ("resent-to", "resent-cc", "resent-bcc")
_BLIND = frozenset({"bcc", "resent-bcc"})
_MBOX_START = re.compile(rb">?From (?![ \t]*:)[^\r\n]*\r\n")
_EMPTY_LINE = b"\r\n\r\n"
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with CRLF lines."""

    header: Header
    body: bytes

    def rendered(self, fields: Iterable[Field | bytes]) -> bytes:
        """The message under these fields."""
        return render(fields) + self.body


def pieces_of(stream: BinaryIO, *, ignores_dots: bool) -> Iterator[bytes]:
    """The message: all there is, or what stands before a line that is a single dot."""
    is_line_start = True
    while piece := stream.read(_PIECE_BYTES) if ignores_dots else stream.readline(_PIECE_BYTES):
        if not ignores_dots and is_line_start and piece.rstrip(b"\r\n") == b".":
            return
        is_line_start = piece.endswith(b"\n")
        yield piece


def take(pieces: Iterator[bytes], limit: int) -> tuple[bytes, bytes]:
    """What fits into `limit` bytes, cut at a line end if that is not all; and what was read beyond."""
    found, size = list[bytes](), 0
    while size <= limit and (piece := next(pieces, b"")):
        found.append(piece)
        size += len(piece)
    data = b"".join(found)
    if size <= limit:
        return data, b""
    cut = data.rfind(b"\n", 0, limit) + 1
    return data[:cut], data[cut:]


def to_crlf(data: bytes) -> bytes:
    """Every line end as CRLF; the last line has one."""
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def parse_letter(data: bytes) -> Letter:
    """Header and body. The body starts at the first line that is no field: people forget the empty one."""
    text = to_crlf(data)
    if (start := _MBOX_START.match(text)) is not None:  # the message comes out of an mbox
        text = text[start.end() :]
    if text.startswith(b"\r\n"):
        return Letter(Header(()), text[2:])
    head, blank, body = text.partition(_EMPTY_LINE)
    try:
        header = parse_header(head + b"\r\n" if blank else head)
    except TooManyFieldsError as error:
        raise Trouble(EX_DATAERR, f"{error}; nothing was sent") from None
    if header.rest:
        body = header.rest + b"\r\n" + body if blank else header.rest
    return Letter(header, body)


def recipients_of(options: Options, header: Header) -> tuple[str, ...]:
    """Every recipient once, for RCPT. Raises Trouble if there are none, or a word is no address."""
    lists = list(options.recipients)
    if options.takes_from_header:
        names = {field.name for field in header.fields}
        wanted = _TO_FIELDS if names.isdisjoint(_RESENT_FIELDS) else _RESENT_FIELDS
        lists += [field.value for field in header.fields if field.name in wanted]
    found: dict[str, None] = {}
    try:
        for one in lists:
            found |= dict.fromkeys(map(str, parse_mailboxes(one, needs_domain=False)))
    except AddressError as error:
        raise Trouble(EX_DATAERR, f"{error} ({error.hint})") from None
    if not found:
        raise Trouble(EX_DATAERR, "no recipients: name some, or use -t and a To: field")
    return tuple(found)


def outgoing(options: Options, letter: Letter) -> bytes:
    """The message without Bcc; with a From, if -F says how the sender is called and it has none."""
    fields: list[Field | bytes] = list(without(letter.header.fields, _BLIND))
    if options.full_name and letter.header.first("from") is None:
        name = _encoded(options.full_name)
        sender = parse_mailbox(options.sender or login_name(), needs_domain=False)
        fields.insert(0, make_field("From", Mailbox(sender.local, sender.domain, name).formatted()))
    return letter.rendered(fields)


def _encoded(name: str) -> str:
    """A name as it may stand in a header: one short line, RFC 2047 where it is not ASCII."""
    from email.header import Header as Encoder

    text = name.encode("utf-8", "replace").decode()
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:64]
    return text if text.isascii() else Encoder(text, "utf-8").encode(maxlinelen=0)


def login_name() -> str:
    """Who we are on this machine."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "postmaster"
