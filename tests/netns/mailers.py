"""Stock mail programs in a machine, set up with what `dexmesh setup` prints and with nothing else."""

from __future__ import annotations

import email
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import TypeAlias

from dexmesh.cli.lab import USER, wait_until
from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.errors import HostError
from dexmesh.wire.address import format_address, format_padded, parse_address
from dexmesh.wire.keys import address_of, encode_key
from tests.netns.conftest import RunningNode
from tests.netns.terminal import Terminal

MAIL_S = 12.0
Mail: TypeAlias = "Message[str, str]"
_FROM_LINE = re.compile(r"^From \S+ .*\n", re.MULTILINE)
_END_OF_HEADER = re.compile(r"\r?\n\r?\n")


@dataclass(slots=True)
class Mailer:
    """A machine with a node, and the people who write and read mail there."""

    node: RunningNode
    password: str = ""  # of stuart, for IMAP; where the mail is a file nobody asks for one

    @property
    def name(self) -> str:
        """The name of the machine."""
        return self.node.machine.name

    @property
    def literal(self) -> str:
        """The mail domain of this node, as `ip addr` shows its address."""
        return f"[IPv6:{self.node.address}]"

    @property
    def padded(self) -> str:
        """The mail domain of this node, as cjdns shows its address."""
        return f"[IPv6:{format_padded(parse_address(self.node.address))}]"

    def address(self, user: str = USER) -> str:
        """The mail address of somebody here."""
        return f"{user}@{self.literal}"

    def key_address(self, user: str = USER) -> str:
        """The same by key name."""
        return f"{user}@{self.node.key}"

    def setup(self, program: str, *options: str, user: str = USER) -> str:
        """What `dexmesh setup` prints for somebody here."""
        return self.node.dexmesh("setup", program, "--user", user, *options)

    def know(self, other: Mailer, home: str) -> None:
        """Take stuart of the other node into the address book in this home of the apps."""
        options = ["--key", other.node.key, "--no-check", "--no-request", "--home", home]
        self.node.dexmesh("contact", "add", other.name, other.address(), *options)

    def paste(self, text: str, path: str, user: str = USER) -> None:
        """Put a text into a file of somebody here."""
        self.node.machine.run(self.node.machine.as_person(["tee", path], user), stdin=text)

    def run(
        self,
        *argv: str,
        stdin: str = "",
        user: str = USER,
        check: bool = True,
        env: dict[str, str] | None = None,
    ) -> str:
        """Run a program as somebody here; returns what it printed."""
        machine = self.node.machine
        done = machine.run(machine.as_person(argv, user), stdin=stdin, check=check, env=env)
        return done.stdout + done.stderr

    def terminal(self, *argv: str, user: str = USER) -> Terminal:
        """A full-screen program of somebody here."""
        machine = self.node.machine
        return Terminal(machine.command(machine.as_person(argv, user)))

    def box(self, user: str = USER) -> str:
        """The mailbox of somebody here, as s-nail names it."""
        raise NotImplementedError

    def inbox(self, user: str = USER) -> list[Mail]:
        """All mail of somebody here, oldest first."""
        raise NotImplementedError

    def log(self) -> str:
        """What the mail server said."""
        raise NotImplementedError

    def install_programs(self, server: str) -> None:
        """Everything that `dexmesh setup` knows, pasted where it belongs, for stuart."""
        for program, path in (
            (("mailrc",), ".mailrc"),
            (("mailrc", "--program", "bsd-mailx"), ".mailrc-bsd"),
            (("mutt",), ".muttrc"),
            (("alpine",), ".pinerc"),
        ):
            self.paste(self.setup(*program, "--for", server), path)


