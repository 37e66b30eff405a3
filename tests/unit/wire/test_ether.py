from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.ether import (
    BROADCAST,
    EtherFrame,
    MacAddress,
    decode_ether_frame,
    decode_link_payload,
    encode_link_payload,
)

HERE, THERE = MacAddress(bytes.fromhex("020000000001")), MacAddress(bytes.fromhex("020000000002"))


def frame_with(payload: bytes) -> EtherFrame:
    return EtherFrame(THERE, HERE, payload)


def test_the_length_counts_the_link_header() -> None:
    assert encode_link_payload(b"abc").hex() == "00000009fc00616263"


@pytest.mark.parametrize(
    ("payload_bytes", "frame_bytes"), [(0, 60), (40, 60), (41, 61), (1492, 1512)]
)
def test_short_frames_are_padded_and_long_ones_are_not(
    payload_bytes: int, frame_bytes: int
) -> None:
    frame = frame_with(b"\xaa" * payload_bytes)
    assert len(frame.encode()) == frame_bytes
    assert decode_ether_frame(frame.encode()) == frame


def test_zeros_of_the_payload_are_no_padding() -> None:
    frame = frame_with(bytes(12))
    assert decode_ether_frame(frame.encode() + bytes(30)) == frame


def test_what_goes_to_everybody_is_a_beacon() -> None:
    assert EtherFrame(BROADCAST, HERE, b"").is_beacon
    assert not frame_with(b"").is_beacon


def test_frames_that_are_cut_off_are_refused() -> None:
    whole = frame_with(bytes(range(60))).encode()
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            decode_ether_frame(whole[:length])


@pytest.mark.parametrize("place", [12, 13, 14, 18, 19])
def test_frames_with_another_type_version_or_magic_are_refused(place: int) -> None:
    damaged = bytearray(frame_with(b"payload").encode())
    damaged[place] ^= 1
    with pytest.raises(DecodeError):
        decode_ether_frame(bytes(damaged))


@pytest.mark.parametrize("length", [0, 5, 8, 0xFFFF])
def test_lengths_that_cannot_be_are_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        decode_link_payload(bytes(2) + length.to_bytes(2, "big") + b"\xfc\x00" + b"x")


def test_the_reserved_byte_means_nothing() -> None:
    assert decode_link_payload(bytes.fromhex("00ff0007fc0078")) == b"x"


def test_what_fits_no_frame_is_not_written() -> None:
    for frame in (
        frame_with(bytes(1493)),
        EtherFrame(MacAddress(bytes(5)), HERE, b""),
        EtherFrame(THERE, MacAddress(bytes(7)), b""),
    ):
        with pytest.raises(UsageError):
            frame.encode()
