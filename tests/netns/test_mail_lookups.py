"""Our mail node looks nothing up: a name server that swallows every question slows nothing down.

    a (mail for stuart, and the name server that never answers) ---- b (mail for stuart)

OpenSMTPD greets after 75 s there, and tells the name server who writes to whom (mail.md §2).
"""

from __future__ import annotations

import json
import sys

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.netns.mail_machines import MailMachine, mail_machines

pytestmark = pytest.mark.netns

_TRAP = """
import socket
swallowing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
swallowing.bind(("0.0.0.0", 53))
while True:
    print(swallowing.recvfrom(2000), flush=True)
"""
_SEND = """
import json, smtplib, sys, time
to, source, domain, rcpt = sys.argv[1:]
began = time.monotonic()
with smtplib.SMTP(to, 25, local_hostname="x", timeout=100, source_address=(source, 0)) as smtp:
    greeted_s = time.monotonic() - began
    sender = f"stuart@{domain}"
    smtp.sendmail(sender, [rcpt], f"From: {sender}\\r\\nSubject: hi\\r\\n\\r\\nhello\\r\\n")
print(json.dumps([greeted_s, time.monotonic() - began]))
"""
QUICK_S = 1.0  # mail.md §6


def send(here: MailMachine, host: str, source: str, domain: str, recipient: str) -> list[float]:
    """Seconds until the greeting, and until all is said."""
    argv = [sys.executable, "-c", _SEND, host, source, domain, recipient]
    found: list[float] = json.loads(here.machine.run(argv, timeout_s=120).stdout)
    return found


def arrived(here: MailMachine) -> list[str]:
    """The files in INBOX."""
    return here.machine.run(["ls", str(here.maildir / "new")]).stdout.split()


def test_with_a_name_server_that_swallows_questions_we_greet_at_once_and_ask_it_nothing() -> None:
    with Lab("dexmesh-test") as lab:
        a, b = mail_machines(lab)
        a.machine.start([sys.executable, "-c", _TRAP], log="asked")
        wait_until(
            lambda: ":53 " in a.machine.run(["ss", "-Hlun"]).stdout, 10, "the silent name server"
        )
        etc = b.machine.folder / "etc"
        (etc / "resolv.conf").write_text("nameserver 10.99.1.1\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")  # and not who we are
        for one, other in ((a, b), (b, a)):
            one.switch_on()
            one.dexmesh("contact", "add", "other", other.mailbox, "--no-check")
            one.serve()
        received = send(a, b.address, a.address, f"[IPv6:{a.address}]", b.mailbox)
        submitted = send(b, "127.0.0.1", "127.0.0.1", "localhost", a.mailbox)
        assert max(*received, *submitted) < QUICK_S
        b.dexmesh("mail", "send", "other", "hello", stdin="text\n")
        wait_until(lambda: len(arrived(a)) == 2 and len(arrived(b)) == 1, 20, "the mails")
        assert a.machine.log("asked") == ""
        question = "import socket; socket.socket(2, 2).sendto(b'?', ('10.99.1.1', 53))"
        b.machine.run([sys.executable, "-c", question])
        wait_until(lambda: a.machine.log("asked") != "", 10, "the trap to work")
