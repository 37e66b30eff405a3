"""Take an mbox apart: where messages begin, what programs wrote down about them; and put it together.

Place     imap/mbox.py has the bytes -> here
Spec      RFC 4155 (mboxrd quoting); Status and X-Status as mutt, alpine and s-nail write them
Keeps     what programs change on a message is no part of it: its bytes and its name stay the same
          whoever reads it; linear in the bytes
Not here  the file and its locks (imap/mbox.py, store/mbox.py)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from dexmesh.apps.mail.proto.parts import header_fields
from dexmesh.values import dataclass

MAX_SEPARATOR_BYTES = 1000  # ours: a From line
MARK = b"x-dexmesh-delivery"  # on top of what we delivered ourselves (store/mbox.py)
VOLATILE = frozenset(
    (b"status", b"x-status", b"x-keywords", b"x-uid", b"x-imap", b"x-imapbase")
) | {
    b"content-length",
    b"lines",
}
"""Fields that programs add and change as they like."""

_START = b"\nFrom "
_SEPARATOR = re.compile(rb"From [^\n]*\d:\d\d")
_DATE = re.compile(
    rb" ([A-Z][a-z]{2}) +(\d{1,2}) +(\d{1,2}):(\d\d)(?::(\d\d))?(?: [A-Z+-][^ \n]*)? +(\d{4})\b"
)
_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_STATUS = ((b"Status", {"R": "S"}), (b"X-Status", {"A": "R", "F": "F", "T": "D", "D": "T"}))
"""Which letter there is which flag of a Maildir."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a header says. `name` is the same as long as the message is; `letters` are Maildir's.

    `is_ours`: we delivered it, so that its body is quoted without loss.
    """

    name: str
    letters: str
    is_old: bool
    is_ours: bool
    is_internal: bool  # a note of alpine for itself, no message


def starts(pieces: Iterable[bytes]) -> Iterator[int]:
    """Where messages begin (at their From line) in a file that comes in pieces."""
    data, base = b"\n\n", -2  # the begin of the file counts as an empty line
    for piece in pieces:
        data += piece
        at = 0
        while (at := data.find(_START, at)) >= 0:
            end = data.find(b"\n", at + len(_START))
            if end < 0 and len(data) - at <= MAX_SEPARATOR_BYTES:
                break  # the rest of the line is in the next piece
            if _is_start(data, at, end):
                yield base + at + 1
            at += 1
        kept = max(0, (at if at >= 0 else len(data) - len(_START)) - 2)
        data, base = data[kept:], base + kept


def _is_start(data: bytes, at: int, end: int) -> bool:
    """Whether a From line after an empty line begins behind `at`."""
    is_after_blank = data[at - 1 : at] == b"\n" or data[at - 2 : at] == b"\n\r"
    is_short = 0 <= end - at <= MAX_SEPARATOR_BYTES
    return is_after_blank and is_short and _SEPARATOR.match(data, at + 1, end) is not None


def date_of(separator: bytes) -> tuple[int, int, int, int, int, int] | None:
    """Year, month, day, hour, minute and second in a From line."""
    found = _DATE.search(separator)
    month = -1 if found is None else _MONTHS.find(found[1])
    if found is None or month < 0 or month % 3:
        return None
    day, hour, minute, second, year = (int(found[at] or 0) for at in (2, 3, 4, 5, 6))
    return year, month // 3 + 1, day, hour, minute, second


def read_head(header: bytes) -> Head:
    """What the header of a message says, its empty line included."""
    status = {b"Status": "", b"X-Status": ""}
    is_ours = is_internal = False
    for name, (start, stop) in header_fields(header, (0, len(header))):
        if name in (b"status", b"x-status"):
            title = b"Status" if name == b"status" else b"X-Status"
            status[title] += header[start:stop].partition(b":")[2][:100].decode("ascii", "replace")
        is_ours |= name == MARK
        is_internal |= name in (b"x-imap", b"x-imapbase")
    letters = {flags[one] for title, flags in _STATUS for one in status[title] if one in flags}
    is_note = b"DON'T DELETE THIS MESSAGE" in header
    lasting = _without(header, VOLATILE).rstrip(b"\r\n")  # our mark, too: what comes back is new
    return Head(
        hashlib.blake2b(lasting, digest_size=16).hexdigest(),
        "".join(sorted(letters)),
        "O" in status[b"Status"],
        is_ours,
        is_internal and is_note,
    )


def bare_header(header: bytes) -> bytes:
    """The header as its sender meant it: without what programs keep there for themselves."""
    return _without(header, VOLATILE | {MARK})


def marked_header(header: bytes, letters: str) -> bytes:
    """The header with these flags on it, and no longer new."""
    bare = _without(header, frozenset((b"status", b"x-status")))
    end = b"\r\n" if bare.endswith(b"\r\n") else b"\n"
    blank = end if bare.endswith((b"\n\n", b"\r\n\r\n")) or bare == end else b""
    bare = bare[: len(bare) - len(blank)]
    if bare and not bare.endswith(b"\n"):
        bare += end
    for title, flags in _STATUS:
        told = "".join(sorted(one for one, letter in flags.items() if letter in letters))
        told += "O" if title == b"Status" else ""
        if told:
            bare += b"%s: %s%s" % (title, told.encode(), end)
    return bare + (blank or end)


def _without(header: bytes, names: frozenset[bytes]) -> bytes:
    kept, at = [], 0
    for name, (start, stop) in header_fields(header, (0, len(header))):
        if name in names:
            kept.append(header[at:start])
            at = stop
    return b"".join((*kept, header[at:]))


def unquoted(body: bytes) -> bytes:
    """The body of a message that was quoted without loss."""
    return _QUOTED.sub(rb"\1", body)


def quoted(body: bytes) -> bytes:
    """The body as it may stand in an mbox."""
    return _TO_QUOTE.sub(rb">\1", body)
