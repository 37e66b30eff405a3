"""What a machine really sends, read beside its sockets."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import IPv6Address
from typing import Self

from dexmesh.cli.lab import Machine
from tests.netns.sockets import in_network

_ALL, _UDP, _IPV6, _HEADER = 3, 17, 0x86DD, 40


class Sniffer:
    """Keeps source, destination and destination port of every UDP packet over IPv6, on every device."""

    def __init__(self, machine: Machine) -> None:
        self.packets: list[tuple[str, str, int]] = []
        self._socket = in_network(
            machine, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        )
        self._socket.settimeout(0.2)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join(5)
        self._socket.close()

    def destinations(self, source: str, *ports: int) -> set[str]:
        """Where packets from this address to these ports went."""
        mine = str(IPv6Address(source))
        return {to for came_from, to, port in self.packets if came_from == mine and port in ports}

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                data, (_, protocol, *_) = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            if protocol == _IPV6 and len(data) > _HEADER + 4 and data[6] == _UDP:
                source, to = (str(IPv6Address(data[at : at + 16])) for at in (8, 24))
                (port,) = struct.unpack_from(">H", data, _HEADER + 2)
                self.packets.append((source, to, port))
