"""Hand-made parts for the tests of mesh/: keys, peers, answers, a table of nodes in a row."""

from __future__ import annotations

import random
from typing import Any, TypeVar

from dexmesh.engine.messages import (
    Command,
    ControlFrame,
    CryptoState,
    Endpoint,
    InterfaceNumber,
    LinkStateChanged,
    PeerAdded,
    PeerId,
    PeerStats,
    SendControl,
    SendInner,
    SessionStats,
    Stats,
)
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.node import Node, NodeOptions
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.queries import Answer, Asked, Target
from dexmesh.wire.control import Ping, Pong, decode_control, encode_control
from dexmesh.wire.dht import NodeEntry, Query, Reply, decode_message
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.label import Label
from tests.sim.keys import key_pair

T = TypeVar("T")

ENDPOINT = Endpoint("192.0.2.1:5000")
INTERFACE = InterfaceNumber(0)
OWN = 0


def key(number: int) -> PublicKey:
    """The key of node `number`; 0 is ourselves."""
    return key_pair(number)[1]


def identity() -> Identity:
    """Who we are."""
    return Identity(key(OWN))


def make_node() -> Node:
    """A node with nothing around it; what it did while it was made is thrown away."""
    node = Node(identity(), NodeOptions(), random.Random(1))
    node.take_outputs()
    return node


def of_type(outputs: list[Command | Notice], kind: type[T]) -> list[T]:
    """The outputs of one kind."""
    return [output for output in outputs if isinstance(output, kind)]


def peer_added(
    number: int, slot: int, is_incoming: bool = False, endpoint: str = "", interface: int = 0
) -> PeerAdded:
    """The event for node `number` at a slot; its PeerId is the slot plus 1000."""
    return PeerAdded(
        peer=PeerId(1000 + slot),
        slot=slot,
        interface=InterfaceNumber(interface),
        endpoint=Endpoint(endpoint or f"192.0.2.{slot + 1}:5000"),
        key=key(number),
        is_incoming=is_incoming,
        user="somebody" if is_incoming else "",
    )


def establish(node: Node, number: int, slot: int, now: float, is_incoming: bool = False) -> PeerId:
    """A peer that is established and has told its version."""
    added = peer_added(number, slot, is_incoming)
    node.handle_event(added, now)
    node.handle_event(LinkStateChanged(added.peer, CryptoState.INIT, CryptoState.ESTABLISHED), now)
    peer = node.peering.peers.by_id(added.peer)
    assert peer is not None
    node.handle_event(ControlFrame(peer.label, encode_control(Ping(20, b"hello"))), now)
    return added.peer


def answer_pings(node: Node, outputs: list[Command | Notice], now: float) -> int:
    """Play peers that answer every switch ping at once; how many there were."""
    pings = 0
    for sent in of_type(outputs, SendControl):
        message = decode_control(sent.frame)
        if isinstance(message, Ping):
            pings += 1
            pong = encode_control(Pong(20, message.data))
            node.handle_event(ControlFrame(sent.label, pong), now)
    return pings


def pings_in(outputs: list[Command | Notice]) -> list[Label]:
    """The labels that switch pings went to."""
    return [
        sent.label
        for sent in of_type(outputs, SendControl)
        if isinstance(decode_control(sent.frame), Ping)
    ]


def queries_in(outputs: list[Command | Notice]) -> list[tuple[SendInner, Query]]:
    """The routing queries that were sent."""
    found = []
    for sent in of_type(outputs, SendInner):
        message = decode_message(sent.content)
        if isinstance(message, Query):
            found.append((sent, message))
    return found


def peer_stats(
    peer: PeerId,
    last_in: float | None,
    state: CryptoState = CryptoState.ESTABLISHED,
    **changes: Any,
) -> PeerStats:
    """Counters of a peer."""
    values: dict[str, Any] = dict.fromkeys(
        (
            "bytes_in",
            "bytes_out",
            "packets_in",
            "packets_out",
            "duplicates",
            "lost",
            "out_of_range",
            "dropped",
        ),
        0,
    )
    values.update(changes)
    return PeerStats(peer=peer, state=state, last_in=last_in, **values)


def session_stats(number: int, **changes: Any) -> SessionStats:
    """Counters of the session with node `number`."""
    values: dict[str, Any] = {
        "state": CryptoState.ESTABLISHED,
        "handle": 5,
        "send_handle": 6,
        "version": 20,
        "send_label": Label(0x13),
        "receive_label": Label(0x13),
        "last_in": None,
        "last_out": None,
        "last_user_in": None,
        "last_user_out": None,
        "bytes_in": 0,
        "bytes_out": 0,
        "packets_in": 0,
        "packets_out": 0,
        "duplicates": 0,
        "lost": 0,
        "out_of_range": 0,
    }
    values.update(changes)
    return SessionStats(address=address_of(key(number)), key=key(number), **values)


def stats(*peers: PeerStats, sessions: tuple[SessionStats, ...] = ()) -> Stats:
    """The answer to ReadStats."""
    return Stats(tuple(peers), sessions)


def target(number: int, label: int) -> Target:
    """Node `number` along a label."""
    return Target(address_of(key(number)), key(number), 20, Label(label))


def entry(number: int, label: int, version: int = 20) -> NodeEntry:
    """One node of a reply."""
    return NodeEntry(key(number), Label(label), version)


def answered(
    number: int, label: int, kind: bytes, *nodes: NodeEntry, argument: bytes | None = None
) -> Answer:
    """Node `number` answered a query that went along a label."""
    asked = Asked(target(number, label), kind, argument, 0.0)
    return Answer(asked, Label(label), Reply(b"0", 20, nodes=tuple(nodes)), 0.1)
