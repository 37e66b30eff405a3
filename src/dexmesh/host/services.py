"""Answer what the admin RPC asks of the node, from the node, the data plane and the host's tables.

Place     admin/functions/* -> here -> mesh/node.py, engine/door.py, underlay.py, tun.py
Spec      admin/services.py (the protocol class NodeServices); docs/protocol/08 §6
Keeps     whatever was told to the node is carried out before the call returns
Not here  the texts and shapes on the wire (admin/)
"""

from __future__ import annotations

import logging
import os
import pwd
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from dexmesh.admin.services import (
    AccountView,
    ActiveSearch,
    InterfaceView,
    LinkView,
    NodeAnswer,
    NodeView,
    PeerView,
    ProcessView,
    Query,
    QueryTarget,
    RouteView,
    SearchStep,
    SessionView,
    SwitchPingResult,
)
from dexmesh.config.endpoints import BadEndpointError, parse_bind, parse_peer
from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import AddInterface, Endpoint, InterfaceNumber, RemoveInterface
from dexmesh.errors import AdminError, BindError, NoRouteError
from dexmesh.host.answers import Answers
from dexmesh.host.beacons import LanBeacons, open_beacon_socket
from dexmesh.host.names import NamedPeers, PeerByName, endpoint_of, is_literal
from dexmesh.host.pump import Pump
from dexmesh.host.underlay import UnderlaySocket, open_udp
from dexmesh.host.views import (
    broadcast_devices,
    interface_view,
    node_address,
    peer_view,
    route_view,
    session_view,
)
from dexmesh.mesh.credentials import CredentialRefusedError
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import PingFinished, QueryFinished
from dexmesh.mesh.queries import Target
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of, is_node_key
from dexmesh.wire.label import SELF_LABEL, Label, splice
from dexmesh.wire.node_address import NodeAddress
from dexmesh.wire.scheme import EncodingScheme

SEARCH_S = 30.0

log = logging.getLogger(__name__)


class Runner(Protocol):
    """What the host needs of dexmesh.engine._native.Runner for sockets."""

    def attach_udp(self, interface: int, fd: int) -> None: ...
    def detach_udp(self, interface: int) -> bool: ...


