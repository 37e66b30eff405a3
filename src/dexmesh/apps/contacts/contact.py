"""Describe a contact: a person with a key, and the card he is kept on.

Place     book.py, exports.py, imports.py, cli/contact*.py -> here -> vcard.py
Spec      docs/apps/mail.md §5 (FN, EMAIL, IMPP, X-CJDNS-KEY, X-CJDNS-PETNAME), §1 (spellings)
Keeps     an address is kept as the user spelt it and compared by its 16 bytes; what we do not know
          of a card stays on it, parameters included
Not here  files and their index (book.py); the grammar of cards (vcard.py)
"""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from dexmesh.apps.base.domains import parse_domain
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
from dexmesh.apps.contacts.vcard import Card, CardError, Property, text_property
from dexmesh.errors import AddressError, ContactError, DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, is_mesh_address, parse_address
from dexmesh.wire.keys import PublicKey, address_of, decode_key, encode_key

MAX_WAYS = 32  # ours: mail addresses, keys and SIP addresses of one contact, each
MAX_TEXT_CHARS = 16_384  # ours, of a note

_SIP = re.compile(
    r"sips?:(?:[^\s@<>\"]{1,255}@)?(\[[0-9A-Fa-f:.]{2,45}\]|[\w.-]{1,255})(?::\d{1,5})?", re.I
)
_PLAIN_MAIL = re.compile(
    r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@(\[[A-Fa-f0-9IPVipv:]+\]|[a-z0-9]+\.k)"
)
_TIME = "%Y%m%dT%H%M%SZ"
_SINGLE = ("FN", "NOTE", "X-CJDNS-PETNAME", "X-CJDNS-VERIFIED")


class How(enum.Enum):
    """How the key of a contact became known to be his."""

    SCANNED = "scanned"
    INVITED = "invited"
    BY_HAND = "by-hand"


@dataclass(frozen=True, slots=True)
class Verification:
    """That somebody made sure the key is the person's: how, and when (Unix seconds)."""

    how: How
    unix_time: float


