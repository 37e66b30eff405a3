"""The program `sendmail`: how other programs call it, what it hands over, and that it loses nothing."""

from __future__ import annotations

import io
import mailbox
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dexmesh.apps.base.home import HOME_VARIABLE, Home
from dexmesh.apps.base.settings import AppSettings, MailSettings, save_settings
from dexmesh.apps.mail import sendmail
from dexmesh.apps.mail.proto.headers import parse_header
from dexmesh.apps.mail.sendmail.exits import (
    EX_DATAERR,
    EX_NOPERM,
    EX_NOUSER,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    Trouble,
)
from dexmesh.apps.mail.sendmail.message import parse_letter, pieces_of, recipients_of, take
from dexmesh.apps.mail.sendmail.options import Options, parse_options
from dexmesh.apps.mail.sendmail.program import queue_lines
from dexmesh.wire.keys import decode_key

KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")
BOB, ANN, EVE = "bob@[IPv6:fc00::1]", "ann@[IPv6:fc00::2]", "eve@[IPv6:fc00::3]"
ROW = {"id": 7, "from": "me@[IPv6:fc00::9]", "to": BOB, "size": 2048, "since_unix": 0, "reason": ""}


class FakeServer(socketserver.ThreadingTCPServer):
    """A submission port that takes everything, but for the answers a test sets for the start of a line."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Dialogue)
        self.answers: dict[str, str] = {}
        self.lines: list[str] = []
        self.mails: list[bytes] = []

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    def said(self, verb: str) -> list[str]:
        return [line for line in self.lines if line.startswith(verb)]


class Dialogue(socketserver.StreamRequestHandler):
    """One connection to the fake server."""

    server: FakeServer

    def handle(self) -> None:
        self._say(self.server.answers.get("", "220 fake ESMTP"))
        while line := self.rfile.readline().decode().removesuffix("\r\n"):
            self.server.lines.append(line)
            answer = self._answer(line)
            if answer == "close":
                return
            self._say(answer)
            if answer.startswith("354"):
                self._say(self._take())
            if line.upper() == "QUIT":
                return

    def _answer(self, line: str) -> str:
        if line.upper().startswith("EHLO"):
            return "250-fake\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8"
        usual = "354 go on" if line.upper() == "DATA" else "250 ok"
        found = (
            text
            for start, text in self.server.answers.items()
            if start and start in line.upper() + line
        )
        return next(found, usual)

    def _take(self) -> str:
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            data += self.rfile.readline()
        self.server.mails.append(data.removesuffix(b".\r\n"))
        return self.server.answers.get("<message>", "250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class World:
    """A home with settings, a HOME for dead.letter, and the program called in this process."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.home = Home(path / "apps")
        self.home.path.mkdir()
        self.dead_letter = path / "dead.letter"
        patch.setenv(HOME_VARIABLE, str(self.home.path))
        patch.setenv("HOME", str(path))

    def set_ports(self, *ports: int, max_message_bytes: int = 100_000) -> None:
        mail = MailSettings(submission_ports=ports, max_message_bytes=max_message_bytes)
        save_settings(self.home, AppSettings(KEY, mail))

    def run(self, *arguments: str, message: bytes = b"Subject: x\n\nhello\n") -> int:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(message)))
        return sendmail.main(arguments)

    def kept(self) -> list[mailbox.mboxMessage]:
        return (
            list(mailbox.mbox(self.dead_letter, create=False)) if self.dead_letter.exists() else []
        )


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture(name="server")
def _server(world: World) -> Iterator[FakeServer]:
    with FakeServer() as server:
        world.set_ports(server.port)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


# --- The command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-i -t", Options(takes_from_header=True, ignores_dots=True)),  # bsd-mailx
        ("-oi -oem -f me@x -- bob", Options(ignores_dots=True, sender="me@x", recipients=("bob",))),
        ("-it", Options(takes_from_header=True, ignores_dots=True)),
        ("-fme@x -i bob -v", Options(ignores_dots=True, sender="me@x", recipients=("bob",))),
        ("-r me@x bob", Options(sender="me@x", recipients=("bob",))),
        (  # cron
            "-FCronDaemon -i -B8BITMIME -oem root",
            Options(ignores_dots=True, full_name="CronDaemon", recipients=("root",)),
        ),
        (  # mutt
            "-oem -oi -N failure,delay -R hdrs -bm -- bob",
            Options(
                ignores_dots=True, notify="FAILURE,DELAY", returned="HDRS", recipients=("bob",)
            ),
        ),
        ("-bs -odb -oem", Options(mode="s")),  # alpine
        ("-bp", Options(mode="p")),
        ("-q", Options(flushes=True)),
        ("-q30m", Options(flushes=True)),
        ("-f <> bob", Options(sender="", recipients=("bob",))),
        ("-- -t", Options(recipients=("-t",))),
    ],
)
def test_the_options_of_stock_programs_are_understood(line: str, expected: Options) -> None:
    assert parse_options(line.split()) == expected


