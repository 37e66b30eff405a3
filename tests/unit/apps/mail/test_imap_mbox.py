"""An mbox as a folder with numbers: what it shows, what others and we change, and what a crash leaves."""

from __future__ import annotations

import fcntl
import mailbox
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from dexmesh.apps.mail.imap import mbox as module
from dexmesh.apps.mail.imap.folder import Folder
from dexmesh.apps.mail.imap.mbox import JOURNAL, MboxFolder
from dexmesh.apps.mail.store.mbox import lock_mbox

ANN = b"From ann@x Mon Jan  6 10:00:00 2025\nSubject: one\n\nfirst\n>From here\n\n"
BOB = b"From bob@x Mon Jan  6 11:00:00 2025\nSubject: two\nStatus: RO\nX-Status: AF\n\nsecond\n\n"
EVE = (
    b"From eve@x Mon Jan  6 12:00:00 2025\nX-Dexmesh-Delivery: 1\nSubject: three\n\n"
    b">From here\n>>From there\n\n"
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_S", 0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "mbox").write_bytes(ANN + BOB + EVE)
    return tmp_path / "mbox"


def opened(path: Path) -> MboxFolder:
    folder = MboxFolder(path, path.parent / "state")
    folder.open()
    return folder


def subjects(folder: Folder) -> dict[int, str]:
    return {uid: text(folder, uid).partition("\r\n")[0].split()[1] for uid in folder.entries}


def text(folder: Folder, uid: int) -> str:
    data = folder.read(uid)
    assert data is not None
    return data.decode()


def letters(folder: Folder) -> dict[int, str]:
    return {uid: entry.letters for uid, entry in folder.entries.items()}


# Looking


def test_messages_have_numbers_dates_flags_and_their_own_bytes(path: Path) -> None:
    folder = opened(path)
    assert subjects(folder) == {1: "one", 2: "two", 3: "three"}
    assert letters(folder) == {1: "", 2: "FRS", 3: ""}
    assert [entry.is_new for entry in folder.entries.values()] == [True, False, True]
    assert folder.entries[3].unix_time == 1736164800.0  # ours are in UTC
    assert (
        text(folder, 1) == "Subject: one\r\n\r\nfirst\r\n>From here\r\n"
    )  # as that program quotes
    assert text(folder, 2) == "Subject: two\r\n\r\nsecond\r\n"  # no Status: that is no part of it
    assert text(folder, 3) == "Subject: three\r\n\r\nFrom here\r\n>From there\r\n"
    assert [folder.size(uid) for uid in folder.entries] == [35, 24, 42]
    assert folder.read(3, 20) == b"Subject: three\r\n\r\n>Fro"  # so many bytes of the file
    assert folder.read(9) is None
    assert folder.size(9) == folder.stored_size(9) == 0


def test_a_file_that_is_not_there_is_an_empty_folder_until_mail_comes(tmp_path: Path) -> None:
    folder = opened(tmp_path / "mbox")
    assert folder.entries == {}
    assert not folder.is_stale()
    (tmp_path / "mbox").write_bytes(ANN)
    assert folder.is_stale()
    folder.refresh()
    assert subjects(folder) == {1: "one"}
    (tmp_path / "mbox").unlink()
    folder.refresh()
    assert folder.entries == {}


def test_a_number_stays_with_its_message_whatever_other_programs_do(path: Path) -> None:
    folder = opened(path)
    validity = folder.validity
    with open(path, "r+b") as file:  # as s-nail leaves it: the first is read, the second deleted
        file.write(ANN.replace(b"one\n", b"one\nStatus: RO\n") + EVE)
        file.truncate()
    folder.refresh()
    assert subjects(folder) == {1: "one", 3: "three"}
    assert letters(folder) == {1: "S", 3: ""}
    with open(path, "ab") as file:
        file.write(BOB.replace(b"two", b"four"))
    again = opened(path)
    assert subjects(again) == {1: "one", 3: "three", 4: "four"}
    assert again.validity == validity


def test_copies_of_one_message_are_several(path: Path) -> None:
    path.write_bytes(ANN + ANN + BOB)
    folder = opened(path)
    assert subjects(folder) == {1: "one", 2: "one", 3: "two"}
    folder.remove([1])
    folder.refresh()
    assert sorted(subjects(folder).values()) == ["one", "two"]


@pytest.mark.parametrize(
    "body",
    [
        b"From here to there\n\n",  # after an empty line, but no date
        b"x\nFrom ann@x Mon Jan  6 10:00:00 2025\n\n",  # a date, but no empty line before
        b"\n\nFrom " + b"x" * 2000 + b" 10:00\n\n",
    ],
)
def test_a_line_that_only_looks_like_a_beginning_is_text(path: Path, body: bytes) -> None:
    path.write_bytes(ANN.replace(b"first\n>From here\n\n", body) + BOB)
    assert len(opened(path).entries) == 2


def test_line_ends_of_other_systems_and_broken_messages_are_shown(path: Path) -> None:
    path.write_bytes(
        b"junk before\n\n" + ANN.replace(b"\n", b"\r\n") + b"From x@x Mon 10:00\nno header"
    )
    folder = opened(path)
    assert text(folder, 1) == "Subject: one\r\n\r\nfirst\r\n>From here\r\n"
    assert text(folder, 2) == "no header"
    folder.set_letters(1, "S")
    folder.set_letters(2, "S")
    folder.refresh()
    again = opened(path)
    assert letters(again) == {1: "S", 2: "S"}
    assert path.read_bytes().startswith(b"junk before\n\nFrom ann@x")


def test_the_note_alpine_keeps_for_itself_is_no_message_and_stays(path: Path) -> None:
    note = (
        b"From MAILER-DAEMON Mon Jan  6 09:00:00 2025\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER "
        b"INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n\nThis text is part of the internal format.\n\n"
    )
    path.write_bytes(ANN + note + BOB)
    folder = opened(path)
    assert subjects(folder) == {1: "one", 2: "two"}
    folder.set_letters(1, "S")
    folder.refresh()
    assert note in path.read_bytes()


def test_a_link_or_a_device_is_no_mbox(tmp_path: Path, path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError):  # noqa: PT011 which one the kernel decides
            opened(tmp_path / name)


def test_too_many_messages_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 2)
    with pytest.raises(OSError, match="more than 2 messages"):
        opened(path)


