"""A Maildir folder with numbers: what it shows, what it notices, what it changes."""

from __future__ import annotations

import mailbox
import os
import time
from pathlib import Path

import pytest

from dexmesh.apps.mail.imap.folder import Folder, to_crlf, to_stored
from dexmesh.apps.mail.imap.uidlist import UIDLIST_FILE

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return opened(tmp_path / "Maildir")


def opened(path: Path) -> Folder:
    folder = Folder(path)
    folder.open()
    return folder


def deliver(folder: Folder, name: str, data: bytes = MESSAGE) -> None:
    """What a delivery agent does."""
    draft = folder.path / "tmp" / name
    draft.write_bytes(data)
    draft.rename(folder.path / "new" / name)


def names(folder: Folder) -> dict[int, str]:
    return {uid: entry.name for uid, entry in folder.entries.items()}


def test_messages_are_numbered_in_the_order_they_arrived(folder: Folder) -> None:
    for name in ("300.M9P1.h", "300.M10P1.h", "200.M5P1.h", "odd"):
        deliver(folder, name)
    folder.refresh()
    assert names(folder) == {1: "odd", 2: "200.M5P1.h", 3: "300.M9P1.h", 4: "300.M10P1.h"}
    assert folder.next_uid == 5


def test_a_message_keeps_its_number_for_ever(folder: Folder, tmp_path: Path) -> None:
    deliver(folder, "1.a")
    deliver(folder, "2.b")
    folder.refresh()
    folder.remove([1])
    again = opened(tmp_path / "Maildir")
    assert names(again) == {2: "2.b"}
    assert again.validity == folder.validity
    deliver(again, "3.c")
    again.refresh()
    assert names(again) == {2: "2.b", 3: "3.c"}


def test_a_broken_number_file_gives_a_new_validity(folder: Folder, tmp_path: Path) -> None:
    deliver(folder, "1.a")
    folder.refresh()
    file = tmp_path / "Maildir" / UIDLIST_FILE
    for junk in (b"", b"3 V1\n", b"\xff" * 100, b"3 Vx N1\n", b"3 V99999999999 N1\n"):
        file.write_bytes(junk)
        again = opened(tmp_path / "Maildir")
        assert names(again) == {1: "1.a"}
        assert again.validity > 0
    file.write_bytes(b"3 V7 N2\n1 :1.a\njunk\n1 :2.b\n-5 :x\n9999999999 :y\n")
    again = opened(tmp_path / "Maildir")
    assert again.validity == 7
    assert names(again) == {1: "1.a"}


def test_a_delivery_and_a_flag_of_another_program_are_seen(folder: Folder) -> None:
    deliver(folder, "1.a")
    folder.refresh()
    seen = folder.change
    other = mailbox.Maildir(folder.path)
    message = mailbox.MaildirMessage(MESSAGE)
    message.set_flags("FS")
    other.add(message)
    key = next(k for k in other.iterkeys() if k.startswith("1.a"))
    flagged = other[key]
    flagged.set_subdir("cur")
    flagged.set_flags("R")
    other[key] = flagged
    folder.refresh()
    changed = {uid: entry.letters for uid, entry in folder.entries.items() if entry.change > seen}
    assert sorted(changed.values()) == ["FS", "R"]


def test_a_settled_folder_is_not_read_again_until_it_changes(folder: Folder) -> None:
    deliver(folder, "1.a")
    past = time.time() - 10
    for place in ("new", "cur"):
        os.utime(folder.path / place, (past, past))
    folder.refresh()
    assert not folder.is_stale()
    deliver(folder, "2.b")
    assert folder.is_stale()


def test_what_was_appended_is_there_with_its_flags_and_time(folder: Folder, tmp_path: Path) -> None:
    letters = folder.letters_of(["\\Seen", "$label1", "\\Recent", "\\Odd", "bad keyword"])
    entry = folder.append(MESSAGE, letters, 1_000_000_000.0)
    assert folder.read(entry.uid) == MESSAGE
    assert folder.size(entry.uid) == len(MESSAGE)
    again = opened(tmp_path / "Maildir")
    assert again.entries[entry.uid].unix_time == 1_000_000_000.0
    assert again.flags_of(again.entries[entry.uid].letters) == {"\\Seen", "$label1"}
    stored = next((tmp_path / "Maildir" / "cur").iterdir())
    assert stored.read_bytes() == MESSAGE.replace(b"\r\n", b"\n")
    assert not list((tmp_path / "Maildir" / "tmp").iterdir())


