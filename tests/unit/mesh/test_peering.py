"""Tests of mesh/peering.py, mesh/peers.py and mesh/wanted.py (docs/protocol/04 §5-8)."""

from __future__ import annotations

import pytest

from dexmesh.engine.messages import (
    AddPeer,
    ControlFrame,
    CryptoState,
    Endpoint,
    InterfaceNumber,
    LinkStateChanged,
    PeerId,
    PeerRefused,
    PeerRemoved,
    RemovePeer,
    ResetPeer,
    SetPeerUp,
)
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import PeerDown, PeerJoined, PeerLeft, PeerNotAdded, PeerUp
from dexmesh.mesh.peering import MAX_HALF_OPEN
from dexmesh.mesh.peers import PeerState
from dexmesh.mesh.wanted import LONGEST_RETRY_S, MAX_WANTED
from dexmesh.wire.control import Ping, encode_control
from dexmesh.wire.label import Label
from tests.unit.mesh.helpers import (
    ENDPOINT,
    INTERFACE,
    establish,
    key,
    make_node,
    of_type,
    peer_added,
    peer_stats,
    pings_in,
    stats,
)


def state_of(node: Node, peer: PeerId) -> PeerState:
    record = node.peering.peers.by_id(peer)
    assert record is not None
    return record.state


def test_a_wanted_peer_is_called_and_pinged_when_it_has_its_slot() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password", "login", "a friend")
    assert node.take_outputs() == [AddPeer(INTERFACE, ENDPOINT, key(1), b"password", "login")]
    node.handle_event(peer_added(1, 0, endpoint=ENDPOINT), 1.0)
    outputs = node.take_outputs()
    assert pings_in(outputs) == [Label(0x13)]
    joined = of_type(outputs, PeerJoined)[0]
    assert (joined.user, joined.is_incoming) == ("a friend", False)


def test_a_peer_follows_its_link_until_it_is_established() -> None:
    node = make_node()
    added = peer_added(1, 0)
    node.handle_event(added, 1.0)
    assert state_of(node, added.peer) is PeerState.UNAUTHENTICATED
    for state in (CryptoState.SENT_HELLO, CryptoState.RECEIVED_KEY, CryptoState.ESTABLISHED):
        node.handle_event(LinkStateChanged(added.peer, CryptoState.INIT, state), 1.0)
        assert state_of(node, added.peer) is PeerState(state)
    node.handle_event(
        LinkStateChanged(added.peer, CryptoState.ESTABLISHED, CryptoState.RECEIVED_HELLO), 2.0
    )
    assert state_of(node, added.peer) is PeerState.ESTABLISHED, "a restart does not take it down"


def test_a_peer_is_up_when_it_is_established_and_its_version_known() -> None:
    node = make_node()
    added = peer_added(1, 0)
    node.handle_event(added, 1.0)
    node.handle_event(LinkStateChanged(added.peer, CryptoState.INIT, CryptoState.ESTABLISHED), 1.0)
    assert not of_type(node.take_outputs(), PeerUp)
    node.handle_event(ControlFrame(Label(0x13), encode_control(Ping(20, b""))), 1.1)
    assert of_type(node.take_outputs(), PeerUp) == [PeerUp(added.peer, key(1), added.endpoint, 20)]


@pytest.mark.parametrize("version", [16, 19])
def test_a_peer_too_old_to_route_stays_linked_but_is_not_offered(version: int) -> None:
    node = make_node()
    added = peer_added(1, 0)
    node.handle_event(added, 1.0)
    node.handle_event(LinkStateChanged(added.peer, CryptoState.INIT, CryptoState.ESTABLISHED), 1.0)
    node.handle_event(ControlFrame(Label(0x13), encode_control(Ping(version, b""))), 1.1)
    assert not of_type(node.take_outputs(), PeerUp)
    assert state_of(node, added.peer) is PeerState.ESTABLISHED
    assert node.pathfinder.route_to(node.peering.peers.all()[0].address) is None


def test_an_unresponsive_peer_is_back_with_its_first_message() -> None:
    node = make_node()
    peer = establish(node, 1, 0, 100.0)
    record = node.peering.peers.by_id(peer)
    assert record is not None
    node.take_outputs()
    node.peering.mark_unresponsive(record, 125.0)
    node.peering.mark_unresponsive(record, 126.0)
    outputs = node.take_outputs()
    assert of_type(outputs, SetPeerUp) == [SetPeerUp(peer, False)]
    assert of_type(outputs, PeerDown)[0].reason == "unresponsive"
    assert node.pathfinder.route_to(record.address) is None
    node.handle_event(stats(peer_stats(peer, 130.0)), 130.5)
    outputs = node.take_outputs()
    assert of_type(outputs, SetPeerUp) == [SetPeerUp(peer, True)]
    assert of_type(outputs, PeerUp)
    route = node.pathfinder.route_to(record.address)
    assert route is not None
    assert (route.label, route.is_peer) == (Label(0x13), True)


