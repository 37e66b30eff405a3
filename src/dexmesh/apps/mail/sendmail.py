"""Be the program `sendmail` (and `mailq`): take a message from standard input to the mail service.

Place     mutt, mailx, git, alpine, cron -> here -> submission.py, by SMTP on localhost
Spec      docs/apps/mail.md §4 "Submission"; sysexits.h (exit codes)
Keeps     a message that could not be handed over is in ~/dead.letter; literals are read as what they
          are; Bcc leaves no trace; nothing is looked up
Not here  `dexmesh mail send`, which is for people (cli/mail_send.py); who may be written to, and what a
          header needs (proto/submitting.py)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import smtplib
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from dexmesh.apps.base.home import find_home
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox, parse_mailboxes
from dexmesh.apps.base.settings import MailSettings, load_settings
from dexmesh.apps.mail.proto.headers import (
    Field,
    Header,
    TooManyFieldsError,
    make_field,
    parse_header,
    render,
    without,
)
from dexmesh.errors import AddressError, DexmeshError, NoServiceError, PermissionNeededError
from dexmesh.values import dataclass

EX_OK, EX_USAGE, EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM = (
    0, 64, 65, 67, 69, 75, 77
)  # fmt: skip
HOST = "127.0.0.1"
CONNECT_S = 60.0  # ours: until the service greets
PARTING_S = 5.0  # ours
PATIENCE_S = 600.0  # RFC 5321 §4.5.3.2.6: how long a client waits for the answer to a message
MAX_RECIPIENTS = 100  # mail.md §4: more go in several transactions
MAX_ROWS = 1000  # of the queue, shown at once

_FLAGS = "EGIUimnstv"
_WITH_VALUE = "ABCFLMNORVXbfhopr"  # joined or as the next word
_MAY_HAVE_VALUE = "dq"  # joined only
_MODES = "imps"  # newaliases, send, mailq, SMTP
_NAMES = {"mailq": "p", "newaliases": "i"}
_TO_FIELDS = ("to", "cc", "bcc")
_RESENT_FIELDS = ("resent-to", "resent-cc", "resent-bcc")
_BLIND = frozenset({"bcc", "resent-bcc"})
_MBOX_START = re.compile(rb">?From (?![ \t]*:)[^\r\n]*\r\n")
_QUOTED_FROM = re.compile(rb"^(?=>*From )", re.MULTILINE)
_DSN_WORDS = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})
_EMPTY_LINE = b"\r\n\r\n"

_Link = TypeVar("_Link")


class Trouble(Exception):  # noqa: N818 it becomes an exit code, not a bug
    """Why the program ends without success: the exit code of sysexits.h and a text for people."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `sender`: None if none is named, "" for `<>`."""

    mode: str = "m"
    flushes: bool = False
    takes_from_header: bool = False
    ignores_dots: bool = False
    sender: str | None = None
    full_name: str = ""
    notify: str = ""
    returned: str = ""
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Letter:
    """A message with CRLF lines."""

    header: Header
    body: bytes

    def rendered(self, fields: Iterable[Field | bytes]) -> bytes:
        """The message under these fields."""
        return render(fields) + self.body


def main(argv: Sequence[str] | None = None) -> int:
    """Run as sendmail, or as mailq or newaliases where it is called that; the exit code."""
    try:
        options = parse_options(sys.argv[1:] if argv is None else argv)
        return _run(options, _NAMES.get(Path(sys.argv[0]).name, options.mode))
    except Trouble as trouble:
        print(f"sendmail: {trouble}", file=sys.stderr)
        return trouble.code
    except KeyboardInterrupt:
        return EX_TEMPFAIL


def _run(options: Options, mode: str) -> int:
    if mode == "p":
        return _show_queue()
    if mode == "s":
        return _speak_smtp()
    if mode == "i":
        return EX_OK  # there is no table of aliases to build
    if options.flushes and not (options.recipients or options.takes_from_header):
        _command("mail.retry", id="all")
        return EX_OK
    return _send(options)


