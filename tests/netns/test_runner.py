"""The native runner: two nodes in one process, real sockets on loopback, real threads."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator

import pytest

from dexmesh.engine._native import Runner
from dexmesh.engine.door import EngineDoor
from dexmesh.engine.drops import DropReason
from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.engine.messages import (
    AddInterface,
    AddPeer,
    AddUser,
    ControlFrame,
    Endpoint,
    Event,
    InterfaceNumber,
    SendControl,
)
from dexmesh.wire.label import Label

MAIN = InterfaceNumber(0)
PATIENCE_S = 10.0


class Node:
    """A runner with a socket on loopback."""

    def __init__(self) -> None:
        private = generate_private_key(os.urandom)
        self.key = public_key_of(private)
        self.runner = Runner(bytes(private), os.urandom(32))
        self.door = EngineDoor(self.runner)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.endpoint = Endpoint(f"127.0.0.1:{self.socket.getsockname()[1]}")
        self.door.apply(AddInterface(MAIN, is_ipv6=False), time.monotonic())
        self.door.apply(AddUser("friend", b"a password"), time.monotonic())
        self.runner.attach_udp(MAIN, self.socket.fileno())

    def wait_for(self, kind: type[Event]) -> Event:
        """The first event of a kind; the event descriptor says when to look."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for event in self.door.take_events():
                if isinstance(event, kind):
                    return event
            select.select([self.runner.event_fd()], [], [], 0.5)
            self.runner.clear_event_fd()
        raise AssertionError(f"no {kind.__name__}")


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    pair = Node(), Node()
    yield pair
    for node in pair:
        node.runner.stop()
        node.socket.close()


def test_a_ping_reaches_the_other_node_through_real_sockets(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    now = time.monotonic()
    a.door.apply(AddPeer(MAIN, b.endpoint, b.key, b"a password", "friend"), now)
    a.door.apply(SendControl(Label(0x13), b"\0\0\0\3ping"), now)
    assert b.wait_for(ControlFrame) == ControlFrame(Label(0x13), b"\0\0\0\3ping")
    assert a.runner.io_stats()["udp_packets_out"] == 1
    assert b.runner.io_stats()["udp_packets_in"] == 1
    assert set(b.runner.capabilities()) == {"tun", "sockets"}
    assert list(b.runner.capabilities()["sockets"]) == [MAIN]


def test_the_descriptor_stays_with_whoever_opened_it(nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    assert a.runner.detach_udp(MAIN)
    assert not a.runner.detach_udp(MAIN)
    assert a.socket.getsockname()[0] == "127.0.0.1"
    assert not a.runner.detach_tun()


def test_what_has_no_socket_is_dropped_and_counted(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    a.runner.detach_udp(MAIN)
    now = time.monotonic()
    a.door.apply(AddPeer(MAIN, b.endpoint, b.key, b"a password", "friend"), now)
    a.door.apply(SendControl(Label(0x13), b"\0\0\0\3ping"), now)
    assert a.door.drop_counts() == {DropReason.LINK_INTERFACE_GONE: 1}


def test_a_descriptor_that_is_none_is_an_error_of_the_operating_system(
    nodes: tuple[Node, Node],
) -> None:
    a, _ = nodes
    with pytest.raises(OSError, match="Bad file descriptor"):
        a.runner.attach_udp(InterfaceNumber(1), 9999)
    with pytest.raises(OSError, match="Bad file descriptor"):
        a.runner.attach_tun(9999, 0)
    with pytest.raises(ValueError, match="no such TUN mode"):
        a.runner.attach_tun(a.socket.fileno(), 3)
    assert a.runner.take_faults() == []


def test_stopping_twice_is_stopping_once(nodes: tuple[Node, Node]) -> None:
    a, _ = nodes
    a.runner.stop()
    a.runner.stop()
    a.door.tick(time.monotonic())
