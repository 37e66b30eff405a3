"""Measure the mail store alone: how many small mails a second it puts on disk, how fast it lists.

Place     run by hand: `python -m bench.mail_store [FOLDER]`; prints one line a question
Spec      issue 4 "Load": 300 small mails/s over 20 connections with fsync
Not here  SMTP around it (bench/mail.py)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail
from dexmesh.wire.address import Address

MAILS = 4000
TASKS = 20
LISTED = 100_000
REMOTE = Address(b"\xfc" + bytes(15))
BODY = b"Subject: bench\r\n\r\n" + 32 * (62 * b"x" + b"\r\n")


async def deliver(home: Home, has_spool: bool) -> float:
    """Mails a second; with `has_spool` each is first written and fsynced as the receiver does."""
    with ThreadPoolExecutor(8) as executor:
        store = MailStore(home, MailSettings(users=(UserSettings("ann"),)), executor)
        await store.open()
        shared = home.path / "message"
        write(shared)
        numbers = iter(range(MAILS))
        loop = asyncio.get_running_loop()

        async def one_connection(connection: int) -> None:
            for number in numbers:
                spool = home.path / f"spool-{connection}" if has_spool else shared
                if has_spool:
                    await loop.run_in_executor(executor, write, spool)
                mail = ReceivedMail(
                    spool, len(BODY), "ann", Folder.INBOX, REMOTE, "", f"<{number}@{has_spool}>"
                )
                await store.deliver(mail)
                if has_spool:
                    spool.unlink()

        start = time.perf_counter()
        await asyncio.gather(*(one_connection(number) for number in range(TASKS)))
        took = time.perf_counter() - start
        await store.close()
    return MAILS / took


def write(path: Path) -> None:
    """A message as the receiver leaves it."""
    with path.open("wb") as file:
        file.write(BODY)
        file.flush()
        os.fsync(file.fileno())


async def look(home: Home) -> tuple[float, float, float]:
    """Seconds to open the store, to list the newest 50 and to count, with LISTED mails in INBOX."""
    inbox = home.mail_users / "ann" / "Maildir" / "cur"
    spare = inbox / "1.seed,S=2048:2,S"
    spare.write_bytes(BODY)
    for number in range(LISTED - len(os.listdir(inbox))):
        name = f"{1_600_000_000 + number}.M1P1Q{number}.dexmesh,S={len(BODY)}:2,S"
        if number % 30_000 == 0:  # a file has so many names and no more
            spare = inbox / name
            spare.write_bytes(BODY)
        else:
            os.link(spare, inbox / name)
    store = MailStore(home, MailSettings(users=(UserSettings("ann"),)))
    start = time.perf_counter()
    await store.open()
    opened = time.perf_counter()
    lines = await store.reader.list("ann", Folder.INBOX)
    listed = time.perf_counter()
    await store.reader.folders("ann")
    counted = time.perf_counter()
    assert len(lines) == 50
    await store.close()
    return opened - start, listed - opened, counted - listed


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.mail_store", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path, nargs="?", help="on the disk to measure")
    folder: Path | None = parser.parse_args(arguments).folder
    if folder is not None and not folder.is_dir():
        parser.error(f"{folder} is no folder")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        home = Home(Path(scratch))
        print(f"{TASKS} tasks, store alone      {asyncio.run(deliver(home, False)):8.0f} mails/s")
        print(f"{TASKS} tasks, spool fsync too  {asyncio.run(deliver(home, True)):8.0f} mails/s")
        opened, listed, counted = asyncio.run(look(home))
        print(f"{LISTED} mails: open {opened:.2f} s, list 50 {listed:.2f} s, count {counted:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
