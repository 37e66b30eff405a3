"""Get a working session for every address that user packets wait for, or say that there is none.

Place     engine RouteNeeded, sessions that lost their path -> here -> questions and searches;
          a session that works is taken into use, else DropParked
Spec      docs/protocol/05 §6; docs/protocol/06 §11.7
Keeps     at most MAX_WANTS addresses; one question or search for each at a time; searches are
          repeated with back-off while packets keep coming and end when they stop
Not here  sessions that work (sessions.py), how a search goes (dht/search.py)
"""

from __future__ import annotations

from collections import Counter

from dexmesh.engine.messages import DropParked, RouteNeeded
from dexmesh.mesh.dht.search import MAX_REQUESTS
from dexmesh.mesh.notices import Emit, NoRouteFound
from dexmesh.mesh.pathfinder import Pathfinder
from dexmesh.mesh.queries import Answer, Asked, Queries, Target
from dexmesh.mesh.sessions import Sessions
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.dht import PING
from dexmesh.wire.label import Label
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION

MAX_WANTS = 64  # ours; the engine parks packets for 30 addresses (05 §6)
LOOK_EVERY_S = 0.2  # ours: how often what was learned meanwhile is looked at
FIRST_BACK_OFF_S = 0.2  # ours, 06 §11.7
LONGEST_BACK_OFF_S = 5.0  # ours
GIVE_UP_S = 8.0  # ours: a parked packet would be thrown away at 10 s (05 §6)
FORGET_S = 10.0  # ours: nobody asked any more
TRIES_PER_LABEL = 2  # ours: questions along one label before it counts as broken


@dataclass(slots=True)
class Want:
    """An address without a working session. `since` is when waiting (again) began."""

    address: Address
    since: float
    asked_at: float
    search_at: float
    back_off_s: float = FIRST_BACK_OFF_S
    is_asking: bool = False
    is_searching: bool = False
    tries: Counter[Label] = field(default_factory=Counter)

    def broken_labels(self) -> tuple[Label, ...]:
        """The labels on which the node stayed silent."""
        return tuple(label for label, count in self.tries.items() if count >= TRIES_PER_LABEL)


class Wants:
    """One per node. It is the `Asker` of its questions and the owner of its searches."""

    def __init__(
        self, sessions: Sessions, pathfinder: Pathfinder, queries: Queries, emit: Emit
    ) -> None:
        self._sessions, self._pathfinder = sessions, pathfinder
        self._queries, self._emit = queries, emit
        self._wants: dict[Address, Want] = {}
        self._look_at: float | None = None
        sessions.is_wanted = self._wants.__contains__
        sessions.settled = self._handle_settled
        sessions.lost = self._handle_lost

    def handle_route_needed(self, event: RouteNeeded, now: float) -> None:
        """A user packet waits for a route."""
        self._want(event.address, now)

    def handle_peer_up(self, now: float) -> None:
        """The network is another than it was: what waits to search again need not wait."""
        for want in list(self._wants.values()):
            want.search_at, want.back_off_s = now, FIRST_BACK_OFF_S
            self._advance(want, now)

    def next_timeout(self) -> tuple[float, str] | None:
        """When the wants are looked at again; None while there are none."""
        return None if self._look_at is None or not self._wants else (self._look_at, "wants")

    def handle_timeout(self, now: float) -> None:
        """Go on with every want; give up what takes too long, forget what nobody asks for."""
        if self._look_at is None or self._look_at > now:
            return
        self._look_at = now + LOOK_EVERY_S
        for want in list(self._wants.values()):
            if now - want.asked_at >= FORGET_S:
                self._forget(want)
            elif now - want.since >= GIVE_UP_S:
                self._give_up(want, now)
            else:
                self._advance(want, now)

    # --- Answers -----------------------------------------------------------------------------

    def handle_answer(self, answer: Answer, now: float) -> None:
        """The node itself has answered; the session learned its path from that already."""
        want = self._wants.get(answer.asked.target.address)
        if want is not None:
            want.is_asking = False
            self._advance(want, now)

    def handle_silence(self, asked: Asked, now: float) -> None:
        """The node did not answer on this label: once more, then by another."""
        want = self._wants.get(asked.target.address)
        if want is None:
            return
        want.is_asking = False
        label = asked.target.label
        want.tries[label] += 1
        if want.tries[label] >= TRIES_PER_LABEL:
            session = self._sessions.session(want.address)
            if session is not None:
                session.paths.fail(label)
            self._pathfinder.handle_path_failed(want.address, label, now)
        self._advance(want, now)

    def handle_search_answer(self, answer: Answer, now: float) -> None:
        """A search goes on by itself."""

    def handle_search_end(self, address: Address, answer: Answer | None, now: float) -> None:
        """Found: the session works, or will when its handshake is done. Else again, later."""
        want = self._wants.get(address)
        if want is None:
            return
        want.is_searching = False
        want.tries.clear()
        want.search_at = now + want.back_off_s
        want.back_off_s = min(want.back_off_s * 2, LONGEST_BACK_OFF_S)
        if answer is not None:
            self._advance(want, now)

    # --- Inside ------------------------------------------------------------------------------

    def _want(self, address: Address, now: float) -> None:
        want = self._wants.get(address)
        if want is None:
            if len(self._wants) >= MAX_WANTS:
                self._forget(min(self._wants.values(), key=lambda one: one.asked_at))
            want = self._wants[address] = Want(address, now, now, now)
            if self._look_at is None or len(self._wants) == 1:
                self._look_at = now + LOOK_EVERY_S
        want.asked_at = now
        self._advance(want, now)

    def _handle_settled(self, address: Address, now: float) -> None:
        want = self._wants.get(address)
        if want is not None:
            self._advance(want, now)

    def _handle_lost(self, address: Address, now: float) -> None:
        """A session has no working path any more: if it is used, look for another."""
        if self._sessions.is_maintained(address, now):
            self._want(address, now)

    def _advance(self, want: Want, now: float) -> None:
        """Take the next step towards a working session."""
        session = self._sessions.session(want.address)
        if session is not None and self._sessions.take_into_use(session, "found", now):
            self._forget(want)
            return
        if want.is_asking:
            return
        target = self._known_way(want, now)
        if target is not None and self._queries.start(target, PING, now, self):
            want.is_asking = True
        elif target is None and not want.is_searching and want.search_at <= now:
            want.is_searching = True
            if not self._pathfinder.start_search(want.address, MAX_REQUESTS, self, now):
                want.is_searching = False
                want.search_at = now + want.back_off_s

    def _known_way(self, want: Want, now: float) -> Target | None:
        """A label that nothing speaks against: of the session, or from the pathfinder."""
        session = self._sessions.session(want.address)
        broken = want.broken_labels()
        if session is not None:
            path = session.paths.best(session.used, now)
            if path is not None and path.label not in broken:
                version = session.version or MINIMUM_ROUTED_VERSION
                return Target(want.address, session.key, version, path.label)
            broken += session.paths.failed_labels()
        route = self._pathfinder.route_to(want.address, broken)
        if route is None:
            return None
        return Target(route.address, route.key, route.version, route.label)

    def _give_up(self, want: Want, now: float) -> None:
        """Tell those who send; go on searching while packets keep coming."""
        want.since = now
        self._sessions.give_up(want.address, now)
        self._emit(DropParked(want.address))
        self._emit(NoRouteFound(want.address))

    def _forget(self, want: Want) -> None:
        self._wants.pop(want.address, None)
