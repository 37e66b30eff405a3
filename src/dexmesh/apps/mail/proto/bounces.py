"""Write the reports a sender gets: not delivered, still waiting, handed on; read our own again.

Place     reports.py hands in what the queue's tables say -> here -> bytes for the store;
          sending_calls.py asks what a report says
Spec      docs/apps/mail.md §4 Queue; RFC 3464, RFC 3461 §4.1 and §6, RFC 3834 (Auto-Submitted)
Keeps     the same rows give the same bytes, so that a report told twice is one report; lines are
          CRLF; nothing of the original's body is in it unless its sender asked for that
Not here  who gets a report and when (queue/reports.py), headers of other mail (headers.py)
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from email.header import Header as EncodedWords
from email.utils import formatdate
from enum import Enum

from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.mail.proto.headers import TooManyFieldsError, parse_header
from dexmesh.errors import AddressError
from dexmesh.values import dataclass

MAX_HEADERS_BYTES = 32 * 1024  # ours: how much of the original's header is quoted
MAX_FULL_BYTES = 256 * 1024  # ours: a longer original is quoted by its header, even for RET=FULL

_TOO_LONG = re.compile(rb"([^\r\n]{900})[^\r\n]+")  # RFC 5322 §2.1.1: 998 are allowed
_BAD = re.compile(r"[\x00-\x1f\x7f]+")
_FAILED = re.compile(
    rb"^Final-Recipient: [a-z0-9-]+; (.+?)\r?\nAction: failed\r?\nStatus: .*\r?\n"
    rb"(?:Remote-MTA: .*\r?\n)?Diagnostic-Code: [a-z-]+; (.*?)\r?$",
    re.MULTILINE,
)


def failures_in(report: bytes) -> list[tuple[Mailbox, str]]:
    """Who did not get a mail, and why, as a report of ours says it."""
    found = []
    for mailbox, reason in _FAILED.findall(report):
        with suppress(AddressError):
            one = parse_mailbox(mailbox.decode("utf-8", "replace"))
            found.append((one, reason.decode("utf-8", "replace")))
    return found


class Action(Enum):
    """RFC 3464 §2.3.3, as far as it happens here."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


_SUBJECTS = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Still waiting",
    Action.RELAYED: "Handed on",
}
_OPENINGS = {
    Action.FAILED: "Your mail could not be delivered to",
    Action.DELAYED: "Your mail could not be delivered yet. It waits for",
    Action.RELAYED: "The node of the recipient has taken your mail; it sends no receipts itself:",
}
_CLOSINGS = {
    Action.FAILED: "It will not be tried again. Check the address, or ask by another way.",
    Action.DELAYED: "There is nothing you need to do: it leaves as soon as that node shows itself.\r\n"
    "Mail is given up after 14 days. `dexmesh mail queue` shows what waits and why.",
    Action.RELAYED: "Whether it has been read is not known.",
}


