"""What the rest of the program wants to hear from the node: one page of frozen values.

Place     mesh/ puts them out -> Node.take_outputs -> host/ (request results, logs, status)
Keeps     plain values; a request's result carries the number the request returned
Not here  commands for the data plane (engine/messages.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NewType, TypeGuard

from dexmesh.engine.messages import Command, Endpoint, InterfaceNumber, PeerId
from dexmesh.mesh.routes import Route
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.beacon import Beacon
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import EncodingScheme

RequestId = NewType("RequestId", int)


# --- Results of requests ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PingFinished:
    """Result of `start_switch_ping`. `result`: pong, timeout, diff_label, no_slot."""

    request: RequestId
    result: str
    seconds: float
    label: Label
    version: int = 0
    data: bytes = b""
    key: PublicKey | None = None
    response_label: Label | None = None


@dataclass(frozen=True, slots=True)
class QueryFinished:
    """Result of `start_query`: what the node answered. `nodes` is None on a timeout."""

    request: RequestId
    seconds: float
    nodes: tuple[Route, ...] | None
    sender: Route | None = None
    scheme: EncodingScheme | None = None


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """One answer during a `start_search`."""

    request: RequestId
    sender: Route
    seconds: float
    nodes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class SearchFinished:
    """The end of a `start_search`; `route` is None if the node was not reached."""

    request: RequestId
    route: Route | None


# --- Peers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer has a slot: we called it, or it called us as `user`."""

    peer: PeerId
    interface: InterfaceNumber
    endpoint: Endpoint
    key: PublicKey
    is_incoming: bool
    user: str


@dataclass(frozen=True, slots=True)
class PeerNotAdded:
    """A wanted peer was refused by the data plane. `is_final`: it will not be tried again."""

    interface: InterfaceNumber
    endpoint: Endpoint
    reason: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The link to a peer is established and it speaks a version we can route with."""

    peer: PeerId
    key: PublicKey
    endpoint: Endpoint
    version: int


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A peer that was up is so no more. `reason`: unresponsive, reset, left, incompatible."""

    peer: PeerId
    key: PublicKey
    endpoint: Endpoint
    reason: str


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A peer gave up its slot. `reason` as in PeerRemoved."""

    peer: PeerId
    key: PublicKey
    endpoint: Endpoint
    reason: str


@dataclass(frozen=True, slots=True)
class SendBeacon:
    """Say to everybody within earshot of an interface who we are (04 §9.2). The host sends it."""

    interface: InterfaceNumber
    beacon: Beacon


# --- Decisions worth a log line ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteChanged:
    """User traffic to a node goes another way. `reason`: found, better, path failed,
    given up (`new` is 0: nobody knows a way any more)."""

    address: Address
    old: Label
    new: Label
    reason: str


@dataclass(frozen=True, slots=True)
class NoRouteFound:
    """Nobody knows a way to an address that user packets go to; they are dropped."""

    address: Address


@dataclass(frozen=True, slots=True)
class PathFailed:
    """A label that carried traffic is silent or was reported broken."""

    address: Address
    label: Label
    reason: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A control frame or routing message was not acted on. `kind`: control, routing."""

    kind: str
    reason: str


Notice = (
    PingFinished
    | QueryFinished
    | SearchProgress
    | SearchFinished
    | PeerJoined
    | PeerNotAdded
    | PeerUp
    | PeerDown
    | PeerLeft
    | SendBeacon
    | RouteChanged
    | NoRouteFound
    | PathFailed
    | MessageRefused
)


def is_notice(output: Command | Notice) -> TypeGuard[Notice]:
    """Whether an output of the node is for the program, not for the data plane."""
    return isinstance(output, Notice)


Emit = Callable[[Command | Notice], None]
"""How a part puts something out; the node keeps the order."""
