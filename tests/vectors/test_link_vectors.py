"""Play the groups of switch.json that concern links: beacons, Ethernet frames, seed records."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from dexmesh.engine._native import CryptoAuth
from dexmesh.errors import DecodeError
from dexmesh.wire import beacon, ether, seed
from dexmesh.wire.beacon import Beacon, BeaconState, BeaconVerdict
from dexmesh.wire.ether import EtherFrame, MacAddress
from dexmesh.wire.keys import PublicKey, address_of, decode_key, encode_key
from dexmesh.wire.varint import decode_varint, encode_varint
from tests.vectors.loading import load, names

SWITCH = load("switch.json")
BEACONS = SWITCH["beacons"]
OVER_ETHERNET, *OVER_UDP = (case for case in BEACONS["cases"] if "decoded" in case)
SEEDS = SWITCH["dns_seed"]["cases"]
HEARER = PublicKey(bytes(32))


def is_accepted(heard: Beacon) -> bool:
    verdict = beacon.judge_beacon(heard, HEARER, BeaconState.ACCEPT)
    return verdict is BeaconVerdict.ACCEPT


def check_beacon(heard: Beacon, decoded: dict[str, Any]) -> None:
    assert heard.version == decoded["protocol_version"]
    assert heard.password.hex() == decoded["password"]
    assert heard.key.hex() == decoded["public_key"]
    assert encode_key(heard.key) == decoded["public_key_base32"]
    assert is_accepted(heard)


def test_a_beacon_frame_of_the_reference_survives_both_ways() -> None:
    data, decoded = bytes.fromhex(OVER_ETHERNET["frame"]), OVER_ETHERNET["decoded"]
    frame = ether.decode_ether_frame(data)
    assert frame.is_beacon
    assert frame.destination.hex(":") == decoded["dst"]
    assert frame.source.hex(":") == decoded["src"]
    heard = beacon.decode_beacon(frame.payload)
    check_beacon(heard, decoded)
    assert address_of(heard.key).hex() == decoded["ipv6"]
    assert EtherFrame(frame.destination, frame.source, heard.encode()).encode() == data


@pytest.mark.parametrize("case", OVER_UDP, ids=names(OVER_UDP, "note"))
def test_beacon_datagrams_survive_both_ways(case: dict[str, Any]) -> None:
    heard = beacon.decode_udp_beacon(bytes.fromhex(case["payload"]))
    assert heard.port == case["decoded"]["comm_port"]
    check_beacon(heard.beacon, case["decoded"])
    assert heard.encode().hex() == case["payload"]


def test_the_hello_to_a_beacon_presents_its_password() -> None:
    (case,) = (case for case in BEACONS["cases"] if "challenge" in case)
    session = CryptoAuth(bytes(range(32)), beacon_key(), require_auth=False, now=0.0)
    session.set_credential(None, bytes.fromhex(case["password"]))
    hello = session.seal(0.0, b"", bytes(range(56)))
    assert hello is not None
    assert hello[4:16].hex() == case["challenge"]


def beacon_key() -> PublicKey:
    return decode_key(OVER_UDP[-1]["decoded"]["public_key_base32"])


UDP_ACCEPTANCE = BEACONS["udp_acceptance_v20_7_live"]["cases"]


@pytest.mark.parametrize("case", UDP_ACCEPTANCE, ids=names(UDP_ACCEPTANCE, "note"))
def test_beacon_datagrams_are_accepted_like_the_reference_did(case: dict[str, Any]) -> None:
    try:
        heard = beacon.decode_udp_beacon(bytes.fromhex(case["payload"]))
    except DecodeError:
        assert not case["accepted"]
    else:
        assert is_accepted(heard.beacon) is case["accepted"]


# The capture has these frames in words only: what each changes in a good beacon frame.
MADE_FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "40 zero bytes after the length-delimited payload": lambda frame: frame + bytes(40),
    "reserved byte 7 instead of 0": lambda frame: with_bytes(frame, 15, b"\x07"),
    "length field larger than the frame": lambda frame: with_bytes(frame, 16, b"\x00\x3f"),
    "version byte 1": lambda frame: with_bytes(frame, 14, b"\x01"),
    "magic fc01": lambda frame: with_bytes(frame, 18, b"\xfc\x01"),
    "data frame sent to the broadcast MAC": lambda _: data_frame_to_everybody(),
}
ETHER_ACCEPTANCE = BEACONS["eth_acceptance_v20_7_live"]["cases"]


def with_bytes(frame: bytes, start: int, new: bytes) -> bytes:
    return frame[:start] + new + frame[start + len(new) :]


def data_frame_to_everybody() -> bytes:
    """A link message: counter 4, then what looks random."""
    message = (4).to_bytes(4, "big") + bytes(range(100))
    return EtherFrame(ether.BROADCAST, MacAddress(bytes(6)), message).encode()


@pytest.mark.parametrize("case", ETHER_ACCEPTANCE, ids=names(ETHER_ACCEPTANCE, "note"))
def test_beacon_frames_are_accepted_like_the_reference_did(case: dict[str, Any]) -> None:
    frame = MADE_FRAMES[case["note"]](bytes.fromhex(OVER_ETHERNET["frame"]))
    try:
        decoded = ether.decode_ether_frame(frame)
        heard = beacon.decode_beacon(decoded.payload)
    except DecodeError:
        assert not case["accepted"]
    else:
        assert decoded.is_beacon
        assert is_accepted(heard) is case["accepted"]


def test_every_described_frame_was_made() -> None:
    assert {case["note"] for case in ETHER_ACCEPTANCE} == MADE_FRAMES.keys()


ETHERNET_FRAMES = SWITCH["ethernet_frames"]["cases"]


@pytest.mark.parametrize("case", ETHERNET_FRAMES, ids=names(ETHERNET_FRAMES, "note"))
def test_ethernet_frames_survive_both_ways(case: dict[str, Any]) -> None:
    frame = ether.decode_ether_frame(bytes.fromhex(case["frame"]))
    assert frame.payload.hex() == case["payload"]
    assert frame.is_beacon is case.get("broadcast", False)
    assert frame.encode().hex() == case["frame"]


@pytest.mark.parametrize("case", SEEDS, ids=names(SEEDS, "note"))
def test_seed_records_survive_both_ways(case: dict[str, Any]) -> None:
    record = seed.parse_seed(case["txt"])
    check_record(record, case["decoded"])
    assert seed.decode_seed(bytes.fromhex(case["binary"])) == record
    assert seed.encode_seed(record).hex() == case["binary"]
    assert seed.format_seed(record) == case["txt"]


def check_record(record: seed.SeedRecord, decoded: dict[str, Any]) -> None:
    assert (record.supernode.hex() if record.supernode else None) == decoded.get("snode")
    peer_id = decoded.get("peer_id")
    assert record.peer_id == (None if peer_id is None else peer_id.encode())
    peers = decoded.get("peers", [])
    assert len(record.peers) == len(peers)
    for peer, expected in zip(record.peers, peers, strict=True):
        check_peer(peer, expected)


def check_peer(peer: seed.SeedPeer, expected: dict[str, Any]) -> None:
    host = f"[{peer.host}]" if isinstance(peer.host, ipaddress.IPv6Address) else str(peer.host)
    assert f"{host}:{peer.port}" == expected["address"]
    assert peer.password.hex() == expected["password"]
    assert peer.key.hex() == expected["public_key"]
    assert (peer.login, peer.version) == (expected["login"], expected["version"])
    assert peer.login_text == expected["login_string"]
    assert peer.password_text == expected["password_string"]


SEED_EDGES = SWITCH["dns_seed"]["edge_cases"]


@pytest.mark.parametrize("case", SEED_EDGES, ids=names(SEED_EDGES, "note"))
def test_odd_seed_records_are_read_or_refused(case: dict[str, Any]) -> None:
    def read() -> seed.SeedRecord:
        if case["form"] == "txt":
            return seed.parse_seed(case["input"])
        return seed.decode_seed(bytes.fromhex(case["input"]))

    if case["ok"]:
        assert read() == seed.SeedRecord()
    else:
        with pytest.raises(DecodeError):
            read()


VARINTS = load("routing.json")["varint"]


@pytest.mark.parametrize("case", VARINTS, ids=names(VARINTS, "value"))
def test_numbers_of_variable_length_have_these_bytes(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert encode_varint(case["value"]) == data
    assert decode_varint(data) == (case["value"], len(data))