# Changing


def test_flags_are_written_as_mail_programs_read_them(path: Path) -> None:
    folder = opened(path)
    folder.set_letters(1, "RS")
    folder.set_letters(2, "")
    assert letters(folder) == {1: "RS", 2: "", 3: ""}
    assert path.read_bytes() == ANN + BOB + EVE  # together, at the next refresh
    assert folder.has_pending
    assert folder.is_stale()
    folder.refresh()
    assert not folder.has_pending
    box = mailbox.mbox(path)
    assert [one.get_flags() for one in box] == ["ROA", "O", ""]
    assert b"".join(path.read_bytes().splitlines(True)[-5:]) == EVE[EVE.index(b"Subject") :]
    assert letters(opened(path)) == {1: "RS", 2: "", 3: ""}
    assert text(folder, 1) == "Subject: one\r\n\r\nfirst\r\n>From here\r\n"


def test_flags_that_an_mbox_has_no_word_for_are_left_out(path: Path) -> None:
    folder = opened(path)
    assert folder.letters_of(["\\Seen", "\\Deleted", "$Forwarded", "Work"]) == "ST"
    folder.set_letters(1, "SPa")
    folder.refresh()
    assert letters(opened(path))[1] == "S"


def test_what_is_new_is_claimed_once_and_the_file_stays_as_it_is(path: Path) -> None:
    folder = opened(path)
    assert folder.claim_new() == [1, 3]
    assert folder.claim_new() == []
    assert path.read_bytes() == ANN + BOB + EVE
    with open(path, "ab") as file:
        file.write(ANN.replace(b"one", b"four"))
    folder.refresh()
    assert folder.claim_new() == [4]


def test_messages_are_removed_and_the_others_stay_byte_for_byte(path: Path) -> None:
    folder = opened(path)
    folder.remove([1, 3])
    assert subjects(folder) == {2: "two"}
    folder.refresh()
    assert path.read_bytes() == BOB
    folder.remove([2])
    folder.refresh()
    assert path.read_bytes() == b""
    assert path.exists()


def test_a_change_is_made_to_the_file_as_it_is_by_then(path: Path) -> None:
    folder = opened(path)
    folder.remove([1])
    folder.set_letters(3, "S")
    with open(path, "ab") as file:  # a delivery in between
        file.write(ANN.replace(b"one", b"four"))
    folder.refresh()
    assert subjects(folder) == {2: "two", 3: "three", 4: "four"}
    assert path.read_bytes().startswith(BOB)
    assert letters(folder)[3] == "S"
    path.write_bytes(BOB)  # another program removed what we are about to change
    folder.set_letters(3, "")
    folder.refresh()
    assert path.read_bytes() == BOB


def test_messages_move_between_an_mbox_and_a_maildir(path: Path, tmp_path: Path) -> None:
    folder, other = opened(path), Folder(tmp_path / "Maildir")
    other.open()
    moved = folder.move(3, other)
    assert moved == 1
    assert text(other, 1) == "Subject: three\r\n\r\nFrom here\r\n>From there\r\n"
    assert folder.copy(2, other) == 2
    assert other.entries[2].letters == "FRS"
    folder.refresh()
    assert path.read_bytes() == ANN + BOB
    other.set_letters(1, "S")
    back = other.move(1, folder)
    assert back == 4
    assert other.entries.keys() == {2}
    assert text(folder, 4) == "Subject: three\r\n\r\nFrom here\r\n>From there\r\n"
    assert letters(folder)[4] == "S"


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: x\r\n\r\nFrom me\r\n>From you\r\n\r\nend\r\n",
        b"Subject: x\r\n\r\nno end",
        b"Subject: x\r\n\r\n",
        b"\r\nbody\r\n",
    ],
)
def test_what_is_put_in_comes_out_again(path: Path, data: bytes) -> None:
    path.write_bytes(ANN.rstrip(b"\n"))  # no line end: somebody was interrupted
    folder = opened(path)
    entry = folder.append(data, "S", 1736164800.0)
    wanted = data if data.endswith(b"\r\n") else data + b"\r\n"
    assert folder.read(entry.uid) == wanted
    assert (entry.letters, entry.unix_time) == ("S", 1736164800.0)
    assert len(mailbox.mbox(path)) == 2
    assert opened(path).entries.keys() == {1, 2}


