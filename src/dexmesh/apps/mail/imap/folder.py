"""Know the messages of one Maildir folder by number, notice what others change, and change it.

Place     store/ and other programs deliver into the folder; boxes.py owns one of these a folder
Spec      docs/apps/mail.md §4 "Reading"; https://cr.yp.to/proto/maildir.html; RFC 3501 §2.3.1.1
Keeps     a message keeps its UID; a change by anybody is seen at the next refresh; what was appended
          is on disk when `append` returns; files are only renamed or removed, never rewritten
Not here  IMAP (backend.py), who may look (passwords.py), threads and locks (boxes.py): this is
          synchronous and takes one caller at a time
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from dexmesh.apps.mail.imap.uidlist import Keywords, UidList, sync_directory
from dexmesh.values import dataclass

SYSTEM_LETTERS = {"\\Seen": "S", "\\Flagged": "F", "\\Deleted": "T", "\\Draft": "D"} | {
    "\\Answered": "R",
    "$Forwarded": "P",
}
_SETTLED_S = 0.1  # ours: a directory that changed so lately may change again in the same tick
_SCANS = 3  # ours: how often a folder that changes while it is read is read again
_ORDER = re.compile(r"(\d{1,12})(?:\.M(\d{1,9}))?")
_WIRE_SIZE = re.compile(r",W=(\d{1,12})(?![\d])")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as the folder shows it."""

    uid: int
    name: str  # of the file, without flags
    is_new: bool  # still in new/
    letters: str  # its flags, sorted
    unix_time: float  # when it arrived
    change: int  # the folder's count when this last changed


@dataclass(frozen=True, slots=True)
class _Found:
    is_new: bool
    info: str  # what follows the name in the directory: ":2,FS"

    @property
    def letters(self) -> str:
        _, _, flags = self.info.partition(":2,")
        return "".join(sorted(set(flags.partition(",")[0])))


