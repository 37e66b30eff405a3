"""Decide what a contact may be called here: a word that is a host label and a file name.

Place     book.py, imports.py, invitation.py and cli/contact*.py -> here
Spec      docs/apps/mail.md §1 (`<petname>.cjdns.alt`, `user@petname`); RFC 1123 §2.1 (labels)
Keeps     a petname cannot be taken for a key, an address or this machine
"""

from __future__ import annotations

import re
import unicodedata

from dexmesh.errors import ContactError, DecodeError
from dexmesh.wire.keys import KEY_SUFFIX, decode_key

MAX_PETNAME_CHARS = 63  # a DNS label

_PETNAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_BETWEEN = re.compile(r"[^a-z0-9]+")
_TAKEN = frozenset({"localhost", "me", "postmaster"})
_SPELT_OUT = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "þ": "th"})


def is_petname(text: str) -> bool:
    """Whether a contact can have this petname."""
    return _PETNAME.fullmatch(text) is not None and text not in _TAKEN and not _is_key(text)


def check_petname(text: str) -> str:
    """The same text. Raises ContactError, with a petname that would do, if it is none."""
    if is_petname(text):
        return text
    if text in _TAKEN:
        raise ContactError(f"{text!r} means this machine; nobody else can be called that")
    if _is_key(text):
        raise ContactError("a key is no petname", "Choose a short word, like stuart.")
    better = petname_from(text)
    hint = "Use small letters, digits and hyphens, at most 63."
    raise ContactError(f"{text[:80]!r} is no petname", f"{hint} Try {better}." if better else hint)


def petname_from(text: str) -> str:
    """A petname made of a full name: `Zoë van Dijk` gives `zoe-van-dijk`. Empty if nothing is left."""
    text = unicodedata.normalize("NFKD", text[:200].lower().translate(_SPELT_OUT))
    plain = "".join(c for c in text if not unicodedata.combining(c))
    name = _BETWEEN.sub("-", plain).strip("-")[:MAX_PETNAME_CHARS].strip("-")
    return name if is_petname(name) else ""


def _is_key(text: str) -> bool:
    try:
        decode_key(text + KEY_SUFFIX)
    except DecodeError:
        return False
    return True
