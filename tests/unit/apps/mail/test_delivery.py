"""Delivery over a mesh that is made up: who is called when, and what becomes of mails and senders."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail import delivery as module
from dexmesh.apps.mail import reports as reports_module
from dexmesh.apps.mail.delivery import Delivery
from dexmesh.apps.mail.outgoing import CallError, Fate, Target
from dexmesh.apps.mail.proto.attempts import MAX_CALLS, Outcome, judge, unreachable
from dexmesh.apps.mail.queue import DsnAsked, MailQueue, Notify
from dexmesh.apps.mail.queue.rows import Work
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.wire.address import Address, format_address, parse_address
from dexmesh.wire.keys import PublicKey, address_of, decode_key

ME = Me.of(decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"))
KEYS = (ME.key, decode_key("6ub2cjwzrpj01ydqz96sv3muj9mhtj4v4xbdbyu8tcshxx879b00.k"))
BOB = parse_address("fc00::b0b")
SENDER = f"stuart@{ME.literal}"
TEXT = b"Subject: hi\r\n\r\nhello\r\n"


def person(address: Address, local: str = "bob") -> Mailbox:
    return parse_mailbox(f"{local}@[IPv6:{format_address(address)}]")


def node(number: int) -> Address:
    return Address(b"\xfc\x02" + number.to_bytes(14, "big"))


class FakeSession:
    """A session with a node of the made-up mesh."""

    def __init__(self, mesh: FakeMesh, target: Target) -> None:
        self._mesh, self._address = mesh, target.address
        self.is_broken = self.is_deciding = False
        self.spelling: str | None = None

    async def hand_over(self, work: Work, path: Path) -> list[Fate]:
        assert await asyncio.to_thread(path.read_bytes) == TEXT
        if self._mesh.verdict is not None:
            self.is_deciding = self._mesh.deciding = True
            await self._mesh.verdict.wait()
            self.is_deciding = False
        fates = []
        for one in work.recipients:
            answer = self._mesh.answers.get(one.local, judge(250, "ok"))
            self._mesh.handed.append((one.local, work.envelope.id))
            self.spelling = one.domain if answer.code == 250 else self.spelling
            fates.append((one, answer, one.notify == Notify.SUCCESS))
        self.is_broken = any(outcome.code == 0 for _, outcome, _ in fates)
        return fates


class FakeMesh:
    """Who is there, who refuses; who is called."""

    def __init__(self) -> None:
        self.present: set[Address] = set()
        self.refusing: set[Address] = set()
        self.greeting_s: dict[Address, float] = {}
        self.verdict: asyncio.Event | None = None  # set when a server has made up its mind
        self.deciding = False
        self.swallows = (
            False  # as asyncio.wait_for of Python 3.11 now and then does with a cancellation
        )
        self.answers: dict[str, Outcome] = {}
        self.handed: list[tuple[str, int]] = []
        self.calls: list[Address] = []
        self.keys: list[PublicKey | None] = []
        self.under_way: Counter[Address] = Counter()
        self.most = 0

    @asynccontextmanager
    async def connected(
        self,
        _me: Me,
        target: Target,
        within_s: float = 30.0,
        taken: Callable[[socket.socket], None] = lambda _opened: None,
    ) -> AsyncIterator[FakeSession]:
        address = target.address
        self.calls.append(address)
        self.keys.append(target.key)
        self.under_way[address] += 1
        assert self.under_way[address] == 1, "two calls to one node"
        self.most = max(self.most, sum(self.under_way.values()))
        try:
            if address in self.refusing:
                raise CallError(unreachable("no mail server answers there"))
            if address not in self.present:
                await asyncio.sleep(within_s)
                raise CallError(unreachable("the node does not answer"))
            with socket.socket() as opened:
                taken(opened)
                try:
                    await asyncio.sleep(self.greeting_s.get(address, 0.0))
                except asyncio.CancelledError:
                    if not self.swallows:
                        raise
                    await asyncio.sleep(self.greeting_s.get(address, 0.0))
                yield FakeSession(self, target)
        finally:
            self.under_way[address] -= 1


class FakeStore:
    """Takes reports, unless it is full."""

    def __init__(self) -> None:
        self.is_full = False
        self.refused = 0
        self.strangers: set[str] = set()
        self.reports: list[tuple[str, bytes, str]] = []

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        if self.is_full:
            self.refused += 1
            raise MailError(452, "4.3.1", "full")
        if mail.user in self.strangers:
            raise MailError(550, "5.1.1", "no such user here")
        self.reports.append((mail.user, mail.spool.read_bytes(), mail.message_id))
        return DeliveryResult(False, "key", mail.folder)


class Book:
    """An address book with one person in it, who has two nodes."""

    def by_address(self, address: Address) -> Sequence[Contact]:
        return (Contact(),) if address in map(address_of, KEYS) else ()


class Contact:
    """That person."""

    @property
    def keys(self) -> Sequence[PublicKey]:
        return KEYS


class World:
    """A delivery that runs, with its queue on a real disk."""

    def __init__(self, path: Path, mesh: FakeMesh) -> None:
        executor = ThreadPoolExecutor(2)
        self.mesh, self.store = mesh, FakeStore()
        self.queue = MailQueue(Home(path), executor)
        self.spool = Spool(path / "spool", executor)
        self.delivery = Delivery(
            *(ME, self.queue, self.store, Book(), self.spool), first_user="first"
        )

    async def put(self, *to: Mailbox, user: str = "stuart", asked: DsnAsked | None = None) -> None:
        await self.queue.add(TEXT, SENDER, to or (person(BOB),), user=user, asked=asked)

    async def until(self, is_true: Callable[[], bool], limit_s: float = 3.0) -> float:
        began = time.monotonic()
        while not is_true():
            assert time.monotonic() - began < limit_s, self.mesh.__dict__
            await asyncio.sleep(0.01)
        return time.monotonic() - began


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> FakeMesh:
    found = FakeMesh()
    monkeypatch.setattr(module, "connected", found.connected)
    monkeypatch.setattr(module, "FULL_SLEEP_S", 0.05)
    return found


@pytest.fixture
def run(tmp_path: Path, mesh: FakeMesh) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Run this with a delivery at work."""

    def run(body: Callable[[World], Awaitable[None]]) -> None:
        async def around() -> None:
            world = World(tmp_path, mesh)
            await world.spool.open()
            await world.queue.open()
            task = asyncio.create_task(world.delivery.run())
            try:
                await body(world)
                assert not task.done(), task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await world.queue.close()

        asyncio.run(around())

    return run


