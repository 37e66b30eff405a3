"""Read the part of a mail address behind the @: which node is meant, however it is spelled.

Place     receiver, submission, contacts, names, setup -> here
Spec      docs/apps/mail.md §1; RFC 5321 §4.1.3 (address literals), RFC 5952
Keeps     two spellings of one node give equal addresses; no text raises, none is looked up anywhere
Not here  the part before the @ and lists of addresses (mailbox.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from dexmesh.errors import DecodeError
from dexmesh.wire.address import (
    Address,
    format_address,
    format_padded,
    is_mesh_address,
    parse_address,
)
from dexmesh.wire.keys import KEY_SUFFIX, address_of, decode_key

ALT_SUFFIX = ".cjdns.alt"  # RFC 9476 sets .alt aside for names that are not in DNS
MAX_DOMAIN_CHARS = 255

_TAG = "ipv6:"
_PETNAME = re.compile(r"[a-z0-9-]{1,63}")

Petnames: TypeAlias = Callable[[str], Address | None]
"""The address of a contact with this petname (lower case)."""


def no_petnames(_name: str) -> Address | None:
    """Nobody is known by name."""
    return None


def parse_domain(text: str, petnames: Petnames = no_petnames) -> Address | None:
    """The node this domain means; None if it is no mesh domain.

    Understood: `[IPv6:...]` in any spelling and case, also in double quotes; `<key>.k`;
    `<key>.cjdns.alt`; and through `petnames` `<petname>.cjdns.alt` and `<petname>`.
    """
    text = _bare(text)
    if text.startswith("["):
        inner = _inside_brackets(text)
        if inner is None or not inner.startswith(_TAG):
            return None
        return _mesh_address(inner.removeprefix(_TAG))
    name = text.removesuffix(".")
    if name.endswith(KEY_SUFFIX):
        return _address_of_key(name.removesuffix(KEY_SUFFIX))
    label = name.removesuffix(ALT_SUFFIX)
    if name.endswith(ALT_SUFFIX) and (address := _address_of_key(label)) is not None:
        return address
    return petnames(label) if _PETNAME.fullmatch(label) else None


def suggest_tag(text: str) -> str | None:
    """The right form of a literal whose tag is missing: `[fc00::1]`, `fc00::1`, `bob@[fc00::1]`.

    None for everything else: `parse_domain` judges that.
    """
    local, at, domain = text.strip().rpartition("@")
    bare = _bare(domain)
    address = _mesh_address(_inside_brackets(bare) or bare)
    return None if address is None else f"{local}{at}{literal(address)}"


def literal(address: Address) -> str:
    """`[IPv6:fc38:ffd::1]`: the one form we show and store (RFC 5952)."""
    return f"[IPv6:{format_address(address)}]"


def padded_literal(address: Address) -> str:
    """`[IPv6:fc38:0ffd:0000:...]`: eight groups of four digits, as cjdns writes addresses."""
    return f"[IPv6:{format_padded(address)}]"


def spellings(address: Address) -> tuple[str, ...]:
    """The literals a receiver that compares text may know us by, each once: padded; RFC 5952;
    eight groups without leading zeros."""
    groups = (format(int.from_bytes(address[at : at + 2], "big"), "x") for at in range(0, 16, 2))
    every = (padded_literal(address), literal(address), f"[IPv6:{':'.join(groups)}]")
    return tuple(dict.fromkeys(every))


def _bare(text: str) -> str:
    """Lower case, without blanks and quotes around it; empty if it can be no domain."""
    text = text.strip(" \t")
    if len(text) > MAX_DOMAIN_CHARS or not text.isascii():
        return ""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip(" \t")
    return text.lower()


def _inside_brackets(text: str) -> str | None:
    return text[1:-1].strip(" \t") if text[:1] == "[" and text[-1:] == "]" else None


def _mesh_address(text: str) -> Address | None:
    try:
        address = parse_address(text)
    except DecodeError:
        return None
    return address if is_mesh_address(address) else None


def _address_of_key(digits: str) -> Address | None:
    try:
        return address_of(decode_key(digits + KEY_SUFFIX))
    except DecodeError:
        return None
