"""Two phones over a network that loses, doubles and swaps: every transaction ends, and is told once."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.dialog import Dialog
from dexmesh.apps.call.sip.machine import T1_S
from dexmesh.apps.call.sip.message import Request, decode, encode
from dexmesh.apps.call.sip.outputs import (
    Acked,
    Answered,
    Cancelled,
    Failed,
    Incoming,
    Output,
    Send,
    TransactionId,
    Why,
)
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.transaction import Transactions
from tests.unit.apps.call.sip.torture import INVALID, VALID
from tests.unit.apps.call.sip.world import (
    ALICE,
    BOB,
    TO_ALICE,
    TO_BOB,
    Link,
    new_table,
    request_of,
    request_text,
)

MOST_STEPS = 20_000
_NUMBERS = itertools.count()
STATUSES = [100, 180, 200, 202, 302, 404, 486, 603]


@dataclass
class Network:
    """How bad it is: the parts of datagrams that are lost, doubled; the longest delay in seconds."""

    random: random.Random
    loss: float
    doubling: float
    longest_s: float

    def fate(self) -> list[float]:
        copies = 2 if self.random.random() < self.doubling else 1
        return [
            self.random.random() * self.longest_s
            for _ in range(copies)
            if self.random.random() >= self.loss
        ]


@dataclass
class Phones:
    """Alice asks, Bob answers; what each of them was told."""

    network: Network
    now: float = 0.0
    ids: list[TransactionId] = field(default_factory=list)
    endings: Counter[TransactionId] = field(default_factory=Counter)
    incoming: Counter[str] = field(default_factory=Counter)
    invites: dict[TransactionId, Incoming] = field(default_factory=dict)
    accepted: set[TransactionId] = field(default_factory=set)
    closed: Counter[TransactionId] = field(default_factory=Counter)
    whys: Counter[Why] = field(default_factory=Counter)
    plans: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alice = new_table(ALICE, 1)
        self.bob = new_table(BOB, 2)
        self.link = Link(self.network.fate)

    def plan(self, at: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self.plans, (at, next(_NUMBERS), action))

    def ask(self, request: Request, at: float, cancel_at: float | None) -> None:
        """Alice sends a request, and takes it back after a while."""

        def send() -> None:
            id_ = self.alice.request(request, TO_BOB, self.now)
            self.ids.append(id_)
            if cancel_at is not None:
                self.plan(at + cancel_at, lambda: self.alice.cancel(id_, self.now))

        self.plan(at, send)

    def run(self) -> None:
        """Until nothing is left to happen."""
        for _ in range(MOST_STEPS):
            moment = self._next_moment()
            if moment is None:
                return
            assert moment >= self.now
            self.now = moment
            self._step()
            self._deliver_outputs()
        raise AssertionError("it does not end")

    def _next_moment(self) -> float | None:
        timeouts = (self.alice.next_timeout(), self.bob.next_timeout())
        moments = [found[0] for found in timeouts if found is not None]
        moments += [plan[0] for plan in self.plans[:1]]
        arrival = self.link.next_arrival()
        return min(moments + ([] if arrival is None else [arrival]), default=None)

    def _step(self) -> None:
        for target, peer, data in self.link.take_arrived(self.now):
            table = self.alice if target == ALICE else self.bob
            table.handle_message(data, peer, self.now)
        while self.plans and self.plans[0][0] <= self.now:
            heapq.heappop(self.plans)[2]()
        self.alice.handle_timeout(self.now)
        self.bob.handle_timeout(self.now)

    def _deliver_outputs(self) -> None:
        for output in self.alice.take_outputs():
            self._alice(output)
        for output in self.bob.take_outputs():
            self._bob(output)
        for output in [*self.alice.take_outputs(), *self.bob.take_outputs()]:
            assert isinstance(output, Send)  # the ACK, the answer to a CANCEL
            self.link.send(ALICE if output.peer.address == BOB else BOB, output, self.now)

    def _alice(self, output: Output) -> None:
        match output:
            case Send():
                self.link.send(ALICE, output, self.now)
            case Failed():
                self.endings[output.id] += 1
                self.whys[output.why] += 1
            case Answered(response=response) if response.is_final:
                self.endings[output.id] += 1
                if response.is_success and response.cseq.method == "INVITE":
                    dialog = Dialog.as_caller(request_of("INVITE"), response, output.peer)
                    ack = dialog.make_ack(response.cseq.number)
                    self.alice.acknowledge(output.id, ack, dialog.peer, self.now)

    def _bob(self, output: Output) -> None:
        match output:
            case Send():
                self.link.send(BOB, output, self.now)
            case Incoming():
                self.incoming[output.request.call_id] += 1
                self.invites[output.id] = output
                self._plan_answers(output)
            case Cancelled():
                self._respond(self.invites[output.id], 487)
            case Acked():
                self.closed[output.id] += 1
            case Failed():
                self.closed[output.id] += 1
                self.whys[output.why] += 1

    def _plan_answers(self, incoming: Incoming) -> None:
        """Bob answers after a while, perhaps provisionally first, perhaps never."""
        chance = self.network.random
        at = self.now
        for _ in range(chance.randrange(3)):
            at += chance.random() * 3
            status = chance.choice(STATUSES)
            self.plan(at, lambda status=status: self._respond(incoming, status))  # type: ignore[misc]

    def _respond(self, incoming: Incoming, status: int) -> None:
        before = self.bob.counts["answer of ours too late"]
        response = make_response(incoming.request, status, to_tag=f"bob{incoming.id}")
        self.bob.respond(incoming.id, response, self.now)
        is_taken = self.bob.counts["answer of ours too late"] == before
        if is_taken and response.is_success and incoming.request.method == "INVITE":
            self.accepted.add(incoming.id)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["INVITE", "INVITE", "MESSAGE", "BYE", "OPTIONS"]),
        st.floats(0, 5),  # when
        st.none() | st.floats(0, 10),  # how much later it is cancelled
        st.sampled_from([b"", b"x" * 1300]),
    ),
    min_size=1,
    max_size=5,
)


def conversation(
    network: Network, requests: list[tuple[str, float, float | None, bytes]]
) -> Phones:
    """All of it, from the first request to the last timer."""
    phones = Phones(network)
    for number, (method, at, cancel_at, body) in enumerate(requests):
        phones.ask(request_of(method, body=body, call_id=f"call{number}"), at, cancel_at)
    phones.run()
    return phones


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.floats(0, 0.9), st.floats(0, 0.5), st.floats(0.01, 4.0), REQUESTS)
def test_over_any_network_every_transaction_ends_and_is_told_once(
    seed: int,
    loss: float,
    doubling: float,
    longest_s: float,
    requests: list[tuple[str, float, float | None, bytes]],
) -> None:
    phones = conversation(Network(random.Random(seed), loss, doubling, longest_s), requests)
    assert len(phones.alice) == len(phones.bob) == 0
    assert phones.endings == Counter(phones.ids)
    assert len(phones.ids) == len(requests)
    assert phones.accepted <= set(phones.closed)
    assert all(count == 1 for count in phones.closed.values())
    if longest_s <= T1_S:  # a copy that is later than timer J is a request of its own
        assert all(count == 1 for count in phones.incoming.values())


@given(st.integers(0, 2**32), st.floats(0.001, 0.2), st.floats(0, 0.5), REQUESTS)
def test_where_nothing_is_lost_every_request_arrives_and_every_2xx_is_acknowledged(
    seed: int,
    longest_s: float,
    doubling: float,
    requests: list[tuple[str, float, float | None, bytes]],
) -> None:
    phones = conversation(Network(random.Random(seed), 0.0, doubling, longest_s), requests)
    assert phones.endings == Counter(phones.ids)
    assert set(phones.incoming) == {f"call{number}" for number in range(len(requests))}
    assert set(phones.whys) <= {Why.TIMEOUT}  # of requests that Bob never answered
    assert phones.accepted <= set(phones.closed)


# --- Any order of any events --------------------------------------------------------------------------

DATA = st.sampled_from(
    [
        *(request_text(method, branch, to_tag=tag, cseq=cseq)
          for method in ("INVITE", "ACK", "CANCEL", "BYE", "MESSAGE")
          for branch in ("z9hG4bK1", "old", "z9hG4bK") for tag in ("", "bob") for cseq in ("1", "2")),
        *VALID.values(),
        *INVALID.values(),
        b"\r\n\r\n",
    ]
)  # fmt: skip
PEERS = st.sampled_from([TO_ALICE, Peer(ALICE, 40000), Peer(ALICE, 5060, True, 1), Peer(BOB, 5060)])
STEPS = st.lists(
    st.tuples(st.just("message"), DATA, PEERS)
    | st.tuples(st.just("respond"), st.integers(0, 9), st.sampled_from(STATUSES))
    | st.tuples(st.just("request"), st.sampled_from(["INVITE", "BYE"]), PEERS)
    | st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from(STATUSES))
    | st.tuples(st.sampled_from(["cancel", "acknowledge"]), st.integers(0, 9), PEERS)
    | st.tuples(st.just("broken"), st.just(0), PEERS)
    | st.tuples(st.just("wait"), st.floats(0, 40), st.just(0)),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_any_order_of_messages_commands_and_time_raises_nothing_and_ends(
    steps: list[tuple[str, object, object]],
) -> None:
    table, now = new_table(BOB), 0.0
    seen: list[Output] = []
    for what, first, second in steps:
        now = apply_step(table, now, seen, what, first, second)
        seen += table.take_outputs()
    while (due := table.next_timeout()) is not None:
        assert due[0] >= 0
        now = max(now, due[0])
        table.handle_timeout(now)
        seen += table.take_outputs()
        assert now < 100_000
    assert len(table) == 0
    endings = Counter(one.id for one in seen if isinstance(one, Failed))
    assert all(count == 1 for count in endings.values())


def apply_step(
    table: Transactions, now: float, seen: list[Output], what: str, first: object, second: object
) -> float:
    """Do one thing; the time afterwards."""
    incoming = [one for one in seen if isinstance(one, Incoming)]
    sent = [one for one in seen if isinstance(one, Send) and not one.data.startswith(b"SIP/")]
    match what, first, second:
        case "message", bytes(data), Peer() as peer:
            table.handle_message(data, peer, now)
        case "respond", int(number), int(status) if incoming:
            one = incoming[number % len(incoming)]
            table.respond(one.id, make_response(one.request, status, to_tag="bob"), now)
        case "request", str(method), Peer() as peer:
            table.request(request_of(method), peer, now)
        case "answer", int(number), int(status) if sent:
            answer(table, sent[number % len(sent)], status, now)
        case "cancel", int(number), _:
            table.cancel(TransactionId(number), now)
        case "acknowledge", int(number), Peer() as peer:
            table.acknowledge(TransactionId(number), request_of("ACK"), peer, now)
        case "broken", _, Peer() as peer:
            table.handle_transport_failed(peer, now)
        case "wait", float(seconds), _:
            now += seconds
            table.handle_timeout(now)
    return now


def answer(table: Transactions, send: Send, status: int, now: float) -> None:
    """Whoever got that request says something."""
    request = decode(send.data)
    assert isinstance(request, Request)
    data = encode(make_response(request, status, to_tag=f"t{status}"))
    table.handle_message(data, send.peer, now)