class StockMailer(Mailer):
    """OpenSMTPD is the mail server; mail is in /var/mail."""

    def box(self, user: str = USER) -> str:
        """An mbox file."""
        return f"/var/mail/{user}"

    def start(self, text: str | None = None) -> None:
        """Start OpenSMTPD with what `dexmesh setup opensmtpd` prints, or with `text`."""
        if text is None:
            text = self.setup("opensmtpd", "--for", "stock")
        machine = self.node.machine
        config = machine.folder / "smtpd.conf"
        config.write_text(text)
        machine.run(["mount", "--bind", str(config), "/etc/smtpd.conf"])
        machine.start(["/usr/sbin/smtpd", "-d"], log="smtpd.log")
        wait_until(lambda: self.listens(), 10, f"OpenSMTPD on {self.name}")

    def stop(self) -> None:
        """End OpenSMTPD; its queue stays."""
        machine = self.node.machine
        machine.run(["pkill", "-x", "smtpd"], check=False)
        wait_until(lambda: not self.listens(), 10, f"OpenSMTPD on {self.name} to end")
        machine.run(["umount", "/etc/smtpd.conf"])

    def listens(self) -> bool:
        """Whether somebody has port 25."""
        return ":25 " in self.node.machine.run(["ss", "-Hltn"]).stdout

    def inbox(self, user: str = USER) -> list[Mail]:
        """All mail of somebody here, oldest first."""
        box = Path(f"/proc/{self.node.machine.pid}/root/var/mail/{user}")
        text = box.read_text(errors="replace") if box.exists() else ""
        return [parse(mail) for mail in _FROM_LINE.split(text)[1:]]

    def log(self) -> str:
        """What OpenSMTPD said."""
        return self.node.machine.log("smtpd.log")


class OurMailer(Mailer):
    """Our mail node is the mail server, stuart its owner; mail is in a Maildir."""

    home = f"/home/{USER}/mesh"
    maildir = f"{home}/mail/users/{USER}/Maildir"

    def setup(self, program: str, *options: str, user: str = USER) -> str:
        """What `dexmesh setup` prints for somebody here."""
        return self.node.dexmesh("setup", program, "--user", user, "--home", self.home, *options)

    def mail(self, *arguments: str, stdin: str | None = None) -> str:
        """Run `dexmesh mail` as root for stuart."""
        argv = [sys.executable, "-m", "dexmesh", "mail", *arguments, "--home", self.home]
        return self.node.machine.run(argv, stdin=stdin).stdout

    def start(self, submission_ports: Sequence[int] = (25, 587), account: str = USER) -> None:
        """Switch it on and start it beside the node that runs; `account` owns all mailboxes."""
        open_python(self)
        config = str(self.node.config)
        self.mail("on", "--account", account, "--user", USER, "--config", config)
        ports = f"submission_ports = {[*submission_ports]}"
        edit = ["sed", "-i", f"s/^submission_ports = [^#]*/{ports} /", f"{self.home}/apps.toml"]
        self.node.machine.run(edit)
        argv = [sys.executable, "-m", "dexmesh", "mail", "serve", "--home", self.home]
        self.node.machine.start([*argv, "--config", config], log="mail.log")
        try:
            wait_until(lambda: "mail is served users=" in self.log(), 20, "the service")
        except HostError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error
        self.password = self.mail("password", USER).strip()

    def run(
        self,
        *argv: str,
        stdin: str = "",
        user: str = USER,
        check: bool = True,
        env: dict[str, str] | None = None,
    ) -> str:
        """Run a program as somebody here; returns what it printed."""
        here = {"DEXMESH_HOME": self.home, **(env or {})}
        return super().run(*argv, stdin=stdin, user=user, check=check, env=here)

    def box(self, user: str = USER) -> str:
        """A Maildir."""
        return f"maildir://{self.maildir}"

    def inbox(self, user: str = USER) -> list[Mail]:
        """All mail, that of strangers as well, oldest first."""
        root = Path(f"/proc/{self.node.machine.pid}/root{self.maildir}")
        files = [file for folder in ("new", "cur") for file in root.glob(f"{folder}/*")]
        files += [file for folder in ("new", "cur") for file in root.glob(f".Requests/{folder}/*")]
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        return [parse(file.read_bytes().decode("ascii", "surrogateescape")) for file in files]

    def log(self) -> str:
        """What the service said."""
        return self.node.machine.log("mail.log")


def give_leading_zero(node: RunningNode) -> None:
    """Another key for a node that has not started: one whose address has more than one spelling."""
    address = parse_address(node.address)
    while format_padded(address) == format_address(address):
        private = generate_private_key(os.urandom)
        key = public_key_of(bytes(private))
        address = address_of(key)
        text = node.config.read_text()
        for name, value in (
            ("privateKey", private.hex()),
            ("publicKey", encode_key(key)),
            ("ipv6", format_padded(address)),
        ):
            text = re.sub(rf'("{name}":\s*)"[^"]*"', rf'\g<1>"{value}"', text, count=1)
        node.config.write_text(text)
        node.key, node.address = encode_key(key), format_address(address)


