from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.seed import (
    SeedPeer,
    SeedRecord,
    decode_seed,
    encode_seed,
    format_seed,
    parse_seed,
)

KEY, OTHER_KEY = PublicKey(b"\x11" * 32), PublicKey(b"\x22" * 32)
PEER = SeedPeer(ipaddress.IPv4Address("192.0.2.7"), 4567, 12, b"\x01" * 8, KEY, 22)
FULL = SeedRecord((PEER,), supernode=OTHER_KEY, peer_id=b"PUB_demo")


def item(kind: int, value: bytes) -> bytes:
    return bytes((kind, 2 + len(value))) + value


def test_nothing_is_a_record_that_offers_nothing() -> None:
    assert format_seed(SeedRecord()) == "cjdns0="
    assert parse_seed("cjdns0=") == SeedRecord()


def test_items_of_unknown_type_are_skipped() -> None:
    encoded = encode_seed(FULL)
    assert decode_seed(item(9, b"??") + encoded + item(0, b"") + item(255, b"x" * 253)) == FULL


def test_of_two_supernodes_or_peer_ids_the_first_counts() -> None:
    other = SeedRecord(supernode=KEY, peer_id=b"PUB_other")
    assert decode_seed(encode_seed(FULL) + encode_seed(other)) == FULL


def test_bytes_behind_the_fields_of_a_peer_are_ignored() -> None:
    value = encode_seed(SeedRecord((PEER,)))[2:]
    assert decode_seed(item(2, value + b"later")) == SeedRecord((PEER,))


def test_one_damaged_item_spoils_the_record() -> None:
    good = encode_seed(FULL)
    peer = encode_seed(SeedRecord((PEER,)))[2:]
    for damaged in (
        item(1, bytes(31)),
        item(1, bytes(33)),
        item(4, bytes(65)),
        item(2, peer[:-1]),
        item(2, b""),
        item(3, peer[:40]),
        item(2, peer[:6] + bytes.fromhex("fe00010000") + peer[7:]),
        item(2, peer[:-1] + bytes.fromhex("ff0000000100000000")),
        b"\x09\x01",
        b"\x09\x00",
        b"\x09\x03",
    ):
        with pytest.raises(DecodeError):
            decode_seed(good + damaged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cjdns0",
        "cjdns1=",
        "CJDNS0=ASKr",
        " cjdns0=",
        "cjdns0=A",
        "cjdns0=fwSquw==",
        "cjdns0=fwSqux",
        "cjdns0=fwSq uw",
        "cjdns0=fwSquw\n",
        "cjdns0=fwS-_w",
        "cjdns0=\xe9",
        "cjdns0=\u20ac\u20ac\u20ac\u20ac",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    assert parse_seed("cjdns0=fwSquw") == SeedRecord()
    with pytest.raises(DecodeError):
        parse_seed(text)


@pytest.mark.parametrize(
    "change",
    [
        {"password": bytes(7)},
        {"key": PublicKey(bytes(33))},
        {"port": 65536},
        {"port": -1},
        {"login": 65536},
        {"login": -1},
        {"version": 1 << 32},
        {"version": -1},
    ],
    ids=str,
)
def test_a_peer_that_fits_no_record_cannot_be_made(change: dict[str, int | bytes]) -> None:
    with pytest.raises(UsageError):
        replace(PEER, **change)  # type: ignore[arg-type]


def test_supernodes_and_peer_ids_of_a_wrong_length_are_not_written() -> None:
    assert decode_seed(encode_seed(SeedRecord(peer_id=bytes(64)))).peer_id == bytes(64)
    for record in (SeedRecord(supernode=PublicKey(bytes(31))), SeedRecord(peer_id=bytes(65))):
        with pytest.raises(UsageError):
            encode_seed(record)
