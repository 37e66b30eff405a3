"""`dexmesh mail ...` as a person uses it, against the real service without a network."""

from __future__ import annotations

import base64
import json
import mailbox
import os
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dexmesh.apps.base.carrier import Carried, Fate, QueuedText
from dexmesh.apps.base.home import HOME_VARIABLE
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.contacts.contact import Contact
from dexmesh.apps.contacts.invitation import HEADER, Invitation, encode_invitation
from dexmesh.apps.mail.proto.attempts import judge, unreachable
from dexmesh.apps.mail.proto.reach import Ours, Port, ReachReport
from dexmesh.apps.mail.store import Folder
from dexmesh.cli.main import app
from dexmesh.cli.output import Exit
from dexmesh.errors import AppError, MailError, PermissionNeededError
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of
from tests.unit.admin.fake import KEY_B
from tests.unit.apps.mail.desk_world import EVE, EVE_LITERAL, DeskWorld
from tests.unit.apps.mail.test_texting import FakeCarrier

EVE_MAIL = f"eve@{EVE_LITERAL}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeskWorld]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "apps"))
    for variable in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    world = DeskWorld(tmp_path / "apps")
    yield world
    world.close()


def mail(*arguments: str | Path, stdin: str | bytes | None = None, code: int = 0) -> Result:
    """Run `dexmesh mail ...`, which must end with that code."""
    argv = ["mail", *(str(one) for one in arguments)]
    result = CliRunner().invoke(app, argv, input=stdin)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def as_json(*arguments: str | Path, **more: Any) -> Any:
    return json.loads(mail(*arguments, "--json", **more).stdout)


def eve(world: DeskWorld, petname: str = "eve") -> None:
    world.book.add(Contact(petname, "Eve E", (parse_mailbox(EVE_MAIL),)))


def queued(world: DeskWorld) -> bytes:
    (path,) = (world.home.mail / "queue").iterdir()
    return path.read_bytes()


# Reading


def test_a_mail_is_listed_and_read_and_then_it_is_read(world: DeskWorld) -> None:
    world.receive()
    listed = mail("list").stdout.split("\t")
    assert listed[:4] == ["N", "1", "Eve E", "hello"]
    shown = mail("read", "1").stdout
    assert f"From:     Eve E <{EVE_MAIL}>" in shown
    assert "Subject:  hello" in shown
    assert shown.endswith("\n\nbody\n")
    assert mail("list").stdout.split("\t")[0] == ""
    assert mail("list", "--unread").stdout == ""
    assert "nothing unread in INBOX" in mail("list", "--unread").stderr


def test_the_list_says_that_strangers_wait(world: DeskWorld) -> None:
    assert "strangers" not in mail("list").stderr
    world.receive(folder=Folder.REQUESTS)
    assert "1 mail of a stranger waits: `dexmesh mail requests`" in mail("list").stderr
    world.receive(folder=Folder.REQUESTS)
    assert "2 mails of strangers wait" in mail("list").stderr
    assert as_json("list")["requests"] == 2
    assert "wait" not in mail("list", "-f", "Requests").stderr


def test_what_was_deleted_is_told_also_where_the_next_is_not_there(world: DeskWorld) -> None:
    world.receive()
    assert mail("delete", "1", "9", code=Exit.FAILED).stdout == "1 is Trash/1 now\n"


def test_a_contact_is_shown_by_the_petname(world: DeskWorld) -> None:
    eve(world)
    world.receive()
    assert mail("list").stdout.split("\t")[2] == "eve"
    assert f"From:     eve: Eve E <{EVE_MAIL}>" in mail("read").stdout


def test_numbers_stay_with_their_messages(world: DeskWorld) -> None:
    for number in range(3):
        world.receive(b"Subject: mail %d\r\n\r\n" % number)
    assert [row["uid"] for row in as_json("list")["messages"]] == [3, 2, 1]
    mail("delete", "2")
    world.receive(b"Subject: another\r\n\r\n")
    found = {row["uid"]: row["subject"] for row in as_json("list")["messages"]}
    assert found == {1: "mail 0", 3: "mail 2", 4: "another"}
    assert "mail 2" in mail("read", "3").stdout
    assert "another" in mail("read", "latest").stdout
    error = mail("read", "2", code=Exit.FAILED).stderr
    assert "there is no message 2" in error
    assert "dexmesh mail list" in error
    mail("read", "x", code=Exit.FAILED)


