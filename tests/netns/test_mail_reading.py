"""Mail read and written as people do: in the terminal, and by a program that speaks IMAP and SMTP.

a (stuart, in the terminal) ---- cable with fc00::/8 ---- b (stuart, a mail program)
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.netns.mail_machines import DEXMESH, MailMachine, mail_machines

pytestmark = pytest.mark.netns

LIMIT_S = 30.0


@dataclass(slots=True)
class Two:
    """Both machines with their mail service running."""

    a: MailMachine
    b: MailMachine
    services: dict[str, subprocess.Popen[bytes]]

    def know_each_other(self) -> None:
        for one, other, name in ((self.a, self.b, "bob"), (self.b, self.a, "alice")):
            one.dexmesh("contact", "add", name, other.mailbox, "--no-check")


@pytest.fixture
def two() -> Iterator[Two]:
    with Lab("dexmesh-reading") as lab:
        a, b = mail_machines(lab)
        for one in (a, b):
            one.switch_on()
        yield Two(a, b, {one.machine.name: _serve(one) for one in (a, b)})


def _serve(one: MailMachine) -> subprocess.Popen[bytes]:
    """Start the service, for the node of the configuration and no other, and wait until it answers."""
    argv = [*DEXMESH, "mail", "serve", "--home", str(one.home), "--config", str(one.config)]
    running = one.machine.start(argv, log="mail.log")
    wait_until(one.is_serving, LIMIT_S, "the mail service")
    return running


def shown(machine: MailMachine, *arguments: str) -> Any:
    return json.loads(machine.dexmesh("mail", *arguments, "--json"))


def program(machine: MailMachine, script: str, *arguments: str) -> str:
    """A mail program, as Python plays it, inside the machine."""
    argv = [sys.executable, "-c", _HEAD + textwrap.dedent(script), *arguments]
    done = machine.machine.run(argv, check=False, timeout_s=120)
    assert done.returncode == 0, done.stderr + machine.machine.log("mail.log")
    return done.stdout


_HEAD = """
import imaplib, smtplib, ssl, sys, time, hashlib, base64, re
from email.message import EmailMessage
def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]
def imap(password, host="127.0.0.1"):
    one = imaplib.IMAP4(host, 143, timeout=60)
    if "STARTTLS" in one.capabilities:
        context = ssl._create_unverified_context()
        one.starttls(context)
    one.login("stuart", password)
    return one
