"""Beacon sockets: what is opened, what is heard, where beacons would go. Only loopback is used."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.errors import AdminError, BindError
from dexmesh.host import beacons as module
from dexmesh.host.addresses import DeviceFlags, LocalAddress
from dexmesh.host.beacons import (
    READS_PER_WAKE,
    BeaconSocket,
    LanBeacons,
    destinations,
    open_beacon_socket,
)
from dexmesh.host.underlay import UnderlaySocket, open_udp
from dexmesh.mesh.notices import SendBeacon
from dexmesh.wire.beacon import Beacon, BeaconState, UdpBeacon
from dexmesh.wire.keys import PublicKey

NUMBER = InterfaceNumber(0)
BEACON = Beacon(20, bytes(range(20)), PublicKey(bytes(range(32))))
UP = DeviceFlags(is_up=True, can_broadcast=True, is_loopback=False)


@dataclass
class FakeDecider:
    """Remembers what mesh/beacons.py would be told."""

    states: dict[InterfaceNumber, BeaconState] = field(default_factory=dict)
    announced: list[InterfaceNumber] = field(default_factory=list)
    heard: list[tuple[InterfaceNumber, Endpoint, Beacon]] = field(default_factory=list)
    rounds: int = 0
    malformed: int = 0

    def state(self, interface: InterfaceNumber) -> BeaconState:
        return self.states.get(interface, BeaconState.OFF)

    def set_state(self, interface: InterfaceNumber, state: BeaconState, now: float) -> None:
        self.states[interface] = state

    def announce(self, interface: InterfaceNumber, now: float) -> None:
        self.announced.append(interface)

    def forget_interface(self, interface: InterfaceNumber) -> None:
        self.states.pop(interface, None)

    def count_malformed(self) -> None:
        self.malformed += 1

    def handle_beacon(
        self, interface: InterfaceNumber, endpoint: Endpoint, beacon: Beacon, now: float
    ) -> None:
        self.heard.append((interface, endpoint, beacon))

    def decide(self) -> None:
        self.rounds += 1


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def data_socket(host: str = "127.0.0.1") -> UnderlaySocket:
    return open_udp(host, 0)


def local(device: str, address: str, prefix: int) -> LocalAddress:
    return LocalAddress(device, 1, IPv4Address(address), prefix)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two networks, a loopback, a TUN, a host route and a device that is down."""
    addresses = [
        local("lo", "127.0.0.1", 8),
        local("eth0", "192.0.2.7", 24),
        local("eth1", "198.51.100.9", 28),
        local("tun0", "10.66.0.1", 24),
        local("vpn0", "10.77.0.1", 32),
        local("down0", "203.0.113.1", 24),
    ]
    flags = {
        "lo": DeviceFlags(is_up=True, can_broadcast=False, is_loopback=True),
        "down0": DeviceFlags(is_up=False, can_broadcast=True, is_loopback=False),
    }
    monkeypatch.setattr(module, "local_addresses", lambda: addresses)
    monkeypatch.setattr(module, "device_flags", lambda name: flags.get(name, UP))


