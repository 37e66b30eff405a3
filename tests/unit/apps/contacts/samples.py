"""People and their nodes, for the tests of the address book."""

from __future__ import annotations

from pathlib import Path

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import Contact
from dexmesh.wire.keys import address_of, decode_key

STUART_KEY = "mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"
STUART = address_of(decode_key(STUART_KEY))
STUART_LITERAL = literal(STUART)

BOB_SHORT, BOB_PADDED = "fcbc:b27::1", "fcbc:0b27:0000:0000:0000:0000:0000:0001"
BOB_LITERAL = f"[IPv6:{BOB_SHORT}]"


def stuart(petname: str = "stuart") -> Contact:
    """Somebody whose key is known."""
    mails = (Mailbox("stuart", STUART_LITERAL),)
    return Contact(petname, "Stuart Cheshire", mails, (decode_key(STUART_KEY),))


def bob(petname: str = "bob", domain: str = BOB_LITERAL) -> Contact:
    """Somebody of whom only the address is known."""
    return Contact(petname, mails=(Mailbox("bob", domain),))


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def book_in(folder: Path, *contacts: Contact) -> AddressBook:
    """An address book with these people."""
    book = AddressBook(folder / "contacts")
    book.add_all((one, None) for one in contacts)
    return book
