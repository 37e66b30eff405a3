from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from dexmesh.apps.base import running as running_module
from dexmesh.apps.base.running import COMPLAINT_S, MAX_KINDS, Complaints, Running


@pytest.fixture(autouse=True)
def no_alarm() -> Iterator[None]:
    """The alarm that ends what does not end is not for the tests."""
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_parts_are_closed_in_reverse_and_one_that_fails_stops_nobody() -> None:
    closed: list[str] = []

    async def scenario() -> None:
        running = Running()
        running.opened("a", lambda: _note(closed, "a"))
        running.opened("b", _fail)
        running.opened("c", lambda: _note(closed, "c"))
        await running.close()

    asyncio.run(scenario())
    assert closed == ["c", "a"]


def test_a_part_that_hangs_while_closing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_module, "CLOSE_S", 0.01)
    closed: list[str] = []

    async def scenario() -> None:
        running = Running()
        running.opened("a", lambda: _note(closed, "a"))
        running.opened("b", lambda: asyncio.sleep(60))
        await running.close()

    asyncio.run(asyncio.wait_for(scenario(), 5))
    assert closed == ["a"]


def test_what_the_loop_says_again_and_again_is_logged_now_and_then_with_its_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    complaints = Complaints(lambda: now)
    full = {"message": "out of system resource", "exception": OSError(24, "too many")}
    for number in range(256):
        complaints.handle(None, full)
        complaints.handle(None, {"message": f"Exception in callback <Handle {number}>"})
    assert len(caplog.records) == 2
    now = COMPLAINT_S
    complaints.handle(None, full)
    assert [getattr(record, "times", 0) for record in caplog.records] == [1, 1, 256]
    for number in range(10 * MAX_KINDS):
        complaints.handle(None, {"message": f"kind {number}"})
    assert len(complaints._kinds) <= MAX_KINDS


def test_what_is_insisted_on_is_tried_until_it_works_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running_module, "RETRY_S", 0)
    tries: list[int] = []

    async def scenario() -> None:
        running, done = Running(), asyncio.Event()

        async def work() -> None:
            tries.append(1)
            if len(tries) < 5:
                raise OSError("full")
            done.set()

        running.insist("control", work)
        await done.wait()
        await asyncio.sleep(0.01)
        await running.close()

    asyncio.run(asyncio.wait_for(scenario(), 5))
    assert len(tries) == 5
    assert len(caplog.records) == 1


def test_a_task_that_fails_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running_module, "RETRY_S", 0)
    begun: list[int] = []

    async def scenario() -> None:
        running = Running()
        done = asyncio.Event()

        async def work() -> None:
            begun.append(1)
            if len(begun) < 3:
                raise ZeroDivisionError
            done.set()
            await asyncio.sleep(60)

        running.keep("work", work)
        await asyncio.wait_for(done.wait(), 5)
        await running.close()

    asyncio.run(scenario())
    assert len(begun) == 3
    assert [record.message for record in caplog.records] == ["a part of the service failed"] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_a_good_end(number: signal.Signals) -> None:
    async def scenario() -> int:
        running = Running()
        running.watch_signals()
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        return await asyncio.wait_for(running.wait(), 5)

    assert asyncio.run(scenario()) == 0


def test_the_first_end_counts() -> None:
    async def scenario() -> int:
        running = Running()
        running.end(75)
        running.end(0)
        return await running.wait()

    assert asyncio.run(scenario()) == 75


async def _note(closed: list[str], name: str) -> None:
    closed.append(name)


async def _fail() -> None:
    raise ZeroDivisionError
