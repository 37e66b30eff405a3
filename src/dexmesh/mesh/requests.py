"""Ask the network what people want to know, and give the answers as notices.

Place     host/services.py (admin RPC, commands) -> Node -> here -> pings, queries, searches
Spec      docs/protocol/08 §6.5 says what is asked for
Keeps     every request ends with exactly one result notice; a bounded number is open, because
          pings, queries and searches are
Not here  waiting for the notice (host/)
"""

from __future__ import annotations

from functools import partial

from dexmesh.errors import NoRouteError
from dexmesh.mesh.dht.search import spliced
from dexmesh.mesh.notices import (
    Emit,
    PingFinished,
    QueryFinished,
    RequestId,
    SearchFinished,
    SearchProgress,
)
from dexmesh.mesh.pathfinder import DhtPathfinder
from dexmesh.mesh.pings import PingOutcome, SwitchPings
from dexmesh.mesh.queries import Answer, Asked, Queries, Target
from dexmesh.mesh.routes import MetricClass, Route
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.dht import GET_PEERS
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import Label


class Requests:
    """Numbers requests and turns what became of them into notices."""

    def __init__(
        self, pings: SwitchPings, queries: Queries, pathfinder: DhtPathfinder, emit: Emit
    ) -> None:
        self._pings, self._queries, self._pathfinder = pings, queries, pathfinder
        self._emit = emit
        self._last = 0

    def start_switch_ping(
        self, label: Label, data: bytes, timeout_s: float, now: float, is_key_ping: bool
    ) -> RequestId:
        """Ping the switch at the end of a label. Answer: PingFinished."""
        request = self._next_id()
        done = partial(self._finish_ping, request)
        if not self._pings.start(label, timeout_s, now, done, data, is_key_ping):
            self._emit(PingFinished(request, "no_slot", 0.0, label))
        return request

    def start_query(
        self,
        target: Target | Address,
        kind: bytes,
        argument: bytes | None,
        timeout_s: float,
        now: float,
    ) -> RequestId:
        """Send `pn`, `fn`, `gp` or `nh` to a node. Answer: QueryFinished.

        Raises `NoRouteError` for an address that the table knows no way to.
        """
        own = self._pathfinder.routes()[0]
        if own.address in (target, getattr(target, "address", None)):
            return self._answer_own(own, kind, argument, now)
        if not isinstance(target, Target):
            route = self._pathfinder.route_to(target)
            if route is None:
                raise NoRouteError("no way to this address is known yet")
            target = Target(route.address, route.key, route.version, route.label)
        request = self._next_id()
        asker = _QueryRequest(request, self._emit)
        if self._queries.start(target, kind, now, asker, argument, timeout_s) is None:
            self._emit(QueryFinished(request, 0.0, None))
        return request

    def start_search(self, address: Address, most: int, now: float) -> RequestId:
        """Search for a node. Answers: SearchProgress, at last SearchFinished."""
        request = self._next_id()
        owner = _SearchRequest(request, self._emit)
        if not self._pathfinder.start_search(address, most, owner, now):
            self._emit(SearchFinished(request, None))
        return request

    def _answer_own(self, own: Route, kind: bytes, argument: bytes | None, now: float) -> RequestId:
        """A question to ourselves: answered as if it had come from outside (05 §11)."""
        request = self._next_id()
        target = Target(own.address, own.key, own.version, own.label)
        reply = self._pathfinder.answer_own(kind, argument, now)
        if reply is None:
            self._emit(QueryFinished(request, 0.0, None))
        else:
            answer = Answer(Asked(target, kind, argument, now), own.label, reply, 0.0)
            _QueryRequest(request, self._emit).handle_answer(answer, now)
        return request

    def _next_id(self) -> RequestId:
        self._last += 1
        return RequestId(self._last)

    def _finish_ping(self, request: RequestId, outcome: PingOutcome, _now: float) -> None:
        answered = "pong" if outcome.is_pong else "diff_label"
        result = "timeout" if outcome.label is None else answered
        self._emit(
            PingFinished(
                request=request,
                result=result,
                seconds=outcome.seconds,
                label=outcome.asked,
                version=outcome.version,
                data=outcome.data,
                key=outcome.key,
                response_label=outcome.label,
            )
        )


@dataclass(slots=True)
class _QueryRequest:
    """The asker of one query; what comes after its result is not told."""

    request: RequestId
    emit: Emit
    is_over: bool = field(default=False)

    def handle_answer(self, answer: Answer, now: float) -> None:
        if not self.is_over:
            self.is_over = True
            nodes, sender = _routes_in(answer), _sender_of(answer, now)
            scheme = answer.reply.scheme
            self.emit(QueryFinished(self.request, answer.seconds, nodes, sender, scheme))

    def handle_silence(self, asked: Asked, now: float) -> None:
        self.is_over = True
        self.emit(QueryFinished(self.request, now - asked.started_at, None))


@dataclass(slots=True)
class _SearchRequest:
    """The owner of one search."""

    request: RequestId
    emit: Emit

    def handle_search_answer(self, answer: Answer, now: float) -> None:
        sender = _sender_of(answer, now)
        self.emit(SearchProgress(self.request, sender, answer.seconds, _routes_in(answer)))

    def handle_search_end(self, address: Address, answer: Answer | None, now: float) -> None:
        route = None if answer is None else _sender_of(answer, now)
        self.emit(SearchFinished(self.request, route))


def _sender_of(answer: Answer, now: float) -> Route:
    target = answer.asked.target
    return Route(
        address=target.address,
        key=target.key,
        version=answer.reply.version,
        label=answer.label,
        metric=MetricClass.PING_ANSWERED,
        heard_at=now,
    )


def _routes_in(answer: Answer) -> tuple[Route, ...]:
    """The nodes of a reply as we can reach them; those that do not fit a label are left out.

    In the answer to `gp` the labels stay as the node told them: they name its interfaces.
    """
    nodes = answer.reply.nodes
    if answer.asked.kind == GET_PEERS:
        return tuple(Route(address_of(one.key), one.key, one.version, one.label) for one in nodes)
    found = (spliced(entry, answer.label) for entry in nodes)
    return tuple(
        Route(one.address, one.key, one.version, one.label) for one in found if one is not None
    )
