"""The article's own flow with its programs: paste what `dexmesh setup` prints, write, read, answer.

a (OpenSMTPD, stuart) ----- b (OpenSMTPD, bob)
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dexmesh.cli.lab import Lab
from tests.netns.conftest import World
from tests.netns.mailers import StockMailer, reply_alpine, send_alpine, wait_for

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="OpenSMTPD needs several users: real root"
    ),
]


@pytest.fixture(scope="module")
def people() -> Iterator[tuple[StockMailer, StockMailer]]:
    """Two machines, each with the programs of the article and its owner."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        world = World(lab)
        a, b = StockMailer(world.node("a")), StockMailer(world.node("b"))
        world.join(a.node, b.node)
        b.node.start()
        a.node.start()
        b.node.machine.add_person("bob")
        for mailer, owner in ((a, "stuart"), (b, "bob")):
            # `mailx` is s-nail there, as in most distributions.
            mailer.node.machine.run(["mount", "--bind", "/usr/bin/s-nail", "/usr/bin/mailx"])
            mailer.start(mailer.setup("opensmtpd"))
            mailer.paste(mailer.setup("mailrc", user=owner), ".mailrc", owner)
            mailer.paste(mailer.setup("alpine", user=owner), ".pinerc", owner)
        yield a, b


def test_a_mail_and_its_answer_by_mailx(people: tuple[StockMailer, StockMailer]) -> None:
    a, b = people
    a.run("mailx", "-s", "no server", f"bob@{b.literal}", stdin="just keys\n")
    mail = wait_for(b, "no server", "bob")
    assert mail["From"] == f"stuart <{a.address()}>"
    said = b.run("mailx", "-#", "-f", "/var/mail/bob", stdin="type 1\nexit\n", user="bob")
    assert "just keys" in said
    answer = "reply 1\nkeys indeed\n~.\nexit\n"
    b.run("mailx", "-#", "-f", "/var/mail/bob", stdin=answer, user="bob")
    back = wait_for(a, "Re: no server")
    assert back["In-Reply-To"] == mail["Message-ID"]
    said = a.run("mailx", "-#", "-f", "/var/mail/stuart", stdin="type 1\nexit\n")
    assert "keys indeed" in said


def test_a_mail_to_the_padded_address_that_cjdns_prints(
    people: tuple[StockMailer, StockMailer],
) -> None:
    a, b = people
    a.run("mailx", "-s", "padded", f"bob@{b.padded}", stdin="zeros\n")
    wait_for(b, "padded", "bob")


def test_an_alias_of_mailrc_leads_to_a_literal(people: tuple[StockMailer, StockMailer]) -> None:
    a, b = people
    a.paste(a.setup("mailrc") + f"alias bobby bob@{b.literal}\n", ".mailrc")
    a.run("mailx", "-s", "by alias", "bobby", stdin="hello\n")
    wait_for(b, "by alias", "bob")


def test_a_mail_and_its_answer_by_alpine(people: tuple[StockMailer, StockMailer]) -> None:
    a, b = people
    send_alpine(b, a, "green needles", "and cones?\n", user="bob")
    mail = wait_for(a, "green needles")
    assert f"<bob@{b.literal}>" in mail["From"].replace('"', "")
    reply_alpine(a, "green needles", "and cones")
    back = wait_for(b, "Re: green needles", "bob")
    assert "and cones" in str(back.get_payload())
