"""Answer FETCH: one line after the other, each message loaded when its turn comes.

Place     connection.py has the messages a client asked for -> here -> connection.py writes the pieces
Spec      RFC 3501 §6.4.5 and §7.4.2
Keeps     memory for one message at a time, however many are asked for; nothing is copied to be cut
Not here  where messages come from (content.py), what they look like (structure.py)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from pymap.exceptions import NotSupportedError
from pymap.parsing.response import UntaggedResponse
from pymap.parsing.specials import FetchAttribute

from dexmesh.apps.mail.imap.content import GONE, Content, Contents, Need
from dexmesh.apps.mail.imap.structure import body_structure, envelope, section

if TYPE_CHECKING:
    from pymap.flags import SessionFlags

    from dexmesh.apps.mail.imap.backend import Message

Piece: TypeAlias = bytes | memoryview

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HEADER_ONLY = frozenset({b"HEADER", b"HEADER.FIELDS", b"HEADER.FIELDS.NOT"})
_BODIES = frozenset({b"BODY", b"BODY.PEEK", b"RFC822", b"RFC822.HEADER", b"RFC822.TEXT"})
_SIMPLE = frozenset({b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"})


class FetchLines(UntaggedResponse):
    """The answer to one FETCH command, made while it is written."""

    def __init__(
        self,
        messages: Iterable[tuple[int, Message]],
        attributes: Sequence[FetchAttribute],
        session_flags: SessionFlags,
        contents: Contents,
    ) -> None:
        super().__init__()
        self._messages = messages
        self._attributes = attributes
        self._session_flags = session_flags
        self._contents = contents
        self._need = max((_need(one) for one in attributes), default=Need.NOTHING)
        self._wants_size = any(one.value == b"RFC822.SIZE" for one in attributes)

    async def pieces(self) -> AsyncIterator[list[Piece]]:
        """Line by line, each in pieces; a piece may lie in the message itself."""
        for number, message in self._messages:
            if message.expunged:
                continue
            if self._need is Need.NOTHING and not self._wants_size:
                yield self._line(number, message, GONE)
                continue
            loading = self._contents.load(
                message.box, message.uid, self._need, wants_size=self._wants_size
            )
            async with loading as content:
                yield self._line(number, message, content)

    def _line(self, number: int, message: Message, content: Content) -> list[Piece]:
        pieces: list[Piece] = [b"* %d FETCH (" % number]
        for count, attribute in enumerate(self._attributes):
            if count:
                pieces.append(b" ")
            pieces += self._item(attribute, message, content)
        pieces.append(b")\r\n")
        return pieces

    def _item(self, attribute: FetchAttribute, message: Message, content: Content) -> list[Piece]:
        name = attribute.value
        if name == b"UID":
            return [b"UID %d" % message.uid]
        if name == b"FLAGS":
            return [flags_item(message, self._session_flags)]
        if name == b"INTERNALDATE":
            return [b'INTERNALDATE "%b"' % internal_date(message.internal_date)]
        if name == b"RFC822.SIZE":
            return [b"RFC822.SIZE %d" % content.size]
        if name == b"ENVELOPE":
            return [b"ENVELOPE ", envelope(content.data, content.tree)]
        if name == b"BODYSTRUCTURE" or (name == b"BODY" and attribute.section is None):
            is_extended = name == b"BODYSTRUCTURE"
            shown = body_structure(content.data, content.tree, is_extended=is_extended)
            return [name, b" ", shown]
        return _section_item(attribute, content)


def flags_item(message: Message, session_flags: SessionFlags) -> bytes:
    """`FLAGS (...)` of a message."""
    flags = sorted(message.get_flags(session_flags))
    return b"FLAGS (%b)" % b" ".join(flag.value for flag in flags)


def internal_date(when: datetime) -> bytes:
    """IMAP's date-time, without the month names of a locale."""
    text = when.strftime(f"%d-{_MONTHS[when.month - 1]}-%Y %H:%M:%S %z")
    return text.encode("ascii", "replace")


def _section_item(attribute: FetchAttribute, content: Content) -> list[Piece]:
    asked = attribute.section
    if asked is None:
        raise NotSupportedError("That part of a message cannot be fetched.")
    names = frozenset(name.strip(b'"').lower() for name in asked.headers or ())
    found = section(content.data, content.tree, asked.parts, asked.specifier or b"", names)
    label = bytes(attribute.for_response)
    if found is None:
        return [label, b" NIL"]
    if attribute.partial is not None:
        start, length = attribute.partial.start, attribute.partial.length
        found = found[start:] if length is None else found[start : start + length]
    return [label, b" {%d}\r\n" % len(found), found]


def _need(attribute: FetchAttribute) -> Need:
    name, asked = attribute.value, attribute.section
    if name in _SIMPLE:
        return Need.NOTHING
    if name == b"ENVELOPE":
        return Need.HEADER
    if name == b"BODYSTRUCTURE":
        return Need.WHOLE
    if name not in _BODIES:
        raise NotSupportedError(f"FETCH {name.decode('ascii', 'replace')} is not offered.")
    is_header = asked is not None and not asked.parts and asked.specifier in _HEADER_ONLY
    return Need.HEADER if is_header else Need.WHOLE
