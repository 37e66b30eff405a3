"""Decide how a recipient's address is written on the wire, and what to try when it is refused.

Place     outgoing.py -> here
Spec      docs/apps/mail.md §1 (one address has several spellings), §4 Queue
Keeps     every spelling once, however often the other node says no; names of other domains never
          leave: what goes out is a literal of the node that is called, or its key name
Not here  parsing what came in (base/domains.py)
"""

from __future__ import annotations

from dexmesh.apps.base.domains import parse_domain, spellings
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, encode_key

_STORAGE_FULL = 552  # RFC 5321 §4.2.2: about the mailbox, not about its name
_MAILBOX_CLASS = "2"  # RFC 3463 §3.3: X.2.X


def candidates(
    written: str, address: Address, remembered: str | None = None, key: PublicKey | None = None
) -> tuple[str, ...]:
    """The domains to try, best first: what worked before, what the user wrote if it is a literal,
    padded, RFC 5952, without leading zeros, and the key name if the key is known.
    """
    first = [remembered] if remembered and parse_domain(remembered) == address else []
    as_written = [written] if written.startswith("[") and parse_domain(written) == address else []
    last = [encode_key(key)] if key is not None else []
    found: dict[str, str] = {}
    for domain in (*first, *as_written, *spellings(address), *last):
        found.setdefault(domain.lower(), domain)  # case is folded everywhere
    return tuple(found.values())


def may_be_spelling(code: int, enhanced: str) -> bool:
    """Whether a refusal of RCPT may be about the spelling of the domain."""
    is_about_mailbox = enhanced.split(".")[1:2] == [_MAILBOX_CLASS]
    return 500 <= code < 600 and code != _STORAGE_FULL and not is_about_mailbox
