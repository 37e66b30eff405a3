from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dexmesh.apps.base.carrier import MAX_TEXT_BYTES, Fate, QueuedText, WaitingText
from dexmesh.apps.call.people import Target
from dexmesh.apps.call.phone.values import CallError, TextDone, TextId, TextState
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.sip.uri import parse_uri
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.store.tables import Question, State
from dexmesh.apps.call.texting import Texting
from dexmesh.errors import MailError
from dexmesh.wire.address import Address, parse_address

DAVE = parse_address("fc00::da")
TARGET = Target(DAVE, parse_uri("sip:dave@[fc00::da]:5070"), "dave")


class FakeQueue:
    """The durable queue in memory."""

    def __init__(self) -> None:
        self.texts: Sequence[QueuedText] = ()
        self.error: MailError | None = None
        self.last = 0

    async def add(self, text: QueuedText, /) -> int:
        if self.error is not None:
            raise self.error
        self.last += 1
        self.texts = (*self.texts, dataclasses.replace(text, number=self.last))
        return self.last

    async def list(self, user: str | None, /) -> Sequence[WaitingText]:
        texts = [one for one in self.texts if user in (None, one.user)]
        return [WaitingText(one, 1, 0.0, "no answer") for one in texts]

    async def retry(self, numbers: Sequence[int] | None, user: str, /) -> Sequence[Address]:
        return [one.address for one in self._chosen(numbers, user)]

    async def cancel(self, numbers: Sequence[int] | None, user: str, /) -> Sequence[QueuedText]:
        chosen = self._chosen(numbers, user)
        self.texts = tuple(one for one in self.texts if one not in chosen)
        return chosen

    def _chosen(self, numbers: Sequence[int] | None, user: str) -> Sequence[QueuedText]:
        return [
            one
            for one in self.texts
            if one.user == user and (numbers is None or one.number in numbers)
        ]


class World:
    """Texting over a fake queue and a phone that answers as the test wishes."""

    def __init__(self, history: History) -> None:
        self.queue = FakeQueue()
        self.history = history
        self.answer = TextDone(TextId(1), "", TextState.DELIVERED, 200, "OK")
        self.sent: list[tuple[str, str, str]] = []
        self.mailed: list[tuple[str, str]] = []
        service = cast(PhoneService, SimpleNamespace(history=history, send_text=self._send))
        self.texting = Texting(service, self.queue, self._mail)

    async def _send(self, user: str, uri: str, body: str, message_id: str) -> TextDone:
        self.sent.append((uri, body, message_id))
        return self.answer

    async def _mail(self, user: str, text: QueuedText) -> None:
        self.mailed.append((user, text.body))

    async def state(self) -> tuple[State, str]:
        (entry,) = await self.history.find(Question("stuart"))
        return entry.state, entry.reason


