"""Every stock program over two stock OpenSMTPDs: out by one program, back by another.

a (OpenSMTPD) ----- b (OpenSMTPD)
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator

import pytest

from dexmesh.cli.lab import Lab
from tests.netns.conftest import World
from tests.netns.mailers import REPLIERS, SENDERS, StockMailer, attached_to, wait_for

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="OpenSMTPD needs several users: real root"
    ),
]

# Says what the server answers to RCPT: server, sender, recipient.
STRANGER = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], 25, local_hostname="stranger", timeout=10) as server:
    server.ehlo()
    server.mail(sys.argv[2])
    print(*server.rcpt(sys.argv[3]))
"""

Pair = tuple[StockMailer, StockMailer]

# Who answers whom: each program that reads answers one that writes; alpine must answer alpine, whose
# From is quoted, and bsd-mailx needs a key name to answer to.
ANSWERS = {
    "s-nail": "mutt",
    "mutt": "s-nail",
    "bsd-mailx": "bsd-mailx",
    "alpine": "alpine",
    "msmtp": "s-nail",
    "swaks": "s-nail",
    "sendmail": "mutt",
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two machines whose people have all programs, and each other's key names."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        world = World(lab)
        a, b = StockMailer(world.node("a")), StockMailer(world.node("b"))
        world.join(a.node, b.node)
        b.node.start()
        a.node.start()
        for here, there in ((a, b), (b, a)):
            home = str(here.node.machine.folder / "apps")
            here.know(there, home)
            here.start(here.setup("opensmtpd", "--home", home))
            here.install_programs("stock")
        yield a, b


@pytest.mark.parametrize("program", SENDERS)
def test_a_mail_from_a_to_b_and_its_answer(pair: Pair, program: str) -> None:
    a, b = pair
    SENDERS[program](a, b, f"by {program}", "one line\n")
    mail = wait_for(b, f"by {program}")
    assert "one line" in str(mail.get_payload())
    REPLIERS[ANSWERS[program]](b, f"by {program}", "so be it")
    answer = wait_for(a, f"Re: by {program}")
    assert "so be it" in str(answer.get_payload())


def test_25_mb_arrive_bit_for_bit(pair: Pair) -> None:
    a, b = pair
    data = os.urandom(25_000_000)
    file = a.node.machine.folder / "large.bin"
    file.write_bytes(data)
    a.run("mutt", "-s", "large", "-a", str(file), "--", b.address(), stdin="see inside\n")
    arrived = attached_to(b, "large")
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(data).digest()


def test_lines_of_dots_arrive_as_they_were(pair: Pair) -> None:
    a, b = pair
    text = ".\n..\n...a\n .\n.b\n\n.\n"
    SENDERS["mutt"](a, b, "dots", text)
    mail = wait_for(b, "dots")
    assert (
        str(mail.get_payload()).removesuffix("\n") == text
    )  # OpenSMTPD ends an mbox entry with one


def test_a_user_that_is_not_there_is_told_to_the_sender_in_words(pair: Pair) -> None:
    a, b = pair
    nobody = f"nobody-here@{b.literal}"
    a.run("s-nail", "-s", "to nobody", nobody, stdin="hello?\n")
    bounce = wait_for(a, "Delivery status notification: failed")
    text = bounce.as_string()
    assert nobody in text
    assert "550 Invalid recipient" in text
    assert bounce["From"] == f"Mailer Daemon <MAILER-DAEMON@{a.padded}>"


def test_opensmtpd_is_no_relay_for_the_mesh(pair: Pair) -> None:
    a, b = pair
    argv = [sys.executable, "-c", STRANGER, b.node.address, a.address(), f"x@{a.literal}"]
    assert "550 b'Invalid recipient" in a.node.machine.run(argv).stdout


def test_before_the_mesh_is_up_opensmtpd_ends_and_two_cures_keep_it(world: World) -> None:
    """What the notes of `dexmesh setup opensmtpd` say about the start order."""
    mailer = StockMailer(world.node("c"))
    machine, text = mailer.node.machine, mailer.setup("opensmtpd")
    config = machine.folder / "early.conf"
    config.write_text(text)
    early = ["timeout", "5", "/usr/sbin/smtpd", "-d", "-f", str(config)]
    done = machine.run(early, check=False)
    assert done.returncode not in (0, 124)
    assert "Cannot assign requested address" in done.stdout + done.stderr
    everywhere = re.sub(r"^listen on .*\n(?=listen)", "", text, flags=re.MULTILINE)
    mailer.start(everywhere.replace("listen on lo", "listen on ::"))
    mailer.stop()
    machine.run(["sysctl", "-q", "-w", "net.ipv6.ip_nonlocal_bind=1"])
    mailer.start(text)
    mailer.node.start()
    said = machine.run([sys.executable, "-c", STRANGER, mailer.node.address, "", mailer.address()])
    assert said.stdout.startswith("250 ")
