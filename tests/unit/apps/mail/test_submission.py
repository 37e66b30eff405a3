"""Submission, spoken to over real sockets: programs of this machine write to people here and elsewhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import smtplib
import ssl
from pathlib import Path

import pytest

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.mail.counters import Event
from dexmesh.apps.mail.proto.refusals import Reason
from dexmesh.apps.mail.queue.rows import Notify
from dexmesh.apps.mail.store.values import Folder
from dexmesh.apps.mail.tls import certificate_file, load_tls
from dexmesh.errors import MailError
from dexmesh.wire.keys import encode_key
from tests.unit.apps.mail.smtp_world import (
    ME,
    PEER_LITERAL,
    SETTINGS,
    Client,
    World,
    mail_world,
    until,
)
from tests.unit.config.samples import node_key

FRIEND_KEY = node_key(2)[1]
BOB = f"bob@{ME.literal}"
STUART = f"stuart@{PEER_LITERAL}"
HEAD = b"Subject: x\r\n\r\n"


async def local(world: World) -> Client:
    """A program of this machine."""
    return await world.client(1, to="submission")


def header_of(data: bytes) -> dict[str, str]:
    """The fields of a message, names in lower case, folds kept."""
    fields: dict[str, str] = {}
    name = ""
    for line in data.partition(b"\r\n\r\n")[0].decode().split("\r\n"):
        if line[:1] in " \t":
            fields[name] += "\r\n" + line
            continue
        name, _, value = line.partition(":")
        name = name.lower()
        assert name not in fields
        fields[name] = value.strip()
    return fields


def test_mail_for_others_is_queued_and_mail_for_people_here_is_stored(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            answer = await client.mail(BOB, [STUART, "alice", "carol@stuart"], HEAD + b"text\r\n")
            assert answer.startswith("250")
            ((data, sender, recipients, user, _),) = world.queue.added
            assert (sender, user) == (BOB, "bob")
            assert recipients == [STUART, f"carol@{PEER_LITERAL}"]
            (stored,) = world.store.stored
            assert stored.mail.user == "alice"
            assert stored.mail.folder == Folder.INBOX
            assert stored.mail.remote is None
            assert stored.data == data
            assert data.endswith(b"\r\n\r\ntext\r\n")
            fields = header_of(data)
            assert fields["from"] == BOB
            assert fields["date"] == "Mon, 24 Nov 2025 16:00:00 +0000"
            assert fields["message-id"].endswith(f"@{ME.key_name}>")
            assert world.left_in_spool() == []
            assert world.submission.counters.counted(Event.RECIPIENT) == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("recipient", "queued"),
    [
        (STUART, STUART),
        ("stuart@[ipv6:FC00:0000:0000:0000:0000:0000:0000:0002]",
         "stuart@[ipv6:FC00:0000:0000:0000:0000:0000:0000:0002]"),
        ("x@stuart", f"x@{PEER_LITERAL}"),
        ("x@STUART", f"x@{PEER_LITERAL}"),
        ("x@stuart.cjdns.alt", f"x@{PEER_LITERAL}"),
        (f"x@{encode_key(FRIEND_KEY)}", None),
        (f"x@{encode_key(FRIEND_KEY).removesuffix('.k')}.cjdns.alt", None),
        ("bob", "here"),
        ("bob@localhost", "here"),
        ("Bob@Desk", "here"),
        ("root", "here"),
        (f"bob@{ME.padded_literal}", "here"),
        (f"bob@{ME.key_name}", "here"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_recipient_is_understood(
    tmp_path: Path, recipient: str, queued: str | None
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            assert (await client.mail(BOB, [recipient], HEAD)).startswith("250")
            if queued == "here":
                assert [one.mail.user for one in world.store.stored] == ["bob"]
                return
            (found,) = world.queue.added[0][2]
            assert found.startswith("x@[IPv6:fc") if queued is None else found == queued

    asyncio.run(run())


@pytest.mark.parametrize(
    ("recipient", "answer", "reason"),
    [
        ("a@example.org", "550 5.1.2 <a@example.org> is not on the mesh", Reason.NOT_ON_MESH),
        ("a@[fc00::2]", "550 5.1.2 write <a@[IPv6:fc00::2]>", Reason.NO_TAG),
        ("a@[192.0.2.1]", "550 5.1.2", Reason.NOT_ON_MESH),
        ("a@nobody", "550 5.1.2 no contact is called nobody", Reason.UNKNOWN_CONTACT),
        ("nobody", "550 5.1.1", Reason.UNKNOWN_USER),
        (f"nobody@{ME.literal}", "550 5.1.1", Reason.UNKNOWN_USER),
    ],
)
def test_who_cannot_be_reached_is_refused_in_words(
    tmp_path: Path, recipient: str, answer: str, reason: Reason
) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            await client.say("EHLO x")
            await client.say("MAIL FROM:<bob>")
            assert (await client.say(f"RCPT TO:<{recipient}>")).startswith(answer)
            assert world.submission.counters.refused(reason) == 1

    asyncio.run(run())


def test_from_is_always_an_own_address_and_names_become_literals(tmp_path: Path) -> None:
    message = (
        b'From: Me <evil@example.org>\r\nTo: Stuart <x@stuart>,\r\n "A, B" <alice>\r\n'
        b'Cc: y@"[IPv6:fc00::2]"\r\nBcc: secret@stuart\r\nReply-To: me@stuart.cjdns.alt\r\n'
        b"Authentication-Results: forged\r\nReturn-Path: <x@y>\r\nMessage-ID: <mine>\r\n"
        b"Date: today\r\nX-Kept:  as it  is\r\n\r\n"
    )

    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            assert (await client.mail("alice", [STUART], message)).startswith("250")
            data, sender, *_ = world.queue.added[0]
            assert header_of(data) == {
                "from": f"Me <alice@{ME.literal}>",
                "to": f'Stuart <x@{PEER_LITERAL}>,\r\n\t"A, B" <alice@{ME.literal}>',
                "cc": f"y@{PEER_LITERAL}",
                "reply-to": f"me@{PEER_LITERAL}",
                "message-id": "<mine>",
                "date": "today",
                "x-kept": "as it  is",
            }
            assert sender == f"alice@{ME.literal}"

    asyncio.run(run())


def test_an_empty_sender_stays_empty(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            assert (await client.mail("", [STUART], HEAD)).startswith("250")
            assert world.queue.added[0][1] == ""

    asyncio.run(run())


def test_what_is_asked_about_reports_goes_along(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            assert "250-DSN\r\n" in await client.say("EHLO x")
            await client.say("MAIL FROM:<bob> RET=FULL ENVID=a+2Bb")
            for line in (
                f"RCPT TO:<{STUART}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+40y",
                "RCPT TO:<alice> NOTIFY=NEVER",
                "RCPT TO:<a@stuart>",
            ):
                assert (await client.say(line)).startswith("250")
            assert (await client.say("RCPT TO:<bob> NOTIFY=NEVER,DELAY")).startswith("501")
            await client.say("DATA")
            await client.send(HEAD + b".\r\n")
            assert (await client.reply()).startswith("250")
            asked = world.queue.added[0][4]
            assert asked is not None
            assert (asked.returns_full, asked.envelope_id) == (True, "a+b")
            assert asked.notify == (Notify.SUCCESS | Notify.DELAY, None)
            assert asked.original == ("rfc822;x@y", "")

    asyncio.run(run())


def test_two_notes_of_cron_with_the_same_words_are_two_mails(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            for _ in range(2):
                assert (await client.mail("root", ["root"], HEAD + b"full\r\n")).startswith("250")
            keys = {(one.mail.message_id, one.mail.body_hash) for one in world.store.stored}
            assert len(keys) == 2
            assert all(b"From: root@" in one.data for one in world.store.stored)

    asyncio.run(run())


def test_a_queue_or_store_that_refuses_is_heard(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            world.queue.error = MailError(452, "4.3.1", "full")
            assert (await client.mail(BOB, [STUART], HEAD)).startswith("452 4.3.1 full")
            world.queue.error = None
            world.store.refuse_users["alice"] = MailError(452, "4.2.2", "mailbox full")
            answer = await client.mail(BOB, [STUART, "alice"], HEAD)
            assert answer.startswith("452 4.2.2")
            assert world.queue.added == []  # or the other node would get it twice
            assert world.left_in_spool() == []
            assert world.submission.counters.refused(Reason.STORE) == 2

    asyncio.run(run())


# --- Logins -------------------------------------------------------------------------------------------


def plain(user: str, password: str) -> str:
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def test_who_logs_in_is_the_sender_whatever_the_header_says(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            await client.say("EHLO x")
            assert (await client.say(f"AUTH PLAIN {plain('alice', 'ecila')}")).startswith("235")
            assert (await client.say("AUTH PLAIN")).startswith("503")
            message = b"From: Bob <bob@localhost>\r\n\r\n"
            assert (await client.mail("bob", [STUART], message)).startswith("250")
            data, sender, _, user, _ = world.queue.added[0]
            assert header_of(data)["from"] == f"Bob <alice@{ME.literal}>"
            assert (sender, user) == (f"alice@{ME.literal}", "alice")

    asyncio.run(run())


def test_login_in_every_form_and_its_mistakes(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            client = await local(world)
            await client.say("EHLO x")
            assert await client.say("AUTH LOGIN") == "334 VXNlcm5hbWU6\r\n"
            assert await client.say(base64.b64encode(b"bob@localhost")) == "334 UGFzc3dvcmQ6\r\n"
            assert (await client.say(base64.b64encode(b"bob"))).startswith("235")
            client = await local(world)
            await client.say("EHLO x")
            assert await client.say("AUTH PLAIN") == "334 \r\n"
            assert (await client.say("*")).startswith("501 5.5.2")
            assert (await client.say("AUTH PLAIN !!!")).startswith("501 5.5.2")
            assert (await client.say("AUTH PLAIN AAAA AAAA")).startswith("501 5.5.2")
            assert (await client.say("AUTH CRAM-MD5")).startswith("504 5.5.4")
            for _ in range(2):
                wrong = await client.say(f"AUTH PLAIN {plain('bob', 'wrong')}")
                assert wrong.startswith("535 5.7.8")
            assert (await client.say(f"AUTH PLAIN {plain('eve', 'eve')}")).startswith("535 5.7.8")
            assert (await client.reply()).startswith("421 4.7.0")
            assert await client.reply() == ""

    asyncio.run(run())


# --- TLS ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a certificate in it."""
    home = Home(tmp_path_factory.mktemp("home"))
    home.mail.mkdir()
    load_tls(home, ME, SETTINGS, 1_764_000_000.0)
    return home


