"""Every stock program with our mail node on one side or on both, and the answer back.

a (our mail node | OpenSMTPD) ----- b (OpenSMTPD | our mail node)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.netns.conftest import World
from tests.netns.mailers import (
    REPLIERS,
    SENDERS,
    Mail,
    Mailer,
    OurMailer,
    StockMailer,
    answer_alpine,
    attached_to,
    give_leading_zero,
    open_python,
    wait_for,
)

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="mail programs need several users: real root"
    ),
]

Pair = tuple[Mailer, Mailer]
KINDS = {"ours": OurMailer, "stock": StockMailer}

# Who answers whom where our node is at one end: it has repaired the quoted From of alpine, so that
# s-nail can answer; bsd-mailx reads mbox files only, and our node has a Maildir.
ANSWERS = {
    "s-nail": "mutt",
    "mutt": "s-nail",
    "bsd-mailx": "s-nail",
    "alpine": "s-nail",
    "msmtp": "mutt",
    "swaks": "s-nail",
    "sendmail": "alpine",
}


@pytest.fixture(
    scope="module", params=["ours-stock", "stock-ours", "ours-ours"], ids=lambda kinds: str(kinds)
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two machines whose people have all programs, and each other in their address books."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        world = World(lab)
        a, b = (
            KINDS[kind](world.node(name))
            for name, kind in zip("ab", str(request.param).split("-"), strict=True)
        )
        give_leading_zero(b.node)
        world.join(a.node, b.node)
        b.node.start()
        a.node.start()
        for here, there in ((a, b), (b, a)):
            _prepare(here, there)
        yield a, b


def _prepare(here: Mailer, there: Mailer) -> None:
    if isinstance(here, OurMailer):
        here.start()
        here.know(there, here.home)
        here.install_programs("node")
    elif isinstance(here, StockMailer):
        home = str(here.node.machine.folder / "apps")
        here.know(there, home)
        here.start(here.setup("opensmtpd", "--home", home))
        here.install_programs("stock")


@pytest.mark.parametrize("program", SENDERS)
def test_a_mail_from_a_to_b_and_its_answer(pair: Pair, program: str) -> None:
    a, b = pair
    SENDERS[program](a, b, f"by {program}", "one line\n")
    mail = wait_for(b, f"by {program}")
    assert "one line" in str(mail.get_payload())
    REPLIERS[ANSWERS[program]](b, f"by {program}", "so be it")
    answer = wait_for(a, f"Re: by {program}")
    assert "so be it" in str(answer.get_payload())
    assert answer["To"].rpartition("<")[2].rstrip(">") in (a.address(), a.key_address())


@pytest.mark.parametrize("way", ["there", "back"])
def test_25_mb_arrive_bit_for_bit(pair: Pair, way: str) -> None:
    sender, receiver = pair if way == "there" else pair[::-1]
    data = os.urandom(25_000_000)
    file = sender.node.machine.folder / "large.bin"
    file.write_bytes(data)
    subject = f"large, {way}"
    sender.run(
        "mutt", "-s", subject, "-a", str(file), "--", receiver.address(), stdin="see inside\n"
    )
    arrived = attached_to(receiver, subject)
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("way", ["there", "back"])
def test_lines_of_dots_arrive_as_they_were(pair: Pair, way: str) -> None:
    sender, receiver = pair if way == "there" else pair[::-1]
    text = ".\n..\n...a\n .\n.b\n\n.\n"
    SENDERS["mutt"](sender, receiver, f"dots, {way}", text)
    arrived = str(wait_for(receiver, f"dots, {way}").get_payload()).replace("\r\n", "\n")
    end = "\n" if isinstance(receiver, StockMailer) else ""  # OpenSMTPD ends an mbox entry with one
    assert arrived == text + end


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_user_that_is_not_there_is_told_to_the_sender_in_words(pair: Pair, way: str) -> None:
    sender, receiver = pair if way == "there" else pair[::-1]
    nobody = f"nobody-{way}@{receiver.literal}"
    sender.run("s-nail", "-s", "to nobody", nobody, stdin="hello?\n")
    found: list[Mail] = []

    def is_told() -> bool:
        found[:] = [mail for mail in sender.inbox() if nobody in str(mail.get_payload())]
        return bool(found)

    wait_until(is_told, 12, "the bounce")
    text = found[0].as_string()
    assert re.search(r"\b550\b", text), text
    assert "MAILER-DAEMON@" in found[0]["From"]
    assert found[0]["Return-Path"] in ("<>", None)


@pytest.mark.parametrize("pair", ["ours-stock"], indirect=True)
def test_a_stock_receiver_that_knows_one_spelling_gets_the_mail_in_that_one(pair: Pair) -> None:
    a, b = pair
    assert isinstance(b, StockMailer)
    text = b.setup("opensmtpd")
    assert b.padded != b.literal
    one = re.sub(r"table me \{[^}]*\}", f'table me {{ "{b.padded}" }}', text)
    assert one != text
    b.stop()
    b.start(one)
    a.run("s-nail", "-s", "spelled your way", b.address(), stdin="hello\n")
    mail = wait_for(b, "spelled your way")
    assert mail["Delivered-To"] == f"stuart@{b.padded}"
    b.stop()
    b.start(text)


def test_opensmtpd_beside_our_node_hands_mail_for_the_mesh_over_to_it(world: World) -> None:
    """For people whose OpenSMTPD already does the mail of this machine."""
    a, b = OurMailer(world.node("a")), StockMailer(world.node("b"))
    world.join(a.node, b.node)
    b.node.start()
    a.node.start()
    b.start()
    a.start(submission_ports=[587])
    beside = StockMailer(a.node)
    beside.start(a.setup("opensmtpd", "--for", "node"))
    a.paste(a.setup("mailrc", "--program", "s-nail", "--for", "stock"), ".mailrc")
    a.run("s-nail", "-s", "by literal", b.address(), stdin="hello\n")
    mail = wait_for(b, "by literal")
    assert a.literal in mail["From"]
    a.run("s-nail", "-s", "by key name", b.key_address(), stdin="hello\n")
    wait_for(b, "by key name")
    a.run("s-nail", "-s", "at home", "stuart@localhost", stdin="hello\n")
    wait_for(beside, "at home")
    assert not a.inbox()


@pytest.mark.parametrize("pair", ["ours-stock"], indirect=True)
def test_whoever_may_read_no_configuration_is_told_by_the_running_node(pair: Pair) -> None:
    a, b = pair
    open_python(b)
    command = [sys.executable, "-m", "dexmesh", "setup", "mailrc", "--json"]
    for mailer, server in ((a, "node"), (b, "stock")):
        told = json.loads(mailer.run(*command).partition("\n}")[0] + "}")
        assert told["for"] == server
        assert told["address"] == mailer.address()
        assert told["text"] == mailer.setup("mailrc")


@pytest.mark.parametrize("account", ["stuart", "post"])
def test_programs_read_the_maildir_of_their_owner_and_imap_otherwise(
    world: World, account: str
) -> None:
    """The service runs as stuart, or as an account of its own whose mailboxes stuart cannot enter."""
    a = OurMailer(world.node("a"))
    a.node.start()
    if account != "stuart":
        a.node.machine.add_person(account)
    a.start(account=account)
    a.install_programs("node")
    assert ("imap://" in a.setup("mutt")) == (account != "stuart")
    a.run("s-nail", "-s", "to myself", a.address(), stdin="as I was told\n")
    for program in ("mutt", "s-nail"):
        with a.terminal(program) as screen:
            if account != "stuart":
                screen.expect("(?i)password")
                screen.type(f"{a.password}\r")
            screen.expect("to myself")
    with a.terminal("alpine", "-i") as screen:
        answer_alpine(screen, a, "to myself")
