"""Tests of mesh/dht/search.py (docs/protocol/06 §8 and §11.2)."""

from __future__ import annotations

import random

from dexmesh.engine.messages import Command, RoutingMessage
from dexmesh.mesh.dht.search import (
    MAX_CANDIDATES,
    MAX_TARGET_LABELS,
    PARALLEL,
    SEARCH_S,
    Search,
    spliced,
)
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.queries import Answer, Queries, Target
from dexmesh.wire.address import Address
from dexmesh.wire.dht import FIND_NODE, PING, NodeEntry, Reply
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import Label
from tests.unit.mesh.helpers import entry, identity, key, queries_in, target

GOAL = 50


class Owner:
    """Hears of one search."""

    def __init__(self) -> None:
        self.steps: list[Answer] = []
        self.ends: list[Answer | None] = []

    def handle_search_answer(self, answer: Answer, now: float) -> None:
        self.steps.append(answer)

    def handle_search_end(self, address: Address, answer: Answer | None, now: float) -> None:
        self.ends.append(answer)


class Bench:
    """One search, and a network that answers by hand."""

    def __init__(self, most: int = 24) -> None:
        self.outputs: list[Command | Notice] = []
        self.queries = Queries(identity(), random.Random(1), self.outputs.append)
        self.owner = Owner()
        self.finished = 0
        self.search = Search(
            address=address_of(key(GOAL)),
            most=most,
            ends_at=SEARCH_S,
            owner=self.owner,
            own_address=identity().address,
            queries=self.queries,
            finished=self._finish,
        )

    def _finish(self, search: Search) -> None:
        self.finished += 1

    def asked(self) -> list[tuple[int, bytes, int]]:
        """Node number, kind and label of what was asked since the last call."""
        numbers = {address_of(key(number)): number for number in range(200)}
        return [
            (numbers[sent.address], query.kind, int(sent.label))
            for sent, query in queries_in(self.outputs)
        ]

    def answer(self, number: int, *nodes: NodeEntry, now: float = 1.0) -> None:
        """The first open query to this node is answered."""
        address = address_of(key(number))
        for sent, query in queries_in(self.outputs):
            if sent.address == address:
                event = RoutingMessage(address, key(number), sent.label, b"")
                if self.queries.handle_reply(event, Reply(query.txid, 20, nodes=nodes), now):
                    return
        raise AssertionError(f"nobody asked {number}")


def test_without_anybody_to_ask_a_search_ends_at_once() -> None:
    bench = Bench()
    bench.search.begin([], 0.0)
    assert bench.owner.ends == [None]
    assert bench.finished == 1


def test_the_nearest_nodes_are_asked_first_and_three_at_a_time() -> None:
    bench = Bench()
    bench.search.begin([target(number, 0x13 + number) for number in range(1, 9)], 0.0)
    asked = bench.asked()
    assert len(asked) == PARALLEL
    assert {kind for _, kind, _ in asked} == {FIND_NODE}
    info = bench.search.info()
    assert info.requests == PARALLEL
    assert info.last_asked is not None
    assert info.last_asked.key == key(asked[-1][0])


def test_every_entry_of_a_reply_is_used_and_the_target_verified() -> None:
    bench = Bench()
    bench.search.begin([target(1, 0x13)], 0.0)
    bench.answer(1, entry(GOAL, 0x15), entry(2, 0x17), entry(0, 0x15), entry(3, 0x19, version=19))
    assert bench.asked()[1:] == [(GOAL, PING, 0x153), (2, FIND_NODE, 0x173)]
    assert not bench.owner.ends
    bench.answer(GOAL)
    assert [answer.asked.kind for answer in bench.owner.ends if answer] == [PING]
    assert len(bench.owner.steps) == 2
    bench.answer(2, entry(4, 0x13))
    assert len(bench.owner.steps) == 2, "what comes after the end does not count"
    bench.queries.handle_timeout(5.0)
    bench.search.handle_timeout(SEARCH_S)
    assert bench.finished == 1


def test_a_target_that_we_know_is_asked_itself() -> None:
    bench = Bench()
    bench.search.begin([target(GOAL, 0x1533), target(1, 0x13)], 0.0)
    assert (GOAL, PING, 0x1533) in bench.asked()


