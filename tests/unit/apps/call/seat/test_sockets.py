"""The ports of a call: which they are, and whose packets are taken."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.native import Incoming, encode_rtp
from dexmesh.apps.call.seat.sockets import MediaSockets
from dexmesh.errors import BindError
from tests.unit.apps.call.seat.ports import port_range

HERE, ELSEWHERE = socket.inet_pton(socket.AF_INET6, "::1"), b"\xfc" + bytes(15)
PORTS = port_range(27_078, 21)
FIRST = PORTS[0]
MOST_PACKETS, MOST_BYTES = 64, 2048  # rust/hostio/src/call_socket.rs
SSRC = 0xCAFE


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


def rtp(number: int = 0, payload: bytes = b"sound", kind: int = 0, ssrc: int = SSRC) -> bytes:
    return encode_rtp(kind, False, number, number * 160, ssrc, payload)


def hearing() -> Incoming:
    """PCMU and telephone-event, and one source that is believed."""
    incoming = Incoming(8_000, 0.0)
    incoming.agree(8_000, b"\x00", b"\x65", True)
    incoming.begin(SSRC)
    return incoming


def received(sockets: MediaSockets) -> list[bytes]:
    """What comes, where nobody is believed: all of it is given back."""
    return [data for _, data, _ in sockets.receive(Incoming(8_000, 0.0), 0.0, False)]


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


def test_a_process_without_room_for_the_ports_says_so_and_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.EMFILE, "no descriptor left")

    with monkeypatch.context() as patch:
        patch.setattr("dexmesh.apps.call.seat.sockets.CallPort", full)
        with pytest.raises(BindError, match=os.strerror(errno.EMFILE)):
            MediaSockets("::1", PORTS)
    again = MediaSockets("::1", PORTS)
    assert again.port == FIRST
    again.close()


def test_packets_of_the_peer_are_taken_from_any_port_and_those_of_others_counted(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    peer.sendto(rtp(1), ("::1", sockets.port))
    assert received(sockets) == [rtp(1)]
    sockets.connect(ELSEWHERE, 9, None)
    peer.sendto(rtp(2), ("::1", sockets.port))
    assert received(sockets) == []
    assert sockets.strangers == 1


def test_a_flood_of_others_takes_no_place_from_the_peer(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(ELSEWHERE, 9, None)
    for _ in range(5000):  # many times what the kernel keeps for a socket
        peer.sendto(rtp(), ("::1", sockets.port))
    assert received(sockets) == []
    assert sockets.strangers == 5000
    sockets.connect(HERE, 9, None)
    peer.sendto(rtp(1), ("::1", sockets.port))
    assert received(sockets) == [rtp(1)]
    sockets.close()
    assert sockets.strangers == 5000


@pytest.mark.parametrize("place", range(16))
def test_an_address_that_differs_in_one_byte_alone_is_another(
    sockets: MediaSockets, peer: socket.socket, place: int
) -> None:
    other = bytearray(HERE)
    other[place] ^= 0x10
    sockets.connect(bytes(other), 9, None)
    peer.sendto(rtp(), ("::1", sockets.port))
    assert sockets.strangers == 1  # nobody looked: the kernel says so


def test_where_the_kernel_has_no_such_filter_others_are_refused_here(
    sockets: MediaSockets, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexmesh.apps.call.seat.source_filter._SO_ATTACH_FILTER", 9999)
    sockets.connect(ELSEWHERE, 9, None)
    peer.sendto(rtp(), ("::1", sockets.port))
    assert received(sockets) == []
    assert sockets.strangers == 1


def test_before_there_is_a_peer_all_are_strangers(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    peer.sendto(rtp(), ("::1", sockets.port))
    assert received(sockets) == []
    for _ in range(3):
        peer.sendto(rtp(), ("::1", sockets.port))
    sockets.drain()
    sockets.connect(HERE, 9, None)
    assert received(sockets) == []


def test_sound_of_the_believed_source_waits_to_be_played_and_nobody_is_asked(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    incoming = hearing()
    for number in range(3):
        peer.sendto(rtp(number, bytes([number])), ("::1", sockets.port))
    assert sockets.receive(incoming, 50.0, True) == []
    incoming.advance(320)
    heard = []
    for _ in range(3):
        heard.append(incoming.take())
        incoming.advance(160)
    assert heard == [b"\0", b"\1", b"\2"]
    assert incoming.received == 3
    assert not any(incoming.drops().values())


@pytest.mark.parametrize("odd", [rtp(1, kind=101), rtp(1, ssrc=8)], ids=["digit", "newcomer"])
def test_what_needs_a_decision_is_given_back_and_all_behind_it_in_order(
    sockets: MediaSockets, peer: socket.socket, odd: bytes
) -> None:
    sockets.connect(HERE, 9, None)
    incoming = hearing()
    for packet in (rtp(0), odd, rtp(2), rtp(3)):
        peer.sendto(packet, ("::1", sockets.port))
    others = sockets.receive(incoming, 50.0, False)
    assert [data for _, data, _ in others] == [odd, rtp(2), rtp(3)]
    assert incoming.received == 1


def test_what_is_no_packet_of_sound_is_counted_by_its_reason(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    incoming = hearing()
    for packet in (b"", b"junk", rtp(1, kind=13), rtp(2), rtp(2)):
        peer.sendto(packet, ("::1", sockets.port))
    assert sockets.receive(incoming, 50.0, False) == []
    counted = {name: count for name, count in incoming.drops().items() if count}
    assert counted == {"TOO_SHORT": 2, "UNKNOWN_PAYLOAD_TYPE": 1, "DUPLICATE": 1}


def test_every_reason_that_rust_gives_has_a_name_here() -> None:
    assert hearing().drops().keys() <= DropReason.__members__.keys()


def test_a_flood_is_taken_in_by_parts(sockets: MediaSockets, peer: socket.socket) -> None:
    sockets.connect(HERE, 9, None)
    for number in range(MOST_PACKETS + 20):
        peer.sendto(rtp(number), ("::1", sockets.port))
    assert len(received(sockets)) == MOST_PACKETS
    assert len(received(sockets)) == 20
    assert received(sockets) == []


def test_a_packet_longer_than_any_of_sound_is_refused(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    longest = rtp(1, bytes(MOST_BYTES - 12))
    peer.sendto(longest + b"x", ("::1", sockets.port))
    peer.sendto(longest, ("::1", sockets.port))
    assert received(sockets) == [longest]
    assert sockets.strangers == 1


def test_a_packet_has_the_time_at_which_the_kernel_took_it_in(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    sockets.connect(HERE, 9, None)
    before = time.time()
    peer.sendto(rtp(), ("::1", sockets.port))
    sent_at = time.time()
    while (looked_at := time.time()) < sent_at + 0.005:
        pass
    [(_, _, came_at)] = sockets.receive(Incoming(8_000, 0.0), 50.0, False)
    waited_s = 50.0 - came_at
    assert looked_at - sent_at - 1e-4 <= waited_s
    assert waited_s <= time.time() - before + 1e-4


def test_reports_go_to_and_come_from_ports_of_their_own(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    port = peer.getsockname()[1]
    sockets.connect(HERE, 9, port)
    sockets.send_rtcp(b"report")
    data, source = peer.recvfrom(100)
    assert (data, source[1]) == (b"report", sockets.port + 1)
    peer.sendto(b"answer", ("::1", sockets.port + 1))
    peer.sendto(rtp(), ("::1", sockets.port))
    incoming = Incoming(8_000, 0.0)
    assert [one[:2] for one in sockets.receive(incoming, 0.0, False)] == [(False, rtp())]
    assert [one[:2] for one in sockets.receive(incoming, 0.0, True)] == [(True, b"answer")]
    sockets.connect(HERE, port, None)
    sockets.send_rtcp(b"nowhere to go")
    sockets.send_rtp(b"sound")
    assert peer.recv(100) == b"sound"


def test_what_was_counted_is_known_after_the_end(
    sockets: MediaSockets, peer: socket.socket
) -> None:
    peer.sendto(rtp(), ("::1", sockets.port))
    assert received(sockets) == []
    sockets.close()
    sockets.send_rtp(b"too late")
    assert received(sockets) == []
    assert (sockets.strangers, sockets.unsent) == (1, 0)


def test_a_packet_that_cannot_leave_is_counted(sockets: MediaSockets) -> None:
    sockets.connect(HERE, 9, None)
    sockets.send_rtp(bytes(70_000))  # no datagram is so long
    assert sockets.unsent == 1
