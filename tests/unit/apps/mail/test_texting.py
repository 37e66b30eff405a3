from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dexmesh.apps.base.carrier import Carried, Fate, QueuedText
from dexmesh.apps.base.home import Home
from dexmesh.apps.mail.proto.schedule import LIFE_S
from dexmesh.apps.mail.queue import MailQueue, tables, texts
from dexmesh.apps.mail.texting import AGAIN_AFTER_S, LONGEST_SLEEP_S, TextDelivery
from dexmesh.errors import AppError, MailError
from dexmesh.wire.address import Address

DAVE = Address(b"\xfc" + bytes(14) + b"\x01")
EVE = Address(b"\xfc" + bytes(14) + b"\x02")
GONE = Carried(Fate.LATER, "no answer")


def text(body: str, address: Address = DAVE, user: str = "stuart") -> QueuedText:
    return QueuedText(0, user, address, "sip:dave@[fc00::1]", body, f"id-{body}", 1000.0)


class Time:
    """Both clocks of the queue, turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeCarrier:
    """Answers as the test wishes, and remembers."""

    def __init__(self, answer: Callable[[QueuedText], Carried]) -> None:
        self.answer = answer
        self.carried: list[str] = []
        self.given_up: list[tuple[str, str]] = []
        self.taken_back: list[str] = []
        self.at_once = self.most_at_once = 0

    async def carry(self, text: QueuedText, /) -> Carried:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.carried.append(text.body)
        return self.answer(text)

    async def give_up(self, text: QueuedText, reason: str, /) -> None:
        self.given_up.append((text.body, reason))

    async def take_back(self, text: QueuedText, /) -> None:
        self.taken_back.append(text.body)


def played(
    folder: Path, script: Callable[[MailQueue, Time], Awaitable[None]], time: Time | None = None
) -> None:
    async def play() -> None:
        clock = time or Time()
        (folder / "mail").mkdir(exist_ok=True)
        with ThreadPoolExecutor(1) as executor:
            queue = MailQueue(Home(folder), executor, clocks=(clock, clock))
            await queue.open()
            try:
                await script(queue, clock)
            finally:
                await queue.close()

    asyncio.run(play())


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 a test waits for many things
            await asyncio.sleep(0.01)


def test_texts_go_in_order_one_at_a_time_and_are_gone_then(tmp_path: Path) -> None:
    async def script(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: Carried(Fate.DELIVERED))
        delivery.take_carrier(carrier)
        for body in ("one", "two", "three"):
            await queue.texts.add(text(body))
        task = asyncio.create_task(delivery.run())
        await until(lambda: delivery.counts["delivered"] == 3)
        assert carrier.carried == ["one", "two", "three"]
        assert carrier.most_at_once == 1
        assert await queue.texts.list() == []
        task.cancel()

    played(tmp_path, script)


def test_a_phone_that_is_off_while_its_node_is_there_is_tried_every_five_minutes(
    tmp_path: Path,
) -> None:
    async def script(queue: MailQueue, time: Time) -> None:
        await queue.texts.add(text("one"))
        for _ in range(12):
            await queue.texts.put_off(DAVE, "not reachable", 0.0)
        (one,) = await queue.texts.list("stuart")
        assert one.next_unix - time.now == texts.LONGEST_WAIT_S

    played(tmp_path, script)


@pytest.mark.parametrize(("asked_s", "rests_s"), [(0.0, AGAIN_AFTER_S), (300.0, 300.0)])
def test_a_node_that_answers_not_now_is_not_asked_again_for_answering(
    tmp_path: Path, asked_s: float, rests_s: float
) -> None:
    async def script(queue: MailQueue, time: Time) -> None:
        delivery = TextDelivery(queue.texts, time)
        refusal = Carried(Fate.LATER, "too much to do there", asked_s, is_answered=True)
        carrier = FakeCarrier(lambda _text: refusal)
        delivery.take_carrier(carrier)
        await queue.texts.add(text("one"))
        task = asyncio.create_task(delivery.run())
        await until(lambda: delivery.counts["put off"] == 1)
        time.now += 1
        delivery.heard(DAVE)  # its answer, as the phone tells it
        await asyncio.sleep(0.1)
        assert carrier.carried == ["one"]
        time.now += rests_s
        await delivery.silent_nodes()
        delivery.heard(DAVE)
        await until(lambda: delivery.counts["put off"] == 2)
        assert carrier.carried == ["one", "one"]
        task.cancel()

    played(tmp_path, script)


def test_a_text_waits_through_a_restart_for_the_sign_of_life(tmp_path: Path) -> None:
    time = Time()

    async def absent(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: GONE)
        delivery.take_carrier(carrier)
        await queue.texts.add(text("one"))
        await queue.texts.add(text("two"))
        task = asyncio.create_task(delivery.run())
        await until(lambda: delivery.counts["put off"] == 1)
        (one, two) = await queue.texts.list("stuart")
        assert (one.tries, one.reason, two.tries) == (1, "no answer", 1)
        assert 10 < one.next_unix - time.now < 20
        assert carrier.carried == ["one"]
        task.cancel()

    async def back(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: Carried(Fate.DELIVERED))
        delivery.take_carrier(carrier)
        assert await delivery.silent_nodes() == [DAVE]
        task = asyncio.create_task(delivery.run())
        delivery.heard(EVE)
        await asyncio.sleep(0.1)
        assert carrier.carried == []
        delivery.heard(DAVE)
        await until(lambda: carrier.carried == ["one", "two"])
        task.cancel()

    played(tmp_path, absent, time)
    played(tmp_path, back, time)


def test_a_text_that_is_refused_stops_no_other(tmp_path: Path) -> None:
    async def script(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        delivery.take_carrier(
            FakeCarrier(lambda one: Carried(Fate.REFUSED if one.body == "bad" else Fate.DELIVERED))
        )
        for one in (text("bad"), text("good"), text("else", EVE)):
            await queue.texts.add(one)
        task = asyncio.create_task(delivery.run())
        await until(lambda: delivery.counts == {"delivered": 2, "refused": 1, "put off": 0})
        task.cancel()

    played(tmp_path, script)


def test_who_wrote_a_text_hears_that_it_was_taken_out(tmp_path: Path) -> None:
    async def script(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: GONE)
        for body in ("one", "two", "three"):
            await queue.texts.add(text(body))
        assert await delivery.cancel([1], "bob") == 0
        assert await delivery.cancel([1], "stuart") == 1  # nobody to tell it to
        delivery.take_carrier(carrier)
        assert await delivery.cancel(None, None) == 2
        assert carrier.taken_back == ["two", "three"]
        assert await queue.texts.list() == []

    played(tmp_path, script)


def test_a_history_that_cannot_be_written_keeps_no_text_in_the_queue(tmp_path: Path) -> None:
    class Broken(FakeCarrier):
        async def take_back(self, text: QueuedText, /) -> None:
            raise AppError("the disk is full")

    async def script(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        delivery.take_carrier(Broken(lambda _text: GONE))
        await queue.texts.add(text("one"))
        await queue.texts.add(text("two"))
        assert await delivery.cancel(None, "stuart") == 2
        assert await queue.texts.list() == []

    played(tmp_path, script)


def test_a_text_is_given_up_after_two_weeks_of_trying(tmp_path: Path) -> None:
    async def script(queue: MailQueue, time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: GONE)
        delivery.take_carrier(carrier)
        await queue.texts.add(text("old"))
        time.now += LIFE_S + 1
        await queue.texts.add(text("young"))
        task = asyncio.create_task(delivery.run())
        await until(lambda: bool(carrier.given_up))
        await until(lambda: delivery.counts["put off"] == 1)
        assert [one for one, _ in carrier.given_up] == ["old"]
        async with asyncio.timeout(10):
            while len(await queue.texts.list()) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [one.text.body for one in await queue.texts.list()] == ["young"]
        task.cancel()

    played(tmp_path, script)


def test_people_take_out_and_try_again_what_is_theirs(tmp_path: Path) -> None:
    async def script(queue: MailQueue, time: Time) -> None:
        number = await queue.texts.add(text("one"))
        other = await queue.texts.add(text("two", EVE, user="bob"))
        await queue.texts.put_off(DAVE, "no answer", 500.0)
        await queue.texts.put_off(EVE, "no answer", 0.0)
        assert await queue.texts.nodes_due(9) == []
        assert (await queue.texts.list("stuart"))[0].next_unix == pytest.approx(time.now + 500)
        assert await queue.texts.retry([other], "stuart") == []
        assert await queue.texts.retry([number], "stuart") == [DAVE]
        assert await queue.texts.nodes_due(9) == [DAVE]
        assert await queue.texts.cancel([other], "stuart") == []
        assert [one.body for one in await queue.texts.cancel(None, "stuart")] == ["one"]
        assert [one.text.body for one in await queue.texts.list()] == ["two"]

    played(tmp_path, script)


def test_a_new_text_is_sent_at_once(tmp_path: Path) -> None:
    async def script(queue: MailQueue, _time: Time) -> None:
        delivery = TextDelivery(queue.texts)
        carrier = FakeCarrier(lambda _text: Carried(Fate.DELIVERED))
        delivery.take_carrier(carrier)
        task = asyncio.create_task(delivery.run())
        await asyncio.sleep(0.1)  # it rests
        await queue.texts.add(text("one"))
        async with asyncio.timeout(LONGEST_SLEEP_S / 2):
            await until(lambda: carrier.carried == ["one"])
        task.cancel()

    played(tmp_path, script)


def test_no_more_texts_wait_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MAX_TEXTS_OF_NODE", 2)
    monkeypatch.setattr(texts, "MAX_TEXTS", 3)

    async def script(queue: MailQueue, _time: Time) -> None:
        await queue.texts.add(text("one"))
        await queue.texts.add(text("two"))
        with pytest.raises(MailError, match="too many texts"):
            await queue.texts.add(text("three"))
        await queue.texts.add(text("one", EVE))
        with pytest.raises(MailError, match="too many texts"):
            await queue.texts.add(text("two", EVE))

    played(tmp_path, script)


def test_a_queue_of_the_version_before_gets_its_table_of_texts(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    with sqlite3.connect(tmp_path / "mail" / "queue.db") as old:
        for statement in tables._SCHEMA.split(";"):
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")

    async def script(queue: MailQueue, _time: Time) -> None:
        await queue.texts.add(text("one"))
        assert len(await queue.texts.list()) == 1

    played(tmp_path, script)
    played(tmp_path, _one_waits)


async def _one_waits(queue: MailQueue, _time: Time) -> None:
    assert len(await queue.texts.list()) == 1