@dataclass(frozen=True, slots=True)
class Contact:
    """One person. `petname` is unique here; `sips` are whole URIs (`sip:bob@[fc00::1]`)."""

    petname: str
    full_name: str = ""
    mails: tuple[Mailbox, ...] = ()
    keys: tuple[PublicKey, ...] = ()
    sips: tuple[str, ...] = ()
    note: str = ""
    verified: Verification | None = None

    @property
    def is_verified(self) -> bool:
        """Whether somebody made sure that this key is this person's."""
        return self.verified is not None

    @property
    def name(self) -> str:
        """What to call the person in front of an address."""
        return self.full_name or self.petname

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The nodes of this person, the one mail goes to first."""
        return places_of(self)[0]

    @property
    def address(self) -> Address | None:
        """The node of this person that mail goes to."""
        return next(iter(self.addresses), None)

    def key_at(self, address: Address) -> PublicKey | None:
        """The key of this person whose address that is, if it is known."""
        return next((key for key in self.keys if address_of(key) == address), None)

    def mesh_mails(self) -> tuple[Mailbox, ...]:
        """The mailboxes on nodes of the mesh, the preferred one first."""
        return tuple(mail for mail in self.mails if parse_domain(mail.domain) is not None)


Identity: TypeAlias = tuple[str, bytes]
"""Equal for two spellings of one mailbox: the user in lower case, and the node or foreign domain."""


def mailbox_identity(mail: Mailbox) -> Identity:
    """What one mailbox is compared by."""
    return _identity(mail, parse_domain(mail.domain))


def places_of(contact: Contact) -> tuple[tuple[Address, ...], tuple[Identity, ...]]:
    """What a contact is found by: his nodes, the one mail goes to first, and his mailboxes."""
    nodes: dict[Address, None] = {}
    identities = []
    for mail in contact.mails:
        address = parse_domain(mail.domain)
        identities.append(_identity(mail, address))
        if address is not None:
            nodes[address] = None
    for key in contact.keys:
        nodes[address_of(key)] = None
    for sip in contact.sips:
        if (address := sip_address(sip)) is not None:
            nodes[address] = None
    return tuple(nodes), tuple(identities)


def _identity(mail: Mailbox, address: Address | None) -> Identity:
    return mail.local.lower(), mail.domain.lower().encode() if address is None else address


def sip_address(uri: str) -> Address | None:
    """The node a SIP URI means; None if it is none of the mesh."""
    found = _SIP.fullmatch(uri)
    if found is None:
        return None
    host = found[1]
    if not host.startswith("["):
        return parse_domain(host)
    try:
        address = parse_address(host[1:-1])
    except DecodeError:
        return None
    return address if is_mesh_address(address) else None


def check_sip(text: str) -> str:
    """A SIP URI as it is kept; `sip:` is put in front. Raises ContactError if it is none."""
    uri = text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"
    if _SIP.fullmatch(uri) is None:
        raise ContactError(f"{text[:80]!r} is no SIP address", "Write sip:bob@[fc00::1].")
    return uri


def require_agreement(contact: Contact) -> None:
    """Raise ContactError when a key of the contact belongs to none of the addresses beside it."""
    told = {parse_domain(mail.domain) for mail in contact.mails} - {None}
    for key in contact.keys:
        if told and address_of(key) not in told:
            raise ContactError(
                f"the key {encode_key(key)} is not the key of the address beside it",
                "One of the two is mistyped; the key alone is enough, the address follows from it.",
            )


# --- From a card, and onto one ------------------------------------------------------------------------


def contact_of(card: Card, petname: str) -> Contact:
    """The contact a card describes. Raises CardError if an address or a key on it is wrong."""
    mails, keys, sips = [], [], []
    for one in card.properties:
        if one.name == "EMAIL":
            mails.append(_mail_of(one, petname))
        elif one.name in ("X-CJDNS-KEY", "KEY"):
            if (key := _key_of(one, petname)) is not None:
                keys.append(key)
        elif one.name == "IMPP" and _SIP.fullmatch(one.value):
            sips.append(one.value)
    if max(len(mails), len(keys), len(sips)) > MAX_WAYS:
        raise CardError(f"{petname}: more than {MAX_WAYS} addresses")
    full_name, note = card.text("FN").strip(), card.text("NOTE")
    if len(full_name) > MAX_TEXT_CHARS or len(note) > MAX_TEXT_CHARS:
        raise CardError(f"{petname}: a name or note of more than {MAX_TEXT_CHARS} characters")
    return Contact(
        petname=petname,
        full_name="" if full_name == petname else full_name,
        mails=tuple(mails),
        keys=tuple(dict.fromkeys(keys)),
        sips=tuple(sips),
        note=note,
        verified=_verification_of(card),
    )


def card_of(contact: Contact, former: Card | None = None) -> Card:
    """The contact as a card of version 4.0, with everything of its former card that still holds."""
    left = list(_properties(contact))
    kept: list[Property] = []
    for one in former.properties if former is not None else ():
        if not _is_ours(one):
            if one.name != "N" or _is_same(former, contact):
                kept.append(one)
            continue
        place = next((at for at, new in enumerate(left) if _replaces(new, one)), None)
        if place is not None:
            new = left.pop(place)
            kept.append(Property(new.name, new.value, new.params or one.params, one.group))
    return Card("4.0", tuple(_name_first([*kept, *left])))


def _properties(contact: Contact) -> Iterator[Property]:
    yield text_property("FN", contact.name)
    yield text_property("X-CJDNS-PETNAME", contact.petname)
    for mail in contact.mails:
        yield text_property("EMAIL", str(Mailbox(mail.local, mail.domain)))
    for key in contact.keys:
        yield Property("X-CJDNS-KEY", encode_key(key))
    for sip in contact.sips:
        yield Property("IMPP", sip)
    if contact.note:
        yield text_property("NOTE", contact.note)
    if contact.verified is not None:
        when = datetime.datetime.fromtimestamp(contact.verified.unix_time, datetime.UTC)
        how = contact.verified.how.value
        yield Property("X-CJDNS-VERIFIED", when.strftime(_TIME), f";HOW={how}")


def _is_ours(one: Property) -> bool:
    """Whether the contact says what this property says; a PGP key or a chat address it does not."""
    if one.name == "IMPP":
        return _SIP.fullmatch(one.value) is not None
    if one.name == "KEY":
        return _key_of(one, "") is not None
    return one.name in _SINGLE or one.name in ("EMAIL", "X-CJDNS-KEY")


def _replaces(new: Property, old: Property) -> bool:
    return new.name == old.name and (new.name in _SINGLE or new.text == old.text)


def _is_same(former: Card | None, contact: Contact) -> bool:
    """Whether the full name did not change: else the structured name contradicts it."""
    return former is not None and former.text("FN").strip() == contact.name


def _name_first(properties: Iterable[Property]) -> list[Property]:
    return sorted(properties, key=lambda one: one.name != "FN")


def _mail_of(one: Property, petname: str) -> Mailbox:
    plain = _PLAIN_MAIL.fullmatch(one.value)
    if plain is not None:  # nearly every address; ten times as quick as the whole grammar
        return Mailbox(plain[1], plain[2])
    text = one.text.strip().removeprefix("mailto:")
    try:
        mail = parse_mailbox(text)
    except AddressError as error:
        raise CardError(f"{petname}: {error}", error.hint) from None
    return Mailbox(mail.local, mail.domain)


def _key_of(one: Property, petname: str) -> PublicKey | None:
    text = one.value.strip()
    try:
        return decode_key(text.lower())
    except DecodeError as error:
        if one.name == "KEY":
            return None  # a key of PGP or X.509
        raise CardError(f"{petname}: {text[:60]!r}: {error}") from None


def _verification_of(card: Card) -> Verification | None:
    for one in card.all("X-CJDNS-VERIFIED"):
        try:
            when = datetime.datetime.fromisoformat(one.value.strip())
            if when.tzinfo is None:
                return None
            return Verification(How(one.param("HOW").lower()), when.timestamp())
        except ValueError:
            return None  # a word of another program about its own check is no check of ours
    return None
