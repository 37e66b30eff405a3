"""Find the mailbox somebody means: a petname, a name, an address in any spelling, or a key.

Place     cli (send, invite, doctor), submission -> book.py -> here
Spec      docs/apps/mail.md §1 (tagless literals are refused and corrected; `user@petname`)
Keeps     nobody is chosen by guessing: an exact petname, address or full name, else suggestions
Not here  lists of addresses in headers (base/mailbox.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dexmesh.apps.base.domains import ALT_SUFFIX, literal, parse_domain, suggest_tag
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.contacts.contact import Contact
from dexmesh.errors import AddressError, ContactError, DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, is_mesh_address, parse_address
from dexmesh.wire.keys import KEY_SUFFIX, address_of, decode_key, encode_key

if TYPE_CHECKING:
    from dexmesh.apps.contacts.book import AddressBook

MOST_SUGGESTIONS = 8
MAX_TEXT_CHARS = 1000  # ours


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Nobody for certain: why, and what to type instead (petnames or addresses), the likeliest first."""

    text: str
    reason: str
    instead: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """What to do, for the user."""
        if not self.instead:
            return "`dexmesh contact list` shows who is in the address book."
        return f"Did you mean {' or '.join(self.instead)}?"

    def error(self) -> ContactError:
        """The same as an exception."""
        return ContactError(self.reason, self.hint)


def resolve(book: AddressBook, text: str) -> Mailbox | Suggestions:
    """The mailbox meant by `text`, with the name of the contact if it is one's. Raises ContactError
    only when the book itself cannot be read."""
    text = text.strip()
    if not text or len(text) > MAX_TEXT_CHARS:
        return Suggestions(text[:80], "that is no recipient")
    node = node_of(text)
    if node is not None:
        return _at_node(book, node, text)
    if (right := suggest_tag(text)) is not None and "@" in text:
        return Suggestions(text, f"{text} lacks the tag IPv6: in its brackets", (right,))
    if "@" in text or "<" in text:
        return _at_domain(book, text)
    return _by_name(book, text)


def mailbox_of(contact: Contact) -> Mailbox | None:
    """Where mail to this contact goes; None if nothing on the mesh is known of him."""
    for mail in contact.mesh_mails():
        return Mailbox(mail.local, mail.domain, contact.full_name)
    for key in contact.keys:
        return Mailbox(contact.petname, encode_key(key), contact.full_name)
    return None


def node_of(text: str) -> Address | None:
    """The node written as a bare address, in brackets or not, or as a key (`.k`, `.cjdns.alt`)."""
    text = text.strip().lower()
    if text.endswith((KEY_SUFFIX, ALT_SUFFIX)):
        try:
            return address_of(
                decode_key(text.removesuffix(ALT_SUFFIX).removesuffix(KEY_SUFFIX) + KEY_SUFFIX)
            )
        except DecodeError:
            return None
    bare = text.removeprefix("[").removesuffix("]").removeprefix("ipv6:")
    try:
        address = parse_address(bare)
    except DecodeError:
        return None
    return address if is_mesh_address(address) else None


def _at_node(book: AddressBook, node: Address, text: str) -> Mailbox | Suggestions:
    there = book.by_address(node)
    found = [(one, mail) for one in there for mail in _mails_at(one, node)]
    if len(found) == 1:
        contact, mail = found[0]
        return Mailbox(mail.local, mail.domain, contact.full_name)
    if found:
        reason = f"several people are on {text}"
        return Suggestions(text, reason, _few(one.petname for one, _mail in found))
    reason = f"{text} is a node, and nobody in the address book lives there: who is meant?"
    return Suggestions(text, reason, (f"NAME@{literal(node)}",))


def _mails_at(contact: Contact, node: Address) -> list[Mailbox]:
    mails = [mail for mail in contact.mesh_mails() if parse_domain(mail.domain) == node]
    if not mails and (key := contact.key_at(node)) is not None:
        mails = [Mailbox(contact.petname, encode_key(key))]
    return mails


def _at_domain(book: AddressBook, text: str) -> Mailbox | Suggestions:
    try:
        mail = parse_mailbox(text)
    except AddressError as error:
        return Suggestions(text, str(error))
    address = parse_domain(mail.domain)
    if address is None:
        address = parse_domain(mail.domain, book.address_of)
        if address is None:
            return _no_such_domain(book, mail, text)
        mail = Mailbox(mail.local, literal(address), mail.name)
    if mail.name:
        return mail
    contact = book.by_mailbox(mail)
    return mail if contact is None else Mailbox(mail.local, mail.domain, contact.full_name)


def _no_such_domain(book: AddressBook, mail: Mailbox, text: str) -> Suggestions:
    if (right := suggest_tag(str(mail))) is not None:
        return Suggestions(text, f"{text} lacks the tag IPv6: in its brackets", (right,))
    label = mail.domain.lower().removesuffix(ALT_SUFFIX)
    near = tuple(f"{mail.local}@{name}" for name in _near(label, book.petnames()))
    return Suggestions(text, f"{mail.domain} is no node of the mesh and no petname", near)


def _by_name(book: AddressBook, text: str) -> Mailbox | Suggestions:
    contact = book.get(text)
    if contact is not None:
        return mailbox_of(contact) or _unreachable(contact, text)
    wanted = text.casefold()
    everybody = book.all()
    same = [one for one in everybody if one.full_name.casefold() == wanted]
    if len(same) == 1:
        return mailbox_of(same[0]) or _unreachable(same[0], text)
    if same:
        reason = f"several people are called {text}"
        return Suggestions(text, reason, _few(one.petname for one in same))
    begins = [
        one.petname
        for one in everybody
        if one.petname.startswith(wanted)
        or any(word.startswith(wanted) for word in one.full_name.casefold().split())
    ]
    near = begins or _near(wanted, [one.petname for one in everybody])
    return Suggestions(text, f"nobody is called {text!r} in the address book", _few(near))


def _unreachable(contact: Contact, text: str) -> Suggestions:
    reason = f"no mesh address of {contact.petname} is known"
    return Suggestions(text, reason, tuple(str(mail) for mail in contact.mails[:MOST_SUGGESTIONS]))


def _near(word: str, names: Iterable[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(word[:63], list(names), n=3, cutoff=0.7)


def _few(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))[:MOST_SUGGESTIONS]
