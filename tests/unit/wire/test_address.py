from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import address
from dexmesh.wire.address import Address, format_address, format_padded, parse_address

PADDED = "fc38:0ffd:e3e1:0000:0000:b83c:2f25:09cd"
SHORT = "fc38:ffd:e3e1::b83c:2f25:9cd"


def test_both_written_forms_are_the_same_address() -> None:
    assert parse_address(PADDED) == parse_address(SHORT) == parse_address(PADDED.upper())
    assert format_address(parse_address(PADDED)) == SHORT
    assert parse_address("fc00:0:0:0:0:0:0:a") == parse_address("FC00::000A")
    assert format_address(parse_address("fc00:0:0:1:10:0:a00:0")) == "fc00::1:10:0:a00:0"
    assert format_padded(parse_address(SHORT)) == PADDED


def test_a_single_zero_group_is_not_compressed() -> None:
    assert format_address(parse_address("fc00:1:2:3:0:5:6:7")) == "fc00:1:2:3:0:5:6:7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fc00",
        "fc00::%eth0",
        "fc00::1::2",
        "fc00::g",
        "10.0.0.1",
        "[fc00::1]",
        "fc00::1/8",
        "fc00:1:2:3:4:5:6",
        "fc00:1:2:3:4:5:6:7:8",
        "fc00:1:2:3:4:5:6:00007",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="not an IPv6 address"):
        parse_address(text)


def test_an_address_is_16_bytes() -> None:
    assert address.decode_address(bytes(16)) == Address(bytes(16))
    for length in (0, 15, 17):
        with pytest.raises(DecodeError):
            address.decode_address(bytes(length))


def test_only_fc00_is_the_mesh() -> None:
    assert address.is_mesh_address(parse_address("fcff::1"))
    assert not address.is_mesh_address(parse_address("fd00::1"))
    assert not address.is_mesh_address(parse_address("fb00::1"))


def test_addresses_are_ordered_by_their_second_half_first() -> None:
    a = parse_address("fc00::1:0:0:2")
    assert address.rot(a) == (0x0001_0000_0000_0002 << 64) | (0xFC00 << 48)


def test_distance_to_oneself_is_zero_and_the_bucket_is_the_last() -> None:
    own = parse_address(PADDED)
    assert address.distance(own, own) == 0
    assert address.bucket(own, own) == address.OWN_BUCKET == 127


def test_the_bucket_counts_equal_leading_bits() -> None:
    own = parse_address("fc00::")
    assert address.bucket(own, parse_address("fc00::8000:0:0:0")) == 0
    assert address.bucket(own, parse_address("fc00::4000:0:0:0")) == 1
    assert address.bucket(own, parse_address("fc00::1")) == 63
    assert address.bucket(own, parse_address("fc00:0:0:1::")) == 127
