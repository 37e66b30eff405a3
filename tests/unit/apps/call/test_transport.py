from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from dexmesh.apps.call import transport
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.transport import (
    MAX_CONNECTIONS_OF_ONE,
    MAX_UNSENT_BYTES,
    SipTransport,
)
from dexmesh.wire.address import Address, parse_address

HERE = parse_address("::1")
MESSAGE = b"OPTIONS sip:a@[::1] SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"


class End:
    """A transport on ::1 that remembers what came and what failed."""

    def __init__(
        self,
        *,
        is_ours: Callable[[Address], bool] = lambda _address: True,
        is_known: Callable[[Address], bool] = lambda _address: True,
    ) -> None:
        self.came: list[tuple[bytes, Peer]] = []
        self.failed: list[Peer] = []
        self.news = asyncio.Event()
        self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self.udp.bind(("::1", 0))
        self.port: int = self.udp.getsockname()[1]
        self.tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.tcp.setblocking(False)
        self.tcp.bind(("::1", 0))
        self.tcp_port: int = self.tcp.getsockname()[1]
        self.transport = SipTransport(
            HERE, self._take, self._fail, is_ours=is_ours, is_known=is_known
        )

    def _take(self, data: bytes, peer: Peer, _now: float) -> None:
        self.came.append((data, peer))
        self.news.set()

    def _fail(self, peer: Peer, _now: float) -> None:
        self.failed.append(peer)
        self.news.set()

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_true():
                self.news.clear()
                await asyncio.wait([asyncio.ensure_future(self.news.wait())], timeout=0.05)


def played(
    script: Callable[[End, End], Awaitable[None]], **options: Callable[[Address], bool]
) -> None:
    async def play() -> None:
        one, other = End(**options), End()
        await one.transport.start(one.udp, one.tcp)
        await other.transport.start(other.udp, other.tcp)
        try:
            await script(one, other)
        finally:
            await one.transport.close()
            await other.transport.close()

    asyncio.run(play())


def test_datagrams_go_both_ways() -> None:
    async def script(one: End, other: End) -> None:
        one.transport.send(Peer(HERE, other.port), b"hello")
        await other.until(lambda: bool(other.came))
        data, peer = other.came[0]
        assert (data, peer) == (b"hello", Peer(HERE, one.port))
        other.transport.send(peer, b"x" * 20_000)
        await one.until(lambda: bool(one.came))
        assert one.came[0][0] == b"x" * 20_000

    played(script)


def test_an_answer_over_tcp_takes_the_connection_the_question_came_by() -> None:
    async def script(one: End, other: End) -> None:
        for _ in range(2):
            one.transport.send(Peer(HERE, other.tcp_port, is_tcp=True), MESSAGE)
        await other.until(lambda: len(other.came) == 2)
        peer = other.came[0][1]
        assert peer == other.came[1][1]
        assert peer.is_tcp
        other.transport.send(peer, MESSAGE + b"\r\n\r\n")
        await one.until(lambda: bool(one.came))
        assert one.came[0][0] == MESSAGE

    played(script)


def test_what_comes_from_our_own_ports_is_told_from_what_others_here_send() -> None:
    async def script(one: End, other: End) -> None:
        one.transport.send(Peer(HERE, one.port), b"hello")
        one.transport.send(Peer(HERE, one.tcp_port, is_tcp=True), MESSAGE)
        await one.until(lambda: len(one.came) == 2)
        other.transport.send(Peer(HERE, one.port), b"hello")
        other.transport.send(Peer(HERE, one.tcp_port, is_tcp=True), MESSAGE)
        await one.until(lambda: len(one.came) == 4)
        owns = [one.transport.is_own(peer) for _, peer in one.came]
        assert owns == [True, True, False, False]

    played(script)


def test_a_port_where_nobody_listens_is_told_once_for_all_that_waited() -> None:
    async def script(one: End, _other: End) -> None:
        closed = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        closed.bind(("::1", 0))
        target = Peer(HERE, closed.getsockname()[1], is_tcp=True)
        one.transport.send(target, MESSAGE)
        one.transport.send(target, MESSAGE)
        await one.until(lambda: bool(one.failed))
        assert one.failed == [target]
        closed.close()

    played(script)


