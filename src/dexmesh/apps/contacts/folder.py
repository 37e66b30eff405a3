"""Keep the files of the address book: locked while one writes, replaced whole, private.

Place     book.py -> here
Spec      docs/apps/mail.md §5 (one vCard file for each contact)
Keeps     folder 0700 and files 0600; root acts as the owner of the folder, so files are his and no
          link of his leads root anywhere; a reader sees the old file or the new one
Not here  what is in the files (book.py, vcard.py)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from dexmesh.errors import ContactError, PermissionNeededError

LOCK_WAIT_S = 10.0  # ours: an import of many contacts takes a few
MANY_FILES = 32  # ours: from here on one sync of the disk is cheaper than one for each file

_LOCK, _DRAFT_END = ".lock", ".new"
_POLL_S = 0.02
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Stamp: TypeAlias = tuple[int, int, int]
"""Changes whenever a file does: mtime in ns, size, inode."""


class Folder:
    """A folder of small files, which may not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._path = str(path)

    def changed(self) -> int | None:
        """When files last came, went or were replaced (ns); None without a folder."""
        try:
            return os.stat(self._path).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stamps(self, suffix: str, most: int) -> dict[str, Stamp]:
        """The stamp of every visible file with this suffix, sorted by stem; at most `most` + 1."""
        found: list[tuple[str, Stamp]] = []
        try:
            with self.as_owner(), os.scandir(self.path) as entries:
                for entry in entries:
                    if not entry.name.endswith(suffix) or entry.name.startswith("."):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        found.append((entry.name, _stamp(entry.stat(follow_symlinks=False))))
                    if len(found) > most:
                        break
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except PermissionError:
            raise _not_yours(self.path) from None
        return dict(sorted(found, key=lambda one: one[0].removesuffix(suffix)))

    def read(self, name: str, most: int) -> bytes:
        """The file, and one byte more than `most` if it is longer. Raises FileNotFoundError, ContactError."""
        try:
            with self.as_owner():
                descriptor = os.open(f"{self._path}/{name}", _READ)
        except PermissionError:
            raise _not_yours(self.path) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ContactError(f"{name} is a link, no file") from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ContactError(f"{name} is no file")
            return _read_up_to(descriptor, most + 1)
        finally:
            os.close(descriptor)

    def read_hidden(self, name: str, most: int) -> bytes:
        """A file beside the others that may be missing: then it is empty."""
        with contextlib.suppress(OSError, ContactError):
            return self.read(name, most)
        return b""

    def write_hidden(self, name: str, data: bytes) -> None:
        """Write a file that may get lost: readers see the old one or the new, after a crash maybe none."""
        draft = self.path / f"{name}.{secrets.token_hex(6)}{_DRAFT_END}"
        with contextlib.suppress(OSError), self.as_owner():
            try:
                self._write(draft, data, is_synced=False)
                draft.rename(self.path / name)
            finally:
                draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer. Raises ContactError after LOCK_WAIT_S; makes the folder if needed."""
        try:
            self._ensure()
            with self.as_owner():
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self.path / _LOCK, flags, 0o600)
            try:
                _lock(descriptor)
                with self.as_owner():
                    self._sweep()
                yield  # as ourselves: the owner may not be able to read what Python still imports
            finally:
                os.close(descriptor)
        except PermissionError:
            raise _not_yours(self.path) from None
        except OSError as error:
            raise ContactError(f"{self.path} cannot be written: {error.strerror}") from None

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Write these files, each whole or not at all, on disk when it returns. Only while locked."""
        with self.as_owner():
            drafts: list[tuple[Path, Path]] = []
            is_many = len(files) >= MANY_FILES
            try:
                for name, data in files.items():
                    draft = self.path / f".{name}.{secrets.token_hex(6)}{_DRAFT_END}"
                    drafts.append((draft, self.path / name))
                    self._write(draft, data, is_synced=not is_many)
                if is_many:
                    os.sync()
                for draft, target in drafts:
                    draft.rename(target)
            finally:
                for draft, _target in drafts:
                    draft.unlink(missing_ok=True)
            self._sync()

    def remove(self, name: str) -> None:
        """Remove a file, on disk when it returns. Only while locked."""
        with self.as_owner():
            (self.path / name).unlink(missing_ok=True)
            self._sync()

    def _ensure(self) -> None:
        if self.path.is_dir():
            return
        home = self.path.parent
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        with _acting_as(home.stat()), contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)

    @contextlib.contextmanager
    def as_owner(self) -> Iterator[None]:
        """Root has no more rights here than whose book it is.

        Around many calls it saves changing the account for each. Nothing is to be imported inside.
        """
        if os.geteuid() != 0:
            yield
            return
        with _acting_as(os.lstat(self._path)):
            yield

    def _write(self, draft: Path, data: bytes, *, is_synced: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if is_synced:
                os.fsync(descriptor)

    def _sweep(self) -> None:
        """Remove drafts that a crash left: nobody else writes now."""
        with os.scandir(self.path) as entries:
            left = [
                entry.path
                for entry in entries
                if entry.name.startswith(".") and entry.name.endswith(_DRAFT_END)
            ]
        for path in left:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _acting_as(owner: os.stat_result) -> Iterator[None]:
    """Be this account while it lasts, if we are root: no threads of ours do anything else then."""
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    former = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(former)


def _stamp(result: os.stat_result) -> Stamp:
    return result.st_mtime_ns, result.st_size, result.st_ino


def _read_up_to(descriptor: int, most: int) -> bytes:
    data = os.read(descriptor, min(most, 1 << 16))
    if len(data) < (1 << 16):
        return data
    parts, left = [data], most - len(data)
    while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                hint = "Another program is writing it; try again in a moment."
                raise ContactError("the address book is locked", hint) from None
            time.sleep(_POLL_S)


class NotYourBookError(ContactError, PermissionNeededError):
    """The address book belongs to another account; be that one, or root."""


def _not_yours(path: Path) -> ContactError:
    hint = "Run it as the owner of the address book, or as root: sudo dexmesh contact ..."
    return NotYourBookError(f"{path} may not be used by you", hint)
