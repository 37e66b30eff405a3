"""Know which names of the mesh exist and what each one stands for, by computation and the address book.

Place     answers.py (a question of DNS), cli/names.py (a question of a person) -> here
Spec      docs/apps/mail.md §1 "Names that survive broken parsers", §2
Keeps     performs no I/O of its own; a key's name means its address and nothing else, whoever asks
Not here  the wire format of DNS (answers.py), keys and addresses (wire/)
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from dexmesh.apps.base.me import Me
from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import ADDRESS_BYTES, Address, is_mesh_address
from dexmesh.wire.keys import KEY_SUFFIX, PublicKey, address_of, decode_key, encode_key

KEY_TTL_S = 86_400  # ours: a key's address never changes
BOOK_TTL_S = 10  # ours: an address book is edited by hand, and looked at right after

# Ours: questions that tell nobody anything, to find out who answers for the mesh on this machine.
# No key leads to fc00::, and the key is the example of docs/apps/mail.md.
PROBE_ADDRESS = Address(bytes([0xFC]) + bytes(15))
PROBE_POINTER = "resolver.dexmesh.cjdns.alt"
PROBE_NAME = "mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"

_NIBBLES = ADDRESS_BYTES * 2
_HEX = frozenset("0123456789abcdef")
_MAX_PETNAME = 63


class Zone(enum.Enum):
    """What we answer for; the value is the labels of the apex, in lower case."""

    KEYS = ("k",)
    ALT = ("cjdns", "alt")
    REVERSE = ("c", "f", "ip6", "arpa")

    @property
    def text(self) -> str:
        """`cjdns.alt`."""
        return ".".join(self.value)


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that exists, and what is known about it. Both None: it exists and has no records."""

    address: Address | None = None
    pointer: str | None = None
    ttl_s: int = BOOK_TTL_S


class Book(Protocol):
    """What names need of the address book (apps/contacts/book.py)."""

    def address_of(self, petname: str) -> Address | None:
        """The address of the contact with this petname."""
        ...

    def petname_of(self, address: Address) -> str | None:
        """The petname of the contact with this address."""
        ...


_EMPTY = Entry()


def zone_of(labels: Sequence[str]) -> Zone | None:
    """The zone a name lies in (labels in lower case, without the root); None if it is not ours."""
    for zone in Zone:
        if tuple(labels[-len(zone.value) :]) == zone.value:
            return zone
    return None


class Names:
    """Every name this node can answer for."""

    def __init__(self, me: Me, book: Book) -> None:
        self._me = me
        self._book = book

    def find(self, zone: Zone, labels: Sequence[str]) -> Entry | None:
        """What a name of `zone` stands for (labels in lower case); None if there is no such name."""
        below = list(labels[: len(labels) - len(zone.value)])
        if not below:
            return _EMPTY
        if zone is Zone.REVERSE:
            return self._reverse(below)
        entry = self._forward(zone, below[-1])
        if entry is None or len(below) == 1:
            return entry
        is_service = all(
            label.startswith("_") for label in below[:-1]
        )  # _sip._udp.NAME and the like
        return _EMPTY if is_service else None

    def name_of(self, address: Address) -> str | None:
        """The name an address is shown under: ours, or that of a contact."""
        if address == self._me.address:
            return self._me.key_name
        petname = self._book.petname_of(address)
        return None if petname is None else f"{petname}.{Zone.ALT.text}"

    def _forward(self, zone: Zone, label: str) -> Entry | None:
        address = address_of_key_label(label)
        if address is not None:
            return Entry(address=address, ttl_s=KEY_TTL_S)
        if zone is Zone.KEYS or len(label) > _MAX_PETNAME:
            return None
        address = self._book.address_of(label)
        return None if address is None else Entry(address=address)

    def _reverse(self, nibbles: list[str]) -> Entry | None:
        if len(nibbles) > _NIBBLES - 2 or not all(one in _HEX for one in nibbles):
            return None
        if len(nibbles) < _NIBBLES - 2:
            return _EMPTY  # between the zone and the addresses
        address = Address(bytes.fromhex("fc" + "".join(reversed(nibbles))))
        if address == PROBE_ADDRESS:
            return Entry(pointer=PROBE_POINTER)
        name = self.name_of(address)
        return None if name is None else Entry(pointer=name)


def address_of_key_label(label: str) -> Address | None:
    """The address of the node whose key is written as these 52 characters; None if it is no key."""
    try:
        return address_of(decode_key(label + KEY_SUFFIX))
    except DecodeError:
        return None


def reverse_name(address: Address) -> str:
    """The name to ask a PTR record of, for a mesh address: `...c.f.ip6.arpa`."""
    assert is_mesh_address(address)  # noqa: S101 - a bug of the caller
    return ".".join(reversed(address.hex())) + ".ip6.arpa"


def names_of(key: PublicKey) -> tuple[str, str]:
    """Both names a key has without anybody's help: `<52>.k`, `<52>.cjdns.alt`."""
    text = encode_key(key)
    return text, f"{text.removesuffix(KEY_SUFFIX)}.{Zone.ALT.text}"