def test_a_refusal_that_time_can_heal_is_tried_again_with_back_off() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    now = 0.0
    node.take_outputs()
    waits = []
    for _ in range(8):
        node.handle_event(PeerRefused(INTERFACE, ENDPOINT, "switch full"), now)
        assert not of_type(node.take_outputs(), PeerNotAdded)[0].is_final
        due = node.peering.next_timeout()
        assert due is not None
        waits.append(due[0] - now)
        now = due[0]
        node.peering.handle_timeout(now)
        assert of_type(node.take_outputs(), AddPeer)
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == LONGEST_RETRY_S
    node.handle_event(PeerRefused(INTERFACE, ENDPOINT, "switch full"), now)
    node.handle_network_changed(now)
    node.peering.handle_timeout(now)
    assert of_type(node.take_outputs(), AddPeer), "a network change ends the waiting"


@pytest.mark.parametrize("reason", ["own key", "not a mesh key", "wrong family"])
def test_a_refusal_that_nothing_can_heal_is_final(reason: str) -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.handle_event(PeerRefused(INTERFACE, ENDPOINT, reason), 0.0)
    assert of_type(node.take_outputs(), PeerNotAdded)[0].is_final
    assert node.peering.next_timeout() is None


def test_a_refusal_nobody_asked_for_is_told_and_forgotten() -> None:
    node = make_node()
    node.handle_event(PeerRefused(INTERFACE, ENDPOINT, "switch full"), 0.0)
    assert of_type(node.take_outputs(), PeerNotAdded)[0].is_final


def test_a_wanted_peer_that_loses_its_slot_is_called_again() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.handle_event(peer_added(1, 0, endpoint=ENDPOINT), 0.0)
    node.take_outputs()
    node.handle_event(PeerRemoved(PeerId(1000), "replaced"), 5.0)
    outputs = node.take_outputs()
    assert of_type(outputs, PeerLeft)[0].reason == "replaced"
    assert not of_type(outputs, PeerDown), "it never was up"
    node.peering.handle_timeout(6.0)
    assert of_type(node.take_outputs(), AddPeer)
    node.handle_event(PeerRemoved(PeerId(4711), "removed"), 6.0)
    assert not node.take_outputs()


def test_a_peer_at_the_endpoint_with_another_key_is_not_the_one_we_want() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.handle_event(peer_added(2, 0, endpoint=ENDPOINT), 0.0)
    assert not node.peering.peers.all()[0].is_wanted


def test_wanting_a_peer_twice_calls_it_once_and_another_key_replaces_it() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.handle_event(peer_added(1, 0, endpoint=ENDPOINT), 0.0)
    node.take_outputs()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"another")
    assert not node.take_outputs()
    node.want_peer(INTERFACE, ENDPOINT, key(2), b"password")
    assert of_type(node.take_outputs(), AddPeer)


def test_the_number_of_wanted_peers_is_bounded() -> None:
    node = make_node()
    for number in range(MAX_WANTED):
        node.want_peer(INTERFACE, Endpoint(f"192.0.2.1:{number}"), key(1), b"password")
    node.take_outputs()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    assert [notice.reason for notice in of_type(node.take_outputs(), PeerNotAdded)] == ["too many"]


def test_disconnecting_ends_every_link_and_every_call_to_a_node() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.handle_event(peer_added(1, 0, endpoint=ENDPOINT), 0.0)
    node.handle_event(peer_added(1, 2, is_incoming=True), 0.0)
    node.take_outputs()
    assert node.peering.disconnect(key(1)) == 2
    assert node.take_outputs() == [RemovePeer(PeerId(1000)), RemovePeer(PeerId(1002))]
    node.handle_event(PeerRemoved(PeerId(1000), "removed"), 1.0)
    assert node.peering.next_timeout() is None
    assert node.peering.disconnect(key(9)) == 0


def test_resetting_begins_links_anew_and_takes_them_down_till_they_are_back() -> None:
    node = make_node()
    first, second = establish(node, 1, 0, 1.0), establish(node, 2, 2, 1.0)
    node.take_outputs()
    assert node.peering.reset(key(2), 2.0) == 1
    outputs = node.take_outputs()
    assert of_type(outputs, ResetPeer) == [ResetPeer(second)]
    assert of_type(outputs, PeerDown)[0].reason == "reset"
    assert pings_in(outputs) == [Label(0x15)]
    assert node.peering.reset(None, 3.0) == 2
    assert of_type(node.take_outputs(), ResetPeer) == [ResetPeer(first), ResetPeer(second)]


def test_an_interface_that_is_gone_is_not_called_by() -> None:
    node = make_node()
    other = InterfaceNumber(1)
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    node.want_peer(other, ENDPOINT, key(1), b"password")
    for interface in (INTERFACE, other):
        node.handle_event(PeerRefused(interface, ENDPOINT, "no such interface"), 0.0)
    node.peering.forget_interface(INTERFACE)
    node.take_outputs()
    node.peering.handle_timeout(10.0)
    assert [call.interface for call in of_type(node.take_outputs(), AddPeer)] == [other]


