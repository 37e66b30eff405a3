"""Show our folders to pymap: mailboxes and messages as its interfaces want them.

Place     connection.py runs pymap's state machine -> here -> boxes.py
Spec      docs/apps/mail.md §4 "Reading"; RFC 3501, 4315 (UIDPLUS), 6851 (MOVE), 6154 (SPECIAL-USE)
Keeps     several clients in one folder see each other's changes; a command costs what changed, not
          what is there; no file outside the user's Maildir is touched, no name is looked up
Not here  who may log in (sessions.py), how answers look (fetch.py)
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymap.backend.mailbox import MailboxDataInterface, MailboxSetInterface
from pymap.concurrent import Event
from pymap.exceptions import NotAllowedError
from pymap.flags import FlagOp, SessionFlags
from pymap.interfaces.message import CachedMessage, FlagsKey, MessageInterface
from pymap.listtree import ListTree
from pymap.mailbox import MailboxSnapshot
from pymap.parsing.message import AppendMessage
from pymap.parsing.specials import FetchRequirement, ObjectId, SequenceSet
from pymap.parsing.specials.flag import Flag, Recent, Seen, Wildcard, get_system_flags
from pymap.selected import SelectedMailbox, SelectedSet

from dexmesh.apps.mail.imap.boxes import (
    STANDING,
    Box,
    Boxes,
    FolderNameError,
)
from dexmesh.apps.mail.imap.content import Contents, Need
from dexmesh.apps.mail.imap.folder import Entry
from dexmesh.apps.mail.imap.searching import Searched

if TYPE_CHECKING:
    pass

IDLE_POLL_S = 0.4  # ours: two stats of a directory each time
_EVERYTHING = SequenceSet.all(uid=True)

CheckRoom = Callable[[str, int], Awaitable[None]]


class Message(CachedMessage, MessageInterface):
    """One message of an open folder at one moment."""

    __slots__ = ("_flags", "_moment", "box", "contents", "is_expunged", "letters", "number")

    def __init__(
        self, box: Box, entry: Entry, flags: frozenset[Flag], contents: Contents, expunged: bool
    ) -> None:
        self.box = box
        self.number = entry.uid
        self.letters = entry.letters
        self.contents = contents
        self.is_expunged = expunged
        self._flags = flags
        self._moment = entry.unix_time

    @property
    def uid(self) -> int:
        return self.number

    @property
    def expunged(self) -> bool:
        return self.is_expunged

    @property
    def internal_date(self) -> datetime:
        try:
            return datetime.fromtimestamp(self._moment, UTC).astimezone()
        except (OverflowError, ValueError, OSError):
            return datetime.fromtimestamp(0, UTC)

    @property
    def permanent_flags(self) -> frozenset[Flag]:
        return self._flags

    @property
    def email_id(self) -> ObjectId:
        return ObjectId(None)

    @property
    def thread_id(self) -> ObjectId:
        return ObjectId(None)

    @property
    def flags_key(self) -> FlagsKey:
        return (self.number, self._flags)

    def get_flags(self, session_flags: SessionFlags) -> frozenset[Flag]:
        return self._flags | session_flags.get(self.number)

    async def load_content(self, requirement: FetchRequirement) -> Searched:
        """For SEARCH; FETCH loads for itself."""
        if FetchRequirement.BODY in requirement:
            need = Need.WHOLE
        else:
            need = Need.HEADER if FetchRequirement.HEADER in requirement else Need.NOTHING
        if self.is_expunged or need is Need.NOTHING:
            return Searched(None, requirement)
        async with self.contents.load(self.box, self.number, need, wants_size=False) as content:
            return Searched(content, requirement)


class MailboxData(MailboxDataInterface[Message]):
    """One open folder for all sessions that look at it."""

    def __init__(self, box: Box, contents: Contents, check_room: CheckRoom, user: str) -> None:
        self.box = box
        self._contents = contents
        self._check_room = check_room
        self._user = user
        self._id = ObjectId(b"F" + hashlib.sha256(bytes(box.folder.path)).hexdigest()[:32].encode())
        self._selected_set = SelectedSet()
        self._messages: dict[int, Message] = {}
        self._change = -1

    @property
    def mailbox_id(self) -> ObjectId:
        return self._id

    @property
    def readonly(self) -> bool:
        return False

    @property
    def uid_validity(self) -> int:
        return self.box.folder.validity

    @property
    def permanent_flags(self) -> frozenset[Flag]:
        keywords = frozenset(Flag(name) for name in self.box.folder.keywords.letter_of)
        more = keywords | {Wildcard} if self.box.folder.takes_keywords else frozenset()
        return (get_system_flags() - {Recent}) | more

    @property
    def selected_set(self) -> SelectedSet:
        return self._selected_set

    async def update_selected(
        self, selected: SelectedMailbox, *, wait_on: Event | None = None
    ) -> SelectedMailbox:
        if wait_on is not None:
            await self._wait_for_change(selected, wait_on)
        async with self._fresh() as messages:
            folder, since = self.box.folder, selected.mod_sequence
            if since is None:
                selected.set_messages(list(messages.values()))
            elif since == folder.change:
                selected.add_updates([], [])  # expunges that had to wait
            else:
                changed = [
                    messages[one.uid] for one in folder.entries.values() if one.change > since
                ]
                known = selected.messages.get_all(_EVERYTHING)
                selected.add_updates(changed, {one.uid for _, one in known} - messages.keys())
            selected.mod_sequence = folder.change
        return selected

    async def _wait_for_change(self, selected: SelectedMailbox, done: Event) -> None:
        while not done.is_set():
            await done.wait(timeout=IDLE_POLL_S)
            if self.box.folder.is_stale() or self.box.folder.change != selected.mod_sequence:
                return

    @asynccontextmanager
    async def _fresh(self) -> AsyncIterator[dict[int, Message]]:
        """All messages as they are now; nobody changes them while inside."""
        async with self.box.lock:
            await self.box.refresh_locked()
            folder = self.box.folder
            if folder.change != self._change:
                for uid in self._messages.keys() - folder.entries.keys():
                    del self._messages[uid]
                for entry in folder.entries.values():
                    if entry.change > self._change or entry.uid not in self._messages:
                        self._messages[entry.uid] = self._message(entry)
                self._change = folder.change
            yield self._messages

    def _message(self, entry: Entry, *, expunged: bool = False) -> Message:
        flags = frozenset(Flag(name) for name in self.box.folder.flags_of(entry.letters))
        return Message(self.box, entry, flags, self._contents, expunged)

    async def append(self, append_msg: AppendMessage, *, recent: bool = False) -> Message:
        await self._check_room(self._user, len(append_msg.literal))
        when = append_msg.when.timestamp() if append_msg.when else None
        names = [str(flag) for flag in append_msg.flag_set]
        folder = self.box.folder

        def work() -> Entry:
            return folder.append(append_msg.literal, folder.letters_of(names), when)

        return self._message(await self.box.run(work))

    async def copy(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        await self._check_room(self._user, await self.box.run(self.box.folder.size, uid))
        return (await self.box.copy([uid], destination.box)).get(uid)

    async def move(self, uid: int, destination: MailboxData, *, recent: bool = False) -> int | None:
        return (await self.box.move([uid], destination.box)).get(uid)

    async def get(self, uid: int, cached_msg: CachedMessage) -> Message:
        found = self._messages.get(uid)
        return found if found is not None else _expunged(cached_msg)

    async def update(
        self, uid: int, cached_msg: CachedMessage, flag_set: frozenset[Flag], mode: FlagOp
    ) -> Message:
        folder = self.box.folder

        def work() -> Entry | None:
            entry = folder.entries.get(uid)
            if entry is None:
                return None
            old = frozenset(Flag(name) for name in folder.flags_of(entry.letters))
            names = [str(flag) for flag in mode.apply(old, flag_set)]
            return folder.set_letters(uid, folder.letters_of(names))

        entry = await self.box.run(work)
        return _expunged(cached_msg) if entry is None else self._message(entry)

    async def delete(self, uids: Iterable[int]) -> None:
        await self.box.run(self.box.folder.remove, list(uids))

    async def claim_recent(self, selected: SelectedMailbox) -> None:
        for uid in await self.box.run(self.box.folder.claim_new):
            selected.session_flags.add_recent(uid)

    async def cleanup(self) -> None:
        await self.box.refresh()

    async def snapshot(self) -> MailboxSnapshot:
        async with self._fresh() as messages:
            unseen = [
                n for n, one in enumerate(messages.values(), 1) if Seen not in one.permanent_flags
            ]
            recent = sum(one.is_new for one in self.box.folder.entries.values())
            return MailboxSnapshot(
                self._id,
                False,
                self.uid_validity,
                self.permanent_flags,
                self.session_flags,
                len(messages),
                recent,
                len(unseen),
                unseen[0] if unseen else None,
                self.box.folder.next_uid,
            )


def _expunged(cached: CachedMessage) -> Message:
    if not isinstance(cached, Message):
        raise TypeError(cached)
    entry = Entry(cached.uid, "", False, cached.letters, cached.internal_date.timestamp(), 0)
    return Message(cached.box, entry, cached.permanent_flags, cached.contents, True)


class MailboxSet(MailboxSetInterface[MailboxData]):
    """The folders of one user, in one session."""

    def __init__(self, user: str, boxes: Boxes, contents: Contents, check_room: CheckRoom) -> None:
        self._user = user
        self._boxes = boxes
        self._contents = contents
        self._check_room = check_room
        self.selected: MailboxData | None = None  # stays open while it is selected

    @property
    def delimiter(self) -> str:
        return "/"

    async def set_subscribed(self, name: str, subscribed: bool) -> None:
        with _as_refusals():
            self._boxes.subscribe(self._user, name, is_wanted=subscribed)

    async def list_subscribed(self) -> ListTree:
        return ListTree(self.delimiter).update(*self._boxes.subscribed(self._user))

    async def list_mailboxes(self) -> ListTree:
        return ListTree(self.delimiter).update(*self._boxes.names(self._user))

    async def get_mailbox(self, name: str) -> MailboxData:
        try:
            box = await self._boxes.open(self._user, name)
        except FolderNameError as error:
            raise KeyError(name) from error
        if not isinstance(box.view, MailboxData):
            box.view = MailboxData(box, self._contents, self._check_room, self._user)
        return box.view

    async def add_mailbox(self, name: str) -> ObjectId:
        with _as_refusals():
            if name in STANDING:
                raise FileExistsError(name)
            self._boxes.make(self._user, name)
        return (await self.get_mailbox(name)).mailbox_id

    async def delete_mailbox(self, name: str) -> None:
        with _as_refusals():
            await self._boxes.delete(self._user, name)

    async def rename_mailbox(self, before: str, after: str) -> None:
        with _as_refusals():
            self._boxes.rename(self._user, before, after)


@contextlib.contextmanager
def _as_refusals() -> Any:
    """Our exceptions as those pymap answers."""
    try:
        yield
    except FileExistsError as error:
        raise ValueError(str(error)) from error
    except FolderNameError as error:
        raise NotAllowedError(str(error)) from error