"""


def test_a_letter_and_its_answer_in_the_terminal_alone(two: Two) -> None:
    two.know_each_other()
    two.b.dexmesh("mail", "list")
    sent = two.a.dexmesh("mail", "send", "bob", "tonight", stdin="at eight?\n", check=True)
    assert sent == "delivered to bob\n"
    (row,) = shown(two.b, "list", "--wait", "10")["messages"]
    assert (row["petname"], row["subject"], row["is_from_other"]) == ("alice", "tonight", False)
    read = two.b.dexmesh("mail", "read", "latest")
    assert "at eight?" in read
    answered = two.b.dexmesh("mail", "reply", "latest", "-m", "yes")
    assert answered == "delivered to alice\n"
    (row,) = shown(two.a, "list", "--wait", "10")["messages"]
    assert row["subject"] == "Re: tonight"
    assert "> at eight?" in two.a.dexmesh("mail", "read", row["id"])
    assert [one["subject"] for one in shown(two.a, "list", "-f", "Sent")["messages"]] == ["tonight"]


def test_a_stranger_asks_and_is_accepted_by_one_word(two: Two) -> None:
    two.a.dexmesh("mail", "send", two.b.mailbox, "hello", "-m", "may I?")
    (row,) = shown(two.b, "list", "-f", "Requests", "--wait", "10")["messages"]
    assert shown(two.b, "list")["messages"] == []
    text = two.b.dexmesh("mail", "requests")
    assert "may I?" in text
    assert two.a.address in text
    assert "alice" in two.b.dexmesh("mail", "accept", str(row["uid"]), "--name", "alice")
    assert shown(two.b, "list")["messages"][0]["petname"] == "alice"
    two.a.dexmesh("mail", "send", two.b.mailbox, "thanks", "-m", "x")
    wait_until(lambda: shown(two.b, "list")["total"] == 2, LIMIT_S, "the second mail in INBOX")


def test_who_is_blocked_hears_it_at_once(two: Two) -> None:
    two.b.dexmesh("mail", "block", two.a.address)
    done = two.a.machine.run(
        [*DEXMESH, "mail", "send", two.b.mailbox, "x", "-m", "y", "--home", str(two.a.home)],
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not delivered" in done.stdout
    wait_until(lambda: shown(two.a, "list")["total"] == 1, LIMIT_S, "the report")
    report = two.a.dexmesh("mail", "read", "latest")
    assert "550" in report


def test_mail_waits_for_a_friend_who_is_away_and_says_why(two: Two) -> None:
    two.know_each_other()
    two.b.machine.run(["pkill", "-f", "dexmesh mail serve"])  # sees this machine only
    two.services["b"].wait(30)
    said = two.a.dexmesh("mail", "send", "bob", "later", "-m", "x", "--wait", "10")
    assert said.startswith("waiting for bob: "), said
    (row,) = shown(two.a, "queue")["waiting"]
    assert row["petname"] == "bob"
    assert row["tries"] >= 1
    assert row["reason"]
    assert "bob" in two.a.dexmesh("mail", "queue")
    _serve(two.b)
    two.a.dexmesh("mail", "retry", str(row["id"]))
    wait_until(lambda: shown(two.b, "list")["total"] == 1, LIMIT_S, "the mail")
    wait_until(lambda: shown(two.a, "queue")["waiting"] == [], LIMIT_S, "an empty queue")


def test_a_session_as_a_mail_program_holds_it(two: Two) -> None:
    """IMAP: folders, flags, IDLE, APPEND, MOVE, EXPUNGE. SMTP: the answer goes out."""
    two.know_each_other()
    password = shown(two.b, "password")["password"]
    idle = subprocess.Popen(
        two.b.machine.command([sys.executable, "-c", _HEAD + textwrap.dedent(_IDLE), password]),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert idle.stdout is not None
    assert idle.stdout.readline() == "idling\n"
    said = two.a.dexmesh("mail", "send", "bob", "question", "-m", "well?")
    assert said == "delivered to bob\n"
    assert float(idle.stdout.readline()) < 2.0 + 2.0  # the commands start meanwhile
    assert idle.wait(20) == 0
    program(two.b, _SESSION, password, two.a.mailbox, two.b.mailbox)
    (row,) = shown(two.a, "list", "--wait", "10")["messages"]
    assert (row["petname"], row["subject"]) == ("bob", "Re: question")
    assert "well, well" in two.a.dexmesh("mail", "read", "latest")
    folders = {one["folder"]: one["messages"] for one in shown(two.b, "folders")["folders"]}
    assert folders["INBOX"] == 0
    assert folders["Sent"] == 1
    assert folders["Trash"] == 0


_IDLE = """
one = imap(sys.argv[1])
ok(one.select())
one.send(b"x IDLE\\r\\n")
assert one.readline().startswith(b"+")
print("idling", flush=True)
began = None
line = one.readline()
assert line == b"* 1 EXISTS\\r\\n", line
path = "/home/stuart/mesh/mail/users/stuart/Maildir/new"
import os
arrived = max(os.stat(os.path.join(path, name)).st_ctime for name in os.listdir(path))
print(time.time() - arrived, flush=True)
one.send(b"DONE\\r\\n")
while not one.readline().startswith(b"x OK"):
    pass
"""

_SESSION = """
password, alice, me = sys.argv[1:]
one = imap(password, "::1")
names = b" ".join(ok(one.list()))
assert all(name in names for name in (b"Sent", b"Drafts", b"Trash", b"Requests"))
assert b"\\\\Sent" in names
assert {b"IDLE", b"UIDPLUS", b"MOVE"} <= set(ok(one.capability())[0].split())
assert ok(one.select("INBOX")) == [b"1"]
ok(one.uid("FETCH", "1:*", "(FLAGS)"))
header = ok(one.uid("FETCH", "1", "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From Message-ID)])"))[0][1]
asked = re.search(rb"Message-ID: (<.*?>)", header, re.I).group(1).decode()
assert alice.encode() in header, header
assert b"well?" in ok(one.uid("FETCH", "1", "(UID BODY[])"))[0][1]
answer = EmailMessage()
answer["Subject"] = "Re: question"
answer["In-Reply-To"] = asked
answer.set_content("well, well\\n")
data = f"From: {me}\\r\\nTo: {alice}\\r\\n".encode() + answer.as_bytes().replace(b"\\n", b"\\r\\n")
with smtplib.SMTP("127.0.0.1", 587, "localhost", 30) as smtp:
    smtp.ehlo()
    if smtp.has_extn("starttls"):
        smtp.starttls(context=ssl._create_unverified_context())
        smtp.ehlo()
    smtp.login("stuart", password)
    smtp.sendmail(me, [alice], data)
