"""`decode` and `parse` never raise anything but DecodeError, whatever the bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.errors import DecodeError
from dexmesh.wire import (
    address,
    base32,
    beacon,
    bencode,
    control,
    dht,
    ether,
    headers,
    keys,
    label,
    scheme,
    seed,
    varint,
)
from dexmesh.wire.node_address import parse_node_address
from tests.property import wire_values as values
from tests.vectors.loading import load

BYTES_DECODERS: list[Callable[[bytes], object]] = [
    address.decode_address,
    beacon.decode_beacon,
    beacon.decode_udp_beacon,
    bencode.decode_bencode,
    bencode.decode_bencode_dict,
    control.decode_control,
    dht.decode_message,
    dht.decode_versions,
    ether.decode_ether_frame,
    ether.decode_link_payload,
    headers.decode_data_header,
    headers.decode_route_header,
    headers.decode_switch_header,
    keys.PrivateKey,
    label.decode_label,
    scheme.decode_scheme,
    seed.decode_seed,
    varint.decode_varint,
]
TEXT_PARSERS: list[Callable[[str], object]] = [
    address.parse_address,
    base32.decode_base32,
    keys.PrivateKey.from_hex,
    keys.decode_key,
    label.parse_label,
    parse_node_address,
    seed.parse_seed,
]


def name_of(decoder: Callable[..., object]) -> str:
    return decoder.__qualname__


def refuses_or_decodes(decode: Callable[[Any], object], data: bytes | str) -> bool:
    """Whether `data` decoded; any exception but DecodeError fails the test."""
    try:
        decode(data)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("decode", BYTES_DECODERS, ids=name_of)
@given(data=st.binary(max_size=200))
def test_random_bytes(decode: Callable[[bytes], object], data: bytes) -> None:
    refuses_or_decodes(decode, data)


@pytest.mark.parametrize("parse", TEXT_PARSERS, ids=name_of)
@given(text=st.text(max_size=90) | st.text("0123456789abcdfghvk.:%-_/ ", max_size=90))
def test_random_text(parse: Callable[[str], object], text: str) -> None:
    refuses_or_decodes(parse, text)


@given(data=st.text("0123456789:ildei-+ ", max_size=60))
def test_almost_bencode(data: str) -> None:
    refuses_or_decodes(bencode.decode_bencode, data.encode())


def with_right_checksum(frame: bytes) -> bytes:
    rest = frame[2:]
    return control.checksum(bytes(2) + rest).to_bytes(2, "big") + rest


@given(kind=st.integers(0, 15), body=st.binary(max_size=140))
def test_control_frames_with_a_right_checksum(kind: int, body: bytes) -> None:
    frame = with_right_checksum(bytes(2) + kind.to_bytes(2, "big") + body)
    refuses_or_decodes(control.decode_control, frame)


@given(message=values.control_messages, rng=st.randoms(use_true_random=False))
def test_damaged_control_frames(message: control.ControlMessage, rng: random.Random) -> None:
    damaged = with_right_checksum(damage(control.encode_control(message), rng))
    refuses_or_decodes(control.decode_control, damaged)


@given(text=st.text("ABZaz09+/=-_ \n\u00e9", max_size=90))
def test_almost_seed_records(text: str) -> None:
    refuses_or_decodes(seed.parse_seed, seed.TEXT_PREFIX + text)


@given(record=values.seed_records, rng=st.randoms(use_true_random=False))
def test_damaged_seed_records(record: seed.SeedRecord, rng: random.Random) -> None:
    refuses_or_decodes(seed.decode_seed, damage(seed.encode_seed(record) or b"\1", rng))


@given(frame=values.ether_frames, rng=st.randoms(use_true_random=False))
def test_damaged_ethernet_frames(frame: ether.EtherFrame, rng: random.Random) -> None:
    refuses_or_decodes(ether.decode_ether_frame, damage(frame.encode(), rng))


@given(message=values.routing_messages(), rng=st.randoms(use_true_random=False))
def test_damaged_routing_messages(message: dht.RoutingMessage, rng: random.Random) -> None:
    refuses_or_decodes(dht.decode_message, damage(dht.encode_message(message), rng))


def damage(data: bytes, rng: random.Random) -> bytes:
    """Cut, doubled, or with one byte changed."""
    place = rng.randrange(len(data))
    kind = rng.randrange(3)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + data[place:] * 2
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


KEYS_OF_MESSAGES = [b"q", b"sq", b"txid", b"p", b"ei", b"es", b"tar", b"n", b"np"]


@given(
    content=st.dictionaries(
        st.sampled_from(KEYS_OF_MESSAGES), values.bencode_values, max_size=len(KEYS_OF_MESSAGES)
    )
)
def test_routing_messages_with_values_of_any_type(
    content: dict[bytes, bencode.BencodeValue],
) -> None:
    refuses_or_decodes(dht.decode_message, bencode.encode_bencode(content))


@given(packed=st.binary(max_size=200), versions=st.binary(max_size=12))
def test_replies_with_any_node_list(packed: bytes, versions: bytes) -> None:
    values_: dict[bytes, bencode.BencodeValue] = {
        b"txid": b"0",
        b"p": 20,
        b"ei": 0,
        b"n": packed,
        b"np": versions,
    }
    message = dht.decode_message(bencode.encode_bencode(values_))
    assert isinstance(message, dht.Reply)
    assert len(message.nodes) * 40 <= len(packed)


def test_captured_messages_cut_at_every_byte() -> None:
    for case in load("routing.json")["messages"][:6]:
        content = bytes.fromhex(case["content"])
        for length in range(len(content)):
            assert not refuses_or_decodes(dht.decode_message, content[:length])


def test_captured_frames_with_every_bit_flipped() -> None:
    for case in load("switch.json")["control_constructed"]["cases"]:
        frame = bytes.fromhex(case["packet"])[16:]
        for bit in range(len(frame) * 8):
            damaged = bytearray(frame)
            damaged[bit // 8] ^= 1 << bit % 8
            assert not refuses_or_decodes(control.decode_control, bytes(damaged))
            refuses_or_decodes(control.decode_control, with_right_checksum(bytes(damaged)))