def chosen(*devices: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        beacons = BeaconSocket(sock, 64512, 5000, None, devices)
        return [str(one.broadcast) for one in destinations(beacons, "tun0")]


# --- Opening --------------------------------------------------------------------------------------


def test_the_socket_hears_broadcasts_whatever_the_interface_is_bound_to() -> None:
    opened = data_socket()
    beacons = open_beacon_socket(opened, free_port(), dscp=46)
    with opened.socket, beacons.socket as sock:
        assert sock.getsockname() == ("0.0.0.0", beacons.port)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xB8
        assert beacons.data_port == opened.port
        assert beacons.source == IPv4Address("127.0.0.1")


def test_two_nodes_on_one_machine_can_use_the_same_beacon_port() -> None:
    first, second = data_socket(), data_socket("0.0.0.0")
    port = free_port()
    with first.socket, second.socket:
        one, other = open_beacon_socket(first, port), open_beacon_socket(second, port)
        with one.socket, other.socket:
            assert (one.port, other.port) == (port, port)
            assert other.source is None


def test_an_ipv6_interface_is_refused_in_the_words_of_the_original() -> None:
    opened = data_socket("::1")
    with opened.socket, pytest.raises(BindError, match="only supported by ipv4") as caught:
        open_beacon_socket(opened, free_port())
    assert '"beacon" to 0' in caught.value.hint


def test_the_port_of_the_links_is_refused() -> None:
    opened = data_socket()
    with opened.socket, pytest.raises(BindError, match="is the port of the links") as caught:
        open_beacon_socket(opened, opened.port)
    assert "64512" in caught.value.hint


def test_a_port_that_is_not_shared_is_an_error_that_says_what_to_do() -> None:
    opened = data_socket()
    with (
        opened.socket,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind(("0.0.0.0", 0))
        with pytest.raises(BindError, match="for beacons") as caught:
            open_beacon_socket(opened, other.getsockname()[1])
    assert "stop it" in caught.value.hint


# --- Where beacons go -----------------------------------------------------------------------------


@pytest.mark.usefixtures("network")
def test_all_is_every_network_but_loopback_our_tun_and_what_is_down() -> None:
    assert chosen("all") == ["192.0.2.255", "198.51.100.15"]


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("devices", "found"),
    [
        ((), []),
        (("eth1",), ["198.51.100.15"]),
        (("eth", "ETH0", "lo", "tun0", "down0"), []),
        (("192.0.2.255:64512",), ["192.0.2.255"]),
        (("192.0.2.255", "192.0.2.255:64513", "192.0.2.7:64512"), []),
        (("eth0", "all"), ["192.0.2.255", "198.51.100.15"]),
    ],
)
def test_devices_and_broadcast_addresses_choose_networks(
    devices: tuple[str, ...], found: list[str]
) -> None:
    assert chosen(*devices) == found


def test_a_kernel_that_does_not_answer_means_no_destinations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> list[LocalAddress]:
        raise OSError("no")

    monkeypatch.setattr(module, "local_addresses", refuse)
    assert chosen("all") == []


# --- Hearing and sending --------------------------------------------------------------------------


@dataclass
class Bench:
    """A beacon socket that is being read, and somebody who sends to it."""

    decider: FakeDecider
    lan: LanBeacons
    port: int
    data_port: int
    sender: socket.socket

    async def hear(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.sender.sendto(datagram, ("127.0.0.1", self.port))
        for _ in range(20):
            await asyncio.sleep(0)


def bench() -> Bench:
    decider, opened, port = FakeDecider(), data_socket(), free_port()
    lan = LanBeacons(decider, decider.decide, lambda: None)
    with opened.socket:
        lan.attach(NUMBER, open_beacon_socket(opened, port))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return Bench(decider, lan, port, opened.port, sender)


def test_a_beacon_names_the_port_and_its_source_the_host() -> None:
    async def play() -> None:
        one = bench()
        with one.sender:
            await one.hear(UdpBeacon(5000, BEACON).encode() + b"trailing bytes")
            assert one.decider.heard == [(NUMBER, Endpoint("127.0.0.1:5000"), BEACON)]
            assert one.decider.rounds >= 1
            one.lan.detach_all()

    asyncio.run(play())


def test_what_is_no_beacon_is_counted_and_goes_no_further() -> None:
    async def play() -> None:
        one = bench()
        good = UdpBeacon(5000, BEACON).encode()
        with one.sender:
            await one.hear(b"", good[:-1], b"\0" + good[1:], UdpBeacon(0, BEACON).encode())
            assert one.decider.heard == []
            assert one.decider.malformed == 4
            one.lan.detach_all()

    asyncio.run(play())


def test_a_flood_is_read_in_portions() -> None:
    async def play() -> None:
        one = bench()
        with one.sender:
            for _ in range(READS_PER_WAKE * 2):
                one.sender.sendto(UdpBeacon(5000, BEACON).encode(), ("127.0.0.1", one.port))
            one.lan._handle_readable(NUMBER, one.lan._sockets[NUMBER])
            assert len(one.decider.heard) == READS_PER_WAKE
            one.lan.detach_all()

    asyncio.run(play())


def test_a_beacon_leaves_from_the_address_the_interface_is_bound_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loopback stands in for a network: one address, and itself as what everybody hears."""
    monkeypatch.setattr(module, "local_addresses", lambda: [local("lo", "127.0.0.2", 31)])
    monkeypatch.setattr(LocalAddress, "broadcast", property(lambda one: IPv4Address("127.0.0.1")))
    monkeypatch.setattr(module, "device_flags", lambda _: UP)

    async def play() -> None:
        one = bench()
        with one.sender:
            await one.hear()
            one.lan.set_devices(NUMBER, ["lo"])
            assert one.decider.announced == [NUMBER]
            assert one.lan.addresses(NUMBER) == [f"127.0.0.1:{one.port}"]
            one.lan.send(SendBeacon(NUMBER, BEACON))
            await one.hear()
            assert one.decider.heard == [(NUMBER, Endpoint(f"127.0.0.1:{one.data_port}"), BEACON)]
            one.decider.heard.clear()
            one.lan._sockets[NUMBER].source = None
            one.lan.send(SendBeacon(NUMBER, BEACON))
            await one.hear()
            assert one.decider.heard == [(NUMBER, Endpoint(f"127.0.0.2:{one.data_port}"), BEACON)]
            one.lan.detach_all()

    asyncio.run(play())


def test_a_beacon_that_the_system_refuses_to_send_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "local_addresses", lambda: [local("lo", "203.0.113.1", 24)])
    monkeypatch.setattr(module, "device_flags", lambda _: UP)

    async def play() -> None:
        one = bench()
        with one.sender:
            one.lan.set_devices(NUMBER, ["all"])
            one.lan._sockets[NUMBER].source = IPv4Address("203.0.113.77")
            one.lan.send(SendBeacon(NUMBER, BEACON))
            one.lan.send(SendBeacon(InterfaceNumber(9), BEACON))
            await one.hear()
            assert one.decider.heard == []
            one.lan.detach_all()

    asyncio.run(play())


def test_an_interface_without_a_beacon_port_can_only_be_switched_off() -> None:
    decider = FakeDecider()
    lan = LanBeacons(decider, decider.decide, lambda: None)

    async def play() -> None:
        lan.set_state(NUMBER, 0)
        assert lan.state(NUMBER) == 0
        with pytest.raises(AdminError, match="has no beaconPort"):
            lan.set_state(NUMBER, 2)
        with pytest.raises(AdminError, match="has no beaconPort"):
            lan.set_devices(NUMBER, ["all"])
        assert lan.devices(NUMBER) == ()
        assert lan.addresses(NUMBER) == []

    asyncio.run(play())
