"""Every command and every event between Python and the data plane, on one page.

Place     mesh/ puts out commands -> engine/door.py -> rust/engine; events come back the same way
Spec      rust/engine/src/message.rs has the same events, names and field order
Keeps     frozen plain values; a command never blocks and never fails loudly: what could not be done
          comes back as an event (PeerRefused) or shows in the next Stats
Not here  what is decided with them (mesh/), how they cross the border (engine/door.py)

Endpoints are text: `192.0.2.1:5000`, `[2001:db8::1]:5000`. Times are monotonic seconds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label

PeerId = NewType("PeerId", int)
InterfaceNumber = NewType("InterfaceNumber", int)
Endpoint = NewType("Endpoint", str)


class CryptoState(IntEnum):
    """State of a link session or a session (docs/protocol/01 §7)."""

    INIT = 0
    SENT_HELLO = 1
    RECEIVED_HELLO = 2
    SENT_KEY = 3
    RECEIVED_KEY = 4
    ESTABLISHED = 100


# --- Commands: Python -> data plane ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddInterface:
    """Accept and send datagrams under this number (the runner attaches a socket to it)."""

    interface: InterfaceNumber
    is_ipv6: bool


@dataclass(frozen=True, slots=True)
class RemoveInterface:
    """Forget an interface and every peer on it."""

    interface: InterfaceNumber


@dataclass(frozen=True, slots=True)
class AddUser:
    """Let peers in that present this credential. Order counts (docs/protocol/01 §3)."""

    login: str
    password: bytes = field(repr=False)
    only_address: Address | None = None


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Let nobody in any more under this login. Peers that are in stay in."""

    login: str


@dataclass(frozen=True, slots=True)
class AddPeer:
    """Make a peer that we call. Answer: PeerAdded or PeerRefused with the same endpoint."""

    interface: InterfaceNumber
    endpoint: Endpoint
    key: PublicKey
    password: bytes = field(repr=False)
    login: str | None = None


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Free the slot of a peer. Answer: PeerRemoved."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """Begin the link session of a peer anew."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class SetPeerUp:
    """Mark the slot of a peer up or down (down: forwarded packets get error 8, 03 §6 step 6)."""

    peer: PeerId
    is_up: bool


@dataclass(frozen=True, slots=True)
class SendControl:
    """Send a control frame (from its checksum on) along a label through our own switch."""

    label: Label
    frame: bytes


@dataclass(frozen=True, slots=True)
class SendInner:
    """Send content by the session with a node, making the session if there is none.

    Only content type 256 may travel before the handshake is done (docs/protocol/05 §6). `label` 0
    means the session's own send label.
    """

    address: Address
    key: PublicKey
    version: int
    label: Label
    content_type: int
    content: bytes


@dataclass(frozen=True, slots=True)
class SetRoute:
    """User traffic to this node goes along `label` from now on (0 = no route).

    Makes the session if there is none. A parked packet leaves at once if the session can carry it.
    """

    address: Address
    key: PublicKey
    version: int
    label: Label


@dataclass(frozen=True, slots=True)
class ResetSession:
    """Begin the session with a node anew."""

    address: Address


@dataclass(frozen=True, slots=True)
class RemoveSession:
    """Forget the session with a node."""

    address: Address


@dataclass(frozen=True, slots=True)
class DropParked:
    """Nobody knows a route: drop what waits for this address and tell its sender (ICMPv6)."""

    address: Address


@dataclass(frozen=True, slots=True)
class ReadStats:
    """Answer with a Stats event."""


Command = (
    AddInterface
    | RemoveInterface
    | AddUser
    | RemoveUser
    | AddPeer
    | RemovePeer
    | ResetPeer
    | SetPeerUp
    | SendControl
    | SendInner
    | SetRoute
    | ResetSession
    | RemoveSession
    | DropParked
    | ReadStats
)


# --- Events: data plane -> Python -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """A peer got a slot: we asked, or somebody with a valid credential called (`user`)."""

    peer: PeerId
    slot: int
    interface: InterfaceNumber
    endpoint: Endpoint
    key: PublicKey
    is_incoming: bool
    user: str


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """A peer we asked for was not made.

    `reason`: no such interface, own key, not a mesh key, endpoint in use, switch full, wrong family.
    """

    interface: InterfaceNumber
    endpoint: Endpoint
    reason: str


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """A peer is gone from its slot. `reason`: removed, replaced, interface removed."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class LinkStateChanged:
    """The link session of a peer changed state."""

    peer: PeerId
    old_state: CryptoState
    state: CryptoState


@dataclass(frozen=True, slots=True)
class LinkHandshake:
    """A message was accepted on a link that is not established (docs/protocol/04 §5.3)."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A control frame for our router, from its checksum on. `label` is the path back."""

    label: Label
    frame: bytes


@dataclass(frozen=True, slots=True)
class RouteNeeded:
    """A packet waits for a route to this address.

    `reason`: no session, no version, no label, handshake unfinished.
    """

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class RoutingMessage:
    """An inter-router message (content type 256) came by a session. `label` is the path back."""

    address: Address
    key: PublicKey
    label: Label
    content: bytes


@dataclass(frozen=True, slots=True)
class SessionAdded:
    """A session was made, by us or by a stranger's handshake."""

    address: Address
    key: PublicKey
    handle: int
    label: Label
    is_incoming: bool


@dataclass(frozen=True, slots=True)
class SessionStateChanged:
    """A session changed state. `label` is that of the packet that caused it, 0 if we did."""

    address: Address
    old_state: CryptoState
    state: CryptoState
    label: Label


@dataclass(frozen=True, slots=True)
class SessionRemoved:
    """A session is gone. `reason`: removed, evicted."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Counters and state of one peer; byte and packet counts are totals since it was added."""

    peer: PeerId
    state: CryptoState
    last_in: float | None
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    duplicates: int
    lost: int
    out_of_range: int
    dropped: int


@dataclass(frozen=True, slots=True)
class SessionStats:
    """Counters and state of one session; times are None when it never happened."""

    address: Address
    key: PublicKey
    state: CryptoState
    handle: int
    send_handle: int
    version: int
    send_label: Label
    receive_label: Label
    last_in: float | None
    last_out: float | None
    last_user_in: float | None
    last_user_out: float | None
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    duplicates: int
    lost: int
    out_of_range: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Answer to ReadStats: every peer, every session."""

    peers: tuple[PeerStats, ...]
    sessions: tuple[SessionStats, ...]


Event = (
    PeerAdded
    | PeerRefused
    | PeerRemoved
    | LinkStateChanged
    | LinkHandshake
    | ControlFrame
    | RouteNeeded
    | RoutingMessage
    | SessionAdded
    | SessionStateChanged
    | SessionRemoved
    | Stats
)
