"""Tests of mesh/sessions.py and mesh/wants.py through a whole node (docs/protocol/05 §6-8)."""

from __future__ import annotations

from typing import Any

import pytest

from dexmesh.engine.messages import (
    Command,
    ControlFrame,
    CryptoState,
    DropParked,
    PeerRemoved,
    RemoveSession,
    ResetSession,
    RouteNeeded,
    RoutingMessage,
    SendInner,
    SessionAdded,
    SessionRemoved,
    SessionStateChanged,
    SetRoute,
)
from dexmesh.errors import NoRouteError
from dexmesh.mesh.notices import (
    NoRouteFound,
    Notice,
    PathFailed,
    QueryFinished,
    RouteChanged,
    SearchFinished,
    SearchProgress,
)
from dexmesh.mesh.routes import MetricClass
from dexmesh.mesh.sessions import IDLE_S, PROBE_EVERY_S
from dexmesh.mesh.wants import FORGET_S, GIVE_UP_S, MAX_WANTS
from dexmesh.wire.address import Address
from dexmesh.wire.control import ErrorFrame, encode_control
from dexmesh.wire.dht import (
    FIND_NODE,
    GET_PEERS,
    PING,
    NodeEntry,
    Query,
    Reply,
    encode_message,
)
from dexmesh.wire.headers import SwitchHeader
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import Label
from tests.unit.mesh.helpers import (
    entry,
    establish,
    key,
    make_node,
    of_type,
    peer_stats,
    queries_in,
    session_stats,
    stats,
    target,
)

FAR = 5
ADDRESS = address_of(key(FAR))


class Bench:
    """A node with peers 1 at slot 0 and 2 at slot 2, and a network that answers by hand."""

    def __init__(self, peers: int = 2) -> None:
        self.node = make_node()
        self.peers = [
            establish(self.node, number, slot, 0.0) for number, slot in ((1, 0), (2, 2))[:peers]
        ]
        self.node.handle_timeout(0.0)
        self.node.take_outputs()

    def need(self, now: float, number: int = FAR, reason: str = "no session") -> None:
        self.node.handle_event(RouteNeeded(address_of(key(number)), reason), now)

    def outputs(self) -> list[Command | Notice]:
        return self.node.take_outputs()

    def questions(self) -> list[tuple[SendInner, Query]]:
        return queries_in(self.outputs())

    def answer(
        self, question: tuple[SendInner, Query], now: float, *nodes: NodeEntry, label: int = 0
    ) -> None:
        sent, query = question
        content = encode_message(Reply(query.txid, 20, nodes=nodes))
        event = RoutingMessage(sent.address, sent.key, Label(label) or sent.label, content)
        self.node.handle_event(event, now)

    def session(self, state: CryptoState, now: float, number: int = FAR, label: int = 0) -> None:
        """The engine made a session and moved it to a state."""
        address = address_of(key(number))
        if self.node.sessions.session(address) is None:
            added = SessionAdded(address, key(number), 7, Label(label), bool(label))
            self.node.handle_event(added, now)
        change = SessionStateChanged(address, CryptoState.INIT, state, Label(label))
        self.node.handle_event(change, now)

    def hint(self, label: int, now: float = 0.0) -> None:
        """Node FAR asked us something along a label: a way to it."""
        content = encode_message(Query(b"0", PING, 20))
        self.node.handle_event(RoutingMessage(ADDRESS, key(FAR), Label(label), content), now)
        self.node.take_outputs()

    def working(self, label: int = 0x133, now: float = 0.0) -> None:
        """A session with FAR that is established and uses a proved path."""
        self.need(now)
        questions = [one for one in self.questions() if one[1].kind == FIND_NODE]
        far = label >> 4 | 1 << (label.bit_length() - 5)
        self.answer(questions[0], now, entry(FAR, far))
        to_far = [one for one in self.questions() if one[0].address == ADDRESS]
        self.session(CryptoState.RECEIVED_KEY, now)
        self.answer(to_far[0], now)
        self.session(CryptoState.ESTABLISHED, now)
        assert self.used() == label
        self.outputs()

    def used(self) -> int:
        session = self.node.sessions.session(ADDRESS)
        return 0 if session is None else int(session.used)

    def read(self, now: float, **changes: Any) -> None:
        """The engine tells its numbers: both peers were heard just now."""
        peers = (peer_stats(peer, now) for peer in self.peers)
        self.node.handle_event(stats(*peers, sessions=(session_stats(FAR, **changes),)), now)

    def stats(self, now: float, **changes: Any) -> list[Command | Notice]:
        self.read(now, **changes)
        return self.outputs()

    def silence(self, begin: float, end: float) -> list[Command | Notice]:
        """Let the timers of queries and wants run with nobody answering."""
        node, now = self.node, begin
        outputs: list[Command | Notice] = []
        while True:
            times = [t for t in (node.queries.next_timeout(), node.wants.next_timeout()) if t]
            now = max(now, min(times)[0]) if times else end
            if now > end:
                return outputs
            node.queries.handle_timeout(now)
            node.wants.handle_timeout(now)
            outputs += node.take_outputs()
            if not times:
                return outputs


