"""Keep the routing queries that wait for a reply, and judge how long a reply may take.

Place     dht/, sessions.py and requests.py ask -> SendInner; node.py hands replies in
Spec      docs/protocol/06 §1-3
Keeps     at most MAX_WAITING queries; an owner hears of a silence at most once and of an answer at
          most once, which may come after the silence; only the node asked can answer
Not here  answering the queries of others (dht/responder.py)
"""

from __future__ import annotations

from typing import Protocol

from dexmesh.engine.messages import RoutingMessage, SendInner
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.notices import Emit
from dexmesh.mesh.randomness import Random
from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.dht import TXID_PREFIX, Query, Reply, encode_message
from dexmesh.wire.headers import ContentType
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import NO_LABEL, SELF_LABEL, Label
from dexmesh.wire.scheme import form_of
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION, spoken_version

MAX_WAITING = 512  # ours
SHORTEST_WAIT_S = 0.5  # ours, 06 §11
LONGEST_WAIT_S = 5.0  # ours, 06 §11
LATE_S = 10.0  # ours: how long after a silence an answer still counts

_TXID_RANDOM_BYTES = 12  # 06 §2
_FIRST_GUESS_S = 0.25  # ours: round trip assumed before anything was measured


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and along which label."""

    address: Address
    key: PublicKey
    version: int
    label: Label


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that was sent."""

    target: Target
    kind: bytes
    argument: bytes | None
    started_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to one of our queries. `label` is the way back to the sender, as it came in."""

    asked: Asked
    label: Label
    reply: Reply
    seconds: float


class Asker(Protocol):
    """Who asked, and wants to hear what became of it."""

    def handle_answer(self, answer: Answer, now: float) -> None:
        """The node asked has answered."""
        ...

    def handle_silence(self, asked: Asked, now: float) -> None:
        """No answer in time; one may still come."""
        ...


class Observer(Protocol):
    """Who learns from every query, whoever asked it."""

    def learn_answer(self, answer: Answer, now: float) -> None:
        """A node has answered: it is alive, and the way it was asked on works."""
        ...

    def learn_silence(self, asked: Asked, now: float) -> None:
        """A node did not answer in time."""
        ...


class RoundTrips:
    """A moving estimate of round-trip times and their spread, over all nodes asked."""

    def __init__(self) -> None:
        self._mean_s: float = _FIRST_GUESS_S
        self._spread_s: float = _FIRST_GUESS_S

    def learn(self, seconds: float) -> None:
        """Take in one measured time."""
        self._spread_s += (abs(seconds - self._mean_s) - self._spread_s) / 4
        self._mean_s += (seconds - self._mean_s) / 8

    def wait_s(self) -> float:
        """How long to wait for a reply before it counts as lost."""
        return min(max(self._mean_s + 4 * self._spread_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)


@dataclass(slots=True)
class _Waiting:
    asked: Asked
    owner: Asker
    deadline: float
    is_late: bool = False


class Queries:
    """Every routing query of the node that waits. Performs no I/O."""

    def __init__(self, identity: Identity, random: Random, emit: Emit) -> None:
        self._identity, self._random, self._emit = identity, random, emit
        self._waiting: dict[bytes, _Waiting] = {}
        self.round_trips = RoundTrips()
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Tell this one of every answer and silence, before the asker hears of it."""
        self._observers.append(observer)

    def start(
        self,
        target: Target,
        kind: bytes,
        now: float,
        owner: Asker,
        argument: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Asked | None:
        """Ask a node; None if it cannot be asked or no place is left to wait for its reply."""
        form = form_of(self._identity.scheme, target.label)
        is_askable = target.label not in (NO_LABEL, SELF_LABEL) and form is not None
        if not is_askable or target.version < MINIMUM_ROUTED_VERSION:
            return None
        if len(self._waiting) >= MAX_WAITING:
            return None
        txid = TXID_PREFIX + self._random.randbytes(_TXID_RANDOM_BYTES)
        wait_s = self.round_trips.wait_s() if timeout_s is None else timeout_s
        asked = Asked(target, kind, argument, now)
        self._waiting[txid] = _Waiting(asked, owner, now + wait_s)
        query = Query(txid, kind, self._identity.version, self._identity.scheme, form, argument)
        self._emit(send_message(target, encode_message(query)))
        return asked

    def handle_reply(self, event: RoutingMessage, reply: Reply, now: float) -> bool:
        """Finish the query this answers; False if nobody waits for it (06 §3)."""
        waiting = self._waiting.get(reply.txid)
        if waiting is None or waiting.asked.target.address != event.address:
            return False
        del self._waiting[reply.txid]
        seconds = now - waiting.asked.started_at
        self.round_trips.learn(seconds)
        answer = Answer(waiting.asked, event.label, reply, seconds)
        for observer in self._observers:
            observer.learn_answer(answer, now)
        waiting.owner.handle_answer(answer, now)
        return True

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next query has waited long enough."""
        if not self._waiting:
            return None
        return min(waiting.deadline for waiting in self._waiting.values()), "routing query"

    def handle_timeout(self, now: float) -> None:
        """Report the silences, and forget what is too late even for a late answer."""
        due = [txid for txid, waiting in self._waiting.items() if waiting.deadline <= now]
        for txid in due:
            waiting = self._waiting.get(txid)
            if waiting is None:
                continue
            if waiting.is_late:
                del self._waiting[txid]
                continue
            waiting.is_late = True
            waiting.deadline = now + LATE_S
            for observer in self._observers:
                observer.learn_silence(waiting.asked, now)
            waiting.owner.handle_silence(waiting.asked, now)

    def __len__(self) -> int:
        return len(self._waiting)


def send_message(target: Target, content: bytes) -> SendInner:
    """The command that carries a routing message to a node (05 §4)."""
    return SendInner(
        address=target.address,
        key=target.key,
        version=spoken_version(target.version),
        label=target.label,
        content_type=ContentType.CJDHT,
        content=content,
    )
