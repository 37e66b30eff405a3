"""Write a message: header, text, attachments.

Place     sending_calls.py hands in what a person wrote -> here -> submission
Spec      RFC 5322 §3.6, RFC 2045 §6, RFC 2047 §2, RFC 2231 §4, RFC 2183
Keeps     lines are ASCII, end in CRLF and are never longer than 998; no value can begin another field;
          date, message id and boundary come in as arguments
Not here  which addresses (contacts/), what a submission adds (submission.py)
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.values import dataclass

MAX_LINE_BYTES = 998  # RFC 5322 §2.1.1
MAX_SUBJECT_CHARS = 2000  # ours
_WORD_BYTES = 42  # RFC 2047 §2: 75 characters an encoded word
_FOLD_CHARS = 76
_MAX_REFERENCES = 20  # ours: the newest, and the first

_TOKEN = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}")
_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")
_FIELD_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
_ID = re.compile(r"<[!-;=?-~]{1,250}>")


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that goes along."""

    name: str
    media: str  # "image/png"; anything else becomes application/octet-stream
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """What a person wrote, and to whom. `headers` are further fields, `references` message ids."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str
    cc: tuple[Mailbox, ...] = ()
    attached: tuple[Attached, ...] = ()
    references: tuple[str, ...] = ()  # oldest first; the last one is answered
    headers: tuple[tuple[str, str], ...] = ()


def compose(letter: Letter, *, date: datetime, message_id: str, boundary: str) -> bytes:
    """The whole message. `boundary` must occur nowhere in it: make it random."""
    references = [one for one in letter.references if _ID.fullmatch(one)]
    fields = [
        _people("From", (letter.sender,)),
        _people("To", letter.to),
        _people("Cc", letter.cc),
        _text("Subject", letter.subject[:MAX_SUBJECT_CHARS]),
        _field("Date", format_datetime(date)),
        _field("Message-ID", message_id),
    ]
    if references:
        kept = references if len(references) <= _MAX_REFERENCES else references[:1]
        kept = [*kept, *references[1 - _MAX_REFERENCES :]] if kept != references else kept
        fields += [_field("In-Reply-To", references[-1]), _field("References", "\r\n\t".join(kept))]
    fields += [_text(name, value) for name, value in letter.headers if _FIELD_NAME.fullmatch(name)]
    head = "".join(fields) + "MIME-Version: 1.0\r\n"
    return head.encode("ascii", "replace") + _body(letter, boundary)


def _body(letter: Letter, boundary: str) -> bytes:
    text = _text_part(letter.text)
    if not letter.attached:
        return text
    line = f"--{boundary}".encode()
    kind = f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode()
    parts = [text, *(_file_part(one) for one in letter.attached)]
    return kind + b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"


def _text_part(text: str) -> bytes:
    text = "\n".join(text.splitlines()) + "\n" if text else ""
    data = text.encode("utf-8", "replace")
    is_plain = data.isascii() and all(len(line) < MAX_LINE_BYTES for line in data.split(b"\n"))
    is_plain = is_plain and b"\0" not in data
    if not is_plain:
        data = binascii.b2a_qp(data, istext=True)
    charset, encoding = ("us-ascii", "7bit") if is_plain else ("utf-8", "quoted-printable")
    head = (
        f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    )
    return head.encode() + b"\r\n" + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _file_part(one: Attached) -> bytes:
    media = one.media if _MEDIA.fullmatch(one.media) else "application/octet-stream"
    if media.split("/")[0] in ("multipart", "message"):  # these would not be base64
        media = "application/octet-stream"
    head = (
        f"Content-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n\t{_file_name(one.name)}\r\n\r\n"
    )
    return head.encode() + base64.encodebytes(one.content).replace(b"\n", b"\r\n").removesuffix(
        b"\r\n"
    )


def _file_name(name: str) -> str:
    name = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name)[:120] or "file"
    if _TOKEN.fullmatch(name):
        return f"filename={name}"
    if name.isascii():
        return 'filename="{}"'.format(name.replace('"', "_"))
    return f"filename*=utf-8''{urllib.parse.quote(name.encode('utf-8', 'replace'), safe='')}"


def _people(field: str, people: Iterable[Mailbox]) -> str:
    shown = ",\r\n\t".join(_mailbox(one) for one in people)
    return f"{field}: {shown}\r\n" if shown else ""


def _mailbox(one: Mailbox) -> str:
    if not one.name or (one.name.isascii() and one.name.isprintable()):
        return one.formatted()
    return f"{' '.join(_words(one.name))} <{Mailbox(one.local, one.domain)}>"


def _field(name: str, value: str) -> str:
    return f"{name}: {value}\r\n"


def _text(name: str, value: str) -> str:
    """A field with free text; what is no plain ASCII, or too long for a line, in encoded words."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if flat.isascii() and "=?" not in flat:
        return _field(name, _folded(flat, _FOLD_CHARS - len(name) - 2))
    return _field(name, "\r\n ".join(_words(flat)))


def _folded(text: str, room: int) -> str:
    """The text on lines of about 76 characters, cut at blanks; a long word stays whole, up to a limit."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = word, _FOLD_CHARS
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return "\r\n ".join(lines) if max(map(len, lines)) < 900 else "\r\n ".join(_words(text))


def _words(text: str) -> list[str]:
    """The text as encoded words, none cutting a character."""
    chunks: list[bytes] = [b""]
    for char in text:
        data = char.encode("utf-8", "replace")
        if len(chunks[-1]) + len(data) > _WORD_BYTES:
            chunks.append(b"")
        chunks[-1] += data
    return [f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks]
