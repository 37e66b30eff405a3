"""Both ends of a reachability check on real sockets of this machine (its mesh is ::1)."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from dexmesh.apps.base.me import Me
from dexmesh.apps.mail import callback as callback_module
from dexmesh.apps.mail import reach as reach_module
from dexmesh.apps.mail.callback import REFUSED_BACK, Callbacks, callback_probe
from dexmesh.apps.mail.proto.reach import AGAIN_S, CALLBACK_KEYWORD, Ours, Port
from dexmesh.apps.mail.reach import ReachChecker
from dexmesh.apps.mail.reach_calls import describe, node_in
from dexmesh.errors import AppError
from dexmesh.wire.address import Address, parse_address
from dexmesh.wire.keys import decode_key

KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")
HERE = parse_address("::1")
ME = Me(KEY, HERE)
BOB = parse_address("fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeBook:
    """Knows bob."""

    def address_of(self, petname: str) -> Address | None:
        return BOB if petname == "bob" else None

    def petname_of(self, address: Address) -> str | None:
        return "bob" if address == BOB else None


async def listen(handler: Handler) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(handler, "::1", 0)
    return server, server.sockets[0].getsockname()[1]


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return int(sock.getsockname()[1])


def talker(*script: bytes) -> Handler:
    """Says the first text, and then one for each line it reads."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, text in enumerate(script):
            if number:
                await reader.readline()
            writer.write(text)
        await reader.read()
        writer.close()

    return handle


