"""Simulate a network of real nodes: virtual links, virtual time, packets in and out of the TUN.

Place     tests/sim/test_*.py build worlds; the loop of SimNode is the host's pump in a few lines
Spec      docs/architecture.md §3
Keeps     no sleeping, no real clock; one seed decides everything; what happens is recorded
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

from dexmesh.engine.messages import (
    AddInterface,
    Command,
    Endpoint,
    Event,
    InterfaceNumber,
    ReadStats,
    Stats,
)
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.node import Node, NodeOptions
from dexmesh.mesh.notices import Notice
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PrivateKey, PublicKey
from tests.sim.keys import key_pair
from tests.sim.packets import echo_reply_to, echo_request, is_echo_reply, is_echo_request
from tests.sim.recorder import Recorder

START_S = 1000.0
TICK_S = 1.0
PASSWORD = b"a password of the test"
MAIN = InterfaceNumber(0)


class DataPlane(Protocol):
    """What a world needs of an engine."""

    def apply(self, command: Command, now: float) -> None: ...
    def handle_datagram(
        self, interface: InterfaceNumber, sender: Endpoint, data: bytes, now: float
    ) -> None: ...
    def handle_tun(self, packet: bytes, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def take_events(self) -> list[Event]: ...
    def take_sent(self) -> list[tuple[InterfaceNumber, Endpoint, bytes]]: ...
    def take_delivered(self) -> list[bytes]: ...


EngineMaker = Callable[[PrivateKey, PublicKey, random.Random], DataPlane]


@dataclass
class Wire:
    """A virtual link between two sockets. Delay and jitter in seconds, loss from 0 to 1."""

    ends: tuple[tuple[SimNode, InterfaceNumber], tuple[SimNode, InterfaceNumber]]
    seen_as: list[Endpoint]  # how each end appears to the other
    delay: float = 0.005
    jitter: float = 0.0
    loss: float = 0.0
    mtu: int = 1500
    is_up: bool = True
    carried: int = 0

    def rebind(self, end: int, endpoint: str) -> None:
        """A NAT gives one end another outside endpoint; packets to the old one are lost."""
        self.seen_as[end] = Endpoint(endpoint)


@dataclass
class Pinger:
    """Sends an echo request every `interval` seconds and remembers what came back."""

    source: SimNode
    target: SimNode
    interval: float
    sent: list[float] = field(default_factory=list)
    replies: list[float] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    is_on: bool = True


class SimNode:
    """One node: the control plane, an engine, and the loop between them."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world, self.name, self.number = world, name, number
        self.private_key, self.key = key_pair(number)
        self.notices: list[tuple[float, Notice]] = []
        self.boots = 0
        self._wanted: list[tuple[InterfaceNumber, Endpoint, PublicKey]] = []
        self.boot()

    @property
    def address(self) -> Address:
        return self.node.identity.address

    def boot(self) -> None:
        """Begin with nothing but the keys and the configuration."""
        self.boots += 1
        seed = f"{self.world.seed} {self.name} {self.boots}"
        self._random = random.Random(seed)
        self.engine = self.world.make_engine(self.private_key, self.key, self._random)
        self.node = Node(Identity(self.key), NodeOptions(), self._random)
        self.is_running = True
        self._timer_at = 0.0
        for interface in (MAIN, InterfaceNumber(1)):
            self.engine.apply(AddInterface(interface, is_ipv6=False), self.world.now)
        self.node.credentials.add(PASSWORD, "sim")
        for interface, endpoint, key in self._wanted:
            self.node.want_peer(interface, endpoint, key, PASSWORD)
        self.pump()

    def restart(self) -> None:
        """Stop without a word and boot again."""
        self.boot()

    def call(self, interface: InterfaceNumber, endpoint: Endpoint, key: PublicKey) -> None:
        """Configure a peer."""
        self._wanted.append((interface, endpoint, key))
        self.node.want_peer(interface, endpoint, key, PASSWORD)
        self.pump()

    def pump(self) -> None:
        """Events to the node, commands to the engine, until both are silent; then the wires."""
        world, engine = self.world, self.engine
        busy = True
        while busy:
            busy = False
            for event in engine.take_events():
                busy = True
                if not isinstance(event, Stats):
                    world.recorder.note(world.now, self.name, self.name, f"event {event}")
                self.node.handle_event(event, world.now)
            for output in self.node.take_outputs():
                busy = True
                if isinstance(output, Notice):
                    self.notices.append((world.now, output))
                else:
                    engine.apply(output, world.now)
                if not isinstance(output, ReadStats):
                    world.recorder.note(world.now, self.name, self.name, f"decided {output}")
        for interface, endpoint, data in engine.take_sent():
            world.carry(self, interface, endpoint, data)
        for packet in engine.take_delivered():
            world.deliver(self, packet)
        self._set_timer()

    def _set_timer(self) -> None:
        at = max(self.node.next_timeout()[0], self.world.now)
        if at < self._timer_at or self._timer_at <= self.world.now:
            self._timer_at = at
            self.world.at(at, partial(self._handle_timer, at, self.boots))

    def _handle_timer(self, at: float, boot: int) -> None:
        if self.is_running and boot == self.boots and at == self._timer_at:
            self._timer_at = 0.0
            self.node.handle_timeout(self.world.now)
            self.pump()

    def heard(self, kind: type[Notice]) -> list[tuple[float, Notice]]:
        """The notices of one kind."""
        return [(at, notice) for at, notice in self.notices if isinstance(notice, kind)]


