"""Tests of mesh/dht/maintenance.py and mesh/pathfinder.py (docs/protocol/06 §9 and §11)."""

from __future__ import annotations

import random

from dexmesh.engine.messages import (
    Command,
    Endpoint,
    InterfaceNumber,
    PeerAdded,
    PeerId,
    RoutingMessage,
    SendInner,
)
from dexmesh.mesh.dht.maintenance import BURST, PARALLEL, QUIET_PER_S, SHORTEST_REFRESH_S
from dexmesh.mesh.dht.search import MAX_SEARCHES
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.pathfinder import MAX_DIAGNOSES, DhtPathfinder
from dexmesh.mesh.peers import Peer, PeerTable
from dexmesh.mesh.queries import Answer, Queries
from dexmesh.mesh.routes import MetricClass
from dexmesh.wire.address import Address, bucket, distance
from dexmesh.wire.control import ErrorFrame
from dexmesh.wire.dht import FIND_NODE, GET_PEERS, PING, NodeEntry, Query, Reply, decode_message
from dexmesh.wire.headers import SwitchHeader
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import SELF_LABEL, Label
from dexmesh.wire.scheme import one_hop_label
from tests.unit.mesh.helpers import entry, identity, key, queries_in

NUMBERS = {address_of(key(number)): number for number in range(400)}


class Nobody:
    """Owner of a search whose end is of no interest."""

    def handle_search_answer(self, answer: Answer, now: float) -> None: ...
    def handle_search_end(self, address: Address, answer: Answer | None, now: float) -> None: ...


class Bench:
    """A pathfinder, and a network that answers by hand."""

    def __init__(self) -> None:
        self.outputs: list[Command | Notice] = []
        source = random.Random(1)
        self.queries = Queries(identity(), source, self.outputs.append)
        self.pathfinder = DhtPathfinder(identity(), self.queries, source, self.outputs.append)
        self._peers = PeerTable()

    def peer(self, number: int, slot: int, now: float = 0.0) -> Peer:
        event = PeerAdded(
            PeerId(slot), slot, InterfaceNumber(0), Endpoint(str(slot)), key(number), False, ""
        )
        peer = self._peers.learn(event, now)
        peer.version = 20
        self.pathfinder.handle_peer_up(peer, now)
        return peer

    def take(self) -> list[tuple[int, Query, SendInner]]:
        """The questions since the last call: node number, query, command."""
        found = [(NUMBERS[sent.address], query, sent) for sent, query in queries_in(self.outputs)]
        self.outputs.clear()
        return found

    def answer(self, asked: tuple[int, Query, SendInner], now: float, *nodes: NodeEntry) -> None:
        number, query, sent = asked
        event = RoutingMessage(sent.address, key(number), sent.label, b"")
        self.queries.handle_reply(event, Reply(query.txid, 20, nodes=nodes), now)

    def run(self, begin: float, end: float) -> list[tuple[float, int, bytes]]:
        """Let timers run with nobody answering; when who was asked what."""
        log: list[tuple[float, int, bytes]] = []
        now = begin
        while True:
            times = [t for t in (self.pathfinder.next_timeout(), self.queries.next_timeout()) if t]
            now = max(now, min(times)[0]) if times else end
            if now >= end:
                return log
            self.queries.handle_timeout(now)
            self.pathfinder.handle_timeout(now)
            log.extend((now, number, query.kind) for number, query, _ in self.take())


def line(bench: Bench) -> None:
    """0 (ourselves) - 1 - 2 - 3, all known."""
    bench.peer(1, 0)
    told = {1: [(0, 0x15), (2, 0x13)], 2: [(1, 0x15), (3, 0x13)], 3: [(2, 0x15)]}
    for _ in range(3):
        for asked in bench.take():
            bench.answer(asked, 0.0, *(entry(child, label) for child, label in told[asked[0]]))
        bench.pathfinder.handle_timeout(0.0)
    bench.take()


