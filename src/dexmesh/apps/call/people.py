"""Tell the phone who lives here and whom they know, and find out who is meant by what somebody typed.

Place     call/service.py -> here -> contacts/book.py, the settings; phone/ asks through people.py there
Spec      docs/apps/sip.md §1 (addresses in SIP), §3 "Identity and safety rules"
Keeps     nobody is chosen by guessing; a book that cannot be read makes everybody a stranger
Not here  what follows for a call (phone/policy.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dexmesh.apps.base.domains import literal, parse_domain
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.sip.uri import SipUri, parse_uri
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import Contact, sip_address
from dexmesh.apps.contacts.recipients import Suggestions, node_of
from dexmesh.errors import AppError, DecodeError, DexmeshError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

_BRACKETS = re.compile(r"@\[(?!ipv6:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call or to write to. `name` is what he is called here."""

    address: Address
    uri: SipUri
    name: str


def find_target(book: AddressBook, text: str) -> Target:
    """Who is meant by a petname, a name, a SIP or mail address in any spelling, or a key.

    Raises ContactError with suggestions, AppError for an address outside of the mesh.
    """
    text = text.strip()
    contact = book.get(text)
    if contact is not None and (target := _by_contact(contact)) is not None:
        return target
    if text.lower().startswith(("sip:", "sips:")):
        return _by_uri(book, text)
    found = book.resolve_recipient(_BRACKETS.sub("@[IPv6:", text))
    if isinstance(found, Suggestions):
        node = node_of(text)
        if node is None or book.by_address(node):
            raise found.error()
        return Target(node, uri_at(node), text)  # whoever is first there
    address = parse_domain(found.domain, book.address_of)
    if address is None:
        raise AppError(f"{text[:80]} is no node of the mesh", "calls and texts stay on the mesh")
    return Target(
        address, uri_at(address, found.local), _person(book, address, found.local) or str(found)
    )


def _by_contact(contact: Contact) -> Target | None:
    for sip in contact.sips:
        if (address := sip_address(sip)) is not None:
            return Target(address, _uri(sip), contact.petname)
    for mail in contact.mesh_mails():
        address = parse_domain(mail.domain)
        if address is not None:
            return Target(address, uri_at(address, mail.local), contact.petname)
    if contact.address is not None:
        return Target(contact.address, uri_at(contact.address), contact.petname)
    return None


def _by_uri(book: AddressBook, text: str) -> Target:
    address = sip_address(text.partition(";")[0])
    if address is None:
        raise AppError(f"{text[:80]!r} is no SIP address of the mesh", "write sip:bob@[fc00::1]")
    uri = _uri(text)
    return Target(address, uri, _person(book, address, uri.user) or text)


def _person(book: AddressBook, address: Address, user: str) -> str:
    """What this user of that node is called here; others may live there, too."""
    if not user:
        return _name(book, address)
    contact = book.by_mailbox(Mailbox(user, literal(address)))
    return contact.petname if contact is not None else ""


def _uri(text: str) -> SipUri:
    try:
        return parse_uri(text)
    except DecodeError as error:
        raise AppError(
            f"{text[:80]!r} is no SIP address: {error}", "write sip:bob@[fc00::1]"
        ) from None


def _name(book: AddressBook, address: Address, user: str = "") -> str:
    try:
        return book.petname_of(address, user) or ""
    except (DexmeshError, OSError):
        return ""


class Acquaintances:
    """The address book and the blocked ones, as the phone asks for them (phone/people.py, Contacts)."""

    def __init__(self, me: Me, book: AddressBook, is_blocked: Callable[[Address], bool]) -> None:
        self._own, self._book, self._is_blocked = me.address, book, is_blocked

    def is_contact(self, address: Address, /) -> bool:
        """Whether somebody in the book lives there. The own node counts."""
        return address == self._own or bool(_name(self._book, address))

    def is_blocked(self, address: Address, /) -> bool:
        """Whether nothing at all is wanted from there."""
        return self._is_blocked(address)

    def petname_of(self, address: Address, user: str = "", /) -> str | None:
        """What the contact there is called here."""
        return _name(self._book, address, user) or None


class Inhabitants:
    """The local users and aliases, as the phone asks for them (phone/people.py, Directory)."""

    def __init__(self, settings: MailSettings) -> None:
        self._users = tuple(user.name for user in settings.users)
        self._aliases = settings.aliases

    def users(self) -> tuple[str, ...]:
        """Everybody who lives here; a call to no one in particular is for the first."""
        return self._users

    def users_of(self, name: str, /) -> tuple[str, ...]:
        """The users behind an alias (lower case), as the settings say; () if it is none."""
        return self._aliases.get(name, ())