def far_questions(outputs: list[Command | Notice]) -> list[tuple[Label, bytes]]:
    return [(s.label, q.kind) for s, q in queries_in(outputs) if s.address == ADDRESS]


def test_an_unknown_address_is_searched_asked_and_taken_into_use() -> None:
    bench = Bench()
    bench.need(0.0)
    asked = bench.questions()
    assert {query.kind for _, query in asked} == {FIND_NODE}
    bench.need(0.1)
    assert not bench.questions(), "one search at a time"
    bench.answer(asked[0], 0.1, entry(FAR, 0x15))
    (to_far,) = [one for one in bench.questions() if one[0].address == ADDRESS]
    assert (to_far[1].kind, to_far[0].version) == (PING, 20)
    bench.session(CryptoState.SENT_HELLO, 0.1)
    assert not of_type(bench.outputs(), SetRoute), "no user data before the handshake is done"
    bench.session(CryptoState.RECEIVED_KEY, 0.2)
    assert not of_type(bench.outputs(), SetRoute), "nor before the version is known"
    bench.answer(to_far, 0.2)
    outputs = bench.outputs()
    assert of_type(outputs, SetRoute) == [SetRoute(ADDRESS, key(FAR), 20, to_far[0].label)]
    assert [notice.reason for notice in of_type(outputs, RouteChanged)] == ["found"]
    assert bench.node.wants.next_timeout() is None


def test_a_known_way_is_asked_at_once_without_a_search() -> None:
    bench = Bench()
    bench.hint(0x133)
    bench.node.handle_event(SessionRemoved(ADDRESS, "evicted"), 0.5)
    bench.need(1.0)
    outputs = bench.outputs()
    assert far_questions(outputs) == [(0x133, PING)]
    assert len(queries_in(outputs)) == 1


def test_a_stranger_that_called_is_asked_on_the_way_it_came_by() -> None:
    bench = Bench()
    bench.session(CryptoState.SENT_KEY, 0.0, label=0x153)
    bench.outputs()
    bench.need(0.1, reason="handshake unfinished")
    (question,) = bench.questions()
    assert (question[0].label, question[1].kind) == (0x153, PING)
    bench.need(0.2, reason="handshake unfinished")
    assert not bench.questions(), "one question at a time"
    bench.answer(question, 0.3)
    bench.session(CryptoState.ESTABLISHED, 0.3)
    assert of_type(bench.outputs(), SetRoute)[0].label == 0x153


def test_a_session_gets_its_route_before_anybody_asks_for_one() -> None:
    bench = Bench()
    bench.session(CryptoState.ESTABLISHED, 0.0, label=0x153)
    bench.outputs()
    content = encode_message(Query(b"0", PING, 20))
    bench.node.handle_event(RoutingMessage(ADDRESS, key(FAR), Label(0x153), content), 0.1)
    outputs = bench.outputs()
    assert of_type(outputs, SetRoute)[0].label == 0x153
    assert not of_type(outputs, RouteChanged), "nobody uses it yet"


def test_a_node_that_is_too_old_gets_no_user_data() -> None:
    bench = Bench()
    bench.session(CryptoState.ESTABLISHED, 0.0, label=0x153)
    content = encode_message(Query(b"0", PING, 19))
    bench.node.handle_event(RoutingMessage(ADDRESS, key(FAR), Label(0x153), content), 0.1)
    assert not of_type(bench.outputs(), SetRoute)