def test_deleting_goes_to_trash_and_from_there_for_good(world: DeskWorld) -> None:
    world.receive()
    assert "Trash/1" in mail("delete", "1").stdout
    assert mail("list").stdout == ""
    assert as_json("list", "--folder", "trash")["messages"][0]["id"] == "Trash/1"
    assert "INBOX" in str(as_json("folders"))
    assert mail("move", "Trash/1", "INBOX").stdout == "it is 2 now\n"
    assert "2 is gone" in mail("delete", "2", "--for-good").stdout
    assert as_json("list", "--folder", "Trash")["messages"] == []


def test_a_folder_that_is_not_there_is_named_with_those_that_are(world: DeskWorld) -> None:
    error = mail("list", "--folder", "Letters", code=Exit.FAILED).stderr
    assert "no folder 'Letters'" in error
    assert "INBOX, Drafts, Requests, Sent, Trash" in error
    for name in ("../alice", "../../..", "a/b/../c"):
        mail("list", "--folder", name, code=Exit.FAILED)


def test_list_waits_for_mail(world: DeskWorld) -> None:
    timer = threading.Timer(1.0, world.receive)
    timer.start()
    began = time.monotonic()
    assert len(as_json("list", "--unread", "--wait", "20")["messages"]) == 1
    assert 0.5 < time.monotonic() - began < 30
    timer.join()
    began = time.monotonic()
    assert as_json("list", "--folder", "Drafts", "--wait", "1")["messages"] == []
    assert 1 <= time.monotonic() - began < 30


