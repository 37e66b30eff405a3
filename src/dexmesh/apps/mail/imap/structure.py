"""Describe a message the way IMAP clients ask for it: envelope, structure, and sections by number.

Place     content.py has the bytes and their parts -> here -> fetch.py writes it
Spec      RFC 3501 §6.4.5 (sections), §7.4.2 (ENVELOPE, BODYSTRUCTURE)
Keeps     never raises for what a sender wrote; every string is a legal nstring or literal
Not here  finding the parts (proto/parts.py)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from dexmesh.apps.base.mailbox import Mailbox, readable_mailboxes
from dexmesh.apps.mail.proto.parts import (
    Part,
    field_value,
    field_values,
    header_fields,
    parse_parameters,
)

MOST_ADDRESSES = 200  # ours, shown of one field in an envelope
_QUOTABLE = re.compile(rb"[\x20-\x7e\t]*")
_ENCODINGS = frozenset({"7bit", "8bit", "binary", "base64", "quoted-printable"})


def quoted(text: str | None) -> bytes:
    """An IMAP nstring."""
    if text is None:
        return b"NIL"
    data = text.encode("utf-8", "surrogateescape").replace(b"\0", b"")
    if _QUOTABLE.fullmatch(data) and len(data) <= 1000:
        return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n" % len(data) + data


def parenthesised(items: Iterable[bytes]) -> bytes:
    """An IMAP list."""
    return b"(" + b" ".join(items) + b")"


# ENVELOPE


def envelope(data: bytes, part: Part) -> bytes:
    """The ENVELOPE of a message."""
    senders = _addresses(data, part, b"from")

    def text(name: bytes) -> bytes:
        return quoted(field_value(data, part.header, name) or None)

    def people(name: bytes, default: bytes = b"NIL") -> bytes:
        found = _addresses(data, part, name)
        return default if found == b"NIL" else found

    return parenthesised(
        [
            text(b"date"),
            text(b"subject"),
            senders,
            people(b"sender", senders),
            people(b"reply-to", senders),
            people(b"to"),
            people(b"cc"),
            people(b"bcc"),
            text(b"in-reply-to"),
            text(b"message-id"),
        ]
    )


def _addresses(data: bytes, part: Part, name: bytes) -> bytes:
    found: list[Mailbox] = []
    for value in field_values(data, part.header, name)[:MOST_ADDRESSES]:
        found += readable_mailboxes(value)
    if not found:
        return b"NIL"
    return b"(" + b"".join(_address(one) for one in found[:MOST_ADDRESSES]) + b")"


def _address(one: Mailbox) -> bytes:
    name = quoted(one.name or None)
    return parenthesised([name, b"NIL", quoted(one.local), quoted(one.domain or "localhost")])


# BODYSTRUCTURE


def body_structure(data: bytes, part: Part, *, is_extended: bool) -> bytes:
    """The BODY or, extended, the BODYSTRUCTURE of a part."""
    media, _, subtype = part.media.partition("/")
    if part.is_multipart:
        inside = b"".join(body_structure(data, one, is_extended=is_extended) for one in part.parts)
        items = [inside, quoted(subtype)]
        if is_extended:
            items.append(_parameters(part.parameters))
        return parenthesised(items + (_extension(data, part) if is_extended else []))
    if media == "multipart" or (part.media == "message/rfc822" and not part.parts):
        media, subtype = "application", "octet-stream"  # without parts it is none
    return _single(data, part, media, subtype, is_extended)


def _single(data: bytes, part: Part, media: str, subtype: str, is_extended: bool) -> bytes:
    encoding = field_value(data, part.header, b"content-transfer-encoding").lower()
    items = [
        quoted(media),
        quoted(subtype),
        _parameters(part.parameters),
        quoted(field_value(data, part.header, b"content-id") or None),
        quoted(field_value(data, part.header, b"content-description") or None),
        quoted(encoding if encoding in _ENCODINGS else "7bit"),
        b"%d" % (part.body[1] - part.body[0]),
    ]
    lines = b"%d" % data.count(b"\n", *part.body)
    inner = part.message
    if inner is not None:
        items += [envelope(data, inner)]
        items += [body_structure(data, inner, is_extended=is_extended), lines]
    elif media == "text":
        items.append(lines)
    if is_extended:
        items += [b"NIL", *_extension(data, part)]
    return parenthesised(items)


def _extension(data: bytes, part: Part) -> list[bytes]:
    value = field_value(data, part.header, b"content-disposition")
    kind, parameters = parse_parameters(value, "")
    disposition = parenthesised([quoted(kind), _parameters(parameters)]) if kind else b"NIL"
    language = quoted(field_value(data, part.header, b"content-language") or None)
    location = quoted(field_value(data, part.header, b"content-location") or None)
    return [disposition, language, location]


def _parameters(parameters: Mapping[str, str]) -> bytes:
    if not parameters:
        return b"NIL"
    return parenthesised(
        quoted(text) for item in parameters.items() for text in (item[0], _ascii(item[1]))
    )


def _ascii(value: str) -> str:
    """A parameter decoded from RFC 2231 goes out as an encoded word: clients read that."""
    if value.isascii():
        return value
    import base64

    return f"=?utf-8?b?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="


# Sections


def find_section(tree: Part, numbers: Sequence[int]) -> Part | None:
    """The part with these numbers; None if there is none. No numbers: the message itself."""
    part = tree
    for depth, number in enumerate(numbers):
        entity = tree if depth == 0 else part.message
        if entity is not None:
            inside = entity.parts if entity.is_multipart else (entity,)
        else:
            inside = part.parts if part.is_multipart else ()
        if number > len(inside):
            return None
        part = inside[number - 1]
    return part


def section(
    data: bytes, tree: Part, numbers: Sequence[int], specifier: bytes, names: frozenset[bytes]
) -> memoryview | bytes | None:
    """What `BODY[numbers.specifier (names)]` stands for; None if there is no such part."""
    part = find_section(tree, numbers)
    if part is None:
        return None
    view = memoryview(data)
    if specifier == b"MIME":
        return view[slice(*part.header)]
    if not specifier:
        return view[slice(*part.body)] if numbers else view
    entity = part.message if numbers else part
    if entity is None:
        return None
    if specifier == b"TEXT":
        return view[slice(*entity.body)]
    if specifier == b"HEADER":
        return view[slice(*entity.header)]
    wants = specifier == b"HEADER.FIELDS"
    chosen = [
        data[slice(*place)]
        for name, place in header_fields(data, entity.header)
        if (name in names) == wants
    ]
    return b"".join(chosen) + b"\r\n"
