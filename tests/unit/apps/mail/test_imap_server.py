"""IMAP as mail programs speak it, against the real server on loopback."""

from __future__ import annotations

import base64
import hashlib
import imaplib
import mailbox
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dexmesh.apps.mail.imap.mbox import MboxFolder
from tests.unit.apps.mail.imap_world import MESSAGE, PASSWORD, ImapWorld, fetched, ok


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ImapWorld]:
    world = ImapWorld(tmp_path)
    yield world
    world.close()


def uids(imap: imaplib.IMAP4, *criteria: str) -> list[bytes]:
    found: list[bytes] = ok(imap.uid("SEARCH", *(criteria or ("ALL",))))[0].split()
    return found


def test_a_session_as_thunderbird_holds_it(world: ImapWorld) -> None:
    world.deliver("1.M1P1.h")
    imap = world.client(None, starts_tls=True)
    assert "STARTTLS" not in imap.capabilities
    ok(imap.login("bob", PASSWORD))
    capabilities = ok(imap.capability())[0].split()
    assert {b"IDLE", b"UIDPLUS", b"MOVE", b"SPECIAL-USE", b"LITERAL+"} <= set(capabilities)
    listed = b"\n".join(ok(imap.list()))
    for name, attribute in (("Sent", "Sent"), ("Drafts", "Drafts"), ("Trash", "Trash")):
        assert re.search(rb"\\%b\b.* %b" % (attribute.encode(), name.encode()), listed)
    subscribed = b"\n".join(ok(imap.lsub()))
    for shown in (b"INBOX", b"Requests", b"Sent", b"Drafts", b"Trash"):
        assert shown in listed
        assert shown in subscribed
    assert ok(imap.select("INBOX")) == [b"1"]
    answer = ok(imap.uid("FETCH", "1:*", "(FLAGS)"))
    assert answer == [b"1 (FLAGS (\\Recent) UID 1)"] or b"UID 1" in answer[0]
    header = fetched(
        imap.uid("FETCH", "1", "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From Subject)])")
    )
    assert header == b"From: eve@[IPv6:fc00::1]\r\nSubject: hello\r\n\r\n"
    assert fetched(imap.uid("FETCH", "1", "(UID RFC822.SIZE BODY.PEEK[])")) == MESSAGE
    assert uids(imap, "UNSEEN") == [b"1"]
    sent = ok(imap.append("Sent", "(\\Seen)", "", MESSAGE))[0]
    assert re.search(rb"APPENDUID \d+ 1", sent)
    ok(imap.uid("STORE", "1", "+FLAGS", "(\\Seen \\Flagged $label1)"))
    assert uids(imap, "SEEN", "FLAGGED", "KEYWORD", "$label1") == [b"1"]
    ok(imap.uid("MOVE", "1", "Trash"))
    assert uids(imap) == []
    ok(imap.select("Trash"))
    assert b"$label1" in ok(imap.uid("FETCH", "1", "(FLAGS)"))[0]
    ok(imap.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)"))
    assert ok(imap.expunge()) == [b"1"]
    assert ok(imap.select("Sent")) == [b"1"]
    ok(imap.close())
    assert imap.logout()[0] == "BYE"


def test_idle_wakes_up_when_mail_is_delivered(world: ImapWorld) -> None:
    world.deliver("1.M1P1.h")
    imap = world.client()
    ok(imap.select())
    imap.send(b"x IDLE\r\n")
    assert imap.readline().startswith(b"+")
    time.sleep(0.5)
    began = time.monotonic()
    world.deliver("2.M1P1.h")
    assert imap.readline() == b"* 2 EXISTS\r\n"
    assert time.monotonic() - began < 20  # not with the next NOOP
    imap.send(b"DONE\r\n")
    while not (line := imap.readline()).startswith(b"x "):
        assert line
    assert line.startswith(b"x OK")
    assert uids(imap) == [b"1", b"2"]