def test_a_search_is_repeated_with_back_off_while_packets_come_and_given_up() -> None:
    bench = Bench()
    for tenth in range(100):
        bench.need(tenth / 10)
        bench.node.queries.handle_timeout(tenth / 10)
        bench.node.wants.handle_timeout(tenth / 10)
    outputs = bench.outputs()
    searches = [q for _, q in queries_in(outputs) if q.kind == FIND_NODE]
    assert 2 * 2 <= len(searches) <= 2 * 8
    assert of_type(outputs, DropParked) == [DropParked(ADDRESS)]
    assert of_type(outputs, NoRouteFound) == [NoRouteFound(ADDRESS)]
    outputs = bench.silence(10.0, 10.0 + FORGET_S + 1)
    assert bench.node.wants.next_timeout() is None, "nobody asks any more"
    assert GIVE_UP_S < FORGET_S


def test_a_label_without_an_answer_is_tried_twice_and_then_left() -> None:
    bench = Bench()
    bench.hint(0x133)
    bench.hint(0x135)
    bench.need(0.0)
    outputs = [*bench.outputs(), *bench.silence(0.0, 7.0)]
    labels = [int(label) for label, kind in far_questions(outputs) if kind == PING]
    assert labels[0] == labels[1]
    assert {0x133, 0x135} == set(labels[:4])
    assert [q for _, q in queries_in(outputs) if q.kind == FIND_NODE], "at last a search"


def test_a_new_peer_makes_waiting_searches_begin_anew() -> None:
    bench = Bench(peers=1)
    bench.need(0.0)
    bench.silence(0.0, 3.0)
    bench.need(3.0)
    bench.outputs()
    establish(bench.node, 2, 2, 3.05)
    assert [q for _, q in bench.questions() if q.kind == FIND_NODE]


def test_the_number_of_wants_is_bounded_and_the_oldest_goes() -> None:
    bench = Bench()
    for number in range(MAX_WANTS + 10):
        bench.need(number / 1000, number=100 + number)
    assert len(bench.node.wants._wants) == MAX_WANTS
    assert address_of(key(100)) not in bench.node.wants._wants


def test_when_no_search_can_begin_it_is_tried_later() -> None:
    bench = Bench()
    for number in range(50):
        bench.need(0.0, number=100 + number)
    assert len(bench.node.pathfinder.searches()) == 31
    bench.silence(0.0, 2.0)
    assert len(bench.node.pathfinder.searches()) <= 31


# --- Looking after a path ---------------------------------------------------------------------


def test_user_packets_without_an_answer_make_the_path_be_probed() -> None:
    bench = Bench()
    bench.working()
    assert not far_questions(bench.stats(1.0, last_user_out=1.0))
    assert not far_questions(bench.stats(3.0, last_user_out=3.0))
    assert far_questions(bench.stats(4.0, last_user_out=4.0)) == [(0x133, PING)]
    assert not far_questions(bench.stats(4.5, last_user_out=4.5)), "it is being asked already"


def test_an_answered_probe_keeps_the_path_and_a_silent_one_fails_it_at_the_second() -> None:
    bench = Bench()
    bench.working()
    bench.stats(1.0, last_user_out=1.0)
    bench.read(4.0, last_user_out=4.0)
    (probe,) = [one for one in bench.questions() if one[0].address == ADDRESS]
    bench.answer(probe, 4.2)
    assert bench.used() == 0x133
    assert far_questions(bench.stats(7.0, last_user_out=7.0)) == [(0x133, PING)]
    outputs = bench.silence(7.0, 9.5)
    failed = of_type(outputs, PathFailed)
    assert [(one.address, one.label, one.reason) for one in failed] == [(ADDRESS, 0x133, "silence")]
    assert bench.node.sessions.metric(ADDRESS, 9.0) == MetricClass.DEAD
    assert [q for _, q in queries_in(outputs) if q.kind == FIND_NODE], "and a search begins"


def test_a_node_that_no_path_reaches_may_have_restarted_and_gets_a_handshake() -> None:
    bench = Bench()
    bench.working()
    bench.stats(1.0, last_user_out=1.0, last_in=0.5)
    bench.stats(4.0, last_user_out=4.0, last_in=0.5)
    outputs = bench.silence(4.0, 6.5)
    assert of_type(outputs, ResetSession) == [ResetSession(ADDRESS)]
    kinds = [type(one) for one in outputs]
    assert kinds.index(ResetSession) > kinds.index(PathFailed)


def test_a_session_that_is_heard_keeps_its_keys_though_a_path_fails() -> None:
    bench = Bench()
    bench.working()
    bench.stats(1.0, last_user_out=1.0)
    bench.stats(4.0, last_user_out=4.0, last_in=4.0)
    assert not of_type(bench.silence(4.0, 6.0), ResetSession)


