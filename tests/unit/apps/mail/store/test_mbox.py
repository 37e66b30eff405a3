"""An mbox that others use too: quoting, both locks, and never half a mail in it."""

from __future__ import annotations

import errno
import mailbox
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dexmesh.apps.mail.store.journal import DeliveryId, Row
from dexmesh.apps.mail.store.mbox import MARK, LockedMbox, lock_mbox

MESSAGE = b"From: a@b\r\nSubject: hi\r\n\r\nFrom here on\r\n>From there\r\nbye\r\n"
KEY = "1.M2P3Q4.dexmesh,S=5"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stuart"


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    file = tmp_path / "staged"
    file.write_bytes(MESSAGE)
    return file


def row(start: int = 0, key: str = KEY, sender: str = "bob@[IPv6:fc00::b]") -> Row:
    return Row(DeliveryId(bytes(16)), 1_800_000_000, "stuart", "INBOX", key, sender, start)


def locked(path: Path) -> LockedMbox:
    mbox = lock_mbox(path)
    assert mbox is not None
    return mbox


def append(path: Path, staged: Path, start: int | None = None, key: str = KEY) -> None:
    mbox = locked(path)
    try:
        mbox.append(row(mbox.size if start is None else start, key), staged)
    finally:
        mbox.close()


def bodies(path: Path) -> list[str]:
    box = mailbox.mbox(str(path), create=False)
    try:
        return [str(message.get_payload()) for message in box]
    finally:
        box.close()


def test_a_mail_stands_there_quoted_with_lf_and_an_empty_line_after_it(
    path: Path, staged: Path
) -> None:
    append(path, staged)
    assert path.read_bytes() == (
        b"From bob@[IPv6:fc00::b] Fri Jan 15 08:00:00 2027\n"
        + MARK
        + KEY.encode()
        + b"\nFrom: a@b\nSubject: hi\n\n>From here on\n>>From there\nbye\n\n"
    )
    append(path, staged, key="2.x")
    assert len(bodies(path)) == 2


@pytest.mark.parametrize("text", [b"", b"no end", b"\r", b"a\r\n" * 40_000, b"x" * 200_001])
def test_any_message_can_be_followed_by_another(path: Path, staged: Path, text: bytes) -> None:
    staged.write_bytes(b"Subject: x\r\n\r\n" + text)
    append(path, staged)
    append(path, staged, key="2.x")
    assert len(bodies(path)) == 2


def test_a_line_that_is_longer_than_a_piece_is_quoted_only_at_its_start(
    path: Path, staged: Path
) -> None:
    staged.write_bytes(b"Subject: x\n\n" + b"y" * 65536 + b"From z\n")
    append(path, staged)
    assert b">From" not in path.read_bytes()


def test_a_sender_with_blanks_and_line_ends_makes_no_second_from_line(
    path: Path, staged: Path
) -> None:
    mbox = locked(path)
    mbox.append(row(0, sender="a b\nFrom c"), staged)
    mbox.close()
    assert path.read_bytes().startswith(b"From abFromc Fri Jan")


def test_a_file_without_last_line_end_gets_one_first(path: Path, staged: Path) -> None:
    path.write_bytes(b"From x Fri Jan 15 08:00:00 2027\n\nhalf")
    append(path, staged)
    assert len(bodies(path)) == 2


# --- After a crash ------------------------------------------------------------------------------------


def complete(path: Path, staged: Path, before: bytes) -> bytes:
    path.write_bytes(before)
    append(path, staged)
    return path.read_bytes()


@pytest.mark.parametrize("before", [b"", b"From x Fri Jan 15 08:00:00 2027\n\nold\n\n", b"rubbish"])
def test_however_far_an_append_came_doing_it_again_gives_one_whole_mail(
    path: Path, staged: Path, before: bytes
) -> None:
    whole = complete(path, staged, before)
    for length in range(len(before), len(whole) + 1):
        path.write_bytes(whole[:length])
        append(path, staged, start=len(before))
        assert path.read_bytes() == whole, length


def test_a_whole_mail_that_another_program_has_moved_and_marked_is_not_appended_again(
    path: Path, staged: Path
) -> None:
    old = b"From x Fri Jan 15 08:00:00 2027\n\nold\n\n"
    whole = complete(path, staged, old)
    changed = whole[len(old) :].replace(b"Subject: hi\n", b"Subject: hi\nStatus: RO\n")
    path.write_bytes(changed + old)
    append(path, staged, start=len(old))
    assert path.read_bytes() == changed + old


def test_half_a_mail_that_another_program_has_moved_does_not_count_as_delivered(
    path: Path, staged: Path
) -> None:
    old = b"From x Fri Jan 15 08:00:00 2027\n\nold\n\n"
    whole = complete(path, staged, old)
    path.write_bytes(whole[len(old) : -10] + b"\n\n" + old)
    append(path, staged, start=len(old))
    assert path.read_bytes().endswith(whole[len(old) :])


def test_a_mail_of_another_program_in_our_place_is_left_alone(path: Path, staged: Path) -> None:
    other = b"From x Fri Jan 15 08:00:00 2027\nSubject: theirs\n\nbody\n\n"
    path.write_bytes(other)
    append(path, staged, start=0)
    assert path.read_bytes().startswith(other)
    assert len(bodies(path)) == 2


# --- A full disk --------------------------------------------------------------------------------------


def test_when_the_disk_is_full_the_file_is_as_long_as_before(
    path: Path, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, staged)
    before = path.read_bytes()
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data[:40]))

    mbox = locked(path)
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        mbox.append(row(len(before), "2.x"), staged)
    mbox.close()
    assert path.read_bytes() == before


# --- Locks --------------------------------------------------------------------------------------------

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_who_holds_an_fcntl_lock_keeps_us_out_and_we_him(path: Path) -> None:
    path.touch()
    argv = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert lock_mbox(path) is None
        assert not path.with_name("stuart.lock").exists()
        holder.communicate(b"")
    mbox = locked(path)
    script = HOLDER.replace("LOCK_EX", "LOCK_EX | fcntl.LOCK_NB")
    done = subprocess.run([sys.executable, "-c", script, str(path)], input=b"", capture_output=True)
    assert done.returncode != 0
    mbox.close()


def test_our_lock_outlasts_a_look_at_the_file_by_another_part_of_us(path: Path) -> None:
    mbox = locked(path)
    path.read_bytes()  # with locks of the process, closing this would have ended ours
    script = HOLDER.replace("LOCK_EX", "LOCK_EX | fcntl.LOCK_NB")
    done = subprocess.run([sys.executable, "-c", script, str(path)], input=b"", capture_output=True)
    assert done.returncode != 0
    mbox.close()


def test_a_lock_file_of_a_living_program_keeps_us_out(path: Path) -> None:
    lock = path.with_name("stuart.lock")
    lock.write_text(str(os.getppid()))
    assert lock_mbox(path) is None
    assert lock.exists()


@pytest.mark.parametrize("text", ["4194399", "", "rubbish"])
def test_a_lock_file_nobody_can_hold_any_more_is_removed(path: Path, text: str) -> None:
    lock = path.with_name("stuart.lock")
    lock.write_text(text)
    os.utime(lock, (1, 1))
    locked(path).close()
    assert not lock.exists()


def test_a_fresh_lock_file_without_a_number_is_respected(path: Path) -> None:
    path.with_name("stuart.lock").touch()
    assert lock_mbox(path) is None


def test_a_link_in_place_of_the_mbox_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        lock_mbox(path)
    assert not (tmp_path / "elsewhere").exists()
    assert not path.with_name("stuart.lock").exists()
