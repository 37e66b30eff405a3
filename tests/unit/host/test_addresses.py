"""IPv4 addresses as the kernel tells them; odd answers of it."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from dexmesh.host.addresses import (
    DeviceFlags,
    LocalAddress,
    _read_messages,
    device_flags,
    local_addresses,
)

LOOPBACK_INDEX = 1


def message(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + padded


def address(prefix: int, *attributes: bytes, family: int = 2) -> bytes:
    return struct.pack("=BBBBI", family, prefix, 0, 0, LOOPBACK_INDEX) + b"".join(attributes)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def read(data: bytes) -> tuple[bool, list[LocalAddress]]:
    found: list[LocalAddress] = []
    return _read_messages(data, found), found


def test_the_loopback_address_is_found_on_the_loopback_device() -> None:
    (one,) = [one for one in local_addresses() if str(one.address) == "127.0.0.1"]
    assert one.prefix_length == 8
    assert str(one.broadcast) == "127.255.255.255"
    flags = device_flags(one.device)
    assert flags.is_loopback
    assert flags.is_up
    assert not flags.can_broadcast


def test_a_device_that_is_not_there_is_nothing() -> None:
    nothing = DeviceFlags(is_up=False, can_broadcast=False, is_loopback=False)
    assert device_flags("no-such-device") == nothing


def test_the_own_end_of_a_point_to_point_link_counts_not_the_other() -> None:
    local, other = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    body = address(31, attribute(1, other), attribute(3, b"label\0"), attribute(2, local))
    is_done, (one,) = read(message(20, body))
    assert not is_done
    assert one == LocalAddress("lo", LOOPBACK_INDEX, IPv4Address(local), 31)
    assert one.broadcast == IPv4Address("10.0.0.1")


def test_several_messages_are_read_up_to_the_last_one() -> None:
    one = message(20, address(24, attribute(1, bytes([10, 0, 0, 1]))))
    is_done, found = read(one + one + message(3, bytes(4)) + one)
    assert is_done
    assert len(found) == 2


def test_answers_cut_off_anywhere_are_read_without_harm() -> None:
    whole = message(20, address(24, attribute(1, bytes([10, 0, 0, 1])))) * 2
    for end in range(len(whole)):
        assert len(read(whole[:end])[1]) <= 2


def test_odd_answers_give_nothing() -> None:
    assert read(message(20, address(64, attribute(1, bytes(16)), family=10))) == (False, [])
    assert read(message(20, address(24, attribute(1, bytes(3))))) == (False, [])
    assert read(message(20, address(24, struct.pack("=HH", 0, 1)))) == (False, [])
    assert read(message(20, b"")) == (False, [])
    vanished = struct.pack("=BBBBI", 2, 24, 0, 0, 1 << 30) + attribute(1, bytes([10, 0, 0, 1]))
    assert read(message(20, vanished)) == (False, [])
    assert read(struct.pack("=IHHII", 3, 20, 0, 1, 0)) == (True, [])
    assert read(message(2, bytes(4))) == (True, [])