def test_a_new_peer_is_asked_for_its_peers_at_once() -> None:
    bench = Bench()
    bench.peer(1, 0)
    (number, query, sent), *rest = bench.take()
    assert not rest
    assert (number, query.kind, query.target, sent.label) == (1, GET_PEERS, bytes(8), 0x13)


def test_what_a_reply_tells_of_is_asked_next_until_all_are_known() -> None:
    bench = Bench()
    line(bench)
    labels = [int(route.label) for route in bench.pathfinder.routes()]
    assert labels == [SELF_LABEL, 0x13, 0x133, 0x1333]
    assert [route.is_peer for route in bench.pathfinder.routes()] == [False, True, False, False]


def test_a_node_with_many_peers_is_read_page_by_page() -> None:
    bench = Bench()
    bench.peer(1, 0)
    slots = list(range(2, 22))
    labels = {int(one_hop_label(slot)): slot for slot in slots}
    asked = bench.take()
    pages = 0
    while asked:
        (first,) = asked
        begin = int.from_bytes(first[1].target or b"", "big")
        page = sorted(label for label in labels if label >= begin)[:8][::-1]
        bench.answer(first, 0.0, *(entry(labels[label] + 100, label) for label in page))
        asked = bench.take()
        pages += 1
    assert pages == 3
    assert len(bench.pathfinder.links_of(address_of(key(1)))) == len(slots)


def test_a_node_that_always_says_the_same_full_page_is_left_after_it() -> None:
    bench = Bench()
    bench.peer(1, 0)
    page = [entry(100 + slot, int(one_hop_label(slot))) for slot in range(9, 1, -1)]
    bench.answer(bench.take()[0], 0.0, *page)
    bench.answer(bench.take()[0], 0.0, *page)
    assert not bench.take()


def test_links_that_are_told_no_more_are_forgotten_but_not_by_a_late_page() -> None:
    bench = Bench()
    bench.peer(1, 0)
    first = bench.take()[0]
    bench.queries.handle_timeout(2.0)
    bench.answer(first, 3.0, entry(2, 0x13), entry(3, 0x15))
    assert len(bench.pathfinder.links_of(address_of(key(1)))) == 2, "late, but news"
    bench.pathfinder.handle_timeout(10.0)
    again = next(one for one in bench.take() if one[0] == 1)
    bench.answer(again, 10.1, entry(2, 0x13))
    assert len(bench.pathfinder.links_of(address_of(key(1)))) == 1


def test_at_most_three_nodes_are_asked_at_the_same_time() -> None:
    bench = Bench()
    bench.peer(1, 0)
    told = [entry(number, 0x13 + 2 * (number - 10)) for number in range(10, 17)]
    bench.answer(bench.take()[0], 0.0, *[one for one in told if one.label != 0x11])
    bench.pathfinder.handle_timeout(0.0)
    assert len(bench.take()) == PARALLEL


def test_a_node_told_of_before_there_is_a_way_to_it_is_asked_soon_after_there_is_one() -> None:
    """1 - 4 - 7: we know a label to 7, which tells of 4; 1 tells of 4 a moment later."""
    bench = Bench()
    bench.peer(1, 0)
    (slow,) = bench.take()
    far = RoutingMessage(address_of(key(7)), key(7), Label(0x1353), b"")
    bench.pathfinder.handle_query(far, Query(b"0", PING, 20), 0.0)
    bench.outputs.clear()
    bench.pathfinder.handle_timeout(0.0)
    (quick,) = bench.take()
    bench.answer(quick, 0.0, entry(4, 0x13))
    bench.pathfinder.handle_timeout(0.0)
    assert not bench.take(), "there is no way to 4 yet"
    bench.answer(slow, 0.3, entry(4, 0x15))
    log = bench.run(0.3, 10.0)
    assert min(now for now, number, _ in log if number == 4) <= 2.0