# --- The command line ---------------------------------------------------------------------------------


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises Trouble for what no sendmail knows."""
    found, recipients, words = Options(), list[str](), deque(arguments)
    while words:
        word = words.popleft()
        if word == "--":
            recipients += words
            break
        if word == "-" or not word.startswith("-"):
            recipients.append(word)
            continue
        for letter, value in _cut(word[1:], words):
            found = _with_option(found, letter, value)
    return replace(found, recipients=tuple(recipients))


def _cut(letters: str, words: deque[str]) -> Iterable[tuple[str, str]]:
    """The options in one word; the last of them may take the next word as its value."""
    while letters:
        letter, letters = letters[0], letters[1:]
        if letter in _FLAGS:
            yield letter, ""
        elif letter in _MAY_HAVE_VALUE or (letter in _WITH_VALUE and (letters or words)):
            needs_word = not letters and letter in _WITH_VALUE
            yield letter, words.popleft() if needs_word else letters
            return
        elif letter in _WITH_VALUE:
            raise Trouble(EX_USAGE, f"-{letter} needs a value")
        else:
            what = "-t -i -f SENDER -F NAME -N -R -bm -bp -bs -q -o..., and recipients"
            raise Trouble(EX_USAGE, f"-{letter} is unknown; understood are {what}")


def _with_option(found: Options, letter: str, value: str) -> Options:
    if letter == "t":
        return replace(found, takes_from_header=True)
    if letter == "i" or (letter == "o" and value == "i"):
        return replace(found, ignores_dots=True)
    if letter == "q":
        return replace(found, flushes=True)
    if letter == "F":
        return replace(found, full_name=value)
    if letter in "fr":
        return replace(found, sender=_sender(value))
    if letter == "b":
        if value not in tuple(_MODES):
            raise Trouble(EX_USAGE, f"-b{value} is not offered: only -bm, -bp, -bs and -bi are")
        return replace(found, mode=value)
    if letter == "N":
        return replace(found, notify=_notify(value))
    if letter == "R":
        if value.lower() not in ("full", "hdrs"):
            raise Trouble(EX_USAGE, "-R is full or hdrs")
        return replace(found, returned=value.upper())
    return found


def _sender(value: str) -> str:
    if value.strip() in ("", "<>"):
        return ""
    try:
        return str(parse_mailbox(value, needs_domain=False))
    except AddressError as error:
        raise Trouble(EX_USAGE, f"-f: {error}; {error.hint}") from None


def _notify(value: str) -> str:
    words = value.upper().split(",")
    if not _DSN_WORDS.issuperset(words) or ("NEVER" in words and len(words) > 1):
        raise Trouble(EX_USAGE, "-N is never, or some of success,failure,delay")
    return ",".join(words)


# --- The message --------------------------------------------------------------------------------------


def _send(options: Options) -> int:
    settings = _settings()
    if sys.stdin is None:  # closed by the caller
        raise Trouble(EX_DATAERR, "there is no standard input to read a message from")
    data = read_message(sys.stdin.buffer, settings.max_message_bytes, options.ignores_dots)
    letter = parse_letter(data)
    people: tuple[str, ...] = ()
    try:
        people = recipients_of(options, letter.header)
        _hand_over(options, people, outgoing(options, letter), settings.submission_ports)
    except Trouble as trouble:
        raise Trouble(trouble.code, f"{trouble}; {_keep(letter, people)}") from None
    return EX_OK


def read_message(stream: BinaryIO, limit: int, ignores_dots: bool) -> bytes:
    """All of it, or what stands before a line that is a single dot. Raises Trouble over `limit` bytes."""
    if ignores_dots:
        data = stream.read(limit + 1)
    else:
        lines, size = list[bytes](), 0
        while size <= limit and (line := stream.readline(limit + 1)):
            if line.rstrip(b"\r\n") == b".":
                break
            lines.append(line)
            size += len(line)
        data = b"".join(lines)
    if len(data) > limit:
        raise Trouble(EX_DATAERR, f"the message has more than {limit} bytes; nothing was sent")
    return data


def to_crlf(data: bytes) -> bytes:
    """Every line end as CRLF; the last line has one."""
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def parse_letter(data: bytes) -> Letter:
    """Header and body. The body starts at the first line that is no field: people forget the empty one."""
    text = to_crlf(data)
    if (start := _MBOX_START.match(text)) is not None:  # the message comes out of an mbox
        text = text[start.end() :]
    if text.startswith(b"\r\n"):
        return Letter(Header(()), text[2:])
    head, blank, body = text.partition(_EMPTY_LINE)
    try:
        header = parse_header(head + b"\r\n" if blank else head)
    except TooManyFieldsError as error:
        raise Trouble(EX_DATAERR, f"{error}; nothing was sent") from None
    if header.rest:
        body = header.rest + b"\r\n" + body if blank else header.rest
    return Letter(header, body)


def recipients_of(options: Options, header: Header) -> tuple[str, ...]:
    """Every recipient once, for RCPT. Raises Trouble if there are none, or a word is no address."""
    lists = list(options.recipients)
    if options.takes_from_header:
        names = {field.name for field in header.fields}
        wanted = _TO_FIELDS if names.isdisjoint(_RESENT_FIELDS) else _RESENT_FIELDS
        lists += [field.value for field in header.fields if field.name in wanted]
    found: dict[str, None] = {}
    try:
        for one in lists:
            found |= dict.fromkeys(map(str, parse_mailboxes(one, needs_domain=False)))
    except AddressError as error:
        raise Trouble(EX_DATAERR, f"{error} ({error.hint})") from None
    if not found:
        raise Trouble(EX_DATAERR, "no recipients: name some, or use -t and a To: field")
    return tuple(found)


def outgoing(options: Options, letter: Letter) -> bytes:
    """The message without Bcc; with a From, if -F says how the sender is called and it has none."""
    fields: list[Field | bytes] = list(without(letter.header.fields, _BLIND))
    if options.full_name and letter.header.first("from") is None:
        name = _encoded(options.full_name)
        sender = parse_mailbox(options.sender or _login_name(), needs_domain=False)
        fields.insert(0, make_field("From", Mailbox(sender.local, sender.domain, name).formatted()))
    return letter.rendered(fields)


def _encoded(name: str) -> str:
    """A name as it may stand in a header: one short line, RFC 2047 where it is not ASCII."""
    from email.header import Header as Encoder

    text = name.encode("utf-8", "replace").decode()
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:64]
    return text if text.isascii() else Encoder(text, "utf-8").encode(maxlinelen=0)


def _login_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "postmaster"


# --- To the service -----------------------------------------------------------------------------------


def _settings() -> MailSettings:
    """What the service is set to; the usual where we may not read it."""
    try:
        return load_settings(find_home()).mail
    except DexmeshError:
        return MailSettings()


def _hand_over(
    options: Options, people: Sequence[str], message: bytes, ports: Sequence[int]
) -> None:
    """Raises Trouble unless the service took the message for everybody."""
    taken, refused = 0, list[Refused]()
    try:
        server = _first_port(ports, lambda port: smtplib.SMTP(HOST, port, "localhost", CONNECT_S))
        try:
            _require_socket(server).settimeout(PATIENCE_S)
            server.ehlo_or_helo_if_needed()
            for at in range(0, len(people), MAX_RECIPIENTS):
                batch = people[at : at + MAX_RECIPIENTS]
                bounced = _transact(server, options, batch, message)
                taken += len(batch) - len(bounced)
                refused += bounced
            with contextlib.suppress(OSError):  # the mail is safe, however the parting goes
                _require_socket(server).settimeout(PARTING_S)
                server.docmd("QUIT")
        finally:
            server.close()
    except OSError as error:  # what smtplib raises is one, too
        text = f"the mail service ended the conversation ({error})"
        raise Trouble(EX_TEMPFAIL, _with_count(text, taken, people)) from None
    except Trouble as trouble:
        raise Trouble(trouble.code, _with_count(str(trouble), taken, people)) from None
    if refused:
        code = EX_NOUSER if any(one.code >= 500 for one in refused) else EX_TEMPFAIL
        raise Trouble(code, _with_count("; ".join(map(str, refused)), taken, people))


def _with_count(text: str, taken: int, people: Sequence[str]) -> str:
    return f"{text}; {taken} of {len(people)} recipients will get it" if taken else text


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient the service does not take, and what it said."""

    who: str
    code: int
    said: str

    def __str__(self) -> str:
        return f"{self.who}: {self.said}"


