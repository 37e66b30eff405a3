"""Follow every peer from its slot to its end, and tell the routing part when one can be used.

Place     engine peer events, pongs, settings -> here -> slots up and down, links begun anew;
          usable and lost peers -> PeerListener (pathfinder.py, sessions.py)
Spec      docs/protocol/04 §5-8
Keeps     a listener hears of a peer once when it becomes usable and once when it is so no more;
          what a lost event would have told shows in two Stats in a row, and is made good then;
          at most MAX_HALF_OPEN peers nobody asked for that never finished a handshake
Not here  the schedule (keepalive.py), calling until there is a slot (wanted.py), whom to call
          because of a beacon (beacons.py)
"""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from dexmesh.engine.messages import (
    AddPeer,
    CryptoState,
    Endpoint,
    InterfaceNumber,
    LinkHandshake,
    LinkStateChanged,
    PeerAdded,
    PeerId,
    PeerRefused,
    PeerRemoved,
    RemovePeer,
    ResetPeer,
    SetPeerUp,
    Stats,
)
from dexmesh.mesh.keepalive import PROBES_AFTER_CHANGE, KeepAlive
from dexmesh.mesh.notices import Emit, PeerDown, PeerJoined, PeerLeft, PeerUp
from dexmesh.mesh.peers import Peer, PeerState, PeerTable
from dexmesh.mesh.pings import PingOutcome, SwitchPings
from dexmesh.mesh.wanted import WantedPeer, WantedPeers
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label
from dexmesh.wire.versions import is_compatible

MAX_HALF_OPEN = 32  # ours, 04 §15

_READINGS_BEFORE_BELIEVED = 2  # ours: Stats that contradict us, since an event got lost
_QUIET_SUSPICION_S = 1.0  # ours: packets go out, nothing came for this long
_FEW_PACKETS = 2  # ours: what the keep-alive itself may send between two Stats


class PeerListener(Protocol):
    """Who wants to know which peers can carry packets."""

    def handle_peer_up(self, peer: Peer, now: float) -> None:
        """The peer is established and speaks a version that can route."""
        ...

    def handle_peer_gone(self, peer: Peer, now: float) -> None:
        """Routes that begin at this peer are worth nothing any more."""
        ...