assert b"APPENDUID" in ok(one.append("Sent", "(\\\\Seen)", imaplib.Time2Internaldate(time.time()), data))[0]
ok(one.uid("STORE", "1", "+FLAGS", "(\\\\Answered)"))
ok(one.uid("MOVE", "1", "Trash"))
assert ok(one.uid("SEARCH", "ALL")) == [b""]
ok(one.select("Trash"))
assert b"\\\\Answered" in ok(one.fetch("1", "(FLAGS)"))[0]
ok(one.store("1", "+FLAGS", "(\\\\Deleted)"))
ok(one.expunge())
one.logout()
"""


def test_25_megabytes_from_a_program_to_a_program_bit_for_bit(two: Two, tmp_path: Path) -> None:
    two.know_each_other()
    password = shown(two.b, "password")["password"]
    content = hashlib.sha256(b"seed").digest() * (25 * 1024 * 1024 // 32)
    file = two.a.machine.folder / "big.bin"
    file.write_bytes(content)
    said = two.a.dexmesh("mail", "send", "bob", "big", "-m", "see", "-a", str(file), "--wait", "40")
    assert said == "delivered to bob\n"
    found = program(two.b, _FETCH_BIG, password)
    assert found.strip() == hashlib.sha256(content).hexdigest()
    folder = two.b.machine.folder / "saved"
    two.b.dexmesh("mail", "read", "latest", "--save-attachments", str(folder))
    assert (folder / "big.bin").read_bytes() == content


_FETCH_BIG = """
import email
one = imap(sys.argv[1])
ok(one.select())
whole = ok(one.fetch("1", "(BODY.PEEK[])"))[0][1]
size = int(re.search(rb"RFC822.SIZE (\\d+)", ok(one.fetch("1", "(RFC822.SIZE)"))[0]).group(1))
assert size == len(whole), (size, len(whole))
(part,) = [p for p in email.message_from_bytes(whole).walk() if p.get_filename()]
print(hashlib.sha256(part.get_payload(decode=True)).hexdigest())
"""


def test_ten_programs_at_once_and_junk_do_not_take_the_service_along(two: Two) -> None:
    password = shown(two.b, "password")["password"]
    program(two.b, _TEN, password)
    assert two.b.is_serving()
    assert program(two.b, "print(imap(sys.argv[1]).noop()[0])", password) == "OK\n"


_TEN = """
import os, socket, threading
bad = []
def work(number):
    try:
        one = imap(sys.argv[1])
        ok(one.select())
        for _ in range(5):
            ok(one.append("Drafts", "", "", b"Subject: x\\r\\n\\r\\n" + b"y" * 200_000))
        ok(one.select("Drafts"))
        ok(one.fetch("1:5", "(BODY.PEEK[])"))
    except BaseException as error:
        bad.append(repr(error))
def junk(number):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", 143), 20) as sock:
            try:
                sock.sendall(os.urandom(20_000) + b"\\r\\na LOGIN {99999999+}\\r\\n")
                sock.recv(100)
            except OSError:
                pass
threads = [threading.Thread(target=w, args=(n,)) for n in range(10) for w in (work, junk)]
for one in threads: one.start()
for one in threads: one.join()
assert not bad, bad
"""


def test_nobody_else_on_the_machine_or_the_mesh_reaches_imap(two: Two) -> None:
    code = "import socket, sys; socket.create_connection((sys.argv[1], 143), 5)"
    done = two.a.machine.run([sys.executable, "-c", code, two.b.address], check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr.lower()