def _transact(
    server: smtplib.SMTP, options: Options, people: Sequence[str], message: bytes
) -> list[Refused]:
    """One mail; who of the people was refused. Addresses go as they are: smtplib would parse them."""
    sender = _login_name() if options.sender is None else options.sender
    names_utf8 = not all(one.isascii() for one in (sender, *people))
    server.command_encoding = "utf-8" if names_utf8 else "ascii"
    code, said = server.docmd(
        "MAIL", f"FROM:<{sender}>{_mail_words(server, options, message, names_utf8)}"
    )
    if code != 250:
        raise _refusal(code, said, EX_NOPERM)
    notify = f" NOTIFY={options.notify}" if options.notify and server.has_extn("dsn") else ""
    refused = []
    for who in people:
        code, said = server.docmd("RCPT", f"TO:<{who}>{notify}")
        if code not in (250, 251):
            refused.append(Refused(who, code, _shown(code, said)))
    if len(refused) == len(people):
        server.docmd("RSET")
        return refused
    try:
        code, said = server.data(message)
    except smtplib.SMTPDataError as error:
        code, said = error.smtp_code, _bytes(error.smtp_error)
    if code != 250:
        raise _refusal(code, said, EX_DATAERR)
    return refused


def _mail_words(server: smtplib.SMTP, options: Options, message: bytes, names_utf8: bool) -> str:
    wanted = {
        "size": f" SIZE={len(message)}",
        "8bitmime": "" if message.isascii() else " BODY=8BITMIME",
        "smtputf8": " SMTPUTF8" if names_utf8 else "",
        "dsn": f" RET={options.returned}" if options.returned else "",
    }
    return "".join(word for name, word in wanted.items() if server.has_extn(name))


