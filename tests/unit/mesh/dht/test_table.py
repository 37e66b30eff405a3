"""Tests of mesh/dht/table.py and tree.py: nodes, links, ways (docs/protocol/06 §7, 03 §4.3)."""

from __future__ import annotations

import pytest

from dexmesh.engine.messages import Endpoint, InterfaceNumber, PeerAdded, PeerId
from dexmesh.mesh.dht.table import (
    FORGIVE_S,
    FRESH_S,
    MAX_LINKS,
    MAX_LINKS_PER_NODE,
    MAX_NODES,
    MAX_WAYS,
    Node,
    Table,
)
from dexmesh.mesh.dht.tree import PENALTY, UNREACHABLE
from dexmesh.mesh.peers import Peer, PeerTable
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import SELF_LABEL, Label
from dexmesh.wire.scheme import V358, EncodingScheme, Form, one_hop_label
from tests.unit.mesh.helpers import entry, identity, key

V48 = EncodingScheme((Form(1, 4, 1), Form(1, 8, 0)))


def make_peer(number: int, slot: int) -> Peer:
    added = PeerAdded(
        PeerId(slot), slot, InterfaceNumber(0), Endpoint(str(slot)), key(number), False, ""
    )
    peer = PeerTable().learn(added, 0.0)
    peer.version = 20
    return peer


def make(*peers: tuple[int, int]) -> Table:
    """A table whose peers are these nodes at these slots."""
    table = Table(identity())
    for number, slot in peers:
        table.learn_peer(make_peer(number, slot), 0.0)
    return table


def node(table: Table, number: int) -> Node:
    found = table.node(address_of(key(number)))
    assert found is not None
    return found


def link(table: Table, parent: int, label: int, child: int, now: float = 0.0) -> bool:
    told = table.learn_link(node(table, parent), Label(label), key(child), 20, now)
    return told is not None


def label_to(table: Table, number: int, *avoid: int) -> int | None:
    return table.label_to(address_of(key(number)), [Label(label) for label in avoid])


def line() -> Table:
    """0 (ourselves) - 1 - 2 - 3; each sees the one before at slot 2 and the next at slot 0."""
    table = make((1, 0))
    link(table, 1, 0x15, 0)
    link(table, 1, 0x13, 2)
    link(table, 2, 0x15, 1)
    link(table, 2, 0x13, 3)
    return table


def test_links_that_nodes_tell_of_make_a_whole_route() -> None:
    table = line()
    assert label_to(table, 1) == 0x13
    assert label_to(table, 2) == 0x133
    assert label_to(table, 3) == 0x1333
    tree = table.tree()
    assert tree.hops_to(address_of(key(3))) == 3
    assert tree.label_to(identity().address) == SELF_LABEL
    assert tree.cost_of(address_of(key(9))) == UNREACHABLE
    assert tree.hops_to(address_of(key(9))) is None
    assert label_to(table, 9) is None


def test_a_director_is_as_wide_as_the_way_back_through_that_node_needs() -> None:
    table = make((1, 0))
    link(table, 1, int(one_hop_label(20)), 0)
    link(table, 1, 0x13, 2)
    label = label_to(table, 2)
    assert label is not None
    assert label.bit_length() - 1 == 4 + 7, "7 bits at node 1, which sees us at interface 20"


def test_without_the_way_back_the_form_it_was_handed_out_in_has_to_do() -> None:
    table = make((1, 0))
    wide = 0x82  # interface 0 in form 1
    link(table, 1, wide, 2)
    label = label_to(table, 2)
    assert label is not None
    assert label.bit_length() - 1 == 4 + 7


def test_the_wider_of_two_links_back_counts() -> None:
    table = make((1, 0))
    for back in (0x15, int(one_hop_label(40))):
        link(table, 1, back, 0)
    link(table, 1, 0x13, 2)
    label = label_to(table, 2)
    assert label is not None
    assert label.bit_length() - 1 == 4 + 10


