"""The address book: found by address, followed on disk, and never ended by one bad file."""

from __future__ import annotations

import multiprocessing
import os
import stat
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts import book as book_module
from dexmesh.apps.contacts import folder as folder_module
from dexmesh.apps.contacts.book import (
    RECHECK_S,
    AddressBook,
    DuplicateError,
    NoContactError,
)
from dexmesh.apps.contacts.contact import Contact, How, Verification, contact_of
from dexmesh.apps.contacts.folder import Folder
from dexmesh.apps.contacts.vcard import Card, CardError, Property
from dexmesh.errors import ContactError
from dexmesh.wire.address import parse_address
from tests.unit.apps.contacts.samples import (
    BOB_PADDED,
    BOB_SHORT,
    STUART,
    Clock,
    bob,
    book_in,
    stuart,
)

BOB = parse_address(BOB_SHORT)


def petnames(book: AddressBook) -> list[str]:
    return [one.petname for one in book.all()]


def test_a_book_without_a_folder_is_empty(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "none" / "contacts")
    assert (book.all(), book.by_address(BOB), book.get("bob"), book.petnames()) == (
        (),
        (),
        None,
        (),
    )
    assert not (tmp_path / "none").exists()


def test_a_contact_is_found_by_petname_address_and_every_spelling_of_the_mailbox(
    tmp_path: Path,
) -> None:
    book = book_in(tmp_path, stuart(), bob())
    assert book.get("STUART") == stuart()
    assert book.by_address(STUART) == (stuart(),)
    assert book.address_of("bob") == BOB
    assert book.petname_of(BOB) == "bob"
    assert book.by_mailbox(Mailbox("BOB", f"[IPv6:{BOB_PADDED}]")) == bob()
    assert book.by_address(parse_address("fc00::1")) == ()
    assert book.address_of("nobody") is None


def test_several_people_live_on_one_node(tmp_path: Path) -> None:
    alice = Contact("alice", mails=(Mailbox("alice", f"[IPv6:{BOB_PADDED}]"),))
    book = book_in(tmp_path, bob(), alice)
    assert [one.petname for one in book.by_address(BOB)] == ["alice", "bob"]


def test_one_contact_is_read_without_the_others(tmp_path: Path) -> None:
    book_in(tmp_path, stuart(), bob())
    (tmp_path / "contacts" / "bob.vcf").write_text("broken")
    assert AddressBook(tmp_path / "contacts").get("stuart") == stuart()
    with pytest.raises(CardError):
        AddressBook(tmp_path / "contacts").get("bob")


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    os.umask(0o022)
    book = book_in(tmp_path, stuart())
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((book.path / "stuart.vcf").stat().st_mode) == 0o600
    assert sorted(one.name for one in book.path.iterdir()) == [".lock", "stuart.vcf"]


