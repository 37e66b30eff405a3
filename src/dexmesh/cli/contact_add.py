"""`dexmesh contact add | scan`: take somebody into the address book, by hand or by invitation.

Place     cli/contact.py -> here -> apps/contacts/, then the service if it runs
Spec      docs/apps/mail.md §5, docs/apps/invitation.md
Keeps     the contact is on disk before anything else is tried; what the service cannot do now is said,
          and never undoes it
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.cli.contact_book import HomeOption, SeveralMails, describe, home_of, open_book
from dexmesh.cli.contact_service import ask_reach, is_own, send_request
from dexmesh.cli.contact_words import read_key, read_ways
from dexmesh.cli.output import misused, note, print_json, reports_errors, say
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.errors import ContactError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.apps.contacts.contact import Contact, How, Verification
    from dexmesh.apps.contacts.invitation import Invitation

PeersOption = Annotated[
    bool, typer.Option("--with-peers", help="Also call the peers in the invitation from now on.")
]
RequestOption = Annotated[
    bool, typer.Option("--no-request", help="Do not tell the inviter who accepted.")
]
CheckOption = Annotated[
    bool, typer.Option("--no-check", help="Do not ask whether the mail server there answers.")
]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="PETNAME", help="Call the person this, not as proposed."),
]
UserOption = Annotated[
    str | None, typer.Option("--user", help="The local user who accepts (default: you).")
]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How an invitation is to be accepted."""

    home: Path | None
    config: Path | None
    petname: str = ""
    user: str | None = None
    with_peers: bool = False
    no_request: bool = False
    no_check: bool = False
    as_json: bool = False


@reports_errors
def add(
    name: Annotated[str, typer.Argument(help="What to call the person here; or the invitation.")],
    addresses: SeveralMails = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="KEY.k", help="The key of the node.")
    ] = None,
    full_name: Annotated[str, typer.Option("--full-name", help="The name in front of mails.")] = "",
    sip: Annotated[
        list[str] | None, typer.Option("--sip", help="A SIP address (sip:bob@[ADDRESS]).")
    ] = None,
    remark: Annotated[str, typer.Option("--note", help="Anything to remember.")] = "",
    verified: Annotated[
        bool, typer.Option("--verified", help="You compared the key with the person.")
    ] = False,
    with_peers: PeersOption = False,
    no_request: RequestOption = False,
    no_check: CheckOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take somebody in: by mail address, mesh address, key, or the invitation you were given."""
    from dexmesh.apps.contacts.contact import How
    from dexmesh.apps.contacts.invitation import is_invitation

    words = addresses or []
    invitations = [one for one in (name, *words) if is_invitation(one)]
    if invitations:
        if len(words) > 1 or (words and is_invitation(name)):
            misused("an invitation says everything", "dexmesh contact add [PETNAME] INVITATION")
        petname = name if words else ""
        wishes = Wishes(home, config, petname, user, with_peers, no_request, no_check, as_json)
        accept(invitations[0], How.INVITED, wishes)
        return
    if not words and not key:
        misused("an address or a key is needed", "dexmesh contact add bob bob@[IPv6:fc...]")
    book = open_book(home)
    contact, is_guessed = _contact_by_hand(book, name, words, key or [])
    contact = _with_details(contact, full_name, sip or [], remark, verified)
    book.add(contact)
    sentences = _said_about_user(contact) if is_guessed else []
    _finish(contact, Wishes(home, config, no_check=no_check, as_json=as_json), sentences)


@reports_errors
def scan(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[IMAGE|INVITATION]",
            help="A picture, or the text of it; - reads it (default: camera).",
        ),
    ] = None,
    petname: AsOption = None,
    user: UserOption = None,
    with_peers: PeersOption = False,
    no_request: RequestOption = False,
    no_check: CheckOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept an invitation: from a picture of its QR code, from the camera, or from its text."""
    from dexmesh.apps.contacts.contact import How
    from dexmesh.apps.contacts.invitation import is_invitation
    from dexmesh.cli.contact_scan import read_camera, read_picture, read_stream

    how = How.SCANNED
    if what is None:
        text = read_camera()
    elif is_invitation(what):
        text, how = what, How.INVITED
    elif what == "-":
        text, how = read_stream(sys.stdin.buffer), How.INVITED
    else:
        text = read_picture(Path(what))
    wishes = Wishes(home, config, petname or "", user, with_peers, no_request, no_check, as_json)
    accept(text, how, wishes)


