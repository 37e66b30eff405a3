"""The store as its callers see it: accepted is on disk, once; refusals say why; others hear of news."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.settings import UserSettings
from dexmesh.apps.mail.store import Folder, MailStore, ReceivedMail, appending
from dexmesh.apps.mail.store.journal import Journal
from dexmesh.errors import MailError
from dexmesh.wire.address import Address
from tests.unit.apps.mail.store.world import BOB, EVE, World, job, message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def mbox_world(tmp_path: Path) -> World:
    return World(tmp_path, UserSettings("ann", mbox=tmp_path / "spool-ann"))


async def refusal(work: Awaitable[Any]) -> MailError:
    with pytest.raises(MailError) as caught:
        await work
    return caught.value


def test_twenty_at_once_share_transactions_and_none_is_missing(world: World) -> None:
    async def work(store: MailStore) -> int:
        mails = [world.mail(f"<{number}@x>") for number in range(200)]
        results = await asyncio.gather(*(store.deliver(mail) for mail in mails))
        assert not any(result.is_duplicate for result in results)
        return store._writer.batches

    assert world.run(work) < 50
    assert len(world.contents()) == 200


def test_the_same_mail_on_two_connections_is_stored_once(world: World) -> None:
    async def work(store: MailStore) -> None:
        results = await asyncio.gather(*(store.deliver(world.mail()) for _ in range(5)))
        assert sorted(result.is_duplicate for result in results) == [False] + 4 * [True]
        assert store.status()["duplicates"] == 4

    world.run(work)
    assert len(world.contents()) == 1


def test_a_lost_connection_does_not_stop_what_was_begun(world: World) -> None:
    async def work(store: MailStore) -> None:
        task = asyncio.create_task(store.deliver(world.mail()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(work)  # closing waits for it
    assert len(world.contents()) == 1


def break_down(_user: str, _folder: str) -> None:
    raise RuntimeError("somebody else's fault")


def test_who_watches_hears_of_new_mail_but_not_of_duplicates(world: World) -> None:
    async def work(store: MailStore) -> list[tuple[str, str]]:
        heard: list[tuple[str, str]] = []
        store.watch(break_down)
        stop = store.watch(lambda user, folder: heard.append((user, folder)))
        await store.deliver(world.mail())
        await store.deliver(world.mail())
        stop()
        await store.deliver(world.mail("<2@x>"))
        return heard

    assert world.run(work) == [("ann", "INBOX")]


LONG = b"Subject: long\r\n\r\n" + (70 * b"x" + b"\r\n") * 40_000  # more than a piece


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"A: b\r\n\r\nc\r\n", b"A: b\n\nc\n"),
        (b"A: b\n\nc\n", b"A: b\n\nc\n"),
        (b"A: b\r\n\r\nbare\n", b"A: b\r\n\r\nbare\n"),
        (b"A: b\r\n\r\nbare\r", b"A: b\r\n\r\nbare\r"),
        (b"A: b\r\n\r\n", b"A: b\n\n"),
        (LONG, LONG.replace(b"\r", b"")),
    ],
)
def test_files_have_the_line_ends_other_programs_want_unless_that_loses_something(
    world: World, sent: bytes, stored: bytes
) -> None:
    async def work(store: MailStore) -> None:
        mail = world.mail(data=sent)
        result = await store.deliver(mail)
        assert f",S={len(stored)}" in result.key
        assert mail.spool.read_bytes() == sent
        assert store.usage()[0].used == len(stored)
        assert (await store.deliver(mail)).is_duplicate

    world.run(work)
    assert world.contents() == [stored]
    assert world.staged() == []


def test_names_of_users_are_compared_without_case_and_others_are_refused(world: World) -> None:
    async def work(store: MailStore) -> None:
        await store.deliver(world.mail(user="Ann"))
        assert (await store.deliver(world.mail(user="ann"))).is_duplicate
        error = await refusal(store.deliver(world.mail(user="nobody")))
        assert (error.code, error.enhanced) == (550, "5.1.1")
        error = await refusal(store.deliver(world.mail(folder="../x")))
        assert error.code == 550

    world.run(work)
    assert len(world.contents()) == 1


# --- Quota --------------------------------------------------------------------------------------------


def test_a_full_mailbox_answers_452_and_takes_mail_again_when_some_was_deleted_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexmesh.apps.mail.store.quota.RECOUNT_S", 0.0)
    world = World(tmp_path, UserSettings("ann", quota_bytes=2500), UserSettings("tom"))
    data = message(body=900 * "x")

    async def work(store: MailStore) -> None:
        for number in range(2):
            await store.deliver(world.mail(f"<{number}@x>", data=data))
        error = await refusal(store.deliver(world.mail("<3@x>", data=data)))
        assert (error.code, error.enhanced) == (452, "4.2.2")
        with pytest.raises(MailError):
            store.require_room("ann", 1000)
        await store.deliver(world.mail("<3@x>", user="tom", data=data))
        for entry in list(world.box().entries(Folder.INBOX)):
            os.unlink(entry.path)
        assert not (await store.deliver(world.mail("<3@x>", data=data))).is_duplicate

    world.run(work)


def test_the_whole_store_has_a_limit_too(tmp_path: Path) -> None:
    world = World(tmp_path, quota_bytes=1500)
    data = message(body=900 * "x")

    async def work(store: MailStore) -> None:
        await store.deliver(world.mail(data=data))
        error = await refusal(store.deliver(world.mail(user="tom", data=data)))
        assert (error.code, error.enhanced) == (452, "4.3.1")
        assert store.status()["bytes stored"] == len(data)

    world.run(work)

    async def after_a_restart(store: MailStore) -> None:
        assert store.usage()[0].used == len(data)
        assert (await refusal(store.deliver(world.mail("<2@x>", data=data)))).code == 452

    world.run(after_a_restart)


def test_wrong_numbers_are_put_right_after_a_start(world: World) -> None:
    async def deliver(store: MailStore) -> None:
        await store.deliver(world.mail())

    world.run(deliver)
    journal = Journal(world.home.mail / "received.db")
    journal.set_used({"ann": 10**12})
    journal.close()

    async def work(store: MailStore) -> int:
        await asyncio.gather(*store._background)
        return store.usage()[0].used

    assert world.run(work) == len(message())


# --- Strangers and blocked nodes ----------------------------------------------------------------------


def requests(world: World, number: int, *users: str, remote: Address = EVE) -> list[ReceivedMail]:
    """A stranger's mail of that number, one copy a user."""
    return [
        world.mail(f"<{number}@eve>", user=user, folder=Folder.REQUESTS, remote=remote)
        for user in users or ("ann",)
    ]


