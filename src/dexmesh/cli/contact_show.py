"""`dexmesh contact list | show | remove`: who is in the address book.

Place     cli/contact.py -> here -> apps/contacts/book.py
Spec      docs/apps/mail.md §1, §5
Keeps     nothing is removed without being asked for twice or `--yes`
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.contact_book import (
    HomeOption,
    describe,
    find_contact,
    how_verified,
    nodes_of,
    open_book,
)
from dexmesh.cli.output import misused, note, print_json, print_table, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.errors import ContactError

if TYPE_CHECKING:
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.apps.contacts.contact import Contact

WhoArgument = Annotated[
    str, typer.Argument(metavar="WHO", help="Petname, full name, address or key.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@reports_errors
def list_contacts(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only who matches all of these.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everybody in the address book."""
    book = open_book(home)
    contacts = [one for one in book.all() if _matches(one, words or [])]
    if as_json:
        problems = list(book.problems())
        print_json({"contacts": [describe(one) for one in contacts], "problems": problems})
        return
    if contacts:
        print_table(("petname", "name", "address", "verified"), [_row(one) for one in contacts])
    elif words:
        note("nobody matches")
    else:
        note("nobody yet: `dexmesh contact add` takes somebody in, `dexmesh contact invite` asks")
    for problem in book.problems():
        note(f"left out: {problem}")


def _matches(contact: Contact, words: list[str]) -> bool:
    text = " ".join((contact.petname, contact.full_name, contact.note, *map(str, contact.mails)))
    return all(word.casefold() in text.casefold() for word in words)


def _row(contact: Contact) -> list[str]:
    from dexmesh.apps.contacts.recipients import mailbox_of

    mail = mailbox_of(contact) or next(iter(contact.mails), None)
    shown = "" if mail is None else f"{mail.local}@{mail.domain}"
    return [contact.petname, contact.full_name, shown, how_verified(contact)]


@reports_errors
def show(
    who: WhoArgument,
    qr: Annotated[
        bool, typer.Option("--qr", help="Draw a QR code with which others can add the contact.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything about a contact, the address in every spelling."""
    book = open_book(home)
    contact = find_contact(book, who)
    introduction = _introduction(contact)
    if as_json:
        shown = describe(contact) | {"invitation": introduction}
        shown["file"] = str(book.path / f"{contact.petname}.vcf")
        print_json(shown)
        return
    for title, value in _lines(contact, book):
        say(f"{title:<10} {value}" if title else f"{'':<10} {value}")
    if qr:
        if introduction is None:
            hint = f"`dexmesh contact edit {contact.petname} --key KEY.k` adds it."
            raise ContactError("no QR code: the key of this contact is not known", hint)
        draw_qr(introduction)


def draw_qr(text: str) -> None:
    """A QR code on standard output. Raises ContactError where a terminal would break its lines."""
    from dexmesh.apps.contacts.qr import columns_needed, terminal_qr

    room, needed = shutil.get_terminal_size().columns, columns_needed(text)
    if sys.stdout.isatty() and room < needed:
        hint = "make it wider, or write a picture: `dexmesh contact invite --png FILE`"
        raise ContactError(f"the QR code needs {needed} columns, this terminal has {room}", hint)
    sys.stdout.write(terminal_qr(text, is_coloured=sys.stdout.isatty()))


def _introduction(contact: Contact) -> str | None:
    """The contact as an invitation, which a third person can scan."""
    from dexmesh.apps.base.domains import parse_domain
    from dexmesh.apps.contacts.invitation import Invitation, InvitationError, encode_invitation

    for mail in contact.mesh_mails():
        address = parse_domain(mail.domain)
        key = None if address is None else contact.key_at(address)
        if key is not None:
            try:
                name = contact.full_name
                return encode_invitation(Invitation(key, mail.local, contact.petname, name))
            except InvitationError:
                return None
    return None


def _lines(contact: Contact, book: AddressBook) -> list[tuple[str, str]]:
    lines = [("petname", contact.petname)]
    if contact.full_name:
        lines.append(("name", contact.full_name))
    lines += _titled("mail", [str(mail) for mail in contact.mails])
    lines.append(
        ("verified", how_verified(contact) or "no: nobody compared the key with the person")
    )
    for node in nodes_of(contact):
        lines += [("node", node["address"]), ("padded", node["padded"])]
        lines += [("key", node["key"] or "not known; the address is enough to write")]
        also = [spelt for spelt in node["mail"] if spelt not in map(str, contact.mails)]
        lines += _titled("the same", also)
        lines += _titled("SIP", [one for one in node["sip"] if one not in contact.sips])
    lines += _titled("SIP", list(contact.sips))
    lines += _titled("note", contact.note.split("\n") if contact.note else [])
    lines.append(("file", str(book.path / f"{contact.petname}.vcf")))
    return lines


def _titled(title: str, values: list[str]) -> list[tuple[str, str]]:
    return [(title if not at else "", value) for at, value in enumerate(values)]


@reports_errors
def remove(
    who: Annotated[str, typer.Argument(metavar="PETNAME", help="Who is forgotten.")],
    yes: YesOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a contact: afterwards he is a stranger, and his mail a Request."""
    book = open_book(home)
    petname = who.lower()
    if petname not in book.petnames():
        petname = find_contact(book, who).petname
    if not yes:
        if not sys.stdin.isatty():
            misused("nobody can be asked here", "--yes removes without asking")
        if not typer.confirm(f"Forget {petname}?", err=True):
            raise typer.Exit(1)
    book.remove(petname)
    if as_json:
        print_json({"removed": petname})
    else:
        say(f"{petname} is forgotten")
