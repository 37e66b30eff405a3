"""The dialogue itself, over real sockets: order, limits, smuggling, junk, and what comes in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from dexmesh.apps.mail import smtp
from dexmesh.apps.mail.proto.headers import MAX_FIELDS, MAX_HEADER_BYTES
from dexmesh.apps.mail.proto.refusals import Reason
from tests.unit.apps.mail.smtp_world import (
    ME,
    PEER_LITERAL,
    SETTINGS,
    Client,
    World,
    mail_world,
    node,
    until,
)
from tests.unit.apps.mail.test_data import CLEAN_FALSE_ENDS, FALSE_ENDS

SENDER = f"stuart@{PEER_LITERAL}"
BOB = f"bob@{ME.literal}"
HEAD = b"Subject: x\r\n\r\n"


def stored_bodies(world: World) -> list[bytes]:
    """What arrived, without headers."""
    return [one.data.partition(b"\r\n\r\n")[2] for one in world.store.stored]


async def in_pieces(client: Client, data: bytes, size: int) -> None:
    """Send so that the server sees pieces: it reads as fast as we write."""
    for at in range(0, len(data), size):
        await client.send(data[at : at + size])
        await asyncio.sleep(0)


def test_ehlo_offers_what_works_and_helo_offers_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            answer = await client.say("EHLO x")
            offered = {line[4:].strip() for line in answer.splitlines()}
            wanted = {ME.literal, "SIZE 1000000", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"}
            assert wanted | {"SMTPUTF8"} <= offered
            assert not {"STARTTLS", "DSN"} & offered
            assert not any(line.startswith("AUTH") for line in offered)
            assert await client.say("HELO x") == f"250 {ME.literal}\r\n"

    asyncio.run(run())


@pytest.mark.parametrize("mark", FALSE_ENDS)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_nothing_can_be_smuggled_behind_a_false_end(tmp_path: Path, mark: bytes, size: int) -> None:
    smuggled = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nevil\r\n".encode()

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.envelope(SENDER, BOB)
            await in_pieces(client, HEAD + b"one" + mark + smuggled + b".\r\n", size)
            answer = await client.reply()
            assert (await client.say("NOOP")).startswith("250")  # one reply for one message
            if mark in CLEAN_FALSE_ENDS:
                assert answer.startswith("250")
                assert len(world.store.stored) == 1
                assert b"evil" in world.store.stored[0].data
            else:
                assert answer.startswith("550 5.6.0")
                assert world.store.stored == []
                assert world.receiver.counters.refused(Reason.BARE_LINE_END) == 1
            assert world.left_in_spool() == []

    asyncio.run(run())


@pytest.mark.parametrize("size", [1, 2, 5, 100_000])
def test_dots_lines_and_bytes_arrive_as_they_were_written(tmp_path: Path, size: int) -> None:
    wire = b"..\r\n...a\r\nb\r\n\x00\xff\xfe\r\n" + b"l" * 3000 + b"\r\n"

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.envelope(SENDER, BOB)
            await in_pieces(client, HEAD + wire + b".\r\n", size)
            assert (await client.reply()).startswith("250")
            expected = b".\r\n..a\r\nb\r\n\x00\xff\xfe\r\n" + b"l" * 3000 + b"\r\n"
            assert stored_bodies(world) == [expected]

    asyncio.run(run())


def test_messages_without_header_or_body_are_kept_whole(tmp_path: Path) -> None:
    cases = [
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\nonly body\r\n", b"only body\r\n"),
        (b"Subject: only header\r\n", b""),
        (b"no header at all\r\n\r\nmore\r\n", b"no header at all\r\n\r\nmore\r\n"),
        (b"Subject: a\r\nno field\r\n\r\nmore\r\n", b"no field\r\n\r\nmore\r\n"),
    ]

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            for message, _ in cases:
                assert (await client.mail(SENDER, [BOB], message)).startswith("250")
            assert stored_bodies(world) == [body for _, body in cases]
            # a body without Message-ID is told apart by all of its bytes
            assert len({one.mail.body_hash for one in world.store.stored}) == 5

    asyncio.run(run())


@pytest.mark.parametrize("line", [b"no header at all\r\n", b"Subject: x\r\nno field\r\n"])
def test_a_mail_that_comes_again_in_other_pieces_is_the_same_mail(
    tmp_path: Path, line: bytes
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for size in (100_000, 7_001, 30_000):
                client = await world.client()
                await client.envelope(SENDER, BOB)
                await in_pieces(client, line * (400_000 // len(line)) + b".\r\n", size)
                assert (await client.reply()).startswith("250")
                client.close()
            assert len({one.mail.body_hash for one in world.store.stored}) == 1

    asyncio.run(run())


def test_a_client_may_send_everything_at_once(tmp_path: Path) -> None:
    lines = ["EHLO x"]
    for number in range(3):
        lines += [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{BOB}>", "RCPT TO:<nobody@localhost>", "DATA"]
        lines += [f"Subject: {number}", "", "..dot", "."]
    lines += ["NOOP", "QUIT"]

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for size in (1, 7, 100_000):
                world.store.stored.clear()
                client = await world.client()
                await in_pieces(client, "".join(f"{line}\r\n" for line in lines).encode(), size)
                answers = await client.all_until_closed()
                codes = [line[:3] for line in answers.splitlines() if line[3:4] == " "]
                one = ["250", "250", "550", "354", "250"]
                assert codes == ["250", *one, *one, *one, "250", "221"]
                assert stored_bodies(world) == [b".dot\r\n"] * 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        (["MAIL FROM:<>"], "503 5.5.1"),
        (["EHLO x", "RCPT TO:<a@localhost>"], "503 5.5.1"),
        (["EHLO x", "DATA"], "503 5.5.1"),
        (["EHLO x", "MAIL FROM:<>", "DATA"], "503 5.5.1"),
        (["EHLO x", "MAIL FROM:<>", "MAIL FROM:<>"], "503 5.5.1"),
        (["EHLO"], "501 5.5.4"),
        (["EHLO x", "MAIL FROM"], "501 5.5.4"),
        (["EHLO x", "MAIL TO:<>"], "501 5.5.4"),
        (["EHLO x", "MAIL FROM:<> SIZE=1000001"], "552 5.3.4"),
        (["EHLO x", "MAIL FROM:<> SIZE=x"], "501 5.5.4"),
        (["EHLO x", "MAIL FROM:<> SIZE=1000000 BODY=8BITMIME SMTPUTF8"], "250 2.1.0"),
        (["EHLO x", "MAIL FROM:<> BODY=BINARYMIME"], "501 5.5.4"),
        (["EHLO x", "MAIL FROM:<> FROB=1"], "555 5.5.4"),
        (["EHLO x", "MAIL FROM:<> RET=FULL"], "555 5.5.4"),
        (["EHLO x", "MAIL FROM:<>", "RSET", "MAIL FROM:<>"], "250 2.1.0"),
        (["EHLO x", "MAIL FROM:<>", "EHLO x", "MAIL FROM:<>"], "250 2.1.0"),
        (["EHLO x", "mail from: <>"], "250 2.1.0"),
        (["EHLO x", "AUTH PLAIN AAAA"], "502 5.5.1"),
        (["EHLO x", "STARTTLS"], "503 5.5.1"),
        (["VRFY bob"], "252 2.5.0"),
        (["EXPN all"], "502 5.5.1"),
        (["HELP"], "214 2.0.0"),
        (["NOOP x"], "250 2.0.0"),
        (["GET / HTTP/1.1"], "500 5.5.2"),
        (["\xff\xfe"], "500 5.5.2"),
        (["EHLO x", "BDAT 5"], "500 5.5.2"),
    ],
)
def test_every_command_has_its_answer(tmp_path: Path, lines: list[str], last: str) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            answer = ""
            for line in lines:
                answer = await client.say(line.encode("latin-1"))
            assert answer.startswith(last)

    asyncio.run(run())


def test_a_line_may_have_a_thousand_bytes_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            assert (await client.say(b"NOOP " + b"x" * 993)).startswith("250")
            for size in (994, 5000, 200_000):
                assert (await client.say(b"NOOP " + b"x" * size)).startswith("500 5.5.2")
            assert (await client.say("NOOP")).startswith("250")
            assert world.receiver.counters.refused(Reason.BAD_LINE) == 3

    asyncio.run(run())


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP\rNOOP\r\n", b"NOOP\n\r\n", b"\n"])
def test_a_command_that_ends_otherwise_ends_the_connection(tmp_path: Path, line: bytes) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.send(line)
            assert (await client.all_until_closed()).startswith("500 5.5.2")

    asyncio.run(run())


def test_a_message_too_big_is_refused_at_its_end_and_one_without_end_is_cut_off(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            line = b"x" * 98 + b"\r\n"
            fitting = HEAD + line * ((1_000_000 - len(HEAD)) // len(line))
            assert (await client.mail(SENDER, [BOB], fitting)).startswith("250")
            too_big = fitting + line * 2
            assert (await client.mail(SENDER, [BOB], too_big)).startswith("552 5.3.4")
            assert (await client.mail(SENDER, [BOB], fitting)).startswith("250")
            await client.envelope(SENDER, BOB)
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    await client.send(line * 1000)
                await client.all_until_closed()
            await until(lambda: not world.receiver.counters.open_connections)
            assert len(world.store.stored) == 2
            assert world.left_in_spool() == []
            assert world.spool.used_bytes == 0
            assert world.receiver.counters.refused(Reason.TOO_BIG) == 2

    asyncio.run(run())


def test_a_header_has_its_limits_and_says_so(tmp_path: Path) -> None:
    long_field = b"X-Long: " + b"y" * MAX_HEADER_BYTES + b"\r\n"
    many_fields = b"a:\r\n" * (MAX_FIELDS + 1)
    loop = b"Received: x\r\n" * 51

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            for header in (long_field, many_fields, long_field * 2):
                answer = await client.mail(SENDER, [BOB], header + b"\r\nbody\r\n")
                assert answer.startswith("552 5.3.4")
            answer = await client.mail(SENDER, [BOB], loop + b"\r\nbody\r\n")
            assert answer.startswith("554 5.4.6")
            text = b"no header, but much text\r\n" * 20_000
            assert (await client.mail(SENDER, [BOB], text)).startswith("250")
            assert stored_bodies(world) == [text]
            assert world.left_in_spool() == []

    asyncio.run(run())


def test_recipients_mails_and_commands_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "MAX_MAILS", 3)

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.say("EHLO x")
            await client.say(f"MAIL FROM:<{SENDER}>")
            for _ in range(100):
                assert (await client.say(f"RCPT TO:<{BOB}>")).startswith("250")
            assert (await client.say(f"RCPT TO:<{BOB}>")).startswith("452 4.5.3")
            await client.say("DATA")
            await client.send(b"x\r\n.\r\n")
            assert (await client.reply()).startswith("250")
            for _ in range(2):
                assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")
            await client.say("EHLO x")
            assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("421 4.7.0")
            assert await client.reply() == ""
            assert world.receiver.counters.refused(Reason.TOO_MANY_MAILS) == 1

    asyncio.run(run())


def test_a_hundred_thousand_short_commands_end_early(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for line, reason in (
                (b"NOOP\r\n", Reason.TOO_MANY_COMMANDS),
                (b"X\r\n", Reason.JUNK),
                (b"\r\n", Reason.TOO_MANY_COMMANDS),
                (b"RSET\r\nEHLO x\r\nMAIL FROM:<>\r\n", Reason.TOO_MANY_COMMANDS),
            ):
                client = await world.client()
                with contextlib.suppress(ConnectionError):
                    await client.send(line * (100_000 // line.count(b"\n")))
                    await client.all_until_closed()
                await until(lambda: not world.receiver.counters.open_connections)
                assert world.receiver.counters.refused(reason) >= 1
            assert world.receiver.counters.refused(Reason.TOO_MANY_COMMANDS) == 3

    asyncio.run(asyncio.wait_for(run(), 60))


def test_random_junk_ends_no_server(tmp_path: Path) -> None:
    dice = random.Random(4)
    words = [b"EHLO", b"MAIL FROM:<", b"RCPT TO:<", b"DATA", b"[IPv6:", b"\x00", b"\xff\xff", b"\r\n",
             b"\n", b"\r", b".", b">", b"<", b"@", b'"', b"\\", b" ", b"SIZE=", BOB.encode(),
             SENDER.encode()]  # fmt: skip

    async def one(world: World, number: int) -> None:
        client = await world.connect(2 + number % 20)
        junk = b"".join(dice.choice(words) for _ in range(300))
        if number % 3 == 0:
            junk = dice.randbytes(5000)
        with contextlib.suppress(ConnectionError):
            await client.send(junk)
            client.writer.write_eof()
            await client.all_until_closed()

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for batch in range(10):
                await asyncio.gather(*(one(world, batch * 20 + number) for number in range(20)))
            await until(lambda: not world.receiver.counters.open_connections)
            client = await world.client()
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")
            assert world.receiver.counters.refused(Reason.OUR_FAULT) == 0
            assert world.left_in_spool() == []

    asyncio.run(asyncio.wait_for(run(), 60))


def test_who_says_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "IDLE_S", 0.2)

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            silent = await world.client(2)
            half_a_line = await world.client(3)
            await half_a_line.send(b"EHL")
            half_a_mail = await world.client(4)
            await half_a_mail.envelope("a@[IPv6:fc00::4]", BOB)
            await half_a_mail.send(HEAD + b"x" * 300_000)
            for client in (silent, half_a_line, half_a_mail):
                assert (await client.all_until_closed()).startswith("421 4.4.2")
            assert world.receiver.counters.refused(Reason.IDLE) == 3
            await until(lambda: not world.receiver.counters.open_connections)
            assert world.left_in_spool() == []

    asyncio.run(run())


def test_who_keeps_a_session_open_without_a_mail_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "QUIET_S", 0.3)

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            answers: list[str] = []
            while not answers or answers[-1].startswith("250"):
                answers.append(await client.say("NOOP"))
                await asyncio.sleep(0.02)
            assert answers[-1].startswith("421 4.4.2")
            assert len(answers) > 3

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_message_that_drips_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "SLOW_START_S", 0.1)

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.envelope(SENDER, BOB)
            with contextlib.suppress(ConnectionError):
                while world.receiver.counters.open_connections:
                    await client.send(b"x")
                    await asyncio.sleep(0.02)
            assert world.receiver.counters.refused(Reason.TOO_SLOW) == 1
            assert world.left_in_spool() == []

    asyncio.run(asyncio.wait_for(run(), 20))


def test_who_reads_no_answer_does_not_keep_his_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "IDLE_S", 0.3)
    monkeypatch.setattr(smtp, "PARTING_S", 0.3)

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            (listening,) = world.receiver._server._servers[0].sockets
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # a slow path
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.bind(("127.0.0.2", 0))
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(deaf, ("127.0.0.1", world.receiver_port))
                await until(lambda: world.receiver.counters.open_connections)
                await loop.sock_sendall(deaf, b"EHLO x\r\n" * 2000)
                await until(lambda: not world.receiver.counters.open_connections)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_connection_that_meets_an_error_of_ours_is_not_left_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            with monkeypatch.context() as patch:
                patch.setattr(world.signs, "heard", lambda _address: 1 // 0)
                client = await world.connect()
                assert (await client.all_until_closed()).startswith("421 4.3.0")
            assert world.receiver.counters.refused(Reason.OUR_FAULT) == 1
            client = await world.client()
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")

    asyncio.run(asyncio.wait_for(run(), 30))


def test_at_the_end_a_mail_that_is_being_stored_gets_its_answer_and_the_others_a_farewell(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            world.store.wait = asyncio.Event()
            idle, half = await world.client(2), await world.client(3)
            await half.envelope("a@[IPv6:fc00::3]", BOB)
            await half.send(HEAD + b"x" * 300_000)
            whole = await world.client(4)
            await whole.envelope("a@[IPv6:fc00::4]", BOB)
            await whole.send(HEAD + b"whole\r\n.\r\n")
            await asyncio.wait_for(world.store.entered.wait(), 5)
            closing = asyncio.create_task(world.receiver.close())
            assert (await idle.all_until_closed()).startswith("421 4.3.2")
            assert (await half.all_until_closed()).startswith("421 4.3.2")
            assert not closing.done()
            world.store.wait.set()
            assert (await whole.all_until_closed()).startswith("250 2.0.0")
            await closing
            assert stored_bodies(world) == [b"whole\r\n"]
            assert world.left_in_spool() == []

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_spool_file_that_cannot_be_removed_is_no_reason_to_send_the_mail_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for to, recipient in (("receiver", BOB), ("submission", "x@[IPv6:fc00::2]")):
                client = await world.client(to=to)
                with monkeypatch.context() as patch:
                    patch.setattr(Path, "unlink", refuse)
                    assert (await client.mail(SENDER, [recipient], HEAD)).startswith("250")
            assert world.spool.used_bytes == 0

    asyncio.run(asyncio.wait_for(run(), 30))


def test_what_is_on_its_way_in_has_a_budget_on_disk(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path, budget=700_000) as world:
            first = await world.client(2)
            await first.envelope(SENDER, BOB)
            await first.send(HEAD + b"x" * 500_000)
            await until(lambda: world.spool.used_bytes > 400_000)
            second = await world.client(3)
            await second.say("EHLO x")
            declared = await second.say("MAIL FROM:<> SIZE=400000")
            assert declared.startswith("452 4.3.1")
            answer = await second.mail("", [BOB], HEAD + b"y" * 400_000 + b"\r\n")
            assert answer.startswith("452 4.3.1")
            await first.send(b"\r\n.\r\n")
            assert (await first.reply()).startswith("250")
            assert (await second.mail("", [BOB], HEAD + b"y" * 400_000 + b"\r\n")).startswith("250")
            assert world.spool.used_bytes == 0
            assert world.receiver.counters.refused(Reason.SPOOL_FULL) == 2

    asyncio.run(run())


def test_a_disk_that_takes_nothing_is_a_452_and_later_all_is_well(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            world.folder.rmdir()
            for size in (10, 600_000):
                answer = await client.mail(SENDER, [BOB], HEAD + b"x" * size + b"\r\n")
                assert answer.startswith("452 4.3.1")
            os.mkdir(world.folder)
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")
            assert world.receiver.counters.refused(Reason.DISK) == 2
            assert world.spool.used_bytes == 0

    asyncio.run(run())


def test_a_spool_that_could_not_be_opened_answers_452_until_it_can(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "spool").write_bytes(b"in the way")
        async with mail_world(tmp_path) as world:
            client = await world.client()
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("452 4.3.1")
            (tmp_path / "spool").unlink()
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")

    asyncio.run(run())


def test_an_error_of_ours_ends_one_connection_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            with monkeypatch.context() as patch:
                patch.setattr(world.store, "is_blocked", lambda _address: 1 // 0)
                await client.say("EHLO x")
                assert (await client.say("MAIL FROM:<>")).startswith("421 4.3.0")
                assert await client.reply() == ""
            with monkeypatch.context() as patch:
                patch.setattr(world.book, "by_address", lambda _address: 1 // 0)
                client = await world.client()
                assert (await client.mail(SENDER, [BOB], HEAD)).startswith("451 4.3.0")
            assert (await client.mail(SENDER, [BOB], HEAD)).startswith("250")
            assert world.receiver.counters.refused(Reason.OUR_FAULT) == 2
            assert world.left_in_spool() == []

    asyncio.run(run())


def test_leftovers_of_an_earlier_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "spool").mkdir()
        (tmp_path / "spool" / "deadbeef-1").write_bytes(b"half a mail")
        async with mail_world(tmp_path, replace(SETTINGS, host_names=())) as world:
            assert world.left_in_spool() == []
            client = await world.client()
            await client.envelope(SENDER, BOB)
            await client.send(HEAD + b"x" * 300_000)
            await until(world.left_in_spool)
            await world.spool.open()
            assert len(world.left_in_spool()) == 1
            assert node(2) in world.signs.addresses

    asyncio.run(run())