def test_keys_are_kept_while_it_is_the_first_link_that_does_not_work() -> None:
    bench = Bench()
    bench.working()
    bench.stats(1.0, last_user_out=1.0, last_in=0.5)
    deaf = [peer_stats(peer, 1.0) for peer in bench.peers]
    sessions = (session_stats(FAR, last_user_out=4.0, last_in=0.5),)
    bench.node.handle_event(stats(*deaf, sessions=sessions), 4.0)
    assert not of_type(bench.silence(4.0, 6.0), ResetSession)


def test_keys_are_not_thrown_away_again_and_again() -> None:
    bench = Bench()
    bench.working()
    outputs = bench.stats(1.0, last_user_out=1.0, last_in=0.5)
    for second in range(4, 14):
        now = float(second)
        outputs += bench.stats(now, last_user_out=now, last_in=0.5)
        outputs += bench.silence(now, now + 1)
    assert len(of_type(outputs, ResetSession)) == 1


def test_traffic_is_not_interrupted_by_a_handshake_while_there_is_another_path() -> None:
    bench = Bench()
    bench.working()
    bench.hint(0x1535)
    bench.stats(1.0, last_user_out=1.0)
    bench.stats(4.0, last_user_out=4.0)
    assert not of_type(bench.silence(4.0, 5.1), ResetSession)


def test_traffic_moves_to_the_next_path_which_is_proved_at_once() -> None:
    bench = Bench()
    bench.working()
    bench.hint(0x1535)
    bench.stats(1.0, last_user_out=1.0)
    bench.stats(4.0, last_user_out=4.0)
    outputs = bench.silence(4.0, 7.0)
    assert of_type(outputs, SetRoute)[0].label == 0x1535
    assert [(one.old, one.new, one.reason) for one in of_type(outputs, RouteChanged)] == [
        (0x133, 0x1535, "path failed")
    ]
    assert (Label(0x1535), PING) in far_questions(outputs)


def test_the_path_of_a_used_session_is_proved_now_and_then_whatever_comes_in() -> None:
    bench = Bench()
    bench.working()
    asked = []
    for second in range(1, 31):
        now = float(second)
        busy = {"last_user_out": now - 0.1, "last_user_in": now - 0.05, "last_in": now}
        bench.read(now, **busy)
        for one in bench.questions():
            if one[0].address == ADDRESS:
                asked.append(now)
                bench.answer(one, now + 0.05)
    assert len(asked) in (2, 3)
    assert PROBE_EVERY_S <= asked[1] - asked[0] <= PROBE_EVERY_S + 1.1


def test_when_the_other_end_sends_another_way_ours_is_probed() -> None:
    bench = Bench()
    bench.working()
    busy = {"last_user_out": 1.0, "last_user_in": 1.0}
    assert not far_questions(bench.stats(1.0, receive_label=Label(0x133), **busy))
    assert far_questions(bench.stats(2.0, receive_label=Label(0x1535), **busy)) == [(0x133, PING)]


def test_a_shorter_path_is_looked_for_proved_and_then_used() -> None:
    bench = Bench()
    bench.working(label=0x13533)
    bench.hint(0x1533, now=1.0)
    used = []
    for second in range(1, 45):
        now = float(second)
        busy = {"last_user_out": now - 0.1, "last_user_in": now - 0.05, "last_in": now}
        bench.read(now, **busy)
        for one in bench.questions():
            if one[0].address == ADDRESS:
                bench.answer(one, now + 0.05)
        used.append(bench.used())
    assert used[0] == 0x13533
    assert used[-1] == 0x1533


def test_a_switch_error_makes_the_path_be_probed_and_one_silence_is_enough() -> None:
    bench = Bench()
    bench.working()
    error = encode_control(ErrorFrame(8, SwitchHeader(Label(3), label_shift=4), bytes(20)))
    bench.node.handle_event(ControlFrame(Label(0x133), error), 2.0)
    bench.node.handle_event(ControlFrame(Label(0x133), error), 2.0)
    bench.node.handle_event(ControlFrame(Label(0x177), error), 2.0)
    outputs = bench.outputs()
    assert far_questions(outputs) == [(0x133, PING)]
    failed = of_type(bench.silence(2.0, 3.5), PathFailed)
    assert len(failed) == 1
    short = ControlFrame(Label(0x133), error[:38])
    bench.node.handle_event(short, 4.0)


