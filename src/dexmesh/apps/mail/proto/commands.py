"""Parse the arguments of MAIL, RCPT and AUTH.

Place     smtp.py hands in the text behind the verb -> here -> the role decides (receiver, submission)
Spec      RFC 5321 §4.1.2, §4.1.1.11; RFC 1870, 6152, 6531, 3461; docs/apps/mail.md §1
Keeps     linear time; never raises: nonsense is a `Refusal`
Not here  mailboxes and literals themselves (base/mailbox.py), who may send to whom (policy.py)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.errors import AddressError
from dexmesh.values import dataclass

MALFORMED = Refusal(553, "5.1.3", "malformed address", Reason.BAD_ADDRESS)
MALFORMED_SENDER = Refusal(553, "5.1.7", "malformed address", Reason.BAD_ADDRESS)

MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH"})
DSN_MAIL_PARAMETERS = frozenset({"RET", "ENVID"})
DSN_RCPT_PARAMETERS = frozenset({"NOTIFY", "ORCPT"})


@dataclass(frozen=True, slots=True)
class Path:
    """What MAIL FROM or RCPT TO names; `mailbox` is None for `<>`. Parameter names are upper case."""

    mailbox: Mailbox | None
    parameters: Mapping[str, str]


def parse_path(argument: str | None, keyword: str) -> Path | Refusal:
    """`FROM:<a@b> SIZE=5` (keyword "FROM") or `TO:<a@b>`; spaces around the path are forgiven."""
    head, colon, tail = (argument or "").partition(":")
    is_sender = keyword == "FROM"
    if not colon or head.strip().upper() != keyword:
        verb = "MAIL" if is_sender else "RCPT"
        return Refusal(501, "5.5.4", f"say {verb} {keyword}:<address>", Reason.BAD_ADDRESS)
    cut = _cut_path(tail.strip(" "))
    if cut is None:
        return MALFORMED_SENDER if is_sender else MALFORMED
    text, rest = cut
    parameters = _parse_parameters(rest)
    if isinstance(parameters, Refusal):
        return parameters
    if not text:
        return Path(None, parameters) if is_sender else MALFORMED
    mailbox = _parse_inner(text)
    if mailbox is None:
        return MALFORMED_SENDER if is_sender else MALFORMED
    return Path(mailbox, parameters)


def _cut_path(text: str) -> tuple[str, str] | None:
    """The inside of `<...>` and what follows; without `<`, the first word is the path."""
    if not text.startswith("<"):
        word, _, rest = text.partition(" ")
        return (word, rest) if word else None
    is_quoted, at = False, 1
    while at < len(text):
        char = text[at]
        if char == "\\" and is_quoted:
            at += 1
        elif char == '"':
            is_quoted = not is_quoted
        elif char == ">" and not is_quoted:
            rest = text[at + 1 :]
            return (text[1:at], rest) if not rest or rest[0] == " " else None
        at += 1
    return None


def _parse_inner(text: str) -> Mailbox | None:
    """The mailbox in a path; without `@` it has an empty domain."""
    try:
        mailbox = parse_mailbox(f"<{text}>", needs_domain=False)
    except AddressError:
        return None
    return None if mailbox.name else mailbox


def _parse_parameters(text: str) -> Mapping[str, str] | Refusal:
    parameters: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not name.isascii() or not name.replace("-", "").isalnum() or (equals and not value):
            return Refusal(501, "5.5.4", "malformed parameter", Reason.BAD_PARAMETER)
        if name.upper() in parameters:
            return Refusal(501, "5.5.4", "parameter given twice", Reason.BAD_PARAMETER)
        parameters[name.upper()] = value
    return parameters


def judge_mail_parameters(
    parameters: Mapping[str, str], max_bytes: int, has_dsn: bool
) -> Refusal | None:
    """Whether the parameters of MAIL can be honoured."""
    known = MAIL_PARAMETERS | DSN_MAIL_PARAMETERS if has_dsn else MAIL_PARAMETERS
    if unknown := [name for name in parameters if name not in known]:
        return Refusal(555, "5.5.4", f"unknown parameter {unknown[0]}", Reason.BAD_PARAMETER)
    if parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
        return Refusal(501, "5.5.4", "BODY is 7BIT or 8BITMIME", Reason.BAD_PARAMETER)
    if parameters.get("RET", "FULL").upper() not in ("FULL", "HDRS"):
        return Refusal(501, "5.5.4", "RET is FULL or HDRS", Reason.BAD_PARAMETER)
    size = parameters.get("SIZE", "0")
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        return Refusal(501, "5.5.4", "SIZE is a number", Reason.BAD_PARAMETER)
    if int(size) > max_bytes:
        return Refusal(552, "5.3.4", f"messages may have {max_bytes} bytes at most", Reason.TOO_BIG)
    return None


def judge_rcpt_parameters(parameters: Mapping[str, str], has_dsn: bool) -> Refusal | None:
    """Whether the parameters of RCPT can be honoured."""
    known = DSN_RCPT_PARAMETERS if has_dsn else frozenset[str]()
    if unknown := [name for name in parameters if name not in known]:
        return Refusal(555, "5.5.4", f"unknown parameter {unknown[0]}", Reason.BAD_PARAMETER)
    words = parameters.get("NOTIFY", "FAILURE").upper().split(",")
    if not set(words) <= {"NEVER", "SUCCESS", "FAILURE", "DELAY"} or (
        "NEVER" in words and len(words) > 1
    ):
        return Refusal(501, "5.5.4", "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY",
                       Reason.BAD_PARAMETER)  # fmt: skip
    return None


def decode_login(text: str) -> bytes | None:
    """One base64 answer of AUTH (RFC 4954); None if it is none."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None


def decode_plain(answer: bytes) -> tuple[str, str] | None:
    """User and password of AUTH PLAIN (RFC 4616); None if malformed."""
    parts = answer.split(b"\0")
    if len(parts) != 3:
        return None
    try:
        return parts[1].decode(), parts[2].decode()
    except UnicodeDecodeError:
        return None
