from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire.base32 import ALPHABET, decode_base32, encode_base32


def test_the_alphabet_has_32_characters_and_no_vowels_but_u_and_y() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("aeio") & set(ALPHABET)


def test_low_bits_come_first() -> None:
    assert encode_base32(b"\x01") == "10"
    assert encode_base32(b"\x20") == "01"
    assert encode_base32(b"\xff\xff\xff\xff\xff") == "zzzzzzzz"


def test_nothing_is_an_empty_text() -> None:
    assert encode_base32(b"") == ""
    assert decode_base32("") == b""


@pytest.mark.parametrize(
    "text", ["a0", "0e", "é0", "0 ", "0-", "\u0660\u0660", "0\n", "1_0", "+1", "~0", "\xb2"]
)
def test_foreign_characters_are_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="character"):
        decode_base32(text)


@pytest.mark.parametrize("text", ["0", "000", "000000"])
def test_texts_with_five_or_more_bits_left_over_are_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="length"):
        decode_base32(text)


@pytest.mark.parametrize("text", ["08", "0z", "000z"])
def test_stray_bits_at_the_end_are_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="stray bits"):
        decode_base32(text)
