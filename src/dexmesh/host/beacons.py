"""Send and hear LAN beacons over UDP: one broadcast socket for each interface that beacons.

Place     daemon.py, services.py, admin/functions/beacons.py -> here <-> mesh/beacons.py
Spec      docs/protocol/04 §9.3, §13 (9); 08 §6.3
Keeps     destinations are looked up anew for each beacon; at most READS_PER_WAKE datagrams are read
          per wake-up, so that a flood of beacons cannot starve the event loop
Not here  when beacons leave and whom to call (mesh/beacons.py), their bytes (wire/beacon.py)

The socket is bound to the wildcard address even where the interface is not: Linux hands broadcasts
to no other. The source address is then set by hand, so that what hears us calls the right place.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Protocol

from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.errors import AdminError, BindError, DecodeError
from dexmesh.host.addresses import LocalAddress, device_flags, local_addresses
from dexmesh.host.underlay import UnderlaySocket
from dexmesh.mesh.notices import SendBeacon
from dexmesh.values import dataclass
from dexmesh.wire.beacon import Beacon, BeaconState, UdpBeacon, decode_udp_beacon

ALL_DEVICES = "all"
READS_PER_WAKE = 32
MAX_DESTINATIONS = 256  # ours: of one beacon

_IP_PKTINFO = 8  # ip(7)
_PACKET_INFO = struct.Struct("=i4s4s")  # device index, source address, (unused)
_READ_BYTES = 2048
_WILDCARD = "0.0.0.0"  # noqa: S104 - the only address Linux delivers broadcasts to

log = logging.getLogger(__name__)


class Decider(Protocol):
    """What the sockets need of mesh/beacons.py."""

    def state(self, interface: InterfaceNumber) -> BeaconState: ...
    def set_state(self, interface: InterfaceNumber, state: BeaconState, now: float) -> None: ...
    def announce(self, interface: InterfaceNumber, now: float) -> None: ...
    def forget_interface(self, interface: InterfaceNumber) -> None: ...
    def count_malformed(self) -> None: ...
    def handle_beacon(
        self, interface: InterfaceNumber, endpoint: Endpoint, beacon: Beacon, now: float
    ) -> None: ...


@dataclass(slots=True)
class BeaconSocket:
    """The broadcast socket beside a data socket. `source` None: the address of each device."""

    socket: socket.socket
    port: int
    data_port: int
    source: IPv4Address | None
    devices: tuple[str, ...] = ()


def open_beacon_socket(opened: UnderlaySocket, port: int, dscp: int = 0) -> BeaconSocket:
    """A broadcast socket for the interface `opened`. Raises BindError."""
    if opened.is_ipv6:
        hint = 'set "beacon" to 0 for this interface; an IPv4 one finds the same nodes'
        raise BindError("UDP broadcast only supported by ipv4.", hint)
    if port == opened.port:
        hint = f'the usual "beaconPort" is 64512; or let `bind` name another port than {port}'
        raise BindError(f"beaconPort {port} is the port of the links too", hint)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if dscp:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        sock.bind((_WILDCARD, port))
    except OSError as error:
        sock.close()
        raise _bind_error(port, error) from error
    source = IPv4Address(opened.host)
    return BeaconSocket(
        sock, port, opened.port, None if source == IPv4Address(_WILDCARD) else source
    )


def destinations(beacons: BeaconSocket, own_tun: str | None) -> list[LocalAddress]:
    """The networks a beacon goes to, as they are now (04 §9.3)."""
    try:
        every = local_addresses()
    except OSError as error:
        log.warning("no addresses to send beacons to", extra={"reason": str(error)})
        return []
    found = []
    for one in every:
        flags = device_flags(one.device)
        is_there = flags.is_up and not flags.is_loopback and one.device != own_tun
        if is_there and one.prefix_length < 32 and _is_chosen(one, beacons):
            found.append(one)
    return found[:MAX_DESTINATIONS]


class LanBeacons:
    """One per daemon; implements admin.services.BeaconServices. `decide` runs the pump."""

    def __init__(
        self, decider: Decider, decide: Callable[[], None], own_tun: Callable[[], str | None]
    ) -> None:
        self._decider, self._decide, self._own_tun = decider, decide, own_tun
        self._sockets: dict[InterfaceNumber, BeaconSocket] = {}

    # --- Interfaces -----------------------------------------------------------------------------

    def attach(self, interface: InterfaceNumber, beacons: BeaconSocket) -> None:
        """Use a broadcast socket from now on; what it does is up to `set_state`."""
        self._sockets[interface] = beacons
        loop = asyncio.get_running_loop()
        loop.add_reader(beacons.socket, self._handle_readable, interface, beacons)

    def detach_all(self) -> None:
        """Close every socket."""
        loop = asyncio.get_running_loop()
        for interface, beacons in self._sockets.items():
            self._decider.forget_interface(interface)
            loop.remove_reader(beacons.socket)
            beacons.socket.close()
        self._sockets.clear()

    # --- What the admin RPC asks ----------------------------------------------------------------

    def state(self, interface: InterfaceNumber) -> int:
        """0 off, 1 accepting, 2 sending and accepting."""
        return int(self._decider.state(interface))

    def set_state(self, interface: InterfaceNumber, state: int) -> None:
        """Change it. AdminError for an interface without a beacon port, unless it is switched off."""
        if state and interface not in self._sockets:
            hint = "make the interface with a beaconPort"
            raise AdminError("this interface has no beaconPort", hint)
        self._decider.set_state(interface, BeaconState(state), self._now())
        self._decide()

    def devices(self, interface: InterfaceNumber) -> Sequence[str]:
        """Where beacons go, as it was set."""
        beacons = self._sockets.get(interface)
        return () if beacons is None else beacons.devices

    def set_devices(self, interface: InterfaceNumber, devices: Sequence[str]) -> None:
        """Let beacons go to these devices or broadcast addresses; the next one leaves at once."""
        beacons = self._sockets.get(interface)
        if beacons is None:
            raise AdminError("this interface has no beaconPort")
        beacons.devices = tuple(devices)
        self._decider.announce(interface, self._now())
        self._decide()

    def addresses(self, interface: InterfaceNumber) -> Sequence[str]:
        """Where a beacon would go now, as IP:PORT."""
        beacons = self._sockets.get(interface)
        if beacons is None:
            return []
        places = destinations(beacons, self._own_tun())
        return [f"{one.broadcast}:{beacons.port}" for one in places]

    # --- Out and in -----------------------------------------------------------------------------

    def send(self, notice: SendBeacon) -> None:
        """Send a beacon to every chosen network; what the system refuses is tried again next time."""
        beacons = self._sockets.get(notice.interface)
        if beacons is None:
            return
        data = UdpBeacon(beacons.data_port, notice.beacon).encode()
        for one in destinations(beacons, self._own_tun()):
            source = one.address if beacons.source is None else beacons.source
            info = _PACKET_INFO.pack(one.index, source.packed, bytes(4))
            to = (str(one.broadcast), beacons.port)
            try:
                beacons.socket.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, to)
            except OSError as error:
                fields = {"device": one.device, "to": to[0], "reason": str(error)}
                log.debug("a beacon was not sent", extra=fields)

    def _handle_readable(self, interface: InterfaceNumber, beacons: BeaconSocket) -> None:
        for _ in range(READS_PER_WAKE):
            try:
                data, (host, _) = beacons.socket.recvfrom(_READ_BYTES)
            except OSError:  # nothing left, or the device went down
                break
            self._handle_datagram(interface, host, data)
        self._decide()

    def _handle_datagram(self, interface: InterfaceNumber, host: str, data: bytes) -> None:
        try:
            heard = decode_udp_beacon(data)
        except DecodeError:
            self._decider.count_malformed()
            return
        if heard.port == 0:  # nobody can be called there
            self._decider.count_malformed()
            return
        endpoint = Endpoint(f"{host}:{heard.port}")
        self._decider.handle_beacon(interface, endpoint, heard.beacon, self._now())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _is_chosen(one: LocalAddress, beacons: BeaconSocket) -> bool:
    names = {ALL_DEVICES, one.device, f"{one.broadcast}:{beacons.port}"}
    return not names.isdisjoint(beacons.devices)


def _bind_error(port: int, error: OSError) -> BindError:
    hint = ""
    if error.errno == errno.EADDRINUSE:
        hint = (
            "another program has that port and shares it with nobody (an original cjdroute?); "
            'stop it, or set "beacon" to 0'
        )
    reason = os.strerror(error.errno or 0)
    return BindError(f"cannot bind UDP port {port} for beacons: {reason}", hint)