def test_a_udp_port_where_nobody_listens_is_told_and_the_next_datagram_is_not_lost() -> None:
    async def script(one: End, other: End) -> None:
        closed = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        closed.bind(("::1", 0))
        target = Peer(HERE, closed.getsockname()[1])
        closed.close()
        one.transport.send(target, MESSAGE)
        one.transport.send(Peer(HERE, other.port), b"hello")
        await one.until(lambda: bool(one.failed))
        await other.until(lambda: bool(other.came))
        assert one.failed == [target]
        assert one.transport.counts["not sent: nobody is there"] == 1

    played(script)


def test_what_is_not_from_the_mesh_is_not_heard() -> None:
    async def script(one: End, other: End) -> None:
        other.transport.send(Peer(HERE, one.port), b"hello")
        other.transport.send(Peer(HERE, one.tcp_port, is_tcp=True), MESSAGE)
        await one.until(lambda: one.transport.counts["refused: not from the mesh"] == 2)
        assert one.came == []

    played(script, is_ours=lambda address: address[0] == 0xFC)


def test_a_stream_that_is_no_sip_is_closed_and_the_others_go_on() -> None:
    async def script(one: End, other: End) -> None:
        reader, writer = await asyncio.open_connection("::1", one.tcp_port)
        writer.write(b"x" * 100_000)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        assert one.transport.counts["refused: no SIP message"] == 1
        other.transport.send(Peer(HERE, one.tcp_port, is_tcp=True), MESSAGE)
        await one.until(lambda: bool(one.came))

    played(script)


def test_one_node_gets_only_so_many_connections_and_places_are_given_back() -> None:
    async def script(one: End, other: End) -> None:
        writers = []
        for _ in range(MAX_CONNECTIONS_OF_ONE + 1):
            writers.append((await asyncio.open_connection("::1", one.tcp_port))[1])
        await one.until(lambda: one.transport.counts["refused: too many connections"] == 1)
        for writer in writers:
            writer.close()
        await one.until(lambda: not one.transport._connections)
        other.transport.send(Peer(HERE, one.tcp_port, is_tcp=True), MESSAGE)
        await one.until(lambda: bool(one.came))

    played(script)


def test_strangers_leave_room_for_contacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_CONNECTIONS_OF_STRANGERS", 2)
    known: set[Address] = set()

    async def script(one: End, _other: End) -> None:
        writers = []
        for _ in range(3):
            writers.append((await asyncio.open_connection("::1", one.tcp_port))[1])
        await one.until(lambda: one.transport.counts["refused: too many connections"] == 1)
        known.add(HERE)
        writers.append((await asyncio.open_connection("::1", one.tcp_port))[1])
        await one.until(lambda: len(one.transport._connections) == 3)
        for writer in writers:
            writer.close()

    played(script, is_known=known.__contains__)


def test_who_lets_us_wait_for_connections_blocks_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_args: object, **_options: object) -> None:
        await asyncio.Event().wait()

    async def script(one: End, _other: End) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
        for port in range(5000, 5010):  # a stranger chooses the port in his Via
            one.transport.send(Peer(HERE, port, is_tcp=True), MESSAGE)
        await one.until(lambda: len(one.failed) == 10 - transport.MAX_CALLS_OF_ONE)
        assert len(one.transport._calls) == transport.MAX_CALLS_OF_ONE

    played(script)


def test_a_peer_that_does_not_read_loses_its_connection() -> None:
    async def script(one: End, _other: End) -> None:
        silent = await asyncio.start_server(
            lambda reader, _writer: reader._transport.pause_reading(),  # type: ignore[attr-defined]
            "::1",
            0,
        )
        target = Peer(HERE, silent.sockets[0].getsockname()[1], is_tcp=True)
        while not one.failed:
            one.transport.send(target, b"x" * (MAX_UNSENT_BYTES // 4))
            await asyncio.sleep(0.001)
        assert one.transport.counts["not sent: too much is waiting"] >= 1
        silent.close()

    played(script)


def test_a_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_S", 0.05)

    async def script(one: End, _other: End) -> None:
        reader, writer = await asyncio.open_connection("::1", one.tcp_port)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()

    played(script)
