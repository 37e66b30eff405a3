"""Every UDP packet of a machine's mesh address, with the kernel's time: what phones really send and get.

Place     bench/calls_setup.py
Keeps     the kernel collects and nobody runs meanwhile: whoever watches does not slow down what he watches
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Self

from tests.netns.sockets import in_network

from dexmesh.cli.lab import Machine
from dexmesh.values import dataclass

ROOM_BYTES = 1 << 24  # for some ten thousand packets
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_STAMP = struct.Struct("@qq")
_EVERY_PROTOCOL = 3  # what leaves is shown to nobody who wants one protocol alone
_UDP, _OUTGOING = 17, 4
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
    """On the device that carries this address, as long as it is open."""

    def __init__(self, machine: Machine, address: str) -> None:
        shown = machine.run(["ip", "-j", "-6", "addr", "show", "to", address]).stdout
        device = str(json.loads(shown)[0]["ifname"])
        self._socket = in_network(machine, lambda: _open(device))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def take(self) -> list[Packet]:
        """What passed since the last time, in the order of time."""
        packets: list[Packet] = []
        while True:
            try:
                data, notes, _, (_, _, kind, *_) = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return sorted(packets, key=lambda one: one.at)
            if len(data) >= _HEADERS and data[0] >> 4 == 6 and data[6] == _UDP and notes:
                packets.append(_packet(data, notes[0][2], kind == _OUTGOING))


def _open(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL))
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, ROOM_BYTES)
    opened.bind((device, _EVERY_PROTOCOL))
    return opened


def _packet(data: bytes, stamp: bytes, is_outgoing: bool) -> Packet:
    seconds, nanoseconds = _STAMP.unpack(stamp)
    source, destination = struct.unpack_from(">HH", data, 40)
    own, other = (source, destination) if is_outgoing else (destination, source)
    return Packet(seconds + nanoseconds / 1e9, is_outgoing, own, other, data[_HEADERS:])