# Locks


def _write_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    return descriptor


def test_while_another_program_writes_what_was_there_is_shown(path: Path) -> None:
    folder = opened(path)
    descriptor = _write_lock(path)
    os.pwrite(descriptor, b"From half", len(ANN + BOB + EVE))
    folder.refresh()
    assert subjects_known(folder) == [1, 2, 3]
    with pytest.raises(BlockingIOError, match="keeps it locked"):
        folder.read(1)
    with pytest.raises(BlockingIOError):
        opened(path)
    folder.set_letters(1, "S")
    with pytest.raises(BlockingIOError):
        folder.refresh()
    os.ftruncate(descriptor, len(ANN + BOB + EVE))
    os.close(descriptor)
    folder.refresh()  # what could not be written is not shown as if it were
    assert letters(folder)[1] == ""
    assert path.read_bytes() == ANN + BOB + EVE


def subjects_known(folder: Folder) -> list[int]:
    return list(folder.entries)


def test_a_delivery_of_ours_keeps_us_out_and_keeps_its_lock_file(path: Path) -> None:
    folder = opened(path)
    delivering = lock_mbox(path)
    assert delivering is not None
    assert lock_mbox(path) is None
    folder.remove([1])
    with pytest.raises(BlockingIOError):
        folder.refresh()
    assert path.with_name("mbox.lock").exists()
    delivering.close()
    assert not path.with_name("mbox.lock").exists()
    again = lock_mbox(path)
    assert again is not None
    again.close()


# Crashes


class Crash(BaseException):
    """The process ends here."""


def crashing(monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> None:
    """End the process at the call number `count` of this function of `os`."""
    real: Callable[..., object] = getattr(os, name)
    calls = 0

    def crash(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count:
            if name == "pwrite":  # half of it
                real(arguments[0], bytes(arguments[1])[:7], arguments[2])  # type: ignore[call-overload]
            raise Crash
        return real(*arguments)

    monkeypatch.setattr(os, name, crash)


@pytest.mark.parametrize(
    ("place", "grows"),
    [
        *(("pwrite 1", True), ("pwrite 2", True), ("ftruncate 1", True), ("fsync 3", True)),
        *(("pwrite 1", False), ("ftruncate 1", False), ("fsync 3", False)),
    ],
)
@pytest.mark.parametrize("others", [b"", ANN.replace(b"one", b"four")])
def test_a_change_that_a_crash_interrupts_is_finished_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, place: str, grows: bool, others: bytes
) -> None:
    folder = opened(path)
    if grows:
        folder.set_letters(1, "S")
    else:
        folder.remove([1])
    name, number = place.split()
    with monkeypatch.context() as patch:
        crashing(patch, name, int(number))  # the first two fsyncs are of the journal
        with pytest.raises(Crash):
            folder.refresh()
    assert (path.parent / "state" / JOURNAL).exists()
    if (
        place != "fsync 3" or grows
    ):  # else the file is as short as it gets: what is behind is not ours
        with open(path, "ab") as file:
            file.write(others)
    else:
        others = b""
    again = opened(path)
    first = ANN.replace(b"one\n", b"one\nStatus: RO\n") if grows else b""
    assert path.read_bytes() == first + BOB + EVE + others
    assert not (path.parent / "state" / JOURNAL).exists()
    assert len(again.entries) == (3 if grows else 2) + bool(others)


def test_a_journal_that_no_longer_fits_is_given_up(path: Path) -> None:
    folder = opened(path)
    journal = path.parent / "state" / JOURNAL
    journal.write_bytes(b'{"inode": 1, "start": 0, "size": 5}\nnonsense')
    folder.refresh()
    assert path.read_bytes() == ANN + BOB + EVE
    assert not journal.exists()


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(path)
    folder.set_letters(1, "S")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        folder.refresh()
    assert path.read_bytes() == ANN + BOB + EVE
    folder.refresh()
    assert letters(folder) == {1: "", 2: "FRS", 3: ""}
    with pytest.raises(OSError, match="No space"):
        folder.append(b"Subject: x\r\n\r\nx\r\n")
    assert path.read_bytes() == ANN + BOB + EVE
