"""Carry SIP over UDP and TCP on the mesh address.

Place     kernel sockets -> here -> `handle` (phone/core.py); its `Send`s come back through `send`
Spec      RFC 3261 §18; docs/apps/sip.md §3 (mesh addresses only, 64 kB reads, TCP falls back to UDP)
Keeps     nothing from outside fc00::/8 comes in; connections, waiting messages and unsent bytes are
          bounded, the rest is dropped and counted; strangers leave half of everything to contacts; a
          peer that cannot be reached is told to `failed`
Not here  what a message means (sip/), when TCP is used (sip/transaction.py), what the kernel says of
          datagrams that did not arrive (unreachable.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from dexmesh.apps.call import unreachable
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.stream import StreamDecoder
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address, format_address, is_mesh_address, parse_address

CONNECT_S = 5.0  # ours
IDLE_S = 300.0  # ours: a connection on which nothing comes
MAX_CONNECTIONS = 128  # ours
MAX_CONNECTIONS_OF_ONE = 8  # ours: of one address
MAX_CONNECTIONS_OF_STRANGERS = 64  # ours: of all of them together; addresses are cheap
MAX_CALLS_OF_ONE = 4  # ours: connections that are being made to one address
MAX_WAITING = 16  # ours: messages for a connection that is being made
MAX_UNSENT_BYTES = 256 * 1024  # ours: over one connection

Handle = Callable[[bytes, Peer, float], None]
Failed = Callable[[Peer, float], None]

log = logging.getLogger(__name__)


class SipTransport:
    """One per phone. `handle` gets every message, `failed` every peer that cannot be reached.

    `is_known`: whether somebody at that address is no stranger.
    """

    def __init__(
        self,
        own: Address,
        handle: Handle,
        failed: Failed,
        *,
        is_ours: Callable[[Address], bool] = is_mesh_address,
        is_known: Callable[[Address], bool] = lambda _address: True,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._own, self._handle, self._failed = own, handle, failed
        self._is_ours, self._is_known = is_ours, is_known
        self._udp: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[int, _Connection] = {}
        self._calls: dict[tuple[Address, int], list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = 0

    async def start(self, udp: socket.socket, tcp: socket.socket | None) -> None:
        """Begin to serve these bound sockets; without TCP long messages travel by UDP."""
        loop = asyncio.get_running_loop()
        self._socket = udp
        unreachable.want(udp)
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        if tcp is not None:
            self._server = await loop.create_server(self._accept, sock=tcp)

    async def close(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        if self._udp is not None:
            self._udp.close()
            self._socket = None
        for connection in tuple(self._connections.values()):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, peer: Peer, data: bytes) -> None:
        """Send it, or drop it and count why. Never waits, never raises."""
        if not peer.is_tcp:
            self._send_datagram(peer, data)
            return
        connection = self._connection_to(peer)
        if connection is not None:
            connection.send(data)
        else:
            self._call(peer, data)

    def is_own(self, peer: Peer) -> bool:
        """Whether what came from our own address came from here, and not from another program.

        Anybody on this machine may send from that address, but not from a port that we hold.
        """
        if not peer.is_tcp:
            return self._socket is not None and peer.port == self._socket.getsockname()[1]
        return any(one.local_port == peer.port for one in self._connections.values())

    # --- UDP ----------------------------------------------------------------------------------------

    def handle_datagram(self, data: bytes, source: tuple[Any, ...]) -> None:
        """A datagram came in."""
        peer = self._peer(source)
        if peer is not None:
            self._handle(data, peer, time.monotonic())

    def _send_datagram(self, peer: Peer, data: bytes) -> None:
        if self._socket is None:
            return
        where = format_address(peer.address), peer.port
        try:
            try:
                self._socket.sendto(data, where)
            except BlockingIOError:
                raise
            except OSError:  # perhaps what became of another one
                self.hear_refusals()
                self._socket.sendto(data, where)
        except BlockingIOError:  # as if it had been lost on its way: it comes again
            self.counts["not sent: too much is waiting"] += 1
        except OSError:
            self.counts["not sent: the network said no"] += 1

    def hear_refusals(self) -> None:
        """Tell which peers cannot be reached, as their own machines or ours say."""
        if self._socket is None:
            return
        for address, port in unreachable.take(self._socket, self._own):
            self.counts["not sent: nobody is there"] += 1
            self.lost_soon(Peer(address, port))

    def _peer(self, source: tuple[Any, ...]) -> Peer | None:
        try:
            address = parse_address(str(source[0]))
        except DecodeError:  # a link-local one with its zone
            self.counts["refused: not from the mesh"] += 1
            return None
        if not self._is_ours(address):
            self.counts["refused: not from the mesh"] += 1
            return None
        return Peer(address, int(source[1]))

    # --- TCP ----------------------------------------------------------------------------------------

    def _accept(self) -> asyncio.Protocol:
        return _Connection(self)

    def admit(self, connection: _Connection, source: tuple[Any, ...]) -> Peer | None:
        """A connection is open, from either side; None if it has to be closed."""
        peer = self._peer(source)
        if peer is None:
            return None
        others = [one.peer.address for one in self._connections.values()]
        if not self._has_room(others, peer.address, MAX_CONNECTIONS_OF_ONE):
            self.counts["refused: too many connections"] += 1
            return None
        self._last += 1
        self._connections[self._last] = connection
        return Peer(peer.address, peer.port, is_tcp=True, connection=self._last)

    def _has_room(self, others: Sequence[Address], address: Address, most_of_one: int) -> bool:
        """Whether one more may be beside the others; those who know us always find room for some."""
        if len(others) >= MAX_CONNECTIONS or others.count(address) >= most_of_one:
            return False
        if self._is_known(address) or len(others) < MAX_CONNECTIONS_OF_STRANGERS:
            return True
        strangers = sum(not self._is_known(one) for one in others)
        return strangers < MAX_CONNECTIONS_OF_STRANGERS

    def handle_message(self, data: bytes, peer: Peer) -> None:
        """A message came over a connection."""
        self._handle(data, peer, time.monotonic())

    def gone(self, peer: Peer) -> None:
        """A connection is closed."""
        if peer.connection is not None:
            self._connections.pop(peer.connection, None)

    def lost(self, peer: Peer) -> None:
        """What was to be sent to this peer was not."""
        self._failed(peer, time.monotonic())

    def lost_soon(self, peer: Peer) -> None:
        """The same, but not inside of `send`: whoever calls that is not to be called."""
        asyncio.get_running_loop().call_soon(self.lost, peer)

    def _connection_to(self, peer: Peer) -> _Connection | None:
        if peer.connection is not None and peer.connection in self._connections:
            return self._connections[peer.connection]
        where = (peer.address, peer.port)
        for connection in self._connections.values():
            if (connection.peer.address, connection.peer.port) == where:
                return connection
        return None

    def _call(self, peer: Peer, data: bytes) -> None:
        waiting = self._calls.get((peer.address, peer.port))
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append(data)
            else:
                self.counts["not sent: too much is waiting"] += 1
            return
        others = [address for address, _port in self._calls]
        if not self._has_room(others, peer.address, MAX_CALLS_OF_ONE):
            self.counts["not sent: too much is waiting"] += 1
            self.lost_soon(peer)
            return
        self._calls[(peer.address, peer.port)] = [data]
        task = asyncio.ensure_future(self._connect(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, peer: Peer) -> None:
        """Open a connection from our own address and send what waits for it."""
        where = (peer.address, peer.port)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, protocol = await loop.create_connection(
                    self._accept,
                    format_address(peer.address),
                    peer.port,
                    family=socket.AF_INET6,
                    flags=socket.AI_NUMERICHOST,
                    local_addr=(format_address(self._own), 0),
                )
        except (OSError, TimeoutError):
            self.counts["not sent: no connection"] += 1
            self._calls.pop(where, None)
            self.lost(peer)
            return
        for data in self._calls.pop(where, []):
            cast(_Connection, protocol).send(data)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: SipTransport) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._owner.handle_datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._owner.hear_refusals()


class _Connection(asyncio.Protocol):
    """One TCP connection, opened by either side."""

    def __init__(self, owner: SipTransport) -> None:
        self.peer = Peer(Address(bytes(16)), 0, is_tcp=True)
        self.local_port = 0
        self._owner = owner
        self._decoder = StreamDecoder()
        self._transport: asyncio.Transport | None = None
        self._is_admitted = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = self._owner.admit(self, transport.get_extra_info("peername") or ("", 0))
        if peer is None:
            self._transport.abort()
            return
        self.peer, self._is_admitted = peer, True
        self.local_port = int(transport.get_extra_info("sockname")[1])
        self._wait()

    def data_received(self, data: bytes) -> None:
        if not self._is_admitted:
            return
        self._wait()
        try:
            messages = self._decoder.feed(data)
        except DecodeError:
            self._owner.counts["refused: no SIP message"] += 1
            self.abort()
            return
        for message in messages:
            self._owner.handle_message(message, self.peer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_admitted:
            self._owner.gone(self.peer)
            if exc is not None:
                self._owner.lost(self.peer)

    def send(self, data: bytes) -> None:
        """Send it; a peer that does not read loses the connection."""
        transport = self._transport
        if not self._is_admitted or transport is None or transport.is_closing():
            self._owner.lost_soon(self.peer)
            return
        if transport.get_write_buffer_size() + len(data) > MAX_UNSENT_BYTES:
            self._owner.counts["not sent: too much is waiting"] += 1
            self.abort()
            self._owner.lost_soon(self.peer)
            return
        transport.write(data)

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.abort()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.abort)
