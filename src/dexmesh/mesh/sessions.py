"""Decide which label the traffic of each session takes, and notice when it gets lost.

Place     engine session events, RouteNeeded, Stats -> here -> SetRoute, RemoveSession, DropParked;
          routes and searches from pathfinder.py
Spec      docs/protocol/05 §6-8; ours is §8.4
Keeps     user data waits until the handshake is done and the version known; traffic on one path
          never proves another; one search and one question per address at a time, with back-off
Not here  parking and sealing (rust/engine), the labels of one session (paths.py), addresses
          without a working session (wants.py)
"""

from __future__ import annotations

from collections.abc import Callable

from dexmesh.engine.messages import (
    CryptoState,
    RemoveSession,
    ResetSession,
    RoutingMessage,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
    SessionStats,
    SetRoute,
    Stats,
)
from dexmesh.mesh.notices import Emit, PathFailed, RouteChanged
from dexmesh.mesh.pathfinder import Pathfinder
from dexmesh.mesh.paths import Paths
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.queries import Answer, Asked, Queries, Target
from dexmesh.mesh.routes import MetricClass
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.dht import PING
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import NO_LABEL, Label, label_length, routes_through
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION, spoken_version

IDLE_S = 120.0  # 05 §7
USED_S = 120.0  # 05 §7: user traffic this lately makes a session a used one
QUIET_S = 2.5  # ours, 05 §8.4: user packets went out, none came in for this long
PROBE_EVERY_S = 10.0  # ours: how often the path of a used session is proved
BETTER_EVERY_S = 30.0  # ours: how often a used session looks for a shorter path
SILENCES_BEFORE_FAILED = 2  # ours: unanswered probes that end a path
BEGIN_ANEW_EVERY_S = 10.0  # ours: how often keys that nobody answers to are thrown away

_MISSES_BEFORE_FORGOTTEN = 2  # ours: Stats without a session whose SessionRemoved got lost


@dataclass(slots=True)
class Session:
    """What the policy knows of one session; the engine has the keys."""

    address: Address
    key: PublicKey
    added_at: float
    handle: int = 0
    state: CryptoState = CryptoState.INIT
    version: int = 0
    used: Label = NO_LABEL
    paths: Paths = field(default_factory=Paths)
    stats: SessionStats | None = None
    unanswered_since: float | None = None
    probing: Label | None = None
    silences: int = 0
    proved_at: float = 0.0
    improved_at: float = 0.0
    begun_anew_at: float | None = None
    missing: int = 0

    @property
    def may_carry(self) -> bool:
        """Whether user data may be sent (05 §3, §6)."""
        is_keyed = self.state in (CryptoState.RECEIVED_KEY, CryptoState.ESTABLISHED)
        return is_keyed and self.version >= MINIMUM_ROUTED_VERSION

    def is_used(self, now: float, within_s: float = USED_S) -> bool:
        """Whether user traffic went out lately."""
        sent_at = None if self.stats is None else self.stats.last_user_out
        return sent_at is not None and now - sent_at < within_s