class Peering:
    """One per node. Performs no I/O and never reads a clock."""

    def __init__(self, pings: SwitchPings, listener: PeerListener, emit: Emit) -> None:
        self._listener, self._emit = listener, emit
        self.peers = PeerTable()
        self._wanted = WantedPeers(emit)
        self._keep_alive = KeepAlive(self.peers, pings, self)
        self._orphans: dict[PeerId, int] = {}  # known to the engine only: in how many Stats

    # --- What people ask for -----------------------------------------------------------------

    def want_peer(
        self,
        interface: InterfaceNumber,
        endpoint: Endpoint,
        key: PublicKey,
        password: bytes,
        login: str | None = None,
        peer_name: str | None = None,
    ) -> None:
        """Call this peer, and again whenever it is lost. Answer: PeerJoined or PeerNotAdded."""
        self._wanted.want(WantedPeer(interface, endpoint, key, password, login, peer_name))

    def call_found(
        self, interface: InterfaceNumber, endpoint: Endpoint, key: PublicKey, password: bytes
    ) -> None:
        """Call a peer that a beacon told of, once: it is kept like one that called us (04 §9.2).

        Where somebody asked for a peer, that one is called, with the password that was given.
        """
        if self._wanted.at(interface, endpoint) is None:
            self._emit(AddPeer(interface, endpoint, key, password))

    def found_count(self) -> int:
        """How many peers found by beacons have ever answered."""
        return sum(peer.is_found and peer.was_established for peer in self.peers.all())

    def replace_if_silent(self, peer: Peer, now: float) -> None:
        """Somebody else may be at this peer's endpoint: free its slot unless it answers now."""
        self._keep_alive.suspect(peer, now, is_last_chance=True)

    def change_endpoint(self, interface: InterfaceNumber, old: Endpoint, new: Endpoint) -> bool:
        """Call a wanted peer at another endpoint from now on; False if none is at `old`."""
        wanted = self._wanted.at(interface, old)
        if wanted is None:
            return False
        self._wanted.forget(wanted)
        if wanted.peer is not None:
            self._emit(RemovePeer(wanted.peer))
        self.want_peer(interface, new, wanted.key, wanted.password, wanted.login, wanted.peer_name)
        return True

    def forget_interface(self, interface: InterfaceNumber) -> None:
        """Call nobody by this interface any more (the engine removes the peers that it has)."""
        self._wanted.forget_interface(interface)

    def disconnect(self, key: PublicKey) -> int:
        """End every link to a node and stop calling it; how many links or calls there were."""
        calls = self._wanted.with_key(key)
        for wanted in calls:
            self._wanted.forget(wanted)
        links = self.peers.with_key(key)
        for peer in links:
            self._emit(RemovePeer(peer.id))
        return max(len(links), len(calls))

    def reset(self, key: PublicKey | None, now: float) -> int:
        """Begin the link sessions with a node (None: with all) anew; how many."""
        links = self.peers.all() if key is None else self.peers.with_key(key)
        for peer in links:
            self._restart(peer, "reset", now)
        return len(links)

    def handle_network_changed(self, now: float) -> None:
        """Interfaces or addresses of this machine changed: ask every peer at once."""
        self._wanted.retry_all(now)
        for peer in self.peers.all():
            self._keep_alive.suspect(peer, now, PROBES_AFTER_CHANGE)

    # --- Events of the engine ----------------------------------------------------------------

    def handle_peer_added(self, event: PeerAdded, now: float) -> None:
        """A peer has a slot. One that we call is pinged at once: the ping rides in our hello."""
        peer = self.peers.learn(event, now)
        if not event.is_incoming:
            wanted = self._wanted.handle_added(
                event.interface, event.endpoint, event.key, event.peer
            )
            if wanted is not None:
                peer.is_wanted, peer.user = True, wanted.peer_name or ""
            else:
                peer.is_found = peer.is_incoming = True
            self._keep_alive.ping(peer, now)
        self._emit(
            PeerJoined(
                peer.id, peer.interface, peer.endpoint, peer.key, peer.is_incoming, peer.user
            )
        )
        if peer.is_incoming:
            self._bound_half_open()

    def handle_peer_refused(self, event: PeerRefused, now: float) -> None:
        """A peer we wanted was not made."""
        self._wanted.handle_refused(event.interface, event.endpoint, event.reason, now)

    def handle_peer_removed(self, event: PeerRemoved, now: float) -> None:
        """A slot is free again; its label means nothing until the next peer gets it."""
        peer = self.peers.forget(event.peer)
        if peer is not None:
            self._leave(peer, event.reason, now)

    def handle_link_state(self, event: LinkStateChanged, now: float) -> None:
        """The link session moved (04 §6)."""
        peer = self.peers.by_id(event.peer)
        if peer is None:
            return
        peer.link = event.state
        if event.state is CryptoState.ESTABLISHED:
            self._hear(peer, now)
            self._look_for_older_links(peer, now)
        elif peer.state not in (PeerState.UNRESPONSIVE, PeerState.INCOMPATIBLE):
            self._follow_link(peer)

    def handle_link_handshake(self, event: LinkHandshake, now: float) -> None:
        """A message came in a handshake packet: what is needed next is something to send."""
        peer = self.peers.by_id(event.peer)
        if peer is not None:
            self._keep_alive.ping_after_handshake(peer, now)

    def handle_stats(self, stats: Stats, now: float) -> None:
        """Take over counters; notice who was heard, who is missing, who has gone quiet."""
        counters = {counter.peer: counter for counter in stats.peers}
        self._remove_orphans(counters.keys())
        self._wanted.handle_stats(now)
        for peer in self.peers.all():
            counter = counters.get(peer.id)
            if counter is None:
                self._miss(peer, now)
                continue
            sent_before = None if peer.stats is None else peer.stats.packets_out
            peer.learn_stats(counter, now)
            self._compare_link(peer, counter.state, now)
            if counter.last_in is not None and counter.last_in > peer.heard_at:
                self._hear(peer, counter.last_in)
            elif sent_before is not None:
                self._check_quiet(peer, counter.packets_out - sent_before, now)

    # --- Control frames ----------------------------------------------------------------------

    def handle_frame_from(self, label: Label, version: int, now: float) -> None:
        """A control frame that tells its sender's version came along `label`; if that is the label
        of a peer, it is alive and of this version (04 §6).
        """
        peer = self.peers.by_label(label)
        if peer is None:
            return
        peer.version = version
        if peer.link is CryptoState.ESTABLISHED:
            self._hear(peer, now)
        self._review(peer, "incompatible", now)

    # --- Verdicts of the keep-alive ----------------------------------------------------------

    def mark_unresponsive(self, peer: Peer, now: float) -> None:
        """Not heard for 20 s: packets to it are answered with an error from now on (03 §6)."""
        if peer.state is not PeerState.UNRESPONSIVE:
            peer.state = PeerState.UNRESPONSIVE
            self._emit(SetPeerUp(peer.id, False))
            self._review(peer, "unresponsive", now)

    def mark_incompatible(self, peer: Peer, now: float) -> None:
        """It stays in the list; no route goes over it."""
        peer.state = PeerState.INCOMPATIBLE
        self._review(peer, "incompatible", now)

    def forget_silent(self, peer: Peer, now: float) -> None:
        """Free the slot of a caller that went away."""
        self._emit(RemovePeer(peer.id))

    def begin_anew(self, peer: Peer, now: float) -> None:
        """Only a handshake is heard by a peer that restarted or sees us under a new endpoint."""
        self._restart(peer, "unresponsive", now)

    def handle_pong(self, peer: Peer, outcome: PingOutcome, now: float) -> None:
        """Note how long the answer took; being alive is noted in `handle_frame_from`."""
        peer.pong_at = now
        peer.round_trip_s = outcome.seconds

    # --- Time --------------------------------------------------------------------------------

    def run_cycle(self, now: float) -> None:
        """Once every CYCLE_S (04 §7)."""
        self._keep_alive.run_cycle(now)

    def next_timeout(self) -> tuple[float, str] | None:
        """The earlier of the keep-alive's and the wanted peers' deadlines."""
        times = [self._keep_alive.next_timeout(), self._wanted.next_timeout()]
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._keep_alive.handle_timeout(now)
        self._wanted.handle_timeout(now)

    # --- Inside ------------------------------------------------------------------------------

    def _hear(self, peer: Peer, at: float) -> None:
        """A valid message came from the peer: it is alive (04 §6)."""
        peer.heard_at = max(peer.heard_at, at)
        if peer.state is PeerState.UNRESPONSIVE:
            self._emit(SetPeerUp(peer.id, True))
        if peer.state is not PeerState.INCOMPATIBLE:
            self._follow_link(peer)
        self._review(peer, "unresponsive", at)

    def _follow_link(self, peer: Peer) -> None:
        """Copy the state of the link session; once ESTABLISHED it stays so (04 §6)."""
        if peer.link is CryptoState.ESTABLISHED:
            peer.was_established = True
        if peer.state is not PeerState.ESTABLISHED or peer.link is CryptoState.ESTABLISHED:
            peer.state = PeerState(peer.link)

    def _review(self, peer: Peer, reason: str, now: float) -> None:
        """Tell the listener if the peer has become usable, or is so no more."""
        if peer.state is PeerState.INCOMPATIBLE and is_compatible(peer.version):
            peer.state = PeerState(peer.link)
        if peer.is_routable == peer.is_offered:
            return
        peer.is_offered = peer.is_routable
        if peer.is_offered:
            self._emit(PeerUp(peer.id, peer.key, peer.endpoint, peer.version))
            self._listener.handle_peer_up(peer, now)
        else:
            self._emit(PeerDown(peer.id, peer.key, peer.endpoint, reason))
            self._listener.handle_peer_gone(peer, now)

    def _restart(self, peer: Peer, reason: str, now: float) -> None:
        """Begin the link session anew with a ping in its first message."""
        self._emit(ResetPeer(peer.id))
        if peer.state is not PeerState.UNRESPONSIVE:
            peer.state = PeerState.INIT
        peer.link = CryptoState.INIT
        self._review(peer, reason, now)
        self._keep_alive.ping(peer, now)

    def _leave(self, peer: Peer, reason: str, now: float) -> None:
        self._keep_alive.forget(peer.id)
        self._wanted.handle_removed(peer.id, now)
        peer.state = PeerState.UNRESPONSIVE
        self._review(peer, "left", now)
        self._emit(PeerLeft(peer.id, peer.key, peer.endpoint, reason))

    def _miss(self, peer: Peer, now: float) -> None:
        """The engine does not have this peer: the event of its removal was lost."""
        peer.missing += 1
        if peer.missing >= _READINGS_BEFORE_BELIEVED:
            self.peers.forget(peer.id)
            self._leave(peer, "removed", now)

    def _remove_orphans(self, known: Set[PeerId]) -> None:
        """A peer whose PeerAdded was lost holds a slot for nothing: it may come again."""
        self._orphans = {
            peer: self._orphans.get(peer, 0) + 1 for peer in known if self.peers.by_id(peer) is None
        }
        for peer, readings in self._orphans.items():
            if readings >= _READINGS_BEFORE_BELIEVED:
                self._emit(RemovePeer(peer))

    def _compare_link(self, peer: Peer, state: CryptoState, now: float) -> None:
        """A LinkStateChanged may have been lost."""
        peer.contradicted = 0 if state is peer.link else peer.contradicted + 1
        if peer.contradicted >= _READINGS_BEFORE_BELIEVED:
            self.handle_link_state(LinkStateChanged(peer.id, peer.link, state), now)

    def _check_quiet(self, peer: Peer, sent: int, now: float) -> None:
        """Packets go to a peer and nothing comes back: ask whether it is there (ours)."""
        is_quiet = now - peer.heard_at >= _QUIET_SUSPICION_S and sent > _FEW_PACKETS
        if is_quiet and peer.state is PeerState.ESTABLISHED:
            self._keep_alive.suspect(peer, now)

    def _look_for_older_links(self, peer: Peer, now: float) -> None:
        """A node that calls from a new endpoint may have left its old one (04 §8)."""
        for other in self.peers.with_key(peer.key):
            if other.id < peer.id and other.interface == peer.interface:
                self._keep_alive.suspect(other, now, PROBES_AFTER_CHANGE)

    def _bound_half_open(self) -> None:
        """The oldest that called or was found, and never finished its handshake, makes room (04 §15)."""
        half_open = [
            peer for peer in self.peers.all() if peer.is_incoming and not peer.was_established
        ]
        for peer in half_open[: max(len(half_open) - MAX_HALF_OPEN, 0)]:
            self._emit(RemovePeer(peer.id))
