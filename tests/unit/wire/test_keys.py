from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import keys
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import PrivateKey, PublicKey

TEXT = "lfjjylkrkyv4j36fy7qj2sumj65kw448cbu36mwmgk8pd7s1jj30.k"
KEY = PublicKey(bytes.fromhex("b241e865bcd16f028769fe5828b09ed094c809414be961269f2ea2ca0e0e100e"))
SECRET = "876f1f2f2c44d70fcf57205c182d90da2bee32a6a5db39c544898cec2c6ac12f"


def test_a_key_string_is_52_characters_and_a_suffix() -> None:
    assert keys.decode_key(TEXT) == KEY
    assert keys.encode_key(KEY) == TEXT
    assert format_padded(keys.address_of(KEY)) == "fc82:e9e6:8157:8163:6dfc:b21a:8f33:bbe7"


def test_upper_case_digits_of_a_key_are_read() -> None:
    assert keys.decode_key(TEXT[:-2].upper() + ".k") == KEY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", keys.BAD_LENGTH),
        (TEXT[3:], keys.BAD_LENGTH),
        (TEXT[:-2], keys.BAD_SUFFIX),
        (TEXT[:-1] + "K", keys.BAD_SUFFIX),
        (TEXT[:-1], keys.BAD_SUFFIX),
        ("0" + TEXT, keys.BAD_SUFFIX),
        (TEXT + " ", keys.BAD_LENGTH),
        (TEXT + ".k", keys.BAD_LENGTH),
        ("a" + TEXT[1:], keys.BAD_BASE32),
        (TEXT[:51] + "z.k", keys.BAD_BASE32),
        ("0" * 52 + ".k", keys.NOT_A_NODE),
    ],
)
def test_other_texts_are_refused_with_the_reason_of_the_admin_interface(
    text: str, reason: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        keys.decode_key(text)
    assert caught.value.reason == reason


def test_a_private_key_is_read_from_hex_of_either_case() -> None:
    assert PrivateKey.from_hex(SECRET.upper()).hex() == SECRET
    assert bytes(PrivateKey.from_hex(SECRET)) == bytes.fromhex(SECRET)


@pytest.mark.parametrize("text", ["", SECRET[1:], SECRET + "0", "g" + SECRET[1:], " " * 64])
def test_a_private_key_that_is_not_64_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="64 hex digits"):
        PrivateKey.from_hex(text)


def test_a_private_key_of_64_characters_with_spaces_is_refused() -> None:
    with pytest.raises(DecodeError):
        PrivateKey.from_hex(SECRET[:-2] + "  ")


def test_a_private_key_of_another_length_is_refused() -> None:
    with pytest.raises(DecodeError, match="32 bytes"):
        PrivateKey(bytes(31))


def test_a_private_key_never_shows() -> None:
    key = PrivateKey.from_hex(SECRET)
    assert f"{key} {key!r} {[key]}" == "<secret> <secret> [<secret>]"


def test_private_keys_are_equal_by_their_bytes() -> None:
    key = PrivateKey.from_hex(SECRET)
    assert key == PrivateKey.from_hex(SECRET)
    assert key != PrivateKey(bytes(32))
    assert key != SECRET
    assert len({key, PrivateKey.from_hex(SECRET)}) == 1
