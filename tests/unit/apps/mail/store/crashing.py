"""Deliver until killed, again and again: started by test_crashes.py, with a scratch folder and a seed.

Each life opens the store, sends again what had no answer (and some that had: their 250 was lost), then new
mails, several at once; what was answered goes into a log, one line a mail, before the next. Half of the mails
go to a user with an mbox. Between lives the owner moves, marks and deletes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail
from dexmesh.apps.mail.store.maildir import Maildir

USERS = ("ann", "tom")  # tom has an mbox
TASKS = 8
LONGEST_LIFE_S = 0.2


class Scene:
    """What all lives share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = Home(path / "home")
        self.mbox = path / "tom.mbox"
        self.log = path / "answered"
        self.begun = path / "begun"
        self.deleted = path / "deleted"
        self.settings = MailSettings(
            users=(UserSettings("ann"), UserSettings("tom", mbox=self.mbox))
        )

    def box(self) -> Maildir:
        """Ann's mail."""
        return Maildir(self.home.mail_users / "ann" / "Maildir")


def lines(path: Path) -> list[str]:
    """The lines of a log; one that was cut short does not count."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


def note(path: Path, text: str) -> None:
    """One more line, in one write: a kill leaves it whole or out."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


async def live(scene: Scene, life: int, chance: random.Random) -> None:
    """One life; it ends by a signal."""
    store = MailStore(scene.home, scene.settings)
    await store.open()
    answered = set(lines(scene.log))
    open_ones = [one for one in lines(scene.begun) if one not in answered]
    again = chance.sample(sorted(answered), min(3, len(answered)))
    todo = [*open_ones, *again]
    numbers = iter(range(1_000_000))

    async def send(task: int) -> None:
        while True:
            name = todo.pop() if todo else f"{life}-{next(numbers)}"
            data = f"Message-ID: <{name}>\nSubject: {name}\n\nbody of {name}\n".encode()
            spool = scene.path / f"spool-{task}"
            spool.unlink(missing_ok=True)
            spool.write_bytes(data)
            note(scene.begun, name)
            user = USERS[int(name.rpartition("-")[2]) % 2]
            mail = ReceivedMail(spool, len(data), user, Folder.INBOX, None, "a@b", f"<{name}>")
            await store.deliver(mail)
            note(scene.log, name)

    await asyncio.gather(*(send(task) for task in range(TASKS)))


def play_owner(scene: Scene, chance: random.Random) -> None:
    """Ann reads, files and deletes some of what is there, also what she has only just got."""
    box = scene.box()
    if not box.path.exists():
        return
    for entry in list(box.entries(Folder.INBOX)):
        choice = chance.random()
        if choice < 0.05:
            subject = Path(entry.path).read_text().split("\n")[1].removeprefix("Subject: ")
            note(scene.deleted, subject)
            os.unlink(entry.path)
        elif choice < 0.1:
            folder = box.folder(Folder.TRASH) / "cur"
            os.rename(entry.path, folder / f"{entry.key}:2,RS")
        elif choice < 0.2:
            os.rename(entry.path, box.path / "cur" / f"{entry.key}:2,S")


def main(path: Path, lives: int, seed: int) -> None:
    """Let `lives` processes live and die."""
    scene = Scene(path)
    chance = random.Random(seed)
    for life in range(lives):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(live(scene, life, random.Random(seed + life)))
            except BaseException as error:  # noqa: BLE001 whatever it is, the test must hear of it
                note(path / "failed", repr(error))
            os._exit(1)
        time.sleep(chance.uniform(0, LONGEST_LIFE_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        play_owner(scene, chance)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
