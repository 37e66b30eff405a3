"""Keep the UIDs of a Maildir folder in a file, so that a message has one number for ever.

Place     folder.py -> here -> <folder>/dovecot-uidlist, <folder>/dovecot-keywords
Spec      RFC 3501 §2.3.1.1; the files are Dovecot's (version 3), which can take the folder over
Keeps     a UID is on disk before anybody hears of it; a broken file gives a new UIDVALIDITY, never
          a wrong number; new numbers are appended, the whole is rewritten only to shed dead ones
Not here  which messages there are (folder.py)
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from dexmesh.errors import HostError

UIDLIST_FILE = "dovecot-uidlist"
KEYWORDS_FILE = "dovecot-keywords"
MOST_KEYWORDS = 26  # Maildir has the letters a to z for them
LARGEST_UID = 2**32 - 2
_MAX_FILE_BYTES = 64 << 20
_SPARE_RECORDS = 1000  # ours: dead records that may lie about
_KEYWORD = re.compile(r"[!#$&'+,./0-9:;<=>?@A-Z\[\]^_`a-z|}~-]{1,64}", re.ASCII)


class UidList:
    """The numbers of one folder. Synchronous: for a thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / UIDLIST_FILE
        self.validity = 0
        self.next_uid = 1
        self.uids: dict[str, int] = {}  # file name without flags -> UID

    def load(self) -> None:
        """Read the file, or begin a new one."""
        try:
            with self._path.open("rb") as file:
                lines = file.read(_MAX_FILE_BYTES).decode("utf-8", "surrogateescape").split("\n")
            self._read_header(lines[0])
        except (FileNotFoundError, ValueError):
            self.validity, self.next_uid = max(1, int(time.time())), 1
            self.rewrite()
            return
        taken: set[int] = set()
        for line in lines[1:]:
            number, _, rest = line.partition(" ")
            name = rest.partition(":")[2].rstrip("\r").partition(":")[0]
            if number.isascii() and number.isdigit() and name and name not in self.uids:
                uid = int(number)
                if 0 < uid <= LARGEST_UID and uid not in taken:
                    self.uids[name] = uid
                    taken.add(uid)
        self.next_uid = max(self.next_uid, max(taken, default=0) + 1)

    def _read_header(self, line: str) -> None:
        version, *words = line.split()
        found = {word[0]: word[1:] for word in words}
        validity, next_uid = int(found.get("V", "")), int(found.get("N", ""))
        if version != "3" or not 0 < validity < 2**32 or not 0 < next_uid < 2**32:
            raise ValueError(line)
        self.validity, self.next_uid = validity, next_uid

    def assign(self, names: Sequence[str]) -> list[int]:
        """Give each of these new messages its number, durably. Raises OSError, HostError."""
        if not names:
            return []
        if self.next_uid + len(names) > LARGEST_UID:
            raise HostError(f"{self._path}: no UIDs are left")
        uids = list(range(self.next_uid, self.next_uid + len(names)))
        lines = "".join(f"{uid} :{name}\n" for uid, name in zip(uids, names, strict=True))
        with self._path.open("ab") as file:
            file.write(lines.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fdatasync(file.fileno())
        self.uids.update(zip(names, uids, strict=True))
        self.next_uid += len(names)
        return uids

    def forget_all_but(self, living: set[str]) -> None:
        """Shed the numbers of messages that are gone, once there are many."""
        if len(self.uids) > 2 * len(living) + _SPARE_RECORDS:
            self.uids = {name: uid for name, uid in self.uids.items() if name in living}
            self.rewrite()

    def rewrite(self) -> None:
        """Write the file anew, whole or not at all."""
        head = f"3 V{self.validity} N{self.next_uid} G{secrets.token_hex(16)}\n"
        lines = "".join(f"{uid} :{name}\n" for name, uid in self.uids.items())
        replace_file(self._path, (head + lines).encode("utf-8", "surrogateescape"))


class Keywords:
    """Which letter in a file name stands for which keyword of IMAP."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEYWORDS_FILE
        self.letter_of: dict[str, str] = {}

    def load(self) -> None:
        """Read the file; broken lines are skipped."""
        try:
            with self._path.open("rb") as file:
                text = file.read(1 << 16).decode("ascii", "replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            number, _, name = line.partition(" ")
            is_number = number.isascii() and number.isdigit() and int(number[:3]) < MOST_KEYWORDS
            if is_number and _KEYWORD.fullmatch(name):
                self.letter_of.setdefault(name, chr(ord("a") + int(number)))

    def learn(self, name: str) -> str | None:
        """The letter of a keyword, new ones included; None if the letters are used up."""
        if name in self.letter_of:
            return self.letter_of[name]
        free = [c for c in "abcdefghijklmnopqrstuvwxyz" if c not in self.letter_of.values()]
        if not free or not _KEYWORD.fullmatch(name):
            return None
        self.letter_of[name] = free[0]
        lines = "".join(
            f"{ord(letter) - ord('a')} {keyword}\n" for keyword, letter in self.letter_of.items()
        )
        replace_file(self._path, lines.encode("ascii"))
        return free[0]


def replace_file(path: Path, data: bytes) -> None:
    """Put this into a file for its owner only, durably, whole or not at all. Raises OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