class TunKeeper(Protocol):
    """Starts and stops the TUN device (host/daemon.py)."""

    async def start(self, name: str | None) -> None: ...
    def stop(self) -> bool: ...


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
        self.beacons: LanBeacons
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
        """End the daemon, after the reply has left."""
        self._exit()

    def process(self) -> ProcessView:
        """The process of the node."""
        return ProcessView(os.getpid(), os.geteuid(), may_open_files=True)

    def account(self, name: str | None) -> AccountView | None:
        """A user of the machine; None: the one we run as."""
        try:
            entry = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
        except (KeyError, ValueError):  # ValueError: a name with NUL in it
            return None
        return AccountView(entry.pw_name, entry.pw_uid, entry.pw_gid)

    def allocated_bytes(self) -> int:
        """Memory this process has resident."""
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def drop_counts(self) -> dict[str, int]:
        """How many packets went no further, by reason; reasons with 0 are left out."""
        counts = self._door.drop_counts().items()
        named = {reason.name.lower(): count for reason, count in counts}
        return {name: n for name, n in {**named, **self._node.beacons.drop_counts()}.items() if n}

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
        return [self._view(number) for number in sorted(self._sockets)]

    def broadcast_devices(self) -> Sequence[str]:
        """Network devices of this machine that are up and can broadcast."""
        return broadcast_devices()

    async def add_udp_interface(
        self, bind: str, dscp: int, beacon_port: int | None
    ) -> InterfaceView:
        """Open one more UDP socket, and one for beacons beside it if there is a port for them."""
        try:
            place = parse_bind(bind)
        except BadEndpointError as error:
            raise AdminError("Failed to parse address", error.hint) from error
        try:
            opened = open_udp(place.host, place.port, dscp)
        except BindError as error:
            raise AdminError(str(error), error.hint) from error
        try:
            beacons = open_beacon_socket(opened, beacon_port, dscp) if beacon_port else None
        except BindError as error:
            opened.socket.close()
            raise AdminError(str(error), error.hint) from error
        view = self.attach(opened)
        if beacons is not None:
            self.beacons.attach(view.interface, beacons)
        return view

    def attach(self, opened: UnderlaySocket) -> InterfaceView:
        """Use a bound socket for links from now on."""
        number = InterfaceNumber(self._next_interface)
        self._next_interface += 1
        self._door.apply(AddInterface(number, opened.is_ipv6), time.monotonic())
        self._runner.attach_udp(number, opened.socket.fileno())
        self._sockets[number] = opened
        return self._view(number)

    def _view(self, number: InterfaceNumber) -> InterfaceView:
        return interface_view(number, self._sockets[number], self.beacons.state(number))

    def reopen(self, number: InterfaceNumber) -> None:
        """A socket broke: bind the same address again, so that its peers find it as before."""
        broken = self._sockets.get(number)
        if broken is None:
            return
        broken.socket.close()
        try:
            opened = open_udp(broken.host, broken.port, broken.dscp)
        except BindError as error:
            log.error("an interface is lost", extra={"bind": broken.bind, "reason": str(error)})
            return
        self._runner.attach_udp(number, opened.socket.fileno())
        self._sockets[number] = opened

    def detach_all(self) -> None:
        """Close every socket."""
        self.beacons.detach_all()
        for number, opened in self._sockets.items():
            self._door.apply(RemoveInterface(number), time.monotonic())
            self._runner.detach_udp(number)
            opened.socket.close()
        self._sockets.clear()

    def peers(self) -> Sequence[PeerView]:
        """Every link."""
        return [peer_view(peer) for peer in self._node.peering.peers.all()]

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

    def stop_tun(self) -> bool:
        """Take the TUN device away; whether there was one."""
        return self.tun.stop()

    # --- Sessions ---------------------------------------------------------------------------------

    def sessions(self) -> Sequence[SessionView]:
        """Every session, oldest first, read from the data plane now."""
        now = time.monotonic()
        known = self._node.sessions
        return [
            session_view(
                stats, known.metric(stats.address, now), known.is_maintained(stats.address, now)
            )
            for stats in self._door.read_stats().sessions
        ]

    def reset_session(self, address: Address) -> bool:
        """Begin a session anew."""
        found = self._node.sessions.reset(address)
        self.pump.run()
        return found

    # --- Routing table ----------------------------------------------------------------------------

    def routes(self) -> Sequence[RouteView]:
        """Every node with a way to it, ourselves first."""
        return [route_view(route, self.address) for route in self._node.pathfinder.routes()]

    def links(self, parent: Address) -> Sequence[LinkView]:
        """The links a node has told of."""
        known = {route.address: node_address(route) for route in self._node.pathfinder.routes()}
        return [
            LinkView(
                parent=known[link.parent],
                child=known[link.child],
                label=link.label,
                cost=link.cost,
                is_one_hop=True,
                is_best_parent=link.is_best_parent,
                inverse_form=link.inverse_form,
            )
            for link in self._node.pathfinder.links_of(parent)
            if link.parent in known and link.child in known
        ]

    def node(self, address: Address) -> NodeView | None:
        """What the table knows of a node."""
        info = self._node.pathfinder.node_info(address)
        if info is None:
            return None
        best = info.best_parent
        return NodeView(
            route=route_view(info.route, self.address),
            scheme=info.scheme,
            link_count=info.link_count,
            best_parent=self.address if best is None else best.parent,
            label_from_parent=SELF_LABEL if best is None else best.label,
            is_one_hop=best is not None,
        )

    def next_hop(self, address: Address) -> NodeAddress | None:
        """The node itself if it is known, else the known node nearest to it."""
        if address == self.address:
            return NodeAddress(self.key, SELF_LABEL, self.version)
        nearest = self._node.pathfinder.nearest(address)
        return None if nearest is None else node_address(nearest)

    def join_labels(self, to_parent: Label, to_child: Label) -> Label:
        """The route along `to_parent` and on by the link `to_child` of the node there."""
        parent = next((route for route in self.routes() if route.node.label == to_parent), None)
        if parent is None:
            raise AdminError("NodeStore_getRouteLabel_PARENT_NOT_FOUND")
        if all(link.label != to_child for link in self.links(parent.address)):
            raise AdminError("NodeStore_getRouteLabel_CHILD_NOT_FOUND")
        joined = splice(to_child, to_parent)
        if joined is None:
            raise AdminError("NodeStore_getRouteLabel_CHILD_NOT_FOUND")
        return joined

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
        self, target: QueryTarget, query: Query, argument: bytes, timeout_s: float
    ) -> NodeAnswer:
        """Ask a node one inter-router question. Raises AdminError `not_found`."""
        try:
            request = self._node.start_query(
                self._target(target), query.encode(), argument or None, timeout_s, time.monotonic()
            )
        except NoRouteError as error:
            raise AdminError("not_found") from error
        future = self._answers.expect(request)
        self.pump.run()
        done = await self._answers.wait(request, future, QueryFinished, timeout_s)
        return NodeAnswer(
            milliseconds=round(done.seconds * 1000),
            sender=None if done.sender is None else node_address(done.sender),
            nodes=tuple(node_address(node) for node in done.nodes or ()),
            scheme=done.scheme,
        )

    def _target(self, target: QueryTarget) -> Target | Address:
        if isinstance(target, NodeAddress):
            address = address_of(target.key)
            return Target(address, target.key, target.version or self.version, target.label)
        if isinstance(target, int):
            for route in self._node.pathfinder.routes():
                if route.label == target:
                    return Target(route.address, route.key, route.version, route.label)
            raise NoRouteError("no node is known at that label")
        return target

    async def search(
        self, address: Address, most_requests: int
    ) -> AsyncGenerator[SearchStep, None]:
        """Look for a node; every answer on the way."""
        request = self._node.start_search(address, most_requests, time.monotonic())
        queue = self._answers.expect_search(request)
        self.pump.run()
        async for step in self._answers.search(request, queue, SEARCH_S):
            yield SearchStep(
                sender=node_address(step.sender),
                milliseconds=round(step.seconds * 1000),
                nodes=tuple(node_address(node) for node in step.nodes),
            )

    def active_searches(self) -> Sequence[ActiveSearch]:
        """The searches that are running."""
        return [
            ActiveSearch(search.address, None, search.requests)
            for search in self._node.pathfinder.searches()
        ]