class Sessions:
    """One per node. It is an observer of every query, and the `Asker` of its probes."""

    def __init__(self, pathfinder: Pathfinder, queries: Queries, emit: Emit) -> None:
        self._pathfinder, self._queries, self._emit = pathfinder, queries, emit
        self._sessions: dict[Address, Session] = {}
        self._by_label: dict[Label, Address] = {}
        self._links: dict[Label, Peer] = {}
        self.is_wanted: Callable[[Address], bool] = lambda _address: False
        self.settled: Callable[[Address, float], None] = lambda _address, _now: None
        self.lost: Callable[[Address, float], None] = lambda _address, _now: None
        queries.observe(self)

    # --- Reading -----------------------------------------------------------------------------

    def session(self, address: Address) -> Session | None:
        """The session with a node."""
        return self._sessions.get(address)

    def all(self) -> list[Session]:
        """Every session, oldest first."""
        return list(self._sessions.values())

    def metric(self, address: Address, now: float) -> int:
        """The metric of the path in use (05 §8.1)."""
        session = self._sessions.get(address)
        return MetricClass.UNKNOWN if session is None else session.paths.metric(session.used, now)

    def is_maintained(self, address: Address, now: float) -> bool:
        """Whether user traffic keeps this session (05 §7)."""
        session = self._sessions.get(address)
        return session is not None and session.is_used(now)

    def reset(self, address: Address) -> bool:
        """Begin a session anew; False if there is none."""
        if address not in self._sessions:
            return False
        self._emit(ResetSession(address))
        return True

    # --- Events of the engine ----------------------------------------------------------------

    def handle_added(self, event: SessionAdded, now: float) -> None:
        """A session was made, by us or by somebody's handshake."""
        session = Session(event.address, event.key, now, event.handle, improved_at=now)
        known = self._sessions.get(event.address)
        if known is not None:
            session.paths, session.version = known.paths, known.version
        self._sessions[event.address] = session
        session.paths.learn(event.label, MetricClass.PACKET_CAME_IN, now)

    def handle_state(self, event: SessionStateChanged, now: float) -> None:
        """The handshake went on; at its end waiting packets may leave."""
        session = self._sessions.get(event.address)
        if session is None:
            return
        session.state = event.state
        session.paths.learn(event.label, MetricClass.PACKET_CAME_IN, now)
        self._settle(session, now, is_news=True)

    def handle_removed(self, event: SessionRemoved, now: float) -> None:
        """A session is gone; the next packet begins a new one."""
        self._forget(event.address)

    def handle_message(self, event: RoutingMessage, version: int, now: float) -> None:
        """A routing message came: its `p` is the version, its label a way back (05 §13.5)."""
        session = self._sessions.get(event.address)
        if session is None:
            session = self._sessions[event.address] = Session(event.address, event.key, now)
        session.version = version
        session.paths.learn(event.label, MetricClass.MESSAGE_CAME_IN, now)
        self._settle(session, now)

    def handle_stats(self, stats: Stats, now: float) -> None:
        """Look at every session: idle, gone, quiet, due for a proof, due for a better path."""
        counters = {counter.address: counter for counter in stats.sessions}
        for session in self.all():
            counter = counters.pop(session.address, None)
            if counter is None:
                self._miss(session)
            else:
                session.missing = 0
                self._look_at(session, counter, now)
        for counter in counters.values():
            session = Session(counter.address, counter.key, now, counter.handle)
            self._sessions[counter.address] = session
            self._look_at(session, counter, now)

    # --- What queries teach ------------------------------------------------------------------

    def learn_answer(self, answer: Answer, now: float) -> None:
        """A node answered on a label: that path is proved, whoever asked."""
        session = self._sessions.get(answer.asked.target.address)
        if session is None:
            return
        session.version = answer.reply.version
        label = answer.asked.target.label
        session.paths.learn(label, MetricClass.PING_ANSWERED, now)
        if label == session.used:
            session.proved_at, session.silences = now, 0
        self._settle(session, now)

    def learn_silence(self, asked: Asked, now: float) -> None:
        """Only the session's own probes count against its path: they follow at once."""

    def handle_answer(self, answer: Answer, now: float) -> None:
        """A probe was answered."""
        session = self._sessions.get(answer.asked.target.address)
        if session is not None:
            session.probing = None

    def handle_silence(self, asked: Asked, now: float) -> None:
        """A probe was not answered: once more, then the path has failed."""
        session = self._sessions.get(asked.target.address)
        if session is None:
            return
        session.probing = None
        label = asked.target.label
        if label != session.used:
            session.paths.fail(label)
            return
        session.silences += 1
        if session.silences < SILENCES_BEFORE_FAILED:
            self._probe(session, label, now)
        else:
            self._fail(session, "silence", now)

    # --- Peers and errors --------------------------------------------------------------------

    def handle_peer_up(self, peer: Peer, now: float) -> None:
        """A direct link is the best path there can be."""
        self._links[peer.label] = peer
        session = self._sessions.get(peer.address)
        if session is not None:
            session.paths.learn(peer.label, MetricClass.PEER, now)
            self._settle(session, now)

    def handle_peer_gone(self, peer: Peer, now: float) -> None:
        """Paths over a lost peer are worth nothing; sessions that used one move at once."""
        if self._links.get(peer.label) is peer:
            del self._links[peer.label]
        for session in self.all():
            session.paths.forget_through(peer.label)
            if session.used != NO_LABEL and routes_through(session.used, peer.label):
                self._reroute(session, now)

    def handle_switch_error(self, label: Label, now: float) -> None:
        """A switch says that a packet went no further. Anybody can forge that: prove the path."""
        address = self._by_label.get(label)
        session = None if address is None else self._sessions.get(address)
        if session is not None and session.used == label and session.probing is None:
            session.silences = max(session.silences, SILENCES_BEFORE_FAILED - 1)
            self._probe(session, label, now)

    # --- Choosing ----------------------------------------------------------------------------

    def take_into_use(self, session: Session, reason: str, now: float) -> bool:
        """Set the best path in the engine; False if there is none or no data may be sent yet."""
        path = session.paths.best(session.used, now)
        if path is None or not session.may_carry:
            return False
        self._use(session, path.label, reason, now)
        return True

    def give_up(self, address: Address, now: float) -> None:
        """No path of this session has worked for long: packets wait for a route again."""
        session = self._sessions.get(address)
        if session is not None and session.used and session.paths.best(NO_LABEL, now) is None:
            self._use(session, NO_LABEL, "given up", now)

    def _settle(self, session: Session, now: float, is_news: bool = False) -> None:
        """Something was learned about a session: use a better path, let waiting packets go."""
        path = session.paths.best(session.used, now)
        if self.is_wanted(session.address):
            self.settled(session.address, now)
        elif path is not None and session.may_carry and (is_news or path.label != session.used):
            self._use(session, path.label, "better" if session.used else "found", now)

    def _use(self, session: Session, label: Label, reason: str, now: float) -> None:
        version = spoken_version(session.version)
        self._emit(SetRoute(session.address, session.key, version, label))
        if label == session.used:
            return
        if self._by_label.get(session.used) == session.address:
            del self._by_label[session.used]
        if session.is_used(now) or self.is_wanted(session.address):
            self._emit(RouteChanged(session.address, session.used, label, reason))
        if label != NO_LABEL:
            self._by_label[label] = session.address
        session.used = label
        session.silences, session.unanswered_since = 0, None
        path = session.paths.at(label)
        session.proved_at = now if path is not None and path.rank(now) == 0 else 0.0

    # --- Looking after a path ----------------------------------------------------------------

    def _look_at(self, session: Session, counter: SessionStats, now: float) -> None:
        before, session.stats = session.stats, counter
        session.state, session.handle = counter.state, counter.handle
        heard_at = counter.last_in if counter.last_in is not None else session.added_at
        if now - max(heard_at, session.added_at) >= IDLE_S:
            self._emit(RemoveSession(session.address))
            return
        self._count_unanswered(session, counter)
        is_busy = session.is_used(now, PROBE_EVERY_S)
        if session.used == NO_LABEL or session.probing is not None or not is_busy:
            return
        if _has_moved(before, counter) or self._is_doubtful(session, now):
            self._probe(session, session.used, now)
        elif now - session.improved_at >= BETTER_EVERY_S:
            session.improved_at = now
            self._look_for_better(session, now)

    @staticmethod
    def _is_doubtful(session: Session, now: float) -> bool:
        """Whether user packets get no answer, or the last proof of the path is old."""
        since, unproved_s = session.unanswered_since, now - session.proved_at
        is_quiet = since is not None and min(now - since, unproved_s) >= QUIET_S
        return is_quiet or unproved_s >= PROBE_EVERY_S

    @staticmethod
    def _count_unanswered(session: Session, counter: SessionStats) -> None:
        """Since when user packets have gone out without any coming in."""
        sent_at, heard_at = counter.last_user_out, counter.last_user_in
        since = session.unanswered_since
        if sent_at is None or (heard_at is not None and heard_at >= sent_at):
            session.unanswered_since = None
        elif since is None or (heard_at is not None and heard_at > since):
            session.unanswered_since = sent_at

    def _probe(self, session: Session, label: Label, now: float) -> None:
        """Ask the node along a label whether it works."""
        version = session.version or MINIMUM_ROUTED_VERSION
        target = Target(session.address, session.key, version, label)
        if self._queries.start(target, PING, now, self):
            session.probing = label

    def _look_for_better(self, session: Session, now: float) -> None:
        """A shorter path is proved before it is used; one that failed long ago may work again."""
        route = self._pathfinder.route_to(session.address)
        if route is not None and label_length(route.label) < label_length(session.used):
            self._probe(session, route.label, now)

    def _fail(self, session: Session, reason: str, now: float) -> None:
        """The path in use is broken: leave it, and let the pathfinder find out where."""
        label = session.used
        session.paths.fail(label)
        self._emit(PathFailed(session.address, label, reason))
        self._pathfinder.handle_path_failed(session.address, label, now)
        self._reroute(session, now)

    def _reroute(self, session: Session, now: float) -> None:
        """Take the next path if one is known, and prove it; else a search has to find one."""
        avoid = (session.used, *session.paths.failed_labels())
        route = self._pathfinder.route_to(session.address, avoid)
        if route is not None:
            session.paths.learn(route.label, MetricClass.TABLE, now)
        path = session.paths.best(NO_LABEL, now)
        if path is None or path.label == session.used or not session.may_carry:
            self._begin_anew(session, now)
            self.lost(session.address, now)
            return
        self._use(session, path.label, "path failed", now)
        self._probe(session, path.label, now)

    def _begin_anew(self, session: Session, now: float) -> None:
        """No path brings an answer, though the first link works. The node may have restarted: it
        then drops what is sealed with old keys without a word (05 §7), and hears a handshake only.
        Waiting for the time-out of 01 §11 would take a minute.
        """
        heard_at = None if session.stats is None else session.stats.last_in
        begun_at = session.begun_anew_at
        is_heard = heard_at is not None and now - heard_at < QUIET_S
        is_recent = begun_at is not None and now - begun_at < BEGIN_ANEW_EVERY_S
        can_reach = any(
            now - peer.heard_at < QUIET_S and routes_through(session.used, label)
            for label, peer in self._links.items()
        )
        if can_reach and session.may_carry and not is_heard and not is_recent:
            session.begun_anew_at = now
            self._emit(ResetSession(session.address))

    def _miss(self, session: Session) -> None:
        session.missing += 1
        if session.missing >= _MISSES_BEFORE_FORGOTTEN:
            self._forget(session.address)

    def _forget(self, address: Address) -> None:
        session = self._sessions.pop(address, None)
        if session is not None and self._by_label.get(session.used) == address:
            del self._by_label[session.used]


def _has_moved(before: SessionStats | None, now: SessionStats) -> bool:
    """Whether the other end sends to us another way than it did: ours may be broken as well."""
    return before is not None and NO_LABEL != before.receive_label != now.receive_label