def trusting(home: Home) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate_file(home)))


def test_a_stock_client_starts_tls_logs_in_and_sends(tmp_path: Path, home: Home) -> None:
    def session(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="laptop", timeout=10) as client:
            client.starttls(context=trusting(home))
            client.ehlo()
            assert not client.has_extn("starttls")
            client.login("bob", "bob")
            body = b"x" * 200_000 + b"\r\n"
            client.sendmail("bob@localhost", [STUART], HEAD + body)

    async def run() -> None:
        tls = load_tls(home, ME, SETTINGS, 1_764_000_000.0)
        async with mail_world(tmp_path, tls=tls) as world:
            await asyncio.to_thread(session, world.submission_port)
            assert len(world.queue.added[0][0]) > 200_000
            assert world.submission.counters.counted(Event.TLS) == 1
            await until(lambda: not world.submission.counters.open_connections)

    asyncio.run(run())


def test_what_was_sent_before_the_handshake_does_not_count(tmp_path: Path, home: Home) -> None:
    async def run() -> None:
        tls = load_tls(home, ME, SETTINGS, 1_764_000_000.0)
        async with mail_world(tmp_path, tls=tls) as world:
            client = await local(world)
            assert "250 STARTTLS" in await client.say("EHLO x")
            await client.send(b"STARTTLS\r\nMAIL FROM:<bob>\r\nRCPT TO:<alice>\r\n")
            assert (await client.reply()).startswith("220")
            await client.writer.start_tls(trusting(home), server_hostname="localhost")
            assert (await client.say("RCPT TO:<alice>")).startswith("503")
            assert (await client.say("MAIL FROM:<bob>")).startswith("503")  # EHLO again first
            assert (await client.mail("bob", ["alice"], HEAD)).startswith("250")
            await client.say("EHLO x")
            assert (await client.say("STARTTLS")).startswith("503")
            assert (await client.say("QUIT")).startswith("221")

    asyncio.run(run())


