"""Read and tidy the users' folders: list, open, mark, move, remove, save.

Place     control calls and the terminal (E) -> here -> maildir.py
Spec      docs/apps/mail.md §4 "Reading"
Keeps     a list costs one look at the directory and one read for each line shown, whatever the folder
          holds; what other programs rename meanwhile is found again by its key
Not here  IMAP (imap/), what a message says (reading.py), delivering (store.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.mail.store.maildir import (
    INFO,
    Entry,
    Maildir,
    arrival,
    make_entry,
    renewed_name,
    size_of,
    split_name,
    sync_directory,
    unique_name,
)
from dexmesh.apps.mail.store.quota import Quota
from dexmesh.apps.mail.store.summary import HEAD_BYTES, remote_of, summarize
from dexmesh.apps.mail.store.troubles import disk_trouble
from dexmesh.apps.mail.store.values import FolderStatus, Summary
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

MAX_LIST = 1000  # ours: lines at once
_TRIES = 4  # ours: how often a message that is renamed under us is looked for

T = TypeVar("T")


class Reader:
    """One per store. Keys are as in Summary; a message that is gone gives MailError 550 5.1.0."""

    def __init__(
        self,
        maildir: Callable[[str], Maildir],
        quota: Quota,
        executor: Executor | None,
        clock: Callable[[], float],
    ) -> None:
        self._maildir = maildir
        self._quota = quota
        self._executor = executor
        self._clock = clock

    async def folders(self, user: str) -> tuple[FolderStatus, ...]:
        """Every folder of a user and how much is in it."""
        box = self._maildir(user)
        return await self._run(lambda: tuple(_status(box, name) for name in box.folders()))

    async def list(
        self,
        user: str,
        folder: str,
        *,
        limit: int = 50,
        before: str = "",
        is_unread: bool | None = None,
    ) -> tuple[Summary, ...]:
        """The newest messages first; `before` goes on below that key, `is_unread` filters."""
        box = self._maildir(user)
        limit = max(0, min(limit, MAX_LIST))
        return await self._run(lambda: tuple(_list(box, folder, limit, before, is_unread)))

    async def summary(self, user: str, folder: str, key: str) -> Summary:
        """The line of one message."""
        box = self._maildir(user)
        return await self._run(lambda: _with(box, folder, key, lambda one: _line(one, folder)))

    async def read(self, user: str, folder: str, key: str, most: int = -1) -> bytes:
        """A message as it lies in its file; at most `most` bytes of it."""
        box = self._maildir(user)

        def read(entry: Entry) -> bytes:
            with open(entry.path, "rb") as file:
                return file.read(most)

        return await self._run(lambda: _with(box, folder, key, read))

    async def path(self, user: str, folder: str, key: str) -> Path:
        """Where a message lies now; marking it renames the file."""
        box = self._maildir(user)
        return await self._run(lambda: Path(_find(box, folder, key).path))

    async def mark(
        self, user: str, folder: str, key: str, *, add: str = "", remove: str = ""
    ) -> str:
        """Set and take away flags (Maildir letters); the flags it has now."""
        box = self._maildir(user)

        def mark(entry: Entry) -> str:
            flags = "".join(sorted((set(entry.flags) | set(add)) - set(remove)))
            target = box.folder(folder) / "cur" / f"{entry.key}{INFO}{flags}"
            os.rename(entry.path, target)
            return flags

        return await self._run(lambda: _with(box, folder, key, mark))

    async def move(self, user: str, folder: str, key: str, target: str) -> str:
        """Put a message into another folder, which is made if need be; its key there."""
        box = self._maildir(user)

        def move(entry: Entry) -> str:
            into = box.make_folder(target)
            new_key = _rename_into(entry, into)
            sync_directory(into / entry.place)
            return new_key

        if target == folder:
            return key
        return await self._run(lambda: _with(box, folder, key, move))

    async def remove(self, user: str, folder: str, key: str) -> None:
        """Delete a message for good."""
        box = self._maildir(user)

        def remove(entry: Entry) -> int:
            size = size_of(entry)
            os.unlink(entry.path)
            return size

        size = await self._run(lambda: _with(box, folder, key, remove))
        self._quota.remove(user, size)

    async def save(
        self, user: str, folder: str, message: bytes, *, flags: str = "S", wire_size: int = 0
    ) -> str:
        """Put a message of the user's own (Sent, Drafts) into a folder; its key. Durable.

        Raises MailError 452 when there is no room.
        """
        box = self._maildir(user)
        self._quota.take(user, len(message))
        key = unique_name(self._clock(), len(message), wire_size)
        try:
            await self._run(lambda: _save(box.make_folder(folder), key, flags, message))
        except BaseException:
            self._quota.give_back(user, len(message))
            raise
        self._quota.keep(user, len(message))
        return key

    async def from_node(self, user: str, folder: str, remote: Address) -> tuple[str, ...]:
        """The keys of all messages in a folder that came from this node, oldest first."""
        box = self._maildir(user)
        return await self._run(lambda: tuple(_from_node(box, folder, remote)))

    async def move_all(self, user: str, folder: str, keys: tuple[str, ...], target: str) -> int:
        """Move these messages; how many were still there. Durable."""
        box = self._maildir(user)
        return await self._run(lambda: _move_all(box, folder, keys, target))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            raise disk_trouble(error) from error


def _status(box: Maildir, name: str) -> FolderStatus:
    messages = unread = 0
    for entry in box.entries(name):
        messages += 1
        unread += entry.is_unread
    return FolderStatus(name, messages, unread)


def _list(
    box: Maildir, folder: str, limit: int, before: str, is_unread: bool | None
) -> Iterator[Summary]:
    path, border = box.folder(folder), arrival(before)
    wanted = (
        (place, file)
        for place, file in box.files(folder)
        if (not before or arrival(split_name(file)[0]) < border)
        and (is_unread is None or make_entry(path, place, file).is_unread == is_unread)
    )
    newest = heapq.nlargest(limit, wanted, key=lambda one: arrival(one[1]))
    entries = {split_name(file)[0]: make_entry(path, place, file) for place, file in newest}
    for key, entry in entries.items():
        with contextlib.suppress(MailError):  # gone meanwhile
            yield _with(box, folder, key, lambda one: _line(one, folder), entry)


def _arrived(entry: Entry) -> tuple[int, int, str]:
    return arrival(entry.key)


def _line(entry: Entry, folder: str) -> Summary:
    with open(entry.path, "rb") as file:
        head = file.read(HEAD_BYTES)
        stat = os.fstat(file.fileno())
    unix_time = arrival(entry.key)[0] or stat.st_mtime
    return summarize(entry, folder, head, stat.st_size, unix_time)


def _find(box: Maildir, folder: str, key: str) -> Entry:
    entry = box.find(folder, key)
    if entry is None:
        raise MailError(550, "5.1.0", "this message is not there any more", hint="list it again")
    return entry


def _with(
    box: Maildir, folder: str, key: str, work: Callable[[Entry], T], entry: Entry | None = None
) -> T:
    """Do something with a message, though other programs may rename its file under us."""
    for _ in range(_TRIES):
        entry = entry or _find(box, folder, key)
        try:
            return work(entry)
        except FileNotFoundError:
            entry = None
    raise MailError(450, "4.2.0", "another program has this message, try again")


def _rename_into(entry: Entry, folder: Path) -> str:
    key = renewed_name(entry.key, size_of(entry))
    name = os.path.basename(entry.path)
    info = name[len(entry.key) :]
    os.rename(entry.path, folder / entry.place / f"{key}{info}")
    return key


def _move_all(box: Maildir, folder: str, keys: tuple[str, ...], target: str) -> int:
    wanted, moved = set(keys), 0
    into = box.make_folder(target)
    for entry in list(box.entries(folder)):
        if entry.key in wanted:
            with contextlib.suppress(MailError):
                _with(box, folder, entry.key, lambda one: _rename_into(one, into), entry)
                moved += 1
    sync_directory(into / "new")
    sync_directory(into / "cur")
    return moved


def _from_node(box: Maildir, folder: str, remote: Address) -> Iterator[str]:
    for entry in sorted(box.entries(folder), key=_arrived):
        with contextlib.suppress(OSError), open(entry.path, "rb") as file:
            if remote_of(file.read(HEAD_BYTES)) == remote:
                yield entry.key


def _save(folder: Path, key: str, flags: str, message: bytes) -> None:
    draft = folder / "tmp" / key
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
            file.flush()
            os.fsync(descriptor)
        draft.rename(folder / "cur" / f"{key}{INFO}{''.join(sorted(set(flags)))}")
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(folder / "cur")