def played(folder: Path, script: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        history = History(folder / "phone")
        await history.open()
        try:
            await script(World(history))
        finally:
            await history.close()

    asyncio.run(play())


async def carried(world: World, wait_s: float = 10.0) -> dict[str, Any]:
    """Send a text while the queue does its work."""
    sending = asyncio.create_task(world.texting.send("stuart", TARGET, "hi", wait_s))
    while not world.queue.texts:  # noqa: ASYNC110 a test waits
        await asyncio.sleep(0.01)
    await world.texting.carry(world.queue.texts[0])
    return await sending


def test_a_text_that_arrives_at_once_is_delivered_when_send_returns(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        sent = await carried(world)
        assert sent == {"number": 1, "state": "delivered", "reason": "OK"}
        assert await world.state() == (State.DELIVERED, "")
        assert world.sent[0][:2] == ("sip:dave@[fc00::da]:5070", "hi")

    played(tmp_path, script)


def test_a_refusal_is_final_and_told_with_its_reason(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.answer = TextDone(TextId(1), "", TextState.REFUSED, 404, "Not Found")
        sent = await carried(world)
        assert (sent["state"], sent["reason"]) == ("refused", "Not Found")
        assert await world.state() == (State.REFUSED, "Not Found")

    played(tmp_path, script)


def test_an_absent_node_leaves_the_text_waiting_in_the_queue(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.answer = TextDone(TextId(1), "", TextState.UNDELIVERED, 0, "no answer", 30)
        sent = await carried(world)
        assert (sent["state"], sent["reason"]) == ("waiting", "no answer")
        assert (await world.state())[0] is State.WAITING
        again = await world.texting.carry(world.queue.texts[0])
        assert (again.fate, again.after_s, again.is_answered) == (Fate.LATER, 30.0, False)
        world.answer = TextDone(TextId(2), "", TextState.UNDELIVERED, 503, "too much to do there")
        assert (await world.texting.carry(world.queue.texts[0])).is_answered
        assert len({message_id for _uri, _body, message_id in world.sent}) == 1
        (row,) = await world.texting.waiting("stuart")
        assert (row["id"], row["is_offered_as_mail"]) == ("t1", False)
        assert await world.texting.retry("stuart", [1]) == ["fc00::da"]
        with pytest.raises(CallError, match="no text t9 waits"):
            await world.texting.retry("stuart", [9])

    played(tmp_path, script)


def test_who_does_not_wait_hears_that_the_text_is_safe(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        sent = await world.texting.send("stuart", TARGET, "hi", 0.0)
        assert sent["state"] == "waiting"
        assert len(world.queue.texts) == 1

    played(tmp_path, script)


def test_a_text_taken_back_is_called_so_in_the_history(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.texting.send("stuart", TARGET, "hi", 0.0)
        assert await world.texting.cancel("bob", None) == 0
        assert await world.texting.cancel("stuart", [1]) == 1
        assert await world.state() == (State.TAKEN_BACK, "")

    played(tmp_path, script)


def test_a_text_that_waits_can_go_as_a_mail(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.texting.send("stuart", TARGET, "hi", 0.0)
        told = await world.texting.send_as_mail("stuart", 1)
        assert told == {"number": 1, "to": "sip:dave@[fc00::da]:5070"}
        assert world.mailed == [("stuart", "hi")]
        assert world.queue.texts == ()
        assert await world.state() == (State.MAILED, "")
        with pytest.raises(CallError, match="no text"):
            await world.texting.send_as_mail("stuart", 1)

    played(tmp_path, script)


def test_texts_that_wait_no_more_are_told_at_the_start(tmp_path: Path) -> None:
    """Taken out by `dexmesh mail cancel` while the phone was off, for example."""

    async def script(world: World) -> None:
        await world.texting.send("stuart", TARGET, "gone", 0.0)
        await world.texting.send("stuart", TARGET, "kept", 0.0)
        world.queue.texts = world.queue.texts[1:]
        await world.texting.open()
        entries = await world.history.find(Question("stuart"))
        assert [(one.text, one.state, one.reason) for one in entries] == [
            ("gone", State.TAKEN_BACK, ""),
            ("kept", State.WAITING, ""),
        ]

    played(tmp_path, script)


def test_what_cannot_be_queued_is_not_promised(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.queue.error = MailError(452, "4.3.1", "the disk is full")
        with pytest.raises(MailError):
            await world.texting.send("stuart", TARGET, "hi", 1.0)
        assert (await world.state())[0] is State.REFUSED

    played(tmp_path, script)


@pytest.mark.parametrize("body", ["", " \n", "ü" * (MAX_TEXT_BYTES // 2 + 1)])
def test_texts_that_are_none_or_too_long_are_refused(tmp_path: Path, body: str) -> None:
    async def script(world: World) -> None:
        with pytest.raises(CallError):
            await world.texting.send("stuart", TARGET, body, 1.0)
        assert await world.history.find(Question("stuart")) == []

    played(tmp_path, script)
