"""Keep calling the peers of the configuration until each has a slot.

Place     peering.py (settings, UDPInterface_beginConnection) -> here -> AddPeer -> engine
Spec      docs/protocol/04 §2.1
Keeps     one entry per interface and endpoint, at most MAX_WANTED; a refusal that time cannot
          heal ends the entry, any other is tried again with back-off
Not here  resolving host names (host/), pinging (keepalive.py)
"""

from __future__ import annotations

from dexmesh.engine.messages import AddPeer, Endpoint, InterfaceNumber, PeerId
from dexmesh.mesh.notices import Emit, PeerNotAdded
from dexmesh.values import dataclass, field
from dexmesh.wire.keys import PublicKey

MAX_WANTED = 1024  # ours
FIRST_RETRY_S = 1.0  # ours
LONGEST_RETRY_S = 30.0  # ours
READINGS_BEFORE_RETRY = 2  # ours: the engine answers a call at once, so the answer got lost

_FINAL_REASONS = frozenset({"own key", "not a mesh key", "wrong family"})


@dataclass(slots=True)
class WantedPeer:
    """A peer that somebody asked for. `peer` is its number while it has a slot."""

    interface: InterfaceNumber
    endpoint: Endpoint
    key: PublicKey
    password: bytes = field(repr=False)
    login: str | None
    peer_name: str | None
    peer: PeerId | None = None
    retry_at: float | None = None
    delay_s: float = FIRST_RETRY_S
    unanswered: int = 0  # Stats since it was called


class WantedPeers:
    """The peers we call, whether they answer or not. Performs no I/O."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._wanted: dict[tuple[InterfaceNumber, Endpoint], WantedPeer] = {}

    def want(self, wanted: WantedPeer) -> None:
        """Call this peer now; an entry with the same endpoint and key is only renewed."""
        place = (wanted.interface, wanted.endpoint)
        old = self._wanted.get(place)
        if old is not None and old.key == wanted.key:
            wanted.peer = old.peer
        elif len(self._wanted) >= MAX_WANTED:
            self._emit(PeerNotAdded(wanted.interface, wanted.endpoint, "too many", True))
            return
        self._wanted[place] = wanted
        if wanted.peer is None:
            self._call(wanted)

    def with_key(self, key: PublicKey) -> list[WantedPeer]:
        """The entries for a node."""
        return [wanted for wanted in self._wanted.values() if wanted.key == key]

    def at(self, interface: InterfaceNumber, endpoint: Endpoint) -> WantedPeer | None:
        """The entry for an endpoint."""
        return self._wanted.get((interface, endpoint))

    def forget(self, wanted: WantedPeer) -> None:
        """Stop calling a peer; a slot that it has is the caller's business."""
        self._wanted.pop((wanted.interface, wanted.endpoint), None)

    def forget_interface(self, interface: InterfaceNumber) -> None:
        """Stop calling peers by an interface that is gone."""
        self._wanted = {
            place: wanted for place, wanted in self._wanted.items() if place[0] != interface
        }

    def handle_added(
        self, interface: InterfaceNumber, endpoint: Endpoint, key: PublicKey, peer: PeerId
    ) -> WantedPeer | None:
        """The entry that got its slot, if it is one of ours."""
        wanted = self._wanted.get((interface, endpoint))
        if wanted is None or wanted.key != key:
            return None
        wanted.peer, wanted.retry_at, wanted.delay_s = peer, None, FIRST_RETRY_S
        return wanted

    def handle_refused(
        self, interface: InterfaceNumber, endpoint: Endpoint, reason: str, now: float
    ) -> None:
        """The engine made no peer: give up, or try again later."""
        wanted = self._wanted.get((interface, endpoint))
        is_final = reason in _FINAL_REASONS
        self._emit(PeerNotAdded(interface, endpoint, reason, is_final or wanted is None))
        if wanted is None:
            return
        if is_final:
            self.forget(wanted)
        else:
            self._put_off(wanted, now)

    def handle_removed(self, peer: PeerId, now: float) -> None:
        """A slot is gone: if it was that of an entry, it is called again."""
        for wanted in self._wanted.values():
            if wanted.peer == peer:
                wanted.peer = None
                self._put_off(wanted, now)

    def handle_stats(self, now: float) -> None:
        """Calls that have no answer by now never get one: call again."""
        for wanted in self._wanted.values():
            if wanted.peer is None and wanted.retry_at is None:
                wanted.unanswered += 1
                if wanted.unanswered >= READINGS_BEFORE_RETRY:
                    self._put_off(wanted, now)

    def retry_all(self, now: float) -> None:
        """The underlay changed: what waits for its next attempt need not wait longer."""
        for wanted in self._wanted.values():
            if wanted.retry_at is not None:
                wanted.retry_at, wanted.delay_s = now, FIRST_RETRY_S

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next entry is tried again."""
        times = [wanted.retry_at for wanted in self._wanted.values() if wanted.retry_at is not None]
        return (min(times), "call a peer again") if times else None

    def handle_timeout(self, now: float) -> None:
        """Try the entries that are due."""
        for wanted in list(self._wanted.values()):
            if wanted.retry_at is not None and wanted.retry_at <= now:
                wanted.retry_at = None
                self._call(wanted)

    def _put_off(self, wanted: WantedPeer, now: float) -> None:
        wanted.retry_at = now + wanted.delay_s
        wanted.delay_s = min(wanted.delay_s * 2, LONGEST_RETRY_S)

    def _call(self, wanted: WantedPeer) -> None:
        wanted.unanswered = 0
        self._emit(
            AddPeer(wanted.interface, wanted.endpoint, wanted.key, wanted.password, wanted.login)
        )

    def __len__(self) -> int:
        return len(self._wanted)
