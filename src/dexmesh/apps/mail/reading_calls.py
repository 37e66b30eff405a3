"""List, fetch, mark, move and delete a user's messages for programs on this machine.

Place     control_calls.py -> here -> imap/boxes.py, store/summary.py
Spec      docs/apps/mail.md §4 "Reading"; ours: docs/apps/mail-control.md
Keeps     a message goes by its UID, the number IMAP gives it too: `17` in INBOX, `Requests/3`
          elsewhere; it never means another message later
Not here  what a message says in detail: whoever asked takes it apart himself (reading.py)
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.mailbox import readable_mailboxes
from dexmesh.apps.mail.control_calls import (
    Arguments,
    Desk,
    flag_of,
    number_of,
    require_user,
    text_of,
    texts_of,
)
from dexmesh.apps.mail.imap.boxes import INBOX, REQUESTS, TRASH, Box, FolderNameError
from dexmesh.apps.mail.imap.folder import Entry, Folder
from dexmesh.apps.mail.store.maildir import Entry as FileEntry
from dexmesh.apps.mail.store.summary import HEAD_BYTES, summarize
from dexmesh.apps.mail.store.values import Summary
from dexmesh.errors import AppError
from dexmesh.wire.address import format_address

MAX_LIST = 1000  # ours: lines at once
MAX_NAMES = 10  # ours: of recipients in a line
LONGEST_WAIT_S = 280.0  # ours: less than the socket's limit for one call
PIECE_BYTES = 384 << 10  # ours
NEWS_POLL_S = 0.3  # ours: two stats of a directory each time
LATEST = "latest"
MARKS = {"seen": "S", "answered": "R", "flagged": "F", "forwarded": "P"}
_ID = re.compile(r"(?:(.{1,100})/)?(\d{1,10}|latest)", re.DOTALL)


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.folders`, `list`, `fetch`, `mark`, `move` and `delete`."""
    calls = Reading(desk)
    server.register("mail.folders", calls.folders)
    server.register("mail.list", calls.list)
    server.register("mail.fetch", calls.fetch)
    server.register("mail.mark", calls.mark)
    server.register("mail.move", calls.move)
    server.register("mail.delete", calls.delete)


