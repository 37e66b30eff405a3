"""`dexmesh contact edit`: change a contact by options, or his whole card in an editor.

Place     cli/contact.py -> here -> apps/contacts/book.py
Spec      docs/apps/mail.md §5
Keeps     what is wrong is said and nothing is changed; text from an editor is never lost
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.contact_book import HomeOption, describe, find_contact, open_book
from dexmesh.cli.contact_words import read_key, read_ways
from dexmesh.cli.output import misused, note, print_json, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.errors import ContactError

if TYPE_CHECKING:
    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.apps.contacts.contact import Contact

_EDITORS = ("VISUAL", "EDITOR")


@reports_errors
def edit(
    who: Annotated[str, typer.Argument(metavar="PETNAME", help="Who is changed.")],
    petname: Annotated[
        str | None, typer.Option("--petname", help="Call the person something else.")
    ] = None,
    full_name: Annotated[str | None, typer.Option("--full-name", help="The full name.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="The user name on his node, in the first address.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--add", metavar="ADDRESS", help="One more mail address.")
    ] = None,
    fewer: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="ADDRESS", help="A mail address, key or SIP address less."),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="KEY.k", help="The key of his node.")
    ] = None,
    sip: Annotated[list[str] | None, typer.Option("--sip", help="One more SIP address.")] = None,
    remark: Annotated[str | None, typer.Option("--note", help="Anything to remember.")] = None,
    verified: Annotated[
        bool | None,
        typer.Option("--verified/--unverified", help="You compared the key with the person."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a contact: by options, or without any in your $EDITOR."""
    book = open_book(home)
    former = find_contact(book, who)
    options = (petname, full_name, user, more, fewer, key, sip, remark, verified)
    if all(one is None or one == [] for one in options):
        contact = _in_editor(book, former)
    else:
        contact = _without(former, fewer or [])
        contact = _with_ways(contact, book, user, more or [], key or [], sip or [])
        contact = _with_words(contact, petname, full_name, remark, verified)
        if contact != former:
            book.edit(former.petname, contact)
    if as_json:
        print_json(describe(contact) | {"changed": contact != former})
    elif contact == former:
        say(f"{former.petname} stays as before")
    else:
        say(f"{contact.petname} is changed")


def _without(contact: Contact, fewer: list[str]) -> Contact:
    from dexmesh.apps.contacts.contact import mailbox_identity
    from dexmesh.wire.keys import encode_key

    for word in fewer:
        text = word.strip()
        dropped = _identity(text)
        mails = tuple(one for one in contact.mails if mailbox_identity(one) != dropped)
        keys = tuple(one for one in contact.keys if encode_key(one) != text.lower())
        sips = tuple(one for one in contact.sips if one not in (text, f"sip:{text}"))
        left = replace(contact, mails=mails, keys=keys, sips=sips)
        if left == contact:
            raise ContactError(f"{contact.petname} has no {text}")
        contact = left
    return contact


def _identity(text: str) -> tuple[str, bytes] | None:
    from dexmesh.apps.base.mailbox import parse_mailbox
    from dexmesh.apps.contacts.contact import mailbox_identity
    from dexmesh.errors import AddressError

    try:
        return mailbox_identity(parse_mailbox(text))
    except AddressError:
        return None


def _with_ways(
    contact: Contact,
    book: AddressBook,
    user: str | None,
    more: list[str],
    keys: list[str],
    sips: list[str],
) -> Contact:
    from dexmesh.apps.contacts.contact import check_sip, mailbox_identity

    mails: list[Mailbox] = list(contact.mails)
    if user is not None:
        mails = _renamed(mails, user, contact.petname)
    added, found_keys, _is_guessed = read_ways(more, contact.petname, book)
    have = {mailbox_identity(one) for one in mails}
    mails += [one for one in added if mailbox_identity(one) not in have]
    all_keys = (*contact.keys, *found_keys, *map(read_key, keys))
    return replace(
        contact,
        mails=tuple(mails),
        keys=tuple(dict.fromkeys(all_keys)),
        sips=tuple(dict.fromkeys((*contact.sips, *map(check_sip, sips)))),
    )


def _renamed(mails: list[Mailbox], user: str, petname: str) -> list[Mailbox]:
    from dexmesh.apps.base.domains import parse_domain
    from dexmesh.apps.base.mailbox import parse_mailbox

    for place, mail in enumerate(mails):
        if parse_domain(mail.domain) is not None:
            mails[place] = parse_mailbox(f"{user}@{mail.domain}")
            return mails
    hint = f"dexmesh contact edit {petname} --add {user}@[IPv6:fc...]"
    raise ContactError(f"{petname} has no mail address on the mesh yet", hint)


def _with_words(
    contact: Contact,
    petname: str | None,
    full_name: str | None,
    remark: str | None,
    verified: bool | None,
) -> Contact:
    from dexmesh.apps.contacts.contact import How, Verification
    from dexmesh.apps.contacts.petname import check_petname

    if petname is not None:
        contact = replace(contact, petname=check_petname(petname.lower()))
    if full_name is not None:
        contact = replace(contact, full_name=" ".join(full_name.split()))
    if remark is not None:
        contact = replace(contact, note=remark)
    if verified is not None:
        how = Verification(How.BY_HAND, float(int(time.time()))) if verified else None
        contact = replace(contact, verified=how)
    return contact


# --- In an editor -------------------------------------------------------------------------------------


def _in_editor(book: AddressBook, former: Contact) -> Contact:
    from dexmesh.apps.contacts.contact import contact_of
    from dexmesh.apps.contacts.vcard import decode_text, read_card, write_card

    card = book.card(former.petname)
    text = write_card(card).replace("\r\n ", "").replace("\r\n", "\n")
    draft = _draft(former.petname, text)
    is_done = False
    try:
        while True:
            _run_editor(draft)
            data = draft.read_bytes()
            if data.decode("utf-8", "replace") == text:
                return former
            try:
                changed = read_card(decode_text(data, "the card"))
                petname = changed.text("X-CJDNS-PETNAME").strip().lower() or former.petname
                contact = contact_of(changed, petname)
                if book.card(former.petname) != card:
                    raise ContactError(f"{former.petname} was changed by another program meanwhile")
                book.edit(former.petname, contact, changed)
                is_done = True
                return contact
            except ContactError as error:
                if not _wants_again(error):
                    raise
    finally:
        if is_done or draft.read_bytes() == text.encode():
            draft.unlink()
        else:
            note(f"your text is kept in {draft}")


def _draft(petname: str, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f"{petname}-", suffix=".vcf")  # 0600
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return Path(name)


def _run_editor(path: Path) -> None:
    named = next((os.environ[name] for name in _EDITORS if os.environ.get(name)), "")
    if not named and not sys.stdin.isatty():
        misused("nothing to change", "give options, or set $EDITOR to change the card as a text")
    try:
        command = [*shlex.split(named or "editor"), str(path)]
        done = subprocess.run(command, check=False)
    except FileNotFoundError:
        hint = "Set $EDITOR to an editor that is installed, or give options."
        raise ContactError(f"there is no editor {named or 'editor'!r}", hint) from None
    except ValueError:
        raise ContactError("$EDITOR has a quotation mark without its other half") from None
    if done.returncode != 0:
        raise ContactError(f"the editor ended with {done.returncode}; nothing was changed")


def _wants_again(error: ContactError) -> bool:
    if not sys.stdin.isatty():
        return False
    note(f"{error}. {error.hint}")
    return typer.confirm("Edit it again?", default=True, err=True)