def open_python(mailer: Mailer) -> None:
    """Let people run our programs there although the interpreter lies in a home that is shut."""
    interpreter = Path(sys.executable).resolve()
    above = [*reversed(interpreter.parents)]
    shut = next((one for one in above if not one.stat().st_mode & 0o001), None)
    if shut is None:
        return
    inner = above[above.index(shut) + 1]
    script = (
        'mkdir /mnt/inner && mount --bind "$2" /mnt/inner && mount -t tmpfs -o mode=755 tmpfs "$1"'
        ' && mkdir "$2" && mount --bind /mnt/inner "$2"'
    )
    mailer.node.machine.run(["sh", "-ec", script, "open", str(shut), str(inner)])


def parse(text: str) -> Mail:
    """A message; addresses stay the text they are (the modern parser stumbles over literals).

    The body stays text as well: mailboxes hold 25 MB here and are read again and again.
    """
    end = found.end() if (found := _END_OF_HEADER.search(text)) else len(text)
    mail = HeaderParser().parsestr(text[:end])
    mail.set_payload(text[end:])
    return mail


def wait_for(mailer: Mailer, subject: str, user: str = USER, limit_s: float = MAIL_S) -> Mail:
    """The mail with this subject, once it is there."""
    found: list[Mail] = []

    def is_there() -> bool:
        found[:] = [mail for mail in mailer.inbox(user) if mail["Subject"] == subject]
        return bool(found)

    try:
        wait_until(is_there, limit_s, f"{subject!r} at {mailer.name}")
    except Exception as error:
        raise AssertionError(f"{error}\n{mailer.log()}") from error
    return found[0]


def attached_to(mailer: Mailer, subject: str) -> bytes:
    """The one attachment of the mail with this subject, once the mail is there to its last line."""
    wait_for(mailer, subject)
    found: list[Mail] = []

    def is_whole() -> bool:  # OpenSMTPD writes into the mbox piece by piece
        found[:] = [mail for mail in mailer.inbox() if mail["Subject"] == subject]
        return f"--{found[0].get_boundary()}--" in str(found[0].get_payload())[-200:]

    wait_until(is_whole, MAIL_S, f"the end of {subject!r}")
    whole = email.message_from_string(found[0].as_string())
    (data,) = [part.get_payload(decode=True) for part in whole.walk() if part.get_filename()]
    assert isinstance(data, bytes)
    return data


# --- How people send with each program -----------------------------------------------------------------

Send = Callable[[Mailer, Mailer, str, str], None]


