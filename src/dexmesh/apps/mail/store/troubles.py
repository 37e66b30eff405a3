"""Say what a disk that does not take a mail means for its sender.

Place     commit.py, mbox.py, store.py, reader.py catch -> here -> MailError
Spec      docs/apps/mail.md §4 (`452 4.3.1`); RFC 3463 §3.4
Keeps     always temporary: the sender tries again, and space may return
"""

from __future__ import annotations

import errno
import logging
import sqlite3

from dexmesh.errors import MailError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCKED_AWAY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

DiskError = (OSError, sqlite3.Error)
"""What the disk raises."""

_log = logging.getLogger(__name__)


def disk_trouble(cause: OSError | sqlite3.Error) -> MailError:
    """`452 4.3.1`, with the cause for our eyes only; it is logged here."""
    reason = _reason(cause)
    _log.warning("a mail cannot be stored: reason=%s", reason)
    return MailError(
        452,
        "4.3.1",
        f"{reason}, try again later",
        cause=str(cause),
        hint="free some space, or make the mail folder writable; senders try again by themselves",
    )


def no_room(text: str, enhanced: str = "4.3.1") -> MailError:
    """`452`: a limit of ours."""
    return MailError(452, enhanced, text, hint="remove mail, or raise the quota in the settings")


def _reason(cause: OSError | sqlite3.Error) -> str:
    if isinstance(cause, OSError):
        if cause.errno in _FULL:
            return "no room on the disk"
        if cause.errno in _LOCKED_AWAY:
            return "the mail folder cannot be written"
        return "the disk has a fault"
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return "no room on the disk"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "the mail folder cannot be written"
    return "the disk has a fault"


def wrote_nothing(cause: OSError | sqlite3.Error) -> bool:
    """Whether a failed commit surely left nothing behind that a crash could bring back."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_PERM,
    )
