"""Every answer by which a mail server of ours says no, with its code and its counted reason.

Place     proto/ decides -> here -> smtp.py answers, counters.py counts
Spec      docs/apps/mail.md §4; RFC 5321 §4.2; RFC 3463 (the enhanced codes)
Keeps     the text is one line of printable characters, whatever the other side sent
Not here  deciding (policy.py, submitting.py), sending (smtp.py)
"""

from __future__ import annotations

from enum import StrEnum

from dexmesh.values import dataclass


class Reason(StrEnum):
    """Why a connection, command or message was refused; each is counted."""

    NOT_MESH = "source is not on the mesh"
    TOO_MANY_CONNECTIONS = "too many connections"
    TOO_MANY_FROM_ONE = "too many connections from one node"
    IDLE = "idle too long"
    TOO_SLOW = "message came too slowly"
    LOST = "connection lost in a message"
    BAD_LINE = "line too long, or not ended by CR LF"
    JUNK = "too many unknown commands"
    TOO_MANY_COMMANDS = "too many commands without a mail"
    TOO_MANY_MAILS = "too many mails in one session"
    TOO_MANY_RECIPIENTS = "too many recipients"
    UNKNOWN_COMMAND = "unknown command"
    BAD_ORDER = "command out of order"
    BAD_ADDRESS = "malformed address"
    BAD_PARAMETER = "unknown parameter"
    BLOCKED = "blocked node"
    SPOOFED = "sender is of another node"
    FOREIGN_SENDER = "sender outside the mesh"
    RELAY = "recipient of another node"
    NOT_ON_MESH = "recipient outside the mesh"
    NO_TAG = "literal without IPv6:"
    UNKNOWN_USER = "no such user"
    UNKNOWN_CONTACT = "no such contact"
    STRANGER_LIMIT = "stranger sent too much"
    TOO_BIG = "message too big"
    HEADER_TOO_BIG = "header too big"
    BARE_LINE_END = "bare CR or LF in the message"
    LOOP = "message goes round in circles"
    SPOOL_FULL = "no room for messages on their way"
    DISK = "disk full or not writable"
    STORE = "store or queue refused"
    BAD_PASSWORD = "wrong password"  # noqa: S105 not a password
    TLS_FAILED = "TLS failed"
    CLOSING = "the service ended"
    OUR_FAULT = "internal error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of 4xx or 5xx: `code`, `enhanced` ("5.7.1"), `text` for the other side, `reason`."""

    code: int
    enhanced: str
    text: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {printable(self.text)}"


def printable(text: str) -> str:
    """`text` on one line, at most 400 characters, without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:400])
