"""The queue on a real disk: durable, bounded, cleaned up, never ahead of its clock."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.mail.proto.attempts import Outcome, Verdict, judge, unreachable
from dexmesh.apps.mail.proto.bounces import Action
from dexmesh.apps.mail.queue import DsnAsked, MailQueue, Notify, QueueId, State, mailqueue
from dexmesh.apps.mail.queue.files import MessageFiles
from dexmesh.apps.mail.queue.reports import PendingReport
from dexmesh.apps.mail.queue.rows import Work
from dexmesh.errors import MailError
from dexmesh.wire.address import Address, parse_address

DAY_S = 86400.0
SENDER = "stuart@[IPv6:fc00::1]"
BOB = parse_mailbox("bob@[IPv6:fc00::b0b]")
EVE = parse_mailbox("eve@[IPv6:fc00:0::b0b]")
ANN = parse_mailbox("ann@[IPv6:fc00::a]")
BOBS = parse_address("fc00::b0b")
ANNS = parse_address("fc00::a")
TEXT = b"Subject: hi\n\nhello\n"
OK = judge(250, "2.0.0 Ok")
NO = judge(550, "5.1.1 no such user")
LATER = judge(451, "4.7.1 greylisted")
SILENT = unreachable("the node does not answer")


class Clocks:
    """Time as a test wants it."""

    def __init__(self) -> None:
        self.unix_time, self.now = 1_700_000_000.0, 100.0

    def pass_by(self, seconds: float) -> None:
        self.unix_time += seconds
        self.now += seconds

    @property
    def pair(self) -> tuple[Callable[[], float], Callable[[], float]]:
        return (lambda: self.unix_time, lambda: self.now)


class Bench:
    """A folder, clocks, and queues in it one after the other."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.clocks = Clocks()
        self.executor = ThreadPoolExecutor(2)

    def run(self, body: Callable[[MailQueue], Awaitable[None]], max_bytes: int = 10**9) -> None:
        """Open the queue, do this, close it."""

        async def around() -> None:
            queue = MailQueue(
                self.home, self.executor, max_bytes=max_bytes, clocks=self.clocks.pair
            )
            await queue.open()
            try:
                await body(queue)
            finally:
                await queue.close()

        asyncio.run(around())

    @property
    def files(self) -> set[str]:
        return set(os.listdir(self.home.mail / "queue"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def put(queue: MailQueue, *to: Mailbox, asked: DsnAsked | None = None) -> QueueId:
    return await queue.add(TEXT, SENDER, to or (BOB,), user="stuart", asked=asked)


async def take(queue: MailQueue, address: Address = BOBS, is_flush: bool = False) -> Work:
    (work,) = await queue.work_for(address, 10, is_flush=is_flush)
    return work


async def end(queue: MailQueue, outcome: Outcome, address: Address = BOBS) -> None:
    """All of the oldest mail ends like this."""
    work = (await queue.work_for(address, 1))[0]
    await queue.record_outcomes(work, address, [(one, outcome, False) for one in work.recipients])
    await queue.settle(address)


async def report(queue: MailQueue) -> PendingReport:
    found = await queue.next_report()
    assert found is not None
    return found


async def due(queue: MailQueue) -> list[Address]:
    return [one.address for one in await queue.due(100)]


def test_a_mail_is_there_after_a_restart_with_its_lines_ended_by_crlf(bench: Bench) -> None:
    async def first(queue: MailQueue) -> None:
        await put(queue, BOB, EVE, ANN)

    async def second(queue: MailQueue) -> None:
        assert sorted(await due(queue)) == sorted([BOBS, ANNS])
        work = await take(queue)
        assert [(one.local, one.domain) for one in work.recipients] == [
            ("bob", "[IPv6:fc00::b0b]"),
            ("eve", "[IPv6:fc00:0::b0b]"),
        ]
        assert queue.path(work).read_bytes() == b"Subject: hi\r\n\r\nhello\r\n"
        assert queue.totals() == (1, 22)

    bench.run(first)
    bench.run(second)


def test_a_delivered_mail_leaves_nothing_behind(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        await end(queue, OK)
        assert await due(queue) == []
        assert await queue.next_report() is None
        assert await queue.seconds_until_due() is None
        assert queue.totals() == (0, 0)
        assert bench.files == set()

    bench.run(body)


def test_files_without_rows_go_at_the_start_and_senders_of_lost_texts_are_told(
    bench: Bench,
) -> None:
    lost: list[Path] = []

    async def first(queue: MailQueue) -> None:
        await put(queue, ANN)
        lost.append(queue.path(await take(queue, ANNS)))
        await put(queue)

    async def second(queue: MailQueue) -> None:
        assert await due(queue) == [BOBS]
        told = await report(queue)
        assert (told.action, told.remote, told.envelope.sender) == (Action.FAILED, ANNS, SENDER)
        (concerned,) = told.concerned
        assert (concerned.mailbox, concerned.status) == (str(ANN), "5.3.0")
        assert await queue.text_of(told, 1000) == (b"", None)
        await queue.finish_report(told.number)
        assert [row.recipient for row in await queue.list()] == [str(BOB)]
        assert queue.totals()[0] == 1

    bench.run(first)
    lost[0].unlink()
    for name in ("0123456789", "abcdef.new"):
        (bench.home.mail / "queue" / name).write_bytes(b"half")
    bench.run(second)
    assert len(bench.files) == 1


def test_a_refusal_becomes_a_report_and_goes_when_it_is_told(bench: Bench) -> None:
    async def first(queue: MailQueue) -> None:
        await put(queue, BOB, ANN)
        await end(queue, NO)

    async def second(queue: MailQueue) -> None:  # not told before the restart: told after it
        found = await report(queue)
        assert found.action is Action.FAILED
        (one,) = found.concerned
        assert (one.mailbox, one.status) == (str(BOB), "5.1.1")
        assert one.diagnostic == "550 5.1.1 no such user"
        assert [row.state for row in await queue.list()] == [State.FAILED, State.WAITING]
        assert (await queue.text_of(found, 1000))[0] == b"Subject: hi\r\n"
        await queue.finish_report(found.number)
        assert [row.recipient for row in await queue.list()] == [str(ANN)]
        await end(queue, OK, ANNS)
        assert bench.files == set()

    bench.run(first)
    bench.run(second)


@pytest.mark.parametrize("code", [250, 451, 550])
def test_what_a_server_says_in_another_encoding_is_kept_as_far_as_it_can_be_read(
    bench: Bench, code: int
) -> None:
    said = b"5.1.1 Empf\xe4nger\x00 \x1b[2J".decode(
        "utf-8", "surrogateescape"
    )  # as aiosmtplib has it

    async def body(queue: MailQueue) -> None:
        await put(queue)
        await end(queue, judge(code, said))
        if code == 451:
            ((row),) = await queue.list()
            assert row.reason == "451 5.1.1 Empf\ufffdnger\ufffd \ufffd[2J"
        elif code == 550:
            (concerned,) = (await report(queue)).concerned
            assert concerned.diagnostic == "550 5.1.1 Empf\ufffdnger\ufffd \ufffd[2J"
        else:
            assert queue.totals() == (0, 0)

    bench.run(body)


def test_a_silence_in_another_encoding_is_kept_too(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        await queue.record_silence(BOBS, unreachable("greeting: \udce4"))
        ((row),) = await queue.list()
        assert row.reason == "4.4.1 greeting: \ufffd"

    bench.run(body)


def test_a_bounce_never_causes_a_report(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await queue.add(TEXT, "", [BOB])
        await end(queue, NO)
        assert await queue.next_report() is None
        assert bench.files == set()

    bench.run(body)


def test_who_wants_no_report_gets_none_and_who_wants_a_receipt_gets_one(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue, asked=DsnAsked(notify=(Notify.NEVER,)))
        await end(queue, NO)
        assert await queue.next_report() is None
        await put(queue, asked=DsnAsked(notify=(Notify.SUCCESS,), original=("rfc822;b@x",)))
        work = await take(queue)
        assert (work.recipients[0].notify, work.recipients[0].original) == (
            Notify.SUCCESS,
            "rfc822;b@x",
        )
        await queue.record_outcomes(work, BOBS, [(work.recipients[0], OK, True)])
        found = await report(queue)
        assert found.action is Action.RELAYED
        assert found.concerned[0].asked == "rfc822;b@x"

    bench.run(body)


def test_greylisting_waits_as_the_schedule_says_and_the_reason_is_shown(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        await end(queue, LATER)
        (row,) = await queue.list()
        assert (row.tries, row.reason) == (1, "451 4.7.1 greylisted")
        assert 12 <= row.next_unix - bench.clocks.unix_time <= 18
        assert await due(queue) == []
        bench.clocks.pass_by(18)
        assert await due(queue) == [BOBS]
        await end(queue, LATER)
        assert 24 <= (await queue.list())[0].next_unix - bench.clocks.unix_time <= 36

    bench.run(body)


def test_a_sign_of_life_takes_greylisted_mail_again_but_not_in_the_same_minute(
    bench: Bench,
) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        for _ in range(6):
            work = (await queue.work_for(BOBS, 1, is_flush=True))[0]
            await queue.record_outcomes(work, BOBS, [(work.recipients[0], LATER, False)])
            assert await queue.work_for(BOBS, 1, is_flush=True) == []
            bench.clocks.pass_by(61)

    bench.run(body)


def test_a_sign_of_life_takes_a_mail_that_broke_off_again_behind_the_others_and_not_for_ever(
    bench: Bench,
) -> None:
    async def body(queue: MailQueue) -> None:
        first, second = await put(queue), await put(queue)
        for _ in range(3):
            flushed = await queue.work_for(BOBS, 10, is_flush=True)
            assert sorted(one.envelope.id for one in flushed) == [first, second]
            (broken,) = [one for one in flushed if one.envelope.id == first]
            await queue.record_outcomes(broken, BOBS, [(broken.recipients[0], SILENT, False)])
            flushed = await queue.work_for(BOBS, 10, is_flush=True)
            assert [one.envelope.id for one in flushed] == [second, first]
            assert [one.envelope.id for one in await queue.work_for(BOBS, 10)] == [second]
        (broken,) = [one for one in flushed if one.envelope.id == first]
        await queue.record_outcomes(broken, BOBS, [(broken.recipients[0], SILENT, False)])
        flushed = await queue.work_for(BOBS, 10, is_flush=True)
        assert [one.envelope.id for one in flushed] == [second]

    bench.run(body)


def test_a_silent_node_is_called_by_the_schedule_and_all_its_mail_waits(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        for _ in range(3):
            await put(queue)
        waits = []
        for _ in range(9):
            await queue.record_silence(BOBS, SILENT)
            assert await due(queue) == []
            wait_s = await queue.seconds_until_due()
            assert wait_s is not None
            waits.append(wait_s)
            bench.clocks.pass_by(wait_s + 0.001)
            assert await due(queue) == [BOBS]
        for wait_s, base in zip(waits, (15, 30, 60, 120, 300, 600, 1200, 1800, 1800), strict=True):
            assert base * 0.8 <= wait_s <= base * 1.2
        assert {row.reason for row in await queue.list()} == {"4.4.1 the node does not answer"}
        assert len(await queue.work_for(BOBS, 10)) == 3
        assert await queue.waiting_nodes(10) == [BOBS]
        await queue.record_reached(BOBS)
        assert await queue.waiting_nodes(10) == []

    bench.run(body)


def test_new_mail_for_a_silent_node_is_tried_at_once(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        for _ in range(8):
            await queue.record_silence(BOBS, SILENT)
        assert await due(queue) == []
        queue.news.clear()
        await put(queue)
        assert queue.news.is_set()
        assert await due(queue) == [BOBS]

    bench.run(body)


def test_the_sender_is_warned_once_after_a_day_and_told_the_end_after_fourteen(
    bench: Bench,
) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        bench.clocks.pass_by(DAY_S - 10)
        await queue.record_silence(BOBS, SILENT)
        assert await queue.next_report() is None
        bench.clocks.pass_by(20)
        await queue.record_silence(BOBS, SILENT)
        found = await report(queue)
        assert found.action is Action.DELAYED
        assert found.concerned[0].status == "4.4.1"
        assert "does not answer" in found.concerned[0].diagnostic
        await queue.finish_report(found.number)
        bench.clocks.pass_by(12 * DAY_S)
        await queue.record_silence(BOBS, SILENT)
        assert await queue.next_report() is None
        bench.clocks.pass_by(DAY_S)
        await queue.record_silence(BOBS, SILENT)
        found = await report(queue)
        assert (found.action, found.concerned[0].status) == (Action.FAILED, "4.4.7")
        assert "14 days" in found.concerned[0].diagnostic
        assert await due(queue) == []
        await queue.finish_report(found.number)
        assert bench.files == set()

    bench.run(body)


def test_a_mail_put_off_by_its_server_grows_old_as_well(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        bench.clocks.pass_by(DAY_S + 1)
        await end(queue, LATER)
        assert (await report(queue)).action is Action.DELAYED
        bench.clocks.pass_by(13 * DAY_S)
        await end(queue, LATER)
        await queue.finish_report((await report(queue)).number)
        found = await report(queue)
        assert (found.action, found.concerned[0].status) == (Action.FAILED, "4.4.7")

    bench.run(body)


def test_a_warning_about_a_mail_that_got_through_is_told_to_nobody(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue, BOB, ANN)
        bench.clocks.pass_by(DAY_S + 1)
        await queue.record_silence(BOBS, SILENT)
        await end(queue, OK)
        assert (await report(queue)).concerned == ()

    bench.run(body)


@pytest.mark.parametrize("jump_s", [-400 * DAY_S, 400 * DAY_S])
def test_a_wall_clock_that_jumps_while_we_run_changes_nothing(bench: Bench, jump_s: float) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        await queue.record_silence(BOBS, SILENT)
        bench.clocks.unix_time += jump_s
        assert await due(queue) == []
        bench.clocks.pass_by(18)
        assert await due(queue) == [BOBS]
        await queue.record_silence(BOBS, SILENT)
        assert await queue.next_report() is None
        assert len(await queue.list()) == 1

    bench.run(body)


@pytest.mark.parametrize("jump_s", [-400 * DAY_S, 400 * DAY_S])
def test_a_wall_clock_that_jumps_while_we_are_off_ends_no_mail(bench: Bench, jump_s: float) -> None:
    async def first(queue: MailQueue) -> None:
        await put(queue)
        await queue.record_silence(BOBS, SILENT)

    async def second(queue: MailQueue) -> None:
        bench.clocks.pass_by(18)
        assert await due(queue) == [BOBS]
        await queue.record_silence(BOBS, SILENT)
        assert [row.state for row in await queue.list()] == [State.WAITING]

    bench.run(first)
    bench.clocks.unix_time += jump_s
    bench.clocks.now = 5.0  # the machine was started anew
    bench.run(second)


def test_a_night_switched_off_is_time_that_passed(bench: Bench) -> None:
    async def first(queue: MailQueue) -> None:
        await put(queue)
        for _ in range(8):
            await queue.record_silence(BOBS, SILENT)

    async def second(queue: MailQueue) -> None:
        assert await due(queue) == [BOBS]

    bench.run(first)
    bench.clocks.unix_time += 8 * 3600
    bench.clocks.now = 5.0
    bench.run(second)


def test_retry_and_cancel_are_for_ones_own_mail(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        number = await put(queue, BOB, ANN)
        for address in (BOBS, ANNS):
            await queue.record_silence(address, SILENT)
        assert await queue.retry(number, "eve") == []
        assert await queue.cancel(number, "eve") == 0
        assert await due(queue) == []
        assert sorted(await queue.retry(number, "stuart")) == sorted([BOBS, ANNS])
        assert len(await due(queue)) == 2
        assert await queue.list("eve") == []
        assert await queue.cancel(number, "stuart") == 2
        assert await queue.list() == []
        assert await due(queue) == []
        assert bench.files == set()
        assert queue.totals() == (0, 0)

    bench.run(body)


@pytest.mark.parametrize("outcome", [OK, NO, LATER])
def test_a_mail_cancelled_on_its_way_stays_cancelled(bench: Bench, outcome: Outcome) -> None:
    async def body(queue: MailQueue) -> None:
        number = await put(queue)
        work = await take(queue)
        await queue.cancel(number)
        await queue.record_outcomes(work, BOBS, [(work.recipients[0], outcome, True)])
        await queue.settle(BOBS)
        assert await queue.next_report() is None
        assert await queue.list() == []
        assert queue.totals() == (0, 0)

    bench.run(body)


def test_a_full_queue_says_so_and_takes_mail_again_when_there_is_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailqueue, "MAX_MESSAGES", 2)

    async def body(queue: MailQueue) -> None:
        first = await put(queue)
        with pytest.raises(MailError) as caught:
            await queue.add(b"x" * 10_000, SENDER, [BOB])
        assert (caught.value.code, caught.value.enhanced) == (452, "4.3.1")
        await put(queue)
        with pytest.raises(MailError, match="full"):
            await put(queue)
        await queue.cancel(first)
        await put(queue)

    bench.run(body, max_bytes=9000)


@pytest.mark.parametrize(
    ("recipients", "code", "hint"),
    [
        (["bob@example.org"], 550, "mesh address"),
        (["bob@[fc00::1]"], 550, "bob@[IPv6:fc00::1]"),
        (["bob@[IPv6:2001:db8::1]"], 550, "mesh address"),
        ([], 452, ""),
        (["bob@[IPv6:fc00::1]"] * 101, 452, ""),
    ],
)
def test_recipients_that_are_none_are_refused(
    bench: Bench, recipients: list[str], code: int, hint: str
) -> None:
    async def body(queue: MailQueue) -> None:
        with pytest.raises(MailError) as caught:
            await queue.add(TEXT, SENDER, [parse_mailbox(one) for one in recipients])
        assert caught.value.code == code
        assert hint in caught.value.hint
        assert bench.files == set()

    bench.run(body)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_is_452_and_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def body(queue: MailQueue) -> None:
        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(MailError) as caught:
                await put(queue)
        assert (caught.value.code, caught.value.enhanced) == (452, "4.3.1")
        with monkeypatch.context() as patch:
            patch.setattr(MessageFiles, "sync", refuse)
            with pytest.raises(MailError) as caught:
                await put(queue)
        assert caught.value.code == 452
        assert bench.files == set()
        assert queue.totals() == (0, 0)
        assert await queue.list() == []
        await put(queue)
        assert queue.totals()[0] == 1

    bench.run(body)


def test_a_queue_that_could_not_be_opened_opens_by_itself_once_the_disk_allows_it(
    bench: Bench,
) -> None:
    in_the_way = bench.home.mail

    async def second(queue: MailQueue) -> None:
        for wanted in (put(queue), queue.list(), queue.due(5), queue.next_report()):
            with pytest.raises(MailError) as caught:
                await wanted
            assert caught.value.code == 452
        in_the_way.unlink()
        former.rename(in_the_way)
        (in_the_way / "queue" / "0123456789").write_bytes(b"of no row")
        numbers = await asyncio.gather(*(put(queue) for _ in range(5)))
        assert {row.id for row in await queue.list()} == {1, *numbers}
        assert len(bench.files) == queue.totals()[0] == 6

    async def first(queue: MailQueue) -> None:
        await put(queue)

    bench.run(first)
    former = in_the_way.rename(in_the_way.with_name("former"))
    in_the_way.write_bytes(b"")
    bench.run(second)


def test_a_folder_that_could_not_be_synced_is_synced_before_any_row_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real = MessageFiles.sync

    def broken_once(files: MessageFiles) -> None:
        done.append("sync")
        if len(done) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(files)

    async def body(queue: MailQueue) -> None:
        writer, gate = queue._writer, threading.Event()
        assert writer is not None
        monkeypatch.setattr(MessageFiles, "sync", broken_once)
        held = asyncio.create_task(queue._do(lambda _: gate.wait(10)))
        puts = [asyncio.create_task(put(queue)) for _ in range(2)]
        while writer._jobs.qsize() < 2:  # noqa: ASYNC110 until both wait for one commit
            await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(held, *puts, return_exceptions=True)
        assert len(await queue.list()) == 2
        assert len(done) >= 2  # the one that failed is no reason to go on without

    bench.run(body)


def test_many_mails_share_commits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    real = MessageFiles.sync

    def counted(files: MessageFiles) -> None:
        syncs.append(1)
        real(files)

    monkeypatch.setattr(MessageFiles, "sync", counted)

    async def body(queue: MailQueue) -> None:
        await asyncio.gather(*(put(queue) for _ in range(100)))
        assert len(await queue.list()) == 100

    bench.run(body)
    assert len(syncs) < 100


def test_one_bad_change_does_not_harm_those_it_shares_a_commit_with(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM messages")
            raise ValueError("a bug")

        results = await asyncio.gather(
            put(queue), queue._do(fail), put(queue), return_exceptions=True
        )
        assert isinstance(results[1], ValueError)
        assert len(await queue.list()) == 2

    bench.run(body)


def test_spellings_are_remembered_and_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexmesh.apps.mail.queue.tables.MAX_SPELLINGS", 2)

    async def body(queue: MailQueue) -> None:
        assert await queue.spelling(BOBS) is None
        await queue.remember_spelling(BOBS, "[IPv6:FC00::b0b]")
        assert await queue.spelling(BOBS) == "[IPv6:FC00::b0b]"
        bench.clocks.pass_by(1)
        await queue.remember_spelling(ANNS, "[IPv6:fc00::a]")
        bench.clocks.pass_by(1)
        await queue.remember_spelling(parse_address("fc00::c"), "[IPv6:fc00::c]")
        assert await queue.spelling(BOBS) is None
        assert await queue.known_nodes(10) == [parse_address("fc00::c"), ANNS]

    bench.run(body)


def test_a_report_that_cannot_be_told_waits_by_the_schedule(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await put(queue)
        await end(queue, NO)
        found = await report(queue)
        assert await queue.put_off_report(found.number) == 1
        assert await queue.next_report() is None
        wait_s = await queue.seconds_until_report()
        assert wait_s is not None
        assert 12 <= wait_s <= 18
        bench.clocks.pass_by(wait_s + 0.001)
        assert (await report(queue)).number == found.number

    bench.run(body)


def test_smtputf8_is_needed_for_such_addresses_and_headers(bench: Bench) -> None:
    async def body(queue: MailQueue) -> None:
        await queue.add(TEXT, SENDER, [Mailbox("bärbel", "[IPv6:fc00::b0b]")])
        await queue.add("Subject: ä\n\nx\n".encode(), SENDER, [ANN])
        await queue.add("Subject: a\n\nä\n".encode(), SENDER, [ANN])
        (bob,) = await queue.work_for(BOBS, 10)
        first, second = await queue.work_for(ANNS, 10)
        assert bob.envelope.needs.is_utf8
        assert first.envelope.needs.is_utf8
        assert not second.envelope.needs.is_utf8
        assert second.envelope.needs.is_8bit

    bench.run(body)


def test_verdicts_used_here_are_what_they_say() -> None:
    assert (OK.verdict, NO.verdict, LATER.verdict) == (
        Verdict.DELIVERED,
        Verdict.FAILED,
        Verdict.RETRY,
    )
