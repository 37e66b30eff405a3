"""Open the address book for a command, and describe contacts to people and programs.

Place     cli/contact_*.py -> here -> apps/contacts/
Spec      docs/apps/mail.md §1 (every spelling of one address), §5
Keeps     a command about one contact reads one file, not the whole book
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.errors import ContactError

if TYPE_CHECKING:
    from dexmesh.apps.base.home import Home
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.apps.contacts.contact import Contact

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", readable=False, help="The folder of the apps (default: $DEXMESH_HOME, …)."
    ),
]
SeveralMails = Annotated[
    list[str] | None,
    typer.Argument(metavar="ADDRESS...", help="Mail address, mesh address, key, or invitation."),
]


def home_of(home: Path | None) -> Home:
    """The folder of the apps."""
    from dexmesh.apps.base.home import find_home

    return find_home(home)


def open_book(home: Path | None) -> AddressBook:
    """The one address book."""
    from dexmesh.apps.contacts.book import AddressBook

    return AddressBook(home_of(home).contacts)


def find_contact(book: AddressBook, text: str) -> Contact:
    """The contact of that petname, full name, address or key. Raises ContactError with suggestions."""
    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.contacts.recipients import node_of

    contact = book.get(text)
    if contact is not None:
        return contact
    node = node_of(text)
    there = book.by_address(node) if node is not None else ()
    if len(there) == 1:
        return there[0]
    meant = book.resolve_recipient(text)
    if isinstance(meant, Mailbox):
        found = book.by_mailbox(meant)
        if found is None:
            raise ContactError(f"nobody in the address book has {meant}")
        return found
    raise meant.error()


def describe(contact: Contact) -> dict[str, Any]:
    """A contact for programs, in every spelling."""
    from dexmesh.wire.keys import encode_key

    return {
        "petname": contact.petname,
        "full_name": contact.full_name,
        "mails": [str(mail) for mail in contact.mails],
        "keys": [encode_key(key) for key in contact.keys],
        "sips": list(contact.sips),
        "note": contact.note,
        "verified": _verified(contact),
        "nodes": nodes_of(contact),
    }


def nodes_of(contact: Contact) -> list[dict[str, Any]]:
    """Each node of a contact in all its forms, and his mailboxes there in all of theirs."""
    from dexmesh.apps.base.domains import ALT_SUFFIX, literal, parse_domain, spellings
    from dexmesh.wire.address import format_address, format_padded
    from dexmesh.wire.keys import KEY_SUFFIX, encode_key

    nodes = []
    for address in contact.addresses:
        key = contact.key_at(address)
        users = [
            mail.local for mail in contact.mesh_mails() if parse_domain(mail.domain) == address
        ]
        domains = [
            literal(address),
            *(one for one in spellings(address) if one != literal(address)),
        ]
        if key is not None:
            name = encode_key(key)
            domains += [name, name.removesuffix(KEY_SUFFIX) + ALT_SUFFIX]
        if address == contact.address:
            domains += [contact.petname + ALT_SUFFIX]
        nodes.append(
            {
                "address": format_address(address),
                "padded": format_padded(address),
                "key": None if key is None else encode_key(key),
                "mail": [f"{user}@{domain}" for user in users for domain in domains],
                "sip": [f"sip:{user}@[{format_address(address)}]" for user in users],
            }
        )
    return nodes


def how_verified(contact: Contact) -> str:
    """How and when the key became known to be his, in words; empty if it is not."""
    if contact.verified is None:
        return ""
    when = time.strftime("%Y-%m-%d", time.localtime(contact.verified.unix_time))
    return f"{contact.verified.how.value} {when}"


def _verified(contact: Contact) -> dict[str, Any] | None:
    if contact.verified is None:
        return None
    return {"how": contact.verified.how.value, "unix_time": round(contact.verified.unix_time)}
