from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire.label import (
    MAX_LABEL,
    NO_LABEL,
    SELF_LABEL,
    Label,
    decode_label,
    encode_label,
    format_label,
    label_length,
    parse_label,
    reverse64,
    routes_through,
    splice,
    unsplice,
)


def test_labels_are_written_in_four_groups() -> None:
    assert format_label(Label(0x133)) == "0000.0000.0000.0133"
    assert parse_label("0000.0000.0000.0133") == 0x133
    assert parse_label("FFFF.ffff.FFFF.ffff") == (1 << 64) - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "133",
        "0000.0000.0000.133",
        "0000.0000.0000.0133 ",
        "0000.0000.0000.0133\n",
        "0000.0000.0000.0000.0133",
        "0000:0000:0000:0133",
        "0000.0000.0000.0x33",
        "0000.0000.0000.\u0660\u0660\u0660\u0660",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="not a label"):
        parse_label(text)


def test_labels_are_8_bytes_big_endian() -> None:
    assert encode_label(Label(0x133)) == bytes.fromhex("0000000000000133")
    assert decode_label(bytes.fromhex("8000000000000001")) == 1 << 63 | 1
    for length in (0, 7, 9):
        with pytest.raises(DecodeError):
            decode_label(bytes(length))


def test_the_length_is_where_the_end_marker_stands() -> None:
    assert [label_length(Label(value)) for value in (0, 1, 2, 0x13, 0x133)] == [0, 0, 1, 4, 8]


def test_splicing_goes_on_from_the_end_of_a_route() -> None:
    assert splice(Label(0x13), Label(0x13)) == 0x133
    assert splice(SELF_LABEL, Label(0x13)) == 0x13
    assert splice(Label(0x13), SELF_LABEL) == 0x13


def test_the_longest_route_has_59_bits_of_directors() -> None:
    route = Label(1 << 55 | 3)
    longest = splice(Label(0x13), route)
    assert longest is not None
    assert label_length(longest) == 59
    assert longest <= MAX_LABEL
    assert splice(Label(0x25), Label(1 << 55 | 3)) is None
    assert splice(Label(0x13), Label(1 << 56 | 3)) is None


def test_no_route_cannot_be_spliced() -> None:
    assert splice(NO_LABEL, Label(0x13)) is None
    assert splice(Label(0x13), NO_LABEL) is None


def test_a_route_begins_with_its_first_hops() -> None:
    assert routes_through(Label(0x153), Label(0x13))
    assert not routes_through(Label(0x153), Label(0x15))
    assert not routes_through(Label(0x13), Label(0x153))
    assert routes_through(Label(0x153), SELF_LABEL)
    assert unsplice(Label(0x153), Label(0x13)) == 0x15


def test_a_way_back_is_the_reversed_label() -> None:
    assert reverse64(Label(0xCA80_0000_0000_0000)) == 0x153
    assert reverse64(Label(1)) == 1 << 63
