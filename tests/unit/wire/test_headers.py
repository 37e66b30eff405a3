from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address
from dexmesh.wire.headers import (
    ContentType,
    DataHeader,
    RouteHeader,
    SwitchHeader,
    decode_data_header,
    decode_route_header,
    decode_switch_header,
)
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label


def test_a_header_of_our_own_has_version_1_and_zeros() -> None:
    assert SwitchHeader(Label(0x133)).encode().hex() == "000000000000013300400000"


def test_every_bit_of_a_switch_header_survives() -> None:
    for filler in (0x00, 0xFF, 0xA5, 0x5A):
        data = bytes([filler]) * 12
        assert decode_switch_header(data).encode() == data


def test_bytes_after_a_switch_header_are_left_alone() -> None:
    header = decode_switch_header(bytes.fromhex("8000000000000001034403e8") + b"rest")
    assert header == SwitchHeader(Label(1 << 63 | 1), 1, True, 1, 4, 1000)


def test_a_data_header_names_its_content() -> None:
    assert DataHeader(ContentType.CJDHT).encode().hex() == "10000100"
    assert decode_data_header(bytes.fromhex("1fff0101")) == DataHeader(ContentType.IPTUN)
    assert decode_data_header(bytes.fromhex("20000011")) == DataHeader(17, version=2)


def test_a_route_header_is_68_bytes() -> None:
    header = RouteHeader(
        key=PublicKey(bytes(range(32))),
        switch_header=SwitchHeader(Label(0x13)),
        version=20,
        address=Address(bytes([0xFC] * 16)),
        is_incoming=True,
    )
    encoded = header.encode()
    assert len(encoded) == 68
    assert encoded[44:52].hex() == "0000001401000000"
    assert decode_route_header(encoded + b"content") == header


@pytest.mark.parametrize(
    ("flags", "name"), [(1, "is_incoming"), (2, "is_control"), (4, "is_pathfinder")]
)
def test_each_flag_of_a_route_header_has_its_bit(flags: int, name: str) -> None:
    data = bytes(48) + bytes([flags]) + bytes(19)
    header = decode_route_header(data)
    assert getattr(header, name) is True
    assert (header.is_incoming, header.is_control, header.is_pathfinder).count(True) == 1
    assert header.encode() == data


def test_headers_that_are_cut_off_are_refused() -> None:
    for length in range(12):
        with pytest.raises(DecodeError):
            decode_switch_header(bytes(length))
    for length in range(4):
        with pytest.raises(DecodeError):
            decode_data_header(bytes(length))
    for length in range(68):
        with pytest.raises(DecodeError):
            decode_route_header(bytes(length))
