"""Answer what the admin RPC asks of the node, from the node, the data plane and the host's tables.

Place     admin/functions/* -> here -> mesh/node.py, engine/door.py, underlay.py, tun.py
Spec      admin/services.py (the protocol class NodeServices); docs/protocol/08 §6
Keeps     whatever was told to the node is carried out before the call returns
Not here  the texts and shapes on the wire (admin/)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from dexmesh.admin.services import (
    InterfaceView,
    LinkView,
    NodeAnswer,
    PeerView,
    RouteView,
    SearchStep,
    SwitchPingResult,
)
from dexmesh.config.endpoints import BadEndpointError, parse_bind, parse_peer
from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import (
    AddInterface,
    Endpoint,
    InterfaceNumber,
    RemoveInterface,
    SessionStats,
)
from dexmesh.errors import AdminError, BindError, NoRouteError
from dexmesh.host.answers import Answers
from dexmesh.host.names import NamedPeers, PeerByName, endpoint_of, is_literal
from dexmesh.host.pump import Pump
from dexmesh.host.underlay import UnderlaySocket, open_udp
from dexmesh.mesh.credentials import CredentialRefusedError
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import PingFinished, QueryFinished
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.queries import Target
from dexmesh.mesh.routes import Route
from dexmesh.wire.address import Address, bucket
from dexmesh.wire.keys import PublicKey, is_node_key
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import EncodingScheme

SEARCH_S = 30.0
_PAGE_BYTES = 4096


class Runner(Protocol):
    """What the host needs of dexmesh.engine._native.Runner for sockets."""

    def attach_udp(self, interface: int, fd: int) -> None: ...
    def detach_udp(self, interface: int) -> None: ...


class TunKeeper(Protocol):
    """Starts and stops the TUN device (host/daemon.py)."""

    async def start(self, name: str | None) -> None: ...
    def stop(self) -> None: ...


class HostServices:
    """One per daemon; implements admin.services.NodeServices and names.Caller."""

    def __init__(
        self,
        node: Node,
        door: EngineDoor,
        runner: Runner,
        answers: Answers,
        exit_: Callable[[], None],
    ) -> None:
        self._node = node
        self._door = door
        self._runner = runner
        self._answers = answers
        self._exit = exit_
        self._sockets: dict[InterfaceNumber, UnderlaySocket] = {}
        self._next_interface = 0
        self.pump: Pump
        self.tun: TunKeeper
        self.names: NamedPeers

    # --- Identity and process -------------------------------------------------------------------

    @property
    def key(self) -> PublicKey:
        """Public key of this node."""
        return self._node.identity.key

    @property
    def address(self) -> Address:
        """IPv6 of this node."""
        return self._node.identity.address

    @property
    def scheme(self) -> EncodingScheme:
        """How this node writes directors."""
        return self._node.identity.scheme

    @property
    def version(self) -> int:
        """Protocol version of this node."""
        return self._node.identity.version

    def exit(self) -> None:
        """End the daemon."""
        self._exit()

    # --- Credentials ----------------------------------------------------------------------------

    def add_password(self, password: bytes, user: str | None, address: Address | None) -> None:
        """Let whoever presents this in."""
        try:
            self._node.credentials.add(password, user, address)
        except CredentialRefusedError as error:
            texts = {"duplicate": "Password already added."}
            raise AdminError(texts.get(error.reason, "Unknown error.")) from error
        self.pump.run()

    def remove_user(self, user: str) -> bool:
        """Let nobody in any more under this name."""
        removed = self._node.credentials.remove(user)
        self.pump.run()
        return removed

    def users(self) -> Sequence[str]:
        """Every name that may be used to get in."""
        return self._node.credentials.logins()

    # --- Interfaces and peers -------------------------------------------------------------------

    def interfaces(self) -> Sequence[InterfaceView]:
        """Every UDP socket for links."""
        return [_interface_view(number, one) for number, one in sorted(self._sockets.items())]

    async def add_udp_interface(self, bind: str, dscp: int, beacon_port: int) -> InterfaceView:
        """Open one more UDP socket. `beacon_port` is taken note of; LAN beacons come later."""
        try:
            place = parse_bind(bind)
        except BadEndpointError as error:
            raise AdminError("Failed to parse address", error.hint) from error
        try:
            opened = open_udp(place.host, place.port or 0, dscp)
        except BindError as error:
            raise AdminError(str(error), error.hint) from error
        return self.attach(opened)

    def attach(self, opened: UnderlaySocket) -> InterfaceView:
        """Use a bound socket for links from now on."""
        number = InterfaceNumber(self._next_interface)
        self._next_interface += 1
        self._door.apply(AddInterface(number, opened.is_ipv6), time.monotonic())
        self._runner.attach_udp(number, opened.socket.fileno())
        self._sockets[number] = opened
        return _interface_view(number, opened)

    def detach_all(self) -> None:
        """Close every socket."""
        for number, opened in self._sockets.items():
            self._door.apply(RemoveInterface(number), time.monotonic())
            self._runner.detach_udp(number)
            opened.socket.close()
        self._sockets.clear()

    def peers(self) -> Sequence[PeerView]:
        """Every link."""
        return [_peer_view(peer) for peer in self._node.peering.peers.all()]

    async def add_peer(
        self,
        interface: InterfaceNumber,
        endpoint: str,
        key: PublicKey,
        password: bytes | None,
        login: str | None,
        peer_name: str | None,
    ) -> None:
        """Call a peer from now on."""
        opened = self._sockets.get(interface)
        if opened is None:
            raise AdminError("no such interface for interfaceNumber")
        if not is_node_key(key) or key == self.key:
            raise AdminError("invalid cjdns public key.")
        try:
            place = parse_peer(endpoint)
        except BadEndpointError as error:
            raise AdminError("unable to parse ip address and port.", error.hint) from error
        if place.port is None:
            raise AdminError("unable to parse ip address and port.")
        peer = PeerByName(
            interface=interface,
            is_ipv6=opened.is_ipv6,
            host=place.host,
            port=place.port,
            key=key,
            password=password or b"",
            login=login,
            peer_name=peer_name,
        )
        self.call(peer)

    def call(self, peer: PeerByName) -> None:
        """Call a peer from now on, at its address or wherever its name leads."""
        if not is_literal(peer.host):
            self.names.follow(peer)
            return
        if (":" in peer.host) != peer.is_ipv6:
            raise AdminError("different address type than this socket is bound to.")
        self.want_peer(peer, endpoint_of(peer.host, peer.port))

    def want_peer(self, peer: PeerByName, endpoint: Endpoint) -> None:
        """Call a peer at this endpoint from now on."""
        self._node.want_peer(
            peer.interface, endpoint, peer.key, peer.password, peer.login, peer.peer_name
        )
        self.pump.run()

    def change_endpoint(self, interface: InterfaceNumber, old: Endpoint, new: Endpoint) -> None:
        """Call a peer elsewhere from now on."""
        self._node.peering.change_endpoint(interface, old, new)
        self.pump.run()

    def is_up(self, interface: InterfaceNumber, endpoint: Endpoint) -> bool:
        """Whether the link to this endpoint carries packets."""
        peers = self._node.peering.peers.on_interface(interface)
        return any(peer.endpoint == endpoint and peer.is_routable for peer in peers)

    def disconnect_peer(self, key: PublicKey) -> int:
        """End every link to a node and stop calling it; how many there were."""
        count = self._node.peering.disconnect(key)
        named = self.names.forget(key)
        self.pump.run()
        return max(count, named)

    def reset_peering(self, key: PublicKey | None) -> int:
        """Begin the link sessions with a node (None: with all) anew; how many."""
        count = self._node.peering.reset(key, time.monotonic())
        self.pump.run()
        return count

    # --- TUN --------------------------------------------------------------------------------------

    async def start_tun(self, name: str | None) -> None:
        """Make the TUN device, in place of the present one."""
        await self.tun.start(name)

    def stop_tun(self) -> None:
        """Take the TUN device away."""
        self.tun.stop()

    # --- Sessions ---------------------------------------------------------------------------------

    def sessions(self) -> Sequence[SessionStats]:
        """Every session, as last read from the data plane."""
        known = self._node.sessions.all()
        return [session.stats for session in known if session.stats is not None]

    def session_metric(self, address: Address) -> int:
        """Metric of the route in use."""
        return self._node.sessions.metric(address, time.monotonic())

    def is_session_maintained(self, address: Address) -> bool:
        """Whether user traffic keeps the session."""
        return self._node.sessions.is_maintained(address, time.monotonic())

    def reset_session(self, address: Address) -> bool:
        """Begin a session anew."""
        found = self._node.sessions.reset(address)
        self.pump.run()
        return found

    # --- Routing table ----------------------------------------------------------------------------

    def routes(self) -> Sequence[RouteView]:
        """Every node with a way to it, ourselves first."""
        return [self._route_view(route) for route in self._node.pathfinder.routes()]

    def links(self, parent: Address) -> Sequence[LinkView]:
        """The links a node has told of."""
        return [
            LinkView(
                parent=link.parent,
                child=link.child,
                label=link.label,
                cost=link.cost,
                is_one_hop=True,
                is_best_parent=link.is_best_parent,
                inverse_form=link.inverse_form,
            )
            for link in self._node.pathfinder.links_of(parent)
        ]

    def route_to(self, address: Address) -> RouteView | None:
        """The best route known to a node."""
        if address == self.address:
            return self.routes()[0]
        route = self._node.pathfinder.route_to(address)
        return None if route is None else self._route_view(route)

    def _route_view(self, route: Route) -> RouteView:
        age = 0.0 if route.heard_at is None else time.monotonic() - route.heard_at
        return RouteView(
            key=route.key,
            address=route.address,
            label=route.label,
            version=route.version,
            metric=route.metric,
            last_seen_ms_ago=int(age * 1000),
            bucket=bucket(self.address, route.address),
            is_peer=route.is_peer,
        )

    # --- Questions to the network -------------------------------------------------------------------

    async def switch_ping(
        self, label: Label, timeout_s: float, data: bytes, is_key_ping: bool
    ) -> SwitchPingResult:
        """Ask the switch at the end of a label."""
        request = self._node.start_switch_ping(
            label, data, timeout_s, time.monotonic(), is_key_ping
        )
        future = self._answers.expect(request)
        self.pump.run()
        done = await self._answers.wait(request, future, PingFinished, timeout_s)
        if done.result == "no_slot":
            raise AdminError("no open slots to store ping, try later.")
        return SwitchPingResult(
            result=done.result,
            milliseconds=round(done.seconds * 1000),
            label=done.label,
            version=done.version,
            data=done.data,
            key=done.key,
            response_label=done.response_label,
        )

    async def query_node(
        self, target: Address | Label | RouteView, query: str, argument: bytes, timeout_s: float
    ) -> NodeAnswer:
        """Ask a node one inter-router question. Raises AdminError `not_found`."""
        start = time.monotonic()
        try:
            request = self._node.start_query(
                self._target(target), query.encode(), argument or None, timeout_s, start
            )
        except NoRouteError as error:
            raise AdminError("not_found") from error
        future = self._answers.expect(request)
        self.pump.run()
        done = await self._answers.wait(request, future, QueryFinished, timeout_s)
        return NodeAnswer(
            milliseconds=round(done.seconds * 1000),
            nodes=None if done.nodes is None else tuple(map(self._route_view, done.nodes)),
            sender=None if done.sender is None else self._route_view(done.sender),
            scheme=done.scheme,
        )

    def _target(self, target: Address | Label | RouteView) -> Target | Address:
        if isinstance(target, RouteView):
            return Target(target.address, target.key, target.version, target.label)
        if isinstance(target, int):
            for route in self._node.pathfinder.routes():
                if route.label == target:
                    return Target(route.address, route.key, route.version, route.label)
            raise NoRouteError("no node is known at that label")
        return target

    async def search(self, address: Address, most_requests: int) -> AsyncIterator[SearchStep]:
        """Look for a node; every answer on the way."""
        request = self._node.start_search(address, most_requests, time.monotonic())
        queue = self._answers.expect_search(request)
        self.pump.run()
        async for step in self._answers.search(request, queue, SEARCH_S):
            yield SearchStep(
                sender=self._route_view(step.sender),
                milliseconds=round(step.seconds * 1000),
                nodes=tuple(map(self._route_view, step.nodes)),
            )

    # --- Measurements -------------------------------------------------------------------------------

    def drop_counts(self) -> dict[str, int]:
        """How many packets went no further, by reason; reasons that never happened are left out."""
        return {reason.name: count for reason, count in self._door.drop_counts().items() if count}

    def allocated_bytes(self) -> int:
        """Memory this process has resident."""
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES


def _interface_view(number: InterfaceNumber, opened: UnderlaySocket) -> InterfaceView:
    family = "IPv6" if opened.is_ipv6 else "IPv4"
    return InterfaceView(number, f"UDP/{family}/{opened.bind}", opened.bind, 0)


def _peer_view(peer: Peer) -> PeerView:
    age = time.monotonic() - peer.heard_at
    stats = peer.stats
    return PeerView(
        key=peer.key,
        label=peer.label,
        version=peer.version,
        endpoint=peer.endpoint,
        state=peer.state.name,
        user=peer.user or None,
        interface=peer.interface,
        is_incoming=peer.is_incoming,
        bytes_in=stats.bytes_in if stats else 0,
        bytes_out=stats.bytes_out if stats else 0,
        receive_kbps=peer.receive_kbps,
        send_kbps=peer.send_kbps,
        last_in_unix_ms=int((time.time() - age) * 1000),
        duplicates=stats.duplicates if stats else 0,
        lost=stats.lost if stats else 0,
        out_of_range=stats.out_of_range if stats else 0,
        received=stats.packets_in if stats else 0,
        round_trip_ms=None if peer.round_trip_s is None else round(peer.round_trip_s * 1000),
    )


