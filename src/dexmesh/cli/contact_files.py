"""`dexmesh contact import | export`: the address books of other programs, both ways.

Place     cli/contact.py -> here -> apps/contacts/imports.py, exports.py
Spec      docs/apps/mail.md §5, §3
Keeps     an import takes in what it can and names the rest; nobody twice, and nobody is overwritten
"""

from __future__ import annotations

import enum
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.contact_book import HomeOption, find_contact, open_book
from dexmesh.cli.output import note, print_json, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.errors import ContactError

if TYPE_CHECKING:
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.apps.contacts.contact import Contact, Identity
    from dexmesh.apps.contacts.imports import Found, Refused
    from dexmesh.apps.contacts.vcard import Card


class Source(enum.StrEnum):
    """What a file to import can be."""

    AUTO = "auto"
    VCARD = "vcard"
    ALPINE = "alpine"
    MUTT = "mutt"
    S_NAIL = "s-nail"


class Target(enum.StrEnum):
    """What a file to export can be."""

    VCARD4 = "vcard4"
    VCARD3 = "vcard3"
    ALPINE = "alpine"
    MUTT = "mutt"
    NEOMUTT = "neomutt"
    S_NAIL = "s-nail"
    LINPHONE = "linphone"
    BARESIP = "baresip"


@reports_errors
def import_contacts(
    file: Annotated[
        str, typer.Argument(help="vCard, alpine or mutt or s-nail aliases; - is stdin.")
    ],
    form: Annotated[Source, typer.Option("--format", "-f", help="What it is.")] = Source.AUTO,
    everybody: Annotated[
        bool, typer.Option("--all", help="Also who has no address on the mesh.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in the contacts of another program: vCard 3 and 4, alpine, mutt, s-nail."""
    from dexmesh.apps.contacts.imports import guess_form, read_foreign
    from dexmesh.apps.contacts.vcard import decode_text

    text = decode_text(_read(file), file)
    chosen = guess_form(text) if form is Source.AUTO else form.value
    book = open_book(home)
    sorting = Sorting(book, everybody)
    for one in read_foreign(text, chosen, file):
        sorting.take(one)
    if sorting.new and not dry_run:
        book.add_all(sorting.new)
    petnames = [contact.petname for contact, _card in sorting.new]
    if as_json:
        told = {"format": chosen, "added": petnames, "left_out": sorting.left_out}
        print_json(told | {"notes": sorting.notes, "dry_run": dry_run})
    else:
        for line in (*sorting.notes, *sorting.left_out):
            note(line)
        verb = "would be taken in" if dry_run else "taken in"
        say(f"{len(petnames)} {verb}{': ' if petnames else ''}{', '.join(petnames)}")
    if not petnames and sorting.left_out:
        raise typer.Exit(1)


class Sorting:
    """Who of a file is new, and who is left out for what reason."""

    def __init__(self, book: AddressBook, everybody: bool) -> None:
        self.new: list[tuple[Contact, Card | None]] = []
        self.left_out: list[str] = []
        self.notes: list[str] = []
        self._book = book
        self._everybody = everybody
        self._taken = set(book.petnames())
        self._mailboxes: dict[Identity, str] = {}

    def take(self, one: Found | Refused) -> None:
        """Sort in the next entry of the file."""
        from dexmesh.apps.contacts.contact import mailbox_identity
        from dexmesh.apps.contacts.imports import Refused, free_petname

        if isinstance(one, Refused):
            self.left_out.append(one.reason)
            return
        contact = one.contact
        if not contact.addresses and not self._everybody:
            self.left_out.append(f"{contact.petname}: no address on the mesh (--all takes him in)")
            return
        holder = self._holder(contact)
        if holder is not None:
            self.left_out.append(f"{contact.petname}: in the book already, as {holder}")
            return
        petname = free_petname(contact.petname, self._taken.__contains__)
        self._taken.add(petname)
        self._mailboxes.update((mailbox_identity(mail), petname) for mail in contact.mails)
        self.new.append((replace(contact, petname=petname), one.card))
        self.notes += [f"{petname}: {line}" for line in one.notes]

    def _holder(self, contact: Contact) -> str | None:
        from dexmesh.apps.contacts.contact import mailbox_identity

        for mail in contact.mails:
            known = self._book.by_mailbox(mail)
            holder = self._mailboxes.get(mailbox_identity(mail))
            if known is not None or holder is not None:
                return holder if known is None else known.petname
        return None


@reports_errors
def export_contacts(
    who: Annotated[
        list[str] | None, typer.Argument(metavar="[WHO]...", help="Petnames (default: everybody).")
    ] = None,
    form: Annotated[
        Target, typer.Option("--format", "-f", help="For which program.")
    ] = Target.VCARD4,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it into this file.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print contacts in the form another program reads."""
    from dexmesh.apps.contacts.exports import Person, export
    from dexmesh.config.files import write_secret_file

    book = open_book(home)
    contacts = [find_contact(book, one) for one in who] if who else list(book.all())
    done = export([Person(one, book.card(one.petname)) for one in contacts], form.value)
    if output is not None:
        write_secret_file(output, done.text, overwrite=True)
    if as_json:
        text = done.text if output is None else None
        place = None if output is None else str(output)
        print_json({"format": form.value, "text": text, "file": place, "left_out": done.left_out})
        return
    for reason in done.left_out:
        note(f"left out: {reason}")
    if not contacts:
        note("nobody is in the address book yet")
    if output is None:
        sys.stdout.write(done.text)
    else:
        count = len(contacts) - len(done.left_out)
        say(f"{count} {'contact is' if count == 1 else 'contacts are'} in {output}")


def _read(file: str) -> bytes:
    from dexmesh.apps.contacts.vcard import MAX_FILE_BYTES

    if file == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    path = Path(file)
    if path.is_dir():
        raise ContactError(f"{file} is a folder", "Import its files one by one.")
    with path.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES + 1)