class Folder:
    """One folder. `change` grows with every change, and says what is new to whom.

    `state`: where its numbers are kept, if not in the folder itself.
    """

    is_directory = True
    takes_keywords = True

    def __init__(self, path: Path, state: Path | None = None) -> None:
        self.path = path
        self.entries: dict[int, Entry] = {}  # by UID, growing
        self.change = 0
        self.keywords = Keywords(state or path)
        self._uids = UidList(state or path)
        self._files: dict[int, str] = {}  # UID -> file name, relative to the folder
        self._sizes: dict[int, int] = {}
        self._stamp: tuple[int, int] | None = None
        self._is_settled = False

    @property
    def validity(self) -> int:
        """IMAP's UIDVALIDITY."""
        return self._uids.validity

    @property
    def next_uid(self) -> int:
        """The number the next message will have, or a later one."""
        return self._uids.next_uid

    @property
    def has_pending(self) -> bool:
        """Whether a change waits for the next refresh to be written."""
        return False

    def open(self) -> None:
        """Make the folder if it is missing, and look into it. Raises OSError."""
        make_maildir(self.path)
        self._uids.load()
        self.keywords.load()
        self.refresh()

    # Looking

    def is_stale(self) -> bool:
        """Whether a refresh may find something; costs two stats, so it may run in an event loop."""
        return not self._is_settled or self._stamp != self._read_stamp()

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            return (self.path / "new").stat().st_mtime_ns, (self.path / "cur").stat().st_mtime_ns
        except OSError:
            return None

    def refresh(self) -> None:
        """Take in what changed in the directories. Raises OSError."""
        if not self.is_stale():
            return
        for _ in range(_SCANS):
            before = self._read_stamp()
            found = {**self._scan("new"), **self._scan("cur")}  # moved meanwhile: cur/ is right
            if before == self._read_stamp():
                break
        self._take(found)
        self._stamp = before
        latest = max(before) / 1e9 if before else 0.0
        self._is_settled = before is not None and not 0 <= time.time() - latest < _SETTLED_S

    def _scan(self, place: str) -> dict[str, _Found]:
        found = {}
        with os.scandir(self.path / place) as files:
            for file in files:
                name, colon, info = file.name.partition(":")
                if name and not name.startswith("."):
                    found[name] = _Found(place == "new", colon + info)
        return found

    def _take(self, found: dict[str, _Found]) -> None:
        gone = [uid for uid, entry in self.entries.items() if entry.name not in found]
        self._forget(gone)
        strange = [name for name in found if name not in self._uids.uids]
        self._uids.assign(sorted(strange, key=_arrival))
        change = self.change + 1
        for name, one in found.items():
            uid = self._uids.uids[name]
            self._files[uid] = _place(name, one)
            old = self.entries.get(uid)
            if old is None or (old.letters, old.is_new) != (one.letters, one.is_new):
                arrived = old.unix_time if old else self._arrived(uid)
                self.entries[uid] = Entry(uid, name, one.is_new, one.letters, arrived, change)
                self.change = change
        if list(self.entries) != sorted(self.entries):
            self.entries = dict(sorted(self.entries.items()))
        self._uids.forget_all_but(set(found))

    def _arrived(self, uid: int) -> float:
        try:
            return (self.path / self._files[uid]).stat().st_mtime
        except OSError:
            return 0.0

    def _forget(self, uids: Iterable[int]) -> None:
        for uid in uids:
            self.change += 1
            for table in (self.entries, self._files, self._sizes):
                table.pop(uid, None)

    def file_of(self, uid: int) -> Path | None:
        """Where the message lies."""
        name = self._files.get(uid)
        return None if name is None else self.path / name

    def read(self, uid: int, most: int | None = None) -> bytes | None:
        """The message with CRLF line ends (the first `most` bytes of the file); None if it is gone."""
        for _ in range(2):
            path = self.file_of(uid)
            if path is None:
                return None
            try:
                with path.open("rb") as file:
                    return to_crlf(file.read() if most is None else file.read(most))
            except FileNotFoundError:  # somebody changed its flags: look again
                self._is_settled = False
                self.refresh()
        return None

    def size(self, uid: int) -> int:
        """How long the message is with CRLF line ends; 0 if it is gone."""
        if uid not in self._sizes:
            entry = self.entries.get(uid)
            told = _WIRE_SIZE.search(entry.name) if entry else None
            if told:
                self._sizes[uid] = int(told.group(1))
            else:
                data = self.read(uid)
                if data is None:
                    return 0
                self._sizes[uid] = len(data)
        return self._sizes[uid]

    def stored_size(self, uid: int) -> int:
        """How many bytes it takes on the disk, about; 0 if it is gone."""
        path = self.file_of(uid)
        try:
            return 0 if path is None else path.stat().st_size
        except OSError:
            return 0

    # Changing

    def append(self, data: bytes, letters: str = "", unix_time: float | None = None) -> Entry:
        """Put a message in; it is on disk when this returns. Raises OSError."""
        stored, wire_size = to_stored(data)
        name = unique_name(len(stored), wire_size)
        draft, place = self.path / "tmp" / name, f"cur/{name}:2,{_sorted(letters)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(stored)
                file.flush()
                os.fsync(descriptor)
            if unix_time is not None:
                with contextlib.suppress(OSError, OverflowError):
                    os.utime(draft, (unix_time, unix_time))
            (uid,) = self._uids.assign([name])  # first: a message without a number would come twice
            draft.rename(self.path / place)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_directory(self.path / "cur")
        return self._learn(uid, name, place, letters)

    def _learn(self, uid: int, name: str, place: str, letters: str) -> Entry:
        self.change += 1
        self._files[uid] = place
        entry = Entry(uid, name, False, _sorted(letters), self._arrived(uid), self.change)
        self.entries[uid] = entry
        return entry

    def set_letters(self, uid: int, letters: str) -> Entry | None:
        """Give a message exactly these flags; None if it is gone. Raises OSError."""
        wanted = _sorted(letters)
        for _ in range(2):
            entry, place = self.entries.get(uid), self._files.get(uid)
            if entry is None or place is None:
                return None
            if entry.letters == wanted and not (entry.is_new and wanted):
                return entry
            target = f"cur/{entry.name}:2,{wanted}"
            try:
                (self.path / place).rename(self.path / target)
            except FileNotFoundError:  # somebody was quicker
                self._is_settled = False
                self.refresh()
                continue
            self.change += 1
            self._files[uid] = target
            changed = Entry(uid, entry.name, False, wanted, entry.unix_time, self.change)
            self.entries[uid] = changed
            return changed
        return None

    def claim_new(self) -> list[int]:
        """Move what is in new/ to cur/, as a reader does; their UIDs. Raises OSError."""
        claimed = []
        for uid, entry in list(self.entries.items()):
            place = self._files.get(uid)
            if entry.is_new and place is not None:
                target = f"cur/{entry.name}:2,{entry.letters}"
                with contextlib.suppress(FileNotFoundError):
                    (self.path / place).rename(self.path / target)
                    self._files[uid] = target
                    self.change += 1
                    self.entries[uid] = Entry(
                        uid, entry.name, False, entry.letters, entry.unix_time, self.change
                    )
                    claimed.append(uid)
        return claimed

    def remove(self, uids: Iterable[int]) -> None:
        """Delete messages for good. Raises OSError."""
        gone = []
        for uid in uids:
            path = self.file_of(uid)
            if path is not None:
                path.unlink(missing_ok=True)
                gone.append(uid)
        self._forget(gone)

    def move(self, uid: int, target: Folder) -> int | None:
        """Move a message into another folder; its new UID, None if it is gone. Raises OSError."""
        entry, path = self.entries.get(uid), self.file_of(uid)
        if entry is None or target is self:
            return uid if entry is not None else None
        if path is None or not target.is_directory:
            copied = self.copy(uid, target)
            if copied is not None:
                self.remove([uid])
            return copied
        letters = self.translate(entry.letters, target)
        name = entry.name
        if name in target._uids.uids:  # it was there once: a new message for all who look
            name = unique_name(path.stat().st_size, self.size(uid))
        place = f"cur/{name}:2,{letters}"
        (new_uid,) = target._uids.assign([name])
        try:
            path.rename(target.path / place)
        except FileNotFoundError:
            return None
        sync_directory(target.path / "cur")
        self._forget([uid])
        return target._learn(new_uid, name, place, letters).uid

    def copy(self, uid: int, target: Folder) -> int | None:
        """Put a copy of a message into another folder; its UID, None if it is gone. Raises OSError."""
        entry, data = self.entries.get(uid), self.read(uid)
        if entry is None or data is None:
            return None
        return target.append(data, self.translate(entry.letters, target), entry.unix_time).uid

    # Flags

    def letters_of(self, flags: Iterable[str]) -> str:
        """The letters of these flags; flags there is no letter for are left out."""
        found = set()
        for flag in flags:
            letter = SYSTEM_LETTERS.get(flag)
            if letter is None and not flag.startswith("\\"):
                letter = self.keywords.learn(flag)
            if letter is not None:
                found.add(letter)
        return "".join(sorted(found))

    def flags_of(self, letters: str) -> frozenset[str]:
        """The flags these letters stand for."""
        known = {letter: flag for flag, letter in SYSTEM_LETTERS.items()}
        known |= {letter: flag for flag, letter in self.keywords.letter_of.items()}
        return frozenset(known[letter] for letter in letters if letter in known)

    def translate(self, letters: str, target: Folder) -> str:
        """These flags in the letters of another folder: each has its own keywords."""
        return target.letters_of(self.flags_of(letters))