def test_strangers_are_counted_across_a_restart(world: World) -> None:
    async def fill(store: MailStore) -> None:
        for number in range(5):
            await store.admit_stranger(requests(world, number), time.time())

    async def more(store: MailStore) -> None:
        error = await refusal(store.admit_stranger(requests(world, 5), time.time()))
        assert (error.code, error.enhanced) == (451, "4.7.1")
        await store.admit_stranger(requests(world, 6, remote=BOB), time.time())
        assert store.status()["refused: stranger sent too many mails today"] == 1

    world.run(fill)
    world.run(more)


def test_a_duplicate_or_a_refused_mail_does_not_count_for_the_stranger(world: World) -> None:
    async def work(store: MailStore) -> None:
        for _ in range(20):
            for mail in await store.admit_stranger(requests(world, 1), time.time()):
                await store.deliver(mail)
        assert len(world.contents(folder=Folder.REQUESTS)) == 1
        both = [await store.admit_stranger(requests(world, 2), time.time()) for _ in range(2)]
        results = await asyncio.gather(*(store.deliver(mail) for (mail,) in both))
        assert sorted(one.is_duplicate for one in results) == [False, True]
        for number in range(3, 6):  # two of the five are used up
            for mail in await store.admit_stranger(requests(world, number), time.time()):
                await store.deliver(mail)
        await refusal(store.admit_stranger(requests(world, 6), time.time()))

    world.run(work)


def test_a_mail_no_stranger_may_send_on_any_day_is_refused_for_good(world: World) -> None:
    async def work(store: MailStore) -> None:
        big = world.mail(folder=Folder.REQUESTS, remote=EVE, data=message(body="x" * 1_000_001))
        error = await refusal(store.admit_stranger([big], time.time()))
        assert (error.code, error.enhanced) == (550, "5.7.1")
        assert "tomorrow" not in error.public_text
        await store.admit_stranger(requests(world, 1), time.time())

    world.run(work)


def test_a_mail_that_is_here_is_taken_again_also_from_a_stranger_who_wrote_enough(
    world: World,
) -> None:
    async def work(store: MailStore) -> None:
        for number in range(5):
            for mail in await store.admit_stranger(requests(world, number), time.time()):
                await store.deliver(mail)
        (again,) = await store.admit_stranger(requests(world, 4), time.time())
        assert (await store.deliver(again)).is_duplicate
        both = requests(world, 4, "ann", "tom")  # one of them did not get it the first time
        results = [
            await store.deliver(mail) for mail in await store.admit_stranger(both, time.time())
        ]
        assert [one.is_duplicate for one in results] == [True, False]
        await refusal(store.admit_stranger(requests(world, 5), time.time()))

    world.run(work)


