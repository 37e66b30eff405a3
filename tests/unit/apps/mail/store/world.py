"""A mail store in a scratch folder, for tests."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail
from dexmesh.apps.mail.store.commit import Committer, Job
from dexmesh.apps.mail.store.journal import Journal, delivery_id
from dexmesh.apps.mail.store.maildir import Maildir
from dexmesh.wire.address import Address

BOB = Address(bytes([0xFC]) + bytes(14) + b"\x0b")
EVE = Address(bytes([0xFC]) + bytes(14) + b"\x0e")
NOW = 1_800_000_000.0

T = TypeVar("T")
_numbers = itertools.count(1)


def message(subject: str = "hello", body: str = "text\n", remote: Address | None = None) -> bytes:
    """A message as the receiver writes it."""
    head = ""
    if remote is not None:
        groups = ":".join(remote.hex()[at : at + 4] for at in range(0, 32, 4))
        head = (
            "Return-Path: <>\nReceived: from x\n"
            f"Authentication-Results: me.k;\n\tx-mesh=pass smtp.remote-ip={groups}\n"
        )
    return f"{head}From: Bob <bob@[IPv6:fc00::b]>\nSubject: {subject}\n\n{body}".encode()


class World:
    """Where everything lies, and how to make it."""

    def __init__(self, path: Path, *users: UserSettings, quota_bytes: int = 1 << 30) -> None:
        self.home = Home(path / "home")
        self.home.mail.mkdir(parents=True)
        self.spools = path / "spool"
        self.spools.mkdir()
        self.settings = MailSettings(
            users=users or (UserSettings("ann"), UserSettings("tom")), quota_bytes=quota_bytes
        )

    def mail(
        self,
        message_id: str = "<1@x>",
        user: str = "ann",
        folder: str = Folder.INBOX,
        remote: Address | None = BOB,
        data: bytes | None = None,
    ) -> ReceivedMail:
        """A mail on its way in."""
        spool = self.spools / str(next(_numbers))
        data = message() if data is None else data
        spool.write_bytes(data)
        return ReceivedMail(
            spool, len(data), user, folder, remote, "bob@[IPv6:fc00::b]", message_id, b"hash"
        )

    def box(self, user: str = "ann") -> Maildir:
        """The user's Maildir."""
        return Maildir(self.home.mail_users / user / "Maildir")

    def contents(self, user: str = "ann", folder: str = Folder.INBOX) -> list[bytes]:
        """Every message of a folder."""
        entries = sorted(self.box(user).entries(folder), key=lambda one: one.arrived)
        return [Path(entry.path).read_bytes() for entry in entries]

    def staged(self) -> list[str]:
        """What is not placed."""
        return os.listdir(self.home.mail / "staging")

    def committer(self) -> Committer:
        """The part below the store, as after a start."""
        for user in self.settings.users:
            self.box(user.name).make()
        journal = Journal(self.home.mail / "received.db")
        committer = Committer(journal, self.home.mail / "staging", self.box, lambda: NOW)
        committer.recover()
        return committer

    def run(self, work: Callable[[MailStore], Awaitable[T]]) -> T:
        """Open the store, do something with it, close it."""

        async def all_of_it() -> T:
            store = MailStore(self.home, self.settings)
            await store.open()
            await asyncio.gather(*store._background)  # what comes meanwhile may count twice
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(all_of_it())


def job(mail: ReceivedMail, mbox_start: int | None = None) -> Job:
    """A mail as the store hands it to the committer."""
    return Job(delivery_id(mail), mail, mbox_start)