def test_two_clients_see_what_the_other_does(world: ImapWorld) -> None:
    for number in range(3):
        world.deliver(f"{number}.M1P1.h")
    one, two = world.client(), world.client()
    ok(one.select())
    ok(two.select())
    ok(one.uid("STORE", "2", "+FLAGS", "(\\Answered)"))
    ok(two.noop())
    assert any(b"\\Answered" in line for line in two.untagged_responses["FETCH"])
    ok(one.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
    ok(one.expunge())
    ok(two.noop())
    assert two.untagged_responses["EXPUNGE"] == [b"1"]
    assert uids(two) == [b"2", b"3"]


def test_uids_and_validity_last_over_a_restart(world: ImapWorld, tmp_path: Path) -> None:
    world.deliver("1.M1P1.h")
    imap = world.client()
    ok(imap.select())
    validity = imap.untagged_responses["UIDVALIDITY"]
    ok(imap.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
    ok(imap.expunge())
    world.close()
    again = ImapWorld(tmp_path)
    try:
        again.deliver("2.M1P1.h")
        imap = again.client()
        ok(imap.select())
        assert imap.untagged_responses["UIDVALIDITY"] == validity
        assert uids(imap) == [b"2"]
    finally:
        again.close()
        world.__init__(tmp_path)  # type: ignore[misc] # the fixture closes it


def test_25_megabytes_go_in_and_come_out_bit_for_bit(world: ImapWorld) -> None:
    content = hashlib.sha256(b"seed").digest() * (25 * 1024 * 1024 // 32)
    head = b"Subject: big\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = head + base64.encodebytes(content).replace(b"\n", b"\r\n")
    imap = world.client(starts_tls=True)
    ok(imap.append("Drafts", "", "", message))
    ok(imap.select("Drafts"))
    assert fetched(imap.fetch("1", "(BODY.PEEK[])")) == message
    assert b"RFC822.SIZE %d" % len(message) in ok(imap.fetch("1", "(RFC822.SIZE)"))[0]
    pieces = []
    for start in range(0, len(message), 5_000_000):
        pieces.append(fetched(imap.fetch("1", f"(BODY.PEEK[]<{start}.5000000>)")))
    assert b"".join(pieces) == message
    assert fetched(imap.fetch("1", "(BODY.PEEK[HEADER])")) == head


def test_a_message_that_is_too_large_or_has_no_room_is_refused(world: ImapWorld) -> None:
    imap = world.client()
    world.room = 10
    answer = imap.append("Sent", "", "", MESSAGE)
    assert answer[0] == "NO"
    assert b"OVERQUOTA" in answer[1][0]
    world.room = 1 << 40
    with pytest.raises(imaplib.IMAP4.error):
        imap.append("Sent", "", "", b"x" * 36_700_161)


def test_folders_are_made_renamed_and_deleted_but_not_the_standing_ones(world: ImapWorld) -> None:
    imap = world.client()
    ok(imap.create("Archives/2024"))
    ok(imap.create('"B&APw-cher"'))
    assert (world.users / "bob" / "Maildir" / ".Archives.2024" / "cur").is_dir()
    assert b"B&APw-cher" in b"".join(ok(imap.list()))
    ok(imap.subscribe("Archives/2024"))
    ok(imap.unsubscribe("Requests"))
    assert b"Requests" not in b"".join(ok(imap.lsub()))
    ok(imap.append("Archives/2024", "", "", MESSAGE))
    ok(imap.rename("Archives/2024", "Old"))
    ok(imap.select("Old"))
    assert uids(imap) == [b"1"]
    ok(imap.select("INBOX"))
    ok(imap.delete("Old"))
    assert imap.select("Old")[0] == "NO"
    for name in ("Sent", "INBOX"):
        assert imap.delete(name)[0] == "NO"
        assert imap.create(name)[0] == "NO"
    for name in ("../x", "a/../b", ".", "a..b", '""', "a/", "x" * 300, "INBOX/a"):
        assert imap.create(name)[0] == "NO", name
    assert imap.select("../../alice/Maildir")[0] == "NO"
    assert sorted(path.name for path in (world.users / "bob").iterdir()) == ["Maildir"]


def test_nobody_gets_in_with_a_wrong_password_or_sees_others_mail(world: ImapWorld) -> None:
    world.deliver("1.M1P1.h", user="alice")
    imap = world.client(None)
    for user, password in (("bob", "x"), ("eve", PASSWORD), ("../alice", PASSWORD), ("", "")):
        with pytest.raises(imaplib.IMAP4.error):
            imap.login(user, password)
    with pytest.raises(imaplib.IMAP4.error):
        imap.authenticate("PLAIN", lambda _: b"alice\0bob\0" + PASSWORD.encode())
    imap.authenticate("PLAIN", lambda _: b"\0bob\0" + PASSWORD.encode())
    assert ok(imap.select()) == [b"0"]


def test_search_reads_decoded_text_and_literals_in_addresses(world: ImapWorld) -> None:
    world.deliver(
        "1.M1P1.h",
        b'From: Zo\xc3\xab <zoe@[IPv6:fc00::7]>\r\nTo: bob@"[IPv6:fc00::2]"\r\n'
        b"Subject: =?utf-8?b?Z3LDvMOfZQ==?=\r\nDate: Mon, 6 Jan 2025 10:00:00 +0000\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"hidden treasure"),
    )
    world.deliver("2.M1P1.h")
    imap = world.client()
    ok(imap.select())
    for criteria in (
        ("BODY", "TREASURE"),
        ("FROM", "fc00::7"),
        ("SENTSINCE", "1-Jan-2025", "SENTBEFORE", "1-Feb-2025"),
        ("NOT", "SUBJECT", "hello"),
        ("OR", "TEXT", "hidden", "HEADER", "X-No", "x"),
        ("LARGER", "150"),
        ("1",),
    ):
        assert uids(imap, *criteria) == [b"1"], criteria
    assert uids(imap, "SMALLER", "150") == [b"2"]


def test_envelope_and_structure_are_those_of_the_message(world: ImapWorld) -> None:
    world.deliver(
        "1.M1P1.h",
        b'From: "A \\"q\\" B" <alice@[IPv6:fc00::7]>\r\nTo: bob@"[IPv6:fc00::2]", x@y.k\r\n'
        b"Subject: =?utf-8?q?a=C3=BC?=\r\nMessage-ID: <1@x>\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nhello\r\n\r\n--b\r\n'
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninside\r\n\r\n--b\r\n"
        b'Content-Type: image/png; name="a.png"\r\nContent-Transfer-Encoding: base64\r\n'
        b"Content-Disposition: attachment; filename*=utf-8''%C3%BC.png\r\n\r\nAAAA\r\n--b--\r\n",
    )
    imap = world.client()
    ok(imap.select())
    envelope = ok(imap.fetch("1", "(ENVELOPE)"))[0]
    assert b'(("A \\"q\\" B" NIL "alice" "[IPv6:fc00::7]"))' in envelope
    assert b'((NIL NIL "bob" "[IPv6:fc00::2]")(NIL NIL "x" "y.k"))' in envelope
    structure = ok(imap.fetch("1", "(BODYSTRUCTURE)"))[0]
    assert b'("text" "plain" NIL NIL NIL "7bit" 7 1 NIL NIL NIL NIL)' in structure
    assert b'("message" "rfc822" NIL NIL NIL "7bit"' in structure
    assert b'("attachment" ("filename" "=?utf-8?b?w7wucG5n?="))' in structure
    assert b'"mixed" ("boundary" "b")' in structure
    assert fetched(imap.fetch("1", "(BODY.PEEK[1])")) == b"hello\r\n"
    assert fetched(imap.fetch("1", "(BODY.PEEK[2.HEADER])")) == b"Subject: inner\r\n\r\n"
    assert fetched(imap.fetch("1", "(BODY.PEEK[2.1])")) == b"inside\r\n"
    assert fetched(imap.fetch("1", "(BODY.PEEK[2.TEXT])")) == b"inside\r\n"
    assert fetched(imap.fetch("1", "(BODY.PEEK[3])")) == b"AAAA"
    assert b"filename" in fetched(imap.fetch("1", "(BODY.PEEK[3.MIME])"))
    for missing in ("4", "1.1", "3.HEADER", "2.2"):
        assert b"NIL" in ok(imap.fetch("1", f"(BODY.PEEK[{missing}])"))[0]


HOSTILE = (
    b"",
    b"\r\n",
    b"no header at all",
    b"From: " + b"(" * 5000 + b"\r\n\r\nx",
    b"From: a@[IPv6:\r\nTo: <<<>>>,,;:@\r\nSubject: \x00\xff\x01\r\nDate: never\r\n\r\n\x00",
    b"Content-Type: multipart/mixed\r\n\r\nno boundary",
    b"Content-Type: multipart/mixed; boundary=\r\n\r\n----",
    b"Content-Type: message/rfc822\r\n" * 200 + b"\r\n",
    b'Content-Type: text/plain; charset=\x80; x="\r\n\r\n',
    b"Content-Type: ///;;;===\r\nContent-Transfer-Encoding: \xff\r\n\r\n",
    b"Subject: " + b"=?utf-8?b?" * 3000 + b"\r\n\r\n",
    b"A: b\r\n" * 100_000 + b"\r\n",
)


def test_no_message_of_a_stranger_keeps_the_folder_from_being_read(world: ImapWorld) -> None:
    for number, data in enumerate(HOSTILE):
        world.deliver(f"{number}.M1P1.h", data)
    imap = world.client()
    assert ok(imap.select()) == [b"%d" % len(HOSTILE)]
    asked = "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[HEADER.FIELDS (From)])"
    for number in range(1, len(HOSTILE) + 1):
        ok(imap.fetch(str(number), asked))
        ok(
            imap.fetch(
                str(number), "(BODY.PEEK[] BODY.PEEK[1] BODY.PEEK[TEXT] BODY.PEEK[1.1.MIME])"
            )
        )
    for criteria in (("TEXT", "x"), ("FROM", "a"), ("SENTON", "1-Jan-2025"), ("SUBJECT", "z")):
        uids(imap, *criteria)


JUNK = (
    b"\r\n" * 10,
    b"\0" * 1000 + b"\r\n",
    b"a" * 300_000,
    b"a LOGIN {99999999999+}\r\n",
    b"a LOGIN {5000000+}\r\nxxx",
    b"a LOGIN {999999999}\r\n",
    b"a SEARCH " + b"(" * 100_000 + b"\r\n",
    b"a AUTHENTICATE PLAIN\r\n!!!!\r\n",
    b"a AUTHENTICATE PLAIN\r\n*\r\n",
    b"a IDLE\r\nb IDLE\r\n",
    b"DONE\r\n" * 20,
    b"a STARTTLS\r\nb LOGIN bob correct\r\n",
    b"\x16\x03\x01" + b"junk" * 100,
)


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_ends_one_connection_and_no_more(world: ImapWorld, junk: bytes) -> None:
    with world.raw() as sock:
        sock.settimeout(10)
        try:
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionError:
            answer = b""
    assert b"LOGIN completed" not in answer
    assert b"Authentication successful" not in answer
    ok(world.client().noop())


AFTER_LOGIN = (
    b"a FETCH 1:4294967295 (FLAGS)\r\n",
    b"a SELECT INBOX\r\nb UID FETCH 1:*,1:*,99999999999999:* (FLAGS)\r\n",
    b"a SELECT INBOX\r\nb SEARCH " + b"NOT " * 50_000 + b"ALL\r\n",
    b"a SELECT INBOX\r\nb SEARCH " + b"(" * 50_000 + b"\r\n",
    b"a SELECT INBOX\r\nb SEARCH OR OR OR\r\n",
    b"a SELECT INBOX\r\nb FETCH 1 (BODY[99999999999.1] BODY[]<5.0> BINARY[1])\r\n",
    b"a APPEND Sent {99999999999+}\r\n",
    b"a APPEND Sent (\\Bad{ {3+}\r\nabc\r\n",
    b'a LIST "" "' + b"%*" * 5000 + b'"\r\n',
    b'a SELECT "&####-"\r\nb SELECT {3+}\r\n\xff\xff\xff\r\n',
    b"a UID MOVE 1:* INBOX\r\na STATUS INBOX (MESSAGES UIDNEXT)\r\n",
    b"a CREATE {5+}\r\na\r\nb\r\n\r\n",
)


@pytest.mark.parametrize("junk", AFTER_LOGIN, ids=range(len(AFTER_LOGIN)))
def test_junk_of_a_user_does_no_harm_either(world: ImapWorld, junk: bytes) -> None:
    world.deliver("1.M1P1.h")
    with world.raw() as sock:
        sock.settimeout(20)
        sock.sendall(b"l LOGIN bob correct\r\n" + junk)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"l OK" in answer
    imap = world.client()
    ok(imap.select())
    assert fetched(imap.fetch("1", "(BODY.PEEK[])")) == MESSAGE


def test_plain_text_after_starttls_counts_for_nothing(world: ImapWorld) -> None:
    with world.raw() as sock:
        sock.sendall(b"a STARTTLS\r\nb LOGIN bob correct\r\nc SELECT INBOX\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"b OK" not in answer
    assert b"c OK" not in answer


def test_ten_clients_at_once_append_read_and_search(world: ImapWorld) -> None:
    for number in range(200):
        world.deliver(f"{number}.M1P1.h")

    def work(number: int) -> int:
        imap = world.client(starts_tls=number % 2 == 0)
        ok(imap.select())
        for _ in range(5):
            ok(imap.append("Sent", "", "", MESSAGE * 100))
        ok(imap.uid("STORE", f"{number + 1}", "+FLAGS", "(\\Flagged)"))
        assert len(ok(imap.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER])"))) >= 200
        return len(uids(imap, "SUBJECT", "hello"))

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(work, range(10))) == [200] * 10
    imap = world.client()
    ok(imap.select())
    assert len(uids(imap, "FLAGGED")) == 10
    assert ok(imap.select("Sent")) == [b"50"]


def test_a_client_too_many_is_told_so_and_a_place_that_is_left_is_free(
    world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexmesh.apps.mail.imap.server.MAX_CLIENTS", 3)
    clients = [world.raw() for _ in range(3)]
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as late:
        assert late.recv(4096).startswith(b"* BYE")
    for one in clients:
        one.close()
    time.sleep(0.3)
    ok(world.client().noop())


def test_flags_of_ten_thousand_messages_are_fetched_in_seconds(world: ImapWorld) -> None:
    world.deliver("0.M1P1.h")
    new = world.users / "bob" / "Maildir" / "new"
    for number in range(1, 10_000):
        (new / f"{number}.M1P1.h").write_bytes(MESSAGE)
    imap = world.client()
    began = time.monotonic()
    assert ok(imap.select()) == [b"10000"]
    assert len(ok(imap.uid("FETCH", "1:*", "(FLAGS)"))) == 10_000
    ok(imap.noop())
    assert time.monotonic() - began < 15


def _mbox(count: int) -> bytes:
    return b"".join(
        b"From eve@x Mon Jan  6 10:00:%02d 2025\nSubject: mail %d\n\nFrom me\nto you\n\n"
        % (number % 60, number)
        for number in range(count)
    ).replace(b"\nFrom me", b"\n>From me")


def test_an_inbox_that_is_an_mbox_is_read_flagged_and_emptied(world: ImapWorld) -> None:
    world.mbox.write_bytes(_mbox(3))
    imap = world.client("carl")
    assert ok(imap.select()) == [b"3"]
    assert b"\\*" not in imap.untagged_responses["PERMANENTFLAGS"][0]  # no keywords there
    assert fetched(imap.uid("FETCH", "2", "(BODY[])")).startswith(b"Subject: mail 1\r\n\r\n")
    ok(imap.uid("STORE", "1:3", "+FLAGS", "(\\Flagged)"))
    ok(imap.noop())
    flags = [one.get_flags() for one in mailbox.mbox(world.mbox)]
    assert flags == ["OF", "ROF", "OF"]
    ok(imap.uid("COPY", "2", "Trash"))
    ok(imap.uid("STORE", "2", "+FLAGS", "(\\Deleted)"))
    ok(imap.expunge())
    assert uids(imap) == [b"1", b"3"]
    assert [one["subject"] for one in mailbox.mbox(world.mbox)] == ["mail 0", "mail 2"]
    ok(imap.append("INBOX", "(\\Seen)", "", MESSAGE))
    assert uids(imap, "SUBJECT", "hello") == [b"4"]
    assert len(mailbox.mbox(world.mbox)) == 3
    imap.logout()
    again = world.client("carl")
    ok(again.select("Trash"))
    assert uids(again, "SUBJECT", "mail 1") == [b"1"]
    ok(again.select())
    assert uids(again, "SEEN") == [b"4"]


def test_mail_that_is_delivered_into_an_mbox_is_told_to_who_idles(world: ImapWorld) -> None:
    with world.raw() as sock:
        sock.sendall(b"a LOGIN carl correct\r\nb SELECT INBOX\r\nc IDLE\r\n")
        said = b""
        while b"+ " not in said:
            said += sock.recv(65536)
        world.mbox.write_bytes(_mbox(1))
        while b"1 EXISTS" not in said:
            said += sock.recv(65536)


def test_a_thousand_flags_of_an_mbox_are_one_change_of_the_file(
    world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mbox.write_bytes(_mbox(1000))
    written = []
    finish = MboxFolder._finish

    def noted(folder: MboxFolder, descriptor: int) -> None:
        written.append(descriptor)
        finish(folder, descriptor)

    monkeypatch.setattr(MboxFolder, "_finish", noted)
    imap = world.client("carl")
    ok(imap.select())
    ok(imap.uid("STORE", "1:*", "+FLAGS.SILENT", "(\\Seen)"))
    ok(imap.noop())
    assert len(written) == 1
    assert len(uids(imap, "SEEN")) == 1000


def test_what_a_client_changed_before_it_was_cut_off_is_written(world: ImapWorld) -> None:
    world.mbox.write_bytes(_mbox(1))
    with world.raw() as sock:
        sock.sendall(b"a LOGIN carl correct\r\nb SELECT INBOX\r\nc STORE 1 +FLAGS (\\Seen)\r\n")
        while b"c OK" not in sock.recv(65536):
            pass
    world.close_folders()
    assert [one.get_flags() for one in mailbox.mbox(world.mbox)] == ["RO"]