class World:
    """Nodes, wires and time."""

    def __init__(self, make_engine: EngineMaker, seed: int = 1) -> None:
        self.make_engine, self.seed = make_engine, seed
        self.now = START_S
        self.recorder = Recorder()
        self.nodes: list[SimNode] = []
        self._random = random.Random(seed)
        self.wires: list[Wire] = []
        self._pingers: list[Pinger] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    # --- Building -------------------------------------------------------------------------------

    def add(self, name: str) -> SimNode:
        """A node that runs from now on."""
        node = SimNode(self, name, len(self.nodes))
        self.nodes.append(node)
        self._tick(node)
        return node

    def line(self, count: int, **options: Any) -> list[SimNode]:
        """Nodes in a row; each calls the one before it."""
        nodes = [self.add(f"n{number}") for number in range(1, count + 1)]
        for left, right in pairwise(nodes):
            self.connect(right, left, **options)
        return nodes

    def connect(
        self,
        caller: SimNode,
        called: SimNode,
        *,
        caller_interface: int = 0,
        called_interface: int = 0,
        **options: Any,
    ) -> Wire:
        """A wire between two sockets, and the configuration that makes them peers."""
        ends = (
            (caller, InterfaceNumber(caller_interface)),
            (called, InterfaceNumber(called_interface)),
        )
        wire = Wire(ends, [_endpoint(*end) for end in ends], **options)
        self.wires.append(wire)
        caller.call(ends[0][1], wire.seen_as[1], called.key)
        return wire

    # --- Running --------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Do something at a time to come."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, is_done: Callable[[], bool], within: float) -> float | None:
        """Let time pass until something holds; how long that took, None if it never did."""
        begin, end = self.now, self.now + within
        while self._heap and self._heap[0][0] <= end:
            self.now, _, what = heapq.heappop(self._heap)
            what()
            if is_done():
                return self.now - begin
        self.now = end
        return self.now - begin if is_done() else None

    # --- User traffic -----------------------------------------------------------------------------

    def ping(self, source: SimNode, target: SimNode, interval: float = 0.2) -> Pinger:
        """Send an echo request now and then, until `is_on` is false."""
        pinger = Pinger(source, target, interval)
        self._pingers.append(pinger)
        self._ping_once(pinger)
        return pinger

    def first_reply(self, source: SimNode, target: SimNode, within: float) -> float | None:
        """How long it takes until an echo reply is back, pinging five times a second."""
        pinger = self.ping(source, target)
        took = self.run_until(lambda: bool(pinger.replies), within)
        pinger.is_on = False
        return took

    def _ping_once(self, pinger: Pinger) -> None:
        if not pinger.is_on:
            return
        number = len(pinger.sent)
        pinger.sent.append(self.now)
        packet = echo_request(
            pinger.source.address, pinger.target.address, self._pingers.index(pinger), number
        )
        self.at(self.now + pinger.interval, partial(self._ping_once, pinger))
        self._send(pinger.source, packet)

    def _send(self, node: SimNode, packet: bytes) -> None:
        if node.is_running:
            node.engine.handle_tun(packet, self.now)
            node.pump()

    def deliver(self, node: SimNode, packet: bytes) -> None:
        """What a node's TUN gives to its programs: echo requests are answered."""
        self.recorder.note(self.now, node.name, node.name, f"delivered {len(packet)} bytes")
        if is_echo_request(packet):
            answer = partial(self._send, node, echo_reply_to(packet))
            self.at(self.now, answer)
            return
        found = is_echo_reply(packet)
        if found is not None and found[0] < len(self._pingers):
            pinger = self._pingers[found[0]]
            if found[1] not in pinger.answered:
                pinger.answered.add(found[1])
                pinger.replies.append(self.now)

    # --- Wires ------------------------------------------------------------------------------------

    def carry(
        self, source: SimNode, interface: InterfaceNumber, endpoint: Endpoint, data: bytes
    ) -> None:
        """A datagram leaves a node; it arrives later, or not at all."""
        for wire in self.wires:
            for end in (0, 1):
                is_from = wire.ends[end] == (source, interface)
                if is_from and wire.seen_as[1 - end] == endpoint:
                    self._carry_along(wire, end, data)
                    return

    def _carry_along(self, wire: Wire, end: int, data: bytes) -> None:
        source, target = wire.ends[end][0], wire.ends[1 - end][0]
        is_lost = self._random.random() < wire.loss
        delay = wire.delay + wire.jitter * self._random.random()
        fate = ""
        if not wire.is_up:
            fate = " (link down)"
        elif is_lost:
            fate = " (lost)"
        elif len(data) > wire.mtu:
            fate = " (too big)"
        self.recorder.note(
            self.now, source.name, target.name, f"datagram {len(data)} {data[:4].hex()}{fate}"
        )
        if not fate:
            wire.carried += 1
            self.at(self.now + delay, partial(self._arrive, wire, end, wire.seen_as[end], data))

    def _arrive(self, wire: Wire, end: int, sender: Endpoint, data: bytes) -> None:
        target, interface = wire.ends[1 - end]
        if target.is_running and wire.is_up:
            target.engine.handle_datagram(interface, sender, data, self.now)
            target.pump()

    def _tick(self, node: SimNode) -> None:
        if node.is_running:
            node.engine.tick(self.now)
            node.pump()
        self.at(self.now + TICK_S, partial(self._tick, node))


def _endpoint(node: SimNode, interface: InterfaceNumber) -> Endpoint:
    return Endpoint(f"10.0.{interface}.{node.number + 1}:5000")


@contextmanager
def pinging(world: World, source: SimNode, target: SimNode) -> Iterator[Pinger]:
    """Ping while the block runs."""
    pinger = world.ping(source, target)
    yield pinger
    pinger.is_on = False
