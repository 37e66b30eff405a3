"""Tests of mesh/keepalive.py: the schedule of docs/protocol/04 §7, and what is faster in ours.

A node is driven by its timers alone; peers are silent unless a test answers for them.
"""

from __future__ import annotations

from itertools import pairwise

from dexmesh.engine.messages import (
    Command,
    ControlFrame,
    LinkHandshake,
    PeerId,
    ReadStats,
    RemovePeer,
    ResetPeer,
    SetPeerUp,
)
from dexmesh.mesh.keepalive import CYCLE_S, RETRIES_PER_CYCLE
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.peers import PeerState
from dexmesh.mesh.pings import MAX_KEEPALIVE_PINGS
from dexmesh.wire.control import Ping, encode_control
from dexmesh.wire.label import Label
from tests.unit.mesh.helpers import (
    INTERFACE,
    answer_pings,
    establish,
    key,
    make_node,
    of_type,
    peer_added,
    peer_stats,
    pings_in,
    stats,
)

Log = list[tuple[float, Command | Notice]]


def run(node: Node, begin: float, end: float, heard: dict[PeerId, float] | None = None) -> Log:
    """Let the timers run; the engine says when each peer was heard last."""
    log: Log = []
    now = begin
    while True:
        at, _ = node.next_timeout()
        now = max(now, at)
        if now >= end:
            return log
        node.handle_timeout(now)
        outputs = node.take_outputs()
        for output in outputs:
            log.append((now, output))
        if of_type(outputs, ReadStats):
            ages = {} if heard is None else heard
            peers = node.peering.peers.all()
            counters = [peer_stats(peer.id, ages.get(peer.id), peer.link) for peer in peers]
            node.handle_event(stats(*counters), now)
            log.extend((now, output) for output in node.take_outputs())


def ping_times(log: Log, label: int) -> list[float]:
    return [at for at, output in log if pings_in([output]) == [Label(label)]]


def caller_since(now: float) -> tuple[Node, PeerId]:
    """A node with one peer that called it, established and heard at `now`, then silent."""
    node = make_node()
    peer = establish(node, 1, 0, now, is_incoming=True)
    answer_pings(node, node.take_outputs(), now)
    node.take_outputs()
    return node, peer


def test_a_silent_caller_gets_its_first_ping_after_three_to_four_seconds() -> None:
    node, _ = caller_since(100.0)
    times = ping_times(run(node, 100.0, 120.5), 0x13)
    assert 3.072 <= times[0] - 100.0 <= 4.3
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(abs(gap - CYCLE_S) < 0.01 for gap in gaps), "then one in every cycle"


def test_after_twenty_seconds_it_is_unresponsive_and_pinged_every_eighth_cycle() -> None:
    node, peer = caller_since(100.0)
    log = run(node, 100.0, 200.0)
    marked = [at for at, output in log if output == SetPeerUp(peer, False)]
    assert len(marked) == 1
    assert 20.48 <= marked[0] - 100.0 <= 28.7
    late = [at for at in ping_times(log, 0x13) if at - 100.0 > 30]
    gaps = [later - earlier for earlier, later in pairwise(late)]
    assert gaps
    assert all(8.0 <= gap <= 9.3 for gap in gaps)


def test_a_caller_is_forgotten_262_seconds_after_its_last_message() -> None:
    node, peer = caller_since(100.0)
    log = run(node, 100.0, 380.0)
    removed = [at for at, output in log if output == RemovePeer(peer)]
    assert 262.144 <= removed[0] - 100.0 <= 262.144 + CYCLE_S * 1.01


def test_a_peer_that_is_heard_is_not_pinged() -> None:
    node, peer = caller_since(100.0)
    heard = {peer: 100.0}
    for second in range(100, 130):
        heard[peer] = float(second)
        assert not ping_times(run(node, float(second), second + 1.0, heard), 0x13)


