"""Say who is calling: the node a message came from, never what it claims.

Place     core.py, texts.py hand in From and the source address -> here -> policy.py, outputs
Spec      docs/apps/sip.md §3 rules 1, 2; RFC 3261 §8.1.1.3
Keeps     `Caller.address` is the source of the packet; a From that names another node is refused;
          what was only claimed is in fields that say so, short and without control characters and `"`
Not here  whether the caller may ring (policy.py)
"""

from __future__ import annotations

from dexmesh.apps.call.phone.people import Contacts
from dexmesh.apps.call.sip.uri import NameAddr
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_CLAIM_CHARS = 64  # ours


@dataclass(frozen=True, slots=True)
class Caller:
    """The other side of a call or a text.

    `petname` is ours for a contact (where several share the node, the one he says he is), None for a
    stranger. `claimed_user` and `claimed_name` are
    what his From says; nobody checked them. `is_flagged`: his From names no node of the mesh.
    """

    address: Address
    petname: str | None = None
    claimed_user: str = ""
    claimed_name: str = ""
    is_contact: bool = False
    is_flagged: bool = False


def identify(claimed: NameAddr, source: Address, contacts: Contacts) -> Caller | None:
    """The caller behind a message from `source`; None if its From names another node."""
    named = claimed.address
    if named is not None and named != source:
        return None
    user = _short("" if claimed.sip is None else claimed.sip.user)
    return Caller(
        address=source,
        petname=contacts.petname_of(source, user),
        claimed_user=user,
        claimed_name=_short(claimed.display),
        is_contact=contacts.is_contact(source),
        is_flagged=named is None,
    )


def _short(text: str) -> str:
    """One line that a terminal may show, in quotes that it does not end."""
    clean = "".join(char if char.isprintable() else " " for char in text[:1000]).replace('"', "'")
    return " ".join(clean.split())[:MAX_CLAIM_CHARS]