def ours(callbacks: Callbacks | None) -> Handler:
    """A mail server with our verb."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 [IPv6:fc::1] ESMTP\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                extra = f"\r\n250 {CALLBACK_KEYWORD}" if callbacks else "\r\n250 SIZE 1"
                writer.write(f"250-hello{extra}\r\n".encode())
            elif callbacks and line.strip().decode() == CALLBACK_KEYWORD:
                writer.write((await callbacks.answer(HERE)).encode() + b"\r\n")
            else:
                break
        writer.close()

    return handle


def checker(
    remote_port: int, own_port: int, unix_clock: Callable[[], float] = lambda: 1e9
) -> ReachChecker:
    return ReachChecker(
        ME, source=None, own_port=own_port, remote_port=remote_port, unix_clock=unix_clock
    )


def test_a_node_of_ours_calls_back_and_both_ways_are_proven() -> None:
    async def test() -> None:
        mine, my_port = await listen(talker(b"220 me ESMTP\r\n"))
        theirs, port = await listen(ours(Callbacks(None, lambda: 0.0, my_port)))
        report = await checker(port, my_port).check(HERE)
        assert (report.theirs, report.ours) == (Port.ANSWERS, Ours.PROVEN)
        assert report.program == "dexmesh"
        assert report.is_good
        mine.close()
        theirs.close()

    asyncio.run(test())


def test_a_port_of_ours_that_the_other_cannot_reach_is_told() -> None:
    async def test() -> None:
        theirs, port = await listen(ours(Callbacks(None, lambda: 0.0, free_port())))
        report = await checker(port, port).check(HERE)
        assert (report.theirs, report.ours) == (Port.ANSWERS, Ours.BLOCKED)
        assert report.called_back is Port.REFUSED
        theirs.close()

    asyncio.run(test())


def test_a_stock_server_proves_the_way_back_only_by_having_called() -> None:
    async def test() -> None:
        theirs, port = await listen(ours(None))
        one = checker(port, port)
        assert (await one.check(HERE)).ours is Ours.UNPROVEN
        one.heard(HERE)
        assert (await one.check(HERE)).ours is Ours.HEARD
        assert (await checker(port, free_port()).check(HERE)).ours is Ours.DEAF
        theirs.close()

    asyncio.run(test())


def test_who_asks_too_often_gets_no_call_and_then_nothing_is_claimed() -> None:
    async def test() -> None:
        callbacks = Callbacks(None, lambda: 0.0, free_port())
        assert (await callbacks.answer(HERE)).startswith("250 ")
        assert await callbacks.answer(HERE) == REFUSED_BACK
        assert callbacks.refused == 1
        theirs, port = await listen(ours(callbacks))
        report = await checker(port, port).check(HERE)
        assert report.called_back is None
        assert report.ours is Ours.UNPROVEN
        theirs.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ((b"220 hello\r\n",), Port.ANSWERS),
        ((b"220-two\r\n220 lines\r\n",), Port.ANSWERS),
        ((b"554 go away\r\n",), Port.TURNS_AWAY),
        ((b"SSH-2.0-x\r\n",), Port.NOT_SMTP),
        ((b"x" * 5000 + b"\r\n",), Port.NOT_SMTP),
        ((b"220-again\r\n" * 100,), Port.NOT_SMTP),
        ((b"\xff\xfe\x00\r\n",), Port.NOT_SMTP),
        ((b"",), Port.NO_GREETING),
    ],
)
def test_whatever_listens_there_is_judged(
    script: tuple[bytes, ...], state: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_module, "CALLBACK_GREETING_S", 0.3)
    monkeypatch.setattr(reach_module, "GREETING_S", 0.3)

    async def test() -> None:
        server, port = await listen(talker(*script))
        assert await callback_probe(HERE, None, port) is state
        if state is not Port.ANSWERS:
            assert (await checker(port, port).check(HERE)).theirs is state
        server.close()

    asyncio.run(test())


def test_a_closed_port_and_a_lost_address_are_told_apart() -> None:
    async def test() -> None:
        assert await callback_probe(HERE, None, free_port()) is Port.REFUSED
        without_address = ReachChecker(ME, source=BOB, own_port=1, remote_port=1)
        report = await without_address.check(BOB)
        assert not report.has_own_address

    asyncio.run(test())


def test_no_way_to_a_node_is_about_that_node_and_not_about_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(asyncio, "open_connection", fail)
    report = asyncio.run(checker(1, 1).check(BOB))
    assert report.has_own_address
    assert report.theirs is Port.UNREACHABLE


def test_checks_of_one_node_at_the_same_time_are_one_check() -> None:
    calls = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await ours(None)(reader, writer)

    async def test() -> None:
        server, port = await listen(count)
        one = checker(port, free_port())
        reports = await asyncio.gather(*(one.check(HERE) for _ in range(5)))
        assert calls == 1
        assert len({id(report) for report in reports}) == 1
        await one.check(HERE)
        assert calls == 2
        server.close()

    asyncio.run(test())


def test_mail_that_waits_has_its_node_looked_at_and_not_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach_module, "STEP_S", 0.01)
    now = 1e9
    rounds = 0

    async def waiting() -> list[tuple[Address, float]]:
        nonlocal rounds
        rounds += 1
        return [(HERE, 301.0), (BOB, 10.0)]

    async def test() -> None:
        nonlocal now
        server, port = await listen(ours(None))
        one = checker(port, port, lambda: now)
        task = asyncio.create_task(one.watch(waiting))
        while rounds < 5:  # noqa: ASYNC110 - the rounds are what is waited for
            await asyncio.sleep(0.01)
        assert list(one.reports) == [HERE]
        first = one.reports[HERE]
        now += AGAIN_S
        while one.reports[HERE] is first:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await one.close()
        server.close()

    asyncio.run(asyncio.wait_for(test(), 10))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_module, "MAX_HEARD", 3)
    one = checker(1, 1)
    for number in range(10):
        one.heard(Address(bytes([0xFC] * 15 + [number])))
    assert len(one._heard) == 3


def test_a_node_is_found_in_whatever_a_person_writes() -> None:
    book = FakeBook()
    for text in (
        "bob",
        "bob@bob",
        "fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c",
        "x@[IPv6:fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c]",
    ):
        assert node_in(text, book) == BOB
    with pytest.raises(AppError):
        node_in("alice", book)


def test_a_report_for_programs_has_the_sentences() -> None:
    async def test() -> None:
        report = await checker(free_port(), free_port()).check(HERE)
        told = describe(report, FakeBook())
        assert told["theirs"] == "refused"
        assert told["ours"] == "deaf"
        assert told["is_wrong"]
        assert len(told["sentences"]) == 2

    asyncio.run(test())
