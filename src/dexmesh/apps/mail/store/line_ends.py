"""Give a message the line ends other mail programs want in a file: LF, where it came with CRLF.

Place     store.py, before a mail is staged -> here
Spec      docs/apps/mail.md §4 "Reading": mutt, s-nail, dovecot and Python read the store
Keeps     nothing else changes; a message with a bare CR or LF stays as it is, byte by byte; a message
          that has LF already is not copied
Not here  back to CRLF for IMAP and SMTP (imap/, delivery.py)
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

_PEEK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20


def write_with_lf(source: Path, draft: Path) -> int | None:
    """Write the message with LF to `draft`, durably; its size, None when there is nothing to change.

    Raises OSError; nothing is left then.
    """
    with source.open("rb") as message:
        if b"\r\n" not in message.read(_PEEK_BYTES):
            return None
        message.seek(0)
        draft.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as copy:
                is_whole = _copy(message, copy)
                copy.flush()
                if is_whole:
                    os.fsync(copy.fileno())
                    return copy.tell()
        except BaseException:
            remove_draft(draft)
            raise
    remove_draft(draft)
    return None


def remove_draft(draft: Path) -> None:
    """It is stored, or it came to nothing. What cannot be removed goes at the next start."""
    with contextlib.suppress(OSError):
        draft.unlink()


def _copy(message: BinaryIO, copy: BinaryIO) -> bool:
    """False at the first CR or LF that stands alone."""
    held = b""
    while piece := message.read(_PIECE_BYTES):
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        ends = text.count(b"\r\n")
        if text.count(b"\n") != ends or text.count(b"\r") != ends:
            return False
        copy.write(text.replace(b"\r\n", b"\n"))
    return not held