def test_a_lost_peer_moves_its_sessions_at_once() -> None:
    bench = Bench()
    bench.working()
    bench.hint(0x1535)
    bench.stats(1.0, last_user_out=1.0)
    bench.node.handle_event(PeerRemoved(bench.peers[0], "removed"), 1.5)
    outputs = bench.outputs()
    assert of_type(outputs, SetRoute)[0].label == 0x1535
    assert bench.used() == 0x1535


def test_a_lost_peer_without_another_way_begins_a_search_if_the_session_is_used() -> None:
    for is_used in (True, False):
        bench = Bench()
        bench.working()
        if is_used:
            bench.stats(1.0, last_user_out=1.0)
        bench.node.handle_event(PeerRemoved(bench.peers[0], "removed"), 1.5)
        kinds = [query.kind for _, query in bench.questions()]
        assert (FIND_NODE in kinds) == is_used


def test_a_path_that_stays_broken_is_given_up_so_that_senders_hear_of_it() -> None:
    bench = Bench()
    bench.working()
    bench.stats(1.0, last_user_out=1.0)
    bench.stats(4.0, last_user_out=4.0)
    outputs = bench.silence(4.0, 6.9)
    assert of_type(outputs, PathFailed)
    assert bench.used() == 0x133, "it is used as long as there is hope"
    outputs = bench.silence(6.9, 20.0)
    assert of_type(outputs, SetRoute)[-1].label == 0
    assert of_type(outputs, DropParked) == [DropParked(ADDRESS)]
    assert bench.used() == 0
    bench.need(20.0, reason="no label")
    bench.answer(bench.questions()[0], 20.1, entry(FAR, 0x13))
    (question,) = [one for one in bench.questions() if one[0].address == ADDRESS]
    bench.answer(question, 20.2)
    assert bench.used() == question[0].label != 0


def test_a_node_that_becomes_a_peer_is_talked_to_directly() -> None:
    bench = Bench()
    bench.working()
    establish(bench.node, FAR, 3, 2.0)
    assert bench.used() == 0x17
    assert bench.node.sessions.metric(ADDRESS, 2.0) == MetricClass.PEER


# --- The life of a session ----------------------------------------------------------------------


def test_a_session_ends_after_two_minutes_without_a_packet() -> None:
    bench = Bench()
    bench.session(CryptoState.ESTABLISHED, 0.0, label=0x153)
    assert not of_type(bench.stats(IDLE_S - 1), RemoveSession)
    assert of_type(bench.stats(IDLE_S), RemoveSession) == [RemoveSession(ADDRESS)]
    bench.node.handle_event(SessionRemoved(ADDRESS, "removed"), IDLE_S)
    assert bench.node.sessions.session(ADDRESS) is None
    bench = Bench()
    bench.session(CryptoState.ESTABLISHED, 0.0, label=0x153)
    assert not of_type(bench.stats(IDLE_S, last_in=1.0), RemoveSession)


def test_lost_events_are_made_up_for_by_the_numbers() -> None:
    bench = Bench()
    bench.stats(1.0, handle=9)
    session = bench.node.sessions.session(ADDRESS)
    assert session is not None
    assert (session.state, session.handle) == (CryptoState.ESTABLISHED, 9)
    bench.node.handle_event(stats(), 2.0)
    assert bench.node.sessions.session(ADDRESS) is not None
    bench.node.handle_event(stats(), 3.0)
    assert bench.node.sessions.session(ADDRESS) is None


def test_a_message_of_a_session_we_missed_makes_it_known() -> None:
    bench = Bench()
    bench.hint(0x153)
    session = bench.node.sessions.session(ADDRESS)
    assert session is not None
    assert session.version == 20


def test_a_session_made_anew_keeps_what_was_known_of_paths() -> None:
    bench = Bench()
    bench.working()
    bench.node.handle_event(SessionAdded(ADDRESS, key(FAR), 8, Label(0x155), True), 2.0)
    session = bench.node.sessions.session(ADDRESS)
    assert session is not None
    assert session.paths.labels() == (0x133, 0x155)
    assert session.version == 20


