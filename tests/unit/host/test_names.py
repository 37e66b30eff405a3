"""Peers by name: resolved, tried in turn, followed when the name leads elsewhere."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.host import names
from dexmesh.host.names import NamedPeers, PeerByName, endpoint_of, is_literal
from dexmesh.wire.keys import PublicKey

PEER = PeerByName(
    InterfaceNumber(0), False, "bee.example", 5000, PublicKey(bytes(32)), b"secret", None, None
)


class FakeCaller:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ...]] = []
        self.up: set[Endpoint] = set()

    def want_peer(self, peer: PeerByName, endpoint: Endpoint) -> None:
        self.said.append(("want", endpoint))

    def change_endpoint(self, interface: InterfaceNumber, old: Endpoint, new: Endpoint) -> None:
        self.said.append(("change", old, new))

    def is_up(self, interface: InterfaceNumber, endpoint: Endpoint) -> bool:
        return endpoint in self.up


def _follow(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[list[str]],
    steps: int,
    act: Callable[[FakeCaller], None] = lambda _: None,
) -> list[tuple[str, ...]]:
    """Follow the name through `steps` looks, each with the next answer of the resolver."""
    caller = FakeCaller()

    async def resolve(host: str, port: int, is_ipv6: bool) -> list[Endpoint]:
        return [Endpoint(one) for one in (answers.pop(0) if answers else [])]

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            peers = NamedPeers(caller, tasks)
            peers.follow(PEER)
            for _ in range(steps):
                for _ in range(5):
                    await asyncio.sleep(0)
                act(caller)
                peers.handle_network_changed()
            for _ in range(5):
                await asyncio.sleep(0)
            peers.stop()

    monkeypatch.setattr(names, "resolve", resolve)
    asyncio.run(main())
    return caller.said


def test_every_address_of_a_name_is_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["192.0.2.1:5000", "192.0.2.2:5000"]
    assert _follow(monkeypatch, [both, both, both], steps=2) == [
        ("want", both[0]),
        ("change", both[0], both[1]),
        ("change", both[1], both[0]),
    ]


def test_a_name_that_leads_elsewhere_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _follow(monkeypatch, [["192.0.2.1:5000"], ["192.0.2.9:5000"]], steps=1) == [
        ("want", "192.0.2.1:5000"),
        ("change", "192.0.2.1:5000", "192.0.2.9:5000"),
    ]


def test_a_peer_that_is_up_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def up(caller: FakeCaller) -> None:
        caller.up.add(Endpoint("192.0.2.1:5000"))

    said = _follow(monkeypatch, [["192.0.2.1:5000"], ["192.0.2.9:5000"]], 2, up)
    assert said == [("want", "192.0.2.1:5000")]


def test_a_resolver_that_fails_keeps_the_last_address(monkeypatch: pytest.MonkeyPatch) -> None:
    said = _follow(monkeypatch, [["192.0.2.1:5000"], [], ["192.0.2.1:5000"]], steps=2)
    assert said == [("want", "192.0.2.1:5000")]


def test_names_and_literals_are_told_apart() -> None:
    assert is_literal("192.0.2.1")
    assert is_literal("2001:db8::1")
    assert not is_literal("bee.example")


def test_endpoints_are_written_as_the_data_plane_reads_them() -> None:
    assert endpoint_of("192.0.2.1", 5) == "192.0.2.1:5"
    assert endpoint_of("2001:db8:0::1", 5) == "[2001:db8::1]:5"


def test_localhost_resolves_for_the_family_of_the_interface() -> None:
    assert asyncio.run(names.resolve("localhost", 7, False)) == ["127.0.0.1:7"]


def test_a_name_nobody_knows_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        asyncio.run(names.resolve("no-such-name.invalid", 7, False))


def test_a_name_that_cannot_be_one_is_an_error() -> None:
    with pytest.raises(OSError, match="label"):
        asyncio.run(names.resolve("a" * 64 + ".example", 7, False))


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that answers for `quick.example` and never for any other name."""
    over = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host != "quick.example":
            over.wait(20)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    over.set()


@pytest.mark.usefixtures("hanging_resolver")
def test_a_node_ends_though_its_resolver_hangs() -> None:
    began = time.monotonic()
    said = _follow_for(0.05, [replace(PEER, host=f"slow{number}.example") for number in range(20)])
    assert said == []
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("hanging_resolver")
def test_names_that_hang_do_not_hold_up_the_others() -> None:
    slow = [replace(PEER, host=f"slow{number}.example") for number in range(20)]
    said = _follow_for(0.5, [*slow, replace(PEER, host="quick.example")])
    assert said == [("want", "192.0.2.1:5000")]


def _follow_for(seconds: float, peers: list[PeerByName]) -> list[tuple[str, ...]]:
    caller = FakeCaller()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            named = NamedPeers(caller, tasks)
            for peer in peers:
                named.follow(peer)
            await asyncio.sleep(seconds)
            named.stop()

    asyncio.run(main())
    return caller.said


def test_a_name_that_stays_unknown_is_warned_about_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def resolve(host: str, port: int, is_ipv6: bool) -> list[Endpoint]:
        raise OSError("no such name")

    caller = FakeCaller()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            named = NamedPeers(caller, tasks)
            named.follow(PEER)
            for _ in range(5):
                await asyncio.sleep(0.01)
                named.handle_network_changed()
            named.stop()

    monkeypatch.setattr(names, "resolve", resolve)
    monkeypatch.setattr(logging.getLogger("dexmesh"), "propagate", True)
    asyncio.run(main())
    warnings = {id(record) for record in caplog.records if record.levelno == logging.WARNING}
    assert len(warnings) == 1


def test_a_password_is_not_shown_with_the_peer() -> None:
    assert "secret" not in repr(PEER)
