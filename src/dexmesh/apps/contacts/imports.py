"""Read contacts out of files that other programs wrote.

Place     cli/contact_files.py -> here -> book.py
Spec      docs/apps/mail.md §5; RFC 6350, RFC 2426; the alias files of alpine, mutt and s-nail
Keeps     a foreign file cannot call itself verified; one bad entry is one refusal with its line, and
          the rest is read; nobody is taken in twice
Not here  the grammar of vCards (vcard.py); writing these forms (exports.py)
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from dexmesh.apps.base.domains import suggest_tag
from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox, parse_mailboxes
from dexmesh.apps.contacts.contact import Contact, contact_of, require_agreement
from dexmesh.apps.contacts.petname import MAX_PETNAME_CHARS, is_petname, petname_from
from dexmesh.apps.contacts.vcard import (
    MAX_CARD_BYTES,
    Card,
    CardError,
    Property,
    read_cards,
    write_card,
)
from dexmesh.errors import AddressError, ContactError
from dexmesh.values import dataclass

MAX_LINES = 100_000  # ours, of an alias file
MAX_LINE_CHARS = 10_000  # ours

_HEAVY = ("PHOTO", "LOGO", "SOUND")
_ALIAS = re.compile(r"(?:alias|group)\s+(.*)", re.DOTALL)
_IMAGE_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,30}")


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody in a file: who, on what card, and what was changed to take him in."""

    contact: Contact
    card: Card | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that is not taken in, and why."""

    reason: str


def guess_form(text: str) -> str:
    """Which of `FORMS` the text is in. Raises ContactError if it is none of them."""
    if re.search(r"^BEGIN:[ \t]*VCARD", text[:10_000], re.I | re.M):
        return "vcard"
    lines = [line for line in text[:10_000].splitlines() if line.strip() and line[0] != "#"]
    if any(_ALIAS.match(line) for line in lines):
        return "mutt" if any("<" in line for line in lines if _ALIAS.match(line)) else "s-nail"
    if any(line.count("\t") >= 2 for line in lines):
        return "alpine"
    hint = "vCard, an address book of alpine, aliases of mutt or s-nail: --format says which."
    raise ContactError("no form of an address book is recognised", hint)


def read_foreign(text: str, form: str, what: str) -> Iterator[Found | Refused]:
    """Everybody in the text. Raises ContactError when it is as a whole not what `form` says."""
    return FORMS[form](text, what)


def free_petname(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """The petname itself, or with the first number behind it that nobody has."""
    number, name = 1, wanted
    while is_taken(name):
        number += 1
        end = f"-{number}"
        name = wanted[: MAX_PETNAME_CHARS - len(end)].rstrip("-") + end
    return name


# --- vCards -------------------------------------------------------------------------------------------


def _vcards(text: str, what: str) -> Iterator[Found | Refused]:
    for card in read_cards(text, what):
        try:
            yield _from_card(card)
        except ContactError as error:
            yield Refused(f"{card.text('FN')[:60] or 'a card without a name'}: {error}")


def _from_card(foreign: Card) -> Found:
    notes: list[str] = []
    petname = _petname_of(foreign)
    properties = list(_modern(foreign, notes))
    card = _light(Card("4.0", tuple(properties)), notes)
    contact = contact_of(card, petname)
    require_agreement(contact)
    return Found(contact, card, tuple(notes))


def _petname_of(card: Card) -> str:
    own = card.text("X-CJDNS-PETNAME").strip().lower()
    if is_petname(own):
        return own
    mails = (one.text.partition("@")[0] for one in card.all("EMAIL"))
    for text in (card.text("NICKNAME"), card.text("FN"), card.text("ORG"), *mails):
        if name := petname_from(text):
            return name
    raise CardError("there is nothing on it to make a petname of")


def _modern(card: Card, notes: list[str]) -> Iterator[Property]:
    """The properties as version 4.0 has them, without what is not ours to believe or to keep."""
    for one in card.properties:
        if one.name == "X-CJDNS-VERIFIED":
            continue
        if one.name == "EMAIL":
            mended = _mended(one.text.strip().removeprefix("mailto:"), notes)
            if mended is None:
                continue
            yield Property("EMAIL", _escaped(mended), _modern_params(one.params), one.group)
        elif one.name in _HEAVY and one.param("ENCODING").lower() in ("b", "base64"):
            yield _as_data_uri(one)
        else:
            yield Property(one.name, one.value, _modern_params(one.params), one.group)


def _modern_params(params: str) -> str:
    params = re.sub(r"(?i);(?:CHARSET=[^;:]*|TYPE=INTERNET(?=;|$)|INTERNET(?=;|$))", "", params)
    params = re.sub(r"(?i);TYPE=PREF(?=;|$)|;PREF(?=;|$)", ";PREF=1", params)
    return re.sub(r";([A-Za-z]+)(?=;|$)", r";TYPE=\1", params)  # 2.1 left out the name


def _as_data_uri(one: Property) -> Property:
    kind = one.param("TYPE").lower() or ("basic" if one.name == "SOUND" else "jpeg")
    if _IMAGE_TYPE.fullmatch(kind) is None:
        kind = "octet-stream"
    family = "audio" if one.name == "SOUND" else "image"
    data = "".join(one.value.split())
    return Property(one.name, f"data:{family}/{kind};base64,{data}", "", one.group)


def _light(card: Card, notes: list[str]) -> Card:
    """The card, without its pictures if they make it longer than we keep."""
    if sum(len(one.value) for one in card.properties) * 2 < MAX_CARD_BYTES:
        return card
    try:
        write_card(card)
    except CardError:
        notes.append("its picture is too large and was left out")
        return Card(card.version, tuple(one for one in card.properties if one.name not in _HEAVY))
    return card


def _mended(text: str, notes: list[str]) -> str | None:
    """The address with the tag it lacks; None if it is no address."""
    right = suggest_tag(text)
    if right is not None and "@" in text:
        notes.append(f"{text} is now {right}")
        text = right
    try:
        return str(_without_name(parse_mailbox(text)))
    except AddressError:
        notes.append(f"{text[:60]!r} is no mail address and was left out")
        return None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")


# --- Alias files --------------------------------------------------------------------------------------


def _alpine(text: str, what: str) -> Iterator[Found | Refused]:
    for number, line in _logical_lines(text, what, _continues_alpine):
        if line.startswith("#"):  # a comment, or an entry that was deleted
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) < 3:
            yield Refused(
                f"{what}, line {number}: not NICK, NAME and ADDRESS with tabs between them"
            )
            continue
        nick, name, address = fields[:3]
        note = fields[4] if len(fields) > 4 else ""
        if address.startswith("("):
            yield Refused(f"{what}, line {number}: {nick or name} is a list of people")
            continue
        yield _person(nick, _decoded(name), address, note, f"{what}, line {number}")


def _mutt(text: str, what: str) -> Iterator[Found | Refused]:
    for number, line in _logical_lines(text, what, _continues_shell):
        found = _ALIAS.fullmatch(line.strip())
        if found is None:
            continue  # another setting
        rest = re.sub(r"^(?:-group\s+\S+\s+)+", "", found[1])
        nick, _blank, address = rest.partition(" ")
        yield _person(nick, "", address.partition("#")[0], "", f"{what}, line {number}")


def _s_nail(text: str, what: str) -> Iterator[Found | Refused]:
    for number, line in _logical_lines(text, what, _continues_shell):
        found = _ALIAS.fullmatch(line.strip())
        if found is None:
            continue
        where = f"{what}, line {number}"
        try:
            nick, *words = shlex.split(found[1], comments=True)
        except ValueError:
            yield Refused(f"{where}: a quotation mark without its other half")
            continue
        if sum("@" in word for word in words) > 1:
            yield Refused(f"{where}: {nick} is a list of people")
            continue
        yield _person(nick, "", " ".join(words), "", where)


def _person(nick: str, name: str, address: str, note: str, where: str) -> Found | Refused:
    notes: list[str] = []
    right = suggest_tag(address)
    if right is not None and "@" in address:
        notes.append(f"{address.strip()} is now {right}")
        address = right
    try:
        mails = parse_mailboxes(address)
    except AddressError as error:
        return Refused(f"{where}: {error}")
    if len(mails) != 1:
        what = "a list of people" if mails else "without an address"
        return Refused(f"{where}: {nick or name} is {what}")
    name = name or mails[0].name
    petname = petname_from(nick) or petname_from(name) or petname_from(mails[0].local)
    if not petname:
        return Refused(f"{where}: there is nothing to make a petname of")
    return Found(
        Contact(petname, name[:MAX_LINE_CHARS], (_without_name(mails[0]),), note=note),
        notes=tuple(notes),
    )


def _logical_lines(
    text: str, what: str, continues: Callable[[str, str], str | None]
) -> Iterator[tuple[int, str]]:
    """Lines put together again; `continues` joins two of them, or says None."""
    start, current = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if number > MAX_LINES:
            raise ContactError(f"{what}: more than {MAX_LINES} lines")
        joined = continues(current, line) if current else None
        if joined is not None:
            current = joined
        else:
            if current.strip():
                yield start, current
            start, current = number, line
        if len(current) > MAX_LINE_CHARS:
            raise ContactError(f"{what}, line {start}: longer than {MAX_LINE_CHARS} characters")
    if current.strip():
        yield start, current


def _continues_alpine(current: str, line: str) -> str | None:
    return current + "\t" * (not current.endswith("\t")) + line.strip() if line[:1] == " " else None


def _continues_shell(current: str, line: str) -> str | None:
    return current[:-1] + line.lstrip() if current.endswith("\\") else None


def _decoded(name: str) -> str:
    """A full name; alpine keeps what is not ASCII as encoded words, and names as `Last, First`."""
    if "=?" in name:
        from email.errors import HeaderParseError
        from email.header import decode_header, make_header

        try:
            name = str(make_header(decode_header(name)))
        except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
            return ""
    name = name.strip().strip('"')
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma and ", " not in first else name


def _without_name(mail: Mailbox) -> Mailbox:
    return Mailbox(mail.local, mail.domain)


FORMS: Mapping[str, Callable[[str, str], Iterator[Found | Refused]]] = {
    "vcard": _vcards,
    "alpine": _alpine,
    "mutt": _mutt,
    "s-nail": _s_nail,
}
