"""What the admin RPC asks of a running node: the door between admin/ and host/.

Place     admin/functions/* call it; host/services.py implements it; tests/unit/admin has a fake
Spec      docs/protocol/08 §6 names the values on the wire; here they are typed and untranslated
Keeps     methods that only read are plain; methods that wait for the network or the operating
          system are coroutines, and end by themselves (none waits longer than it is told)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from dexmesh.engine.messages import Endpoint, InterfaceNumber
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label
from dexmesh.wire.node_address import NodeAddress
from dexmesh.wire.scheme import EncodingScheme

QueryTarget: TypeAlias = Address | Label | NodeAddress
"""Whom to ask: by address (16 bytes), by label (an integer), or exactly this node along its label."""

Query: TypeAlias = Literal["pn", "fn", "gp", "nh"]
"""An inter-router query (docs/protocol/06 §1)."""


@dataclass(frozen=True, slots=True)
class ProcessView:
    """The process of the node."""

    pid: int
    user_id: int
    may_open_files: bool


@dataclass(frozen=True, slots=True)
class AccountView:
    """A user of the machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One underlay attachment, as InterfaceController_interfaces shows it."""

    interface: InterfaceNumber
    name: str  # `UDP/IPv4/0.0.0.0:5000`
    bind: str  # `0.0.0.0:5000`, the real port
    is_ipv6: bool
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
class SessionView:
    """One session, as SessionManager_sessionStats shows it (08 §6.4). Times are 0 for never."""

    key: PublicKey
    address: Address
    label: Label  # where we send
    version: int
    state: str  # `ESTABLISHED`, ...
    handle: int
    send_handle: int
    last_in_unix_ms: int
    last_out_unix_ms: int
    metric: int  # 32 bit, lower is better (05 §8.1)
    is_maintained: bool
    duplicates: int
    lost: int
    out_of_range: int


@dataclass(frozen=True, slots=True)
class RouteView:
    """A node of the table and the best way to it, as NodeStore_dumpTable shows it."""

    node: NodeAddress
    address: Address
    cost: int  # of the whole way; 0 for ourselves
    last_seen_ms_ago: int
    bucket: int  # 127 for ourselves (06 §6)
    is_peer: bool


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link of the node table: `parent` reaches `child` by `label` (NodeStore_getLink)."""

    parent: NodeAddress
    child: NodeAddress
    label: Label
    cost: int
    is_one_hop: bool
    is_best_parent: bool
    inverse_form: int


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the table knows of one node (NodeStore_nodeForAddr).

    `best_parent` and `label_from_parent` lead to it; for ourselves our own address and label 1.
    """

    route: RouteView
    scheme: EncodingScheme
    link_count: int
    best_parent: Address
    label_from_parent: Label
    is_one_hop: bool


@dataclass(frozen=True, slots=True)
class SwitchPingResult:
    """Result of `switch_ping`. `result`: pong, timeout, or another name of 08 §6.5."""

    result: str
    milliseconds: int
    label: Label
    version: int = 0
    data: bytes = b""
    key: PublicKey | None = None
    response_label: Label | None = None  # the label seen, with `diff_label`


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node answered to one query; `sender` None means that nothing came in time.

    The labels of `nodes` lead there from us, except in the answer to `gp`: from the sender.
    """

    milliseconds: int
    sender: NodeAddress | None
    nodes: tuple[NodeAddress, ...] = ()
    scheme: EncodingScheme | None = None


@dataclass(frozen=True, slots=True)
class SearchStep:
    """One answer during a search."""

    sender: NodeAddress
    milliseconds: int
    nodes: tuple[NodeAddress, ...]


@dataclass(frozen=True, slots=True)
class ActiveSearch:
    """A search that is running."""

    target: Address
    last_asked: NodeAddress | None
    requests: int


class BeaconServices(Protocol):
    """LAN beacons of the interfaces that there are (04 §9)."""

    def state(self, interface: InterfaceNumber) -> int:
        """0 off, 1 accepting, 2 sending and accepting."""

    def set_state(self, interface: InterfaceNumber, state: int) -> None:
        """AdminError when the interface was made without a beacon port."""

    def devices(self, interface: InterfaceNumber) -> Sequence[str]:
        """Device names, broadcast addresses, or `all`, as they were set."""

    def set_devices(self, interface: InterfaceNumber, devices: Sequence[str]) -> None:
        """AdminError when the interface was made without a beacon port."""

    def addresses(self, interface: InterfaceNumber) -> Sequence[str]:
        """Where a beacon would go now, as IP:PORT."""


