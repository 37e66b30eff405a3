"""Decide when a peer is pinged, when it counts as unresponsive, and when it is forgotten.

Place     a check cycle of Node -> here -> pings.py; verdicts go to peering.py
Spec      docs/protocol/04 §7: constants and walk exactly; what is faster than that says "ours"
Keeps     one ping per interface and cycle by the rules of 04 §7, besides those only peers that we
          call and that are silent, at most RETRIES_PER_CYCLE; at most 50 pings wait
Not here  what a verdict means for routes and slots (peering.py)

Ours, because a link has to be back two seconds after its path works again: a silent peer that we
call is asked every cycle instead of every eighth, and when a few quick pings in a row stay
unanswered its link session begins anew, since the other end may have restarted or may see us
under another endpoint, where only a handshake is heard.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from dexmesh.engine.messages import InterfaceNumber, PeerId
from dexmesh.mesh.peers import LAZY_S, Peer, PeerState, PeerTable
from dexmesh.mesh.pings import MAX_KEEPALIVE_PINGS, PingOutcome, SwitchPings
from dexmesh.values import dataclass
from dexmesh.wire.versions import is_compatible

CYCLE_S = 1.024  # 04 §7
UNRESPONSIVE_S = 20.480  # 04 §7
FORGET_S = 262.144  # 04 §7
PONG_WAIT_S = 2.048  # 04 §7
UNRESPONSIVE_PING_EVERY = 8  # 04 §7
HANDSHAKE_PING_PAUSE = 7  # 04 §5.3: every 7th is left out

RETRIES_PER_CYCLE = 16  # ours: silent configured peers asked per interface and cycle
PROBE_S = 0.4  # ours: between the quick pings to a peer under suspicion
PROBES = 4  # ours: quick pings before the verdict
PROBES_AFTER_CHANGE = 2  # ours: the same when the underlay is known to have changed


class Verdicts(Protocol):
    """What the keep-alive finds out about a peer."""

    def mark_unresponsive(self, peer: Peer, now: float) -> None:
        """Not heard for 20 s."""
        ...

    def mark_incompatible(self, peer: Peer, now: float) -> None:
        """It speaks a version that we do not."""
        ...

    def forget_silent(self, peer: Peer, now: float) -> None:
        """It called us and was not heard for 262 s, or its place is wanted for a newer link."""
        ...

    def begin_anew(self, peer: Peer, now: float) -> None:
        """A peer that we call does not answer: only a handshake can help."""
        ...

    def handle_pong(self, peer: Peer, outcome: PingOutcome, now: float) -> None:
        """It answered a ping from its own label."""
        ...


@dataclass(slots=True)
class _Probe:
    next_at: float
    left: int
    since: float
    is_last_chance: bool


class KeepAlive:
    """The schedule of pings to peers. Performs no I/O and never reads a clock."""

    def __init__(self, peers: PeerTable, pings: SwitchPings, verdicts: Verdicts) -> None:
        self._peers, self._pings, self._verdicts = peers, pings, verdicts
        self._starts: dict[InterfaceNumber, int] = {}
        self._retries: dict[InterfaceNumber, int] = {}
        self._probes: dict[PeerId, _Probe] = {}
        self._waiting = 0

    def run_cycle(self, now: float) -> None:
        """Walk round the peers of every interface (04 §7)."""
        for interface in self._peers.interfaces():
            peers = self._peers.on_interface(interface)
            asked = self._walk(interface, peers, now)
            self._retry(interface, [peer for peer in peers if peer is not asked], now)

    def ping(self, peer: Peer, now: float) -> None:
        """Send one keep-alive ping, unless 50 wait already."""
        if self._waiting >= MAX_KEEPALIVE_PINGS:
            return
        done = partial(self._finish, peer.id)
        if self._pings.start(peer.label, PONG_WAIT_S, now, done):
            self._waiting += 1
            peer.asked_at = now

    def ping_after_handshake(self, peer: Peer, now: float) -> None:
        """A message was accepted on a link that is not established (04 §5.3)."""
        if (peer.ping_count + 1) % HANDSHAKE_PING_PAUSE:
            self.ping(peer, now)
        peer.ping_count += 1

    def suspect(
        self, peer: Peer, now: float, probes: int = PROBES, is_last_chance: bool = False
    ) -> None:
        """Ask a peer a few times in quick succession; a verdict follows if it stays silent.

        `is_last_chance`: one that called us is then forgotten, since somebody needs its place.
        """
        probe = self._probes.get(peer.id)
        if probe is not None:
            probe.left = min(probe.left, probes)
            probe.is_last_chance |= is_last_chance
            return
        self.ping(peer, now)
        self._probes[peer.id] = _Probe(now + PROBE_S, probes - 1, now, is_last_chance)

    def forget(self, peer: PeerId) -> None:
        """A peer is gone."""
        self._probes.pop(peer, None)

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next quick ping is due."""
        if not self._probes:
            return None
        return min(probe.next_at for probe in self._probes.values()), "peer probe"

    def handle_timeout(self, now: float) -> None:
        """Send the quick pings that are due, and judge."""
        for peer_id, probe in list(self._probes.items()):
            if probe.next_at <= now:
                self._probe(peer_id, probe, now)

    def _probe(self, peer_id: PeerId, probe: _Probe, now: float) -> None:
        peer = self._peers.by_id(peer_id)
        if peer is None or peer.heard_at >= probe.since:
            del self._probes[peer_id]
        elif probe.left > 0:
            probe.left -= 1
            probe.next_at = now + PROBE_S
            self.ping(peer, now)
        else:
            del self._probes[peer_id]
            self._judge(peer, probe, now)

    def _judge(self, peer: Peer, probe: _Probe, now: float) -> None:
        """A peer under suspicion answered none of its quick pings."""
        if not peer.is_incoming:
            self._verdicts.begin_anew(peer, now)
        elif probe.is_last_chance or any(
            self._has_taken_over(other, peer) for other in self._peers.with_key(peer.key)
        ):
            self._verdicts.forget_silent(peer, now)

    @staticmethod
    def _has_taken_over(newer: Peer, older: Peer) -> bool:
        """Whether a node calls us from a new endpoint of the same interface (04 §8)."""
        return (
            newer.id > older.id
            and newer.interface == older.interface
            and newer.state is PeerState.ESTABLISHED
        )

    def _walk(self, interface: InterfaceNumber, peers: list[Peer], now: float) -> Peer | None:
        """The peer that was pinged, if any. The walk begins one further on each time."""
        start = self._starts.get(interface, 0)
        self._starts[interface] = start + 1
        for place in range(len(peers)):
            peer = peers[(start + place) % len(peers)]
            if self._is_pinged_in_turn(peer, now):
                peer.ping_count += 1
                self._ask_in_turn(peer, now)
                return peer
        return None

    def _is_pinged_in_turn(self, peer: Peer, now: float) -> bool:
        """Steps 1 to 5 of 04 §7."""
        if peer.version and not is_compatible(peer.version):
            self._verdicts.mark_incompatible(peer, now)
            return False
        silent_s = now - peer.heard_at
        if peer.version and silent_s < LAZY_S:
            return False
        if peer.pong_at is not None and now - peer.pong_at < LAZY_S:
            return False
        if peer.is_incoming and silent_s >= FORGET_S:
            self._verdicts.forget_silent(peer, now)
            return False
        if silent_s >= UNRESPONSIVE_S:
            if peer.ping_count % UNRESPONSIVE_PING_EVERY:
                peer.ping_count += 1
                return False
            self._verdicts.mark_unresponsive(peer, now)
        return True

    def _ask_in_turn(self, peer: Peer, now: float) -> None:
        if peer.is_wanted and peer.state is PeerState.ESTABLISHED and peer.version:
            self.suspect(peer, now)
        else:
            self.ping(peer, now)

    def _retry(self, interface: InterfaceNumber, peers: list[Peer], now: float) -> None:
        """Ask silent peers that we call once more (ours)."""
        silent = [peer for peer in peers if self._is_retried(peer, now)]
        start = self._retries.get(interface, 0)
        self._retries[interface] = start + RETRIES_PER_CYCLE if silent else 0
        for place in range(min(RETRIES_PER_CYCLE, len(silent))):
            self.ping(silent[(start + place) % len(silent)], now)

    def _is_retried(self, peer: Peer, now: float) -> bool:
        is_silent = now - peer.heard_at >= LAZY_S and peer.id not in self._probes
        is_due = peer.asked_at is None or now - peer.asked_at >= CYCLE_S / 2
        return peer.is_wanted and is_silent and is_due and is_compatible(peer.version or 20)

    def _finish(self, peer_id: PeerId, outcome: PingOutcome, now: float) -> None:
        self._waiting -= 1
        peer = self._peers.by_id(peer_id)
        if peer is None or outcome.label is None:
            return
        if outcome.is_pong:
            self._verdicts.handle_pong(peer, outcome, now)
