"""Show an mbox as a folder with numbers, next to the programs that use it, and change it as they do.

Place     boxes.py opens one for a user whose INBOX is a file such as /var/mail/stuart -> here
Spec      docs/apps/reading.md; RFC 4155; store/mbox.py (locks, and what we deliver)
Keeps     reads and writes only under the locks mail programs take; a change by anybody is seen at the
          next refresh; a message keeps its UID while its header is the same; what is changed here is
          collected and written at the next refresh, through a journal that survives a crash
Not here  delivery (store/), what the bytes mean (proto/mboxes.py), threads (boxes.py)
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise, takewhile
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.mail.imap.folder import SYSTEM_LETTERS, Entry, Folder, to_crlf, to_stored
from dexmesh.apps.mail.imap.uidlist import sync_directory
from dexmesh.apps.mail.proto.mboxes import (
    Head,
    bare_header,
    date_of,
    marked_header,
    quoted,
    read_head,
    starts,
    unquoted,
)
from dexmesh.apps.mail.proto.parts import header_end
from dexmesh.apps.mail.store.mbox import MARK, lock_mbox
from dexmesh.values import dataclass

LOCK_S = 5.0  # ours: how long somebody else may hold the file while a reader waits
MAX_MESSAGES = 100_000  # ours, of one mbox
LETTERS = frozenset("SRFDT")  # what Status and X-Status can say
JOURNAL = "tail"  # what is about to be written over the end of the mbox

_RETRY_S = 0.02
_PIECE_BYTES = 1 << 20
_HEADER_READS = (16 << 10, 1 << 20)
_SETTLED_NS = 100_000_000  # ours: a file that changed so lately may change again in the same tick
_MAX_OTHERS = 64 << 20  # ours: what others may deliver between a crash of ours and the next start
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid

_Stamp = tuple[int, int, int]
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Message:
    """Where a message stands in the file: its From line, its header, its body, its end."""

    start: int
    header: int
    body: int
    end: int
    head: Head
    unix_time: float


class MboxFolder(Folder):
    """An mbox. `state` is a folder of ours for its numbers and its journal."""

    is_directory = False
    takes_keywords = False

    def __init__(self, path: Path, state: Path) -> None:
        super().__init__(path, state)
        self._state = state
        self._messages: dict[int, _Message] = {}
        self._heads: dict[bytes, Head] = {}  # by the digest of a header that was read before
        self._pending: dict[int, str | None] = {}  # flags to be written; None: to be removed
        self._claimed: set[str] = set()
        self._seen: _Stamp | None = None
        self._is_open = False

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def open(self) -> None:
        """Find the numbers, finish what a crash interrupted, and look into the file. Raises OSError."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._uids.load()
        if (self._state / JOURNAL).exists():
            with self._locked():
                pass
        self._is_settled = False
        self.refresh()
        self._is_open = True

    # Looking

    def is_stale(self) -> bool:
        return bool(self._pending) or not self._is_settled or self._seen != _stamp_at(self.path)

    def refresh(self) -> None:
        """Write what is pending, and take in what others changed. Raises OSError."""
        if self._pending or (self._state / JOURNAL).exists():
            self._write_pending()
        elif self.is_stale():
            try:
                with self._reading() as descriptor:
                    self._look(descriptor)
            except BlockingIOError:
                if not self._is_open:
                    raise  # else what was there before is shown, and looked at again soon
            except FileNotFoundError:
                self._adopt([])
                self._seen, self._is_settled = None, True

    def _look(self, descriptor: int) -> None:
        """Find the messages of the file, which nobody changes now."""
        stamp = _stamp_of(os.fstat(descriptor))
        self._adopt(list(self._find(descriptor, stamp[1])))
        self._seen = stamp
        self._is_settled = not 0 <= time.time_ns() - stamp[0] < _SETTLED_NS

    def _find(self, descriptor: int, size: int) -> Iterator[_Message]:
        """Everything in the file, in its order."""
        heads: dict[bytes, Head] = {}
        places = [*islice(starts(_pieces(descriptor, 0, size)), MAX_MESSAGES + 1), size]
        if len(places) > MAX_MESSAGES + 1:
            raise OSError(errno.EFBIG, f"more than {MAX_MESSAGES} messages", str(self.path))
        for start, end in pairwise(places):
            data, header, body = _read_header(descriptor, start, end)
            digest = hashlib.blake2b(data[header:body], digest_size=16).digest()
            head = self._heads.get(digest) or read_head(data[header:body])
            heads[digest] = head
            moment = _unix_time(data[:header], head)
            yield _Message(start, start + header, start + body, end, head, moment)
        self._heads = heads

    def _adopt(self, found: Sequence[_Message]) -> None:
        named = _named(found)
        gone = [uid for uid, entry in self.entries.items() if entry.name not in named]
        self._forget(gone)
        self._uids.assign([name for name in named if name not in self._uids.uids])
        change = self.change + 1
        self._messages = {}
        for name, message in named.items():
            uid = self._uids.uids[name]
            letters = self._pending.get(uid, message.head.letters)
            if letters is None:
                continue
            self._messages[uid] = message
            is_new = not message.head.is_old and not letters and name not in self._claimed
            old = self.entries.get(uid)
            if old is None or (old.letters, old.is_new) != (letters, is_new):
                self.entries[uid] = Entry(uid, name, is_new, letters, message.unix_time, change)
                self.change = change
        self.entries = dict(sorted(self.entries.items()))
        self._claimed &= named.keys()
        self._uids.forget_all_but(set(named))

    def _forget(self, uids: Iterable[int]) -> None:
        uids = list(uids)
        super()._forget(uids)
        for uid in uids:
            self._messages.pop(uid, None)

    def read(self, uid: int, most: int | None = None) -> bytes | None:
        try:
            with self._reading() as descriptor:
                if _stamp_of(os.fstat(descriptor)) != self._seen:
                    self._look(descriptor)
                message = self._messages.get(uid)
                return None if message is None else _read_message(descriptor, message, most)
        except FileNotFoundError:
            return None

    def size(self, uid: int) -> int:
        if uid not in self._sizes:
            data = self.read(uid)
            if data is None:
                return 0
            self._sizes[uid] = len(data)
        return self._sizes[uid]

    def stored_size(self, uid: int) -> int:
        message = self._messages.get(uid)
        return 0 if message is None else message.end - message.start

    # Changing: in memory at once, in the file at the next refresh

    def set_letters(self, uid: int, letters: str) -> Entry | None:
        wanted = "".join(sorted(set(letters) & LETTERS))
        entry = self.entries.get(uid)
        if entry is None or (entry.letters == wanted and not (entry.is_new and wanted)):
            return entry
        self._pending[uid] = wanted
        self.change += 1
        changed = Entry(uid, entry.name, False, wanted, entry.unix_time, self.change)
        self.entries[uid] = changed
        return changed

    def claim_new(self) -> list[int]:
        """Those that nobody has seen yet, once; the file is left alone for that."""
        claimed = [uid for uid, entry in self.entries.items() if entry.is_new]
        for uid in claimed:
            entry = self.entries[uid]
            self._claimed.add(entry.name)
            self.change += 1
            self.entries[uid] = Entry(
                uid, entry.name, False, entry.letters, entry.unix_time, self.change
            )
        return claimed

    def remove(self, uids: Iterable[int]) -> None:
        for uid in list(uids):
            if uid in self.entries:
                self._forget([uid])
                self._pending[uid] = None

    def letters_of(self, flags: Iterable[str]) -> str:
        return "".join(sorted({SYSTEM_LETTERS.get(flag, "") for flag in flags} & LETTERS))

    # Writing

    def append(self, data: bytes, letters: str = "", unix_time: float | None = None) -> Entry:
        """Put a message behind the others; it is on disk when this returns. Raises OSError."""
        moment = time.time() if unix_time is None else unix_time
        with self._locked() as descriptor:
            size = os.fstat(descriptor).st_size
            gap = _gap(descriptor, size)
            try:
                _write_at(descriptor, size, gap + _rendered(data, letters, moment))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            self._look(descriptor)
        start = size + len(gap)
        uid = next(uid for uid, one in self._messages.items() if one.start == start)
        return self.entries[uid]

    def _write_pending(self) -> None:
        """Have the file as it is wanted. Where that cannot be, it stays as it was, and is shown so."""
        try:
            with self._locked() as descriptor:
                self._rewrite(descriptor)
                self._pending.clear()
                self._look(descriptor)
        except BaseException:
            self._pending.clear()
            self._seen = None
            raise

    def _rewrite(self, descriptor: int) -> None:
        """Write everything from the first change on anew, by way of the journal."""
        now = os.fstat(descriptor)
        found = list(self._find(descriptor, now.st_size))
        numbers = {id(one): self._uids.uids.get(name, 0) for name, one in _named(found).items()}
        wanted = {
            one.start: self._pending[number]
            for one in found
            if (number := numbers.get(id(one), 0)) in self._pending
            and not _is_so(one.head, self._pending[number])
        }
        if not wanted:
            return
        first = min(wanted)
        tail = self._state / f"{JOURNAL}.{secrets.token_hex(4)}"
        try:
            with tail.open("xb") as file:
                told = {"inode": now.st_ino, "start": first, "size": now.st_size}
                file.write(json.dumps(told).encode() + b"\n")
                for one in found:
                    if one.start >= first:
                        file.writelines(_changed(descriptor, one, wanted))
                file.flush()
                os.fsync(file.fileno())
            tail.rename(self._state / JOURNAL)
        except BaseException:
            tail.unlink(missing_ok=True)
            raise
        sync_directory(self._state)
        self._finish(descriptor)

    def _finish(self, descriptor: int) -> None:
        """Do what the journal says. Done twice it is the same; after a crash it is done again."""
        journal = self._state / JOURNAL
        with journal.open("rb") as file:
            told = json.loads(file.readline())
            start, former, begin = int(told["start"]), int(told["size"]), file.tell()
            end = start + journal.stat().st_size - begin
            now = os.fstat(descriptor)
            if now.st_ino != told["inode"] or (now.st_size < former and now.st_size != end):
                log.warning("an mbox was changed by others in the middle of a change of ours")
                journal.unlink()
                return
            file.seek(begin + max(0, former - start))
            growth = file.read()  # what makes the file longer: first, as the disk may be full
            others = _without_ours(os.pread(descriptor, _MAX_OTHERS, former), growth)
            try:
                _write_at(descriptor, former, growth + others if now.st_size >= former else b"")
            except OSError:
                os.ftruncate(descriptor, former)  # nothing else was written yet
                _write_at(descriptor, former, others)
                journal.unlink()
                raise
            file.seek(begin)
            at = start
            while at < min(end, former) and (piece := file.read(min(_PIECE_BYTES, former - at))):
                _write_at(descriptor, at, piece)
                at += len(piece)
        _write_at(descriptor, end, others)
        os.ftruncate(descriptor, end + len(others))
        os.fsync(descriptor)
        journal.unlink()

    # Locks

    @contextlib.contextmanager
    def _reading(self) -> Iterator[int]:
        """The file, while nobody writes. Raises BlockingIOError, FileNotFoundError, OSError."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self.path, flags)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "no file of mail", str(self.path))
            _wait_for(lambda: _lock_shared(descriptor), self.path)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, ours alone, and as an interrupted change left it, mended. Raises OSError."""
        mbox = _wait_for(lambda: lock_mbox(self.path), self.path)
        try:  # our own descriptor: that of the lock appends whatever the offset is
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if (self._state / JOURNAL).exists():
                    self._finish(descriptor)
                yield descriptor
            finally:
                os.close(descriptor)
        finally:
            mbox.close()


