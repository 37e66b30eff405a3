from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from dexmesh.apps.base import running as running_module
from dexmesh.apps.base.running import Running


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
