"""Open the folders of the local users, once each, for everybody who looks at the same time.

Place     imap/backend.py and control_calls.py -> here -> folder.py in the worker's threads
Spec      docs/apps/mail.md §4 "Reading"; Maildir++ (INBOX at users/<name>/Maildir, others `.Name`)
Keeps     one Folder object a directory, one caller at a time; no name leads out of the user's
          Maildir; folders nobody uses are closed; numbers of users' folders are bounded
Not here  what is in a folder (folder.py); delivery (store/)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import ParamSpec, TypeVar

from dexmesh.apps.mail.imap.folder import Folder, make_maildir
from dexmesh.apps.mail.imap.mbox import MboxFolder
from dexmesh.apps.mail.imap.uidlist import replace_file
from dexmesh.errors import UsageError

INBOX, REQUESTS, SENT, DRAFTS, TRASH = "INBOX", "Requests", "Sent", "Drafts", "Trash"
STANDING = (REQUESTS, SENT, DRAFTS, TRASH)
"""Folders every user has, besides INBOX."""

FORMER = "Maildir"
"""What came into the Maildir of a user before his INBOX was an mbox; there while something is in it."""

MBOX_STATE = "mbox"  # in the Maildir: the numbers of the messages in the mbox
WRITE_AFTER_S = 1.0  # ours: a change that no command writes at once
MOST_FOLDERS = 500  # ours, a user
MOST_NAME_CHARS = 100  # ours
MOST_DEPTH = 6  # ours
KEPT_OPEN = 8  # ours: folders that stay open for the next command
SUBSCRIPTIONS = "subscriptions"  # Dovecot's name for it

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class FolderNameError(ValueError):
    """No folder can be called that."""


class Box:
    """One open folder. Everything that touches it goes through `run` or holds `lock`."""

    def __init__(self, folder: Folder, executor: Executor | None) -> None:
        self.folder = folder
        self.lock = asyncio.Lock()
        self.view: object = None  # what a protocol keeps beside the folder, as long as it is open
        self._executor = executor
        self._is_open = False
        self._writing: asyncio.Task[None] | None = None

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call this in a thread, while nobody else has the folder. Raises OSError."""
        async with self.lock:
            return await self.run_locked(call, *args, **kwargs)

    async def run_locked(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same, for a caller that holds the lock."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # the thread goes on: the lock must outlast it
                await work
            raise
        finally:
            if self.folder.has_pending and self._writing is None:
                self._writing = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        """See that a change is written, also where no command follows that does it."""
        try:
            await asyncio.sleep(WRITE_AFTER_S)
            await self.refresh()
        except OSError as error:
            log.warning("a folder could not be changed", extra={"reason": error.strerror})
        finally:
            self._writing = None

    async def close(self) -> None:
        """Write what is pending, now. Raises OSError."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        if self.folder.has_pending:
            await self.refresh()

    async def refresh(self) -> None:
        """Take in what others changed. Raises OSError."""
        async with self.lock:
            await self.refresh_locked()

    async def refresh_locked(self) -> None:
        """The same, for a caller that holds the lock."""
        if not self._is_open:
            await self.run_locked(self.folder.open)
            self._is_open = True
        elif self.folder.is_stale():
            await self.run_locked(self.folder.refresh)

    async def move(self, uids: list[int], target: Box) -> dict[int, int]:
        """Move messages to another folder: old UID -> new UID. Raises OSError."""
        return await self._to(target, self.folder.move, uids)

    async def copy(self, uids: list[int], target: Box) -> dict[int, int]:
        """Copy messages to another folder: UID -> UID of the copy. Raises OSError."""
        return await self._to(target, self.folder.copy, uids)

    async def _to(
        self, target: Box, call: Callable[[int, Folder], int | None], uids: list[int]
    ) -> dict[int, int]:
        def work() -> dict[int, int]:
            made = ((uid, call(uid, target.folder)) for uid in uids)
            found = {uid: new for uid, new in made if new is not None}
            if self.folder.has_pending:
                self.folder.refresh()
            return found

        async with contextlib.AsyncExitStack() as held:
            both = {str(box.folder.path): box for box in (self, target)}
            for _, box in sorted(both.items()):  # always in the same order
                await held.enter_async_context(box.lock)
            await target.refresh_locked()
            return await self.run_locked(work)


class Boxes:
    """The folders of all users."""

    def __init__(
        self,
        users: Path,
        executor: Executor | None = None,
        mboxes: Mapping[str, Path] | None = None,
    ) -> None:
        self._users = users
        self._executor = executor
        self._mboxes = mboxes or {}  # by user: the file that is his INBOX
        self._open: weakref.WeakValueDictionary[Path, Box] = weakref.WeakValueDictionary()
        self._lately: OrderedDict[Path, Box] = OrderedDict()

    async def open(self, user: str, name: str = INBOX) -> Box:
        """The user's folder, up to date. KeyError if he has none of that name; raises OSError."""
        path = self._path(user, name)
        is_mbox = name == INBOX and user in self._mboxes
        if not is_mbox and not path.is_dir():
            if name != INBOX and name not in STANDING:
                raise KeyError(name)
            make_maildir(path)
        box = self._open.get(path)
        if box is None:
            folder = MboxFolder(path, self._root(user) / MBOX_STATE) if is_mbox else Folder(path)
            box = self._open[path] = Box(folder, self._executor)
        self._lately[path] = box
        self._lately.move_to_end(path)
        while len(self._lately) > KEPT_OPEN:
            self._lately.popitem(last=False)
        await box.refresh()
        return box

    async def close(self) -> None:
        """Write what is still pending."""
        for box in tuple(self._open.values()):
            with contextlib.suppress(OSError):
                await box.close()

    def names(self, user: str) -> list[str]:
        """INBOX, the standing folders, and what the user made."""
        found = set(STANDING)
        with contextlib.suppress(FileNotFoundError):
            for path in self._root(user).iterdir():
                if path.name.startswith(".") and (path / "cur").is_dir():
                    with contextlib.suppress(UnicodeError, FolderNameError):
                        name = _decode(path.name)
                        _encode(name)
                        found.add(name)
        if user in self._mboxes and _has_mail(self._root(user)):
            found.add(FORMER)
        return [INBOX, *sorted(found)[:MOST_FOLDERS]]

    def make(self, user: str, name: str) -> None:
        """Make a folder. Raises FileExistsError, FolderNameError, OSError."""
        path = self._path(user, name)
        if path.exists():
            raise FileExistsError(name)
        if len(self.names(user)) >= MOST_FOLDERS:
            raise FolderNameError(f"{MOST_FOLDERS} folders are enough")
        make_maildir(path)

    async def delete(self, user: str, name: str) -> None:
        """Delete a folder with all that is in it. Raises KeyError, FolderNameError, OSError."""
        path = self._existing(user, name)
        self._forget(path)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, shutil.rmtree, path)

    def rename(self, user: str, old: str, new: str) -> None:
        """Give a folder, and those below it, another name. Raises as `make` and `delete`."""
        source, target = self._existing(user, old), self._path(user, new)
        if target.exists() or new in STANDING:
            raise FileExistsError(new)
        below = [
            path for path in source.parent.iterdir() if path.name.startswith(source.name + ".")
        ]
        source.rename(target)
        self._forget(source)
        for path in below:
            path.rename(target.with_name(target.name + path.name[len(source.name) :]))
            self._forget(path)

    def _existing(self, user: str, name: str) -> Path:
        if name == INBOX or name in STANDING or self._path(user, name) == self._root(user):
            raise FolderNameError(f"{name} stays")
        path = self._path(user, name)
        if not path.is_dir():
            raise KeyError(name)
        return path

    def _forget(self, path: Path) -> None:
        self._open.pop(path, None)
        self._lately.pop(path, None)

    # Subscriptions: a list of names, one a line; without the file everything is subscribed

    def subscribed(self, user: str) -> list[str]:
        """The folders a mail program shows."""
        chosen = self._subscriptions(user)
        return [
            name for name in self.names(user) if chosen is None or name in chosen or name == INBOX
        ]

    def subscribe(self, user: str, name: str, *, is_wanted: bool) -> None:
        """Show this folder, or do not. Raises OSError, FolderNameError."""
        _encode(name)
        chosen = self._subscriptions(user)
        names = set(self.names(user)) if chosen is None else chosen
        names = names | {name} if is_wanted else names - {name}
        if len(names) > MOST_FOLDERS:
            raise FolderNameError(f"{MOST_FOLDERS} subscriptions are enough")
        root = self._root(user)
        make_maildir(root)
        replace_file(root / SUBSCRIPTIONS, "".join(f"{one}\n" for one in sorted(names)).encode())

    def _subscriptions(self, user: str) -> set[str] | None:
        try:
            with (self._root(user) / SUBSCRIPTIONS).open("rb") as file:
                text = file.read(1 << 17).decode("utf-8", "replace")
        except OSError:
            return None
        return {line.strip() for line in text.splitlines() if line.strip()}

    # Names

    def _root(self, user: str) -> Path:
        if not user or "/" in user or "\0" in user or user.startswith("."):
            raise UsageError(f"{user!r} is no local user")
        return self._users / user / "Maildir"

    def _path(self, user: str, name: str) -> Path:
        root = self._root(user)
        if user in self._mboxes:
            if name == INBOX:
                return self._mboxes[user]
            if name == FORMER and not (root / _encode(name)).is_dir():
                return root
        return root if name == INBOX else root / _encode(name)


def _has_mail(maildir: Path) -> bool:
    for place in ("new", "cur"):
        with contextlib.suppress(OSError), os.scandir(maildir / place) as files:
            if any(not file.name.startswith(".") for file in files):
                return True
    return False


def _encode(name: str) -> str:
    """The directory of a folder: `Lists/cjdns` is `.Lists.cjdns`. Raises FolderNameError."""
    from pymap.parsing.modutf7 import modutf7_encode

    parts = name.split("/")
    is_ours = all(parts) and len(parts) <= MOST_DEPTH and len(name) <= MOST_NAME_CHARS
    is_safe = all(c.isprintable() and c not in ".*%\\~" for c in name)
    if not is_ours or not is_safe or parts[0].upper() == INBOX or name != name.strip():
        raise FolderNameError(
            "a folder name has no . * % ~ \\, no blank at its ends, and no empty part"
        )
    encoded = "." + ".".join(modutf7_encode(part).decode("ascii") for part in parts)
    if len(encoded) > 250:
        raise FolderNameError("the folder name is too long")
    return encoded


def _decode(directory: str) -> str:
    from pymap.parsing.modutf7 import modutf7_decode

    return "/".join(modutf7_decode(part.encode("ascii")) for part in directory[1:].split("."))