def accept(text: str, how: How, wishes: Wishes) -> None:
    """Make a contact of an invitation, tell the inviter, and see to the peers in it."""
    from dexmesh.apps.contacts.contact import Verification
    from dexmesh.apps.contacts.invitation import decode_invitation
    from dexmesh.cli.contact_peers import call_peers, describe_peers

    invitation = decode_invitation(text)
    if is_own(home_of(wishes.home), invitation, wishes.user):
        hint = "it is for others: `dexmesh contact invite --qr` shows it as a QR code"
        raise ContactError("that is your own invitation", hint)
    verified = Verification(how, float(int(time.time())))
    contact = _take_in(open_book(wishes.home), invitation, verified, wishes.petname)
    sentences: list[str] = []
    if invitation.peers:
        if wishes.with_peers:
            sentences += call_peers(invitation.peers, wishes.config)
        else:
            sentences += describe_peers(invitation.peers)
    if not wishes.no_request:
        sentences += send_request(home_of(wishes.home), contact, wishes.user, wishes.config)
    _finish(contact, wishes, sentences)


def _take_in(
    book: AddressBook, invitation: Invitation, verified: Verification, petname: str
) -> Contact:
    """The contact of this invitation: a new one, or the one with this mailbox, now with its key."""
    from dataclasses import replace

    from dexmesh.apps.contacts.imports import free_petname
    from dexmesh.apps.contacts.invitation import contact_from

    known = book.by_mailbox(invitation.mailbox)
    if known is not None:
        keys = tuple(dict.fromkeys((*known.keys, invitation.key)))
        name = known.full_name or invitation.full_name
        contact = replace(known, keys=keys, verified=verified, full_name=name)
        contact = replace(contact, petname=_petname(petname)[0]) if petname else contact
        book.edit(known.petname, contact)
        return contact
    contact = contact_from(invitation, verified, _petname(petname)[0] if petname else "")
    if not petname:
        taken = set(book.petnames())
        contact = replace(contact, petname=free_petname(contact.petname, taken.__contains__))
    book.add(contact)
    return contact


def _contact_by_hand(
    book: AddressBook, name: str, words: list[str], keys: list[str]
) -> tuple[Contact, bool]:
    from dexmesh.apps.base.domains import literal
    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.contacts.contact import Contact
    from dexmesh.wire.keys import address_of

    petname, full_name = _petname(name)
    mails, known_keys, is_guessed = read_ways(words, petname, book)
    own_keys = tuple(dict.fromkeys((*known_keys, *map(read_key, keys))))
    contact = Contact(petname, full_name, mails, own_keys)
    if not contact.addresses:
        hint = "add his key, or his address on the mesh: name@[IPv6:fc...]"
        raise ContactError("none of these addresses is on the mesh", hint)
    if not mails:
        mails = tuple(Mailbox(petname, literal(address_of(one))) for one in own_keys)
        contact, is_guessed = Contact(petname, full_name, mails, own_keys), True
    return contact, is_guessed


def _petname(name: str) -> tuple[str, str]:
    """The petname that is meant, and the full name if that is what was typed."""
    from dexmesh.apps.contacts.petname import check_petname, is_petname, petname_from

    if is_petname(name):
        return name, ""
    made = petname_from(name)
    if made and name.lower() == made:  # only capitals
        return made, ""
    if made and (" " in name.strip() or not name.isascii()):
        return made, " ".join(name.split())
    if not name.isascii():
        raise ContactError(
            f"no petname can be made of {name[:80]!r}",
            f"choose one of a-z, 0-9 and -: dexmesh contact add PETNAME ADDRESS --full-name {name[:80]!r}",
        )
    return check_petname(name), ""


def _with_details(
    contact: Contact, full_name: str, sips: list[str], remark: str, verified: bool
) -> Contact:
    from dataclasses import replace

    from dexmesh.apps.contacts.contact import How, Verification, check_sip

    how = Verification(How.BY_HAND, float(int(time.time()))) if verified else None
    return replace(
        contact,
        full_name=full_name or contact.full_name,
        sips=tuple(check_sip(one) for one in sips),
        note=remark,
        verified=how,
    )


def _said_about_user(contact: Contact) -> list[str]:
    user = contact.mails[0].local
    return [
        f"mail goes to the user {user!r} there; if he has another name: "
        f"`dexmesh contact edit {contact.petname} --user NAME`"
    ]


def _finish(contact: Contact, wishes: Wishes, sentences: list[str]) -> None:
    report: dict[str, Any] | None = None
    if not wishes.as_json:
        say(f"{contact.petname} is in the address book: {contact.mails[0]}")
        for sentence in sentences:
            note(sentence)
    if not wishes.no_check:
        report, said = ask_reach(home_of(wishes.home), contact)
        sentences = [*sentences, *said]
        if not wishes.as_json:
            for sentence in said:
                note(sentence)
    if wishes.as_json:
        print_json(describe(contact) | {"said": sentences, "reach": report})
