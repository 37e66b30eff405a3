"""Drive the real data plane, without threads, in a simulated world.

Place     world.py -> here -> engine/door.py and dexmesh.engine._native
Not here  the model without cryptography (model.py)
"""

from __future__ import annotations

import random

from dexmesh.engine._native import Engine
from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import Command, Endpoint, Event, InterfaceNumber
from dexmesh.wire.keys import PrivateKey, PublicKey


class NativeEngine:
    """The Rust engine of one node."""

    def __init__(self, private_key: PrivateKey, seed: bytes) -> None:
        self._native = Engine(bytes(private_key), seed)
        self._door = EngineDoor(self._native)
        self._sent: list[tuple[InterfaceNumber, Endpoint, bytes]] = []
        self._delivered: list[bytes] = []

    def apply(self, command: Command, now: float) -> None:
        self._door.apply(command, now)

    def handle_datagram(
        self, interface: InterfaceNumber, sender: Endpoint, data: bytes, now: float
    ) -> None:
        self._native.handle_datagram(now, interface, sender, data)

    def handle_tun(self, packet: bytes, now: float) -> None:
        self._native.handle_tun(now, [packet])

    def tick(self, now: float) -> None:
        self._door.tick(now)

    def take_events(self) -> list[Event]:
        return self._door.take_events()

    def take_sent(self) -> list[tuple[InterfaceNumber, Endpoint, bytes]]:
        self._sort_outputs()
        sent, self._sent = self._sent, []
        return sent

    def take_delivered(self) -> list[bytes]:
        self._sort_outputs()
        delivered, self._delivered = self._delivered, []
        return delivered

    def _sort_outputs(self) -> None:
        for kind, *rest in self._native.take_outputs():
            if kind == "send":
                interface, endpoint, data = rest
                self._sent.append((interface, endpoint, data))
            else:
                self._delivered.append(rest[0])


def make_native(private_key: PrivateKey, _key: PublicKey, source: random.Random) -> NativeEngine:
    """A data plane with cryptography, its randomness seeded."""
    return NativeEngine(private_key, source.randbytes(32))
