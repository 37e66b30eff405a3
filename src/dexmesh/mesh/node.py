"""Wire the parts of the control plane, and hand each event to the part that decides.

Place     host/pump.py (or tests/sim) drives it with the five verbs of docs/architecture.md §3
Spec      docs/architecture.md §3; the parts name theirs
Keeps     performs no I/O, reads no clock, makes no randomness; outputs come in the order decided
Not here  any decision: peering, beacons, control, sessions and wants, pathfinder
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dexmesh.engine.messages import (
    Command,
    ControlFrame,
    Endpoint,
    Event,
    InterfaceNumber,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerRefused,
    PeerRemoved,
    ReadStats,
    RouteNeeded,
    RoutingMessage,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
    Stats,
)
from dexmesh.errors import DecodeError
from dexmesh.mesh.beacons import Beacons
from dexmesh.mesh.control import Control
from dexmesh.mesh.credentials import Credentials
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.keepalive import CYCLE_S
from dexmesh.mesh.notices import MessageRefused, Notice, RequestId
from dexmesh.mesh.pathfinder import DhtPathfinder
from dexmesh.mesh.peering import Peering
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.pings import SwitchPings
from dexmesh.mesh.queries import Queries, Target
from dexmesh.mesh.randomness import Random
from dexmesh.mesh.requests import Requests
from dexmesh.mesh.sessions import Sessions
from dexmesh.mesh.wants import Wants
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.control import ErrorFrame
from dexmesh.wire.dht import Query, decode_message
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What differs between nodes besides their keys. `cycle_s` is for tests only."""

    cycle_s: float = CYCLE_S


