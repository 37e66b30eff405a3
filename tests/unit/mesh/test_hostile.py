"""Whatever events come in, in whatever order, a node does not raise and does not grow."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dexmesh.engine.messages import (
    ControlFrame,
    CryptoState,
    Endpoint,
    Event,
    InterfaceNumber,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerId,
    PeerRefused,
    PeerRemoved,
    RouteNeeded,
    RoutingMessage,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
)
from dexmesh.mesh.dht.table import MAX_NODES
from dexmesh.mesh.node import Node, NodeOptions
from dexmesh.mesh.queries import MAX_WAITING
from dexmesh.wire.control import (
    ErrorFrame,
    KeyPing,
    KeyPong,
    Ping,
    Pong,
    SnodeQuery,
    encode_control,
)
from dexmesh.wire.dht import NodeEntry, Query, Reply, encode_message
from dexmesh.wire.headers import SwitchHeader
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import V358, EncodingScheme, Form
from tests.unit.mesh.helpers import identity, key, peer_stats, queries_in, session_stats, stats

SCHEMES = (V358, EncodingScheme((Form(1, 4, 1), Form(1, 8, 0))), EncodingScheme((Form(0, 8, 0),)))
NODES = 400


class Attacker:
    """Makes events that fit together now and then."""

    def __init__(self, seed: int, node: Node) -> None:
        self.random, self.node = random.Random(seed), node
        self.txids: list[tuple[Any, bytes]] = []
        self.data = b""

    def number(self) -> int:
        return self.random.randrange(NODES)

    def label(self) -> Label:
        small = (0, 1, 0x11, 0x13, 0x15, 0x133, 0x153, 0x1353, 0x9E, 0x480, 0x82)
        if self.random.random() < 0.7:
            return Label(self.random.choice(small))
        return Label(self.random.getrandbits(self.random.randrange(1, 65)))

    def state(self) -> CryptoState:
        return self.random.choice(list(CryptoState))

    def peer(self) -> PeerId:
        return PeerId(self.random.randrange(40))

    def event(self, now: float) -> Event:
        makers = (
            self.peer_event,
            self.link_event,
            self.control,
            self.routing,
            self.routing,
            self.session_event,
            self.numbers,
        )
        return self.random.choice(makers)(now)

    def peer_event(self, now: float) -> Event:
        endpoint, interface = Endpoint(f"e{self.random.randrange(9)}"), InterfaceNumber(0)
        kind = self.random.randrange(4)
        if kind == 0:
            return PeerRemoved(self.peer(), "removed")
        if kind == 1:
            return PeerRefused(interface, endpoint, self.random.choice(("own key", "switch full")))
        peer = self.peer()
        slot = 0 if peer == 1 else int(peer)
        is_incoming = self.random.random() < 0.5
        return PeerAdded(peer, slot, interface, endpoint, key(self.number()), is_incoming, "u")

    def link_event(self, now: float) -> Event:
        if self.random.random() < 0.3:
            return LinkHandshake(self.peer())
        return LinkStateChanged(self.peer(), self.state(), self.state())

    def control(self, now: float) -> Event:
        version = self.random.choice((0, 15, 16, 20, 22, 1 << 31))
        data = self.random.choice((b"", self.data, self.random.randbytes(20)))
        frames = (
            encode_control(Ping(version, data)),
            encode_control(Pong(version, data)),
            encode_control(KeyPing(version, key(1), data[:64])),
            encode_control(KeyPong(version, key(1), data[:64])),
            encode_control(SnodeQuery(version, data=data)),
            encode_control(self.error()),
            self.random.randbytes(self.random.randrange(80)),
        )
        return ControlFrame(self.label(), self.random.choice(frames))

    def error(self) -> ErrorFrame:
        header = SwitchHeader(self.label(), label_shift=self.random.randrange(64))
        return ErrorFrame(self.random.getrandbits(32), header, bytes(self.random.randrange(60)))

    def routing(self, now: float) -> Event:
        number = self.number()
        txid = self.random.randbytes(4)
        address, sender = address_of(key(number)), key(number)
        if self.txids and self.random.random() < 0.6:
            sent, txid = self.random.choice(self.txids)
            address, sender = sent.address, sent.key
        scheme = self.random.choice(SCHEMES)
        version = self.random.choice((16, 20, 20, 22))
        nodes = tuple(
            NodeEntry(key(self.number()), self.label() or Label(1), version)
            for _ in range(self.random.randrange(6))
        )
        kinds = (b"pn", b"fn", b"gp", b"nh", b"??")
        target = self.random.choice((None, bytes(8), bytes(16), address, self.random.randbytes(8)))
        messages = (
            encode_message(Reply(txid, version, scheme, 0, nodes)),
            encode_message(Query(txid, self.random.choice(kinds), version, scheme, 0, target)),
            self.random.randbytes(self.random.randrange(60)),
        )
        content = self.random.choice((messages[0], *messages))
        return RoutingMessage(address, sender, self.label(), content)

    def session_event(self, now: float) -> Event:
        number = self.number()
        address = address_of(key(number))
        return self.random.choice(
            (
                SessionAdded(address, key(number), 5, self.label(), True),
                SessionStateChanged(address, self.state(), self.state(), self.label()),
                SessionRemoved(address, "removed"),
                RouteNeeded(address, "no session"),
                RouteNeeded(address, "handshake unfinished"),
            )
        )

    def numbers(self, now: float) -> Event:
        times = (None, now - 200, now - 5, now)
        peers = (
            peer_stats(peer, self.random.choice(times), packets_out=self.random.randrange(1000))
            for peer in (self.peer() for _ in range(self.random.randrange(30)))
        )
        chosen = self.random.sample(range(NODES), self.random.randrange(60))
        sessions = tuple(
            session_stats(
                number,
                state=self.state(),
                last_in=self.random.choice(times),
                last_user_in=self.random.choice(times),
                last_user_out=self.random.choice(times),
            )
            for number in chosen
        )
        return stats(*peers, sessions=sessions)


@pytest.mark.parametrize("seed", range(6))
def test_random_events_never_raise_and_every_table_stays_bounded(seed: int) -> None:
    node = Node(identity(), NodeOptions(), random.Random(seed))
    attacker = Attacker(seed, node)
    now = 0.0
    for _ in range(2000):
        now += attacker.random.choice((0.0, 0.01, 0.1, 1.0))
        node.handle_event(attacker.event(now), now)
        if node.next_timeout()[0] <= now:
            node.handle_timeout(now)
        outputs = node.take_outputs()
        attacker.txids = [*attacker.txids, *((s, q.txid) for s, q in queries_in(outputs))][-50:]
    assert len(node.queries) <= MAX_WAITING
    assert len(node.pathfinder._table.nodes()) <= MAX_NODES + 257
    assert len(node.peering.peers) <= 40
    assert len(node.sessions.all()) <= NODES
    assert all(len(session.paths.labels()) <= 3 for session in node.sessions.all())


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_is_left_alone_after_an_attack_comes_to_rest(seed: int) -> None:
    node = Node(identity(), NodeOptions(), random.Random(seed))
    attacker = Attacker(seed, node)
    for step in range(500):
        node.handle_event(attacker.event(step / 100), step / 100)
    now, calls = 5.0, 0
    while now < 1000.0:
        at, _ = node.next_timeout()
        now = max(now, at)
        node.handle_timeout(now)
        node.take_outputs()
        calls += 1
        assert calls < 20_000, "timers do not spin"
    assert len(node.queries) < 20