def test_a_wanted_peer_moves_to_another_endpoint() -> None:
    node = make_node()
    new = Endpoint("192.0.2.9:9")
    assert not node.peering.change_endpoint(INTERFACE, ENDPOINT, new)
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password", "login", "name")
    node.take_outputs()
    assert node.peering.change_endpoint(INTERFACE, ENDPOINT, new)
    assert node.take_outputs() == [AddPeer(INTERFACE, new, key(1), b"password", "login")]
    node.handle_event(peer_added(1, 0, endpoint=new), 0.0)
    node.take_outputs()
    node.peering.change_endpoint(INTERFACE, new, ENDPOINT)
    assert node.take_outputs()[0] == RemovePeer(PeerId(1000))


def test_callers_that_never_finish_a_handshake_are_bounded() -> None:
    node = make_node()
    establish(node, 1, 0, 0.0, is_incoming=True)
    for slot in range(2, 2 + MAX_HALF_OPEN):
        node.handle_event(peer_added(2, slot, is_incoming=True), 1.0)
    assert not of_type(node.take_outputs(), RemovePeer)
    node.handle_event(peer_added(2, 100, is_incoming=True), 2.0)
    assert of_type(node.take_outputs(), RemovePeer) == [RemovePeer(PeerId(1002))]


def test_rates_are_made_of_two_readings() -> None:
    node = make_node()
    peer = establish(node, 1, 0, 0.0)
    record = node.peering.peers.by_id(peer)
    assert record is not None
    node.handle_event(stats(peer_stats(peer, 1.0, bytes_in=1000, bytes_out=2000)), 1.0)
    assert (record.receive_kbps, record.send_kbps) == (0, 0)
    node.handle_event(stats(peer_stats(peer, 2.0, bytes_in=251_000, bytes_out=127_000)), 2.0)
    assert (record.receive_kbps, record.send_kbps) == (2000, 1000)
    node.handle_event(stats(peer_stats(peer, 2.0, bytes_in=251_000, bytes_out=127_000)), 2.0)
    assert record.receive_kbps == 2000, "no time has passed"


def test_a_peer_whose_removal_got_lost_is_forgotten_after_two_readings() -> None:
    node = make_node()
    establish(node, 1, 0, 0.0)
    node.handle_event(stats(), 1.0)
    assert len(node.peering.peers) == 1
    node.handle_event(stats(), 2.0)
    assert len(node.peering.peers) == 0
    assert of_type(node.take_outputs(), PeerLeft)


def test_events_of_unknown_peers_are_ignored() -> None:
    node = make_node()
    node.handle_event(LinkStateChanged(PeerId(1), CryptoState.INIT, CryptoState.ESTABLISHED), 0.0)
    node.handle_event(ControlFrame(Label(0x13), encode_control(Ping(20, b""))), 0.0)
    assert not of_type(node.take_outputs(), PeerUp)


def test_a_slot_that_was_given_away_belongs_to_its_new_peer() -> None:
    node = make_node()
    first = peer_added(1, 0)
    node.handle_event(first, 0.0)
    second = peer_added(2, 0)
    second = type(second)(PeerId(2000), 0, second.interface, second.endpoint, key(2), True, "u")
    node.handle_event(second, 1.0)
    node.handle_event(PeerRemoved(first.peer, "replaced"), 1.0)
    found = node.peering.peers.by_label(Label(0x13))
    assert found is not None
    assert found.id == 2000


def test_a_peer_whose_arrival_got_lost_gives_its_slot_back_after_two_readings() -> None:
    node = make_node()
    orphan = peer_stats(PeerId(1007), 1.0)
    node.handle_event(stats(orphan), 1.0)
    assert not of_type(node.take_outputs(), RemovePeer)
    node.handle_event(stats(orphan), 2.0)
    assert of_type(node.take_outputs(), RemovePeer) == [RemovePeer(PeerId(1007))]


def test_a_wanted_peer_whose_arrival_got_lost_is_called_again() -> None:
    node = make_node()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"password")
    for second in (1.0, 2.0):
        node.handle_event(stats(), second)
    node.take_outputs()
    node.handle_timeout(10.0)
    assert of_type(node.take_outputs(), AddPeer) == [
        AddPeer(INTERFACE, ENDPOINT, key(1), b"password")
    ]


def test_a_link_whose_news_got_lost_is_in_use_after_two_readings() -> None:
    node = make_node()
    added = peer_added(1, 0)
    node.handle_event(added, 0.0)
    node.handle_event(ControlFrame(Label(0x13), encode_control(Ping(20, b"hello"))), 0.0)
    node.handle_event(stats(peer_stats(added.peer, 1.0)), 1.0)
    assert not of_type(node.take_outputs(), PeerUp)
    node.handle_event(stats(peer_stats(added.peer, 2.0)), 2.0)
    assert of_type(node.take_outputs(), PeerUp)