class Reading:
    """The calls about messages that are here."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._large = asyncio.Semaphore(2)  # whole messages in memory at once

    async def folders(self, caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """Every folder, with how much is in it."""
        user = require_user(caller)
        shown = []
        for name in await self._desk.in_thread(self._desk.boxes.names, user):
            box = await open_box(self._desk, user, name)
            total, unread = await box.run(_counts, box.folder)
            shown.append({"folder": name, "messages": total, "unread": unread})
        return {"folders": shown}

    async def list(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """The newest messages of a folder; waits for one if asked to and there is none."""
        user = require_user(caller)
        name = canonical(self._desk, user, text_of(arguments, "folder", INBOX))
        limit = int(number_of(arguments, "limit", 50, 1, MAX_LIST))
        before = int(number_of(arguments, "before", 2**32, 1, 2**32))
        wait_s = number_of(arguments, "wait_s", 0, 0, LONGEST_WAIT_S)
        is_unread = flag_of(arguments, "unread")
        box = await open_box(self._desk, user, name)
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            found = await box.run(_newest, box.folder, name, limit, before, is_unread)
            left = until - asyncio.get_running_loop().time()
            if found or left <= 0:
                break
            await _news(box, left)
        total, unread = await box.run(_counts, box.folder)
        return {
            "folder": name,
            "messages": [self.row(uid, summary) for uid, summary in found],
            "total": total,
            "unread": unread,
            "mbox": self._mbox(user) if name == INBOX else None,
            "requests": await self._requests(user) if name == INBOX else None,
        }

    async def _requests(self, user: str) -> int:
        """How many mails of strangers wait to be accepted."""
        return len((await open_box(self._desk, user, REQUESTS)).folder.entries)

    def _mbox(self, user: str) -> str | None:
        settings = self._desk.settings.user(user)
        return str(settings.mbox) if settings is not None and settings.mbox is not None else None

    def row(self, uid: int, summary: Summary) -> dict[str, Any]:
        """A message for programs and for a list."""
        sender = next(iter(readable_mailboxes(summary.from_text)), None)
        remote = summary.remote
        return {
            "id": id_of(summary.folder, uid),
            "uid": uid,
            "folder": summary.folder,
            "from": summary.from_text,
            "from_name": sender.name if sender else "",
            "from_address": str(sender) if sender else "",
            "petname": self._desk.petname_at(sender)
            if sender and not summary.is_from_other
            else "",
            "to": summary.to_text,
            "to_names": [
                self._desk.petname_at(one) or one.name or str(one)
                for one in readable_mailboxes(summary.to_text)[:MAX_NAMES]
            ],
            "subject": summary.subject,
            "unix_time": summary.unix_time,
            "date": summary.date_text,
            "size": summary.size,
            "is_unread": summary.is_unread,
            **{f"is_{name}": letter in summary.flags for name, letter in MARKS.items()},
            "remote": format_address(remote) if remote else None,
            "remote_petname": (self._desk.book.petname_of(remote) or "") if remote else "",
            "is_from_other": summary.is_from_other,
            "message_id": summary.message_id,
        }

    async def fetch(self, caller: Caller, arguments: Arguments) -> AsyncIterator[dict[str, Any]]:
        """One message: first what a list says of it, then its bytes (CRLF, base64) in pieces."""
        box, name, uid = await self.find(caller, arguments)
        summary = await box.run(summary_of, box.folder, uid, name)
        if summary is None:
            raise gone(id_of(name, uid))
        return self._pieces(box, uid, self.row(uid, summary), flag_of(arguments, "mark_seen"))

    async def _pieces(
        self, box: Box, uid: int, row: dict[str, Any], marks_seen: bool
    ) -> AsyncIterator[dict[str, Any]]:
        yield {"message": row}
        async with self._large:
            data = await box.run(box.folder.read, uid)
            if data is None:
                raise gone(row["id"])
            for start in range(0, len(data), PIECE_BYTES):
                yield {"data": base64.b64encode(data[start : start + PIECE_BYTES]).decode()}
        if marks_seen:
            await box.run(_mark, box.folder, uid, "S", "")

    async def mark(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Add or take away marks: seen, answered, flagged, forwarded."""
        box, name, uid = await self.find(caller, arguments)
        added, removed = _letters(arguments, "add"), _letters(arguments, "remove")
        if not await box.run(_mark, box.folder, uid, added, removed):
            raise gone(id_of(name, uid))
        await box.refresh()
        return {"id": id_of(name, uid)}

    async def move(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Move a message into another folder; the id it has there."""
        box, name, uid = await self.find(caller, arguments)
        user = require_user(caller)
        target_name = canonical(self._desk, user, text_of(arguments, "to"))
        target = await open_box(self._desk, user, target_name)
        moved = await box.move([uid], target)
        if uid not in moved:
            raise gone(id_of(name, uid))
        return {"id": id_of(target_name, moved[uid]), "folder": target_name}

    async def delete(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Move a message to Trash; from there, or if asked to, delete it for good."""
        box, name, uid = await self.find(caller, arguments)
        if name == TRASH or flag_of(arguments, "for_good"):
            await box.run(box.folder.remove, [uid])
            await box.refresh()
            return {"id": None, "folder": None}
        target = await open_box(self._desk, require_user(caller), TRASH)
        moved = await box.move([uid], target)
        if uid not in moved:
            raise gone(id_of(name, uid))
        return {"id": id_of(TRASH, moved[uid]), "folder": TRASH}

    async def find(self, caller: Caller, arguments: Arguments) -> tuple[Box, str, int]:
        """The message an `id` means, in the `folder` that is named beside it or INBOX."""
        return await find_message(self._desk, require_user(caller), arguments)


async def find_message(desk: Desk, user: str, arguments: Arguments) -> tuple[Box, str, int]:
    """Folder, its name and UID of the message an `id` means. Raises AppError."""
    text = text_of(arguments, "id").strip()
    match = _ID.fullmatch(text)
    if match is None:
        hint = "`dexmesh mail list` shows the numbers; `latest` is the newest"
        raise AppError(f"{text[:80]!r} is no number of a message", hint)
    name = canonical(desk, user, match.group(1) or text_of(arguments, "folder", INBOX))
    box = await open_box(desk, user, name)
    async with box.lock:
        newest = next(reversed(box.folder.entries), None)
        uid = newest if match.group(2) == LATEST else int(match.group(2))
        if uid is None:
            raise AppError(f"{name} is empty", "`dexmesh mail list --folder NAME` looks elsewhere")
        if uid not in box.folder.entries:
            raise gone(id_of(name, uid))
    return box, name, uid


async def open_box(desk: Desk, user: str, name: str) -> Box:
    """A folder of the user, up to date. Raises AppError if there is none of that name."""
    try:
        return await desk.boxes.open(user, name)
    except (KeyError, FolderNameError):
        known = desk.boxes.names(user)
        raise AppError(
            f"there is no folder {name[:80]!r}", f"there are: {', '.join(known)}"
        ) from None


def canonical(desk: Desk, user: str, name: str) -> str:
    """The folder as it is called, whatever the case somebody typed."""
    known = desk.boxes.names(user)
    return next((one for one in known if one.lower() == name.lower()), name)


def id_of(folder: str, uid: int) -> str:
    """What a message is called in lists and commands."""
    return str(uid) if folder == INBOX else f"{folder}/{uid}"


def gone(message_id: str) -> AppError:
    """There is no such message."""
    return AppError(f"there is no message {message_id}", "`dexmesh mail list` shows what is there")


def summary_of(folder: Folder, uid: int, name: str) -> Summary | None:
    """The line of one message; None if it is gone. For a thread."""
    try:
        head = folder.read(uid, HEAD_BYTES)
    except BlockingIOError:  # an mbox in use: all of it
        raise
    except OSError:
        return None
    entry = folder.entries.get(uid)
    if entry is None or head is None:
        return None
    shown = FileEntry(entry.name, "new" if entry.is_new else "cur", entry.letters, "")
    return summarize(shown, name, head, folder.size(uid), entry.unix_time)


def newest_first(folder: Folder) -> Sequence[Entry]:
    """All messages, the newest first."""
    return list(reversed(folder.entries.values()))


def _newest(
    folder: Folder, name: str, limit: int, before: int, is_unread: bool
) -> list[tuple[int, Summary]]:
    found: list[tuple[int, Summary]] = []
    for entry in newest_first(folder):
        if len(found) >= limit:
            break
        if entry.uid < before and not (is_unread and _is_read(entry)):
            summary = summary_of(folder, entry.uid, name)
            if summary is not None:
                found.append((entry.uid, summary))
    return found


def _is_read(entry: Entry) -> bool:
    return "S" in entry.letters and not entry.is_new


def _counts(folder: Folder) -> tuple[int, int]:
    unread = sum(not _is_read(entry) for entry in folder.entries.values())
    return len(folder.entries), unread


def _mark(folder: Folder, uid: int, added: str, removed: str) -> bool:
    entry = folder.entries.get(uid)
    if entry is None:
        return False
    letters = (set(entry.letters) | set(added)) - set(removed)
    return folder.set_letters(uid, "".join(letters)) is not None


def _letters(arguments: Arguments, name: str) -> str:
    words = texts_of(arguments, name, len(MARKS))
    if not set(words) <= MARKS.keys():
        raise AppError(f"{name!r} is a list of: {', '.join(MARKS)}")
    return "".join(MARKS[word] for word in words)


async def _news(box: Box, left_s: float) -> None:
    """Wait until something may have changed."""
    change = box.folder.change
    until = asyncio.get_running_loop().time() + left_s
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(min(NEWS_POLL_S, left_s))
        if box.folder.is_stale() or box.folder.change != change:
            await box.refresh()
            return
