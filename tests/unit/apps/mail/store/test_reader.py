"""Lists, flags and moves, while other programs use the same folders."""

from __future__ import annotations

import asyncio
import mailbox
import os
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.mail.store import Folder, MailStore
from dexmesh.apps.mail.store.maildir import Entry, split_name, unique_name
from dexmesh.apps.mail.store.summary import HEAD_BYTES, remote_of, summarize
from dexmesh.errors import MailError
from tests.unit.apps.mail.store.world import BOB, EVE, World, message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def fill(store: MailStore, world: World, count: int) -> None:
    for number in range(count):
        data = message(f"number {number}", remote=BOB)
        await store.deliver(world.mail(f"<{number}@x>", data=data))


async def refusal(work: Awaitable[Any]) -> MailError:
    with pytest.raises(MailError) as caught:
        await work
    return caught.value


def test_a_list_shows_the_newest_first_and_goes_on_below_a_key(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 7)
        first = await store.reader.list("ann", Folder.INBOX, limit=3)
        assert [line.subject for line in first] == ["number 6", "number 5", "number 4"]
        rest = await store.reader.list("ann", Folder.INBOX, before=first[-1].key)
        assert [line.subject for line in rest] == [f"number {n}" for n in (3, 2, 1, 0)]
        assert first[0].remote == BOB
        assert first[0].from_text == "Bob <bob@[IPv6:fc00::b]>"

    world.run(work)


def test_flags_are_set_and_taken_away_and_a_list_can_be_of_the_unread(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 3)
        reader = store.reader
        newest = (await reader.list("ann", Folder.INBOX))[0]
        assert newest.is_unread
        assert await reader.mark("ann", Folder.INBOX, newest.key, add="SF") == "FS"
        assert await reader.mark("ann", Folder.INBOX, newest.key, add="R", remove="F") == "RS"
        unread = await reader.list("ann", Folder.INBOX, is_unread=True)
        assert [line.subject for line in unread] == ["number 1", "number 0"]
        assert (await reader.summary("ann", Folder.INBOX, newest.key)).flags == "RS"
        status = (await reader.folders("ann"))[0]
        assert (status.name, status.messages, status.unread) == ("INBOX", 3, 2)

    world.run(work)


def test_a_message_another_program_renames_all_the_time_is_still_found(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 1)
        (line,) = await store.reader.list("ann", Folder.INBOX)
        path = await store.reader.path("ann", Folder.INBOX, line.key)
        os.rename(path, world.box().path / "cur" / f"{line.key}:2,FS")
        assert await store.reader.read("ann", Folder.INBOX, line.key, 6) == b"Return"
        assert await store.reader.mark("ann", Folder.INBOX, line.key, add="R") == "FRS"

    world.run(work)


def test_a_moved_message_keeps_its_place_in_time_and_its_flags(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 2)
        reader = store.reader
        line = (await reader.list("ann", Folder.INBOX))[1]
        await reader.mark("ann", Folder.INBOX, line.key, add="S")
        key = await reader.move("ann", Folder.INBOX, line.key, "Work.Old")
        (moved,) = await reader.list("ann", "Work.Old")
        assert (moved.key, moved.flags, moved.subject) == (key, "S", "number 0")
        assert abs(moved.unix_time - line.unix_time) < 1
        assert await reader.move("ann", "Work.Old", key, Folder.INBOX) != line.key
        again = await reader.list("ann", Folder.INBOX)
        assert [one.subject for one in again] == ["number 1", "number 0"]
        assert "Work.Old" in [one.name for one in await reader.folders("ann")]

    world.run(work)


def test_what_is_removed_is_gone_and_its_room_is_free(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 1)
        (line,) = await store.reader.list("ann", Folder.INBOX)
        used = store.usage()[0].used
        await store.reader.remove("ann", Folder.INBOX, line.key)
        assert store.usage()[0].used == used - line.size
        error = await refusal(store.reader.read("ann", Folder.INBOX, line.key))
        assert (error.code, error.hint) == (550, "list it again")
        for key in ("../../x", "", "nobody"):
            assert (await refusal(store.reader.read("ann", Folder.INBOX, key))).code == 550

    world.run(work)