def test_a_quiet_network_is_asked_about_once_in_five_seconds() -> None:
    bench = Bench()
    line(bench)
    told = {1: [(0, 0x15), (2, 0x13)], 2: [(1, 0x15), (3, 0x13)], 3: [(2, 0x15)]}
    now, asked = 0.0, 0
    while now < 600.0:
        due = bench.pathfinder.next_timeout()
        assert due is not None
        now = max(now, due[0])
        bench.pathfinder.handle_timeout(now)
        for one in bench.take():
            asked += now > 200.0
            if one[1].kind == GET_PEERS:
                bench.answer(one, now, *(entry(child, label) for child, label in told[one[0]]))
            else:
                bench.answer(one, now)
    assert asked <= 400 * QUIET_PER_S * 1.3
    assert asked >= 3 * 400 / (SHORTEST_REFRESH_S * 1.3)


def test_the_first_burst_is_bounded_however_many_nodes_are_told_of() -> None:
    bench = Bench()
    bench.peer(1, 0)
    for number in range(20, 260):
        address = address_of(key(number))
        event = RoutingMessage(address, key(number), Label(0x133), b"")
        bench.pathfinder.handle_query(event, Query(b"0", PING, 20), 0.0)
    bench.take()
    log = bench.run(0.0, 30.0)
    assert BURST * 0.8 <= len(log) <= BURST + 30 * 1.2


def test_a_silent_stranger_is_forgotten_and_a_silent_peer_is_not() -> None:
    bench = Bench()
    bench.peer(1, 0)
    bench.answer(bench.take()[0], 0.0, entry(2, 0x13))
    assert bench.pathfinder.route_to(address_of(key(2))) is not None
    bench.run(0.0, 100.0)
    assert bench.pathfinder.node_info(address_of(key(2))) is None
    bench.run(100.0, 500.0)
    assert bench.pathfinder.route_to(address_of(key(1))) is not None


def test_a_known_node_that_is_silent_for_long_is_forgotten_too() -> None:
    bench = Bench()
    line(bench)
    bench.run(0.0, 900.0)
    assert bench.pathfinder.node_info(address_of(key(3))) is None


def test_now_and_then_somebody_is_asked_for_the_far_side() -> None:
    bench = Bench()
    line(bench)
    asked: list[tuple[int, Query, SendInner]] = []
    for second in range(60):
        bench.pathfinder.handle_timeout(float(second))
        asked += [one for one in bench.take() if one[1].kind == FIND_NODE]
    assert 2 <= len(asked) <= 6
    for number, query, _ in asked:
        far = query.target_address()
        own = identity().address
        assert far is not None
        assert bucket(own, far) == bucket(own, address_of(key(number)))
        assert distance(own, far).bit_count() == 1
    bench.answer(asked[0], 61.0, entry(9, 0x17))
    assert bench.pathfinder.route_to(address_of(key(9))) is not None


def test_who_asks_us_is_remembered_and_answered_on_the_way_he_came() -> None:
    bench = Bench()
    event = RoutingMessage(address_of(key(7)), key(7), Label(0x15), b"")
    bench.pathfinder.handle_query(event, Query(b"1abc", PING, 20), 0.0)
    sent = bench.outputs[0]
    assert isinstance(sent, SendInner)
    assert (sent.address, sent.label) == (event.address, event.label)
    assert decode_message(sent.content) == Reply(b"1abc", 20)
    route = bench.pathfinder.route_to(event.address)
    assert route is not None
    assert route.label == 0x15
    for _ in range(200):
        bench.pathfinder.handle_query(event, Query(b"1abc", PING, 20), 0.0)
    assert len(bench.outputs) < 200


