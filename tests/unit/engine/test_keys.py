"""Keys made by the native module."""

from __future__ import annotations

import random

import pytest

from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.wire.keys import PrivateKey, address_of, is_node_key
from tests.vectors.loading import load

VECTORS = load("cryptoauth.json")


def test_public_keys_are_those_of_the_recorded_identities() -> None:
    assert VECTORS["identities"]
    for identity in VECTORS["identities"].values():
        assert public_key_of(bytes.fromhex(identity["private"])).hex() == identity["public"]


def test_a_generated_key_is_a_mesh_key_and_takes_as_many_draws_as_needed() -> None:
    source = random.Random(1)
    draws: list[int] = []

    def draw(count: int) -> bytes:
        draws.append(count)
        return source.randbytes(count)

    private = generate_private_key(draw)
    key = public_key_of(private)
    assert is_node_key(key)
    assert address_of(key)[0] == 0xFC
    assert set(draws) == {32}
    assert len(draws) > 1


def test_a_private_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        public_key_of(bytes(31))


def test_a_private_key_object_is_as_good_as_its_bytes() -> None:
    private = PrivateKey(bytes(range(32)))
    assert public_key_of(private) == public_key_of(bytes(range(32)))