def test_the_target_is_asked_on_a_bounded_number_of_ways() -> None:
    bench = Bench()
    bench.search.begin([target(1, 0x13)], 0.0)
    bench.answer(1, *(entry(GOAL, 0x13 + 2 * number) for number in range(7)), entry(GOAL, 0x13))
    pings = [label for _, kind, label in bench.asked() if kind == PING]
    assert len(pings) == len(set(pings)) == MAX_TARGET_LABELS


def test_a_silent_target_is_asked_twice_on_each_way_and_not_while_an_answer_may_come() -> None:
    bench = Bench()
    bench.search.begin([target(GOAL, 0x1533), target(1, 0x13)], 0.0)
    bench.answer(1, entry(GOAL, 0x153))
    assert [label for number, _, label in bench.asked() if number == GOAL] == [0x1533]
    bench.queries.handle_timeout(2.0)
    assert [label for number, _, label in bench.asked() if number == GOAL] == [0x1533] * 2
    bench.queries.handle_timeout(4.0)
    assert bench.owner.ends == [None]


def test_a_silence_makes_room_for_the_next_and_a_late_answer_still_counts() -> None:
    bench = Bench()
    bench.search.begin([target(number, 0x13 + 2 * number) for number in range(1, 5)], 0.0)
    assert len(bench.asked()) == 3
    first = bench.asked()[0][0]
    bench.queries.handle_timeout(2.0)
    assert len(bench.asked()) == 4
    bench.answer(first, entry(GOAL, 0x15), now=3.0)
    assert bench.asked()[-1][0] == GOAL


def test_nobody_is_asked_twice_and_of_two_ways_the_shorter_is_taken() -> None:
    bench = Bench()
    bench.search.begin([target(1, 0x13), target(2, 0x15), target(3, 0x17)], 0.0)
    bench.answer(1, entry(4, 0x13575), entry(1, 0x1), entry(2, 0x15))
    assert bench.asked()[-1] == (4, FIND_NODE, 0x135753)
    bench = Bench()
    bench.search.begin([target(1, 0x13), target(2, 0x15), target(3, 0x17)], 0.0)
    bench.search._remember(target(4, 0x13575))
    bench.search._remember(target(4, 0x153))
    bench.search._remember(target(4, 0x13577))
    bench.answer(1)
    assert bench.asked()[-1] == (4, FIND_NODE, 0x153)


def test_a_search_ends_after_its_requests() -> None:
    bench = Bench(most=2)
    bench.search.begin([target(number, 0x13 + 2 * number) for number in range(1, 9)], 0.0)
    assert len(bench.asked()) == 2
    for number, _, _ in bench.asked():
        bench.answer(number)
    assert bench.owner.ends == [None]


def test_a_search_ends_after_its_time() -> None:
    bench = Bench()
    bench.search.begin([target(1, 0x13)], 0.0)
    bench.search.handle_timeout(SEARCH_S - 0.1)
    assert not bench.owner.ends
    bench.search.handle_timeout(SEARCH_S)
    bench.search.handle_timeout(SEARCH_S)
    assert bench.owner.ends == [None]


def test_the_number_of_candidates_is_bounded_and_the_farthest_go() -> None:
    bench = Bench()
    for number in range(100, 100 + MAX_CANDIDATES + 20):
        bench.search._remember(target(number, 0x13))
    assert len(bench.search.candidates) == MAX_CANDIDATES


def test_candidates_that_cannot_be_asked_are_passed_over() -> None:
    bench = Bench()
    nobody = Target(address_of(key(5)), key(5), 20, Label(1))
    bench.search.begin([nobody], 0.0)
    assert bench.owner.ends == [None]
    bench = Bench()
    bench.search.begin([Target(address_of(key(GOAL)), key(GOAL), 20, Label(1))], 0.0)
    assert bench.owner.ends == [None]


def test_an_entry_that_does_not_fit_cannot_be_reached() -> None:
    assert spliced(entry(1, 1 << 58 | 5), Label(0x13)) is None
    assert spliced(entry(1, 0x15), Label(0x13)) == target(1, 0x153)