def test_a_peer_whose_version_is_unknown_is_pinged_although_it_is_heard() -> None:
    node = make_node()
    added = peer_added(1, 0, is_incoming=True)
    node.handle_event(added, 100.0)
    log = run(node, 100.0, 105.0, {added.peer: 104.0})
    assert len(ping_times(log, 0x13)) >= 4


def test_one_caller_of_an_interface_is_pinged_in_a_cycle_each_in_its_turn() -> None:
    node = make_node()
    for slot in (0, 2, 3, 4):
        establish(node, slot + 1, slot, 100.0, is_incoming=True)
    node.take_outputs()
    log = run(node, 100.0, 116.0)
    times = [at for at, output in log if pings_in([output])]
    assert len(times) == len(set(times)), "never two in one cycle"
    for label in (0x13, 0x15, 0x17, 0x19):
        own = ping_times(log, label)
        assert len(own) >= 2
    other = establish(node, 9, 5, 116.0, is_incoming=True)
    record = node.peering.peers.by_id(other)
    assert record is not None
    record.interface = type(record.interface)(1)
    log = run(node, 116.0, 130.0)
    times = [at for at, output in log if pings_in([output])]
    assert len(times) > len(set(times)), "but one on each interface"


def test_every_seventh_handshake_message_gets_no_ping() -> None:
    node = make_node()
    added = peer_added(1, 0, is_incoming=True)
    node.handle_event(added, 100.0)
    node.take_outputs()
    sent = []
    for _ in range(14):
        node.handle_event(LinkHandshake(added.peer), 100.0)
        outputs = node.take_outputs()
        sent.append(len(pings_in(outputs)))
        answer_pings(node, outputs, 100.0)
        node.take_outputs()
    assert sent == [1, 1, 1, 1, 1, 1, 0] * 2
    node.handle_event(LinkHandshake(PeerId(77)), 100.0)
    assert not node.take_outputs()


def test_at_most_fifty_pings_wait() -> None:
    node = make_node()
    added = peer_added(1, 0, is_incoming=True)
    node.handle_event(added, 100.0)
    for _ in range(100):
        node.handle_event(LinkHandshake(added.peer), 100.0)
    assert len(pings_in(node.take_outputs())) == MAX_KEEPALIVE_PINGS
    node.handle_timeout(103.0)
    node.take_outputs()
    node.handle_event(LinkHandshake(added.peer), 103.0)
    assert len(pings_in(node.take_outputs())) == 1


def want(node: Node, number: int, slot: int, now: float) -> PeerId:
    """A configured peer that got its slot and answered once."""
    added = peer_added(number, slot)
    node.want_peer(INTERFACE, added.endpoint, key(number), b"password")
    peer = establish(node, number, slot, now)
    answer_pings(node, node.take_outputs(), now)
    node.take_outputs()
    return peer


def test_a_configured_peer_that_goes_silent_is_probed_and_its_link_begun_anew() -> None:
    node = make_node()
    peer = want(node, 1, 0, 100.0)
    log = run(node, 100.0, 112.0)
    resets = [at for at, output in log if output == ResetPeer(peer)]
    assert resets
    assert resets[0] - 100.0 <= 7.0
    late = [at for at in ping_times(log, 0x13) if at > resets[0]]
    gaps = [later - earlier for earlier, later in pairwise(late)]
    assert max(gaps) < 1.1, "asked every cycle from then on"


def test_configured_peers_that_never_answer_share_a_bounded_number_of_pings() -> None:
    node = make_node()
    for slot in [0, *range(2, 51)]:
        added = peer_added(slot + 1, slot)
        node.want_peer(INTERFACE, added.endpoint, key(slot + 1), b"password")
        node.handle_event(added, 100.0)
    node.take_outputs()
    log = run(node, 100.0, 140.0)
    by_cycle: dict[float, int] = {}
    for at, output in log:
        by_cycle[at] = by_cycle.get(at, 0) + len(pings_in([output]))
    assert max(by_cycle.values()) <= RETRIES_PER_CYCLE + 1
    for peer in node.peering.peers.all():
        assert len(ping_times(log, peer.label)) >= 5


