"""Play the identities and the base32 of cryptoauth.json."""

from __future__ import annotations

from typing import Any

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import keys
from dexmesh.wire.address import format_padded, is_mesh_address
from dexmesh.wire.base32 import decode_base32, encode_base32
from tests.vectors.loading import load, names

CRYPTOAUTH = load("cryptoauth.json")
IDENTITIES = list(CRYPTOAUTH["identities"].values())
BASE32 = CRYPTOAUTH["primitives"]["base32"]


@pytest.mark.parametrize("case", BASE32, ids=names(BASE32, "text"))
def test_base32_reads_and_writes_these(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert encode_base32(data) == case["text"]
    assert decode_base32(case["text"]) == data
    assert decode_base32(case["text"].upper()) == data


@pytest.mark.parametrize("case", IDENTITIES, ids=names(IDENTITIES, "ipv6"))
def test_identities_have_these_strings_and_addresses(case: dict[str, Any]) -> None:
    key = keys.PublicKey(bytes.fromhex(case["public"]))
    assert keys.encode_key(key) == case["public_key_string"]
    address = keys.address_of(key)
    assert format_padded(address) == case["ipv6"]
    assert keys.is_node_key(key) is is_mesh_address(address)
    if keys.is_node_key(key):
        assert keys.decode_key(case["public_key_string"]) == key
    else:
        with pytest.raises(DecodeError, match=keys.NOT_A_NODE):
            keys.decode_key(case["public_key_string"])


def test_one_identity_is_no_node() -> None:
    assert sum(1 for case in IDENTITIES if not case["ipv6"].startswith("fc")) == 1
