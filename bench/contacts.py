"""Measure the address book: how long 5,000 contacts take to read, with and without a snapshot.

Place     run by hand: `python -m bench.contacts [COUNT]`; prints one line a question
Spec      ours (docs/decisions/0010)
Not here  what is right about it (tests/unit/apps/contacts)
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import Contact
from dexmesh.apps.contacts.snapshot import NAME
from dexmesh.wire.keys import PublicKey, address_of, is_node_key

COUNT = 5000
ROUNDS = 5
ASKED = 10_000


def contacts(count: int) -> list[Contact]:
    """People with a key and an address each."""
    source = random.Random(1)
    keys: list[PublicKey] = []
    while len(keys) < count:
        key = PublicKey(source.randbytes(32))
        if is_node_key(key):
            keys.append(key)
    return [
        Contact(f"p{number}", f"Zoë {number}", (Mailbox("zoe", literal(address_of(key))),), (key,))
        for number, key in enumerate(keys)
    ]


def best_of(work: Callable[[], object]) -> float:
    """The shortest of some rounds, in seconds of CPU."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.contacts", description=__doc__.splitlines()[0]
    )
    parser.add_argument("count", type=int, nargs="?", default=COUNT, help=f"contacts ({COUNT})")
    count: int = parser.parse_args(arguments).count
    if count < 1:
        parser.error("at least one contact")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contacts"
        people = contacts(count)
        AddressBook(path).add_all((one, None) for one in people)
        for card in path.glob("*.vcf"):  # a card of this moment goes into no snapshot
            os.utime(card, (1e9, 1e9))
        snapshot = path / NAME

        def read_cards() -> None:
            snapshot.unlink(missing_ok=True)
            AddressBook(path).all()

        book = AddressBook(path)
        book.all()
        address = people[0].addresses[0]

        def ask() -> None:
            for _ in range(ASKED):
                book.by_address(address)

        print(f"{count} contacts, every card read:   {best_of(read_cards):.3f} s")
        print(
            f"{count} contacts, from the snapshot: {best_of(lambda: AddressBook(path).all()):.3f} s"
        )
        print(f"who is at an address:             {best_of(ask) / ASKED * 1e6:.1f} µs")


if __name__ == "__main__":
    main(sys.argv[1:])
