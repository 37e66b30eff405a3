from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dexmesh.apps.call.phone.values import CallError
from dexmesh.apps.call.store import tables
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.store.tables import Entry, Kind, Question, State
from dexmesh.wire.address import Address

DAVE = Address(b"\xfc" + bytes(14) + b"\x01")
EVE = Address(b"\xfc" + bytes(14) + b"\x02")
TEXT = Entry(
    *("stuart", Kind.TEXT, False, DAVE, 1000.0, State.RECEIVED),
    text="grüß dich",
    message_id="m1",
    is_seen=False,
)
CALL = Entry(
    "stuart", Kind.CALL, False, EVE, 1001.0, State.MISSED, reason="no answer", is_seen=False
)


def played(folder: Path, script: Callable[[History], Awaitable[None]]) -> None:
    async def play() -> None:
        history = History(folder / "phone")
        await history.open()
        try:
            await script(history)
        finally:
            await history.close()

    asyncio.run(play())


def test_what_was_stored_is_found_after_a_restart(tmp_path: Path) -> None:
    async def store(history: History) -> None:
        assert await history.add(TEXT) == 1
        assert await history.add(CALL) == 2

    async def look(history: History) -> None:
        found = await history.find(Question("stuart"))
        assert found == [
            dataclasses.replace(TEXT, number=1),
            dataclasses.replace(CALL, number=2),
        ]
        assert await history.find(Question("stuart", Kind.CALL)) == found[1:]
        assert await history.find(Question("stuart", address=DAVE)) == found[:1]
        assert await history.find(Question("stuart", before=2)) == found[:1]
        assert await history.find(Question("stuart", limit=1)) == found[1:]
        assert await history.find(Question("bob")) == []
        assert await history.by_number("bob", 1) is None

    played(tmp_path, store)
    played(tmp_path, look)
    assert (tmp_path / "phone").stat().st_mode & 0o777 == 0o700


def test_a_text_that_comes_twice_is_there_once_but_not_for_ever(tmp_path: Path) -> None:
    async def script(history: History) -> None:
        assert await history.add(TEXT)
        assert await history.add(TEXT) is None
        assert await history.add(dataclasses.replace(TEXT, address=EVE))
        assert await history.add(dataclasses.replace(TEXT, user="bob"))
        later = dataclasses.replace(TEXT, at_unix=TEXT.at_unix + tables.TWICE_S + 1)
        assert await history.add(later)

    played(tmp_path, script)


def test_what_strangers_can_ask_for_is_found_by_its_id_and_not_by_looking_through_all(
    tmp_path: Path,
) -> None:
    connection = tables.connect(tmp_path / "history.db")
    tables.prepare(connection)
    said: list[str] = []
    connection.set_trace_callback(said.append)
    tables.add(connection, TEXT)
    tables.settle_text(connection, "m1", State.DELIVERED, "")
    tables.receipt(connection, DAVE, "m1", State.DISPLAYED)
    connection.set_trace_callback(None)
    questions = [one for one in said if "message_id = " in one]
    assert len(questions) == 3
    for question in questions:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {question}").fetchall()
        assert "INDEX entries_twice" in plan[0][3], question
    connection.close()


def test_a_text_of_ours_is_settled_once_and_then_read(tmp_path: Path) -> None:
    async def script(history: History) -> None:
        ours = dataclasses.replace(TEXT, is_outgoing=True, state=State.WAITING)
        number = await history.add(ours)
        assert number
        assert not await history.receipt(DAVE, "m1", State.DISPLAYED)
        assert await history.settle(number, State.DELIVERED)
        assert not await history.settle(number, State.REFUSED, "late")
        assert not await history.receipt(EVE, "m1", State.DISPLAYED)
        assert await history.receipt(DAVE, "m1", State.DISPLAYED)
        (entry,) = await history.find(Question("stuart"))
        assert (entry.state, entry.reason) == (State.DISPLAYED, "")

    played(tmp_path, script)


def test_what_was_seen_is_no_news_any_more(tmp_path: Path) -> None:
    async def script(history: History) -> None:
        await history.add(TEXT)
        await history.add(CALL)
        last = await history.add(dataclasses.replace(TEXT, message_id="m2"))
        await history.mark_seen("bob", [1, 2])
        await history.mark_seen("stuart", [2, 99])
        news = await history.find(Question("stuart", is_seen=False))
        assert [one.number for one in news] == [1, last]

    played(tmp_path, script)