def test_other_schemes_are_read_in_their_own_way() -> None:
    table = make((1, 0))
    table.learn_answer(key(1), 20, V48, Label(0x13), 1.0)
    link(table, 1, int(one_hop_label(5, V48)), 2)
    label = label_to(table, 2)
    assert label == (int(one_hop_label(5, V48)) ^ 1) << 4 ^ 0x13


def test_a_node_that_changes_its_scheme_has_to_tell_its_links_again() -> None:
    table = line()
    table.learn_answer(key(2), 20, V48, Label(0x133), 1.0)
    assert label_to(table, 3) is None


def test_the_route_that_failed_is_avoided_until_something_proves_it() -> None:
    table = make((1, 0), (4, 2))
    link(table, 1, 0x13, 2)
    link(table, 4, 0x13, 5)
    link(table, 5, 0x13, 2)
    assert label_to(table, 2) == 0x133
    table.learn_silence(address_of(key(2)), Label(0x133), 1.0)
    assert label_to(table, 2) == 0x1335
    assert table.cost_of(Label(0x133)) == 2 + PENALTY
    table.learn_answer(key(2), 20, V358, Label(0x133), 2.0)
    assert label_to(table, 2) == 0x133


def test_a_failed_link_that_its_node_still_tells_of_is_forgiven_after_a_while() -> None:
    table = line()
    table.learn_silence(address_of(key(3)), Label(0x1333), 1.0)
    link(table, 2, 0x13, 3, now=2.0)
    assert table.cost_of(Label(0x1333)) == 3 + PENALTY
    link(table, 2, 0x13, 3, now=1.0 + FORGIVE_S)
    assert table.cost_of(Label(0x1333)) == 3


def test_a_way_we_cannot_follow_is_forgotten_after_three_silences() -> None:
    table = make((1, 0))
    table.learn_node(key(7), 20, 0.0, Label(0x1353))
    assert table.cost_of(Label(0x1353)) == 3
    for _ in range(2):
        table.learn_silence(address_of(key(7)), Label(0x1353), 1.0)
        assert label_to(table, 7) == 0x1353
    table.learn_silence(address_of(key(7)), Label(0x1353), 1.0)
    assert label_to(table, 7) is None
    table.learn_silence(address_of(key(7)), Label(0x1353), 1.0)
    table.learn_silence(address_of(key(99)), Label(0x1353), 1.0)


def test_a_proved_way_is_preferred_to_one_that_was_only_told() -> None:
    table = make((1, 0))
    table.learn_node(key(7), 20, 0.0, Label(0x1353))
    table.learn_answer(key(7), 20, V358, Label(0x1533), 1.0)
    assert label_to(table, 7) == 0x1533
    assert label_to(table, 7, 0x1533) == 0x1353
    assert label_to(table, 7, 0x1533, 0x1353) is None


def test_only_what_answered_lately_is_told_to_others() -> None:
    table = line()
    assert table.proved_label_to(node(table, 3), 0.0) is None
    table.learn_answer(key(3), 20, V358, Label(0x1333), 10.0)
    assert table.proved_label_to(node(table, 3), 10.0) == Label(0x1333)
    assert table.proved_label_to(node(table, 3), 10.0 + FRESH_S) is None
    table.learn_silence(address_of(key(3)), Label(0x1333), 11.0)
    assert table.proved_label_to(node(table, 3), 12.0) is None


def test_a_lost_peer_takes_every_way_over_it_along() -> None:
    table = line()
    table.learn_answer(key(3), 20, V358, Label(0x1333), 1.0)
    table.forget_peer(make_peer(1, 0))
    assert label_to(table, 3) is None
    assert not table.is_peer(address_of(key(1)))
    assert table.peers() == []


def test_a_different_node_at_a_known_interface_means_that_all_were_renumbered() -> None:
    table = line()
    link(table, 2, 0x13, 8)
    assert label_to(table, 3) is None
    assert label_to(table, 8) == 0x1333
    assert list(node(table, 2).links) == [0]


@pytest.mark.parametrize(
    ("label", "child"),
    [(0x133, 3), (0x1, 2), (0x11, 3), (0x13, 2)],
    ids=["two hops", "itself by label 1", "itself by 4 bits", "itself as a child"],
)
def test_what_is_no_link_is_not_taken_for_one(label: int, child: int) -> None:
    table = make((1, 0))
    table.learn_node(key(2), 20, 0.0, Label(0x133))
    assert not link(table, 2, label, child)


