"""Every UDP packet of a machine's mesh address, with the kernel's time: what phones really send and get."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

from tests.netns.sockets import in_network

from dexmesh.cli.lab import Machine
from dexmesh.values import dataclass

_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("@qq")
_EVERY_PROTOCOL, _IPV6, _UDP, _OUTGOING = 3, 0x86DD, 17, 4
_HEADERS = 48


@dataclass(frozen=True, slots=True)
class Packet:
    """`at`: seconds since 1970. `own_port`, `port`: of the machine, and of the other side."""

    at: float
    is_outgoing: bool
    own_port: int
    port: int
    data: bytes


class Tap:
    """Reads while it is open. `packets` may be cleared between measurements."""

    def __init__(self, machine: Machine) -> None:
        self.packets: list[Packet] = []
        self._socket = in_network(machine, _open)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self._socket.close()

    def take(self) -> list[Packet]:
        """What came since the last time, in the order of time."""
        packets, self.packets = self.packets, []
        return sorted(packets, key=lambda one: one.at)

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                data, notes, _, (_, protocol, kind, *_) = self._socket.recvmsg(2048, 64)
            except TimeoutError:
                continue
            is_mesh_udp = (
                protocol == _IPV6
                and len(data) >= _HEADERS
                and data[6] == _UDP
                and data[8] == data[24] == 0xFC
            )
            if is_mesh_udp and notes:
                self.packets.append(_packet(data, notes[0][2], kind == _OUTGOING))


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL))
    opened.settimeout(0.2)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    return opened


def _packet(data: bytes, stamp: bytes, is_outgoing: bool) -> Packet:
    seconds, nanoseconds = _STAMP.unpack(stamp)
    source, destination = struct.unpack_from(">HH", data, 40)
    own, other = (source, destination) if is_outgoing else (destination, source)
    return Packet(seconds + nanoseconds / 1e9, is_outgoing, own, other, data[_HEADERS:])
