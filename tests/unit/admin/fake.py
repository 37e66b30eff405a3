"""A node that is not there: NodeServices with everything set by the test.

Place     tests/unit/admin, tests/vectors/test_admin_vectors.py, tests/interop -> here
Keeps     answers at once; remembers what was asked of it
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.errors import AdminError, TunError
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of, decode_key
from dexmesh.wire.label import SELF_LABEL, Label, parse_label, splice
from dexmesh.wire.node_address import NodeAddress
from dexmesh.wire.scheme import V358, EncodingScheme

KEY_A = decode_key("jvbxygwu72yds0b3q5l61s6sdvvt5phyhtyym4cxwfw7f2dg1jy0.k")
KEY_B = decode_key("zst8y26hvf3ylg5gmwr7698gqcfqbqvqynw0jfs72mq7rrdjddk0.k")
LABEL_TO_PEER = parse_label("0000.0000.0000.0013")


def peer_of(key: PublicKey, **changes: object) -> PeerView:
    """An established peer; `changes` are fields of PeerView."""
    peer = PeerView(
        key=key,
        label=LABEL_TO_PEER,
        version=20,
        endpoint=Endpoint("192.0.2.1:5000"),
        state="ESTABLISHED",
        user=None,
        interface=InterfaceNumber(0),
        is_incoming=False,
        bytes_in=0,
        bytes_out=0,
        receive_kbps=0,
        send_kbps=0,
        last_in_unix_ms=0,
        duplicates=0,
        lost=0,
        out_of_range=0,
        received=0,
        round_trip_ms=None,
    )
    return replace(peer, **changes)  # type: ignore[arg-type]


def session_with(key: PublicKey, handle: int, **changes: object) -> SessionView:
    """An established session; `changes` are fields of SessionView."""
    session = SessionView(
        key=key,
        address=address_of(key),
        label=LABEL_TO_PEER,
        version=20,
        state="ESTABLISHED",
        handle=handle,
        send_handle=0,
        last_in_unix_ms=0,
        last_out_unix_ms=0,
        metric=0xFF400000,
        is_maintained=False,
        duplicates=0,
        lost=0,
        out_of_range=0,
    )
    return replace(session, **changes)  # type: ignore[arg-type]


def udp_interface(number: int, bind: str = "0.0.0.0:5000", beacon_state: int = 0) -> InterfaceView:
    """A UDP interface."""
    is_ipv6 = bind.startswith("[")
    family = "IPv6" if is_ipv6 else "IPv4"
    return InterfaceView(
        InterfaceNumber(number), f"UDP/{family}/{bind}", bind, is_ipv6, beacon_state
    )


def route_to(key: PublicKey, label: Label = LABEL_TO_PEER, **changes: object) -> RouteView:
    """A node of the table; `changes` are fields of RouteView."""
    route = RouteView(NodeAddress(key, label, 20), address_of(key), 1024, 0, 1, is_peer=True)
    return replace(route, **changes)  # type: ignore[arg-type]


def link_between(parent: NodeAddress, child: NodeAddress) -> LinkView:
    """A one-hop link."""
    return LinkView(parent, child, child.label, 1024, True, True, 0)


@dataclass(slots=True)
class FakeBeacons:
    """Implements BeaconServices; interfaces in `states` have a beacon port."""

    states: dict[int, int] = field(default_factory=dict)
    chosen: dict[int, list[str]] = field(default_factory=dict)
    destinations: list[str] = field(default_factory=list)

    def state(self, interface: InterfaceNumber) -> int:
        return self.states.get(interface, 0)

    def set_state(self, interface: InterfaceNumber, state: int) -> None:
        if state and interface not in self.states:
            raise AdminError("this interface has no beaconPort")
        self.states[interface] = state

    def devices(self, interface: InterfaceNumber) -> Sequence[str]:
        return self.chosen.get(interface, [])

    def set_devices(self, interface: InterfaceNumber, devices: Sequence[str]) -> None:
        self.chosen[interface] = list(devices)

    def addresses(self, interface: InterfaceNumber) -> Sequence[str]:
        return self.destinations if self.chosen.get(interface) else []


@dataclass(slots=True)
class FakeNode:
    """Implements NodeServices."""

    key: PublicKey = KEY_A
    scheme: EncodingScheme = V358
    version: int = 20
    pid: int = 4711
    user_id: int = 0
    may_open_files: bool = True
    has_tun: bool = True
    has_exited: bool = False
    bytes_used: int = 339448
    drops: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, AccountView] = field(default_factory=dict)
    passwords: list[tuple[bytes, str]] = field(default_factory=lambda: [(b"beacon", "Local Peers")])
    only_addresses: list[Address | None] = field(default_factory=list)
    attachments: list[InterfaceView] = field(default_factory=lambda: [udp_interface(0)])
    devices: list[str] = field(default_factory=list)
    beacons: FakeBeacons = field(default_factory=FakeBeacons)
    links_up: list[PeerView] = field(default_factory=list)
    open_sessions: list[SessionView] = field(default_factory=list)
    table: list[RouteView] = field(default_factory=list)
    link_table: list[LinkView] = field(default_factory=list)
    nodes: dict[Address, NodeView] = field(default_factory=dict)
    searches: list[ActiveSearch] = field(default_factory=list)
    search_steps: list[SearchStep] = field(default_factory=list)
    pings: Callable[[Label, float, bytes, bool], SwitchPingResult] = lambda label, *_: (
        SwitchPingResult("timeout", 500, label)
    )
    queries: Callable[[QueryTarget, Query, bytes, float], NodeAnswer] = lambda *_: NodeAnswer(
        3000, None
    )
    calls: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def address(self) -> Address:
        return address_of(self.key)

    def exit(self) -> None:
        self.has_exited = True

    def process(self) -> ProcessView:
        return ProcessView(self.pid, self.user_id, self.may_open_files)

    def account(self, name: str | None) -> AccountView | None:
        return self.accounts.get("root" if name is None else name)

    def allocated_bytes(self) -> int:
        return self.bytes_used

    def drop_counts(self) -> Mapping[str, int]:
        return self.drops

    def add_password(self, password: bytes, user: str | None, address: Address | None) -> None:
        name = f"Anon #{len(self.passwords)}" if user is None else user
        if (password, name) in self.passwords:
            raise AdminError("Password already added.")
        self.passwords.append((password, name))
        self.only_addresses.append(address)

    def remove_user(self, user: str) -> bool:
        left = [entry for entry in self.passwords if entry[1] != user]
        is_there = len(left) < len(self.passwords)
        self.passwords = left
        return is_there

    def users(self) -> Sequence[str]:
        return [user for _, user in self.passwords]

    def interfaces(self) -> Sequence[InterfaceView]:
        return self.attachments

    def peers(self) -> Sequence[PeerView]:
        return self.links_up

    def broadcast_devices(self) -> Sequence[str]:
        return self.devices

    async def add_udp_interface(
        self, bind: str, dscp: int, beacon_port: int | None
    ) -> InterfaceView:
        self.calls.append(("add_udp_interface", bind, dscp, beacon_port))
        made = udp_interface(len(self.attachments), bind)
        self.attachments.append(made)
        return made

    async def add_peer(
        self,
        interface: InterfaceNumber,
        endpoint: str,
        key: PublicKey,
        password: bytes | None,
        login: str | None,
        peer_name: str | None,
    ) -> None:
        self.calls.append(("add_peer", interface, endpoint, key, password, login, peer_name))

    def disconnect_peer(self, key: PublicKey) -> int:
        left = [peer for peer in self.links_up if peer.key != key]
        count = len(self.links_up) - len(left)
        self.links_up = left
        return count

    def reset_peering(self, key: PublicKey | None) -> int:
        self.calls.append(("reset_peering", key))
        return len(self.links_up)

    async def start_tun(self, name: str | None) -> None:
        if not self.may_open_files:
            raise TunError('TUNInterface_linux.c:64 open("/dev/net/tun") [Too many open files]')
        self.calls.append(("start_tun", name))
        self.has_tun = True

    def stop_tun(self) -> bool:
        had_tun, self.has_tun = self.has_tun, False
        return had_tun

    def sessions(self) -> Sequence[SessionView]:
        return self.open_sessions

    def reset_session(self, address: Address) -> bool:
        return any(session.address == address for session in self.open_sessions)

    def routes(self) -> Sequence[RouteView]:
        return self.table

    def links(self, parent: Address) -> Sequence[LinkView]:
        return [link for link in self.link_table if address_of(link.parent.key) == parent]

    def node(self, address: Address) -> NodeView | None:
        return self.nodes.get(address)

    def next_hop(self, address: Address) -> NodeAddress | None:
        for route in self.table:
            if route.address == address:
                return route.node
        return self.table[-1].node if self.table else None

    def join_labels(self, to_parent: Label, to_child: Label) -> Label:
        if to_parent not in (SELF_LABEL, *(route.node.label for route in self.table)):
            raise AdminError("NodeStore_getRouteLabel_PARENT_NOT_FOUND")
        joined = splice(to_child, to_parent)
        if joined is None:
            raise AdminError("NodeStore_getRouteLabel_CHILD_NOT_FOUND")
        return joined

    async def switch_ping(
        self, label: Label, timeout_s: float, data: bytes, is_key_ping: bool
    ) -> SwitchPingResult:
        self.calls.append(("switch_ping", label, timeout_s, data, is_key_ping))
        return self.pings(label, timeout_s, data, is_key_ping)

    async def query_node(
        self, target: QueryTarget, query: Query, argument: bytes, timeout_s: float
    ) -> NodeAnswer:
        self.calls.append(("query_node", target, query, argument, timeout_s))
        return self.queries(target, query, argument, timeout_s)

    async def search(
        self, address: Address, most_requests: int
    ) -> AsyncGenerator[SearchStep, None]:
        self.calls.append(("search", address, most_requests))
        for step in self.search_steps:
            yield step

    def active_searches(self) -> Sequence[ActiveSearch]:
        return self.searches