def test_a_failed_path_is_examined_to_see_where_it_breaks() -> None:
    bench = Bench()
    line(bench)
    target = address_of(key(3))
    bench.pathfinder.handle_path_failed(target, Label(0x1333), 5.0)
    asked = bench.take()
    assert [(number, query.kind, int(sent.label)) for number, query, sent in asked] == [
        (1, PING, 0x13),
        (2, PING, 0x133),
    ]
    bench.pathfinder.handle_path_failed(target, Label(0x1333), 6.0)
    assert not bench.take(), "not twice in two seconds"
    bench.answer(asked[0], 5.1)
    bench.queries.handle_timeout(8.0)
    route = bench.pathfinder.route_to(address_of(key(2)))
    assert route is not None
    assert route.metric > MetricClass.TABLE + 16 * 1024
    for number in range(MAX_DIAGNOSES + 5):
        bench.pathfinder.handle_path_failed(target, Label(0x1333 + 16 * number), 20.0)
    assert len(bench.pathfinder._examined) == MAX_DIAGNOSES


def test_a_switch_error_makes_the_link_behind_the_complaint_be_avoided() -> None:
    bench = Bench()
    line(bench)
    target = address_of(key(3))
    before = bench.pathfinder.route_to(target)
    assert before is not None
    whole = ErrorFrame(6, SwitchHeader(Label(1), label_shift=12), bytes(20))
    bench.pathfinder.handle_switch_error(Label(0x1333), whole, 1.0)
    assert bench.pathfinder.route_to(target) == before
    at_node_2 = ErrorFrame(8, SwitchHeader(Label(0x13), label_shift=8), bytes(20))
    bench.pathfinder.handle_switch_error(Label(0x1333), at_node_2, 0.5)
    after = bench.pathfinder.route_to(target)
    assert after is not None
    assert after.metric > before.metric
    bench.pathfinder.handle_timeout(0.5)
    assert [number for number, _, _ in bench.take()] == [2], "and it is asked again at once"
    bench.pathfinder.handle_switch_error(Label(0x155), at_node_2, 1.0)


def test_the_table_is_shown_as_the_reference_shows_its_own() -> None:
    bench = Bench()
    line(bench)
    own = bench.pathfinder.node_info(identity().address)
    assert own is not None
    assert (own.cost, own.link_count, own.best_parent) == (0, 1, None)
    last = bench.pathfinder.node_info(address_of(key(3)))
    assert last is not None
    assert last.cost == 3 * 1024
    assert last.best_parent is not None
    assert last.best_parent.parent == address_of(key(2))
    (to_one,) = bench.pathfinder.links_of(identity().address)
    assert (to_one.label, to_one.cost, to_one.is_best_parent) == (0x13, 1024, True)
    assert bench.pathfinder.links_of(address_of(key(99))) == []
    assert bench.pathfinder.node_info(address_of(key(99))) is None
    assert bench.pathfinder.route_to(identity().address) is None


def test_the_nearest_node_is_the_one_itself_if_it_is_known() -> None:
    bench = Bench()
    assert bench.pathfinder.nearest(address_of(key(2))) is None
    line(bench)
    exact = bench.pathfinder.nearest(address_of(key(2)))
    assert exact is not None
    assert exact.label == 0x133
    other = bench.pathfinder.nearest(address_of(key(77)))
    assert other is not None
    assert other.address == min(
        (address_of(key(number)) for number in (1, 2, 3)),
        key=lambda address: distance(address, address_of(key(77))),
    )


def test_the_number_of_searches_is_bounded_and_they_end() -> None:
    bench = Bench()
    line(bench)
    begun = [
        bench.pathfinder.start_search(address_of(key(100 + number)), 24, Nobody(), 1.0)
        for number in range(MAX_SEARCHES + 1)
    ]
    assert begun == [True] * MAX_SEARCHES + [False]
    assert len(bench.pathfinder.searches()) == MAX_SEARCHES
    bench.run(1.0, 20.0)
    assert bench.pathfinder.searches() == []


def test_a_peer_that_is_gone_is_not_asked() -> None:
    bench = Bench()
    peer = bench.peer(1, 0)
    bench.take()
    bench.pathfinder.handle_peer_gone(peer, 1.0)
    assert bench.pathfinder.route_to(peer.address) is None
    assert not [entry for entry in bench.run(1.0, 50.0) if entry[2] == GET_PEERS]