def test_a_session_is_maintained_while_user_traffic_goes_out() -> None:
    bench = Bench()
    assert not bench.node.sessions.is_maintained(ADDRESS, 1.0)
    bench.working()
    assert not bench.node.sessions.is_maintained(ADDRESS, 1.0)
    bench.stats(1.0, last_user_out=1.0, last_in=1.0)
    assert bench.node.sessions.is_maintained(ADDRESS, 100.0)
    assert not bench.node.sessions.is_maintained(ADDRESS, 122.0)


def test_a_session_can_be_begun_anew_by_hand() -> None:
    bench = Bench()
    assert not bench.node.sessions.reset(ADDRESS)
    assert bench.node.sessions.metric(ADDRESS, 0.0) == MetricClass.UNKNOWN
    bench.session(CryptoState.ESTABLISHED, 0.0, label=0x153)
    bench.outputs()
    assert bench.node.sessions.reset(ADDRESS)
    assert bench.outputs() == [ResetSession(ADDRESS)]


def test_events_of_unknown_sessions_are_ignored() -> None:
    bench = Bench()
    unknown = Address(bytes(16))
    bench.node.handle_event(
        SessionStateChanged(unknown, CryptoState.INIT, CryptoState.ESTABLISHED, Label(1)), 0.0
    )
    bench.node.handle_event(SessionRemoved(unknown, "removed"), 0.0)
    assert not bench.outputs()


# --- Requests -----------------------------------------------------------------------------------


def test_a_query_ends_with_what_the_node_answered() -> None:
    bench = Bench()
    request = bench.node.start_query(target(FAR, 0x133), FIND_NODE, bytes(16), 2.0, 1.0)
    (question,) = bench.questions()
    bench.answer(question, 1.5, entry(7, 0x15), entry(8, 1 << 58 | 1))
    (done,) = of_type(bench.outputs(), QueryFinished)
    assert done.request == request
    assert done.seconds == 0.5
    assert done.sender is not None
    assert done.sender.address == ADDRESS
    assert done.nodes is not None
    assert [(node.key, node.label) for node in done.nodes] == [(key(7), 0x1533)]


def test_the_labels_of_get_peers_stay_as_the_node_told_them() -> None:
    bench = Bench()
    bench.node.start_query(address_of(key(1)), GET_PEERS, bytes(8), 2.0, 1.0)
    (question,) = bench.questions()
    bench.answer(question, 1.5, entry(7, 0x15))
    (done,) = of_type(bench.outputs(), QueryFinished)
    assert done.nodes is not None
    assert [node.label for node in done.nodes] == [0x15]


def test_a_query_without_an_answer_ends_once() -> None:
    bench = Bench()
    request = bench.node.start_query(target(FAR, 0x133), PING, None, 2.0, 1.0)
    (question,) = bench.questions()
    bench.node.queries.handle_timeout(3.0)
    bench.answer(question, 4.0)
    (done,) = of_type(bench.outputs(), QueryFinished)
    assert (done.request, done.nodes, done.seconds) == (request, None, 2.0)


def test_a_query_that_cannot_be_sent_ends_at_once_or_says_that_there_is_no_way() -> None:
    bench = Bench()
    request = bench.node.start_query(target(FAR, 1), PING, None, 2.0, 1.0)
    assert bench.outputs() == [QueryFinished(request, 0.0, None)]
    with pytest.raises(NoRouteError):
        bench.node.start_query(ADDRESS, PING, None, 2.0, 1.0)


def test_a_search_tells_its_steps_and_its_end() -> None:
    bench = Bench()
    request = bench.node.start_search(ADDRESS, 20, 1.0)
    questions = bench.questions()
    bench.answer(questions[0], 1.1, entry(FAR, 0x15))
    (to_far,) = [one for one in bench.questions() if one[0].address == ADDRESS]
    bench.answer(to_far, 1.2)
    outputs = bench.outputs()
    assert of_type(outputs, SearchProgress)[0].request == request
    (end,) = of_type(outputs, SearchFinished)
    assert end.request == request
    assert end.route is not None
    assert end.route.label == to_far[0].label


def test_a_search_that_cannot_begin_or_finds_nothing_ends_without_a_route() -> None:
    bench = Bench()
    for number in range(40):
        bench.node.start_search(address_of(key(100 + number)), 20, 1.0)
    assert len(of_type(bench.outputs(), SearchFinished)) == 9
    lonely = make_node()
    lonely.start_search(ADDRESS, 20, 1.0)
    (end,) = of_type(lonely.take_outputs(), SearchFinished)
    assert end.route is None