def test_there_are_26_keywords_and_the_next_is_left_out(folder: Folder, tmp_path: Path) -> None:
    for number in range(26):
        assert len(folder.letters_of([f"k{number}"])) == 1
    assert folder.letters_of(["k26", "k3"]) == "d"
    assert opened(tmp_path / "Maildir").flags_of("d") == {"k3"}


def test_flags_are_changed_and_new_mail_moves_on_when_flagged(folder: Folder) -> None:
    deliver(folder, "1.a")
    folder.refresh()
    assert folder.entries[1].is_new
    changed = folder.set_letters(1, "SF")
    assert changed is not None
    assert (changed.letters, changed.is_new) == ("FS", False)
    assert [file.name for file in (folder.path / "cur").iterdir()] == ["1.a:2,FS"]
    assert folder.set_letters(99, "S") is None


def test_a_flag_change_survives_that_another_program_was_quicker(folder: Folder) -> None:
    deliver(folder, "1.a")
    folder.refresh()
    (folder.path / "new" / "1.a").rename(folder.path / "cur" / "1.a:2,S")
    changed = folder.set_letters(1, "FS")
    assert changed is not None
    assert [file.name for file in (folder.path / "cur").iterdir()] == ["1.a:2,FS"]
    assert folder.read(1) == MESSAGE


def test_a_message_that_is_gone_is_gone_for_everything(folder: Folder, tmp_path: Path) -> None:
    other = opened(tmp_path / "Other")
    deliver(folder, "1.a")
    folder.refresh()
    (folder.path / "new" / "1.a").unlink()
    assert folder.read(1) is None
    assert folder.size(1) == 0
    assert folder.set_letters(1, "S") is None
    assert folder.move(1, other) is None
    assert folder.copy(1, other) is None
    folder.remove([1])


def test_moving_takes_flags_and_keywords_along_and_leaves_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    other = opened(tmp_path / "Maildir" / ".Trash")
    other.letters_of(["other"])
    entry = folder.append(MESSAGE, folder.letters_of(["\\Seen", "$label1"]))
    uid = folder.move(entry.uid, other)
    assert uid is not None
    assert other.flags_of(other.entries[uid].letters) == {"\\Seen", "$label1"}
    assert folder.entries == {}
    back = other.move(uid, folder)
    assert back is not None
    assert back > entry.uid
    assert folder.read(back) == MESSAGE
    assert folder.move(back, folder) == back


def test_copying_leaves_two(folder: Folder, tmp_path: Path) -> None:
    other = opened(tmp_path / "Maildir" / ".Sent")
    entry = folder.append(MESSAGE)
    uid = folder.copy(entry.uid, other)
    assert uid is not None
    assert folder.read(entry.uid) == other.read(uid) == MESSAGE


def test_new_mail_is_claimed_once(folder: Folder) -> None:
    deliver(folder, "1.a")
    folder.refresh()
    assert folder.claim_new() == [1]
    assert folder.claim_new() == []
    folder.refresh()
    assert names(folder) == {1: "1.a"}


@pytest.mark.parametrize(
    ("wire", "stored"),
    [
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"a\r\nb", b"a\nb"),
        (b"a\rb\r\n", b"a\rb\r\n"),
        (b"", b""),
        (b"a\nb\r\n", b"a\nb\r\n"),
    ],
)
def test_line_ends_are_those_of_the_place(wire: bytes, stored: bytes) -> None:
    assert to_stored(wire)[0] == stored
    back = to_crlf(stored)
    assert back == wire.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert to_stored(wire)[1] == len(back)


def test_ten_thousand_messages_are_numbered_in_a_second_and_seen_again_quickly(
    folder: Folder, tmp_path: Path
) -> None:
    for number in range(10_000):
        (folder.path / "new" / f"{number}.M1P1.h").write_bytes(MESSAGE)
    began = time.process_time()
    folder.refresh()
    assert len(folder.entries) == 10_000
    again = opened(tmp_path / "Maildir")
    assert len(again.entries) == 10_000
    assert time.process_time() - began < 5
