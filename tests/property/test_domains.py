"""Domains in every spelling: one node is one address, and no text does harm."""

from __future__ import annotations

import ipaddress
import random

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.base.domains import (
    literal,
    padded_literal,
    parse_domain,
    spellings,
    suggest_tag,
)
from dexmesh.apps.base.me import Me
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, is_node_key

ADDRESSES = st.one_of(
    st.binary(min_size=15, max_size=15),
    st.lists(st.sampled_from([0, 0, 0, 1, 0x0B, 0xF0]), min_size=15, max_size=15).map(bytes),
).map(lambda rest: Address(b"\xfc" + rest))


def _node_key(seed: int) -> PublicKey:
    chance = random.Random(seed)
    while True:
        key = PublicKey(chance.randbytes(32))
        if is_node_key(key):
            return key


KEYS = st.integers(0, 50).map(_node_key)
HARMFUL = st.text(st.sampled_from('fc0:.[]"IPv6k%/ \t\x00-ſK') | st.characters(), max_size=80)


def _dressed(text: str, draw: random.Random) -> str:
    cased = "".join(draw.choice((c.upper(), c.lower())) for c in text)
    return draw.choice((cased, f'"{cased}"', f" {cased} "))


@given(ADDRESSES, st.randoms())
def test_every_spelling_of_a_literal_means_the_same_node(
    address: Address, chance: random.Random
) -> None:
    packed = ipaddress.IPv6Address(address)
    mixed = f"[IPv6:{':'.join(packed.exploded.split(':')[:6])}:{ipaddress.IPv4Address(packed.packed[12:])}]"
    for spelling in (*spellings(address), literal(address), padded_literal(address), mixed):
        assert parse_domain(_dressed(spelling, chance)) == address


@given(ADDRESSES)
def test_the_spellings_are_different_texts_with_the_padded_one_first(address: Address) -> None:
    texts = spellings(address)
    assert texts[0] == padded_literal(address)
    assert literal(address) in texts
    assert len(set(texts)) == len(texts) <= 3


@given(KEYS, st.randoms())
def test_the_names_of_a_key_mean_the_node_of_that_key(
    key: PublicKey, chance: random.Random
) -> None:
    me = Me.of(key)
    for name in (me.key_name, me.alt_name, me.literal, me.padded_literal, f"{me.key_name}."):
        assert parse_domain(_dressed(name, chance)) == me.address


@given(ADDRESSES)
def test_a_literal_without_its_tag_is_no_domain_but_the_right_form_is_offered(
    address: Address,
) -> None:
    bare = literal(address).replace("IPv6:", "")
    assert parse_domain(bare) is None
    assert suggest_tag(bare) == suggest_tag(bare.strip("[]")) == literal(address)
    assert suggest_tag(f"bob@{bare}") == f"bob@{literal(address)}"
    assert suggest_tag(literal(address)) is None


@given(HARMFUL)
def test_no_text_raises_and_only_mesh_addresses_come_out(text: str) -> None:
    for candidate in (text, f"[{text}]", f"[IPv6:{text}]", f"{text}.k", f"{text}.cjdns.alt"):
        address = parse_domain(candidate)
        assert address is None or (len(address) == 16 and address[0] == 0xFC)
        suggest_tag(candidate)


@given(HARMFUL)
def test_only_plain_labels_are_asked_for_in_the_address_book(text: str) -> None:
    asked: list[str] = []
    parse_domain(text, lambda name: asked.append(name))
    assert all(name.isascii() and name == name.lower() and "." not in name for name in asked)