@dataclass(frozen=True, slots=True)
class Concerned:
    """One recipient and what happened. `asked` is ORCPT, where the sender gave one."""

    mailbox: str
    status: str  # RFC 3463
    diagnostic: str  # what was said, with its code
    is_smtp: bool  # whether a mail server said it
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Original:
    """The mail the report is about."""

    queue_id: str
    header: bytes
    full: bytes | None  # the whole of it, if the sender asked for that
    arrived_unix: float
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said in one report. `node` is our literal; `remote` that of the other node."""

    action: Action
    to: str
    node: str
    remote: str
    concerned: tuple[Concerned, ...]
    original: Original
    number: int
    unix_time: float


def message_id(report: Report) -> str:
    """The same for the same report, and for no other."""
    original = report.original
    return (
        f"<report-{original.queue_id}-{report.number}@{report.node.strip('[]').replace(':', '-')}>"
    )


def encode_report(report: Report) -> bytes:
    """The whole message."""
    seed = message_id(report).encode() + report.original.header
    boundary = "=_" + hashlib.sha256(seed).hexdigest()[:40]
    parts = (_words(report), _status(report), _quoted(report.original))
    lines = [_head(report, boundary), b"\r\n"]
    for part in parts:
        lines += [b"--", boundary.encode(), b"\r\n", part, b"\r\n"]
    return b"".join([*lines, b"--", boundary.encode(), b"--\r\n"])


def _head(report: Report, boundary: str) -> bytes:
    about, subject = _of_original(report.original.header)
    title = f"{_SUBJECTS[report.action]}: {subject}" if subject else _SUBJECTS[report.action]
    thread = f"In-Reply-To: {about}\r\nReferences: {about}\r\n" if about else ""
    return _bytes(
        f"Date: {formatdate(report.unix_time)}\r\n"
        f"From: Mail delivery <MAILER-DAEMON@{report.node}>\r\n"
        f"To: <{_one_line(report.to)}>\r\n"
        f"Subject: {_encoded(title)}\r\n"
        f"Message-ID: {message_id(report)}\r\n"
        f"{thread}"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary}"\r\n'
    )


def _words(report: Report) -> bytes:
    lines = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", ""]
    lines += [_OPENINGS[report.action], ""]
    for one in report.concerned:
        who = "the mail server there said" if one.is_smtp else "the reason"
        lines += [f"    {_one_line(one.mailbox)}", f"        {who}: {_one_line(one.diagnostic)}"]
    return _bytes("\r\n".join([*lines, "", _CLOSINGS[report.action], ""]))


def _status(report: Report) -> bytes:
    original = report.original
    is_ascii = all(one.mailbox.isascii() for one in report.concerned)
    kind = "delivery-status" if is_ascii else "global-delivery-status"  # RFC 6533 §3
    lines = [f"Content-Type: message/{kind}"]
    lines += [] if is_ascii else ["Content-Transfer-Encoding: 8bit"]
    lines += ["", f"Reporting-MTA: dns; {report.node}"]
    if original.envelope_id:
        lines.append(f"Original-Envelope-Id: {_one_line(original.envelope_id)}")
    lines += [f"Arrival-Date: {formatdate(original.arrived_unix)}", ""]
    for one in report.concerned:
        lines += [*_of_recipient(one, report), ""]
    return _bytes("\r\n".join(lines))


def _of_recipient(one: Concerned, report: Report) -> list[str]:
    kind = "rfc822" if one.mailbox.isascii() else "utf-8"
    lines = [f"Original-Recipient: {_one_line(one.asked)}"] if one.asked else []
    lines += [
        f"Final-Recipient: {kind}; {_one_line(one.mailbox)}",
        f"Action: {report.action.value}",
        f"Status: {one.status}",
    ]
    if one.is_smtp:
        said = _one_line(one.diagnostic)
        lines += [f"Remote-MTA: dns; {report.remote}", f"Diagnostic-Code: smtp; {said}"]
    else:
        lines.append(f"Diagnostic-Code: x-dexmesh; {_one_line(one.diagnostic)}")
    return [*lines, f"Last-Attempt-Date: {formatdate(report.unix_time)}"]


def _quoted(original: Original) -> bytes:
    full = original.full
    if full is not None and len(full) <= MAX_FULL_BYTES:
        return _typed("message/rfc822", full)
    header = original.header
    if len(header) > MAX_HEADERS_BYTES:
        header = header[: header.rfind(b"\r\n", 0, MAX_HEADERS_BYTES) + 2]
    return _typed("text/rfc822-headers", _TOO_LONG.sub(rb"\1", header))


def _typed(kind: str, content: bytes) -> bytes:
    how = "7bit" if content.isascii() else "8bit"
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {how}\r\n\r\n"
    return head.encode() + content + (b"" if content.endswith(b"\r\n") else b"\r\n")


def _of_original(header: bytes) -> tuple[str, str]:
    """Message-ID and Subject of the original; empty where it has none."""
    try:
        fields = parse_header(header)
    except TooManyFieldsError:
        return "", ""
    about = _one_line(fields.first("message-id") or "")
    is_sound = about.startswith("<") and about.endswith(">") and len(about) <= 500
    return (about if is_sound else ""), _one_line(fields.first("subject") or "")[:500]


def _encoded(text: str) -> str:
    """Text for a header field: encoded words where it is not plain."""
    if text.isascii() and len(text) <= 900:
        return text
    return EncodedWords(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _one_line(text: str) -> str:
    return _BAD.sub(" ", text).strip()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
