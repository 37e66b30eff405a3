"""Append mails to an mbox that mail programs use at the same time, and never leave half of one.

Place     store.py, for users whose INBOX is a file such as /var/mail/stuart -> here
Spec      RFC 4155; mboxrd quoting (">From "); fcntl(2) "Open file description locks"; mail.lock(5)
Keeps     writes only under both locks (fcntl; <mbox>.lock where the folder lets us make one); a mail
          is in the file whole and on disk, or the file is as long as before
Not here  which mails (commit.py), waiting for the lock without a thread (store.py)

After a crash the row in the journal says how long the file was before. What stands there now, next to what we
would write, tells how far we came. Only if another program rewrote the file since is the message looked for,
by its X-Dexmesh-Delivery line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dexmesh.apps.mail.store.journal import Row
from dexmesh.errors import MailError

STALE_LOCK_S = 300.0  # ours, as procmail has it: so old a lock file belongs to nobody
MARK = b"X-Dexmesh-Delivery: "
_PIECE_BYTES = 1 << 16
_WRITE_BYTES = 1 << 20
_NO_DOTLOCK = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})
_FROM = re.compile(rb">*From ")
_NOT_IN_SENDER = re.compile(r"[^!-~]")
_held: set[Path] = set()  # by this process
_one_at_a_time = threading.Lock()
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid


class LockedMbox:
    """An mbox we hold both locks of. Synchronous; methods raise OSError."""

    def __init__(self, path: Path, file: BinaryIO, dotlock: Path | None) -> None:
        self._path = path
        self._file = file  # for reading; what is written goes past its buffer
        self._descriptor = file.fileno()
        self._dotlock = dotlock
        self._in_use = threading.Lock()

    @property
    def size(self) -> int:
        """How long the file is."""
        return os.fstat(self._descriptor).st_size

    def append(self, row: Row, staged: Path) -> None:
        """Have the staged mail in the file, once and on disk, however far an earlier try came."""
        assert row.mbox_start is not None  # noqa: S101 only rows of an mbox come here
        with self._in_use:
            self._append(row.mbox_start, row, staged)

    def _append(self, start: int, row: Row, staged: Path) -> None:
        if self.size != start and self._settle(start, row, staged):
            os.fsync(self._descriptor)
        else:
            self._write(row, staged)

    def close(self) -> None:
        """Let others have the file."""
        with self._in_use:  # whoever waited for an append may have been cancelled: it goes on
            self._file.close()
            _remove(self._dotlock)
        with _one_at_a_time:
            _held.discard(self._path)

    def _settle(self, start: int, row: Row, staged: Path) -> bool:
        """The file changed since it was `start` long. True: the mail is in it. If not, no part is."""
        with staged.open("rb") as message:
            wanted = b"".join(_rendered(row, message))
        there = os.pread(self._descriptor, len(wanted) + 2, start).lstrip(b"\n")
        if there.startswith(wanted):
            return True
        if self.size > start and wanted.startswith(there):
            self._cut(start)
            return False
        body = wanted.partition(b"\n\n")[2].rstrip(b"\n")
        limit = len(wanted)
        return any(self._body_at(at, limit).rstrip(b"\n") == body for at in self._marks(row))

    def _write(self, row: Row, staged: Path) -> None:
        start = self.size
        waiting = bytearray()
        try:
            waiting += self._gap(start)
            with staged.open("rb") as message:
                for piece in _rendered(row, message):
                    waiting += piece
                    if len(waiting) >= _WRITE_BYTES:
                        self._write_out(waiting)
            self._write_out(waiting)
            os.fsync(self._descriptor)
        except OSError:
            self._cut(start)
            raise

    def _gap(self, size: int) -> bytes:
        """What is missing of the empty line before a From line."""
        if size == 0:
            return b""
        end = os.pread(self._descriptor, 2, max(0, size - 2))
        return b"" if end == b"\n\n" else b"\n" if end.endswith(b"\n") else b"\n\n"

    def _write_out(self, waiting: bytearray) -> None:
        while waiting:
            del waiting[: os.write(self._descriptor, waiting)]

    def _cut(self, size: int) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)

    def _marks(self, row: Row) -> Iterator[int]:
        """Where lines with this mail's mark begin."""
        wanted = MARK + row.key.encode() + b"\n"
        self._file.seek(0)
        at, is_line_start = 0, True
        while line := self._file.readline(_PIECE_BYTES):
            if is_line_start and line == wanted:
                yield at
                self._file.seek(at + len(line))
            is_line_start = line.endswith(b"\n")
            at += len(line)

    def _body_at(self, mark: int, length: int) -> bytes:
        """The body of the message whose mark is there; at most a little more than `length`."""
        self._file.seek(mark)
        while (line := self._file.readline(_PIECE_BYTES)) and line != b"\n":
            pass
        body = self._file.read(length + len(b"\nFrom "))
        end = body.find(b"\nFrom ")
        return body[: end + 1] if end >= 0 else body