@pytest.mark.parametrize(
    "line", ["-Z", "-f", "-bd", "-bv x", "-N often", "-N never,delay", "-R some", "-f a@b@c"]
)
def test_what_no_sendmail_knows_is_a_usage_error(
    world: World, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run(*line.split()) == EX_USAGE
    assert capsys.readouterr().err.startswith("sendmail: -")
    assert not world.kept()


# --- The message --------------------------------------------------------------------------------------


def test_literals_in_the_header_are_recipients_bare_folded_and_quoted() -> None:
    header = parse_header(
        b'To: bob@[IPv6:fc00::1],\r\n\t"B" <ann@"[IPv6:fc00::2]">\r\n'
        b"Cc: undisclosed-recipients:;\r\nBcc: eve@[IPv6:fc00::3], bob@[IPv6:fc00::1]\r\n"
    )
    assert recipients_of(Options(takes_from_header=True), header) == (BOB, ANN, EVE)


def test_a_mail_that_is_sent_on_goes_to_the_resent_fields_alone() -> None:
    header = parse_header(f"Resent-To: {ANN}\r\nTo: {BOB}\r\n".encode())
    assert recipients_of(Options(takes_from_header=True), header) == (ANN,)


def test_recipients_of_the_command_line_and_of_the_header_add_up() -> None:
    header = parse_header(f"To: {BOB}\r\n".encode())
    options = Options(takes_from_header=True, recipients=(f"{ANN}, {EVE}", BOB))
    assert recipients_of(options, header) == (ANN, EVE, BOB)


@pytest.mark.parametrize(
    ("data", "ignores_dots", "expected"),
    [
        (b"a\n.\nb\n", False, b"a\n"),
        (b"a\r\n.\r\nb", False, b"a\r\n"),
        (b"a\n.", False, b"a\n"),
        (b"a\n..\n. \nb", False, b"a\n..\n. \nb"),
        (b"a\n.\nb\n", True, b"a\n.\nb\n"),
    ],
)
def test_a_lone_dot_ends_the_message_unless_dots_are_ignored(
    data: bytes, ignores_dots: bool, expected: bytes
) -> None:
    assert b"".join(pieces_of(io.BytesIO(data), ignores_dots=ignores_dots)) == expected


def test_nothing_behind_the_dot_is_waited_for() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb") as end:
        end.write(b"a\n.\n")
        end.flush()
        assert b"".join(pieces_of(stream, ignores_dots=False)) == b"a\n"


@pytest.mark.parametrize("ignores_dots", [True, False])
@pytest.mark.parametrize(
    ("data", "kept"),
    [(b"x" * 300_000, 0), (b"x\n" * 150_000, 100_000), (b"a\r\n" * 90_000, 99_999)],
)
def test_a_message_is_read_a_little_beyond_the_limit_and_cut_at_a_line(
    data: bytes, kept: int, ignores_dots: bool
) -> None:
    whole = take(pieces_of(io.BytesIO(data[:100_000]), ignores_dots=ignores_dots), 100_000)
    assert whole == (data[:100_000], b"")
    stream = io.BytesIO(data)
    pieces = pieces_of(stream, ignores_dots=ignores_dots)
    first, beyond = take(pieces, 100_000)
    assert len(first) == kept
    assert 100_000 < stream.tell() < 200_000
    assert first + beyond + b"".join(pieces) == data


@pytest.mark.parametrize(
    ("data", "names", "body"),
    [
        (b"To: a\n\nhello\n\nyou\n", ["to"], b"hello\r\n\r\nyou\r\n"),
        (b"To: a\nhello\n\nyou", ["to"], b"hello\r\n\r\nyou\r\n"),
        (b"hello\n\nyou\n", [], b"hello\r\n\r\nyou\r\n"),
        (b"\nhello\n\nyou\n", [], b"hello\r\n\r\nyou\r\n"),
        (b"From me Mon Jan  1 00:00:00 2026\nTo: a\n\nhi\n", ["to"], b"hi\r\n"),
        (b"From : me\nTo: a\n\nhi\n", ["from", "to"], b"hi\r\n"),
        (b"To: a\n", ["to"], b""),
        (b"", [], b""),
    ],
)
def test_the_body_starts_at_the_first_line_that_is_no_field(
    data: bytes, names: list[str], body: bytes
) -> None:
    letter = parse_letter(data)
    assert ([field.name for field in letter.header.fields], letter.body) == (names, body)


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(Trouble) as caught:
        parse_letter(b"A: b\n" * 2000)
    assert caught.value.code == EX_DATAERR


# --- To the service -----------------------------------------------------------------------------------


def test_a_mail_goes_to_everybody_in_its_header_and_bcc_leaves_no_trace(
    world: World, server: FakeServer
) -> None:
    message = f"To: {BOB}\nBcc: {ANN},\n {EVE}\nSubject: x\n\n.hidden\nl\xf6rem\n".encode("latin-1")
    assert world.run("-t", "-i", "-f", "me", message=message) == 0
    (sender,) = server.said("MAIL")
    assert sender.startswith("MAIL FROM:<me> SIZE=")
    assert sender.endswith(" BODY=8BITMIME")
    assert server.said("RCPT") == [f"RCPT TO:<{one}>" for one in (BOB, ANN, EVE)]
    (taken,) = server.mails
    assert taken == f"To: {BOB}\r\nSubject: x\r\n\r\n..hidden\r\nl\xf6rem\r\n".encode("latin-1")
    assert server.lines[0] == "ehlo localhost"  # not the name of this machine: that is looked up
    assert not world.kept()


def test_a_sender_that_is_nobody_stays_nobody(world: World, server: FakeServer) -> None:
    assert world.run("-f", "<>", BOB) == 0
    assert server.said("MAIL")[0].startswith("MAIL FROM:<> ")


def test_names_that_are_not_ascii_and_wishes_for_reports_are_passed_on(
    world: World, server: FakeServer
) -> None:
    assert world.run("-f", "jörg", "-N", "never", "-R", "hdrs", "märta@[IPv6:fc00::1]") == 0
    (sender,) = server.said("MAIL")
    assert sender.startswith("MAIL FROM:<jörg> ")
    assert sender.endswith(" SMTPUTF8 RET=HDRS")
    assert server.said("RCPT") == ["RCPT TO:<märta@[IPv6:fc00::1]> NOTIFY=NEVER"]


def test_the_full_name_makes_a_from_only_where_there_is_none(
    world: World, server: FakeServer
) -> None:
    assert world.run("-F", "Cron, Daemon\n", "-f", "me@x", BOB) == 0
    assert world.run("-F", "Jörg", "-f", "me", BOB) == 0
    assert world.run("-F", "Cron", BOB, message=b"From: other\n\nx\n") == 0
    named_senders = [mail.partition(b"\r\n")[0] for mail in server.mails]
    assert named_senders == [b'From: "Cron, Daemon" <me@x>', b"From: =?utf-8?b?SsO2cmc=?= <me>",
                     b"From: other"]  # fmt: skip


def test_more_recipients_than_fit_go_in_several_mails(world: World, server: FakeServer) -> None:
    people = [f"u{number}@[IPv6:fc00::1]" for number in range(250)]
    assert world.run(*people) == 0
    assert (len(server.mails), len(server.said("RCPT"))) == (3, 250)
    assert len(set(server.mails)) == 1


def test_the_mail_goes_to_the_other_port_if_one_is_closed(world: World, server: FakeServer) -> None:
    world.set_ports(closed_port(), server.port)
    assert world.run(BOB) == 0
    assert len(server.mails) == 1


def test_without_readable_settings_the_usual_ports_are_tried_the_higher_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def refuse(place: tuple[str, int], *_arguments: object, **_named: object) -> None:
        tried.append(place[1])
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert world.run(BOB) == EX_TEMPFAIL
    assert tried == [587, 25]


# --- What is refused, and what is kept ----------------------------------------------------------------


def test_without_a_service_the_mail_is_kept_and_people_hear_what_to_do(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set_ports(closed_port())
    message = f"To: {BOB}\nBcc: {ANN}\n\nFrom here on\n>From there\n".encode()
    assert world.run("-t", message=message) == EX_TEMPFAIL
    assert world.run(EVE) == EX_TEMPFAIL
    told = capsys.readouterr().err
    assert "dexmesh mail on" in told
    assert str(world.dead_letter) in told
    assert world.dead_letter.stat().st_mode & 0o777 == 0o600
    first, second = world.kept()
    assert (first["Bcc"], first["X-Envelope-To"]) == (ANN, f"{BOB},\n\t{ANN}")
    assert first.get_payload() == ">From here on\n>>From there\n"
    assert second["X-Envelope-To"] == EVE


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ({"RCPT": "550 5.1.1 nobody"}, EX_NOUSER, f"{BOB}: 550 5.1.1 nobody"),
        ({"RCPT": "451 later"}, EX_TEMPFAIL, "451 later"),
        ({"MAIL": "550 not you"}, EX_NOPERM, "550 not you"),
        ({"MAIL": "452 4.3.1 full"}, EX_TEMPFAIL, "452 4.3.1 full"),
        ({"DATA": "554 no"}, EX_DATAERR, "554 no"),
        ({"<message>": "552 5.3.4 too big"}, EX_DATAERR, "552 5.3.4 too big"),
        ({"<message>": "451 4.3.0 disk"}, EX_TEMPFAIL, "451 4.3.0 disk"),
        ({"DATA": "close"}, EX_TEMPFAIL, "ended the conversation"),
        ({"": "421 busy"}, EX_TEMPFAIL, "busy"),
        ({"MAIL": "550 \x1b[2J\x07"}, EX_NOPERM, "550  [2J "),
    ],
)
def test_every_refusal_has_its_exit_code_and_the_mail_is_kept(
    world: World,
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    answers: Mapping[str, str],
    code: int,
    told: str,
) -> None:
    server.answers.update(answers)
    assert world.run(BOB) == code
    assert told in capsys.readouterr().err
    assert [one.get_payload() for one in world.kept()] == ["hello\n"]


