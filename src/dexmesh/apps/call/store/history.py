"""Keep every call and every text, in and out, in one history.

Place     call/service.py -> here -> tables.py in the thread of base/writer.py
Spec      issue 5: missed calls and texts end up in one history
Keeps     what `add` returned a number for is on the disk; a full or broken disk raises CallError
Not here  what the states mean to a person (cli/calls.py), petnames (contacts/)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.base.writer import Writer
from dexmesh.apps.call.phone.values import CallError
from dexmesh.apps.call.store import tables
from dexmesh.apps.call.store.tables import Entry, Question, State
from dexmesh.wire.address import Address

T = TypeVar("T")


class History:
    """One per service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "history.db"
        self._writer: Writer | None = None

    async def open(self) -> None:
        """Open it, or make it. Raises CallError."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CallError(f"{self._folder}: {error.strerror}") from None
        self._writer = Writer("history of calls", lambda: tables.connect(self._path))
        await self._do(tables.prepare)

    async def close(self) -> None:
        """End after all that was asked for is done."""
        if self._writer is not None:
            await self._writer.close()

    async def add(self, entry: Entry) -> int | None:
        """Store it durably; its number, None for a text that came twice. Raises CallError."""
        return await self._do(lambda connection: tables.add(connection, entry))

    async def settle(self, number: int, state: State, reason: str = "") -> bool:
        """What became of a text of ours; False if that was known. Raises CallError."""
        return await self._do(lambda connection: tables.settle(connection, number, state, reason))

    async def settle_text(self, message_id: str, state: State, reason: str = "") -> bool:
        """The same for a text known by its id. Raises CallError."""
        return await self._do(
            lambda connection: tables.settle_text(connection, message_id, state, reason)
        )

    async def waiting_texts(self) -> list[str]:
        """The ids of our texts that are not there yet, as far as we know. Raises CallError."""
        return await self._do(tables.waiting_texts)

    async def receipt(self, address: Address, message_id: str, state: State) -> bool:
        """The other side says more about a text of ours that it had. Raises CallError."""
        return await self._do(
            lambda connection: tables.receipt(connection, address, message_id, state)
        )

    async def keep_voicemail(self, number: int, mail: str, talked_s: float) -> None:
        """What was said to the machine lies in this mail. Raises CallError."""
        await self._do(lambda connection: tables.keep_voicemail(connection, number, mail, talked_s))

    async def mark_seen(self, user: str, numbers: Sequence[int]) -> None:
        """The user has seen these. Raises CallError."""
        await self._do(lambda connection: tables.mark_seen(connection, user, numbers))

    async def take_in(self, user: str, is_contact: Callable[[Address], bool]) -> None:
        """Nobody who is a contact by now stands among the strangers. Raises CallError."""
        strangers = await self._do(lambda connection: tables.strangers(connection, user))
        known = [one for one in strangers if is_contact(one)]
        if known:
            await self._do(lambda connection: tables.take_in(connection, user, known))

    async def find(self, question: Question) -> list[Entry]:
        """The entries asked for, oldest first. Raises CallError."""
        return await self._do(lambda connection: tables.find(connection, question))

    async def by_number(self, user: str, number: int) -> Entry | None:
        """The entry of that number, if it is this user's. Raises CallError."""
        return await self._do(lambda connection: tables.by_number(connection, user, number))

    async def _do(self, change: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise CallError("the history of calls is not open")
        try:
            return await self._writer.do(change)
        except (sqlite3.Error, OSError) as error:
            raise CallError(f"the history of calls cannot be used: {error}") from None
