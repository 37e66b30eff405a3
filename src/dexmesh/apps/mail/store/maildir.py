"""Lay out one user's Maildir: where folders and files are, what their names say.

Place     commit.py puts files into new/, reader.py looks at them; IMAP and mail programs share it
Spec      https://cr.yp.to/proto/maildir.html; Maildir++ (folders `.Name`, `,S=size` in names)
Keeps     a file name is never used twice; files are renamed and removed, never rewritten
Not here  when a mail counts as delivered (commit.py), what stands in it (summary.py)
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from dexmesh.apps.mail.store.values import OUTGOING, Folder
from dexmesh.errors import MailError
from dexmesh.values import dataclass

INFO = ":2,"
MAX_FOLDERS = 1000  # ours: what is listed
_SIZE = re.compile(r",S=(\d{1,12})(?!\d)")
_WIRE_SIZE = re.compile(r",W=(\d{1,12})(?!\d)")
_TIME = re.compile(r"(\d{1,12})(?:\.M(\d{1,9}))?")
_FOLDER_NAME = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")
_mark = secrets.token_hex(4)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a folder. `key` is its name without flags; `place` is "new" or "cur".

    `path` is where it lay when we looked: flags change names, so open it at once, or find it again.
    """

    key: str
    place: str
    flags: str
    path: str

    @property
    def is_unread(self) -> bool:
        """Whether nobody has looked at the message."""
        return self.place == "new" or "S" not in self.flags

    @property
    def arrived(self) -> tuple[int, int, str]:
        """What orders messages by arrival."""
        return arrival(self.key)


class Maildir:
    """The mail of one user, INBOX at `path`. Synchronous: for a thread. Methods raise OSError."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make what is missing of INBOX and the folders every user has, durably."""
        for folder in Folder:
            self.make_folder(folder)

    def make_folder(self, name: str) -> Path:
        """Make a folder unless it is there."""
        path = self.folder(name)
        is_new = False
        for place in ("tmp", "new", "cur"):
            if not (path / place).is_dir():
                (path / place).mkdir(mode=0o700, parents=True, exist_ok=True)
                is_new = True
        if is_new:
            if path != self.path:
                (path / "maildirfolder").touch(mode=0o600)
            sync_directory(path)
            sync_directory(self.path)
            sync_directory(self.path.parent)
        return path

    def folder(self, name: str) -> Path:
        """Where a folder is. Raises MailError for a name that can be none."""
        if name == Folder.INBOX:
            return self.path
        parts = name.split(".")
        if not _FOLDER_NAME.fullmatch(name) or not all(parts) or len(name.encode()) > 200:
            raise MailError(550, "5.2.0", f"{name[:80]!r} can be no folder")
        return self.path / f".{name}"

    def folders(self) -> list[str]:
        """The names of all folders: those every user has, then the others by name."""
        usual = [str(folder) for folder in Folder if self.folder(folder).is_dir()]
        found = []
        with os.scandir(self.path) as entries:
            for entry in itertools.islice(entries, 10 * MAX_FOLDERS):
                name = entry.name[1:]
                is_name = entry.name.startswith(".") and name and all(name.split("."))
                if is_name and name not in usual and os.path.isdir(f"{entry.path}/cur"):
                    found.append(name)
        return usual + sorted(found)[:MAX_FOLDERS]

    def entries(self, name: str) -> Iterator[Entry]:
        """Every message of a folder, in no order. One that moves meanwhile may come twice."""
        folder = self.folder(name)
        return (make_entry(folder, place, file) for place, file in self.files(name))

    def files(self, name: str) -> Iterator[tuple[str, str]]:
        """The place ("new" or "cur") and file name of every message, quickly."""
        folder = self.folder(name)
        for place in ("new", "cur"):
            with contextlib.suppress(FileNotFoundError):
                for file in os.listdir(folder / place):
                    if not file.startswith("."):
                        yield place, file

    def find(self, name: str, key: str) -> Entry | None:
        """The message with this key in a folder, whatever its flags are now."""
        folder = self.folder(name)
        if "/" in key or not key:
            return None
        for place, file in (("new", key), ("cur", key), ("cur", f"{key}{INFO}")):
            path = folder / place / file
            if path.exists():
                return Entry(key, place, "", str(path))
        return next((entry for entry in self.entries(name) if entry.key == key), None)

    def has(self, key: str) -> bool:
        """Whether a message lies in any folder."""
        return any(self.find(name, key) for name in self.folders())

    def target(self, name: str, key: str) -> Path:
        """Where a delivered file goes: what others wrote is new, what the user wrote is seen."""
        folder = self.folder(name)
        if name in OUTGOING:
            return folder / "cur" / f"{key}{INFO}{'DS' if name == Folder.DRAFTS else 'S'}"
        return folder / "new" / key

    def used_bytes(self) -> int:
        """How much all messages take. Sizes in names are believed, so no file is touched."""
        return sum(size_of(entry) for name in self.folders() for entry in self.entries(name))


def make_entry(folder: Path, place: str, file: str) -> Entry:
    """The message in this file of a folder."""
    key, flags = split_name(file)
    return Entry(key, place, flags, f"{folder}/{place}/{file}")


def unique_name(unix_time: float, size: int, wire_size: int = 0) -> str:
    """A file name nobody has, with the sizes Dovecot and IMAP look for (W: with CRLF line ends)."""
    seconds, rest = divmod(int(unix_time * 1e6), 1_000_000)
    parts = f"{seconds}.M{rest:06}P{os.getpid()}Q{next(_numbers)}R{_mark}.dexmesh,S={size}"
    return f"{parts},W={wire_size}" if wire_size else parts


def renewed_name(key: str, size: int) -> str:
    """Another name for the same message: in another folder it is a new one for those who count."""
    seconds, micros, _ = arrival(key)
    told = _WIRE_SIZE.search(key)
    return unique_name(seconds + micros / 1e6, size, int(told[1]) if told else 0)


def arrival(key: str) -> tuple[int, int, str]:
    """When a message came, by its name: seconds, microseconds (0: it does not say), then the name."""
    match = _TIME.match(key)
    return (int(match[1]), int(match[2] or 0), key) if match else (0, 0, key)


def split_name(file_name: str) -> tuple[str, str]:
    """Key and flags of a file name."""
    key, _, info = file_name.partition(":")
    return key, info.removeprefix("2,").partition(",")[0] if info.startswith("2,") else ""


def size_of(entry: Entry) -> int:
    """The size in the name, or the file's; 0 if it is gone."""
    told = _SIZE.search(entry.key)
    if told:
        return int(told[1])
    try:
        return os.stat(entry.path).st_size
    except OSError:
        return 0


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the contents of a file durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
