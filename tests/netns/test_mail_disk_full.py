"""A disk that is full, goes read-only or vanishes: 452 for senders, and all is well when it is back.

home on a file system of its own: tmpfs of 3 MB | ext4 that gives up and is mounted anew | bind, read-only

The last test has the whole service on such a disk:  a ---- b (mail for stuart)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail
from dexmesh.apps.mail.store.maildir import Maildir
from dexmesh.cli.lab import USER, USER_ID, Lab, wait_until
from dexmesh.errors import MailError
from tests.netns.mail_machines import DEXMESH, MailMachine, mail_machines

pytestmark = pytest.mark.netns

SIZE_MB = 3
MAIL_BYTES = 100_000


def run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


class Disk:
    """A small file system at `path`, with the home of the store on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = Home(path / "home")
        self.mbox = path / "tom.mbox"
        self.settings = MailSettings(
            users=(UserSettings("ann"), UserSettings("tom", mbox=self.mbox))
        )

    def mail(self, number: int, user: str = "ann") -> ReceivedMail:
        """A mail whose spool lies on the disk too, if that takes it."""
        spool = self.path / f"spool-{number}"
        body = (63 * b"x" + b"\n") * (MAIL_BYTES // 64)
        spool.write_bytes(b"Subject: %d\n\n" % number + body)
        return ReceivedMail(
            spool, MAIL_BYTES, user, Folder.INBOX, None, "a@b", f"<{number}@x>", b""
        )

    def stored(self) -> int:
        """How many whole mails ann has."""
        box = Maildir(self.home.mail_users / "ann" / "Maildir")
        sizes = [os.stat(entry.path).st_size for entry in box.entries(Folder.INBOX)]
        assert all(size > MAIL_BYTES - 64 for size in sizes)
        return len(sizes)

    def staged(self) -> list[str]:
        """What is left of deliveries that came to nothing."""
        return os.listdir(self.home.mail / "staging")

    def fill(self) -> None:
        """Take every byte that is left."""
        with (self.path / "ballast").open("ab") as file, contextlib.suppress(OSError):
            for size in (1 << 16, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file.fileno(), bytes(size))

    def relieve(self) -> None:
        """Give them back."""
        (self.path / "ballast").unlink()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Mounts what a test asks for, and takes it down again."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    path = tmp_path / "disk"
    path.mkdir()

    def mount(kind: str, source: str) -> Path:
        if kind == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(path))
        else:
            run("mount", "-o", "loop", source, str(path))
        return path

    yield mount
    while subprocess.run(["umount", "-l", str(path)], capture_output=True).returncode == 0:
        pass


