from __future__ import annotations

import pytest

from dexmesh.apps.base.domains import parse_domain, spellings, suggest_tag
from dexmesh.wire.address import Address, parse_address

BOB = parse_address("fc68:ecd::a21c")
KEY = "mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0"


def _book(name: str) -> Address | None:
    return BOB if name == "bob" else None


def test_the_three_spellings_come_padded_first() -> None:
    assert spellings(BOB) == (
        "[IPv6:fc68:0ecd:0000:0000:0000:0000:0000:a21c]",
        "[IPv6:fc68:ecd::a21c]",
        "[IPv6:fc68:ecd:0:0:0:0:0:a21c]",
    )


@pytest.mark.parametrize("text", ["bob", "BOB", "bob.cjdns.alt", "Bob.Cjdns.ALT.", " bob "])
def test_a_petname_means_the_contact(text: str) -> None:
    assert parse_domain(text, _book) == BOB
    assert parse_domain(text) is None


@pytest.mark.parametrize("suffix", [".k", ".cjdns.alt", ".K", ".k."])
def test_a_key_name_needs_no_address_book(suffix: str) -> None:
    address = parse_domain(KEY + suffix)
    assert address is not None
    assert address == parse_domain(f"{KEY}.k")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "[IPv6:]", '"', '""', "[IPv6:fd00::1]", "[IPv6:2001:db8::1]", "[127.0.0.1]"),
        *("example.org", "fc68::1", "[fc68::1]", "[IPv6:fc68::1%lo]", "[IPv6:fc68::1", "k", ".k"),
        *("[IPv6:fc68::1]x", f"x{KEY}.k", f"{KEY}.k.org", "[IPv6:fc68::1/8]", "x" * 300),
        "[\u0131Pv6:fc68::1]",
    ],
)
def test_everything_else_is_no_mesh_domain(text: str) -> None:
    assert parse_domain(text) is None


def test_the_missing_tag_is_offered_also_with_the_person() -> None:
    assert suggest_tag("bob@[fc68:0ecd::a21c]") == "bob@[IPv6:fc68:ecd::a21c]"
    assert suggest_tag("bob@example.org") is None