def _sorted(letters: str) -> str:
    return "".join(sorted(set(letters)))


def _place(name: str, one: _Found) -> str:
    return f"{'new' if one.is_new else 'cur'}/{name}{one.info}"


def _arrival(name: str) -> tuple[int, int, str]:
    """What orders new messages: the time in their name."""
    match = _ORDER.match(name)
    return (int(match.group(1)), int(match.group(2) or 0), name) if match else (0, 0, name)


def unique_name(stored_size: int, wire_size: int) -> str:
    """A file name nobody has, with the sizes Dovecot and we look for."""
    now = time.time_ns()
    number = next(_counter)
    parts = f"{now // 10**9}.M{now // 1000 % 10**6:06}P{os.getpid()}Q{number}.dexmesh"
    return f"{parts},S={stored_size},W={wire_size}"


def make_maildir(path: Path) -> None:
    """A folder with its three directories, for its owner only. Raises OSError."""
    for place in ("tmp", "new", "cur"):
        (path / place).mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.name.startswith("."):
        (path / "maildirfolder").touch(mode=0o600)


def to_crlf(data: bytes) -> bytes:
    """The message as it goes over the wire: every line ends in CRLF."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    if data.count(b"\n") == data.count(b"\r\n"):
        return data
    return _BARE_LF.sub(b"\r\n", data)


def to_stored(data: bytes) -> tuple[bytes, int]:
    """The message as it lies on disk, lines ending in LF as other programs want; its wire size.

    Where that would lose something (a bare LF or CR in it) it stays as it is.
    """
    if data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r"):
        return data.replace(b"\r\n", b"\n"), len(data)
    return data, len(to_crlf(data))
