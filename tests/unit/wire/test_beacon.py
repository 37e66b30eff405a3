from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.beacon import (
    Beacon,
    BeaconState,
    BeaconVerdict,
    UdpBeacon,
    decode_beacon,
    decode_udp_beacon,
    judge_beacon,
)
from dexmesh.wire.keys import PublicKey, decode_key

KEY = decode_key("48z1yfxknbgx0huc25duqscyb7p8grdykrcm99txg824jfb1mrt0.k")
OTHER_KEY = decode_key("rwhfnh947xd8y89nmn3nrqhcd785s9nlj0bxf4d5dmwrbkkbpqv0.k")
NO_NODE = PublicKey(bytes(32))
BEACON = Beacon(20, bytes(20), KEY)


def verdict_of(beacon: Beacon, state: BeaconState = BeaconState.ACCEPT) -> BeaconVerdict:
    return judge_beacon(beacon, OTHER_KEY, state)


def test_a_beacon_is_56_bytes_and_64_as_a_datagram() -> None:
    assert len(BEACON.encode()) == 56
    assert UdpBeacon(5000, BEACON).encode().hex() == "fffffffc00001388" + BEACON.encode().hex()


def test_bytes_behind_a_beacon_are_ignored() -> None:
    assert decode_beacon(BEACON.encode() + b"more") == BEACON
    datagram = UdpBeacon(5000, BEACON)
    assert decode_udp_beacon(datagram.encode() + b"more") == datagram


def test_beacons_that_are_cut_off_are_refused() -> None:
    for length in range(56):
        with pytest.raises(DecodeError):
            decode_beacon(BEACON.encode()[:length])
    for length in range(64):
        with pytest.raises(DecodeError):
            decode_udp_beacon(UdpBeacon(1, BEACON).encode()[:length])


@pytest.mark.parametrize("bit", range(48))
def test_every_bit_before_the_port_must_be_right(bit: int) -> None:
    data = bytearray(UdpBeacon(1, BEACON).encode())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecodeError):
        decode_udp_beacon(bytes(data))


def test_passwords_and_keys_of_another_length_are_not_written() -> None:
    for beacon in (Beacon(20, bytes(19), KEY), Beacon(20, bytes(20), PublicKey(bytes(31)))):
        with pytest.raises(UsageError):
            beacon.encode()


def test_an_accepting_interface_takes_beacons_of_other_nodes() -> None:
    assert verdict_of(BEACON) is BeaconVerdict.ACCEPT
    assert verdict_of(BEACON, BeaconState.SEND_AND_ACCEPT) is BeaconVerdict.ACCEPT


def test_every_refusal_has_its_reason() -> None:
    assert verdict_of(BEACON, BeaconState.OFF) is BeaconVerdict.OFF
    assert verdict_of(Beacon(20, bytes(20), NO_NODE)) is BeaconVerdict.NOT_A_NODE
    assert verdict_of(Beacon(20, bytes(20), OTHER_KEY)) is BeaconVerdict.OWN
    assert verdict_of(Beacon(15, bytes(20), KEY)) is BeaconVerdict.INCOMPATIBLE


def test_our_own_beacon_is_known_whatever_version_it_names() -> None:
    """It comes back all the time; nothing about it deserves a warning."""
    assert verdict_of(Beacon(0, bytes(20), OTHER_KEY)) is BeaconVerdict.OWN
