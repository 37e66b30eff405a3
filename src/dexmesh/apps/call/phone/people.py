"""Describe what the phone asks about people: who lives here, and whom they know.

Place     the service implements these over contacts and settings -> core.py asks
Spec      docs/apps/sip.md §3 "Identity and safety rules"
Keeps     answers come at once, from memory; the phone asks anew each time and keeps none
Not here  what follows from an answer (identity.py, policy.py)
"""

from __future__ import annotations

from typing import Protocol

from dexmesh.wire.address import Address


class Contacts(Protocol):
    """The address book, by the address of a node."""

    def is_contact(self, address: Address, /) -> bool:
        """Whether somebody in the book lives there. The own node counts."""
        ...

    def is_blocked(self, address: Address, /) -> bool:
        """Whether nothing at all is wanted from there."""
        ...

    def petname_of(self, address: Address, user: str, /) -> str | None:
        """What the contact there is called here; `user`: who of several, as far as it is known."""
        ...


class Directory(Protocol):
    """Who can be called on this node."""

    def users(self) -> tuple[str, ...]:
        """Everybody who lives here; a call to no one in particular is for the first."""
        ...

    def users_of(self, name: str, /) -> tuple[str, ...]:
        """The users behind an alias (lower case), as the settings say; () if it is none."""
        ...


class Random(Protocol):
    """A source of randomness that somebody else seeded: tags, branches, Call-IDs, delays."""

    def randbytes(self, n: int, /) -> bytes:
        """`n` random bytes."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...