def test_one_refused_recipient_does_not_keep_the_mail_from_the_others(
    world: World, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers[ANN] = "550 5.1.1 nobody"
    assert world.run(BOB, ANN, EVE) == EX_NOUSER
    assert len(server.mails) == 1
    assert "2 of 3 recipients will get it" in capsys.readouterr().err
    (kept,) = world.kept()
    assert kept["X-Envelope-To"] == ANN


def test_of_several_mails_those_who_got_theirs_are_not_named_in_what_is_kept(
    world: World, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [f"u{number}@[IPv6:fc00::1]" for number in range(250)]
    server.answers["u7@"] = "550 5.1.1 nobody"
    server.answers["u142@"] = "close"
    assert world.run(*people) == EX_TEMPFAIL
    assert "99 of 250 recipients will get it" in capsys.readouterr().err
    (kept,) = world.kept()
    assert "".join(kept["X-Envelope-To"].split()).split(",") == [people[7], *people[100:]]


def test_a_mail_that_was_taken_is_sent_however_the_server_parts(
    world: World, server: FakeServer
) -> None:
    for parting in ("close", "500 what?"):
        server.answers["QUIT"] = parting
        assert world.run(BOB) == 0
    assert not world.kept()


@pytest.mark.parametrize("arguments", [(), ("-t",), ("bob@[fc00::1",), ("a b c",)])
def test_without_good_recipients_the_mail_is_kept(
    world: World, server: FakeServer, arguments: tuple[str, ...]
) -> None:
    assert world.run(*arguments) == EX_DATAERR
    assert not server.lines
    assert len(world.kept()) == 1


@pytest.mark.parametrize("ignores_dots", [True, False])
@pytest.mark.parametrize(
    "body",
    [b"x" * 1001, b"x\n" * 501, b"From here on\r\n" * 20_000, b"x" * 3_000_000 + b"\nFrom y\n"],
)
def test_a_mail_over_the_limit_of_the_settings_is_not_begun_and_is_kept_whole(
    world: World,
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    body: bytes,
    ignores_dots: bool,
) -> None:
    world.set_ports(server.port, max_message_bytes=1000)
    message = b"Subject: long\n\n" + body
    options = ["-i"] * ignores_dots
    assert world.run(*options, BOB, message=message + b"\n.\n") == EX_DATAERR
    told = capsys.readouterr().err
    assert "more than 1000 bytes" in told
    assert "is kept in" in told
    assert not server.lines
    (kept,) = world.kept()
    assert (kept["X-Envelope-To"], kept["Subject"]) == (BOB, "long")
    wanted = body.replace(b"\r\n", b"\n").replace(b"From ", b">From ") + b"\n"
    wanted += b".\n" * ignores_dots
    assert kept.get_payload(decode=True) == wanted


def test_a_mail_with_too_many_fields_is_kept_as_it_was(world: World, server: FakeServer) -> None:
    message = b"A: b\n" * 2000 + b"\nhi\n"
    assert world.run(BOB, message=message) == EX_DATAERR
    assert not server.lines
    (kept,) = world.kept()
    assert kept["X-Envelope-To"] == BOB
    assert len(kept.get_all("A", [])) == 2000
    assert kept.get_payload() == "hi\n"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_nothing_but_a_file_is_written_to_and_a_loss_is_said_aloud(
    world: World, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set_ports(closed_port())
    aim = tmp_path / "precious"
    aim.write_text("kept")
    if kind == "link":
        world.dead_letter.symlink_to(aim)
    elif kind == "pipe":
        os.mkfifo(world.dead_letter)
    else:
        world.dead_letter.mkdir()
    assert world.run(BOB) == EX_TEMPFAIL
    assert "LOST" in capsys.readouterr().err
    assert aim.read_text() == "kept"


# --- mailq, newaliases, SMTP on standard input --------------------------------------------------------


def test_the_queue_is_shown_as_mailq_does() -> None:
    rows = [ROW | {"reason": "no route\nyet"}, ROW | {"to": ANN}, ROW | {"id": 8, "from": ""}]
    lines = queue_lines(rows)
    assert lines[1].startswith("7               2048 ")
    assert lines[1].endswith("me@[IPv6:fc00::9]")
    assert [line.strip() for line in lines[2:5]] == ["(no route?yet)", BOB, ANN]
    assert lines[6].endswith(" <>")
    assert lines[-1] == "-- 4 Kbytes in 2 Requests."
    assert queue_lines([]) == ["Mail queue is empty"]


def test_texts_stand_in_the_queue_of_mailq_as_mails_do() -> None:
    text = ROW | {"kind": "text", "id": "t3", "size": 5, "reason": "no answer"}
    lines = queue_lines([ROW, text])
    assert lines[4].startswith("t3                 5 ")
    assert [line.strip() for line in lines[5:7]] == ["(no answer)", BOB]
    assert lines[-1] == "-- 2 Kbytes in 2 Requests."


@pytest.mark.parametrize("name", ["sendmail", "mailq"])
def test_mailq_without_a_service_says_what_to_do(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{name}"])
    assert world.run(*["-bp"] * (name == "sendmail")) == EX_UNAVAILABLE
    assert "dexmesh up" in capsys.readouterr().err


def test_newaliases_has_nothing_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/newaliases"])
    assert world.run() == 0


@pytest.mark.parametrize("is_file", [True, False])
def test_smtp_on_standard_input_reaches_the_service(
    server: FakeServer, tmp_path: Path, is_file: bool
) -> None:
    spoken = b"EHLO me\r\nMAIL FROM:<me>\r\nRCPT TO:<bob>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"
    script = tmp_path / "script"
    script.write_bytes(spoken)
    command = [sys.executable, "-m", "dexmesh.apps.mail.sendmail", "-bs"]
    if is_file:
        with script.open("rb") as stdin:
            ended = subprocess.run(command, stdin=stdin, capture_output=True, check=True)
    else:
        ended = subprocess.run(command, input=spoken, capture_output=True, check=True)
    assert ended.stdout.startswith(b"220 fake ESMTP\r\n250-fake\r\n")
    assert ended.stdout.endswith(b"354 go on\r\n250 taken\r\n250 ok\r\n")
    assert server.mails == [b"hi\r\n"]


def test_smtp_on_standard_input_without_a_service_fails_for_now(world: World) -> None:
    world.set_ports(closed_port())
    assert world.run("-bs") == EX_TEMPFAIL
