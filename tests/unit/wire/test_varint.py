from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.varint import decode_varint, encode_varint


def test_the_next_thing_begins_behind_the_number() -> None:
    assert decode_varint(b"\x99\xfd\x01\x02\x99", 1) == (0x0102, 4)


def test_longer_forms_than_needed_are_read() -> None:
    assert decode_varint(bytes.fromhex("ff0000000000000005")) == (5, 9)


def test_numbers_that_are_cut_off_are_refused() -> None:
    for whole in ("05", "fd0100", "fe00010000", "ff0000000100000000"):
        data = bytes.fromhex(whole)
        for length in range(len(data)):
            with pytest.raises(DecodeError):
                decode_varint(data[:length])
        with pytest.raises(DecodeError):
            decode_varint(data, len(data) + 1)


@pytest.mark.parametrize("value", [-1, -(1 << 70), 1 << 64])
def test_numbers_outside_64_bits_are_not_written(value: int) -> None:
    with pytest.raises(UsageError):
        encode_varint(value)
    assert encode_varint((1 << 64) - 1) == b"\xff" * 9