def test_a_peer_that_answers_its_probe_is_left_alone() -> None:
    node = make_node()
    peer = want(node, 1, 0, 100.0)
    now = 100.0
    while now < 130.0:
        now = max(now, node.next_timeout()[0])
        node.handle_timeout(now)
        outputs = node.take_outputs()
        assert ResetPeer(peer) not in outputs
        if of_type(outputs, ReadStats):
            record = node.peering.peers.by_id(peer)
            assert record is not None
            node.handle_event(stats(peer_stats(peer, record.heard_at)), now)
            outputs = [*outputs, *node.take_outputs()]
        answer_pings(node, outputs, now + 0.02)
        node.take_outputs()
    record = node.peering.peers.by_id(peer)
    assert record is not None
    assert record.state is PeerState.ESTABLISHED
    assert record.round_trip_s is not None
    assert abs(record.round_trip_s - 0.02) < 1e-6


def test_packets_that_go_out_into_silence_are_noticed_after_a_second() -> None:
    node = make_node()
    peer = want(node, 1, 0, 100.0)
    for at, packets in ((100.5, 10), (101.6, 40)):
        node.handle_event(stats(peer_stats(peer, 100.0, packets_out=packets)), at)
    assert pings_in(node.take_outputs()) == [Label(0x13)]
    log = run(node, 101.6, 104.0)
    assert [output for _, output in log if output == ResetPeer(peer)]


def test_a_network_change_asks_every_peer_at_once_and_soon_begins_anew() -> None:
    node = make_node()
    first, second = want(node, 1, 0, 100.0), want(node, 2, 2, 100.0)
    node.handle_network_changed(100.5)
    assert pings_in(node.take_outputs()) == [Label(0x13), Label(0x15)]
    node.handle_network_changed(100.6)
    assert not pings_in(node.take_outputs()), "they are being asked already"
    log = run(node, 100.5, 102.0)
    resets = [output for _, output in log if isinstance(output, ResetPeer)]
    assert resets == [ResetPeer(first), ResetPeer(second)]


def test_an_older_link_of_a_caller_is_removed_when_it_does_not_answer_any_more() -> None:
    node = make_node()
    old = establish(node, 1, 0, 100.0, is_incoming=True)
    node.take_outputs()
    new = establish(node, 1, 2, 105.0, is_incoming=True)
    answer_pings(node, [o for o in node.take_outputs() if pings_in([o]) == [Label(0x15)]], 105.0)
    log = run(node, 105.0, 107.0, {new: 106.0, old: 100.0})
    assert [output for _, output in log if isinstance(output, RemovePeer)] == [RemovePeer(old)]


def test_two_live_links_of_one_caller_both_stay() -> None:
    node = make_node()
    establish(node, 1, 0, 100.0, is_incoming=True)
    node.take_outputs()
    establish(node, 1, 2, 105.0, is_incoming=True)
    answer_pings(node, node.take_outputs(), 105.01)
    assert not [o for _, o in run(node, 105.0, 107.0) if isinstance(o, RemovePeer)]
    assert len(node.peering.peers) == 2


def test_a_peer_that_speaks_an_old_protocol_is_kept_but_not_asked() -> None:
    node, peer = caller_since(100.0)
    record = node.peering.peers.by_id(peer)
    assert record is not None
    record.version = 15
    log = run(node, 100.0, 120.0)
    assert not ping_times(log, 0x13)
    assert record.state is PeerState.INCOMPATIBLE
    node.handle_event(ControlFrame(Label(0x13), encode_control(Ping(20, b"x"))), 120.0)
    assert record.state.name == "ESTABLISHED", "it was updated"
