"""Call peers that are given by host name: resolve, try each address, resolve again while it is down.

Place     daemon.py, services.py -> here -> mesh (want_peer, change_endpoint)
Spec      docs/protocol/04 §2.1 (names are ours); docs/decisions/0005-names-in-connectTo.md
Keeps     one task per name; a resolver that fails or hangs delays only its own peer, and nobody waits
          for it when the node ends
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from typing import Protocol

from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.values import dataclass, field
from dexmesh.wire.keys import PublicKey

CHECK_S = 5.0
RESOLVE_TIMEOUT_S = 20.0
LONGEST_DELAY_S = 60.0
MAX_LOOKUPS = 64  # at once; a thread each

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerByName:
    """A peer to call whose host is a name."""

    interface: InterfaceNumber
    is_ipv6: bool
    host: str
    port: int
    key: PublicKey
    password: bytes = field(repr=False)
    login: str | None
    peer_name: str | None


class Caller(Protocol):
    """What the names need of the node (host/services.py)."""

    def want_peer(self, peer: PeerByName, endpoint: Endpoint) -> None:
        """Call the peer at this endpoint from now on."""
        ...

    def change_endpoint(self, interface: InterfaceNumber, old: Endpoint, new: Endpoint) -> None:
        """Call a peer elsewhere from now on."""
        ...

    def is_up(self, interface: InterfaceNumber, endpoint: Endpoint) -> bool:
        """Whether the link to this endpoint carries packets."""
        ...


def is_literal(host: str) -> bool:
    """Whether a host is an address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def endpoint_of(host: str, port: int) -> Endpoint:
    """`192.0.2.1:5000` or `[2001:db8::1]:5000`."""
    address = ipaddress.ip_address(host)
    return Endpoint(f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}")


async def resolve(host: str, port: int, is_ipv6: bool) -> list[Endpoint]:
    """Every endpoint the name stands for, in the order of the resolver. OSError if there is none."""
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    async with asyncio.timeout(RESOLVE_TIMEOUT_S):
        hosts = await _look_up(host, family)
    return list(dict.fromkeys(endpoint_of(found, port) for found in hosts))


async def _look_up(host: str, family: socket.AddressFamily) -> list[str]:
    """Ask the resolver of this machine in a thread that nobody waits for.

    The loop's own threads will not do: they are few, and the program cannot end before the last of
    them has its answer.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str] | OSError] = loop.create_future()

    def settle(result: list[str] | OSError) -> None:
        if not answer.done():
            answer.set_result(result)

    def work() -> None:
        try:
            result = _ask_resolver(host, family)
        finally:
            _lookups.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the node has ended
            loop.call_soon_threadsafe(settle, result)

    if not _lookups.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    try:
        threading.Thread(target=work, name="resolver", daemon=True).start()
    except RuntimeError as error:
        _lookups.release()
        raise OSError(str(error)) from error
    result = await answer
    if isinstance(result, OSError):
        raise result
    return result


def _ask_resolver(host: str, family: socket.AddressFamily) -> list[str] | OSError:
    try:
        found = socket.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    except OSError as error:
        return error
    except UnicodeError as error:  # a label that is no host name
        return OSError(str(error))
    return [str(entry[4][0]) for entry in found]


class NamedPeers:
    """The peers with names. Its tasks belong to the TaskGroup of the daemon."""

    def __init__(self, caller: Caller, tasks: asyncio.TaskGroup) -> None:
        self._caller = caller
        self._tasks = tasks
        self._wake = asyncio.Event()  # replaced by a new one each time it is set
        self._followed: dict[
            tuple[InterfaceNumber, str, int], tuple[PeerByName, asyncio.Task[None]]
        ] = {}

    def follow(self, peer: PeerByName) -> None:
        """Call this peer, wherever its name leads, until the daemon stops."""
        place = (peer.interface, peer.host, peer.port)
        if place in self._followed:
            self._followed[place][1].cancel()
        self._followed[place] = peer, self._tasks.create_task(self._follow(peer))

    def forget(self, key: PublicKey) -> int:
        """Follow no name of this node any more; how many there were."""
        doomed = [place for place, (peer, _) in self._followed.items() if peer.key == key]
        for place in doomed:
            self._followed.pop(place)[1].cancel()
        return len(doomed)

    def handle_network_changed(self) -> None:
        """Names may lead elsewhere now: look at those that are down."""
        self._wake.set()
        self._wake = asyncio.Event()

    def stop(self) -> None:
        """End every task."""
        for _, task in self._followed.values():
            task.cancel()

    async def _follow(self, peer: PeerByName) -> None:
        current: Endpoint | None = None
        delay = 1.0
        is_known = True
        while True:
            if current is None or not self._caller.is_up(peer.interface, current):
                found = await self._resolve(peer, was_known=is_known)
                is_known = bool(found)
                current = self._go(peer, current, found)
            delay = CHECK_S if current is not None else min(delay * 2, LONGEST_DELAY_S)
            await self._sleep(delay)

    async def _resolve(self, peer: PeerByName, *, was_known: bool) -> list[Endpoint]:
        """Every endpoint of the name, empty if there is none: said aloud once, not every time."""
        try:
            return await resolve(peer.host, peer.port, peer.is_ipv6)
        except OSError as error:
            reason = str(error) or "the resolver did not answer"
            level = logging.WARNING if was_known else logging.DEBUG
            fields = {"host": peer.host, "reason": reason}
            log.log(level, "a peer's name does not resolve", extra=fields)
            return []

    def _go(
        self, peer: PeerByName, current: Endpoint | None, found: list[Endpoint]
    ) -> Endpoint | None:
        """Call the next address of the name; the present one stays if there is no other."""
        if not found:
            return current
        if current is None:
            self._caller.want_peer(peer, found[0])
            return found[0]
        following = found[(found.index(current) + 1) % len(found)] if current in found else found[0]
        if following != current:
            self._caller.change_endpoint(peer.interface, current, following)
        return following

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