def test_what_the_user_wrote_is_saved_as_read(world: World) -> None:
    async def work(store: MailStore) -> None:
        key = await store.reader.save("ann", Folder.DRAFTS, message("draft"), flags="SD")
        (line,) = await store.reader.list("ann", Folder.DRAFTS)
        assert (line.key, line.flags, line.is_unread) == (key, "DS", False)
        assert store.usage()[0].used == len(message("draft"))

    world.run(work)


def test_a_list_of_ten_thousand_reads_no_more_files_than_it_shows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.box().make()
    for number in range(10_000):
        name = f"{1_600_000_000 + number}.M1P1Q1.x,S=1:2,S"
        os.symlink("/nonexistent", world.box().path / "cur" / name)  # opening one would fail

    async def work(store: MailStore) -> None:
        await fill(store, world, 20)
        lines = await store.reader.list("ann", Folder.INBOX, limit=20)
        assert len(lines) == 20

    world.run(work)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "a..b", ".a", "x" * 300, "a\nb"])
def test_a_name_that_can_be_no_folder_is_refused(world: World, name: str) -> None:
    async def work(store: MailStore) -> None:
        assert (await refusal(store.reader.list("ann", name))).code == 550
        assert (await refusal(store.reader.save("ann", name, b"x"))).code == 550

    world.run(work)


def test_pythons_maildir_reads_what_we_deliver(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 2)
        await store.deliver(world.mail(folder=Folder.SENT))

    world.run(work)
    box = mailbox.Maildir(world.box().path, create=False)
    assert sorted(str(one["subject"]) for one in box) == ["number 0", "number 1"]
    assert sorted(box.list_folders()) == ["Drafts", "Requests", "Sent", "Trash"]
    assert [one.get_flags() for one in box.get_folder("Sent")] == ["S"]


def test_names_are_never_used_twice_and_say_when_and_how_big() -> None:
    names = {unique_name(1_700_000_000.25, 12, 14) for _ in range(1000)}
    assert len(names) == 1000
    assert all(name.startswith("1700000000.M250000P") for name in names)
    assert all(name.endswith(",S=12,W=14") for name in names)


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("1.x:2,FS", ("1.x", "FS")),
        ("1.x", ("1.x", "")),
        ("1.x:2,S,dovecot", ("1.x", "S")),
        ("1.x:1,what", ("1.x", "")),
    ],
)
def test_file_names_of_others_are_understood(file: str, parts: tuple[str, str]) -> None:
    assert split_name(file) == parts


ENTRY = Entry("1.x", "new", "", "/x")


def test_only_the_fields_our_receiver_put_on_top_say_where_a_mail_came_from() -> None:
    forged = (
        b"Received: a\nFrom: x@y\nTo: a\nCc: b\nAuthentication-Results: me;"
        b" x-mesh=pass smtp.remote-ip=fc00::e\n\n"
    )
    assert remote_of(forged) is None
    assert summarize(ENTRY, "INBOX", forged, 1, 1.0).remote is None
    assert remote_of(message(remote=EVE)) == EVE
    assert remote_of(message(remote=EVE).replace(b"fc00", b"2001")) is None


def test_hostile_headers_give_one_printable_line() -> None:
    head = (
        b"X-Mesh-From-Differs: yes\r\n"
        b"Subject: =?utf-8?b?G1sybBtdMDtwd25lZAc=?= a\r\n\tb\xff\x00\r\n"
        b"From: " + b"a" * 100_000 + b"\r\nDate: \xe2\x80\xa8\r\n\r\n"
    )
    line = summarize(ENTRY, "INBOX", head[:HEAD_BYTES], 1, 1.0)
    assert line.is_from_other
    for text in (line.subject, line.from_text, line.date_text):
        assert text.isprintable()
        assert len(text) <= 500
    noise = random.Random(1)
    for start in range(200):
        summarize(ENTRY, "INBOX", noise.randbytes(200) + head[start : start + 300], 1, 1.0)


def test_reading_does_not_hold_up_the_event_loop(world: World) -> None:
    async def work(store: MailStore) -> None:
        await fill(store, world, 1)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await store.reader.list("ann", Folder.INBOX)
        ticking.cancel()
        assert ticks > 0

    world.run(work)