def test_long_lists_are_cut_and_say_so(world: DeskWorld) -> None:
    for _ in range(5):
        world.receive()
    result = mail("list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 2
    assert "3 older ones are not shown" in result.stderr


HOSTILE = (
    b"Subject: \x1b]0;owned\x07 \x1b[2J =?utf-8?b?G1szMW0=?= \xe2\x80\xae\r\n\r\n"
    b"text \x1b[31mred \x9b2J \x08\x08\x07 \xe2\x80\xaeevil\r\n"
)


def test_nothing_a_stranger_writes_reaches_the_terminal_as_a_command(world: DeskWorld) -> None:
    world.receive(HOSTILE, author="\x1b[1mE\x1b[0m <eve@" + EVE_LITERAL + ">", folder="Requests")
    world.receive(HOSTILE, author="=?utf-8?b?G1szMW0=?= <eve@" + EVE_LITERAL + ">")
    for arguments in (
        ("list",),
        ("read", "latest"),
        ("requests",),
        ("read", "Requests/latest"),
        ("list", "-f", "Requests"),
    ):
        shown = mail(*arguments)
        assert not set(shown.stdout + shown.stderr) & set("\x1b\x07\x08\x9b\u202e"), arguments
    assert b"\x1b[31mred" in mail("read", "latest", "--raw").stdout_bytes


def test_it_is_said_when_another_node_sent_the_mail(world: DeskWorld) -> None:
    eve(world)
    world.receive(author=f"Bob <bob@{world.me.literal}>", differs=True)
    assert "(?)" in mail("list").stdout
    result = mail("read", "latest")
    assert "From differs from the sending node: eve sent this" in result.stderr
    assert as_json("read", "latest")["is_from_other"] is True


MIXED = (
    b'Subject: files\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>see <a href='https://x.y/'>this</a></p>\r\n"
    b"--b\r\nContent-Disposition: attachment; filename=../../evil.sh\r\n\r\nrm\r\n"
    b"--b\r\nContent-Disposition: attachment; filename=evil.sh\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"
)


def test_attachments_are_listed_and_saved_where_they_were_wanted(
    world: DeskWorld, tmp_path: Path
) -> None:
    world.receive(MIXED)
    shown = mail("read", "1").stdout
    assert "see this <https://x.y/>" in shown
    assert "[1]\tevil.sh" in shown
    target = tmp_path / "a" / "b"
    mail("read", "1", "--save-attachments", target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        "evil.sh": b"rm",
        "evil-2.sh": b"\0\1\2",
    }
    saved = as_json("read", "1", "--save-attachments", target)["saved"]
    assert [Path(one).name for one in saved] == ["evil-3.sh", "evil-4.sh"]
    assert not list(tmp_path.glob("*.sh"))


def test_raw_gives_the_message_byte_for_byte(world: DeskWorld) -> None:
    world.receive(MIXED)
    raw = mail("read", "1", "--raw").stdout_bytes
    assert raw.endswith(MIXED)
    assert raw.startswith(b"Return-Path:")


def test_the_inbox_of_a_user_may_be_an_mbox(world: DeskWorld) -> None:
    file, own = world.home.path / "alice.mbox", ("--user", "alice")
    assert mail("list", *own).stdout == ""
    eve(world)
    for number in range(3):
        world.receive(b"Subject: mail %d\r\n\r\nFrom me\r\n" % number, user="alice")
    rows = as_json("list", *own)
    assert [row["subject"] for row in rows["messages"]] == ["mail 2", "mail 1", "mail 0"]
    assert (rows["mbox"], rows["unread"]) == (str(file), 3)
    assert rows["messages"][0]["petname"] == "eve"
    assert "\nFrom me\n" in mail("read", "2", *own).stdout
    mail("reply", "3", "-m", "yes", "--wait", "0", *own)
    mail("delete", "1", *own)
    there = mailbox.mbox(file)
    assert [(one["subject"], one.get_flags()) for one in there] == [
        ("mail 1", "RO"),
        ("mail 2", "ROA"),
    ]
    assert "mail 0" in mail("read", "Trash/1", *own).stdout
    assert mail("move", "Trash/1", "INBOX", *own).stdout == "it is 4 now\n"
    assert len(mailbox.mbox(file)) == 3
    mail("delete", "2", "3", "4", "--for-good", *own)
    assert file.read_bytes() == b""


def test_what_came_before_the_inbox_was_an_mbox_is_still_there(world: DeskWorld) -> None:
    own = ("--user", "alice")
    assert "Maildir" not in mail("folders", *own).stdout
    world.receive(user="alice")
    maildir = world.home.mail_users / "alice" / "Maildir"
    (maildir / "new" / "1.former").write_bytes(b"Subject: of old\n\nx\n")
    assert "Maildir\t1\t1" in mail("folders", *own).stdout
    assert "of old" in mail("list", "-f", "Maildir", *own).stdout
    mail("move", "Maildir/1", "INBOX", *own)
    assert [row["subject"] for row in as_json("list", *own)["messages"]] == ["of old", "hello"]
    assert "Maildir" not in mail("folders", *own).stdout
    assert "Maildir" not in mail("folders").stdout


def _failure(mailbox: str) -> str:
    """A part of a report as proto/bounces.py writes it."""
    return (
        f"Final-Recipient: rfc822; {mailbox}\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; x\n"
        "Diagnostic-Code: smtp; 550 5.1.1 nobody here\n"
    )


def test_the_report_that_a_mail_failed_is_found_in_an_mbox(world: DeskWorld) -> None:
    eve(world)

    def fail() -> None:
        while not (rows := world.do(world.desk.queue.list())):
            time.sleep(0.05)
        with (world.home.path / "alice.mbox").open("a") as file:
            report = (
                f"Subject: failed\nMessage-ID: <report-{rows[0].id}-1@x>\n\n{_failure(EVE_MAIL)}\n"
            )
            file.write(f"From MAILER-DAEMON Mon Jan  6 10:00:00 2025\n{report}")
        world.do(world.desk.queue.cancel(rows[0].id))

    thread = threading.Thread(target=fail)
    thread.start()
    arguments = ("send", "eve", "x", "-m", "y", "--wait", "20", "--user", "alice")
    assert (
        mail(*arguments, code=Exit.FAILED).stdout == "not delivered to eve: 550 5.1.1 nobody here\n"
    )
    thread.join()


# Writing


def test_mail_to_a_contact_waits_in_the_queue_and_lies_in_sent(world: DeskWorld) -> None:
    eve(world)
    result = mail("send", "eve", "tonight", "--wait", "0", stdin="at eight\n.\nübrigens\n")
    assert "waiting for eve" in result.stdout
    message = message_from_bytes(queued(world), policy=policy.default)
    assert message["subject"] == "tonight"
    assert message.get_content() == "at eight\r\n.\r\nübrigens\r\n"
    assert f"Eve E <{EVE_MAIL}>".encode() in queued(world)
    assert f"bob@{world.me.literal}".encode() in queued(world)
    sent = as_json("list", "-f", "Sent")["messages"]
    assert [(one["subject"], one["is_unread"]) for one in sent] == [("tonight", False)]
    assert mail("list", "-f", "Sent").stdout.split("\t")[2] == "eve"
    rows = as_json("queue")["waiting"]
    assert [(one["petname"], one["tries"], one["state"]) for one in rows] == [("eve", 0, "waiting")]


@pytest.mark.parametrize(
    "spelling",
    [
        EVE_MAIL,
        EVE_MAIL.upper().replace("EVE@", "eve@"),
        f'eve@"{EVE_LITERAL}"',
        f"Eve <{EVE_MAIL}>",
        "eve@friend",
    ],
)
def test_every_spelling_of_a_mailbox_will_do(world: DeskWorld, spelling: str) -> None:
    eve(world, "friend")
    mail("send", spelling, "x", "-m", "y", "--wait", "0")
    assert as_json("queue")["waiting"][0]["address"] == format_address(EVE)


def test_an_unknown_name_sends_nothing_and_says_who_may_be_meant(world: DeskWorld) -> None:
    eve(world, "stuart")
    error = mail("send", "stewart", "x", "-m", "y", code=Exit.USAGE).stderr
    assert "nobody is called 'stewart'" in error
    assert "stuart" in error
    error = mail("send", "zzzzz", "x", "-m", "y", code=Exit.USAGE).stderr
    assert "dexmesh contact add" in error
    error = mail("send", f"eve@[{format_address(EVE)}]", "x", "-m", "y", code=Exit.USAGE).stderr
    assert f"eve@{EVE_LITERAL}" in error
    error = mail("send", "stuart", code=Exit.USAGE).stderr
    assert "the subject is missing" in error
    error = mail("send", "stuart", "eve@example.org", "x", "-m", "y", code=Exit.USAGE).stderr
    assert "mail goes to nodes of the mesh" in error
    assert "contact add" not in error
    assert as_json("queue")["waiting"] == []
    assert as_json("list", "-f", "Sent")["messages"] == []


def test_what_nobody_can_mean_is_a_wrong_usage(world: DeskWorld) -> None:
    for words in (("list", "--wait", "nan"), ("send", "bob", "x", "-m", "y", "--wait", "nan")):
        assert "nan is no number of seconds" in mail(*words, code=Exit.USAGE).stderr
    error = mail("send", "", "x", "-m", "y", code=Exit.USAGE).stderr
    assert "that is no recipient" in error
    assert "contact add  ADDRESS" not in error
    assert "of 2000 characters" in mail("send", "x" * 3000, "x", "-m", "", code=1).stderr


def test_a_piped_text_arrives_whole_or_not_at_all(world: DeskWorld) -> None:
    mail("send", "bob", "old", stdin="für\n".encode("latin-1"))
    assert "\nfür\n" in mail("read", "latest").stdout
    error = mail("send", "bob", "x", stdin="x" * 10_000_001, code=Exit.FAILED).stderr
    assert "the text is longer than 10 MB" in error
    assert len(as_json("list")["messages"]) == 1


def test_somebody_who_lives_here_gets_it_at_once(world: DeskWorld) -> None:
    result = mail("send", "bob", "note to self", "-m", "x")
    assert result.stdout == f"delivered to bob@{world.me.literal}\n"
    assert as_json("list")["messages"][0]["subject"] == "note to self"


def test_several_people_copies_and_files(world: DeskWorld, tmp_path: Path) -> None:
    eve(world)
    file = tmp_path / "naïve.png"
    file.write_bytes(bytes(range(256)) * 4000)
    arguments = ("--cc", "bob", "--attach", str(file), "-m", "see", "--wait", "0")
    result = as_json("send", "eve", EVE_MAIL, "picture", *arguments)
    assert [one["state"] for one in result["recipients"]] == ["waiting", "delivered"]
    message = message_from_bytes(queued(world), policy=policy.default)
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "naïve.png"
    assert attached.get_content() == file.read_bytes()
    assert message["cc"] is not None


def test_what_is_too_big_is_refused_in_words(world: DeskWorld, tmp_path: Path) -> None:
    eve(world)
    file = tmp_path / "big"
    file.touch()
    os.truncate(file, 1 << 40)  # nobody reads that first
    error = mail("send", "eve", "x", "-m", "y", "-a", file, code=Exit.FAILED).stderr
    assert "too much for a mail" in error
    assert "1.4 MB fit into one" in error
    os.truncate(file, 1_499_000)  # fits, but not together with its line ends
    error = mail("send", "eve", "x", "-m", "y", "-a", file, code=Exit.FAILED).stderr
    assert "at most 2000000 bytes" in error
    assert as_json("queue")["waiting"] == []
    mail("send", "eve", "x", "-m", "y", "-a", tmp_path / "missing", code=Exit.FAILED)


def test_the_text_may_come_from_an_editor(
    world: DeskWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve(world)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho written >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    mail("send", "eve", "x", "--edit", "--wait", "0")
    assert b"\r\n\r\nwritten\r\n" in queued(world)
    editor.write_text('#!/bin/sh\n: > "$1"\n')
    assert "nothing was sent" in mail("send", "eve", "x", "--edit", code=Exit.FAILED).stderr
    editor.write_text("#!/bin/sh\nexit 3\n")
    assert "the text is in" in mail("send", "eve", "x", "--edit", code=Exit.FAILED).stderr
    assert len(as_json("queue")["waiting"]) == 1


def test_a_reply_goes_to_the_writer_quotes_and_threads(world: DeskWorld) -> None:
    eve(world)
    world.receive(
        b"Subject: dinner\r\nDate: Mon, 6 Jan 2025 10:00:00 +0000\r\nReferences: <0@eve>\r\n\r\n"
        b"at eight?\r\n"
    )
    mail("reply", "latest", "-m", "yes", "--wait", "0")
    message = message_from_bytes(queued(world), policy=policy.default)
    assert message["subject"] == "Re: dinner"
    assert message["in-reply-to"] == "<1@eve>"
    assert message["references"].split() == ["<0@eve>", "<1@eve>"]
    assert message.get_content().replace("\r\n", "\n") == (
        "On Mon, 6 Jan 2025 10:00:00 +0000, eve wrote:\n> at eight?\n\nyes\n"
    )
    assert mail("list").stdout.split("\t")[0] == "r"


def test_a_reply_goes_where_reply_to_says_and_to_all_but_oneself(world: DeskWorld) -> None:
    other = "zoe@[IPv6:fc00::7]"
    world.receive(
        f"Subject: x\r\nReply-To: {other}\r\nCc: {EVE_MAIL}, bob@{world.me.literal}\r\n\r\nx".encode()
    )
    result = as_json("reply", "1", "--all", "-m", "y", "--no-quote", "--wait", "0")
    assert [one["mailbox"] for one in result["recipients"]] == [other, EVE_MAIL]


def test_forwarding_takes_text_and_files_along(world: DeskWorld) -> None:
    eve(world)
    world.receive(MIXED)
    mail("forward", "1", "eve", "-m", "look", "--wait", "0")
    message = message_from_bytes(queued(world), policy=policy.default)
    assert message["subject"] == "Fwd: files"
    body = message.get_body()
    assert body is not None
    assert "Forwarded message" in body.get_content()
    assert [one.get_filename() for one in message.iter_attachments()] == ["evil.sh", "evil.sh"]
    assert mail("list").stdout.split("\t")[0] == "f"


def test_nobody_writes_as_somebody_else(world: DeskWorld) -> None:
    eve(world)
    for author in (f"alice@{world.me.literal}", EVE_MAIL, "bob@example.org", ""):
        with world.client() as client:
            data = f"From: {author}\r\nSubject: x\r\n\r\nx\r\n".encode()
            token = client.call("mail.upload", data=base64.b64encode(data).decode())["upload"]
            with pytest.raises(MailError):
                client.call("mail.submit", upload=token, to=["eve"])
    assert as_json("queue")["waiting"] == []


# The queue


def test_the_queue_says_why_and_mail_can_be_tried_or_taken_out(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    world.fail_delivery(judge(451, "4.7.1 come back later"))
    row = mail("queue").stdout.strip().split("\t")
    assert row[1] == "eve"
    assert row[3] == "1"
    assert "come back later" in row[4]
    assert row[5].startswith("in ")
    assert "1 mail for 1 node" in mail("retry", row[0]).stdout
    assert mail("queue").stdout.strip().split("\t")[5] == "now"
    assert "1 mail for 1 node" in mail("retry", "all").stdout
    assert "1 recipient will not get it" in mail("cancel", row[0]).stdout
    assert "nothing waits" in mail("queue").stderr
    assert "no mail 99 waits" in mail("retry", "99", code=Exit.FAILED).stderr
    mail("cancel", "x", code=Exit.FAILED)
    assert "nothing waits" in mail("cancel", "all").stderr


def test_texts_wait_in_the_same_queue_and_are_tried_or_taken_out_there(
    world: DeskWorld,
) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    texts = [world.do(world.desk.queue.texts.add(_text(body))) for body in ("hi", "ho", "hü")]
    assert texts == [1, 2, 3]
    first, *_ = [line.split("\t") for line in mail("queue").stdout.splitlines()]
    assert first[:2] == ["t1", "eve"]  # it waits for longer
    assert first[4] == "the phone does not run here, and texts go out by it"
    carrier = FakeCarrier(lambda _text: Carried(Fate.LATER))
    world.desk.texts.take_carrier(carrier)
    world.do(world.desk.queue.texts.put_off(EVE, "no answer", 500.0))
    shown = mail("queue")
    first, *_, last = [line.split("\t") for line in shown.stdout.splitlines()]
    assert (first[0], first[3], first[4]) == ("t1", "1", "no answer")
    assert first[5].startswith("in ")
    assert last[0] == "1"
    assert "`dexmesh texts --as-mail t1` sends it as a mail" in shown.stderr
    rows = as_json("queue")["waiting"]
    assert [(one["kind"], one["id"]) for one in rows] == [
        ("text", "t1"), ("text", "t2"), ("text", "t3"), ("mail", 1),
    ]  # fmt: skip
    assert rows[2]["text"] == "hü"
    assert (rows[2]["size"], rows[2]["to"]) == (3, f"eve@[{format_address(EVE)}]")
    assert "1 text for 1 node" in mail("retry", "T2").stdout
    assert as_json("queue")["waiting"][1]["next_unix"] <= time.time()
    assert "1 mail and 3 texts for 1 node" in mail("retry", "all").stdout
    assert as_json("cancel", "t2") == {"recipients": 0, "texts": 1}
    assert carrier.taken_back == ["ho"]
    assert "no text t2 waits" in mail("cancel", "t2", code=Exit.FAILED).stderr
    mail("retry", "t1", "--user", "alice", code=Exit.FAILED)
    mail("cancel", "t1", "--user", "alice", code=Exit.FAILED)
    assert "1 recipient will not get it, 2 texts will not be sent" in mail("cancel", "all").stdout
    assert as_json("queue")["waiting"] == []


def test_a_command_without_an_id_takes_nothing_out(world: DeskWorld) -> None:
    world.do(world.desk.queue.texts.add(_text("hi")))
    with world.client() as client, pytest.raises(AppError, match="'id'"):
        client.call("mail.cancel")
    mail("cancel", "tt1", code=Exit.FAILED)
    assert len(as_json("queue")["waiting"]) == 1


def _text(body: str) -> QueuedText:
    return QueuedText(0, "bob", EVE, f"sip:eve@[{format_address(EVE)}]", body, f"id-{body}", 1000.0)


def test_the_first_try_is_told_while_it_goes_on(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    assert mail("queue").stdout.rstrip("\n").split("\t")[4:] == ["not tried yet", "now"]
    world.called.add(EVE)
    assert mail("queue").stdout.rstrip("\n").split("\t")[4:] == ["no answer yet", "trying now"]
    assert as_json("queue")["waiting"][0]["is_tried"] is True


def test_a_finding_of_our_own_is_told_without_its_status_code(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    world.fail_delivery(unreachable("no mail server answers there"))
    assert mail("queue").stdout.split("\t")[4] == "no mail server answers there"
    world.fail_delivery(judge(451, "4.7.1 come back later"), retry=True)
    assert mail("queue").stdout.split("\t")[4] == "451 4.7.1 come back later"


def test_the_queue_says_what_is_known_of_the_way_there_and_back(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    world.desk.reach.reports.clear()
    deadline = time.monotonic() + 20
    while not as_json("queue")["reach"][0]["sentences"] and time.monotonic() < deadline:
        time.sleep(0.05)
    (node,) = as_json("queue")["reach"]
    assert (node["name"], node["theirs"], node["ours"]) == ("eve", "unreachable", "deaf")
    said = mail("queue").stderr
    assert "eve, looked at" in said
    assert "This node knows no way to eve's node now." in said
    assert "Nobody listens on our port 25, so eve cannot answer" in said


def test_the_queue_of_doctor_calls_nobody(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    world.desk.reach.reports.clear()
    with world.client() as client:
        (node,) = client.call("mail.queue")["reach"]
    assert node["sentences"] == []
    assert world.desk.reach.reports == {}


def test_sending_says_at_once_what_is_known_of_the_way_there_and_back(world: DeskWorld) -> None:
    eve(world)
    result = mail("send", "eve", "x", "-m", "y", "--wait", "1.5")
    assert "waiting for eve" in result.stdout
    assert "This node knows no way to eve's node now." in result.stderr
    assert "so eve cannot answer" in result.stderr
    (fate,) = as_json("send", "eve", "x", "-m", "y", "--wait", "0")["recipients"]
    assert fate["reach"]["theirs"] == "unreachable"


@pytest.mark.parametrize(
    ("ours", "is_told"), [(Ours.BLOCKED, True), (Ours.UNPROVEN, False), (Ours.HEARD, False)]
)
def test_a_mail_that_got_there_says_only_that_no_answer_can_come_back(
    world: DeskWorld, ours: Ours, is_told: bool
) -> None:
    eve(world)
    report = ReachReport(EVE, Port.ANSWERS, ours, called_back=Port.SILENT, unix_time=time.time())
    world.desk.reach.reports[EVE] = report
    with world.delivering(judge(250, "2.0.0 thanks")):
        result = mail("send", "eve", "x", "-m", "y", "--wait", "20")
    assert result.stdout == "delivered to eve\n"
    assert ("eve cannot answer: its call to our port 25" in result.stderr) is is_told
    assert "mail gets there" not in result.stderr


def test_a_long_queue_does_not_make_a_mail_that_waits_a_delivered_one(world: DeskWorld) -> None:
    eve(world)
    crowd = [f"eve{number}@{EVE_LITERAL}" for number in range(100)]
    with world.client() as client:
        for _ in range(11):
            client.call("mail.send", to=crowd, subject="x", text="y")
    assert "waiting for eve" in mail("send", "eve", "x", "-m", "y", "--wait", "0").stdout
    assert "12 mails for 1 node" in mail("retry", "all").stdout
    assert "1101 recipients will not get it" in mail("cancel", "all").stdout
    assert as_json("queue")["waiting"] == []


def test_others_mail_is_not_seen_unless_asked_for_all(world: DeskWorld) -> None:
    eve(world)
    mail("send", "eve", "x", "-m", "y", "--wait", "0")
    assert as_json("queue", "--user", "alice")["waiting"] == []
    assert len(as_json("queue", "--user", "alice", "--everybody")["waiting"]) == 1
    (row,) = as_json("queue")["waiting"]
    mail("cancel", str(row["id"]), "--user", "alice", code=Exit.FAILED)
    assert len(as_json("queue")["waiting"]) == 1


def test_a_mail_that_is_refused_at_once_ends_with_a_failure(world: DeskWorld) -> None:
    eve(world)
    with world.delivering(judge(550, "5.1.1 nobody here")):
        result = mail("send", "eve", "x", "-m", "y", "--wait", "20", code=Exit.FAILED)
    assert "not delivered to eve" in result.stdout
    assert "nobody here" in result.stdout


def test_each_of_several_people_has_his_own_fate(world: DeskWorld) -> None:
    eve(world)
    people = [EVE_MAIL, f"zoe@{EVE_LITERAL}", f"ann@{EVE_LITERAL}"]

    def deliver() -> None:
        while not (rows := world.do(world.desk.queue.list())):
            time.sleep(0.05)
        fates = (judge(250, "ok"), unreachable("the node does not answer"), judge(250, "ok"))
        body = f"Subject: failed\r\n\r\n{_failure(people[2])}".replace("\n", "\r\n")
        world.receive(body.encode(), remote=None, message_id=f"<report-{rows[0].id}-1@x>")
        world.fail_delivery(*fates)

    thread = threading.Thread(target=deliver)
    thread.start()
    told = as_json("send", *people, "x", "-m", "y", "--wait", "20", code=Exit.FAILED)["recipients"]
    thread.join()
    assert [(one["state"], one["reason"]) for one in told] == [
        ("delivered", ""),
        ("waiting", "4.4.1 the node does not answer"),
        ("failed", "550 5.1.1 nobody here"),
    ]


# Strangers


def test_a_stranger_is_shown_accepted_and_becomes_a_contact(world: DeskWorld) -> None:
    world.receive(b"Subject: hi\r\n\r\nit is\n me\r\n", folder=Folder.REQUESTS)
    world.receive(b"Subject: hi again\r\n\r\nwell?\r\n", folder=Folder.REQUESTS)
    shown = mail("requests").stdout
    assert f"2  Eve E <{EVE_MAIL}>" in shown
    assert "2 mails" in shown
    assert "well?" in shown
    result = mail("accept", "2")
    assert "eve-e" in result.stdout
    assert "2 mails moved to INBOX" in result.stdout
    assert "his port 25 answers" in result.stderr
    assert world.book.petname_of(EVE) == "eve-e"
    assert [one["petname"] for one in as_json("list")["messages"]] == ["eve-e", "eve-e"]
    assert "nobody waits" in mail("requests").stderr


@pytest.mark.parametrize(
    "who", ["", "latest", "1", "Requests/1", EVE_MAIL, format_address(EVE), "eve"]
)
def test_a_stranger_may_be_named_in_any_way(world: DeskWorld, who: str) -> None:
    world.receive(folder=Folder.REQUESTS)
    told = as_json("accept", *([who] if who else []), "--name", "bobby")
    assert (told["petname"], told["moved"], told["is_new"]) == ("bobby", 1, True)


def test_a_taken_petname_gets_a_number_and_a_bad_one_is_refused(world: DeskWorld) -> None:
    world.book.add(Contact("eve-e", "", (Mailbox("x", "[IPv6:fc00::9]"),)))
    world.receive(folder=Folder.REQUESTS)
    mail("accept", "1", "--name", "Not A Name", code=Exit.FAILED)
    mail("accept", "1", "--name", "eve-e", code=Exit.FAILED)
    assert as_json("accept", "1")["petname"] == "eve-e-2"


def test_a_stranger_is_who_his_node_is_not_who_he_says(world: DeskWorld) -> None:
    world.receive(author=f"Bob <bob@{world.me.literal}>", differs=True, folder=Folder.REQUESTS)
    assert f"1  {EVE_MAIL}" in mail("requests").stdout
    assert as_json("accept", "1", "--name", "eve")["mailbox"] == EVE_MAIL
    assert world.book.get("bob") is None


def test_who_answers_an_invitation_brings_his_key(world: DeskWorld) -> None:
    there = address_of(KEY_B)
    value = encode_invitation(Invitation(KEY_B, "stu", full_name="Stuart C"))
    literal = f"[IPv6:{format_address(there)}]"
    world.receive(
        f"{HEADER}: {value}\r\nSubject: accepted\r\n\r\nx".encode(),
        remote=there,
        sender=f"stu@{literal}",
        author=f"stu@{literal}",
        folder=Folder.REQUESTS,
    )
    assert "says that you invited him" in mail("requests").stdout  # his word, which we cannot check
    assert as_json("accept")["petname"] == "stu"
    contact = world.book.get("stu")
    assert contact is not None
    assert contact.keys == (KEY_B,)
    assert contact.full_name == "Stuart C"
    assert not contact.is_verified  # it proves the key, not the person


def test_an_invitation_of_another_node_counts_for_nothing(world: DeskWorld) -> None:
    value = encode_invitation(Invitation(KEY_B, "stu"))
    world.receive(f"{HEADER}: {value}\r\nSubject: x\r\n\r\nx".encode(), folder=Folder.REQUESTS)
    assert "invitation" not in mail("requests").stdout
    as_json("accept", "1")
    assert world.book.by_address(address_of(KEY_B)) == ()


def test_blocking_refuses_a_node_and_clears_requests(world: DeskWorld) -> None:
    world.receive(folder=Folder.REQUESTS)
    assert "is blocked" in mail("block", "1").stdout
    assert world.desk.store.is_blocked(EVE)
    assert "nobody waits" in mail("requests").stderr
    assert mail("blocked").stdout.split("\t")[0].strip() == format_address(EVE)
    assert "may write again" in mail("unblock", EVE_MAIL).stdout
    assert not world.desk.store.is_blocked(EVE)
    assert "not blocked" in mail("unblock", EVE_MAIL, code=Exit.FAILED).stderr
    assert "nobody we know" in mail("block", "nobody", code=Exit.FAILED).stderr
    mail("block", world.me.literal, code=Exit.FAILED)
    eve(world)
    mail("block", "eve")
    assert "nobody is blocked" not in mail("blocked").stderr


def test_accepting_nobody_is_explained(world: DeskWorld) -> None:
    assert "nobody waits" in mail("accept", code=Exit.FAILED).stderr
    world.receive(folder=Folder.REQUESTS)
    world.receive(remote=address_of(KEY_B), sender="x@x.k", author="x@x.k", folder=Folder.REQUESTS)
    assert "several people wait" in mail("accept", code=Exit.FAILED).stderr
    assert "no request 99" in mail("accept", "99", code=Exit.FAILED).stderr
    assert "is not among those who wait" in mail("accept", "zoe", code=Exit.FAILED).stderr


# Without the service


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",), ("read", "1"), ("folders",), ("move", "1", "Trash"), ("delete", "1"),
        ("send", "eve", "x", "-m", "y"), ("reply", "1", "-m", "y"), ("forward", "1", "eve", "-m", ""),
        ("requests",), ("accept", "1"), ("block", "1"), ("unblock", "1"), ("blocked",),
        ("queue",), ("retry", "all"), ("cancel", "1"),
    ],
)  # fmt: skip
def test_without_the_service_it_is_said_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    error = mail(*arguments, code=Exit.NO_NODE).stderr
    assert "dexmesh mail on" in error
    assert "dexmesh up" in error
    assert "Example:" in mail(arguments[0], "--help").stdout


def test_another_account_of_this_machine_sees_nothing(world: DeskWorld) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    world.receive()
    world.home.path.chmod(0o711)
    for folder in world.home.path.parents:
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(65534)
            with world.client("bob") as client:
                client.call("mail.list")
        except PermissionNeededError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