def with_store(disk: Disk, work: Callable[[MailStore], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        store = MailStore(disk.home, disk.settings)
        await store.open()
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(all_of_it())


async def assert_refused(store: MailStore, mail: ReceivedMail) -> None:
    with pytest.raises(MailError) as caught:
        await store.deliver(mail)
    assert (caught.value.code, caught.value.enhanced) == (452, "4.3.1")


def test_an_mbox_on_a_full_disk_is_as_long_as_before_and_gets_the_mail_later(
    mounted: Callable[[str, str], Path],
) -> None:
    disk = Disk(mounted("tmpfs", ""))

    async def work(store: MailStore) -> None:
        await store.deliver(disk.mail(0, "tom"))
        waiting = [disk.mail(number, "tom") for number in range(1, 4)]
        disk.fill()
        before = disk.mbox.read_bytes()
        for mail in waiting:
            await assert_refused(store, mail)
        assert disk.mbox.read_bytes() == before
        assert disk.staged() == []
        disk.relieve()
        for mail in waiting:
            assert not (await store.deliver(mail)).is_duplicate
        for mail in waiting:
            assert (await store.deliver(mail)).is_duplicate

    with_store(disk, work)
    assert disk.mbox.read_bytes().count(b"\nSubject: ") == 4


def test_mails_flow_onto_a_disk_until_it_is_full_and_again_afterwards(
    mounted: Callable[[str, str], Path],
) -> None:
    disk = Disk(mounted("tmpfs", ""))
    source = disk.path.parent / "message"  # on another disk: each mail is copied, so it takes room
    source.write_bytes(disk.mail(0).spool.read_bytes())
    disk.mail(0).spool.unlink()

    def mail(number: int) -> ReceivedMail:
        return ReceivedMail(source, MAIL_BYTES, "ann", Folder.INBOX, None, "", f"<{number}@y>")

    async def work(store: MailStore) -> None:
        results = await asyncio.gather(
            *(store.deliver(mail(number)) for number in range(60)), return_exceptions=True
        )
        refused = [number for number, one in enumerate(results) if isinstance(one, MailError)]
        assert {one.code for one in results if isinstance(one, MailError)} == {452}
        assert 10 < len(refused) < 55
        assert disk.stored() == 60 - len(refused)
        assert disk.staged() == []
        run("mount", "-o", "remount,size=20m", str(disk.path))
        for number in refused:
            assert not (await store.deliver(mail(number))).is_duplicate
        assert disk.stored() == 60

    with_store(disk, work)


def test_a_disk_that_gives_up_answers_452_until_it_is_mounted_anew(
    mounted: Callable[[str, str], Path], tmp_path: Path
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    run("mkfs.ext4", "-q", "-F", str(image))
    disk = Disk(mounted("ext4", str(image)))

    async def work(store: MailStore) -> None:
        await store.deliver(disk.mail(0))
        waiting = disk.mail(1)
        os.sync()
        run("mount", "-o", "remount,abort", str(disk.path))  # as after an error of the disk
        await assert_refused(store, waiting)
        await assert_refused(store, waiting)
        run("umount", "-l", str(disk.path))
        await asyncio.sleep(0)
        mounted("ext4", str(image))
        assert not (await store.deliver(disk.mail(1))).is_duplicate
        assert (await store.deliver(disk.mail(0))).is_duplicate

    with_store(disk, work)
    assert disk.stored() == 2
    assert disk.staged() == []


def test_a_store_that_starts_on_a_read_only_disk_answers_452_and_needs_no_restart(
    mounted: Callable[[str, str], Path],
) -> None:
    disk = Disk(mounted("tmpfs", ""))
    waiting = disk.mail(0)
    run("mount", "-o", "remount,ro", str(disk.path))

    async def work(store: MailStore) -> None:
        await assert_refused(store, waiting)
        run("mount", "-o", "remount,rw", str(disk.path))
        assert not (await store.deliver(waiting)).is_duplicate

    with_store(disk, work)
    assert disk.stored() == 1


def test_user_folders_that_turn_read_only_answer_452_and_leave_nothing_staged(
    mounted: Callable[[str, str], Path],
) -> None:
    disk = Disk(mounted("tmpfs", ""))

    async def work(store: MailStore) -> None:
        await store.deliver(disk.mail(0))
        users = str(disk.home.mail_users)
        run("mount", "--bind", users, users)
        run("mount", "-o", "remount,bind,ro", users)
        try:
            await assert_refused(store, disk.mail(1))
            assert disk.staged() == []
            assert disk.stored() == 1
        finally:
            run("umount", users)
        assert not (await store.deliver(disk.mail(1))).is_duplicate

    with_store(disk, work)
    assert disk.stored() == 2


_SEND = """
import smtplib, sys
to, source, domain, rcpt = sys.argv[1:]
try:
    with smtplib.SMTP(to, 25, local_hostname="x", timeout=15, source_address=(source, 0)) as smtp:
        smtp.sendmail("stuart@" + domain, [rcpt], "Subject: hi\\r\\n\\r\\n" + "hello\\r\\n" * 3000)
    print(250)
except smtplib.SMTPResponseException as error:
    print(error.smtp_code)
"""


def answers(a: MailMachine, b: MailMachine) -> tuple[str, str]:
    """What b says to a mail from a, and to one of a program on b."""
    code = [sys.executable, "-c", _SEND]
    domain, here = f"[IPv6:{a.address}]", "127.0.0.1"
    received = a.machine.run([*code, b.address, a.address, domain, b.mailbox])
    submitted = b.machine.run([*code, here, here, "localhost", a.mailbox])
    return received.stdout.strip(), submitted.stdout.strip()


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_service_that_starts_on_such_a_disk_answers_452_and_needs_no_restart(kind: str) -> None:
    with Lab("dexmesh-test") as lab:
        a, b = mail_machines(lab)
        home, inside = str(b.home), b.machine.run
        inside(["install", "-d", "-o", USER, home])
        inside(["mount", "-t", "tmpfs", "-o", f"size=6m,mode=755,uid={USER_ID}", "tmpfs", home])
        b.switch_on()
        b.dexmesh("contact", "add", "a", a.mailbox, "--no-check")
        b.serve()
        assert answers(a, b) == ("250", "250")
        inside(["pkill", "-TERM", "-f", "dexmesh mail serve"])
        wait_until(lambda: b.worker() is None and not b.is_serving(), 20, "its end")
        if kind == "full":
            inside(["sh", "-c", f"cat /dev/zero > {home}/ballast"], check=False)
        else:
            inside(["mount", "-o", "remount,ro", home])
        config = ["--home", home, "--config", str(b.config)]
        b.machine.start([*DEXMESH, "mail", "serve", *config], log="mail.log")
        listens = [*("ss", "-Hltn"), f"src [{b.address}]:25"]
        wait_until(lambda: inside(listens).stdout != "", 20, "the port")
        assert answers(a, b) == ("452", "452")
        undo = ["rm", f"{home}/ballast"] if kind == "full" else ["mount", "-o", "remount,rw", home]
        inside(undo)
        assert answers(a, b) == ("250", "250")
        wait_until(b.is_serving, 20, "the control socket")
