"""Write contacts in the forms that other programs read.

Place     cli/contact_files.py -> here
Spec      docs/apps/mail.md §5 "Export", §3 (what each program takes); RFC 2426 for vCard 3
Keeps     nothing of a name or address can become a command of the program that reads it: mutt runs
          what stands between backticks in its files; who does not fit is named, not left out silently
Not here  reading these forms (imports.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from dexmesh.apps.base.domains import parse_domain
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import Contact, sip_address
from dexmesh.apps.contacts.recipients import mailbox_of
from dexmesh.apps.contacts.vcard import Card, Property, escape, write_card
from dexmesh.values import dataclass
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import KEY_SUFFIX, encode_key

_SAFE_ADDRESS = re.compile(r"[A-Za-z0-9._+=-]+@(?:\[[0-9A-Fa-f:IPViv]+\]|[A-Za-z0-9.-]+)")
_SAFE_SIP = re.compile(
    r"sips?:(?:[A-Za-z0-9._+-]+@)?(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?::\d+)?", re.IGNORECASE
)
_UNSAFE_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029`$\\\"#;<>()\[\]@,:!%&|*?={}~^]+")
_DATA_URI = re.compile(r"data:(?:image|audio)/([A-Za-z0-9.+-]{1,30});base64,(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Person:
    """A contact together with his whole card."""

    contact: Contact
    card: Card


@dataclass(frozen=True, slots=True)
class Exported:
    """The text of the file, and why somebody is not in it."""

    text: str
    left_out: tuple[str, ...]


class _DoesNotFitError(Exception):
    """This contact cannot be written in this form."""


def export(persons: Iterable[Person], form: str) -> Exported:
    """The contacts in this form, one of `FORMS`."""
    write = FORMS[form]
    parts: list[str] = []
    left_out: list[str] = []
    for number, person in enumerate(persons):
        try:
            parts.append(write(person, number - len(left_out)))
        except _DoesNotFitError as error:
            left_out.append(f"{person.contact.petname}: {error}")
    return Exported("".join(parts), tuple(left_out))


def _vcard4(person: Person, _number: int) -> str:
    return write_card(person.card)


def _vcard3(person: Person, _number: int) -> str:
    properties = [_older(one) for one in person.card.properties]
    if not person.card.all("N"):
        properties.insert(1, Property("N", f"{escape(person.contact.name)};;;;"))
    return write_card(Card("3.0", tuple(properties)))


def _alpine(person: Person, _number: int) -> str:
    contact = person.contact
    return f"{contact.petname}\t{_plain_name(contact)}\t{_safe(_mail(contact))}\n"


def _mutt(person: Person, _number: int) -> str:
    contact = person.contact
    return f"alias {contact.petname} {_plain_name(contact)} <{_safe(_mail(contact))}>\n"


def _neomutt(person: Person, _number: int) -> str:
    contact = person.contact
    mail = _mail(contact)
    if not mail.domain.lower().endswith(KEY_SUFFIX):
        address = parse_domain(mail.domain)
        key = None if address is None else contact.key_at(address)
        if key is None:
            raise _DoesNotFitError("neomutt needs the key of his node, which is not known")
        mail = Mailbox(mail.local, encode_key(key))
    return f"alias {contact.petname} {_plain_name(contact)} <{_safe(mail)}>\n"


def _s_nail(person: Person, _number: int) -> str:
    contact = person.contact
    return f"alias {contact.petname} {_safe(_mail(contact))}\n"


def _linphone(person: Person, number: int) -> str:
    lines = f"url={_name_and_sip(person.contact)}\npol=accept\nsubscribe=0\n"
    return f"[friend_{number}]\n{lines}\n"


def _baresip(person: Person, _number: int) -> str:
    return f"{_name_and_sip(person.contact)}\n"


FORMS: Mapping[str, Callable[[Person, int], str]] = {
    "vcard4": _vcard4,
    "vcard3": _vcard3,
    "alpine": _alpine,
    "mutt": _mutt,
    "neomutt": _neomutt,
    "s-nail": _s_nail,
    "linphone": _linphone,
    "baresip": _baresip,
}


def _mail(contact: Contact) -> Mailbox:
    mail = mailbox_of(contact)
    if mail is None:
        raise _DoesNotFitError("no address on the mesh is known")
    return mail


def _safe(mail: Mailbox) -> str:
    """The address as text, which no program takes for anything else."""
    text = str(Mailbox(mail.local, mail.domain))
    if _SAFE_ADDRESS.fullmatch(text) is None:
        raise _DoesNotFitError(f"{text} has characters with a meaning of their own in such a file")
    return text


def _plain_name(contact: Contact) -> str:
    """The name without anything that a program could read as more than a name."""
    name = _UNSAFE_IN_NAMES.sub(" ", contact.name.replace("'", "\u2019"))
    return " ".join(name.split()) or contact.petname


def _name_and_sip(contact: Contact) -> str:
    return f'"{_plain_name(contact)}" <{_sip(contact)}>'


def _sip(contact: Contact) -> str:
    """Where calls go. The node is a literal: linphone drops what comes from a name in `.k`."""
    sips = sorted(contact.sips, key=lambda uri: sip_address(uri) is None)
    mails = contact.mesh_mails()
    if sips:
        before, host, port = re.findall(r"^(sips?:(?:.*@)?)(\[.*\]|[^:]*)(.*)$", sips[0], re.I)[0]
        address = sip_address(sips[0])
    elif mails:
        before, host, port = f"sip:{mails[0].local}@", "", ""
        address = parse_domain(mails[0].domain)
    else:
        before, host, port, address = "sip:", "", "", contact.address
    uri = f"{before}{host if address is None else f'[{format_address(address)}]'}{port}"
    if _SAFE_SIP.fullmatch(uri) is None:
        raise _DoesNotFitError("no address is known that a phone can call")
    return uri


def _older(one: Property) -> Property:
    """The property as version 3.0 writes it: inline pictures and the preferred one differ."""
    found = _DATA_URI.match(one.value) if one.name in ("PHOTO", "LOGO", "SOUND") else None
    if found is not None:
        return Property(one.name, found[2], f";ENCODING=b;TYPE={found[1].upper()}", one.group)
    if one.param("PREF"):
        params = re.sub(r"(?i);PREF=\d+", ";TYPE=pref", one.params)
        return Property(one.name, one.value, params, one.group)
    return one
