"""One session with the mail server of another node, over real sockets on ::1."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.me import Me
from dexmesh.apps.mail import outgoing as module
from dexmesh.apps.mail.outgoing import CallError, Fate, Outgoing, Target, connected
from dexmesh.apps.mail.proto.attempts import Needs, Verdict
from dexmesh.apps.mail.proto.spellings import candidates
from dexmesh.apps.mail.queue.rows import Envelope, Notify, QueueId, Recipient, Work
from dexmesh.wire.address import Address, parse_address
from dexmesh.wire.keys import address_of, decode_key
from tests.unit.apps.mail.smtp_script import ScriptedServer

HERE = parse_address("::1")
KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")
ME = Me(KEY, HERE)
TEXT = b"Subject: hi\r\n\r\n.dots\r\n..\r\nend\r\n"


def work(
    *people: str, needs: Needs | None = None, notify: Notify | None = None, sender: str = "me@x"
) -> Work:
    envelope = Envelope(
        QueueId(1), "file", sender, "me", needs or Needs(len(TEXT)), True, "env+=1", 0.0
    )
    rows = (
        Recipient(number, local, "[IPv6:::1]", notify, "rfc822;a=b")
        for number, local in enumerate(people or ("bob",))
    )
    return Work(envelope, tuple(rows))


Body = Callable[[Outgoing], Coroutine[Any, Any, None]]


def talk(server: ScriptedServer, body: Body, spelling: str | None = None) -> None:
    """Run a session of ours against a server."""

    async def both() -> None:
        async with server.running():
            target = Target(HERE, server.port, spelling, None)
            async with connected(ME, target) as session:
                await body(session)

    asyncio.run(both())


def send(server: ScriptedServer, path: Path, *works: Work, text: bytes = TEXT) -> list[Fate]:
    """Hand over works, one after the other; what became of all recipients."""
    path.write_bytes(text)
    fates: list[Fate] = []

    async def body(session: Outgoing) -> None:
        for one in works:
            fates.extend(await session.hand_over(one, path))

    talk(server, body)
    return fates


def verdicts(fates: list[Fate]) -> list[str]:
    return [outcome.verdict.name for _, outcome, _ in sorted(fates, key=lambda fate: fate[0].id)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mail"


def test_a_message_arrives_byte_for_byte_with_its_dots_stuffed(path: Path) -> None:
    server = ScriptedServer()
    assert verdicts(send(server, path, work("bob", "eve"))) == ["DELIVERED"] * 2
    assert server.messages == [TEXT.replace(b"\r\n.", b"\r\n..") + b".\r\n"]
    assert server.lines[0] == "EHLO [IPv6:::1]"
    assert server.commands("MAIL")[0].startswith(f"MAIL FROM:<me@x> SIZE={len(TEXT)}")
    assert len(server.commands("RCPT")) == 2
    assert server.lines[-1] == "QUIT"


def test_the_dot_at_the_end_does_not_wait_until_its_text_is_acknowledged() -> None:
    server = ScriptedServer()

    async def body(session: Outgoing) -> None:
        transport = session._client.transport
        assert transport is not None
        opened = transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    talk(server, body)


def test_several_messages_go_over_one_session(path: Path) -> None:
    server = ScriptedServer({"RCPT TO:<eve@": "550 no"})
    fates = send(server, path, work("bob"), work("eve"), work("bob"))
    assert [outcome.verdict.name for _, outcome, _ in fates] == ["DELIVERED", "FAILED", "DELIVERED"]
    assert server.sessions == 1
    assert len(server.messages) == 2
    assert server.commands("RSET") == ["RSET"]  # after the one that was not sent


def test_every_recipient_has_a_result_of_its_own(path: Path) -> None:
    server = ScriptedServer({"RCPT TO:<eve@": "550 5.1.1 who", "RCPT TO:<ann@": "451 4.7.1 wait"})
    fates = send(server, path, work("bob", "eve", "ann"))
    assert verdicts(fates) == ["DELIVERED", "FAILED", "RETRY"]
    assert len(server.messages) == 1


def test_all_spellings_are_tried_where_one_is_refused_and_the_right_one_is_kept(
    path: Path,
) -> None:
    right = "[IPv6:0:0:0:0:0:0:0:1]"
    server = ScriptedServer(
        judge=lambda line: (
            "550 Invalid recipient" if line.startswith("RCPT") and right not in line else None
        )
    )
    path.write_bytes(TEXT)

    async def body(session: Outgoing) -> None:
        assert verdicts(await session.hand_over(work("bob", "eve"), path)) == ["DELIVERED"] * 2
        assert session.spelling == right

    # candidates() only trusts literals of the mesh, so "as written" is not among these
    talk(server, body)
    asked = [line.split("@")[1].rstrip(">").split(">")[0] for line in server.commands("RCPT")]
    assert asked == [
        "[IPv6:0000:0000:0000:0000:0000:0000:0000:0001]",
        "[IPv6:::1]",
        right,
        *(asked[3:]),
    ]


def test_a_spelling_that_was_taken_is_not_in_doubt_for_the_next_recipient(path: Path) -> None:
    address = address_of(KEY)
    server = ScriptedServer({"RCPT TO:<eve@": "550 5.1.1 no such user"})
    path.write_bytes(TEXT)
    first = candidates("", address)[0]

    async def both() -> None:
        async with server.running():
            target = Target(HERE, server.port, None, None)
            async with connected(ME, target) as session:
                session._target = Target(address, server.port, first, KEY)
                fates = await session.hand_over(work("bob", "eve"), path)
                assert verdicts(fates) == ["DELIVERED", "FAILED"]

    asyncio.run(both())
    assert len(server.commands("RCPT")) == 2


def test_a_user_nobody_knows_is_refused_with_the_first_answer(path: Path) -> None:
    answers = iter(["550 5.1.1 first", "550 second", "554 third", "501 fourth"])
    server = ScriptedServer(judge=lambda line: next(answers) if line.startswith("RCPT") else None)
    ((_, outcome, _),) = send(server, path, work())
    assert outcome.as_text == "550 5.1.1 first"


def test_a_server_that_hangs_up_on_so_many_spellings_has_said_no(path: Path) -> None:
    count = iter(range(10))
    server = ScriptedServer(
        judge=lambda line: (
            ("550 no" if next(count) == 0 else "421 enough") if line.startswith("RCPT") else None
        )
    )
    hanging = ScriptedServer({"RCPT": None})
    assert verdicts(send(server, path, work())) == ["RETRY"]  # 421 is its word
    assert verdicts(send(hanging, path, work())) == ["RETRY"]  # it said nothing at all

    def hang_up(line: str) -> str | None:
        return "550 no" if line.startswith("RCPT") and next(count) < 3 else None

    second = ScriptedServer({"RCPT": None}, judge=hang_up)
    assert verdicts(send(second, path, work())) == ["FAILED"]


def test_a_mailbox_that_is_full_is_not_asked_for_in_other_spellings(path: Path) -> None:
    server = ScriptedServer({"RCPT": "552 5.2.2 full"})
    assert verdicts(send(server, path, work())) == ["FAILED"]
    assert len(server.commands("RCPT")) == 1


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"MAIL": "550 5.7.1 not from you"}, "FAILED"),
        ({"MAIL": "452 4.3.1 full"}, "RETRY"),
        ({"DATA": "554 no"}, "FAILED"),
        ({"DATA": "250 what"}, "RETRY"),
        ({"END": "552 too long"}, "FAILED"),
        ({"END": "451 disk"}, "RETRY"),
        ({"END": None}, "RETRY"),
        ({"MAIL": None}, "RETRY"),
        ({"MAIL": "hello?"}, "RETRY"),
        ({"MAIL": "250-" + "x" * 40_000}, "RETRY"),
    ],
)
def test_answers_decide_what_becomes_of_a_mail(
    path: Path, answers: dict[str, str | None], verdict: str
) -> None:
    assert verdicts(send(ScriptedServer(answers), path, work())) == [verdict]


def test_a_server_that_breaks_the_connection_ends_the_session_only(path: Path) -> None:
    path.write_bytes(TEXT)

    async def body(session: Outgoing) -> None:
        fates = await session.hand_over(work("bob", "eve"), path)
        assert verdicts(fates) == ["RETRY", "RETRY"]
        assert session.is_broken

    talk(ScriptedServer({"RCPT TO:<eve@": None}), body)


def test_an_answer_before_the_end_of_the_text_is_heard(path: Path) -> None:
    server = ScriptedServer({"EARLY": "552 5.3.4 too big for me"})
    began = time.monotonic()
    ((_, outcome, _),) = send(
        server, path, work(), text=b"x" * 998 + b"\r\n" + b"y\r\n" * 9_000_000
    )
    assert outcome.as_text == "552 5.3.4 too big for me"
    assert time.monotonic() - began < 20


def test_a_server_that_reads_no_more_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.3)

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for answer in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readuntil(b"\r\n")
            writer.write(answer)
        await asyncio.sleep(5)
        writer.close()

    path.write_bytes(b"x\r\n" * 10_000_000)

    async def both() -> None:
        server = await asyncio.start_server(stuck, "::1", 0)
        target = Target(HERE, server.sockets[0].getsockname()[1], None, None)
        async with server, connected(ME, target) as session:
            ((_, outcome, _),) = await session.hand_over(work(), path)
            assert outcome.verdict is Verdict.RETRY
            assert "takes no more" in outcome.text

    asyncio.run(asyncio.wait_for(both(), 20))


def test_what_a_server_cannot_take_is_refused_without_sending_it(path: Path) -> None:
    server = ScriptedServer(extensions=("SIZE 100",))
    fates = send(
        server,
        path,
        work(needs=Needs(101)),
        work(needs=Needs(50, is_8bit=True)),
        work("jörg", needs=Needs(50, is_8bit=True, is_utf8=True)),
    )
    assert [outcome.enhanced for _, outcome, _ in fates] == ["5.3.4", "5.6.3", "5.6.7"]
    assert server.commands("MAIL") == []


def test_a_subject_in_raw_bytes_reaches_a_server_that_takes_eight_bits(path: Path) -> None:
    server = ScriptedServer(extensions=("8BITMIME",))
    text = "Subject: Grüße\r\n\r\nhi\r\n".encode("latin-1")
    fates = send(server, path, work(needs=Needs(len(text), True, True)), text=text)
    assert verdicts(fates) == ["DELIVERED"]
    assert server.commands("MAIL") == ["MAIL FROM:<me@x> BODY=8BITMIME"]
    assert server.messages == [text + b".\r\n"]


def test_parameters_say_what_the_message_needs_and_the_sender_asked(path: Path) -> None:
    server = ScriptedServer()
    wish = Notify.SUCCESS | Notify.DELAY
    fates = send(server, path, work(needs=Needs(9, True, True), notify=wish))
    assert server.commands("MAIL") == [
        "MAIL FROM:<me@x> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=env+2B+3D1"
    ]
    assert server.commands("RCPT")[0].endswith(" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+3Db")
    assert [wants for *_, wants in fates] == [False]  # that server sends its own receipt


def test_a_server_without_receipts_leaves_them_to_us(path: Path) -> None:
    server = ScriptedServer(extensions=())
    fates = send(server, path, work(notify=Notify.SUCCESS))
    assert [wants for *_, wants in fates] == [True]
    assert server.commands("MAIL") == ["MAIL FROM:<me@x>"]


def test_our_key_name_goes_out_as_our_literal(path: Path) -> None:
    server = ScriptedServer()
    me = Me(KEY, address_of(KEY))
    path.write_bytes(TEXT)

    async def both() -> None:
        async with (
            server.running(),
            connected(ME, Target(HERE, server.port, None, None)) as session,
        ):
            session._me = me
            await session.hand_over(work(sender=f"stuart@{me.key_name}"), path)
            await session.hand_over(work(sender=""), path)

    asyncio.run(both())
    first, second = server.commands("MAIL")
    assert f"<stuart@{me.literal}>" in first
    assert "MAIL FROM:<> " in second


def test_a_server_without_ehlo_is_greeted_with_helo(path: Path) -> None:
    server = ScriptedServer({"EHLO": "502 what"})
    assert verdicts(send(server, path, work())) == ["DELIVERED"]
    assert server.lines[1] == "HELO [IPv6:::1]"


@pytest.mark.parametrize("greeting", ["554 go away", "421 busy", "nonsense", None])
def test_a_greeting_that_is_none_is_a_call_that_failed(greeting: str | None) -> None:
    async def body(_: Outgoing) -> None:
        raise AssertionError("there is no session")

    with pytest.raises(CallError) as caught:
        talk(ScriptedServer({"GREETING": greeting}), body)
    assert caught.value.outcome.verdict is Verdict.RETRY


def test_a_port_nobody_listens_on_is_told_in_words() -> None:
    async def call() -> None:
        async with connected(ME, Target(HERE, 1, None, None)):
            raise AssertionError("there is no session")

    with pytest.raises(CallError, match="no mail server answers there"):
        asyncio.run(call())


def test_an_address_we_do_not_have_is_told_in_words() -> None:
    async def call() -> None:
        me = Me(KEY, Address(bytes.fromhex("fc" + "00" * 14 + "01")))
        async with connected(me, Target(HERE, 1, None, None)):
            raise AssertionError("there is no session")

    with pytest.raises(CallError, match="not on the mesh"):
        asyncio.run(call())


def test_a_node_to_which_no_way_leads_does_not_mean_that_we_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    async def call() -> None:
        async with connected(ME, Target(HERE, 1, None, None)):
            raise AssertionError("there is no session")

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", fail)
    with pytest.raises(CallError, match="no way leads there"):
        asyncio.run(call())


def test_a_text_that_is_gone_from_the_disk_is_told_and_the_session_goes_on(path: Path) -> None:
    server = ScriptedServer()
    path.write_bytes(TEXT)

    async def body(session: Outgoing) -> None:
        ((_, outcome, _),) = await session.hand_over(work(), path.with_name("gone"))
        assert (outcome.verdict, outcome.enhanced) == (Verdict.FAILED, "5.3.0")
        assert verdicts(await session.hand_over(work(), path)) == ["DELIVERED"]

    talk(server, body)


def test_thirty_five_megabytes_do_not_pass_through_memory_at_once(path: Path) -> None:
    received = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        writer.write(b"220 hi\r\n")
        for answer in (b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readuntil(b"\r\n")
            writer.write(answer)
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            chunk = await reader.read(65536)
            received += len(chunk)
            tail = (tail + chunk)[-5:]
        writer.write(b"250 ok\r\n")
        await reader.read()
        writer.close()

    size = 35 << 20
    with path.open("wb") as out:
        out.writelines(b"%073d\r\n" % number for number in range(size // 75))

    async def both() -> None:
        server = await asyncio.start_server(count, "::1", 0)
        target = Target(HERE, server.sockets[0].getsockname()[1], None, None)
        async with server, connected(ME, target) as session:
            assert verdicts(await session.hand_over(work(), path)) == ["DELIVERED"]

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asyncio.run(both())
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert received == path.stat().st_size + 3
    assert grown < 8 << 10  # KiB