class NodeServices(Protocol):
    """A running node, as seen by the admin RPC.

    A refusal is raised as AdminError with the text the other side may read; what the operating
    system refuses comes as HostError.
    """

    # Identity and process
    @property
    def key(self) -> PublicKey: ...
    @property
    def address(self) -> Address: ...
    @property
    def scheme(self) -> EncodingScheme: ...
    @property
    def version(self) -> int: ...
    @property
    def beacons(self) -> BeaconServices: ...
    def exit(self) -> None:
        """End the node soon: the reply that is being written must still leave."""

    def process(self) -> ProcessView: ...
    def account(self, name: str | None) -> AccountView | None:
        """The user of that name, or (None) the one the node runs as; None if there is none."""

    def allocated_bytes(self) -> int: ...
    def drop_counts(self) -> Mapping[str, int]:
        """How many packets went no further, by reason; reasons with 0 may be left out."""

    # Credentials
    def add_password(self, password: bytes, user: str | None, address: Address | None) -> None:
        """AdminError `Password already added.` for the same user and password again."""

    def remove_user(self, user: str) -> bool:
        """Whether there was one."""

    def users(self) -> Sequence[str]:
        """Every login, oldest first."""

    # Interfaces and peers
    def interfaces(self) -> Sequence[InterfaceView]:
        """Oldest first."""

    def peers(self) -> Sequence[PeerView]:
        """Oldest first."""

    def broadcast_devices(self) -> Sequence[str]:
        """Network devices of this machine that are up and can broadcast."""

    async def add_udp_interface(
        self, bind: str, dscp: int, beacon_port: int | None
    ) -> InterfaceView:
        """Open a socket. `bind` is an IP literal, `IP:PORT` or `[IP6]:PORT`."""

    async def add_peer(
        self,
        interface: InterfaceNumber,
        endpoint: str,
        key: PublicKey,
        password: bytes | None,
        login: str | None,
        peer_name: str | None,
    ) -> None:
        """Call a peer. `endpoint` is `IP:PORT`, `[IP6]:PORT` or `NAME:PORT`; the interface exists.

        AdminError `no more space to register with the switch.` and the like (08 §6.3).
        """

    def disconnect_peer(self, key: PublicKey) -> int:
        """Drop every link to that node and call it no more; how many links there were."""

    def reset_peering(self, key: PublicKey | None) -> int:
        """Begin the links to that node (None: to every node) anew; how many."""

    # TUN
    async def start_tun(self, name: str | None) -> None:
        """Make the TUN device, in place of the one there is. TunError when that fails."""

    def stop_tun(self) -> bool:
        """Whether there was one."""

    # Sessions
    def sessions(self) -> Sequence[SessionView]:
        """Oldest first."""

    def reset_session(self, address: Address) -> bool:
        """Whether there was one."""

    # Routing table
    def routes(self) -> Sequence[RouteView]:
        """Every node of the table, ourselves included."""

    def links(self, parent: Address) -> Sequence[LinkView]: ...
    def node(self, address: Address) -> NodeView | None: ...
    def next_hop(self, address: Address) -> NodeAddress | None:
        """The node itself if it is known, else the known node to ask next; None if nobody is."""

    def join_labels(self, to_parent: Label, to_child: Label) -> Label:
        """The route along `to_parent` and on by the link `to_child` of the node there.

        AdminError `NodeStore_getRouteLabel_PARENT_NOT_FOUND` or `..._CHILD_NOT_FOUND`.
        """

    # Questions to the network
    async def switch_ping(
        self, label: Label, timeout_s: float, data: bytes, is_key_ping: bool
    ) -> SwitchPingResult:
        """AdminError `no open slots to store ping, try later.`"""

    async def query_node(
        self, target: QueryTarget, query: Query, argument: bytes, timeout_s: float
    ) -> NodeAnswer:
        """AdminError `not_found` for an address or label that is in no table."""

    def search(self, address: Address, most_requests: int) -> AsyncGenerator[SearchStep, None]:
        """Ends when the node is found, nobody is left to ask, or enough were asked.

        Closing the generator ends the search. AdminError `creating search` if there are too many.
        """

    def active_searches(self) -> Sequence[ActiveSearch]: ...