def send_s_nail(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """s-nail with the .mailrc of `dexmesh setup mailrc`."""
    sender.run("s-nail", "-s", subject, receiver.address(), stdin=text)


def send_bsd_mailx(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """bsd-mailx, which hands the mail to `sendmail -t`; only key names pass OpenSMTPD's."""
    rc = {"MAILRC": f"/home/{USER}/.mailrc-bsd"}
    is_ours = isinstance(sender, OurMailer)
    address = receiver.address() if is_ours else receiver.key_address()
    sender.run("bsd-mailx", "-s", subject, address, stdin=text, env=rc)


def send_mutt(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """mutt in batch mode with the muttrc of `dexmesh setup mutt`."""
    sender.run("mutt", "-s", subject, "--", receiver.address(), stdin=text)


def send_alpine(
    sender: Mailer, receiver: Mailer, subject: str, text: str, user: str = USER
) -> None:
    """alpine on its screen with the .pinerc of `dexmesh setup alpine`."""
    with sender.terminal("alpine", receiver.address(), user=user) as screen:
        screen.expect("Message Text")
        screen.type(f"\t\t{subject}\t")
        screen.expect(re.escape(subject))
        screen.type(text.replace("\n", "\r"))
        finish_alpine(screen, sender)


def finish_alpine(screen: Terminal, owner: Mailer) -> None:
    """Send what is being written and wait until it left."""
    screen.type("\x18")
    screen.expect("Send message")
    screen.type("y")
    answer_alpine(screen, owner, "Message sent|Updating|DONE|Alpine finished")


def answer_alpine(screen: Terminal, owner: Mailer, wanted: str) -> None:
    """Answer what alpine asks until it says what is wanted."""
    answers = {
        "ENTER PASSWORD": f"{owner.password}\r",
        "Preserve password": "n",
        r"Create\?": "y",  # the folder for copies
        "Exit this greeting": "e",  # only the first time
    }
    while not re.search(wanted, said := screen.expect("|".join([wanted, *answers]))):
        screen.type(next(keys for asked, keys in answers.items() if re.search(asked, said)))


def send_msmtp(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """msmtp, which understands literals inside of angle brackets only."""
    mail = f"From: <{sender.address()}>\nTo: <{receiver.address()}>\nSubject: {subject}\n\n{text}"
    options = ["--host=localhost", f"--from={sender.address()}", "-t"]
    sender.run("msmtp", "-C", "/dev/null", *options, stdin=mail)


def send_swaks(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """swaks, the tester of mail servers."""
    options = ["--server", "localhost", "--helo", sender.literal, "--from", sender.address()]
    header = ["--header", f"Subject: {subject}", "--body", "-"]
    sender.run("swaks", *options, "--to", receiver.address(), *header, stdin=text)


def send_sendmail(sender: Mailer, receiver: Mailer, subject: str, text: str) -> None:
    """The sendmail of OpenSMTPD: recipients as bare arguments, and -f. Ours reads them from the mail."""
    mail = f"From: {sender.address()}\nTo: {receiver.address()}\nSubject: {subject}\n\n{text}"
    if isinstance(sender, OurMailer):
        sender.run(str(Path(sys.executable).parent / "dexmesh-sendmail"), "-t", "-oi", stdin=mail)
        return
    sender.run("/usr/sbin/sendmail", "-f", sender.address(), receiver.address(), stdin=mail)


SENDERS: dict[str, Send] = {
    "s-nail": send_s_nail,
    "bsd-mailx": send_bsd_mailx,
    "mutt": send_mutt,
    "alpine": send_alpine,
    "msmtp": send_msmtp,
    "swaks": send_swaks,
    "sendmail": send_sendmail,
}


# --- How people answer ---------------------------------------------------------------------------------


def reply_s_nail(reader: Mailer, subject: str, text: str) -> None:
    """s-nail in batch mode: answer the message with this subject."""
    commands = f"reply '(subject \"{subject}\")'\n{text}\n~.\nexit\n"
    said = reader.run("s-nail", "-#", "-f", reader.box(), stdin=commands)
    assert "invalid" not in said, said


def reply_bsd_mailx(reader: Mailer, subject: str, text: str) -> None:
    """bsd-mailx, which reads mbox files: answer the message with this subject."""
    rc = {"MAILRC": f"/home/{USER}/.mailrc-bsd"}
    number = [mail["Subject"] for mail in reader.inbox()].index(subject) + 1
    commands = f"reply {number}\n{text}\n.\nexit\n"
    reader.run("bsd-mailx", "-N", "-f", reader.box(), stdin=commands, env=rc)


def reply_mutt(reader: Mailer, subject: str, text: str) -> None:
    """mutt on its screen, with an editor that writes the answer by itself."""
    editor = reader.node.machine.folder / "editor"
    editor.write_text(f"#!/bin/sh\necho '{text}' > \"$1\"\n")
    editor.chmod(0o755)
    options = [f"set editor={editor}", "set fast_reply=yes", "set include=no"]
    commands = [word for option in options for word in ("-e", option)]
    with reader.terminal("mutt", *commands) as screen:
        screen.expect(re.escape(subject))
        screen.type(f"/~s '{subject}'\r")
        screen.expect("Search for")
        screen.type("r")
        screen.expect("y:Send")
        screen.type("y")
        screen.expect("Mail sent")


def reply_alpine(reader: Mailer, subject: str, text: str) -> None:
    """alpine on its screen: open the index at the message and answer it, without quoting."""
    subjects = [mail["Subject"] for mail in reader.inbox()]
    with reader.terminal("alpine", "-i", "-n", str(subjects.index(subject) + 1)) as screen:
        answer_alpine(screen, reader, re.escape(subject))
        screen.type("r")
        screen.expect("Include original message")
        screen.type("n")
        screen.expect("Message Text")
        screen.type(text + "\r")
        finish_alpine(screen, reader)


Reply = Callable[[Mailer, str, str], None]

REPLIERS: dict[str, Reply] = {
    "s-nail": reply_s_nail,
    "bsd-mailx": reply_bsd_mailx,
    "mutt": reply_mutt,
    "alpine": reply_alpine,
}