def test_a_broken_handshake_ends_that_connection_only(tmp_path: Path, home: Home) -> None:
    async def run() -> None:
        tls = load_tls(home, ME, SETTINGS, 1_764_000_000.0)
        async with mail_world(tmp_path, tls=tls) as world:
            client = await local(world)
            await client.say("EHLO x")
            await client.say("STARTTLS")
            with contextlib.suppress(ConnectionError):
                await client.send(b"this is no handshake\r\n" * 10)
                await client.all_until_closed()
            await until(lambda: not world.submission.counters.open_connections)
            assert world.submission.counters.refused(Reason.TLS_FAILED) == 1
            gone = await local(world)
            await gone.say("EHLO x")
            await gone.say("STARTTLS")
            gone.vanish()
            await until(lambda: not world.submission.counters.open_connections)
            client = await local(world)
            assert (await client.mail("bob", ["alice"], HEAD)).startswith("250")

    asyncio.run(run())


# --- For our own commands -----------------------------------------------------------------------------


def test_our_own_commands_come_in_without_a_socket(tmp_path: Path) -> None:
    async def run() -> None:
        async with mail_world(tmp_path) as world:
            path = tmp_path / "letter"
            path.write_bytes(b"From: bob\r\nMessage-ID: <m>\r\n\r\nhi\r\n")
            people = [Mailbox("x", "stuart"), Mailbox("alice", "")]
            number = await world.submission.submit("bob", path, people)
            assert number == 1
            assert world.queue.added[0][:4] == (
                path.read_bytes(), BOB, [f"x@{PEER_LITERAL}"], "bob",
            )  # fmt: skip
            assert world.store.stored[0].mail.message_id == "<m>"
            assert path.exists()
            assert await world.submission.submit("bob", path, people[1:]) is None
            with pytest.raises(MailError, match="not on the mesh"):
                await world.submission.submit("bob", path, [Mailbox("a", "example.org")])

    asyncio.run(run())
