"""Hold the one address book of all apps: who is called what, and who is behind an address.

Place     receiver, delivery, names, reach, cli/contact*.py -> here -> folder.py, vcard.py
Spec      docs/apps/mail.md §5, §1 ("one person is one contact")
Keeps     `by_address` costs one stat and one lookup; what others write is seen at the next call; a
          file that cannot be read is one problem, never the end of the book; 20,000 contacts at most
Not here  which mailbox a word means (recipients.py); files of others (imports.py, exports.py)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import (
    Contact,
    Identity,
    card_of,
    contact_of,
    mailbox_identity,
    places_of,
    require_agreement,
)
from dexmesh.apps.contacts.folder import Folder, Stamp
from dexmesh.apps.contacts.petname import check_petname, is_petname
from dexmesh.apps.contacts.recipients import Suggestions, resolve
from dexmesh.apps.contacts.snapshot import (
    MAX_BYTES,
    NAME,
    Entry,
    decode_snapshot,
    encode_snapshot,
)
from dexmesh.apps.contacts.vcard import (
    MAX_CARD_BYTES,
    Card,
    CardError,
    decode_text,
    read_card,
    write_card,
)
from dexmesh.errors import ContactError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_CONTACTS = 20_000  # ours
SUFFIX = ".vcf"
RACE_NS = 20_000_000  # two changes within one tick of the kernel's clock look like one
MANY = 200  # ours: cards that are worth a snapshot
RECHECK_S = 10.0  # ours: an editor that writes in place does not change the folder


class NoContactError(ContactError):
    """Nobody of that petname is in the book; `dexmesh contact list` shows who is."""


class DuplicateError(ContactError):
    """The petname or the mailbox is in the book already, at the contact `petname`."""

    def __init__(self, message: str, petname: str) -> None:
        super().__init__(message, f"See `dexmesh contact show {petname}`; change it with `edit`.")
        self.petname = petname


@dataclass(frozen=True, slots=True)
class _Index:
    """What was read at one moment; never changed, only replaced."""

    entries: Mapping[str, Entry]  # by petname
    by_address: Mapping[Address, tuple[Contact, ...]]
    by_mailbox: Mapping[Identity, str]
    broken: Mapping[str, tuple[Stamp, str]]  # by file name: why it is not read


_EMPTY = _Index({}, {}, {}, {})


class AddressBook:
    """The book in one folder. Reads and writes block for a moment; calls may come from any thread."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._folder = Folder(path)
        self._clock = clock
        self._index = _EMPTY
        self._is_loaded = False
        self._changed: int | None = -1
        self._recheck_at = 0.0

    # --- Reading

    def all(self) -> tuple[Contact, ...]:
        """Every contact, sorted by petname."""
        return tuple(entry.contact for entry in self._fresh().entries.values())

    def get(self, petname: str) -> Contact | None:
        """The contact of that petname, in any case; None if there is none. Raises ContactError."""
        petname = petname.lower()
        if not self._is_loaded:
            return self._read_alone(petname)
        entry = self._fresh().entries.get(petname)
        return None if entry is None else entry.contact

    def require(self, petname: str) -> Contact:
        """The contact of that petname. Raises NoContactError, ContactError."""
        contact = self.get(petname)
        if contact is None:
            raise self._unknown(petname)
        return contact

    def by_address(self, address: Address) -> tuple[Contact, ...]:
        """Everybody on that node, sorted by petname; empty for a stranger."""
        return self._fresh().by_address.get(address, ())

    def address_of(self, petname: str) -> Address | None:
        """The node of that contact; None if there is no such contact or he has none."""
        entry = self._fresh().entries.get(petname.lower())
        return entry.addresses[0] if entry is not None and entry.addresses else None

    def petname_of(self, address: Address, user: str = "") -> str | None:
        """What the contact on that node is called; of several the one who has this user name there."""
        contacts = self.by_address(address)
        if len(contacts) > 1 and user:
            named = self.by_mailbox(Mailbox(user, literal(address)))
            if named in contacts:
                return named.petname
        return contacts[0].petname if contacts else None

    def by_mailbox(self, mail: Mailbox) -> Contact | None:
        """The contact with that mailbox, however it is spelt."""
        index = self._fresh()
        petname = index.by_mailbox.get(mailbox_identity(mail))
        return None if petname is None else index.entries[petname].contact

    def petnames(self) -> tuple[str, ...]:
        """Every petname, sorted, without reading the cards."""
        names = self._folder.stamps(SUFFIX, MAX_CONTACTS)
        stems = (name.removesuffix(SUFFIX) for name in names)
        return tuple(stem for stem in stems if is_petname(stem))

    def problems(self) -> tuple[str, ...]:
        """One sentence for each file in the folder that cannot be used."""
        return tuple(reason for _stamp, reason in self._fresh().broken.values())

    def resolve_recipient(self, text: str) -> Mailbox | Suggestions:
        """The mailbox that is meant by what somebody typed, or what he may have meant."""
        return resolve(self, text)

    def card(self, petname: str) -> Card:
        """The whole card of a contact. Raises NoContactError, CardError."""
        card = self._read_card(petname.lower()) if is_petname(petname.lower()) else None
        if card is None:
            raise self._unknown(petname)
        return card

    # --- Writing

    def add(self, contact: Contact, card: Card | None = None) -> None:
        """Take in a new contact, on disk when it returns; `card` is the foreign card he came on.

        Raises DuplicateError if the petname or a mailbox is taken, ContactError if something is wrong.
        """
        with self._folder.locked():
            self._write(self._checked_new([(contact, card)]))

    def add_all(self, new: Iterable[tuple[Contact, Card | None]]) -> None:
        """Take in many contacts, all or, when one is refused, none."""
        with self._folder.locked():
            self._write(self._checked_new(new))

    def edit(self, petname: str, contact: Contact, card: Card | None = None) -> None:
        """Put this contact in the place of that one; with another petname he is renamed.

        What else was on his card stays, unless `card` is given: then that stays.
        """
        petname = petname.lower()
        with self._folder.locked():
            index = self._reread()
            former = index.entries.get(petname)
            if former is None:
                raise self._unknown(petname)
            self._check(contact, index, petname)
            kept = card if card is not None else self._read_card(petname)
            self._write({contact.petname + SUFFIX: _file_of(contact, kept)})
            if contact.petname != petname:
                self._folder.remove(petname + SUFFIX)

    def remove(self, petname: str) -> None:
        """Forget a contact. Raises NoContactError. A file that cannot be read goes as well."""
        petname = petname.lower()
        with self._folder.locked():
            if not is_petname(petname) or petname not in self.petnames():
                raise self._unknown(petname)
            self._folder.remove(petname + SUFFIX)
            self._folder.remove(NAME)  # who is forgotten is in no snapshot either

    def _checked_new(self, new: Iterable[tuple[Contact, Card | None]]) -> dict[str, bytes]:
        index = self._reread()
        files: dict[str, bytes] = {}
        taken: dict[Identity, str] = {}
        for contact, card in new:
            self._check(contact, index, None)
            name = contact.petname + SUFFIX
            if name in files or name in index.broken:
                raise DuplicateError(f"{contact.petname} is in the book already", contact.petname)
            for mail in contact.mails:
                holder = taken.setdefault(mailbox_identity(mail), contact.petname)
                if holder != contact.petname:
                    raise DuplicateError(f"{mail} is also the address of {holder}", holder)
            files[name] = _file_of(contact, card)
            if len(index.entries) + len(files) > MAX_CONTACTS:
                raise ContactError(f"the address book is full: {MAX_CONTACTS} contacts")
        return files

    def _check(self, contact: Contact, index: _Index, replaces: str | None) -> None:
        petname = check_petname(contact.petname)
        if petname != replaces and petname in index.entries:
            raise DuplicateError(f"{petname} is in the book already", petname)
        require_agreement(contact)
        for mail in contact.mails:
            holder = index.by_mailbox.get(mailbox_identity(mail))
            if holder is not None and holder != replaces:
                raise DuplicateError(f"{mail} is the address of {holder}", holder)

    def _write(self, files: Mapping[str, bytes]) -> None:
        self._folder.replace(files)
        self._changed = -1

    # --- Following the files

    def _fresh(self) -> _Index:
        """What is in the folder now: read again only where it changed."""
        changed, now = self._folder.changed(), self._clock()
        if not self._is_loaded or changed != self._changed or now >= self._recheck_at:
            started_ns = time.time_ns()
            self._reread()
            is_settled = changed is None or started_ns - changed > RACE_NS
            self._changed = changed if is_settled else -1
            self._recheck_at = now + RECHECK_S
        return self._index

    def _reread(self) -> _Index:
        entries: dict[str, Entry] = {}
        broken: dict[str, tuple[Stamp, str]] = {}
        started_ns = time.time_ns()
        stamps = self._folder.stamps(SUFFIX, MAX_CONTACTS)
        if stamps:
            with self._folder.as_owner():
                self._read_all(entries, broken, stamps, started_ns)
        self._index = _index(entries, broken)
        self._is_loaded = True
        return self._index

    def _read_all(
        self,
        entries: dict[str, Entry],
        broken: dict[str, tuple[Stamp, str]],
        stamps: Mapping[str, Stamp],
        started_ns: int,
    ) -> None:
        former, read = self._index, 0
        kept: Mapping[str, Entry] = {}
        if not self._is_loaded and len(stamps) >= MANY:
            kept = decode_snapshot(self._folder.read_hidden(NAME, MAX_BYTES))
        known_before = kept or former.entries
        for number, (name, stamp) in enumerate(stamps.items()):
            petname = name.removesuffix(SUFFIX)
            known, bad = known_before.get(petname), former.broken.get(name)
            if number >= MAX_CONTACTS:
                reason = f"more than {MAX_CONTACTS} files in {self.path}; the last are left out"
                broken[name] = stamp, reason
            elif known is not None and known.stamp == stamp:
                entries[petname] = known
            elif bad is not None and bad[0] == stamp:
                broken[name] = bad
            else:
                self._read_into(entries, broken, name, stamp)
                read += 1
        is_outdated = any(entries.get(petname) is not one for petname, one in kept.items())
        if read >= MANY or is_outdated:
            snapshot = encode_snapshot(entries, started_ns)
            if len(snapshot) <= MAX_BYTES:
                self._folder.write_hidden(NAME, snapshot)

    def _read_into(
        self,
        entries: dict[str, Entry],
        broken: dict[str, tuple[Stamp, str]],
        name: str,
        stamp: Stamp,
    ) -> None:
        petname = name.removesuffix(SUFFIX)
        try:
            card = self._read_card(check_petname(petname))
            if card is not None:
                contact = contact_of(card, petname)
                entries[petname] = Entry(stamp, contact, *places_of(contact))
        except (ContactError, OSError) as error:
            broken[name] = stamp, f"{self.path / name}: {error}"

    def _read_alone(self, petname: str) -> Contact | None:
        """One contact, without reading all the others."""
        if not is_petname(petname):
            return None
        card = self._read_card(petname)
        return None if card is None else contact_of(card, petname)

    def _read_card(self, petname: str) -> Card | None:
        name = petname + SUFFIX
        try:
            data = self._folder.read(name, MAX_CARD_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > MAX_CARD_BYTES:
            raise CardError(f"{name} is longer than {MAX_CARD_BYTES >> 10} kB")
        return read_card(decode_text(data, name), name)

    def _unknown(self, petname: str) -> NoContactError:
        hint = "`dexmesh contact list` shows who is there, `dexmesh contact add` takes somebody in."
        return NoContactError(f"nobody is called {petname[:80]!r} in the address book", hint)


def _file_of(contact: Contact, former: Card | None) -> bytes:
    """The bytes of the file, read once more before they are trusted."""
    data = write_card(card_of(contact, former)).encode()
    card = read_card(decode_text(data, contact.petname), contact.petname)
    contact_of(card, contact.petname)
    return data


def _index(entries: Mapping[str, Entry], broken: Mapping[str, tuple[Stamp, str]]) -> _Index:
    by_address: dict[Address, tuple[Contact, ...]] = {}
    by_mailbox: dict[Identity, str] = {}
    for petname, entry in entries.items():
        for address in entry.addresses:
            by_address[address] = (*by_address.get(address, ()), entry.contact)
        for identity in entry.mailboxes:
            by_mailbox.setdefault(identity, petname)
    return _Index(entries, by_address, by_mailbox, broken)
