"""Commands into the native engine, events and stats out of it."""

from __future__ import annotations

import typing

import pytest

from dexmesh.engine import messages
from dexmesh.engine._native import Engine
from dexmesh.engine.door import _APPLY, _EVENTS, EngineDoor
from dexmesh.engine.drops import DropReason
from dexmesh.engine.keys import public_key_of
from dexmesh.engine.messages import (
    AddInterface,
    AddPeer,
    AddUser,
    Command,
    ControlFrame,
    CryptoState,
    DropParked,
    Endpoint,
    Event,
    InterfaceNumber,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerId,
    PeerRefused,
    PeerRemoved,
    ReadStats,
    RemoveInterface,
    RemovePeer,
    RemoveSession,
    RemoveUser,
    ResetPeer,
    ResetSession,
    RouteNeeded,
    RoutingMessage,
    SendControl,
    SendInner,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
    SetPeerUp,
    SetRoute,
    Stats,
)
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of, is_node_key
from dexmesh.wire.label import Label

MAIN = InterfaceNumber(3)
PASSWORD = b"long and random"
PEER_LABEL = Label(0x13)  # interface 0
VERSION = 20


def _private(start: int) -> bytes:
    number = start << 32
    while not is_node_key(public_key_of(number.to_bytes(32, "big"))):
        number += 1
    return number.to_bytes(32, "big")


class Node:
    """An engine with its door, and what came out."""

    def __init__(self, start: int) -> None:
        private = _private(start)
        self.key: PublicKey = public_key_of(private)
        self.address: Address = address_of(self.key)
        self.endpoint = Endpoint(f"192.0.2.{start % 200}:5000")
        self.native = Engine(private, start.to_bytes(32, "big"))
        self.door = EngineDoor(self.native)
        self.events: list[Event] = []
        self.delivered: list[bytes] = []
        self.apply(AddInterface(MAIN, is_ipv6=False), AddUser("friend", PASSWORD))

    def apply(self, *commands: Command) -> None:
        for command in commands:
            self.door.apply(command, 1000.0)

    def new_events(self) -> list[Event]:
        taken = self.door.take_events()
        self.events += taken
        return taken

    def of(self, kind: type[typing.Any]) -> list[typing.Any]:
        return [event for event in self.events if isinstance(event, kind)]


def exchange(*nodes: Node) -> None:
    """Carry datagrams until all is silent."""
    is_busy = True
    while is_busy:
        is_busy = False
        for node in nodes:
            node.new_events()
            for kind, *rest in node.native.take_outputs():
                if kind == "deliver":
                    node.delivered.append(rest[0])
                    continue
                is_busy = True
                interface, endpoint, data = rest
                assert interface == MAIN
                for other in nodes:
                    if other.endpoint == endpoint:
                        other.native.handle_datagram(1000.0, MAIN, node.endpoint, data)


def linked() -> tuple[Node, Node]:
    a, b = Node(1), Node(101)
    a.apply(AddPeer(MAIN, b.endpoint, b.key, PASSWORD, "friend"))
    for sender in (a, b, a, b):
        sender.apply(SendControl(PEER_LABEL, b"\0\0\0\3ping"))
        exchange(a, b)
    return a, b


def with_session() -> tuple[Node, Node]:
    a, b = linked()
    for sender, other in ((a, b), (b, a), (a, b), (b, a)):
        sender.apply(
            SendInner(other.address, other.key, VERSION, PEER_LABEL, 256, b"question"),
            SetRoute(other.address, other.key, VERSION, PEER_LABEL),
        )
        exchange(a, b)
    return a, b


def packet(source: Node, destination: Address, payload: bytes) -> bytes:
    length = len(payload).to_bytes(2, "big")
    return b"\x60\0\0\0" + length + b"\x11\x40" + source.address + destination + payload


def test_every_command_and_event_has_its_way_across() -> None:
    commands = set(typing.get_args(messages.Command))
    assert set(_APPLY) | {ReadStats} == commands
    events = {kind.__name__ for kind in typing.get_args(messages.Event)}
    assert set(_EVENTS) | {"Stats"} == events