Run = Callable[[Callable[[World], Awaitable[None]]], None]


def test_mail_for_a_node_that_is_there_leaves_at_once_over_one_call(
    run: Run, mesh: FakeMesh
) -> None:
    mesh.present.add(BOB)

    async def body(world: World) -> None:
        await asyncio.gather(*(world.put() for _ in range(30)))
        await world.until(lambda: len(mesh.handed) == 30)
        assert [number for _, number in mesh.handed] == sorted({n for _, n in mesh.handed})
        assert len(mesh.calls) <= 3
        await world.until(lambda: world.queue.totals()[0] == 0)
        await world.until(lambda: not mesh.under_way[BOB])
        assert await world.queue.known_nodes(5) == [BOB]

    run(body)


def test_a_sign_of_life_ends_a_call_into_the_void_and_the_mail_leaves(
    run: Run, mesh: FakeMesh
) -> None:
    async def body(world: World) -> None:
        await asyncio.gather(*(world.put() for _ in range(3)))
        await world.until(lambda: bool(mesh.calls))
        await asyncio.sleep(1.1)
        mesh.present.add(BOB)
        world.delivery.heard(BOB)
        assert await world.until(lambda: len(mesh.handed) == 3) < 0.5
        await world.until(lambda: world.queue.totals()[0] == 0)
        assert len(mesh.handed) == 3

    run(body)


def test_signs_of_life_do_not_keep_a_slow_server_from_greeting(run: Run, mesh: FakeMesh) -> None:
    mesh.present.add(BOB)
    mesh.greeting_s[BOB] = 2.0

    async def body(world: World) -> None:
        await world.put()
        await world.until(lambda: bool(mesh.calls))
        began = time.monotonic()
        while not mesh.handed:
            world.delivery.heard(BOB)
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < 30
        assert len(mesh.calls) == 1

    run(body)


