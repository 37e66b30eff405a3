"""Say what goes into the store and what comes out of it.

Place     receiver, submission, delivery and control calls <-> store.py, reader.py
Spec      docs/apps/mail.md §4 "Receiver", "Reading"
Keeps     values only; nothing here touches the disk
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from dexmesh.values import dataclass
from dexmesh.wire.address import Address


class Folder(StrEnum):
    """The folders every user has. Users may make more; those go by their names."""

    INBOX = "INBOX"
    REQUESTS = "Requests"
    SENT = "Sent"
    DRAFTS = "Drafts"
    TRASH = "Trash"


OUTGOING = frozenset({Folder.SENT, Folder.DRAFTS})
"""Folders for what the user wrote himself: nobody is told of news there."""


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail for one user. `spool` is the whole message, on disk (fsync); it is only linked to.

    `remote` is the node it came from (None: this one), `sender` the envelope's. `wire_size` is its
    length with CRLF line ends, 0 if unknown. `body_hash` covers what the sender wrote. `is_counted`: it
    counts as a stranger's (`MailStore.admit_stranger`) until it turns out to be a duplicate.
    """

    spool: Path
    size: int
    user: str
    folder: str = Folder.INBOX
    remote: Address | None = None
    sender: str = ""
    message_id: str = ""
    body_hash: bytes = b""
    wire_size: int = 0
    is_counted: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The mail is in the store. `is_duplicate`: it was there already and is not stored again.

    `key` names the message in its folder.
    """

    is_duplicate: bool
    key: str
    folder: str


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """How much lies in a folder."""

    name: str
    messages: int
    unread: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a list. Texts are decoded, on one line, without control characters.

    `flags` are Maildir's letters (S seen, R answered, F flagged, T trashed, D draft, P passed on).
    `remote` is the node the mail came from, as our receiver wrote it down; `is_from_other` says
    that the From line names somebody who is not that node.
    """

    key: str
    folder: str
    from_text: str
    to_text: str
    subject: str
    unix_time: float  # when it arrived
    date_text: str  # as the sender wrote it
    size: int
    flags: str
    is_unread: bool
    remote: Address | None
    is_from_other: bool
    message_id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the quota is taken, in bytes; a limit of 0 means none."""

    user: str
    used: int
    limit: int
