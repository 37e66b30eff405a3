"""Find nodes on the same cable: say who we are now and then, and call whoever says so.

Place     host/beacons.py hands in beacons -> here -> peering.py calls; SendBeacon -> host/beacons.py
Spec      docs/protocol/04 §9.2, §15
Keeps     a working link is never given up for a beacon, since anybody on the cable can forge one: the
          peer is asked first, and only silence makes room for a new link; at most MAX_BEACON_PEERS
          links that work, as many half-open ones as peering.py allows; every beacon that is not
          acted on is counted
Not here  bytes (wire/beacon.py), sockets and destinations (host/beacons.py)

A beacon is no secret and proves nothing: whoever hears one may connect. So a peer found this way is
kept like one that called us, and forgotten after the same silence (04 §13, 5).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from enum import Enum

from dexmesh.engine.messages import Endpoint, InterfaceNumber, PeerId
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.limits import Limiter, TokenBucket
from dexmesh.mesh.notices import Emit, SendBeacon
from dexmesh.mesh.peering import Peering
from dexmesh.mesh.peers import LAZY_S, Peer, PeerState
from dexmesh.mesh.randomness import Random
from dexmesh.values import dataclass
from dexmesh.wire.beacon import Beacon, BeaconState, BeaconVerdict, judge_beacon

INTERVAL_S = 32.768  # 04 §9.2
JITTER = 0.05  # ours, 04 §15: of the interval, in both directions
SHORTEST_GAP_S = 2.0  # ours: between two beacons, however often the network changes

MAX_BEACON_PEERS = 64  # ours: links that work and began with a beacon
MAX_REMEMBERED = 256  # ours: endpoints whose password is remembered
BEACONS_PER_S, BEACON_BURST = 16.0, 64.0  # ours: of all senders together
BEACONS_PER_HOST_S, BEACON_BURST_PER_HOST = 0.5, 8.0  # ours
MAX_HOSTS = 256  # ours: senders told apart

_HEALTHY_S = 3 * LAZY_S  # ours: a link heard within this time needs no question
_DOUBT_S = 10.0  # ours: how long a beacon may wait for the verdict on the peer in its place


class BeaconDrop(Enum):
    """Why a beacon was not acted on; they never reach the data plane, so neither do these."""

    BEACON_MALFORMED = "A datagram to the beacon port that is no beacon."
    BEACON_OFF = "A beacon for an interface whose beacons are switched off."
    BEACON_NOT_A_NODE = "A beacon with a key whose address is not in fc00::/8."
    BEACON_OWN = "Our own beacon came back, as broadcasts do."
    BEACON_INCOMPATIBLE = "A beacon of a protocol version that is too old."
    BEACON_TOO_OFTEN = "Too many beacons in a short time."
    BEACON_TOO_MANY_PEERS = "As many peers found by beacons as there may be."


_DROP_OF = {
    BeaconVerdict.OFF: BeaconDrop.BEACON_OFF,
    BeaconVerdict.NOT_A_NODE: BeaconDrop.BEACON_NOT_A_NODE,
    BeaconVerdict.OWN: BeaconDrop.BEACON_OWN,
    BeaconVerdict.INCOMPATIBLE: BeaconDrop.BEACON_INCOMPATIBLE,
}

_Place = tuple[InterfaceNumber, Endpoint]


@dataclass(slots=True)
class _Sending:
    """An interface that sends; `sent_at` None until the first beacon."""

    due: float
    sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Successor:
    """A beacon that waits until the peer at its endpoint proves to be dead."""

    place: _Place
    beacon: Beacon
    heard_at: float


class Beacons:
    """One per node. Performs no I/O and never reads a clock."""

    def __init__(
        self, identity: Identity, password: bytes, peering: Peering, random: Random, emit: Emit
    ) -> None:
        self._own = Beacon(identity.version, password, identity.key)
        self._peering, self._random, self._emit = peering, random, emit
        self._states: dict[InterfaceNumber, BeaconState] = {}
        self._sending: dict[InterfaceNumber, _Sending] = {}
        self._passwords: OrderedDict[_Place, bytes] = OrderedDict()
        self._successors: dict[PeerId, _Successor] = {}
        self._all = TokenBucket(BEACONS_PER_S, BEACON_BURST, 0.0)
        self._hosts: Limiter[str] = Limiter(BEACONS_PER_HOST_S, BEACON_BURST_PER_HOST, MAX_HOSTS)
        self._drops: Counter[BeaconDrop] = Counter()

    # --- What people ask for -----------------------------------------------------------------

    def set_state(self, interface: InterfaceNumber, state: BeaconState, now: float) -> None:
        """Be silent, listen, or announce us too; the first beacon leaves at once."""
        self._states[interface] = state
        if state is BeaconState.SEND_AND_ACCEPT:
            self._sending.setdefault(interface, _Sending(now))
            self.announce(interface, now)
        else:
            self._sending.pop(interface, None)

    def state(self, interface: InterfaceNumber) -> BeaconState:
        """What an interface does; those never heard of do nothing."""
        return self._states.get(interface, BeaconState.OFF)

    def announce(self, interface: InterfaceNumber, now: float) -> None:
        """There may be new ears: send the next beacon now, if this interface sends at all."""
        sending = self._sending.get(interface)
        if sending is None:
            return
        earliest = now if sending.sent_at is None else sending.sent_at + SHORTEST_GAP_S
        sending.due = min(sending.due, max(now, earliest))

    def handle_network_changed(self, now: float) -> None:
        """A cable was plugged in, or an address changed: who is there need not wait to hear of us."""
        for interface in self._sending:
            self.announce(interface, now)

    def forget_interface(self, interface: InterfaceNumber) -> None:
        """An interface is gone."""
        self._states.pop(interface, None)
        self._sending.pop(interface, None)

    def drop_counts(self) -> Mapping[str, int]:
        """How many beacons were not acted on, by reason."""
        return {drop.name.lower(): count for drop, count in self._drops.items()}

    def count_malformed(self) -> None:
        """Something came to the beacon port that is no beacon."""
        self._drops[BeaconDrop.BEACON_MALFORMED] += 1

    # --- Events ------------------------------------------------------------------------------

    def handle_beacon(
        self, interface: InterfaceNumber, endpoint: Endpoint, beacon: Beacon, now: float
    ) -> None:
        """Somebody can be reached at `endpoint`, whose data socket the beacon names."""
        verdict = judge_beacon(beacon, self._own.key, self.state(interface))
        if verdict is not BeaconVerdict.ACCEPT:
            self._drops[_DROP_OF[verdict]] += 1
        elif not (self._hosts.allows(_host_of(endpoint), now) and self._all.take(now)):
            self._drops[BeaconDrop.BEACON_TOO_OFTEN] += 1
        else:
            place = (interface, endpoint)
            peer = self._peering.peers.at(interface, endpoint)
            if peer is None:
                self._call(place, beacon)
            elif not peer.is_wanted:
                self._compare(peer, place, beacon, now)

    def handle_peer_removed(self, peer: PeerId, now: float) -> None:
        """A slot is free: if a beacon showed that its peer was dead, call whoever sent that."""
        successor = self._successors.pop(peer, None)
        if successor is not None and now - successor.heard_at <= _DOUBT_S:
            self._call(successor.place, successor.beacon)

    # --- Time --------------------------------------------------------------------------------

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next beacon leaves."""
        due = min((sending.due for sending in self._sending.values()), default=None)
        return None if due is None else (due, "beacon")

    def handle_timeout(self, now: float) -> None:
        """Send the beacons that are due."""
        for interface, sending in self._sending.items():
            if sending.due <= now:
                sending.sent_at = now
                sending.due = now + INTERVAL_S * (1 + JITTER * (2 * self._random.random() - 1))
                self._emit(SendBeacon(interface, self._own))

    # --- Inside ------------------------------------------------------------------------------

    def _call(self, place: _Place, beacon: Beacon) -> None:
        if self._peering.found_count() >= MAX_BEACON_PEERS:
            self._drops[BeaconDrop.BEACON_TOO_MANY_PEERS] += 1
            return
        self._remember(place, beacon.password)
        self._peering.call_found(*place, beacon.key, beacon.password)

    def _compare(self, peer: Peer, place: _Place, beacon: Beacon, now: float) -> None:
        """A sender with another key or password has restarted, or is another node, or is a liar."""
        known = self._passwords.get(place, beacon.password)
        self._remember(place, beacon.password)
        is_same = peer.key == beacon.key and known == beacon.password
        is_healthy = peer.state is PeerState.ESTABLISHED and now - peer.heard_at < _HEALTHY_S
        if is_same and is_healthy:
            return
        self._successors[peer.id] = _Successor(place, beacon, now)
        if len(self._successors) > MAX_REMEMBERED:  # events of removal were lost
            del self._successors[next(iter(self._successors))]
        self._peering.replace_if_silent(peer, now)

    def _remember(self, place: _Place, password: bytes) -> None:
        self._passwords[place] = password
        self._passwords.move_to_end(place)
        if len(self._passwords) > MAX_REMEMBERED:
            self._passwords.popitem(last=False)


def _host_of(endpoint: Endpoint) -> str:
    """The endpoint without its port; a MAC address is all host but its last byte."""
    return endpoint.rpartition(":")[0]