def lock_mbox(path: Path) -> LockedMbox | None:
    """The mbox, locked; None if somebody else has it now. Makes the file. Raises OSError."""
    with _one_at_a_time:  # a lock file with our own number says nothing to ourselves
        if path in _held:
            return None
        _held.add(path)
    mbox = None
    try:
        mbox = _lock(path)
        return mbox
    finally:
        if mbox is None:
            with _one_at_a_time:
                _held.discard(path)


def _lock(path: Path) -> LockedMbox | None:
    try:
        dotlock = _make_dotlock(path)
    except BlockingIOError:
        return None
    file: BinaryIO | None = None
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.fdopen(os.open(path, flags, 0o660), "rb")
        _take_fcntl(file.fileno())
        _require_same(file.fileno(), path)
    except BaseException as error:
        if file is not None:
            file.close()
        _remove(dotlock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return LockedMbox(path, file, dotlock)


def busy_mbox(path: Path) -> MailError:
    """Somebody held the lock for too long."""
    return MailError(
        452,
        "4.2.0",
        "the mailbox is in use, try again later",
        cause=f"{path} stayed locked",
        hint=f"see which program holds {path} or left {path}.lock behind",
    )


def _make_dotlock(path: Path) -> Path | None:
    """<mbox>.lock, made by us; None where we may not make it. BlockingIOError: somebody has it."""
    lock = path.with_name(f"{path.name}.lock")
    draft = path.with_name(f".{path.name}.lock.dexmesh")
    try:
        # With its number from the start: an empty one of a killed process would stay in the way.
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"%d\n" % os.getpid())
        _link_lock(draft, lock)
    except OSError as error:
        if error.errno in _NO_DOTLOCK:
            return None  # fcntl alone has to do, as for any program without the mail group
        raise
    finally:
        _remove(draft)
    return lock


def _link_lock(draft: Path, lock: Path) -> None:
    for _ in range(2):
        try:
            os.link(draft, lock)
        except FileExistsError:
            if not _is_stale(lock):
                break
            _remove(lock)
        else:
            return
    raise BlockingIOError(errno.EAGAIN, "locked by another program")


def _is_stale(lock: Path) -> bool:
    """Whether the program that made it is gone: no such process, or far too old."""
    try:
        with lock.open("rb") as file:
            text = file.read(32).strip()
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if text.isdigit() and 0 < int(text) < 1 << 31:
        return int(text) == os.getpid() or not Path(f"/proc/{int(text)}").exists()
    return age > STALE_LOCK_S


def _remove(lock: Path | None) -> None:
    if lock is not None:
        with contextlib.suppress(OSError):
            lock.unlink()


def _take_fcntl(descriptor: int) -> None:
    """Lock the whole file against every other program; the lock is the descriptor's, not ours."""
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except PermissionError as error:  # EACCES is the other word for EAGAIN here
        raise BlockingIOError(errno.EAGAIN, "locked by another program") from error


def _require_same(descriptor: int, path: Path) -> None:
    """BlockingIOError when the name means another file by now: some programs replace it."""
    ours = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        there = None
    if there is None or (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
        raise BlockingIOError(errno.EAGAIN, "replaced by another program")


def _rendered(row: Row, message: BinaryIO) -> Iterator[bytes]:
    """The mail as it stands in an mbox: From line, mark, LF line ends, quoted, an empty line."""
    sender = _NOT_IN_SENDER.sub("", row.sender)[:200] or "MAILER-DAEMON"
    date = time.asctime(time.gmtime(row.unix_time))
    yield f"From {sender} {date}\n".encode() + MARK + row.key.encode() + b"\n"
    is_line_start, ends_with = True, b"\n"
    while piece := message.readline(_PIECE_BYTES):
        if piece.endswith(b"\r") and (following := message.read(1)):
            piece += following  # never cut between CR and LF
        if is_line_start and _FROM.match(piece):
            yield b">"
        is_line_start = piece.endswith(b"\n")
        text = piece[:-2] + b"\n" if piece.endswith(b"\r\n") else piece
        yield text
        ends_with = text[-1:]
    yield b"\n" if ends_with == b"\n" else b"\n\n"
