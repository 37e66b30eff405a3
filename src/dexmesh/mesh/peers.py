"""Hold what is known of each peer: its slot, its link, its version, when it was heard.

Place     peering.py and keepalive.py change it; admin/ and pathfinder.py read it
Spec      docs/protocol/04 §6 and §10
Keeps     a peer is found by its number, its one-hop label, its key; at most what the switch holds
Not here  deciding anything (peering.py, keepalive.py)
"""

from __future__ import annotations

from enum import IntEnum

from dexmesh.engine.messages import (
    CryptoState,
    Endpoint,
    InterfaceNumber,
    PeerAdded,
    PeerId,
    PeerStats,
)
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import one_hop_label
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION

LAZY_S = 3.072  # 04 §7: a peer not heard for this long is pinged
_JUST_OVER_LAZY_S = LAZY_S + 0.001  # 04 §2.1: how long ago a new peer counts as heard


class PeerState(IntEnum):
    """State of a peer (04 §6). Up to ESTABLISHED a copy of the link session's state."""

    INIT = 0
    SENT_HELLO = 1
    RECEIVED_HELLO = 2
    SENT_KEY = 3
    RECEIVED_KEY = 4
    ESTABLISHED = 100
    UNRESPONSIVE = -1
    UNAUTHENTICATED = -2
    INCOMPATIBLE = -3


@dataclass(slots=True)
class Peer:
    """One link to a node. Times are monotonic seconds, None for never; rates are kbit/s."""

    id: PeerId
    slot: int
    label: Label
    interface: InterfaceNumber
    endpoint: Endpoint
    key: PublicKey
    address: Address
    is_incoming: bool
    user: str
    heard_at: float
    state: PeerState = PeerState.UNAUTHENTICATED
    link: CryptoState = CryptoState.INIT
    version: int = 0
    pong_at: float | None = None
    asked_at: float | None = None
    ping_count: int = 0
    round_trip_s: float | None = None
    receive_kbps: int = 0
    send_kbps: int = 0
    stats: PeerStats | None = None
    stats_at: float = 0.0
    is_wanted: bool = False
    is_found: bool = False  # by a beacon: we called it, and nobody will miss it
    was_established: bool = False
    is_offered: bool = False
    missing: int = 0  # Stats without it
    contradicted: int = 0  # Stats that say its link is in another state

    @property
    def is_routable(self) -> bool:
        """Whether packets can go to it and it speaks a version that can route (04 §6, 06 §11.5)."""
        return self.state is PeerState.ESTABLISHED and self.version >= MINIMUM_ROUTED_VERSION

    def learn_stats(self, stats: PeerStats, now: float) -> None:
        """Take over the counters, and make rates of what came since the last ones (04 §10)."""
        seconds = now - self.stats_at
        if self.stats is not None and seconds > 0:
            received = stats.bytes_in - self.stats.bytes_in
            sent = stats.bytes_out - self.stats.bytes_out
            self.receive_kbps = int(received * 8 / seconds / 1000)
            self.send_kbps = int(sent * 8 / seconds / 1000)
        self.stats, self.stats_at = stats, now
        self.missing = 0


class PeerTable:
    """Every peer that has a slot, in the order they came."""

    def __init__(self) -> None:
        self._by_id: dict[PeerId, Peer] = {}
        self._by_label: dict[Label, Peer] = {}

    def learn(self, event: PeerAdded, now: float) -> Peer:
        """Enter a new peer. Its label is the canonical one-hop label of its slot (03 §3.2)."""
        peer = Peer(
            id=event.peer,
            slot=event.slot,
            label=one_hop_label(event.slot),
            interface=event.interface,
            endpoint=event.endpoint,
            key=event.key,
            address=address_of(event.key),
            is_incoming=event.is_incoming,
            user=event.user,
            heard_at=now - _JUST_OVER_LAZY_S,
        )
        self._by_id[peer.id] = peer
        self._by_label[peer.label] = peer
        return peer

    def forget(self, peer: PeerId) -> Peer | None:
        """Take a peer out; None if it is not there."""
        gone = self._by_id.pop(peer, None)
        if gone is not None and self._by_label.get(gone.label) is gone:
            del self._by_label[gone.label]
        return gone

    def by_id(self, peer: PeerId) -> Peer | None:
        """The peer of this number."""
        return self._by_id.get(peer)

    def by_label(self, label: Label) -> Peer | None:
        """The peer at this one-hop label."""
        return self._by_label.get(label)

    def with_key(self, key: PublicKey) -> list[Peer]:
        """Every link to the node of this key, oldest first."""
        return [peer for peer in self._by_id.values() if peer.key == key]

    def on_interface(self, interface: InterfaceNumber) -> list[Peer]:
        """The peers of an interface, oldest first."""
        return [peer for peer in self._by_id.values() if peer.interface == interface]

    def at(self, interface: InterfaceNumber, endpoint: Endpoint) -> Peer | None:
        """The peer at an endpoint of an interface."""
        for peer in self._by_id.values():
            if peer.endpoint == endpoint and peer.interface == interface:
                return peer
        return None

    def interfaces(self) -> list[InterfaceNumber]:
        """The interfaces that have peers, in ascending order."""
        return sorted({peer.interface for peer in self._by_id.values()})

    def all(self) -> list[Peer]:
        """Every peer, oldest first."""
        return list(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