def _refusal(code: int, said: bytes, permanent: int) -> Trouble:
    return Trouble(permanent if code >= 500 else EX_TEMPFAIL, _shown(code, said))


def _shown(code: int, said: bytes) -> str:
    text = said.decode("utf-8", "replace")[:400]
    return f"{code} {''.join(char if char.isprintable() else ' ' for char in text)}"


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _require_socket(server: smtplib.SMTP) -> socket.socket:
    if server.sock is None:
        raise ConnectionResetError("closed")
    return server.sock


def _first_port(ports: Sequence[int], connect: Callable[[int], _Link]) -> _Link:
    """A connection to the first submission port that answers, the one for mail programs (587) first."""
    tried = sorted({port for port in ports if port}, reverse=True)
    why = "no submission port is configured"
    for port in tried:
        try:
            return connect(port)
        except OSError as error:
            why = str(error)
    places = " and ".join(map(str, tried))
    what = f"no mail service answers on {HOST}, port {places} ({why})"
    todo = "`dexmesh mail on` switches it on, `dexmesh up` starts it"
    raise Trouble(EX_TEMPFAIL, f"{what}: {todo}")


# --- What nobody took ---------------------------------------------------------------------------------


def _keep(letter: Letter, people: Sequence[str]) -> str:
    """Append the message to ~/dead.letter, where people look for it; a text that says so."""
    path = Path(os.path.expanduser("~")) / "dead.letter"
    envelope = [make_field("X-Envelope-To", ",\r\n\t".join(people))] if people else []
    text = letter.rendered([*envelope, *letter.header.fields]).replace(b"\r\n", b"\n")
    stamp = time.asctime(time.gmtime())
    entry = f"From {_login_name()} {stamp}\n".encode() + _QUOTED_FROM.sub(b">", text) + b"\n"
    try:
        _append(path, entry)
    except OSError as error:
        return f"the message is LOST: {path} cannot be written ({error.strerror})"
    return f"the message is kept in {path}"


def _append(path: Path, entry: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        size, rest = os.fstat(descriptor).st_size, memoryview(entry)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)  # half a message would swallow the next one
            raise
    finally:
        os.close(descriptor)


# --- mailq, and SMTP on standard input ----------------------------------------------------------------


def _command(call: str, **arguments: Any) -> dict[str, Any]:
    """Ask the running service; root asks for everybody."""
    from dexmesh.apps.base.control import ControlClient

    try:
        with ControlClient(find_home().control_socket) as client:
            return client.call(call, everybody=os.geteuid() == 0, **arguments)
    except DexmeshError as error:
        code = EX_UNAVAILABLE if isinstance(error, NoServiceError) else EX_TEMPFAIL
        code = EX_NOPERM if isinstance(error, PermissionNeededError) else code
        raise Trouble(code, f"{error}; {error.hint}" if error.hint else str(error)) from None


def _show_queue() -> int:
    rows = _command("mail.queue", limit=MAX_ROWS)["waiting"]
    print("\n".join(queue_lines(rows)))
    return EX_OK


def queue_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The queue as mailq shows it: a line for each mail, below it why and for whom it waits."""
    if not rows:
        return ["Mail queue is empty"]
    mails: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        mails.setdefault(row["id"], []).append(row)
    lines = ["-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"]
    for number, group in mails.items():
        first = group[0]
        when = time.strftime("%a %b %d %H:%M:%S", time.localtime(first["since_unix"]))
        lines.append(f"{number:<10} {first['size']:>9} {when:<20} {first['from'] or '<>'}")
        for row in group:
            lines += [f"{'':8}({row['reason']})"] * bool(row["reason"])
            lines.append(f"{'':42}{row['to']}")
        lines.append("")
    kbytes = sum(group[0]["size"] for group in mails.values()) // 1024
    lines.append(f"-- {kbytes} Kbytes in {len(mails)} Request{'s' * (len(mails) != 1)}.")
    return ["".join(char if char.isprintable() else "?" for char in line) for line in lines]


def _speak_smtp() -> int:
    """-bs: the caller speaks SMTP on standard input; every byte goes through as it is."""
    ports = _settings().submission_ports
    link = _first_port(ports, lambda port: socket.create_connection((HOST, port), CONNECT_S))
    link.settimeout(None)  # the server ends what is idle
    threading.Thread(target=_pass_on, args=(sys.stdin.fileno(), link), daemon=True).start()
    try:
        while data := link.recv(1 << 16):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError as error:
        raise Trouble(EX_TEMPFAIL, f"the conversation broke off ({error.strerror})") from None
    return EX_OK


def _pass_on(descriptor: int, link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(descriptor, 1 << 16):
            link.sendall(data)
        link.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    sys.exit(main())
