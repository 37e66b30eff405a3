from __future__ import annotations

from typing import Any

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.bencode import (
    MAX_DEPTH,
    BencodeValue,
    decode_bencode,
    decode_bencode_dict,
    encode_bencode,
)


def test_a_padded_query_of_cjdns_is_read() -> None:
    assert decode_bencode(b"d0001:q04:pinge") == {b"q": b"ping"}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i0e", 0),
        (b"i-0e", 0),
        (b"i007e", 7),
        (b"i-007e", -7),
        (b"i9223372036854775807e", (1 << 63) - 1),
        (b"i-9223372036854775808e", -(1 << 63)),
        (b"i" + b"0" * 5000 + b"1e", 1),
        (b"0:", b""),
        (b"000000:", b""),
        (b"3:a:b", b"a:b"),
        (b"le", []),
        (b"li1el1:aee", [1, [b"a"]]),
        (b"de", {}),
        (b"d1:bi1e1:ai2ee", {b"a": 2, b"b": 1}),
        (b"d0:i1ee", {b"": 1}),
    ],
)
def test_values_of_the_dialect_are_read(data: bytes, value: object) -> None:
    assert decode_bencode(data) == value


def test_of_a_repeated_key_the_last_one_counts() -> None:
    assert decode_bencode(b"d1:q2:fn1:q2:pne") == {b"q": b"pn"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"i",
        b"ie",
        b"i-e",
        b"i--1e",
        b"i+1e",
        b"i 1e",
        b"i1",
        b"i1.0e",
        b"i9223372036854775808e",
        b"i-9223372036854775809e",
        b"i" + b"9" * 5000 + b"e",
        b"3:ab",
        b"-1:",
        b"5",
        b"5a",
        b"99999999999999999999:a",
        b":",
        b"l",
        b"li1e",
        b"d",
        b"d1:a",
        b"d1:ae",
        b"di1ei2ee",
        b"dli1eei2ee",
        b"d1:ai1e",
        b"e",
        b"\xff",
        b"i\xd9\xa1e",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_bencode(data)


def test_bytes_after_the_end_are_refused_unless_allowed() -> None:
    with pytest.raises(DecodeError, match="after the end"):
        decode_bencode(b"de\n")
    assert decode_bencode(b"dexxx", allow_trailing=True) == {}


def test_nesting_is_bounded() -> None:
    deepest = b"l" * MAX_DEPTH + b"e" * MAX_DEPTH
    assert encode_bencode(decode_bencode(deepest)) == deepest
    for data in (b"l" + deepest + b"e", b"d1:a" * MAX_DEPTH + b"i1e", b"l" * 60000):
        with pytest.raises(DecodeError, match="too deep"):
            decode_bencode(data)


def test_size_is_bounded() -> None:
    assert decode_bencode(b"3:abc", max_bytes=5) == b"abc"
    with pytest.raises(DecodeError, match="too big"):
        decode_bencode(b"3:abc", max_bytes=4)


def test_a_message_is_a_dictionary() -> None:
    assert decode_bencode_dict(b"de") == {}
    for data in (b"le", b"i1e", b"0:"):
        with pytest.raises(DecodeError, match="dictionary"):
            decode_bencode_dict(data)


def test_keys_are_written_sorted_and_unpadded() -> None:
    value: BencodeValue = {b"q": b"pn", b"ei": 0, b"list": [1, (b"two", -3)], b"": {}}
    assert encode_bencode(value) == b"d0:de2:eii0e4:listli1el3:twoi-3eee1:q2:pne"


def test_what_has_no_bencode_is_our_mistake() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    values: list[Any] = ["text", 1.5, None, 1 << 63, -(1 << 63) - 1, deep, [None]]
    for value in values:
        with pytest.raises(UsageError):
            encode_bencode(value)