class Node:
    """The control plane of one node."""

    def __init__(self, identity: Identity, options: NodeOptions, random: Random) -> None:
        self.identity = identity
        self._options = options
        self._outputs: list[Command | Notice] = []
        emit = self._outputs.append
        self.credentials = Credentials(random, emit)
        self.pings = SwitchPings(identity, random, emit)
        self.queries = Queries(identity, random, emit)
        self.pathfinder = DhtPathfinder(identity, self.queries, random, emit)
        self.sessions = Sessions(self.pathfinder, self.queries, emit)
        self.wants = Wants(self.sessions, self.pathfinder, self.queries, emit)
        self.peering = Peering(self.pings, self, emit)
        self.beacons = Beacons(
            identity, self.credentials.beacon_password, self.peering, random, emit
        )
        self.control = Control(identity, self.peering, self.pings, self, emit)
        self._requests = Requests(self.pings, self.queries, self.pathfinder, emit)
        self._cycle_at = 0.0
        self._is_cycle_due = False
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            PeerAdded: self.peering.handle_peer_added,
            PeerRefused: self.peering.handle_peer_refused,
            PeerRemoved: self._handle_peer_removed,
            LinkStateChanged: self.peering.handle_link_state,
            LinkHandshake: self.peering.handle_link_handshake,
            ControlFrame: self.control.handle_control_frame,
            RoutingMessage: self._handle_routing_message,
            RouteNeeded: self.wants.handle_route_needed,
            SessionAdded: self.sessions.handle_added,
            SessionStateChanged: self.sessions.handle_state,
            SessionRemoved: self.sessions.handle_removed,
            Stats: self._handle_stats,
        }

    # --- The verbs ---------------------------------------------------------------------------

    def handle_event(self, event: Event, now: float) -> None:
        """Take in one event of the engine."""
        self._handlers[type(event)](event, now)

    def next_timeout(self) -> tuple[float, str]:
        """When, and for what reason, `handle_timeout` wants to be called; there is always one."""
        times = [
            (self._cycle_at, "check cycle"),
            self.pings.next_timeout(),
            self.queries.next_timeout(),
            self.peering.next_timeout(),
            self.beacons.next_timeout(),
            self.pathfinder.next_timeout(),
            self.wants.next_timeout(),
        ]
        return min(time for time in times if time is not None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        if self._cycle_at <= now:
            self._begin_cycle(now)
        self.pings.handle_timeout(now)
        self.queries.handle_timeout(now)
        self.peering.handle_timeout(now)
        self.beacons.handle_timeout(now)
        self.pathfinder.handle_timeout(now)
        self.wants.handle_timeout(now)

    def take_outputs(self) -> list[Command | Notice]:
        """Everything decided since the last call, in order."""
        outputs = list(self._outputs)
        self._outputs.clear()
        return outputs

    # --- Peers -------------------------------------------------------------------------------

    def want_peer(
        self,
        interface: InterfaceNumber,
        endpoint: Endpoint,
        key: PublicKey,
        password: bytes,
        login: str | None = None,
        peer_name: str | None = None,
    ) -> None:
        """Call a peer for as long as the node runs (peering.py)."""
        self.peering.want_peer(interface, endpoint, key, password, login, peer_name)

    def handle_network_changed(self, now: float) -> None:
        """Interfaces or addresses of this machine changed."""
        self.peering.handle_network_changed(now)
        self.beacons.handle_network_changed(now)

    # --- Requests (results come as notices) --------------------------------------------------

    def start_switch_ping(
        self,
        label: Label,
        data: bytes,
        timeout_s: float,
        now: float,
        is_key_ping: bool = False,
    ) -> RequestId:
        """Ping the switch at the end of a label (requests.py)."""
        return self._requests.start_switch_ping(label, data, timeout_s, now, is_key_ping)

    def start_query(
        self,
        target: Target | Address,
        kind: bytes,
        argument: bytes | None,
        timeout_s: float,
        now: float,
    ) -> RequestId:
        """Ask a node `pn`, `fn`, `gp` or `nh` (requests.py)."""
        return self._requests.start_query(target, kind, argument, timeout_s, now)

    def start_search(self, address: Address, most: int, now: float) -> RequestId:
        """Search for a node (requests.py)."""
        return self._requests.start_search(address, most, now)

    # --- What concerns more than one part ----------------------------------------------------

    def handle_peer_up(self, peer: Peer, now: float) -> None:
        """A peer can carry packets."""
        self.pathfinder.handle_peer_up(peer, now)
        self.sessions.handle_peer_up(peer, now)
        self.wants.handle_peer_up(now)

    def handle_peer_gone(self, peer: Peer, now: float) -> None:
        """A peer cannot carry packets any more."""
        self.pathfinder.handle_peer_gone(peer, now)
        self.sessions.handle_peer_gone(peer, now)

    def handle_switch_error(self, label: Label, error: ErrorFrame, now: float) -> None:
        """A packet of ours went no further."""
        self.pathfinder.handle_switch_error(label, error, now)
        self.sessions.handle_switch_error(label, now)

    def _handle_peer_removed(self, event: PeerRemoved, now: float) -> None:
        self.peering.handle_peer_removed(event, now)
        self.beacons.handle_peer_removed(event.peer, now)

    def _handle_routing_message(self, event: RoutingMessage, now: float) -> None:
        try:
            message = decode_message(event.content)
        except DecodeError as error:
            self._outputs.append(MessageRefused("routing", error.reason))
            return
        self.sessions.handle_message(event, message.version, now)
        if isinstance(message, Query):
            self.pathfinder.handle_query(event, message, now)
        else:
            self.queries.handle_reply(event, message, now)

    def _handle_stats(self, event: Stats, now: float) -> None:
        """Fresh numbers of who was heard: the walk of this cycle can be made (04 §7)."""
        self.peering.handle_stats(event, now)
        self.sessions.handle_stats(event, now)
        if self._is_cycle_due:
            self._is_cycle_due = False
            self.peering.run_cycle(now)

    def _begin_cycle(self, now: float) -> None:
        """Ask for numbers; if those of the last cycle never came, walk with what is known."""
        if self._is_cycle_due:
            self.peering.run_cycle(now)
        self._cycle_at = now + self._options.cycle_s
        self._is_cycle_due = True
        self._outputs.append(ReadStats())
