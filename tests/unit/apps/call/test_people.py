"""Who is meant by what somebody typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dexmesh.apps.base.mailbox import parse_mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.call.people import Acquaintances, find_target
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import Contact
from dexmesh.errors import AppError, ContactError
from dexmesh.wire.address import parse_address
from dexmesh.wire.keys import PublicKey

BOB = parse_address("fc00::b")
KEY = PublicKey(bytes(32))  # ours; it is not asked


@pytest.fixture
def book(tmp_path: Path) -> AddressBook:
    book = AddressBook(tmp_path / "contacts")
    book.add(Contact("bobby", "Bob B", (parse_mailbox("bob@[IPv6:fc00::b]"),)))
    return book


@pytest.mark.parametrize(
    ("typed", "uri", "name"),
    [
        ("bobby", "sip:bob@[fc00::b]", "bobby"),
        ("sip:bob@[fc00::b]", "sip:bob@[fc00::b]", "bobby"),
        ("bob@[fc00::b]", "sip:bob@[fc00::b]", "bobby"),
        ("bob@[IPv6:fc00::b]", "sip:bob@[fc00::b]", "bobby"),
        ("sip:[fc00::b]", "sip:[fc00::b]", "bobby"),
        ("fc00::b", "sip:bob@[fc00::b]", "bobby"),
        ("fc00::1", "sip:[fc00::1]", "fc00::1"),
        ("sip:zoe@[fc00::b]", "sip:zoe@[fc00::b]", "sip:zoe@[fc00::b]"),
        ("zoe@[fc00::b]", "sip:zoe@[fc00::b]", "zoe@[IPv6:fc00::b]"),
        ("sip:zoe@[fc00::1]:5070", "sip:zoe@[fc00::1]:5070", "sip:zoe@[fc00::1]:5070"),
    ],
)
def test_a_person_is_named_by_petname_and_nobody_else_at_his_node_is(
    book: AddressBook, typed: str, uri: str, name: str
) -> None:
    target = find_target(book, typed)
    assert (target.uri.text, target.name) == (uri, name)


def test_of_several_at_a_node_the_one_who_says_so_is_named(book: AddressBook) -> None:
    people = Acquaintances(Me(KEY, parse_address("fc00::a")), book, lambda _address: False)
    book.add(Contact("ann", "Ann B", (parse_mailbox("ann@[IPv6:fc00::b]"),)))
    names = [people.petname_of(BOB, user) for user in ("bob", "BOB", "ann", "zoe", "")]
    assert names == ["bobby", "bobby", "ann", "ann", "ann"]
    assert people.petname_of(parse_address("fc00::1"), "bob") is None


@pytest.mark.parametrize(
    "typed", ["zoe", "sip:bob@example.org", "bob@[2001:db8::1]", "sip:", "", "sip:b ob@[fc00::b]"]
)
def test_nobody_is_chosen_by_guessing(book: AddressBook, typed: str) -> None:
    with pytest.raises((AppError, ContactError)) as caught:
        find_target(book, typed)
    assert caught.value.hint
