"""Make mail addresses, keys and SIP addresses of what somebody typed about a person.

Place     cli/contact_add.py, cli/contact_edit.py -> here -> apps/
Spec      docs/apps/mail.md §1 (tagless literals are refused, the right form is offered)
Keeps     what was typed is taken as it is or refused with what to type instead
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dexmesh.errors import AddressError, ContactError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.wire.keys import PublicKey


def read_ways(
    words: Iterable[str], petname: str, book: AddressBook
) -> tuple[tuple[Mailbox, ...], tuple[PublicKey, ...], bool]:
    """The mailboxes and keys in these words; and whether the user name was taken from the petname."""
    from dexmesh.apps.base.domains import ALT_SUFFIX, literal
    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.contacts.contact import mailbox_identity
    from dexmesh.apps.contacts.recipients import node_of
    from dexmesh.wire.keys import KEY_SUFFIX

    mails: dict[tuple[str, bytes], Mailbox] = {}
    keys: list[PublicKey] = []
    is_guessed = False
    for word in words:
        node = node_of(word)
        if node is None:
            mail = _mailbox(word, book)
        else:
            mail, is_guessed = Mailbox(petname, literal(node)), True
        domain = (word if node is not None else mail.domain).strip().lower()
        if domain.endswith((KEY_SUFFIX, ALT_SUFFIX)):
            keys.append(
                read_key(domain.removesuffix(ALT_SUFFIX).removesuffix(KEY_SUFFIX) + KEY_SUFFIX)
            )
        mails.setdefault(mailbox_identity(mail), mail)  # the same mailbox in two spellings is one
    return tuple(mails.values()), tuple(dict.fromkeys(keys)), is_guessed


def read_key(text: str) -> PublicKey:
    """A public key; `.k` may be missing. Raises ContactError."""
    from dexmesh.wire.keys import KEY_SUFFIX, decode_key

    try:
        return decode_key(text.strip().lower().removesuffix(KEY_SUFFIX) + KEY_SUFFIX)
    except DecodeError as error:
        hint = "A public key is 52 characters and .k."
        raise ContactError(f"{text[:80]!r}: {error}", hint) from None


def _mailbox(word: str, book: AddressBook) -> Mailbox:
    from dexmesh.apps.base.domains import ALT_SUFFIX, literal, parse_domain, suggest_tag
    from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
    from dexmesh.wire.keys import KEY_SUFFIX

    right = suggest_tag(word)
    if right is not None:
        raise ContactError(f"{word} lacks the tag IPv6: in its brackets", f"Write {right}")
    try:
        mail = parse_mailbox(word)
    except AddressError as error:
        hint = "write name@[IPv6:fc...], a mesh address, a key, or an invitation (dexmesh:...)"
        raise ContactError(str(error), hint) from None
    mail = Mailbox(mail.local, mail.domain)
    if parse_domain(mail.domain) is not None:
        return mail
    address = parse_domain(mail.domain, book.address_of)
    if address is not None:  # a petname may change its meaning later
        return Mailbox(mail.local, literal(address))
    name = mail.domain.lower()
    is_ours = name.startswith("[") or name.endswith((KEY_SUFFIX, ALT_SUFFIX))
    if not is_ours and "." in name.strip("."):
        return mail  # an address outside of the mesh, kept for the person
    hint = "Write name@[IPv6:fc...] or name@<key>.k."
    raise ContactError(f"{mail.domain} is no node of the mesh and no petname", hint)
