"""Be the program `sendmail`: read a message from standard input and hand it to the mail service.

Place     mutt, mailx, git, cron -> here -> submission.py, by SMTP on localhost
Spec      docs/apps/mail.md §4 "Submission"; sysexits.h (exit codes)
Keeps     a message that could not be handed over is in ~/dead.letter; literals are read as what they
          are; nothing is looked up
Not here  `dexmesh mail send`, which is for people (cli/mail_send.py)
"""

from __future__ import annotations

import getopt
import os
import smtplib
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dexmesh.apps.base.home import find_home
from dexmesh.apps.base.mailbox import parse_mailboxes
from dexmesh.apps.base.settings import MailSettings, load_settings
from dexmesh.apps.mail.proto.headers import (
    Header,
    make_field,
    parse_header,
    render,
    repair_literals,
    without,
)
from dexmesh.errors import AddressError, DexmeshError
from dexmesh.values import dataclass

EX_USAGE, EX_DATAERR, EX_NOUSER, EX_TEMPFAIL = 64, 65, 67, 75
MAX_BYTES = 36_700_160
_PATIENCE_S = 600.0
_OPTIONS = "B:b:C:d:F:f:h:iL:mN:no:p:q:R:r:stUV:vX:"
_BCC = frozenset({"bcc"})
_RECIPIENT_FIELDS = ("to", "cc", "bcc")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    mode: str = "m"
    takes_from_header: bool = False
    ignores_dots: bool = False
    sender: str = ""
    full_name: str = ""
    recipients: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Run as sendmail, or as mailq where it is called that; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parse_options(arguments)
    except getopt.GetoptError as error:
        return _complain(EX_USAGE, f"{error}; it takes -t -i -f -F -bp -bs -o* and recipients")
    if Path(sys.argv[0]).name == "mailq" or options.mode == "p":
        return _show_queue()
    if options.mode == "s":
        return _speak_smtp()
    return _send(options, sys.stdin.buffer.read(MAX_BYTES + 1))


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises getopt.GetoptError for what sendmail does not know either."""
    found = Options()
    pairs, rest = getopt.gnu_getopt(list(arguments), _OPTIONS)
    for name, value in pairs:
        if name == "-t":
            found = replace(found, takes_from_header=True)
        elif name == "-i" or (name == "-o" and value.startswith("i")):
            found = replace(found, ignores_dots=True)
        elif name in ("-f", "-r"):
            found = replace(found, sender=value)
        elif name == "-F":
            found = replace(found, full_name=value)
        elif name == "-b":
            found = replace(found, mode=value[:1])
    return replace(found, recipients=tuple(rest))


def _send(options: Options, data: bytes) -> int:
    if len(data) > MAX_BYTES:
        return _complain(EX_DATAERR, f"the message is bigger than {MAX_BYTES} bytes")
    text = to_crlf(data if options.ignores_dots else before_lone_dot(data))
    head, separator, body = text.partition(b"\r\n\r\n")
    header = parse_header(head + b"\r\n")
    if header.rest:  # it begins with text: cron and people do that
        header, separator, body = Header(()), b"\r\n\r\n", text
    try:
        people = recipients_of(options, header)
    except AddressError as error:
        return _complain(EX_DATAERR, str(error))
    if not people:
        return _complain(EX_DATAERR, "no recipients: name some, or use -t and a To: field")
    sender = options.sender.strip("<> ")
    fields: list[object] = list(without(header.fields, _BCC))
    if options.full_name and header.first("from") is None and sender:
        named = replace(parse_mailboxes(sender, needs_domain=False)[0], name=options.full_name)
        fields.insert(0, make_field("From", named.formatted()))
    message = render(fields) + (body if separator else b"")  # type: ignore[arg-type]
    return _hand_over(sender, people, message)


def recipients_of(options: Options, header: Header) -> tuple[str, ...]:
    """Every recipient once. Raises AddressError for a word that is no address."""
    found: dict[str, None] = {}
    for word in options.recipients:
        found |= dict.fromkeys(str(one) for one in parse_mailboxes(word, needs_domain=False))
    if options.takes_from_header:
        for field in header.fields:
            if field.name in _RECIPIENT_FIELDS:
                value = repair_literals(field).value
                named = parse_mailboxes(value, needs_domain=False)
                found |= dict.fromkeys(str(one) for one in named)
    return tuple(found)


def to_crlf(data: bytes) -> bytes:
    """Every line end as CRLF; the last line has one."""
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def before_lone_dot(data: bytes) -> bytes:
    """What stands before a line that is a single dot."""
    text = b"\n" + data.replace(b"\r\n", b"\n")
    end = text.find(b"\n.\n")
    if end < 0 and text.endswith(b"\n."):
        end = len(text) - 2
    return data if end < 0 else text[1 : end + 1]


def _settings() -> MailSettings:
    try:
        return load_settings(find_home()).mail
    except DexmeshError:
        return MailSettings()


def _connect() -> smtplib.SMTP:
    trouble: OSError = ConnectionRefusedError("no submission port is configured")
    for port in sorted(_settings().submission_ports, reverse=True):
        try:
            return smtplib.SMTP("127.0.0.1", port, "localhost", timeout=_PATIENCE_S)
        except OSError as error:
            trouble = error
    raise trouble


def _hand_over(sender: str, people: Sequence[str], message: bytes) -> int:
    try:
        with _connect() as server:
            server.ehlo()
            options = ["BODY=8BITMIME"] if not message.isascii() else []
            names_utf8 = not all(one.isascii() for one in (sender, *people))
            options += ["SMTPUTF8"] if names_utf8 else []
            server.command_encoding = "utf-8"
            refused = server.sendmail(sender or _login_name(), people, message, options)
    except smtplib.SMTPRecipientsRefused as error:
        return _keep(message, _refusals(error.recipients), EX_NOUSER)
    except smtplib.SMTPResponseException as error:
        said = f"{error.smtp_code} {error.smtp_error!r}"
        return _keep(message, said, EX_TEMPFAIL if error.smtp_code < 500 else EX_DATAERR)
    except (OSError, smtplib.SMTPException) as error:
        text = f"the mail service does not answer ({error}): `dexmesh mail on`, `dexmesh up`"
        return _keep(message, text, EX_TEMPFAIL)
    return _complain(EX_NOUSER, _refusals(refused)) if refused else 0


def _login_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "postmaster"


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    said = (
        f"{who}: {code} {text.decode(errors='replace')}" for who, (code, text) in refused.items()
    )
    return "; ".join(said)


def _keep(message: bytes, why: str, code: int) -> int:
    """Nothing is lost: the message goes to ~/dead.letter, where people look for it."""
    path = Path.home() / "dead.letter"
    quoted = message.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
    stamp = time.asctime(time.localtime())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(f"From {_login_name()} {stamp}\n".encode() + quoted + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return _complain(code, f"{why}; and {path} cannot be written: {error.strerror}")
    return _complain(code, f"{why}; the message is kept in {path}")


def _show_queue() -> int:
    from dexmesh.apps.base.control import ControlClient

    try:
        rows = ControlClient(find_home().control_socket).call("mail.queue")["waiting"]
    except DexmeshError as error:
        return _complain(EX_TEMPFAIL, f"{error}. {error.hint}")
    if not rows:
        print("Mail queue is empty")
    for row in rows:
        when = time.strftime("%a %b %d %H:%M:%S", time.localtime(row["since_unix"]))
        print(f"{row['id']:<8} {row['size']:>9} {when}  {row['from']}\n{'':19}{row['to']}")
        print(f"{'':19}({row['reason']})" if row["reason"] else "")
    return 0


def _speak_smtp() -> int:
    """-bs: the caller speaks SMTP on standard input."""
    import selectors

    try:
        with _connect() as server:
            link = server.sock
            if not isinstance(link, socket.socket):
                return _complain(EX_TEMPFAIL, "the mail service went away")
            sys.stdout.write("220 localhost ESMTP dexmesh\r\n")
            sys.stdout.flush()
            with selectors.DefaultSelector() as ready:
                ready.register(sys.stdin.fileno(), selectors.EVENT_READ)
                ready.register(link, selectors.EVENT_READ)
                while True:
                    for key, _ in ready.select(_PATIENCE_S):
                        if key.fileobj is link:
                            data = link.recv(65536)
                            if not data:
                                return 0
                            os.write(sys.stdout.fileno(), data)
                        elif data := os.read(sys.stdin.fileno(), 65536):
                            link.sendall(data)
                        else:
                            ready.unregister(sys.stdin.fileno())
                            link.shutdown(socket.SHUT_WR)
    except OSError as error:
        return _complain(EX_TEMPFAIL, f"the mail service does not answer ({error})")


def _complain(code: int, text: str) -> int:
    print(f"sendmail: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
