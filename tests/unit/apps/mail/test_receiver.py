"""The receiver, spoken to over real sockets: who may send what to whom, and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dexmesh.apps.base.domains import spellings
from dexmesh.apps.mail.counters import Event
from dexmesh.apps.mail.proto.refusals import Reason
from dexmesh.apps.mail.serving import Limits
from dexmesh.errors import MailError
from dexmesh.wire.address import format_address
from tests.unit.apps.mail.smtp_world import ME, PEER_LITERAL, SETTINGS, mail_world, node, until

SENDER = f"stuart@{PEER_LITERAL}"
BOB = f"bob@{ME.literal}"
MESSAGE = (
    f"From: Stuart <{SENDER}>\r\nTo: <{BOB}>\r\nSubject: hi\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"
).encode()


def test_a_mail_from_a_contact_lies_in_the_inbox_with_our_trace_on_top(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            assert (await client.mail(SENDER, [BOB], MESSAGE)).startswith("250 2.0.0")
            (stored,) = world.store.stored
            assert stored.mail.folder == "INBOX"
            assert stored.mail.user == "bob"
            assert stored.mail.remote == node(2)
            assert stored.mail.sender == SENDER
            assert stored.mail.message_id == "<1@x>"
            assert stored.mail.wire_size == len(stored.data)
            assert stored.data.endswith(b"\r\n" + MESSAGE)
            trace = stored.data.removesuffix(MESSAGE)
            assert trace.startswith(f"Return-Path: <{SENDER}>\r\nReceived: from client ".encode())
            results = f"{ME.key_name};\r\n\tx-mesh=pass smtp.remote-ip=fc00::2\r\n".encode()
            assert b"Authentication-Results: " + results in trace
            assert b"X-Mesh-From-Differs" not in trace
            assert world.signs.addresses == [node(2)]
            assert world.left_in_spool() == []
            assert world.spool.used_bytes == 0
            assert world.receiver.counters.counted(Event.MAIL) == 1

    asyncio.run(run())


def test_a_stranger_is_judged_and_goes_to_requests(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client(3)
            sender = "eve@[IPv6:fc00::3]"
            assert (await client.mail(sender, [BOB], MESSAGE)).startswith("250")
            (stored,) = world.store.stored
            assert stored.mail.folder == "Requests"
            assert world.store.judged == [(node(3), "bob", stored.mail.size)]
            assert stored.mail.is_counted
            assert b"X-Mesh-From-Differs: sent by [IPv6:fc00::3]\r\n" in stored.data
            world.store.stranger_error = MailError(451, "4.7.1", "too much for today")
            assert (await client.mail(sender, [BOB], MESSAGE)).startswith("451 4.7.1")
            assert len(world.store.stored) == 1
            assert world.receiver.counters.refused(Reason.STRANGER_LIMIT) == 1
            assert world.left_in_spool() == []

    asyncio.run(run())


def test_what_a_stranger_may_not_send_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def run() -> None:
        settings = replace(SETTINGS, max_message_bytes=30_000_000)
        async with mail_world(tmp_path, settings) as world:
            stranger, contact = await world.client(3), await world.client(2)
            await stranger.say("EHLO x")
            answer = await stranger.say("MAIL FROM:<eve@[IPv6:fc00::3]> SIZE=2000000")
            assert answer.startswith("550 5.7.1")
            assert world.receiver.counters.refused(Reason.STRANGER_LIMIT) == 1
            answer = await stranger.say("MAIL FROM:<eve@[IPv6:fc00::3]> SIZE=900000")
            assert answer.startswith("250")
            await contact.say("EHLO x")
            answer = await contact.say(f"MAIL FROM:<{SENDER}> SIZE=2000000")
            assert answer.startswith("250")

    asyncio.run(run())


def test_a_mail_that_finds_no_room_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            world.store.room["alice"] = 1000
            client = await world.client()
            await client.say("EHLO x")
            await client.say(f"MAIL FROM:<{SENDER}> SIZE=5000")
            answer = await client.say(f"RCPT TO:<all@{ME.literal}>")
            assert answer.startswith("452 4.2.2")
            assert world.receiver.counters.refused(Reason.STORE) == 1
            assert (await client.say(f"RCPT TO:<{BOB}>")).startswith("250")

    asyncio.run(run())


@pytest.mark.parametrize(
    "domain",
    [
        *spellings(ME.address),
        *(one.upper() for one in spellings(ME.address)),
        ME.literal.replace("IPv6", "ipv6"),
        ME.key_name,
        ME.key_name.upper(),
        ME.alt_name,
        "localhost",
        "desk",
        "DESK.example",
    ],
)
def test_every_spelling_of_us_is_us(tmp_path: Path, domain: str) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            assert (await client.mail(SENDER, [f"Bob@{domain}"], MESSAGE)).startswith("250")
            assert [one.mail.user for one in world.store.stored] == ["bob"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("recipient", "code", "reason"),
    [
        ("bob@[IPv6:fc00::9]", "550 5.7.1", Reason.RELAY),
        ("bob@example.org", "550 5.7.1", Reason.RELAY),
        ("bob@stuart", "550 5.7.1", Reason.RELAY),
        ("bob", "550 5.7.1", Reason.RELAY),
        (f"bob@[{format_address(ME.address)}]", "550 5.7.1", Reason.NO_TAG),
        (f"nobody@{ME.literal}", "550 5.1.1", Reason.UNKNOWN_USER),
        (f"bob%example.org@{ME.literal}", "550 5.1.1", Reason.UNKNOWN_USER),
        (f'"bob@example.org"@{ME.literal}', "550 5.1.1", Reason.UNKNOWN_USER),
        (f"@a,@b:nobody@{ME.literal}", "550 5.1.1", Reason.UNKNOWN_USER),
        ("", "553 5.1.3", Reason.BAD_ADDRESS),
        ("bob@", "553 5.1.3", Reason.BAD_ADDRESS),
        ("bob@[IPv6:fc00::9", "553 5.1.3", Reason.BAD_ADDRESS),
    ],
)
def test_nothing_is_relayed_and_nobody_is_made_up(
    tmp_path: Path, recipient: str, code: str, reason: Reason
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.say("EHLO x")
            await client.say(f"MAIL FROM:<{SENDER}>")
            assert (await client.say(f"RCPT TO:<{recipient}>")).startswith(code)
            assert world.receiver.counters.refused(reason) == 1
            assert (await client.say("DATA")).startswith("503")
            assert (await client.say(f"RCPT TO:<{BOB}>")).startswith("250")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        (SENDER, "250"),
        ("stuart@[ipv6:FC00:0:0:0:0:0:0:2]", "250"),
        ("stuart@[IPv6:fc00:0000:0000:0000:0000:0000:0000:0002]", "250"),
        ("", "250"),
        ("bob@[IPv6:fc00::3]", "550 5.7.1"),
        (f"bob@{ME.key_name}", "550 5.7.1"),
        (f"bob@{ME.literal}", "550 5.7.1"),
        ("a@example.org", "550 5.7.1"),
        ("a@stuart.cjdns.alt", "550 5.7.1"),
        ("a@[fc00::2]", "550 5.7.1"),
        ("a@[192.0.2.1]", "550 5.7.1"),
        ("a", "550 5.7.1"),
        ("a@b@c", "553 5.1.7"),
    ],
)
def test_the_connecting_address_says_who_may_be_named_as_sender(
    tmp_path: Path, sender: str, code: str
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            await client.say("EHLO x")
            assert (await client.say(f"MAIL FROM:<{sender}>")).startswith(code)

    asyncio.run(run())


def test_senders_outside_the_mesh_are_taken_where_the_settings_say_so(tmp_path: Path) -> None:
    async def run() -> None:
        settings = replace(SETTINGS, allow_foreign_senders=True)
        async with mail_world(tmp_path, settings) as world:
            client = await world.client()
            assert (await client.mail("a@example.org", [BOB], MESSAGE)).startswith("250")
            await client.say("EHLO x")
            spoofed = await client.say("MAIL FROM:<a@[IPv6:fc00::3]>")
            assert spoofed.startswith("550 5.7.1")

    asyncio.run(run())


def test_a_blocked_node_is_told_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            world.store.blocked.add(node(2))
            client = await world.client()
            await client.say("EHLO x")
            for sender in (SENDER, ""):
                assert (await client.say(f"MAIL FROM:<{sender}>")).startswith("550 5.7.1")
            assert world.receiver.counters.refused(Reason.BLOCKED) == 2

    asyncio.run(run())


def test_who_is_not_on_the_mesh_is_not_even_greeted(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.connect(7, third=1)
            with contextlib.suppress(ConnectionError):
                assert await client.reply() == ""
            assert world.receiver.counters.refused(Reason.NOT_MESH) == 1
            assert world.signs.addresses == []

    asyncio.run(run())


def test_aliases_and_the_postmaster_find_somebody_and_nobody_gets_a_mail_twice(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await world.client()
            recipients = [f"all@{ME.literal}", f"root@{ME.literal}", BOB, "Postmaster"]
            assert (await client.mail(SENDER, recipients, MESSAGE)).startswith("250")
            assert [one.mail.user for one in world.store.stored] == ["bob", "alice"]

    asyncio.run(run())


def test_one_refused_recipient_refuses_the_whole_mail_for_now(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            world.store.refuse_users["alice"] = MailError(452, "4.3.1", "full")
            client = await world.client()
            answer = await client.mail(SENDER, [f"all@{ME.literal}"], MESSAGE)
            assert answer.startswith("452 4.3.1")
            assert world.left_in_spool() == []
            world.store.refuse_users.clear()
            assert (await client.mail(SENDER, [f"all@{ME.literal}"], MESSAGE)).startswith("250")
            hashes = {(one.mail.message_id, one.mail.body_hash) for one in world.store.stored}
            assert len(hashes) == 1  # by which the store knows the copy bob already has

    asyncio.run(run())


def test_a_delivery_that_began_is_finished_though_the_connection_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            world.store.wait = asyncio.Event()
            client = await world.client()
            await client.envelope(SENDER, BOB)
            await client.send(MESSAGE + b".\r\n")
            await asyncio.wait_for(world.store.entered.wait(), 5)
            client.vanish()
            await until(lambda: not world.receiver.counters.open_connections)
            world.store.wait.set()
            await until(lambda: world.store.stored and not world.left_in_spool())
            assert world.spool.used_bytes == 0

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_connection_lost_in_a_message_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            for is_clean in (True, False):
                client = await world.client()
                await client.envelope(SENDER, BOB)
                await client.send(MESSAGE + b"x" * 300_000)
                await until(lambda: world.left_in_spool())
                if is_clean:
                    client.writer.write_eof()
                else:
                    client.vanish()
                await until(
                    lambda: not (world.left_in_spool() or world.receiver.counters.open_connections)
                )
                client.close()
            assert world.store.stored == []
            assert world.spool.used_bytes == 0

    asyncio.run(asyncio.wait_for(run(), 20))


def test_connections_are_limited_per_node_and_in_all_and_places_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path, limits=Limits(6, 3)) as world:
            own = [await world.client(2) for _ in range(3)]
            fourth = await world.connect(2)
            assert (await fourth.reply()).startswith("421 4.7.0")
            for number in (3, 4, 5):
                await world.client(number)
            seventh = await world.connect(6)
            assert (await seventh.reply()).startswith("421 4.3.2")
            own[0].close()
            await until(lambda: world.receiver.counters.open_connections < 6)
            await world.client(2)
            counters = world.receiver.counters
            assert counters.refused(Reason.TOO_MANY_FROM_ONE) == 1
            assert counters.refused(Reason.TOO_MANY_CONNECTIONS) == 1

    asyncio.run(asyncio.wait_for(run(), 20))


def test_forty_connections_at_once_all_deliver(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:

            async def one(number: int) -> None:
                peer = 2 + number % 5
                client = await world.client(peer)
                sender = f"a@[IPv6:fc00::{peer}]"
                for turn in range(3):
                    message = b"Subject: %d\r\n\r\n%d\r\n" % (number, turn)
                    assert (await client.mail(sender, [BOB], message)).startswith("250")
                assert (await client.say("QUIT")).startswith("221")

            await asyncio.gather(*(one(number) for number in range(40)))
            got = sorted(one.data.split(b"Subject: ")[1] for one in world.store.stored)
            wanted = [b"%d\r\n\r\n%d\r\n" % (n, t) for n in range(40) for t in range(3)]
            assert got == sorted(wanted)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_greeting_comes_at_once_while_big_mails_come_in(tmp_path: Path) -> None:
    async def run() -> None:
        settings = replace(SETTINGS, max_message_bytes=30_000_000)
        async with mail_world(tmp_path, settings, budget=1 << 30) as world:
            line = b"abcdefghijklmnopqrstuvwxyz0123456789" * 2 + b"\r\n"
            body = line * (25_000_000 // len(line))

            async def send() -> None:
                client = await world.client(3)
                await client.envelope("a@[IPv6:fc00::3]", BOB)
                for at in range(0, len(body), 1 << 16):
                    await client.send(body[at : at + (1 << 16)])
                await client.send(b".\r\n")
                async with asyncio.timeout(60):
                    assert (await client.reader.readline()).startswith(b"250")

            start = time.perf_counter()
            senders = [asyncio.create_task(send()) for _ in range(4)]
            waits = []
            while not all(task.done() for task in senders):
                began = time.perf_counter()
                client = await world.client(4)
                waits.append(time.perf_counter() - began)
                client.close()
                await asyncio.sleep(0.05)
            await asyncio.gather(*senders)
            assert len(world.store.stored) == 4
            assert all(one.data.endswith(body) for one in world.store.stored)
            assert len(waits) >= 5
            took = time.perf_counter() - start
            # client, server and clock share one loop here: nobody waits for a mail, but for a piece of one
            assert sorted(waits)[len(waits) * 9 // 10] < took / 10

    asyncio.run(asyncio.wait_for(run(), 120))
