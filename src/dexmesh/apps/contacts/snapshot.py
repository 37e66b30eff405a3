"""Keep what was read of a large address book in one file: the next program need not read every card.

Place     book.py, when it read many cards -> here -> the hidden file NAME beside them
Spec      ours
Keeps     an entry counts only while its card has the stamp it was read at; a snapshot that is damaged,
          or of another version, is none; it says nothing that the cards do not say
Not here  what changes in the folder (book.py); who may read and write there (folder.py)
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.contact import Contact, How, Identity, Verification
from dexmesh.apps.contacts.folder import Stamp
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey

NAME = ".index"
MAX_BYTES = 64 << 20  # ours
SETTLED_NS = 2_000_000_000  # ours: a card changed so lately could change again under the same stamp

_VERSION = b"dexmesh contacts 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """A card that was read: its stamp, the contact on it, and what he is found by."""

    stamp: Stamp
    contact: Contact
    addresses: tuple[Address, ...]
    mailboxes: tuple[Identity, ...]


def encode_snapshot(entries: Mapping[str, Entry], unix_ns: int) -> bytes:
    """The file for these entries, by petname; `unix_ns` is when their stamps were looked at."""
    rows = [
        _encode_entry(petname, entry)
        for petname, entry in entries.items()
        if unix_ns - entry.stamp[0] >= SETTLED_NS
    ]
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%s %08x\n%s" % (_VERSION, zlib.crc32(data), data)


def decode_snapshot(data: bytes) -> dict[str, Entry]:
    """The entries of a file, by petname; none if it is not wholly right."""
    head, _, body = data.partition(b"\n")
    if len(data) > MAX_BYTES or head != b"%s %08x" % (_VERSION, zlib.crc32(body)):
        return {}
    try:
        return dict(_decode_entries(json.loads(body)))
    except (ValueError, TypeError, RecursionError):
        return {}


def _encode_entry(petname: str, entry: Entry) -> list[Any]:
    contact = entry.contact
    verified = contact.verified
    return [
        petname,
        entry.stamp,
        contact.full_name,
        [(mail.local, mail.domain, mail.name) for mail in contact.mails],
        [key.hex() for key in contact.keys],
        contact.sips,
        contact.note,
        None if verified is None else (verified.how.value, verified.unix_time),
        [address.hex() for address in entry.addresses],
        [(local, place.hex()) for local, place in entry.mailboxes],
    ]


def _decode_entries(rows: list[Any]) -> Iterator[tuple[str, Entry]]:
    from_hex = bytes.fromhex
    for petname, stamp, name, mails, keys, sips, note, verified, addresses, mailboxes in rows:
        contact = Contact(
            petname,
            name,
            tuple([Mailbox(*mail) for mail in mails]),
            tuple([PublicKey(from_hex(key)) for key in keys]),
            tuple(sips),
            note,
            None if verified is None else Verification(How(verified[0]), verified[1]),
        )
        yield (
            petname,
            Entry(
                tuple(stamp),
                contact,
                tuple([Address(from_hex(one)) for one in addresses]),
                tuple([(local, from_hex(place)) for local, place in mailboxes]),
            ),
        )