def test_at_the_end_an_answer_that_is_due_is_waited_for_and_no_other_mail_begun(
    tmp_path: Path, mesh: FakeMesh
) -> None:
    mesh.present.add(BOB)

    async def body() -> None:
        world = World(tmp_path, mesh)
        await world.spool.open()
        await world.queue.open()
        mesh.verdict = asyncio.Event()
        await world.put()
        await world.put()
        running = asyncio.create_task(world.delivery.run())
        await world.until(lambda: bool(mesh.deciding))
        running.cancel()
        await asyncio.sleep(0.2)
        assert not running.done()
        mesh.verdict.set()
        await asyncio.gather(running, return_exceptions=True)
        assert len(mesh.handed) == world.queue.totals()[0] == 1
        running = asyncio.create_task(world.delivery.run())
        await world.until(lambda: world.queue.totals()[0] == 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [number for _, number in mesh.handed] == [1, 2]
        await world.queue.close()

    asyncio.run(body())


def test_a_call_that_was_given_up_hands_nothing_over_though_it_did_not_notice(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.present.add(BOB)
    mesh.greeting_s[BOB] = 60.0
    mesh.swallows = True
    monkeypatch.setattr(module, "is_stuck", lambda _opened: True)

    async def body(world: World) -> None:
        await world.put()
        await world.until(lambda: BOB in world.delivery._lines)
        mesh.under_way.clear()  # the former call is none any more
        mesh.greeting_s[BOB] = 1.0
        world.delivery.heard(BOB)
        await world.until(lambda: world.queue.totals()[0] == 0)
        await asyncio.sleep(1.0)
        assert len(mesh.calls) == 2
        assert len(mesh.handed) == 1
        assert world.delivery.counters["silent"] == 0

    run(body)


def test_the_end_comes_though_a_call_does_not_notice_it(tmp_path: Path, mesh: FakeMesh) -> None:
    mesh.present.add(BOB)
    mesh.greeting_s[BOB] = 60.0
    mesh.swallows = True

    async def body() -> None:
        world = World(tmp_path, mesh)
        await world.spool.open()
        await world.queue.open()
        await world.put()
        running = asyncio.create_task(world.delivery.run())
        await world.until(lambda: BOB in world.delivery._lines)
        running.cancel()
        await asyncio.wait([running], timeout=5)
        assert running.done()
        assert mesh.handed == []
        assert [row.tries for row in await world.queue.list()] == [0]
        await world.queue.close()

    asyncio.run(body())


def test_after_a_sign_a_node_that_refuses_is_called_again_soon(run: Run, mesh: FakeMesh) -> None:
    mesh.refusing.add(BOB)

    async def body(world: World) -> None:
        await world.put()
        await world.until(lambda: len(mesh.calls) == 1 and not world.delivery.is_calling(BOB))
        world.delivery.heard(BOB)
        await world.until(lambda: len(mesh.calls) == 2)
        mesh.refusing.clear()
        mesh.present.add(BOB)
        assert await world.until(lambda: len(mesh.handed) == 1) < 2.5

    run(body)


def test_a_node_that_shows_itself_is_reached_among_hundreds_that_are_absent(
    run: Run, mesh: FakeMesh
) -> None:
    async def body(world: World) -> None:
        await asyncio.gather(*(world.put(person(node(number))) for number in range(200)))
        await world.put(person(node(150)), person(node(151), "eve"))
        await world.until(lambda: sum(mesh.under_way.values()) >= 12)
        mesh.present.add(node(199))
        world.delivery.heard(node(199))
        assert await world.until(lambda: len(mesh.handed) == 1) < 0.5
        assert mesh.most <= MAX_CALLS

    run(body)


def test_the_key_a_node_may_know_us_by_is_its_own_and_no_other_of_its_person(
    run: Run, mesh: FakeMesh
) -> None:
    address = address_of(KEYS[1])
    mesh.present.add(address)

    async def body(world: World) -> None:
        await world.put(person(address))
        await world.until(lambda: bool(mesh.handed))
        assert mesh.keys == [KEYS[1]]

    run(body)


def test_heard_nodes_without_mail_cost_no_call_and_no_commit(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(world: World) -> None:
        commits = []

        async def forbidden(*_: object) -> None:
            commits.append(1)

        monkeypatch.setattr(world.queue, "_do", forbidden)
        for number in range(100):
            world.delivery.heard(node(number))
        await world.until(lambda: not world.delivery._calls.signs)
        assert mesh.calls == []
        assert commits == []

    run(body)


def test_a_refusal_comes_back_to_its_sender_as_a_report(run: Run, mesh: FakeMesh) -> None:
    mesh.present.add(BOB)
    mesh.answers["eve"] = judge(550, "5.1.1 no such user")

    async def body(world: World) -> None:
        await world.put(person(BOB), person(BOB, "eve"))
        await world.until(lambda: bool(world.store.reports))
        ((user, data, message_id),) = world.store.reports
        assert user == "stuart"
        assert message_id.encode() in data
        assert b"550 5.1.1 no such user" in data
        assert b"eve@[IPv6:fc00::b0b]" in data
        assert b"bob@" not in data
        await world.until(lambda: world.queue.totals()[0] == 0)

    run(body)


def test_a_receipt_is_written_where_the_other_server_cannot(run: Run, mesh: FakeMesh) -> None:
    mesh.present.add(BOB)

    async def body(world: World) -> None:
        await world.put(user="", asked=DsnAsked(notify=(Notify.SUCCESS,)))
        await world.until(lambda: bool(world.store.reports))
        assert world.store.reports[0][0] == "first"
        assert b"Action: relayed" in world.store.reports[0][1]

    run(body)


def test_the_report_of_a_user_who_is_no_more_goes_to_the_postmaster(
    run: Run, mesh: FakeMesh
) -> None:
    mesh.present.add(BOB)
    mesh.answers["eve"] = judge(550, "no")

    async def body(world: World) -> None:
        world.store.strangers.add("gone")
        await world.put(person(BOB, "eve"), user="gone")
        await world.until(lambda: bool(world.store.reports))
        assert [user for user, *_ in world.store.reports] == ["first"]
        await world.until(lambda: world.queue.totals()[0] == 0)

    run(body)


def test_a_report_waits_for_a_full_mailbox_and_holds_up_no_mail(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.present.add(BOB)
    mesh.answers["eve"] = judge(550, "no")
    monkeypatch.setattr("dexmesh.apps.mail.queue.reports.wait_after", lambda *_: 0.3)
    monkeypatch.setattr(reports_module, "LONGEST_SLEEP_S", 0.2)

    async def body(world: World) -> None:
        world.store.is_full = True
        await world.put(person(BOB, "eve"))
        await world.put()
        await world.until(lambda: ("bob", 2) in mesh.handed)
        await asyncio.sleep(0.2)
        assert world.store.reports == []
        assert world.queue.totals()[0] == 1
        world.store.is_full = False
        await world.until(lambda: len(world.store.reports) == 1)
        await world.until(lambda: world.queue.totals()[0] == 0)

    run(body)


def test_a_report_about_a_mail_whose_text_is_lost_is_told_and_holds_up_no_mail(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.present.add(BOB)
    mesh.answers["eve"] = judge(550, "no")
    monkeypatch.setattr("dexmesh.apps.mail.queue.reports.wait_after", lambda *_: 0.5)
    monkeypatch.setattr(reports_module, "LONGEST_SLEEP_S", 0.2)

    async def body(world: World) -> None:
        world.store.is_full = True  # so that the report waits
        await world.put(person(BOB, "eve"))
        await world.until(lambda: world.store.refused > 0)
        (work,) = (world.queue._home.mail / "queue").iterdir()
        work.unlink()
        world.store.is_full = False
        await world.put()
        await world.until(lambda: ("bob", 2) in mesh.handed)
        await world.until(lambda: world.queue.totals()[0] == 0)
        ((_, data, _),) = world.store.reports
        assert b"550 no" in data

    run(body)


def test_a_mail_that_breaks_every_connection_does_not_hold_up_the_others(
    run: Run, mesh: FakeMesh
) -> None:
    mesh.present.add(BOB)
    mesh.answers["eve"] = unreachable("the connection broke")

    async def body(world: World) -> None:
        await world.put(person(BOB, "eve"))
        await world.put()
        await world.until(lambda: ("eve", 1) in mesh.handed)
        await asyncio.sleep(0.3)
        assert len(mesh.calls) == 1  # not again at once
        world.delivery.heard(BOB)
        await world.until(lambda: mesh.handed.count(("eve", 1)) == 2)  # which broke again
        assert mesh.handed == [("eve", 1), ("bob", 2), ("eve", 1)]

    run(body)


def test_a_disk_that_takes_nothing_stops_delivery_before_the_mail_is_sent_twice(
    run: Run, mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TROUBLE_S", 0.3)
    mesh.present.add(BOB)
    mesh.refusing.add(BOB)

    async def body(world: World) -> None:
        def full() -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        writer = world.queue._writer
        assert writer is not None
        works = writer._before_commit
        await world.put()
        await world.until(lambda: len(mesh.calls) == 1 and not world.delivery.is_calling(BOB))
        writer._before_commit = full
        mesh.refusing.clear()
        world.delivery.heard(BOB)
        await asyncio.sleep(1.0)
        assert mesh.handed == []
        assert 1 < len(mesh.calls) <= 5  # no storm
        writer._before_commit = works
        world.delivery.heard(BOB)
        await world.until(lambda: world.queue.totals()[0] == 0)
        assert len(mesh.handed) == 1

    run(body)


def test_a_failure_of_ours_is_logged_and_does_not_spin(
    run: Run,
    mesh: FakeMesh,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mesh.present.add(BOB)
    monkeypatch.setattr(module, "TROUBLE_S", 0.2)

    async def body(world: World) -> None:
        monkeypatch.setattr(world.queue, "path", lambda *_: 1 / 0)
        await world.put()
        await asyncio.sleep(0.5)
        assert 1 <= len(mesh.calls) <= 4
        assert "a delivery failed" in caplog.text
        (row,) = await world.queue.list()
        assert row.tries == 1
        assert module.OUR_FAULT in row.reason

    run(body)