def test_a_link_comes_up_and_tells_its_story() -> None:
    a, b = linked()
    assert a.of(PeerAdded) == [PeerAdded(PeerId(1), 0, MAIN, b.endpoint, b.key, False, "")]
    assert b.of(PeerAdded) == [PeerAdded(PeerId(1), 0, MAIN, a.endpoint, a.key, True, "friend")]
    assert [event.state for event in a.of(LinkStateChanged)] == [
        CryptoState.SENT_HELLO,
        CryptoState.RECEIVED_KEY,
        CryptoState.ESTABLISHED,
    ]
    assert b.of(LinkHandshake) == [LinkHandshake(PeerId(1))]
    assert b.of(ControlFrame)[0] == ControlFrame(PEER_LABEL, b"\0\0\0\3ping")


def test_a_session_carries_questions_and_user_traffic() -> None:
    a, b = with_session()
    assert b.of(RoutingMessage)[0] == RoutingMessage(a.address, a.key, PEER_LABEL, b"question")
    added = b.of(SessionAdded)[0]
    assert (added.address, added.key, added.is_incoming) == (a.address, a.key, True)
    assert b.of(SessionStateChanged)[0] == SessionStateChanged(
        a.address, CryptoState.INIT, CryptoState.RECEIVED_HELLO, PEER_LABEL
    )
    sent = packet(a, b.address, b"hello")
    a.native.handle_tun(1000.0, [sent])
    exchange(a, b)
    assert b.delivered == [sent[:7] + b"\x2a" + sent[8:]]


def test_the_answer_to_read_stats_comes_before_other_events() -> None:
    a, b = with_session()
    a.apply(ReadStats())
    a.native.handle_tun(1000.0, [packet(a, Address(b"\xfc" * 16), b"?")])
    stats, needed = a.new_events()
    assert needed == RouteNeeded(Address(b"\xfc" * 16), "no session")
    assert isinstance(stats, Stats)
    (peer,) = stats.peers
    assert (peer.state, peer.last_in, peer.dropped) == (CryptoState.ESTABLISHED, 1000.0, 0)
    (session,) = stats.sessions
    assert session.state is CryptoState.ESTABLISHED
    assert (session.version, session.send_label) == (VERSION, PEER_LABEL)
    assert (session.last_in, session.last_user_in) == (1000.0, None)
    assert session.handle == b.door.read_stats().sessions[0].send_handle


def test_peers_and_sessions_go_when_they_are_told_to() -> None:
    a, b = with_session()
    a.events.clear()
    a.apply(
        ResetSession(b.address),
        RemoveSession(b.address),
        SetPeerUp(PeerId(1), is_up=False),
        ResetPeer(PeerId(1)),
        RemovePeer(PeerId(1)),
        AddPeer(InterfaceNumber(9), b.endpoint, b.key, PASSWORD),
        RemoveUser("friend"),
        RemoveInterface(MAIN),
    )
    a.new_events()
    assert a.of(SessionRemoved) == [SessionRemoved(b.address, "removed")]
    assert a.of(PeerRemoved) == [PeerRemoved(PeerId(1), "removed")]
    assert a.of(PeerRefused) == [PeerRefused(InterfaceNumber(9), b.endpoint, "no such interface")]
    assert a.door.read_stats() == Stats((), ())


def test_what_waits_in_vain_is_dropped_and_counted() -> None:
    a = Node(1)
    nowhere = Address(b"\xfc" * 16)
    a.native.handle_tun(1000.0, [packet(a, nowhere, b"?"), packet(a, nowhere, b"again")])
    a.apply(DropParked(nowhere))
    a.native.handle_tun(1000.0, [packet(a, nowhere, b"?")])
    a.door.tick(1010.0)
    exchange(a)
    assert len(a.delivered) == 2
    assert a.door.drop_counts() == {
        DropReason.TUN_PARKED_REPLACED: 1,
        DropReason.TUN_NO_ROUTE: 2,
    }


def test_events_are_taken_in_portions() -> None:
    a = Node(1)
    for number in range(5):
        a.native.handle_tun(1000.0, [packet(a, Address(bytes([0xFC, number] * 8)), b"?")])
    assert [len(a.door.take_events(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_bytes_and_texts_of_a_wrong_form_are_refused() -> None:
    a = Node(1)
    with pytest.raises(ValueError, match="not an endpoint"):
        a.apply(AddPeer(MAIN, Endpoint("example.org:5"), a.key, PASSWORD))
    with pytest.raises(ValueError, match="a public key must have 32 bytes"):
        a.apply(SetRoute(a.address, PublicKey(b"short"), VERSION, PEER_LABEL))
    with pytest.raises(ValueError, match="an address must have 16 bytes"):
        a.apply(DropParked(Address(b"short")))
    with pytest.raises(ValueError, match=r"not in fc00::/8"):
        Engine(bytes(32), bytes(32))
