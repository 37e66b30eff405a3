"""Tests of mesh/queries.py (docs/protocol/06 §1-3)."""

from __future__ import annotations

import random

from dexmesh.engine.messages import Command, RoutingMessage, SendInner
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.queries import (
    LATE_S,
    LONGEST_WAIT_S,
    MAX_WAITING,
    SHORTEST_WAIT_S,
    Answer,
    Asked,
    Queries,
    RoundTrips,
)
from dexmesh.wire.dht import FIND_NODE, PING, Query, Reply, decode_message
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import NO_LABEL, SELF_LABEL, Label
from tests.unit.mesh.helpers import identity, key, target


class Listener:
    """Hears everything, as asker and as observer."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.silences: list[Asked] = []

    def handle_answer(self, answer: Answer, now: float) -> None:
        self.answers.append(answer)

    def handle_silence(self, asked: Asked, now: float) -> None:
        self.silences.append(asked)

    learn_answer, learn_silence = handle_answer, handle_silence


def make() -> tuple[Queries, list[Command | Notice]]:
    outputs: list[Command | Notice] = []
    return Queries(identity(), random.Random(1), outputs.append), outputs


def sent(outputs: list[Command | Notice]) -> Query:
    output = outputs[-1]
    assert isinstance(output, SendInner)
    message = decode_message(output.content)
    assert isinstance(message, Query)
    return message


def message_from(number: int, label: int) -> RoutingMessage:
    return RoutingMessage(address_of(key(number)), key(number), Label(label), b"")


def test_a_query_is_written_for_every_half_of_a_reference_node() -> None:
    queries, outputs = make()
    asked = queries.start(target(1, 0x9E), FIND_NODE, 1.0, Listener(), bytes(16))
    assert asked is not None
    query = sent(outputs)
    assert query.txid.startswith(b"0")
    assert len(query.txid) == 13
    assert (query.kind, query.target, query.version, query.form) == (FIND_NODE, bytes(16), 20, 1)


def test_what_leads_nowhere_or_to_an_old_node_is_not_asked() -> None:
    queries, outputs = make()
    old = target(1, 0x13)
    old = type(old)(old.address, old.key, 19, old.label)
    for bad in (target(1, NO_LABEL), target(1, SELF_LABEL), old):
        assert queries.start(bad, PING, 0.0, Listener()) is None
    assert not outputs


def test_an_answer_goes_to_the_observers_and_to_the_asker_once() -> None:
    queries, outputs = make()
    asker, observer = Listener(), Listener()
    queries.observe(observer)
    queries.start(target(1, 0x13), PING, 1.0, asker)
    reply = Reply(sent(outputs).txid, 20)
    assert not queries.handle_reply(message_from(2, 0x13), reply, 1.1), "another node"
    assert queries.handle_reply(message_from(1, 0x13), reply, 1.25)
    assert not queries.handle_reply(message_from(1, 0x13), reply, 1.3)
    assert [answer.seconds for answer in asker.answers] == [0.25]
    assert observer.answers == asker.answers


def test_a_silence_is_told_once_and_a_late_answer_still_counts() -> None:
    queries, outputs = make()
    asker, observer = Listener(), Listener()
    queries.observe(observer)
    asked = queries.start(target(1, 0x13), PING, 1.0, asker, timeout_s=2.0)
    reply = Reply(sent(outputs).txid, 20)
    assert queries.next_timeout() == (3.0, "routing query")
    queries.handle_timeout(2.9)
    assert not asker.silences
    queries.handle_timeout(3.0)
    queries.handle_timeout(4.0)
    assert asker.silences == observer.silences == [asked]
    assert queries.handle_reply(message_from(1, 0x13), reply, 5.0)
    assert len(asker.answers) == 1


def test_what_is_too_late_is_forgotten() -> None:
    queries, outputs = make()
    asker = Listener()
    queries.start(target(1, 0x13), PING, 1.0, asker, timeout_s=1.0)
    queries.handle_timeout(2.0)
    queries.handle_timeout(2.0 + LATE_S)
    assert queries.next_timeout() is None
    assert not queries.handle_reply(message_from(1, 0x13), Reply(sent(outputs).txid, 20), 13.0)
    assert len(asker.silences) == 1


def test_an_answer_during_the_silences_of_others_is_no_trouble() -> None:
    queries, outputs = make()

    class Finisher(Listener):
        def handle_silence(self, asked: Asked, now: float) -> None:
            for output in list(outputs):
                assert isinstance(output, SendInner)
                message = decode_message(output.content)
                assert isinstance(message, Query)
                queries.handle_reply(message_from(1, 0x13), Reply(message.txid, 20), now)

    for _ in range(3):
        queries.start(target(1, 0x13), PING, 1.0, Finisher(), timeout_s=1.0)
    queries.handle_timeout(2.0)
    assert len(queries) == 0


def test_the_number_of_waiting_queries_is_bounded() -> None:
    queries, _ = make()
    for _ in range(MAX_WAITING):
        assert queries.start(target(1, 0x13), PING, 0.0, Listener()) is not None
    assert queries.start(target(1, 0x13), PING, 0.0, Listener()) is None
    assert len(queries) == MAX_WAITING


def test_the_wait_follows_the_round_trips_within_bounds() -> None:
    trips = RoundTrips()
    first = trips.wait_s()
    assert SHORTEST_WAIT_S <= first <= 2.0
    for _ in range(50):
        trips.learn(0.01)
    assert trips.wait_s() == SHORTEST_WAIT_S
    for _ in range(50):
        trips.learn(1.0)
    assert 1.0 < trips.wait_s() < 2.0
    for _ in range(50):
        trips.learn(100.0)
    assert trips.wait_s() == LONGEST_WAIT_S
