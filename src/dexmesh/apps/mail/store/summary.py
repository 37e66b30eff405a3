"""Read from the start of a message what a list shows of it.

Place     reader.py hands in the first bytes of a file -> here -> Summary
Spec      RFC 5322 §3.6, RFC 2047, RFC 8601; docs/apps/mail.md §4 "show From differs"
Keeps     never raises, whatever the bytes are; every text is one bounded line a terminal may print
Not here  the whole message (proto/parts.py, reading.py)
"""

from __future__ import annotations

import re

from dexmesh.apps.mail.proto.parts import decode_words, header_end, header_fields, unfold
from dexmesh.apps.mail.store.maildir import Entry
from dexmesh.apps.mail.store.values import Summary
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address, is_mesh_address, parse_address

HEAD_BYTES = 64 << 10  # ours: of a message, looked at for a list
MAX_TEXT_CHARS = 500  # ours: of each field
_OUR_FIELDS = (
    4  # what the receiver wrote is on top: what a sender wrote further down is only his word
)
_REMOTE = re.compile(r"\bx-mesh=pass\s+smtp\.remote-ip=([0-9a-fA-F:]{2,45})(?![\w:.])")
_WANTED = frozenset({b"from", b"to", b"subject", b"date", b"message-id"})


def summarize(entry: Entry, folder: str, head: bytes, size: int, unix_time: float) -> Summary:
    """The line for a message whose first bytes are `head`."""
    texts: dict[bytes, str] = {}
    remote: Address | None = None
    is_from_other = False
    span = (0, header_end(head, 0, len(head)))
    for number, (name, (start, stop)) in enumerate(header_fields(head, span)):
        if name in _WANTED:
            texts.setdefault(name, _text(head[start:stop]))
        elif number < _OUR_FIELDS and name == b"authentication-results":
            remote = remote or _remote(_text(head[start:stop]))
        elif number < _OUR_FIELDS and name == b"x-mesh-from-differs":
            is_from_other = True
    return Summary(
        key=entry.key,
        folder=folder,
        from_text=texts.get(b"from", ""),
        to_text=texts.get(b"to", ""),
        subject=texts.get(b"subject", ""),
        unix_time=unix_time,
        date_text=texts.get(b"date", ""),
        size=size,
        flags=entry.flags,
        is_unread=entry.is_unread,
        remote=remote,
        is_from_other=is_from_other,
        message_id=texts.get(b"message-id", ""),
    )


def remote_of(head: bytes) -> Address | None:
    """The node a stored mail came from, as our receiver wrote it down."""
    span = (0, header_end(head, 0, len(head)))
    for number, (name, (start, stop)) in enumerate(header_fields(head, span)):
        if number >= _OUR_FIELDS:
            break
        if name == b"authentication-results":
            return _remote(_text(head[start:stop]))
    return None


def _text(raw: bytes) -> str:
    value = decode_words(unfold(raw.partition(b":")[2][: 8 * MAX_TEXT_CHARS]))
    flat = " ".join(value.split())[:MAX_TEXT_CHARS]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in flat)


def _remote(results: str) -> Address | None:
    match = _REMOTE.search(results)
    if match is None:
        return None
    try:
        address = parse_address(match[1])
    except DecodeError:
        return None
    return address if is_mesh_address(address) else None
