"""Search for a node by asking others who is near it, and ask the node itself at last.

Place     pathfinder.py starts searches -> Queries; what they find goes to a SearchOwner
Spec      docs/protocol/06 §8 for the reference's search, §11.2 for ours
Keeps     PARALLEL queries open, `most` queries in all, MAX_CANDIDATES remembered, SEARCH_S long;
          a search succeeds only when the target itself has answered
Not here  whether and when to search (sessions.py), remembering what was found (pathfinder.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dexmesh.mesh.queries import Answer, Asked, Queries, Target
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address, distance
from dexmesh.wire.dht import FIND_NODE, PING, NodeEntry
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import Label, label_length, splice
from dexmesh.wire.node_address import NodeAddress
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION

PARALLEL = 3  # ours, 06 §11.2
MAX_REQUESTS = 24  # ours; the reference stops after 20 (06 §8)
MAX_SEARCHES = 31  # 06 §8
MAX_CANDIDATES = 64  # ours
MAX_TARGET_LABELS = 4  # ours: ways on which the target itself is asked
TRIES_PER_LABEL = 2  # ours: how often on each
SEARCH_S = 10.0  # ours


class SearchOwner(Protocol):
    """Who searches, and wants to hear of it."""

    def handle_search_answer(self, answer: Answer, now: float) -> None:
        """One of the nodes that were asked has answered."""
        ...

    def handle_search_end(self, address: Address, answer: Answer | None, now: float) -> None:
        """The search is over; `answer` is the target's own, None if it was not reached."""
        ...


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """A search that is running, for people: whom it asked last, how many it asked."""

    address: Address
    last_asked: NodeAddress | None
    requests: int


@dataclass(slots=True)
class Search:
    """One search. It is the `Asker` of its queries."""

    address: Address
    most: int
    ends_at: float
    owner: SearchOwner
    own_address: Address
    queries: Queries
    finished: Callable[[Search], None]
    candidates: list[Target] = field(default_factory=list)
    seen: dict[Address, None] = field(default_factory=dict)
    target_labels: dict[Label, int] = field(default_factory=dict)
    open: dict[Asked, None] = field(default_factory=dict)
    requests: int = 0
    last_asked: Target | None = None
    is_over: bool = False

    def info(self) -> SearchInfo:
        """How far it has come."""
        last = self.last_asked
        asked = None if last is None else NodeAddress(last.key, last.label, last.version)
        return SearchInfo(self.address, asked, self.requests)

    def begin(self, seeds: list[Target], now: float) -> None:
        """Ask the nodes we know, the nearest to the target first."""
        for seed in seeds:
            self._consider(seed, now)
        self._ask_on(now)

    def handle_answer(self, answer: Answer, now: float) -> None:
        """Take every node of a reply into account, not only the nearest (06 §11.2)."""
        if self.is_over:
            return
        self.owner.handle_search_answer(answer, now)
        if answer.asked.target.address == self.address:
            self._end(answer, now)
            return
        self.open.pop(answer.asked, None)
        for entry in reversed(answer.reply.nodes):
            found = spliced(entry, answer.label)
            if found is not None:
                self._consider(found, now)
        self._ask_on(now)

    def handle_silence(self, asked: Asked, now: float) -> None:
        """A node did not answer in time: go on with the next; the target is asked once more."""
        if self.is_over:
            return
        self.open.pop(asked, None)
        if asked.target.address == self.address:
            self._ask_target(asked.target, now)
        self._ask_on(now)

    def handle_timeout(self, now: float) -> None:
        """Give up when the time is over."""
        if not self.is_over and self.ends_at <= now:
            self._end(None, now)

    def _consider(self, found: Target, now: float) -> None:
        if found.address == self.own_address or found.version < MINIMUM_ROUTED_VERSION:
            return
        if found.address == self.address:
            self._ask_target(found, now)
        elif found.address not in self.seen:
            self._remember(found)

    def _remember(self, found: Target) -> None:
        """Keep the candidates sorted, the nearest last; of two labels the shorter."""
        for place, other in enumerate(self.candidates):
            if other.address == found.address:
                if label_length(found.label) < label_length(other.label):
                    self.candidates[place] = found
                return
        self.candidates.append(found)
        self.candidates.sort(key=lambda one: distance(one.address, self.address), reverse=True)
        if len(self.candidates) > MAX_CANDIDATES:
            del self.candidates[0]

    def _ask_target(self, target: Target, now: float) -> None:
        """The target is asked at once on each new way, whatever else is open."""
        tries = self.target_labels.get(target.label, 0)
        is_new = tries == 0 and len(self.target_labels) < MAX_TARGET_LABELS
        is_silent = 0 < tries < TRIES_PER_LABEL and not self._is_asking(target)
        if not is_new and not is_silent:
            return
        asked = self.queries.start(target, PING, now, self)
        if asked is not None:
            self.target_labels[target.label] = tries + 1
            self.open[asked] = None

    def _is_asking(self, target: Target) -> bool:
        return any(asked.target == target for asked in self.open)

    def _ask_on(self, now: float) -> None:
        while self.candidates and len(self.open) < PARALLEL and self.requests < self.most:
            target = self.candidates.pop()
            self.seen[target.address] = None
            asked = self.queries.start(target, FIND_NODE, now, self, self.address)
            if asked is not None:
                self.open[asked] = None
                self.last_asked = target
                self.requests += 1
        if not self.open:
            self._end(None, now)

    def _end(self, answer: Answer | None, now: float) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.candidates.clear()
        self.finished(self)
        self.owner.handle_search_end(self.address, answer, now)


def spliced(entry: NodeEntry, via: Label) -> Target | None:
    """The node of a reply as we can reach it, over the node that told of it (06 §4.1)."""
    label = splice(entry.label, via)
    if label is None:
        return None
    return Target(address_of(entry.key), entry.key, entry.version, label)
