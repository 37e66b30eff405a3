"""The resolver on real sockets of this machine: both transports, limits, and slow or rude clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import dns.message
import dns.rcode
import pytest

from dexmesh.apps.names import server as server_module
from dexmesh.apps.names.server import NamesServer, is_loopback
from tests.unit.apps.names.test_answers import ME, FakeBook

QUERY = dns.message.make_query(ME.key_name, "AAAA").to_wire()
FRAMED = len(QUERY).to_bytes(2, "big") + QUERY


def run(test: Callable[[NamesServer, tuple[str, int]], Awaitable[None]]) -> None:
    async def with_server() -> None:
        tcp = socket.socket()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(tcp.getsockname())
        server = NamesServer(ME, FakeBook())
        await server.serve(udp, tcp)
        try:
            async with asyncio.timeout(20):
                await test(server, tcp.getsockname())
        finally:
            await server.close()

    asyncio.run(with_server())


async def ask_udp(where: tuple[str, int], data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(where)
        await loop.sock_sendall(sock, data)
        return await loop.sock_recv(sock, 2000)


async def read_reply(reader: asyncio.StreamReader) -> dns.message.Message:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return dns.message.from_wire(await reader.readexactly(length))


def test_a_datagram_is_answered_after_any_amount_of_junk() -> None:
    async def test(server: NamesServer, where: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for junk in (b"", b"x", bytes(12), b"\xff" * 4000, QUERY[:-3]):
                sock.sendto(junk, where)
        reply = dns.message.from_wire(await ask_udp(where, QUERY))
        assert reply.rcode() == dns.rcode.NOERROR
        assert len(reply.answer) == 1
        assert server.counts["answered"] == 1
        assert server.counts["malformed"] >= 1

    run(test)


def test_one_connection_carries_several_questions_in_any_pieces() -> None:
    async def test(_server: NamesServer, where: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED + FRAMED)
        for byte in FRAMED:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        for _ in range(3):
            assert (await read_reply(reader)).rcode() == dns.rcode.NOERROR
        writer.close()

    run(test)


def test_a_connection_too_many_is_closed_and_a_place_that_gets_free_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)

    async def test(server: NamesServer, where: tuple[str, int]) -> None:
        streams = [await asyncio.open_connection(*where) for _ in range(3)]
        for reader, writer in streams:
            writer.write(FRAMED)
            await read_reply(reader)
        reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(2)
        assert server.counts["too many connections"] == 1
        streams[0][1].close()
        assert await streams[0][0].read() == b""  # the server has seen it and closed its end
        await asyncio.sleep(0)
        streams[0] = reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED)
        await read_reply(reader)
        for _, open_writer in streams:
            open_writer.close()

    run(test)


def test_a_slow_connection_and_one_that_talks_too_long_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 0.2)
    monkeypatch.setattr(server_module, "MAX_QUESTIONS", 4)

    async def test(server: NamesServer, where: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED[:10])
        assert await reader.read() == b""  # the other end closed it
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"\xff\xff" + bytes(100))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert server.counts["too long"] == 1
        reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED * 4)
        for _ in range(4):
            await read_reply(reader)
        assert await reader.read() == b""

    run(test)


def test_closing_ends_open_connections() -> None:
    async def test(server: NamesServer, where: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*where)
        writer.write(FRAMED)
        await read_reply(reader)
        await server.close()
        assert await reader.read() == b""
        with pytest.raises(OSError, match=r"."):
            await asyncio.open_connection(*where)

    run(test)


def test_only_this_machine_is_answered() -> None:
    server = NamesServer(ME, FakeBook())
    assert server.answer_datagram(QUERY, ("127.4.5.6", 1)) is not None
    assert server.answer_datagram(QUERY, ("::1", 1, 0, 0)) is not None
    assert server.answer_datagram(QUERY, ("192.0.2.1", 1)) is None
    assert server.answer_datagram(QUERY, ("fc00::1", 1, 0, 0)) is None
    assert server.counts["from another machine"] == 2
    assert not is_loopback("")
