from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import keys
from dexmesh.wire.keys import decode_key
from dexmesh.wire.label import Label
from dexmesh.wire.node_address import NodeAddress, format_node_address, parse_node_address

KEY = "6ub2cjwzrpj01ydqz96sv3muj9mhtj4v4xbdbyu8tcshxx879b00.k"
TEXT = f"v20.0000.0000.0000.0013.{KEY}"
NODE = NodeAddress(decode_key(KEY), Label(0x13), 20)


def test_a_node_is_written_in_one_word() -> None:
    assert format_node_address(NODE) == TEXT
    assert parse_node_address(TEXT) == NODE


def test_a_node_that_has_not_spoken_has_version_0() -> None:
    assert parse_node_address(TEXT.replace("v20", "v0")).version == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY,
        TEXT[1:],
        TEXT + "k",
        TEXT.replace("v20", "v020"),
        TEXT.replace("v20", "v"),
        TEXT.replace("v20", "v99999999999"),
        TEXT.replace("0013", "013"),
        TEXT.replace("0000.0013", "0000.00.3"),
        TEXT + "\n",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_node_address(text)


def test_a_bad_key_is_named_as_such() -> None:
    with pytest.raises(DecodeError, match=keys.NOT_A_NODE):
        parse_node_address(TEXT[:24] + "0" * 52 + ".k")
