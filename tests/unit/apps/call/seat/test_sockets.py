"""The ports of a call: which they are, and whose packets are taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from dexmesh.apps.call.seat.sockets import MOST_BYTES, MOST_PACKETS, MediaSockets
from dexmesh.errors import BindError
from tests.unit.apps.call.seat.ports import port_range

HERE, ELSEWHERE = socket.inet_pton(socket.AF_INET6, "::1"), b"\xfc" + bytes(15)
PORTS = port_range(27_078, 21)
FIRST = PORTS[0]


@pytest.fixture
def sockets() -> Iterator[MediaSockets]:
    made = MediaSockets("::1", PORTS)
    yield made
    made.close()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
        made.bind(("::1", 0))
        made.settimeout(5)
        yield made


def received(sockets: MediaSockets) -> list[bytes]:
    return [data for _, data, _ in sockets.receive(0.0, time.time())]


def test_each_call_gets_the_next_even_port_and_the_odd_one_after_it(sockets: MediaSockets) -> None:
    second = MediaSockets("::1", PORTS)
    assert (sockets.port, second.port) == (FIRST, FIRST + 2)
    sockets.close()
    third = MediaSockets("::1", PORTS)
    assert third.port == FIRST
    for one in (second, third):
        one.close()


def test_a_pair_of_which_one_is_taken_is_passed_over(peer: socket.socket) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", FIRST + 1))
        sockets = MediaSockets("::1", PORTS)
    assert sockets.port == FIRST + 2
    sockets.close()


def test_without_a_free_pair_the_error_says_which_setting_helps() -> None:
    made = MediaSockets("::1", PORTS[:3])  # one pair, and an even port alone
    with pytest.raises(BindError, match=f"{FIRST}-{FIRST + 2}") as caught:
        MediaSockets("::1", PORTS[:3])
    assert "ports" in caught.value.hint
    made.close()


def test_an_address_that_is_not_up_is_told_apart_from_ports_in_use() -> None:
    with pytest.raises(BindError) as caught:
        MediaSockets("fcff::1", PORTS)
    assert "node running" in caught.value.hint


def test_packets_of_the_peer_are_taken_from_any_port_and_those_of_others_counted(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    peer.sendto(b"from the peer", ("::1", sockets.port))
    assert received(sockets) == [b"from the peer"]
    sockets.connect(ELSEWHERE, 9, None)
    peer.sendto(b"from a stranger", ("::1", sockets.port))
    assert received(sockets) == []
    assert sockets.strangers == 1


def test_before_there_is_a_peer_all_are_strangers(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    peer.sendto(b"early", ("::1", sockets.port))
    assert received(sockets) == []
    for _ in range(3):
        peer.sendto(b"early", ("::1", sockets.port))
    sockets.drain()
    sockets.connect(HERE, 9, None)
    assert received(sockets) == []


def test_a_flood_is_taken_in_by_parts(sockets: MediaSockets, peer: socket.socket) -> None:
    sockets.connect(HERE, 9, None)
    for _ in range(MOST_PACKETS + 20):
        peer.sendto(b"x", ("::1", sockets.port))
    assert len(received(sockets)) == MOST_PACKETS
    assert len(received(sockets)) == 20
    assert received(sockets) == []


def test_a_packet_longer_than_any_of_sound_is_refused_and_an_empty_one_is_not(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    peer.sendto(bytes(MOST_BYTES + 1), ("::1", sockets.port))
    peer.sendto(b"", ("::1", sockets.port))
    peer.sendto(bytes(MOST_BYTES), ("::1", sockets.port))
    assert received(sockets) == [b"", bytes(MOST_BYTES)]
    assert sockets.strangers == 1


def test_a_packet_has_the_time_at_which_the_kernel_took_it_in(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    before = time.time()
    peer.sendto(b"x", ("::1", sockets.port))
    took_s = time.time() - before
    [(_, _, arrived_at)] = sockets.receive(50.0, before + 0.4)
    assert arrived_at + 1e-6 >= 50 - 0.4
    assert arrived_at <= 50 - 0.4 + took_s + 1e-6
    peer.sendto(b"x", ("::1", sockets.port))
    [(_, _, arrived_at)] = sockets.receive(50.0, before - 3600)  # the wall clock was set back
    assert arrived_at == 50


def test_reports_go_to_and_come_from_ports_of_their_own(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    port = peer.getsockname()[1]
    sockets.connect(HERE, 9, port)
    sockets.send_rtcp(b"report")
    data, source = peer.recvfrom(100)
    assert (data, source[1]) == (b"report", sockets.port + 1)
    peer.sendto(b"answer", ("::1", sockets.port + 1))
    peer.sendto(b"sound", ("::1", sockets.port))
    found = sorted(one[:2] for one in sockets.receive(0.0, time.time()))
    assert found == [(False, b"sound"), (True, b"answer")]
    sockets.connect(HERE, port, None)
    sockets.send_rtcp(b"nowhere to go")
    sockets.send_rtp(b"sound")
    assert peer.recv(100) == b"sound"


def test_a_packet_that_cannot_leave_is_counted(sockets: MediaSockets) -> None:
    sockets.connect(HERE, 9, None)
    sockets.send_rtp(bytes(70_000))  # no datagram is so long
    assert sockets.unsent == 1