def test_the_same_mailbox_in_another_spelling_is_a_duplicate(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    again = Contact("robert", mails=(Mailbox("Bob", f"[IPv6:{BOB_PADDED}]"),))
    with pytest.raises(DuplicateError, match="is the address of bob") as caught:
        book.add(again)
    assert caught.value.petname == "bob"
    with pytest.raises(DuplicateError, match="is also the address of"):
        book_in(tmp_path / "other", bob(), again)
    assert petnames(book) == ["bob"]


def test_a_petname_is_given_once(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    with pytest.raises(DuplicateError, match="bob is in the book already"):
        book.add(replace(stuart(), petname="bob"))


def test_many_contacts_are_taken_in_all_or_none(tmp_path: Path) -> None:
    with pytest.raises(ContactError):
        book_in(tmp_path, stuart(), replace(bob(), petname="Not A Petname"))
    assert AddressBook(tmp_path / "contacts").all() == ()


def test_editing_keeps_what_else_is_on_the_card(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "contacts")
    book.add(bob(), Card("4.0", (Property("BDAY", "19700101"),)))
    book.edit("bob", replace(bob(), note="x"))
    assert book.card("bob").text("BDAY") == "19700101"
    assert book.require("bob").note == "x"


def test_a_contact_is_renamed_in_one_piece(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob(), stuart())
    book.edit("bob", bob("robert"))
    assert petnames(book) == ["robert", "stuart"]
    assert book.card("robert").text("X-CJDNS-PETNAME") == "robert"
    with pytest.raises(DuplicateError):
        book.edit("robert", bob("stuart"))
    with pytest.raises(NoContactError):
        book.edit("bob", bob())


def test_a_removed_contact_is_a_stranger(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    assert book.by_address(BOB)
    book.remove("Bob")
    assert book.by_address(BOB) == ()
    with pytest.raises(NoContactError, match="nobody is called 'bob'"):
        book.remove("bob")
    with pytest.raises(NoContactError):
        book.remove("../bob")


def test_what_another_program_writes_is_seen_at_the_next_call(tmp_path: Path) -> None:
    ours, theirs = AddressBook(tmp_path / "contacts"), AddressBook(tmp_path / "contacts")
    assert ours.by_address(BOB) == ()
    for round_number in range(20):
        theirs.add(bob())
        assert ours.petname_of(BOB) == "bob"
        theirs.edit("bob", replace(bob(), note=str(round_number)))
        assert ours.by_address(BOB)[0].note == str(round_number)
        theirs.remove("bob")
        assert ours.by_address(BOB) == ()


def test_an_editor_that_writes_in_place_is_noticed_a_little_later(tmp_path: Path) -> None:
    clock = Clock()
    book_in(tmp_path, bob())
    time.sleep(0.03)  # past the moment in which every call looks again
    book = AddressBook(tmp_path / "contacts", clock)
    file = tmp_path / "contacts" / "bob.vcf"
    assert book.petname_of(BOB) == "bob"
    text = file.read_text().replace(BOB_SHORT, "fc00::99")
    file.write_text(text)
    clock.now = RECHECK_S
    assert book.by_address(BOB) == ()
    assert book.petname_of(parse_address("fc00::99")) == "bob"


def test_a_folder_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = book_in(tmp_path, bob())
    time.sleep(0.03)
    book.all()
    monkeypatch.setattr(book._folder, "stamps", None)
    assert book.petname_of(BOB) == "bob"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("eve.vcf", b"\x00\x01", "control character"),
        ("eve.vcf", b"BEGIN:VCARD\nVERSION:4.0\nEMAIL:nonsense\nEND:VCARD\n", "no mail address"),
        ("eve.vcf", b"x" * 300_000, "longer than 256 kB"),
        ("Bob Smith.vcf", b"BEGIN:VCARD\nVERSION:4.0\nEND:VCARD\n", "no petname"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    book = book_in(tmp_path, bob())
    (book.path / name).write_bytes(content)
    assert petnames(book) == ["bob"]
    [problem] = book.problems()
    assert name in problem
    assert reason in problem


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    (book.path / "link.vcf").symlink_to(book.path / "bob.vcf")
    os.mkfifo(book.path / "pipe.vcf")
    assert petnames(book) == ["bob"]
    assert [problem.rpartition(": ")[2] for problem in book.problems()] == [
        "link.vcf is a link, no file",
        "pipe.vcf is no file",
    ]


def test_a_broken_file_can_be_removed_and_is_not_overwritten(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    (book.path / "eve.vcf").write_text("broken")
    with pytest.raises(DuplicateError):
        book.add(replace(stuart(), petname="eve"))
    book.remove("eve")
    assert book.problems() == ()


def test_what_a_crash_left_is_swept_away(tmp_path: Path) -> None:
    book = book_in(tmp_path, bob())
    left = book.path / ".eve.vcf.0123.new"
    left.write_text("half")
    book.add(stuart())
    assert not left.exists()


def test_a_lock_that_is_held_ends_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, other = book_in(tmp_path, bob()), AddressBook(tmp_path / "contacts")
    monkeypatch.setattr(folder_module, "LOCK_WAIT_S", 0.05)
    with book._folder.locked(), pytest.raises(ContactError, match="locked"):
        other.add(stuart())
    other.add(stuart())


def _add_some(path: Path, first: int) -> None:
    book = AddressBook(path)
    for number in range(first, first + 20):
        book.add(Contact(f"p{number}", mails=(Mailbox(f"p{number}", f"[IPv6:{BOB_SHORT}]"),)))


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "contacts"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_some, args=(path, at)) for at in (0, 100, 200)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
        assert one.exitcode == 0
    assert len(AddressBook(path).by_address(BOB)) == 60


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another account")
def test_what_root_writes_belongs_to_the_owner_and_no_link_of_his_misleads_root(
    tmp_path: Path,
) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o711)
    os.chown(tmp_path, 65534, 65534)
    book = book_in(tmp_path, bob())
    for path in (book.path, book.path / "bob.vcf", book.path / ".lock"):
        assert path.stat().st_uid == 65534
    treasure = tmp_path.parent / "treasure"
    treasure.mkdir(mode=0o700)
    book.path.rename(tmp_path / "away")
    book.path.symlink_to(treasure)
    os.chown(book.path, 65534, 65534, follow_symlinks=False)
    with pytest.raises(ContactError, match="may not be used"):
        AddressBook(book.path).add(stuart())
    assert list(treasure.iterdir()) == []
    assert os.geteuid() == 0


def test_the_card_of_a_new_contact_is_read_before_it_is_trusted(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "contacts")
    with pytest.raises(ContactError):
        book.add(replace(bob(), note="a\x00b"))
    assert book.petnames() == ()


class CountedFolder(Folder):
    """Notes which files are read."""

    def read(self, name: str, most: int) -> bytes:
        read.append(name)
        return super().read(name, most)


read: list[str] = []
"""What CountedFolder has read since a test looked."""


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book that is worth a snapshot, read once; files that are read from now on are in `read`."""
    monkeypatch.setattr(book_module, "MANY", 3)
    monkeypatch.setattr(book_module, "Folder", CountedFolder)
    people = [bob(f"bob-{number}", f"[IPv6:fc00::{number}]") for number in range(1, 4)]
    verified = Verification(How.SCANNED, 1e9)
    known = replace(stuart(), note="a\nb", sips=("sip:s@[fc00::9]",), verified=verified)
    path = book_in(tmp_path, *people, known).path
    for card in path.glob("*.vcf"):
        os.utime(card, (1e9, 1e9))
    AddressBook(path).all()
    read.clear()
    return path


def test_a_large_book_is_read_from_its_snapshot(large: Path) -> None:
    book = AddressBook(large)
    people = book.all()
    assert read == [".index"]
    assert [one.petname for one in people] == ["bob-1", "bob-2", "bob-3", "stuart"]
    assert book.by_address(STUART) == (people[-1],)
    assert book.by_mailbox(Mailbox("BOB", "[IPv6:fc00:0::2]")) == people[1]
    assert book.get("stuart") == people[-1]
    (large / ".index").unlink()
    assert AddressBook(large).all() == people  # every field is what the cards say
    assert stat.S_IMODE((large / ".index").stat().st_mode) == 0o600


def test_what_changed_since_the_snapshot_is_read_from_its_card(large: Path) -> None:
    AddressBook(large).edit("bob-1", bob("bob-1", "[IPv6:fc00::77]"))
    (large / "bob-2.vcf").unlink()
    read.clear()
    book = AddressBook(large)
    assert petnames(book) == ["bob-1", "bob-3", "stuart"]
    assert book.petname_of(parse_address("fc00::77")) == "bob-1"
    assert book.by_address(parse_address("fc00::1")) == ()
    assert read == [".index", "bob-1.vcf"]
    assert b"bob-2" not in (large / ".index").read_bytes()


def test_who_is_forgotten_is_in_no_snapshot(large: Path) -> None:
    AddressBook(large).remove("bob-2")
    assert not (large / ".index").exists()
    AddressBook(large).all()
    assert b"bob-3" in (large / ".index").read_bytes()
    assert b"bob-2" not in (large / ".index").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"x", b"[]", None])
def test_a_snapshot_that_is_damaged_is_none(large: Path, damage: bytes | None) -> None:
    snapshot = large / ".index"
    data = snapshot.read_bytes()
    snapshot.write_bytes(data.replace(b"bob-1", b"eve-1") if damage is None else damage)
    assert petnames(AddressBook(large)) == ["bob-1", "bob-2", "bob-3", "stuart"]
    assert snapshot.read_bytes() == data


def test_a_card_that_may_change_unnoticed_goes_into_no_snapshot(large: Path) -> None:
    os.utime(large / "bob-1.vcf")  # just now: the clock of the file system may not have moved on
    (large / ".index").unlink()
    AddressBook(large).all()
    assert b"bob-1" not in (large / ".index").read_bytes()


def test_a_snapshot_that_cannot_be_written_is_done_without(large: Path) -> None:
    (large / ".index").unlink()
    (large / ".index").mkdir()
    assert len(AddressBook(large).all()) == 4
    assert not list(large.glob(".index.*"))


def test_a_question_about_an_address_looks_at_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "Folder", CountedFolder)
    book = book_in(tmp_path, stuart())
    os.utime(book.path, (1e9, 1e9))  # what changed just now is looked at again
    book.all()
    read.clear()
    assert all(book.petname_of(STUART) == "stuart" for _ in range(100))
    assert read == []


def test_a_card_in_memory_says_what_the_file_says(tmp_path: Path) -> None:
    book = book_in(tmp_path, stuart())
    assert contact_of(book.card("stuart"), "stuart") == stuart()
    with pytest.raises(NoContactError):
        book.card("../stuart")