def test_nobody_tells_us_our_own_links_and_old_nodes_are_no_children() -> None:
    table = make((1, 0))
    assert table.learn_link(table.own, Label(0x15), key(5), 20, 0.0) is None
    assert table.learn_link(node(table, 1), Label(0x13), key(5), 19, 0.0) is None
    assert table.learn_node(identity().key, 20, 0.0) is None


def test_links_a_node_no_longer_tells_of_are_forgotten() -> None:
    table = line()
    assert not table.retain_links(node(table, 2), [2, 0])
    assert table.retain_links(node(table, 2), [2])
    assert label_to(table, 3) is None


def test_hints_that_do_not_fit_a_label_are_left_out() -> None:
    table = make((1, 0))
    assert table.learn_hint(entry(5, 0x15), Label(0x13), 0.0) is not None
    assert label_to(table, 5) == 0x153
    assert table.learn_hint(entry(5, 1 << 58 | 5), Label(0x13), 0.0) is None


def test_a_third_party_cannot_change_the_version_of_a_node_that_answered() -> None:
    table = make((1, 0))
    table.learn_answer(key(5), 22, V358, Label(0x153), 0.0)
    table.learn_hint(entry(5, 0x15, version=20), Label(0x13), 1.0)
    assert node(table, 5).version == 22


def test_a_node_keeps_its_best_ways_only() -> None:
    table = make((1, 0))
    for number in range(20):
        table.learn_node(key(5), 20, 0.0, Label(0x10000 + 2 * number + 1))
    table.learn_answer(key(5), 20, V358, Label(0x153), 0.0)
    assert len(node(table, 5).ways) == MAX_WAYS
    assert label_to(table, 5) == 0x153


def test_the_nodes_on_a_label_come_with_their_own_labels() -> None:
    table = line()
    stops = [(stop.key, label) for stop, label in table.nodes_on(Label(0x1333))]
    assert stops == [(key(1), 0x13), (key(2), 0x133), (key(3), 0x1333)]
    assert table.nodes_on(Label(0x155)) == []


def test_a_full_table_lets_strangers_go_first_and_then_the_far_ones() -> None:
    table = make((1, 0))
    numbers = range(10, 10 + MAX_NODES)
    for number in numbers:
        label = Label(0x13333 if number == 20 else 0x133)
        table.learn_answer(key(number), 20, V358, label, 0.0)
    assert table.learn_node(key(2), 20, 1.0) is not None
    assert table.node(address_of(key(20))) is None, "the most expensive one made room"
    assert table.learn_node(key(3), 20, 2.0) is not None
    assert table.node(address_of(key(2))) is None, "a stranger made room"
    assert table.node(address_of(key(1))) is not None
    assert len(table.nodes()) == MAX_NODES + 1


def test_the_number_of_links_is_bounded() -> None:
    table = Table(identity())
    nodes = []
    for number in range(1, 18):
        table.learn_node(key(number), 20, 0.0, Label(0x13))
        nodes.append(node(table, number))
    told = 0
    for parent in nodes:
        for slot in range(2, 257):
            child = key(1 if parent is not nodes[0] else 2)
            told += table.learn_link(parent, one_hop_label(slot), child, 20, 0.0) is not None
    assert told == MAX_LINKS
    one = Table(identity())
    one.learn_node(key(1), 20, 0.0, Label(0x13))
    wide = EncodingScheme((Form(0, 10, 0),))
    one.learn_answer(key(1), 20, wide, Label(0x13), 0.0)
    told = sum(
        one.learn_link(node(one, 1), Label(1 << 10 | slot), key(2), 20, 0.0) is not None
        for slot in range(2, 400)
    )
    assert told == MAX_LINKS_PER_NODE


def test_a_peer_that_finds_no_room_is_not_learned() -> None:
    table = make()
    peer = make_peer(0, 0)
    assert table.learn_peer(peer, 0.0) is None, "ourselves"