def test_strangers_who_became_contacts_stand_among_the_rest(tmp_path: Path) -> None:
    async def script(history: History) -> None:
        for address in (DAVE, EVE):
            await history.add(dataclasses.replace(TEXT, address=address, is_request=True))
        await history.add(dataclasses.replace(TEXT, user="bob", is_request=True))
        await history.take_in("stuart", lambda address: address == DAVE)
        (friend,) = await history.find(Question("stuart", is_request=False))
        assert friend.address == DAVE
        (stranger,) = await history.find(Question("stuart", is_request=True))
        assert stranger.address == EVE
        assert len(await history.find(Question("bob", is_request=True))) == 1

    played(tmp_path, script)


def test_voicemail_is_noted_at_its_call(tmp_path: Path) -> None:
    async def script(history: History) -> None:
        number = await history.add(CALL)
        assert number
        await history.keep_voicemail(number, "<v@x>", 12.5)
        entry = await history.by_number("stuart", number)
        assert entry
        assert (entry.state, entry.mail, entry.talked_s) == (State.VOICEMAIL, "<v@x>", 12.5)

    played(tmp_path, script)


def test_the_oldest_is_forgotten_but_nothing_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ENTRIES", 10)

    async def script(history: History) -> None:
        waits = await history.add(
            dataclasses.replace(TEXT, is_outgoing=True, state=State.WAITING, message_id="w")
        )
        for index in range(200):
            await history.add(dataclasses.replace(TEXT, message_id=str(index)))
        left = await history.find(Question("stuart", limit=1000))
        assert left[0].number == waits
        assert len(left) <= 10 + 64 + 1
        assert left[-1].message_id == "199"

    played(tmp_path, script)


def test_everybody_s_oldest_is_forgotten_also_of_those_who_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ENTRIES", 10)

    async def script(history: History) -> None:
        for index in range(200):  # as a text to an alias of two: one of them has the odd numbers
            for user in ("ann", "bob"):
                await history.add(dataclasses.replace(TEXT, user=user, message_id=str(index)))
        for user in ("ann", "bob"):
            assert len(await history.find(Question(user, limit=1000))) <= 10 + 64

    played(tmp_path, script)


def test_strangers_push_out_nobody_but_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ENTRIES", 10)
    monkeypatch.setattr(tables, "MAX_REQUESTS", 5)

    async def script(history: History) -> None:
        await history.add(TEXT)
        for index in range(200):
            stranger = dataclasses.replace(TEXT, message_id=str(index), is_request=True)
            await history.add(stranger)
        found = await history.find(Question("stuart", is_request=False))
        assert [one.message_id for one in found] == ["m1"]
        requests = await history.find(Question("stuart", is_request=True, limit=1000))
        assert len(requests) <= 5 + 64

    played(tmp_path, script)


def test_long_texts_are_forgotten_sooner_but_calls_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_TEXT_BYTES", 1000)
    monkeypatch.setattr(tables, "_WEIGH_EVERY", 64)

    async def script(history: History) -> None:
        call = await history.add(CALL)
        for index in range(127):
            long = dataclasses.replace(TEXT, text="ü" * 200, message_id=str(index))
            await history.add(long)
        left = await history.find(Question("stuart", limit=1000))
        assert left[0].number == call
        assert [one.message_id for one in left[1:]] == ["125", "126"]  # 400 bytes each

    played(tmp_path, script)


def test_one_answer_holds_the_latest_texts_but_not_the_whole_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_FOUND_CHARS", 1000)

    async def script(history: History) -> None:
        for index in range(9):
            await history.add(dataclasses.replace(TEXT, text="x" * 400, message_id=str(index)))
        found = await history.find(Question("stuart"))
        assert [one.message_id for one in found] == ["7", "8"]
        before = await history.find(Question("stuart", before=found[0].number))
        assert [one.message_id for one in before] == ["5", "6"]
        await history.add(dataclasses.replace(TEXT, text="x" * 2000, message_id="long"))
        assert [one.message_id for one in await history.find(Question("stuart"))] == ["long"]

    played(tmp_path, script)


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "history.db").write_bytes(b"no database" * 100)

    async def play() -> None:
        history = History(tmp_path / "phone")
        with pytest.raises(CallError, match="cannot be used"):
            await history.open()
        await history.close()

    asyncio.run(play())