def _changed(descriptor: int, one: _Message, wanted: Mapping[int, str | None]) -> Iterator[bytes]:
    """The bytes of a message as they are to be; `wanted` says by its place what changes."""
    letters = wanted.get(one.start, "")
    if one.start not in wanted:
        yield from _pieces(descriptor, one.start, one.end)
    elif letters is not None:
        yield os.pread(descriptor, one.header - one.start, one.start)
        header = os.pread(descriptor, one.body - one.header, one.header)
        yield marked_header(header, letters)
        yield from _pieces(descriptor, one.body, one.end)


def _named(found: Sequence[_Message]) -> Mapping[str, _Message]:
    """The messages by name; copies of one message are told apart by their order."""
    named: dict[str, _Message] = {}
    counts: dict[str, int] = {}
    for message in found:
        if message.head.is_internal:
            continue
        name = message.head.name
        counts[name] = count = counts.get(name, 0) + 1
        named[name if count == 1 else f"{name}#{count}"] = message
    return named


def _is_so(head: Head, letters: str | None) -> bool:
    return letters is not None and head.letters == letters and head.is_old


def _without_ours(behind: bytes, growth: bytes) -> bytes:
    """What others put behind the former end of the file; `growth`, or the begin of it, is ours."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(behind, growth, strict=False))
    rest = behind[sum(1 for _ in same) :]
    return rest if not rest or rest.startswith((b"From ", b"\n")) else behind


def _unix_time(separator: bytes, head: Head) -> float:
    date = date_of(separator)
    if date is None:
        return 0.0
    try:  # we write UTC, local programs their own time
        return calendar.timegm(date) if head.is_ours else time.mktime((*date, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0


def _read_header(descriptor: int, start: int, end: int) -> tuple[bytes, int, int]:
    """The begin of a message, and where in it header and body begin."""
    data, header, body = b"", 0, 0
    for most in _HEADER_READS:
        data = os.pread(descriptor, min(most, end - start), start)
        header = data.find(b"\n") + 1
        body = header_end(data, header, len(data))
        if body < len(data) or len(data) < most:
            break
    return data, header, body


def _read_message(descriptor: int, one: _Message, most: int | None) -> bytes:
    """The message with CRLF line ends, as its sender meant it."""
    header = bare_header(os.pread(descriptor, one.body - one.header, one.header))
    length = one.end - one.body
    wanted = length if most is None else min(length, max(0, most - len(header)))
    body = b"".join(_pieces(descriptor, one.body, one.body + wanted))
    if wanted == length and body.endswith((b"\n\n", b"\n\r\n")):
        body = body[: -2 if body.endswith(b"\r\n") else -1]  # the empty line between two messages
    elif wanted == length and body in (b"\n", b"\r\n"):
        body = b""
    return to_crlf(header + (unquoted(body) if one.head.is_ours else body))


def _rendered(data: bytes, letters: str, unix_time: float) -> bytes:
    stored, _size = to_stored(data)
    body = header_end(stored, 0, len(stored))
    try:
        date = time.asctime(time.gmtime(unix_time))
    except (ValueError, OverflowError, OSError):
        date = time.asctime(time.gmtime())
    separator = b"From MAILER-DAEMON %s\n" % date.encode()
    mark = MARK + b"kept-" + secrets.token_hex(8).encode() + b"\n"
    header = marked_header(stored[:body], letters) if letters else stored[:body]
    text = quoted(stored[body:])
    end = b"\n" if text.endswith(b"\n") or not text else b"\n\n"
    return separator + mark + header + text + end


def _gap(descriptor: int, size: int) -> bytes:
    """What is missing of the empty line before a From line."""
    if not size:
        return b""
    end = os.pread(descriptor, 2, max(0, size - 2))
    return b"" if end == b"\n\n" else b"\n" if end.endswith(b"\n") else b"\n\n"


def _pieces(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end and (piece := os.pread(descriptor, min(_PIECE_BYTES, end - start), start)):
        yield piece
        start += len(piece)


def _write_at(descriptor: int, at: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _stamp_of(found: os.stat_result) -> _Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _stamp_at(path: Path) -> _Stamp | None:
    try:
        return _stamp_of(path.stat())
    except OSError:
        return None


def _wait_for(take: Callable[[], T | None], path: Path) -> T:
    """The lock, once nobody else has it. Raises BlockingIOError after LOCK_S, OSError."""
    end = time.monotonic() + LOCK_S
    while (taken := take()) is None:
        if time.monotonic() > end:
            raise BlockingIOError(errno.EAGAIN, "another program keeps it locked", str(path))
        time.sleep(_RETRY_S)
    return taken


def _lock_shared(descriptor: int) -> bool | None:
    wanted = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except (BlockingIOError, PermissionError):
        return None
    return True
