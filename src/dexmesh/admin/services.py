"""What the admin RPC asks of a running node: the door between admin/ and host/.

Place     admin/functions/* call it; host/services.py implements it; tests/unit/admin has a fake
Spec      docs/protocol/08 §6 names the values on the wire; here they are typed and untranslated
Keeps     methods that only read are plain; methods that wait for the network are coroutines
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dexmesh.engine.messages import Endpoint, InterfaceNumber, SessionStats
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import EncodingScheme


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One underlay attachment, as InterfaceController_interfaces shows it."""

    interface: InterfaceNumber
    name: str  # `UDP/IPv4/0.0.0.0:5000`
    bind: str  # `0.0.0.0:5000`, the real port
    beacon_state: int  # 0 off, 1 accepting, 2 sending and accepting


@dataclass(frozen=True, slots=True)
class PeerView:
    """One peer, as InterfaceController_peerStats shows it (08 §6.3.1)."""

    key: PublicKey
    label: Label
    version: int  # 0 until the peer has spoken
    endpoint: Endpoint
    state: str  # `ESTABLISHED`, `UNRESPONSIVE`, ...
    user: str | None
    interface: InterfaceNumber
    is_incoming: bool
    bytes_in: int
    bytes_out: int
    receive_kbps: int
    send_kbps: int
    last_in_unix_ms: int
    duplicates: int
    lost: int
    out_of_range: int
    received: int
    round_trip_ms: int | None


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route the node knows: to whom, along which label, of which version, how good."""

    key: PublicKey
    address: Address
    label: Label
    version: int
    metric: int  # 32 bit, lower is better (05 §8.1)
    last_seen_ms_ago: int
    bucket: int
    is_peer: bool


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link of the node table (NodeStore_getLink)."""

    parent: Address
    child: Address
    label: Label
    cost: int
    is_one_hop: bool
    is_best_parent: bool
    inverse_form: int


@dataclass(frozen=True, slots=True)
class SwitchPingResult:
    """Result of SwitchPinger_ping. `result`: pong, timeout, diff_label."""

    result: str
    milliseconds: int
    label: Label
    version: int = 0
    data: bytes = b""
    key: PublicKey | None = None
    response_label: Label | None = None


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node answered to one inter-router query. `nodes` is None on a timeout."""

    milliseconds: int
    nodes: tuple[RouteView, ...] | None
    sender: RouteView | None = None
    scheme: EncodingScheme | None = None


@dataclass(frozen=True, slots=True)
class SearchStep:
    """One answer during a search."""

    sender: RouteView
    milliseconds: int
    nodes: tuple[RouteView, ...]


class NodeServices(Protocol):
    """A running node, as seen by the admin RPC. Raises AdminError(wire_text) on refusal."""

    # Identity and process
    @property
    def key(self) -> PublicKey: ...
    @property
    def address(self) -> Address: ...
    @property
    def scheme(self) -> EncodingScheme: ...
    @property
    def version(self) -> int: ...
    def exit(self) -> None: ...

    # Credentials
    def add_password(self, password: bytes, user: str | None, address: Address | None) -> None: ...
    def remove_user(self, user: str) -> bool: ...
    def users(self) -> Sequence[str]: ...

    # Interfaces and peers
    def interfaces(self) -> Sequence[InterfaceView]: ...
    def peers(self) -> Sequence[PeerView]: ...
    async def add_udp_interface(self, bind: str, dscp: int, beacon_port: int) -> InterfaceView: ...
    async def add_peer(
        self,
        interface: InterfaceNumber,
        endpoint: str,
        key: PublicKey,
        password: bytes | None,
        login: str | None,
        peer_name: str | None,
    ) -> None: ...
    def disconnect_peer(self, key: PublicKey) -> int: ...
    def reset_peering(self, key: PublicKey | None) -> int: ...

    # TUN
    async def start_tun(self, name: str | None) -> None: ...
    def stop_tun(self) -> None: ...

    # Sessions
    def sessions(self) -> Sequence[SessionStats]: ...
    def session_metric(self, address: Address) -> int: ...
    def is_session_maintained(self, address: Address) -> bool: ...
    def reset_session(self, address: Address) -> bool: ...

    # Routing table
    def routes(self) -> Sequence[RouteView]: ...
    def links(self, parent: Address) -> Sequence[LinkView]: ...
    def route_to(self, address: Address) -> RouteView | None: ...

    # Questions to the network
    async def switch_ping(
        self, label: Label, timeout_s: float, data: bytes, is_key_ping: bool
    ) -> SwitchPingResult: ...
    async def query_node(
        self,
        target: Address | Label | RouteView,
        query: str,
        argument: bytes,
        timeout_s: float,
    ) -> NodeAnswer: ...
    def search(self, address: Address, most_requests: int) -> AsyncIterator[SearchStep]: ...

    # Measurements
    def drop_counts(self) -> dict[str, int]: ...
    def allocated_bytes(self) -> int: ...