def test_blocked_nodes_are_remembered(world: World) -> None:
    async def block(store: MailStore) -> None:
        await store.block(EVE)
        await store.block(BOB)
        await store.unblock(BOB)
        assert store.is_blocked(EVE)

    async def look(store: MailStore) -> tuple[Address, ...]:
        assert not store.is_blocked(BOB)
        return store.blocked

    world.run(block)
    assert world.run(look) == (EVE,)


def test_accepting_somebody_moves_his_mails_and_nobody_elses(world: World) -> None:
    async def work(store: MailStore) -> None:
        for number, remote in enumerate((EVE, BOB, EVE)):
            data = message(f"number {number}", remote=remote)
            await store.deliver(world.mail(f"<{number}@x>", "ann", Folder.REQUESTS, remote, data))
        assert await store.accept("ann", EVE) == 2
        assert await store.accept("ann", EVE) == 0
        lines = await store.reader.list("ann", Folder.INBOX)
        assert [line.subject for line in lines] == ["number 2", "number 0"]

    world.run(work)
    assert len(world.contents(folder=Folder.REQUESTS)) == 1


# --- mbox ---------------------------------------------------------------------------------------------


def mbox_text(world: World) -> bytes:
    path = world.settings.users[0].mbox
    assert path is not None
    return path.read_bytes()


def test_an_mbox_user_has_requests_beside_it_and_accepted_mail_in_it(mbox_world: World) -> None:
    world = mbox_world

    async def work(store: MailStore) -> None:
        await store.deliver(world.mail())
        assert (await store.deliver(world.mail())).is_duplicate
        data = message("request", remote=EVE)
        await store.deliver(world.mail("<2@x>", "ann", Folder.REQUESTS, EVE, data))
        assert mbox_text(world).count(b"Subject:") == 1
        assert await store.accept("ann", EVE) == 1

    world.run(work)
    assert mbox_text(world).count(b"Subject:") == 2
    assert world.contents(folder=Folder.REQUESTS) == []
    assert world.staged() == []


def test_many_mails_at_once_stand_in_the_mbox_one_after_the_other(mbox_world: World) -> None:
    async def work(store: MailStore) -> None:
        mails = [mbox_world.mail(f"<{number}@x>") for number in range(30)]
        await asyncio.gather(*(store.deliver(mail) for mail in mails))

    mbox_world.run(work)
    assert mbox_text(mbox_world).count(b"\nSubject: hello\n\ntext\n\n") == 30


def test_an_mbox_that_stays_locked_answers_452_after_a_bounded_wait(
    mbox_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "MBOX_WAIT_S", 0.2)
    path = mbox_world.settings.users[0].mbox
    assert path is not None

    async def work(store: MailStore) -> None:
        with path.open("wb") as file:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _write_lock())
            error = await refusal(store.deliver(mbox_world.mail()))
            assert (error.code, error.enhanced) == (452, "4.2.0")
        await store.deliver(mbox_world.mail())

    mbox_world.run(work)
    assert mbox_text(mbox_world).count(b"Subject:") == 1


def _write_lock() -> bytes:
    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def test_an_append_that_a_crash_cut_short_is_finished_at_the_next_start(mbox_world: World) -> None:
    world = mbox_world
    mail = world.mail()
    (decided,) = world.committer().commit([job(mail, 0)], {})
    path = world.settings.users[0].mbox
    assert path is not None
    path.write_bytes(b"From bob@")
    assert len(world.staged()) == 1

    async def work(store: MailStore) -> None:
        assert (await store.deliver(mail)).is_duplicate

    world.run(work)
    assert mbox_text(world).count(b"Subject:") == 1
    assert world.staged() == []
    assert decided is not None


# --- Trouble ------------------------------------------------------------------------------------------


def test_a_broken_journal_is_set_aside_and_mail_goes_on(world: World) -> None:
    (world.home.mail / "received.db").write_bytes(b"rubbish" * 1000)

    async def work(store: MailStore) -> None:
        await store.deliver(world.mail())

    world.run(work)
    assert len(world.contents()) == 1
    assert (world.home.mail / "broken-received.db").exists()


def test_a_store_that_cannot_be_opened_yet_answers_452_until_it_can(world: World) -> None:
    blocker = world.home.mail / "users"
    blocker.write_text("a file in the way")

    async def work(store: MailStore) -> None:
        error = await refusal(store.deliver(world.mail()))
        assert (error.code, error.enhanced) == (452, "4.3.1")
        blocker.unlink()
        await store.deliver(world.mail())

    world.run(work)
    assert len(world.contents()) == 1
