"""Read the body of a MESSAGE: a text, a text in CPIM, or a receipt.

Place     texts.py -> here
Spec      RFC 3428 (MESSAGE), RFC 3862 (CPIM), RFC 5438 (IMDN); docs/apps/sip.md §3 "SIP subset" (MESSAGE)
Keeps     nothing raises, no XML parser runs, work is linear; no control character but tab and line
          end gets into a text
Not here  who may send it, and what is answered (texts.py)
"""

from __future__ import annotations

import re
from typing import Final

from dexmesh.apps.call.phone.values import ReceiptState
from dexmesh.apps.call.sip.fields import MediaType, parse_media_type
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.uri import NameAddr, parse_name_addr
from dexmesh.errors import DecodeError
from dexmesh.values import dataclass

PLAIN: Final = "text/plain"
CPIM: Final = "message/cpim"
IMDN: Final = "message/imdn+xml"
TEXT_TYPE: Final[Field] = ("Content-Type", "text/plain;charset=UTF-8")
ACCEPT_TEXT: Final[Field] = ("Accept", f"{PLAIN}, {CPIM}, {IMDN}")
MAX_ID_CHARS: Final = 255  # ours
MAX_IMDN_BYTES: Final = 8192  # ours
MAX_CPIM_FIELDS: Final = 64  # ours

_CHARSETS: Final = {
    "utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8",
    "iso-8859-1": "iso-8859-1", "iso-8859-15": "iso-8859-15", "latin1": "iso-8859-1",
    "windows-1252": "cp1252", "utf-16": "utf-16",
}  # fmt: skip
_MESSAGE_ID = re.compile(rb"<(?:\w+:)?message-id>\s*([^<\s]{1,255})\s*</")
_STATUS = re.compile(
    rb"<(?:\w+:)?(delivered|displayed|failed|error|forbidden|processed|stored)\s*/?>"
)
_STATES: Final = {
    b"delivered": ReceiptState.DELIVERED,
    b"displayed": ReceiptState.DISPLAYED,
    b"failed": ReceiptState.FAILED,
    b"error": ReceiptState.FAILED,
    b"forbidden": ReceiptState.FAILED,
}
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Text:
    """A text. `message_id` and `claimed` (From) are what a CPIM envelope says, if there is one."""

    text: str
    message_id: str = ""
    claimed: NameAddr | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of the text with this id; `state` None for a receipt that says nothing new."""

    message_id: str
    state: ReceiptState | None
    claimed: NameAddr | None = None


def read_content(kind: MediaType, body: bytes) -> Text | Receipt | None:
    """What the body says; None if it is of a type, or in a charset, that we do not read."""
    if kind.kind == CPIM:
        return _read_cpim(body)
    return _read_simple(kind, body)


def _read_simple(kind: MediaType, body: bytes) -> Text | Receipt | None:
    if kind.kind == PLAIN:
        codec = _CHARSETS.get(kind.charset)
        return None if codec is None else Text(clean(body.decode(codec, "replace")))
    if kind.kind == IMDN and len(body) <= MAX_IMDN_BYTES:
        return _read_imdn(body)
    return None


def clean(text: str) -> str:
    """The text with LF as line end, and without what a terminal would obey."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("\N{REPLACEMENT CHARACTER}", text)


def _read_cpim(body: bytes) -> Text | Receipt | None:
    """The envelope's own fields, then those of the content, then the content (RFC 3862 §2)."""
    parts = _EMPTY_LINE.split(body, maxsplit=2)
    if len(parts) != 3:
        return None
    outer, inner = _fields(parts[0]), _fields(parts[1])
    try:
        kind = parse_media_type(inner.get("content-type", "text/plain;charset=utf-8"))
        claimed = parse_name_addr(outer["from"]) if "from" in outer else None
    except DecodeError:
        return None
    found = _read_simple(kind, parts[2])
    if isinstance(found, Text):
        return Text(found.text, _message_id(outer), claimed)
    return None if found is None else Receipt(found.message_id, found.state, claimed)


def _fields(block: bytes) -> dict[str, str]:
    """The first value of each field, names in lower case and without their namespace."""
    found: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").splitlines()[:MAX_CPIM_FIELDS]:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower().rpartition(".")[2], value.strip())
    return found


def _message_id(fields: dict[str, str]) -> str:
    value = fields.get("message-id", "")
    is_sound = len(value) <= MAX_ID_CHARS and value.isascii() and value.isprintable()
    return value if is_sound and " " not in value else ""


def _read_imdn(body: bytes) -> Receipt | None:
    """By the two elements that matter; a document that defines entities is none of ours."""
    found, status = _MESSAGE_ID.search(body), _STATUS.search(body)
    if b"<!" in body or found is None or status is None:
        return None
    try:
        return Receipt(found[1].decode("ascii"), _STATES.get(status[1]))
    except UnicodeDecodeError:
        return None
