"""Tests of mesh/beacons.py: who is announced when, who is called, and what a liar can do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from dexmesh.engine.messages import (
    AddPeer,
    CryptoState,
    Endpoint,
    InterfaceNumber,
    LinkStateChanged,
    PeerAdded,
    PeerId,
    PeerRemoved,
    ReadStats,
    RemovePeer,
)
from dexmesh.mesh.beacons import (
    BEACON_BURST,
    BEACON_BURST_PER_HOST,
    INTERVAL_S,
    JITTER,
    MAX_BEACON_PEERS,
    MAX_REMEMBERED,
    SHORTEST_GAP_S,
)
from dexmesh.mesh.credentials import LOCAL_PEERS
from dexmesh.mesh.keepalive import FORGET_S
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import PeerJoined, SendBeacon
from dexmesh.mesh.peering import MAX_HALF_OPEN
from dexmesh.wire.beacon import Beacon, BeaconState
from dexmesh.wire.keys import PublicKey
from tests.unit.mesh.helpers import (
    ENDPOINT,
    INTERFACE,
    OWN,
    answer_pings,
    establish,
    key,
    make_node,
    of_type,
    peer_added,
    peer_stats,
    stats,
)

PASSWORD = b"\x00\xff" * 10  # any bytes (04 §13, 6)
OTHER_PASSWORD = b"another-password-...."[:20]
A_PEER = PeerId(1000)


def listening(state: BeaconState = BeaconState.ACCEPT) -> Node:
    node = make_node()
    node.beacons.set_state(INTERFACE, state, 0.0)
    return node


def beacon_of(number: int, password: bytes = PASSWORD, version: int = 20) -> Beacon:
    return Beacon(version, password, key(number))


def hear(node: Node, beacon: Beacon, now: float, endpoint: Endpoint = ENDPOINT) -> list[AddPeer]:
    """The calls that a beacon leads to."""
    node.beacons.handle_beacon(INTERFACE, endpoint, beacon, now)
    return of_type(node.take_outputs(), AddPeer)


def found(node: Node, number: int, slot: int, now: float) -> PeerAdded:
    """Node `number` was found by a beacon and has its slot."""
    added = peer_added(number, slot)
    assert len(hear(node, beacon_of(number), now, added.endpoint)) == 1
    node.handle_event(added, now)
    return added


def run(node: Node, begin: float, end: float, *, answering: bool) -> list[tuple[float, object]]:
    """Let the timers run; peers answer every ping or none."""
    log: list[tuple[float, object]] = []
    now = begin
    while (at := node.next_timeout()[0]) < end:
        now = max(now, at)
        node.handle_timeout(now)
        outputs = node.take_outputs()
        if answering:
            answer_pings(node, outputs, now)
        if of_type(outputs, ReadStats):
            heard = now if answering else None
            node.handle_event(
                stats(*(peer_stats(one.id, heard) for one in node.peering.peers.all())), now
            )
        outputs += node.take_outputs()
        log.extend((now, output) for output in outputs)
    return log


# --- Announcing -----------------------------------------------------------------------------------


def test_the_first_beacon_leaves_at_once_and_says_who_we_are() -> None:
    node = listening(BeaconState.SEND_AND_ACCEPT)
    assert node.next_timeout()[0] == 0.0
    node.handle_timeout(0.0)
    (sent,) = of_type(node.take_outputs(), SendBeacon)
    assert sent == SendBeacon(INTERFACE, Beacon(20, node.credentials.beacon_password, key(OWN)))
    assert len(sent.beacon.encode()) == 56
    assert LOCAL_PEERS in node.credentials.logins()


def test_beacons_follow_every_32_seconds_with_a_little_jitter() -> None:
    node = listening(BeaconState.SEND_AND_ACCEPT)
    log = run(node, 0.0, 20 * INTERVAL_S, answering=True)
    times = [at for at, output in log if isinstance(output, SendBeacon)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) >= 18
    assert all(INTERVAL_S * (1 - JITTER) <= gap <= INTERVAL_S * (1 + JITTER) for gap in gaps)
    assert len(set(gaps)) > 10


@pytest.mark.parametrize("state", [BeaconState.OFF, BeaconState.ACCEPT])
def test_nothing_is_announced_unless_asked_for(state: BeaconState) -> None:
    node = listening(BeaconState.SEND_AND_ACCEPT)
    node.handle_timeout(0.0)
    node.take_outputs()
    node.beacons.set_state(INTERFACE, state, 1.0)
    log = run(node, 1.0, 3 * INTERVAL_S, answering=True)
    assert not [output for _, output in log if isinstance(output, SendBeacon)]
    assert node.beacons.state(INTERFACE) is state


def test_a_change_of_the_network_brings_the_next_beacon_forward_but_not_without_end() -> None:
    node = listening(BeaconState.SEND_AND_ACCEPT)
    node.handle_timeout(0.0)
    node.take_outputs()
    for moment in (0.5, 0.6, 0.7):
        node.handle_network_changed(moment)
    log = run(node, 0.7, 20.0, answering=True)
    times = [at for at, output in log if isinstance(output, SendBeacon)]
    assert times == [SHORTEST_GAP_S]
    node.handle_network_changed(20.0)
    assert node.beacons.next_timeout() == (20.0, "beacon")


def test_an_interface_that_is_gone_announces_and_accepts_nothing() -> None:
    node = listening(BeaconState.SEND_AND_ACCEPT)
    node.beacons.forget_interface(INTERFACE)
    assert node.beacons.next_timeout() is None
    assert hear(node, beacon_of(1), 1.0) == []


# --- Calling --------------------------------------------------------------------------------------


def test_the_sender_of_a_beacon_is_called_by_its_password_alone() -> None:
    assert hear(listening(), beacon_of(1), 1.0) == [
        AddPeer(INTERFACE, ENDPOINT, key(1), PASSWORD, None)
    ]


@pytest.mark.parametrize(
    ("beacon", "state", "reason"),
    [
        (beacon_of(1), BeaconState.OFF, "beacon_off"),
        (Beacon(20, PASSWORD, PublicKey(bytes(32))), BeaconState.ACCEPT, "beacon_not_a_node"),
        (beacon_of(OWN), BeaconState.SEND_AND_ACCEPT, "beacon_own"),
        (beacon_of(1, version=15), BeaconState.ACCEPT, "beacon_incompatible"),
    ],
)
def test_a_beacon_that_leads_nowhere_is_counted(
    beacon: Beacon, state: BeaconState, reason: str
) -> None:
    node = listening(state)
    assert hear(node, beacon, 1.0) == []
    assert node.beacons.drop_counts() == {reason: 1}


def test_an_old_but_compatible_sender_is_called() -> None:
    assert len(hear(listening(), beacon_of(1, version=16), 1.0)) == 1


def test_an_interface_nobody_spoke_of_accepts_nothing() -> None:
    node = make_node()
    node.beacons.handle_beacon(InterfaceNumber(7), ENDPOINT, beacon_of(1), 1.0)
    assert node.take_outputs() == []
    assert node.beacons.drop_counts() == {"beacon_off": 1}


def test_a_peer_found_by_a_beacon_counts_as_incoming_and_is_forgotten_after_silence() -> None:
    node = listening()
    added = found(node, 1, 0, 1.0)
    (joined,) = of_type(node.take_outputs(), PeerJoined)
    assert joined.is_incoming
    node.handle_event(LinkStateChanged(A_PEER, CryptoState.INIT, CryptoState.ESTABLISHED), 2.0)
    log = run(node, 2.0, 2.0 + FORGET_S + 20, answering=False)
    removed = [at for at, output in log if isinstance(output, RemovePeer)]
    assert removed
    assert FORGET_S <= removed[0] - 2.0 <= FORGET_S + 10
    node.handle_event(PeerRemoved(added.peer, "removed"), 300.0)
    node.take_outputs()
    assert len(hear(node, beacon_of(1), 310.0, added.endpoint)) == 1


def test_a_peer_that_somebody_asked_for_is_left_alone() -> None:
    node = listening()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"secret")
    node.handle_event(peer_added(1, 0), 1.0)
    node.take_outputs()
    node.beacons.handle_beacon(INTERFACE, ENDPOINT, beacon_of(1, OTHER_PASSWORD), 2.0)
    assert node.take_outputs() == []


def test_a_peer_that_somebody_asked_for_is_called_by_its_own_password_alone() -> None:
    node = listening()
    node.want_peer(INTERFACE, ENDPOINT, key(1), b"secret")
    (call,) = of_type(node.take_outputs(), AddPeer)
    assert call.password == b"secret"
    assert hear(node, beacon_of(1), 1.0) == []


# --- Beacons from an endpoint that is known -------------------------------------------------------


def test_the_same_beacon_again_changes_nothing_on_a_working_link() -> None:
    node = listening()
    hear(node, beacon_of(1), 1.0)
    establish(node, 1, 0, 1.0)
    node.take_outputs()
    node.beacons.handle_beacon(INTERFACE, ENDPOINT, beacon_of(1), 2.0)
    assert node.take_outputs() == []


def test_a_node_that_called_us_is_not_called_when_its_beacon_comes() -> None:
    node = listening()
    establish(node, 1, 0, 1.0, is_incoming=True)
    node.take_outputs()
    node.beacons.handle_beacon(INTERFACE, ENDPOINT, beacon_of(1), 2.0)
    assert node.take_outputs() == []


@pytest.mark.parametrize("is_incoming", [True, False])
def test_a_node_that_restarted_is_called_anew_within_two_seconds(is_incoming: bool) -> None:
    """Its new password shows it; our data is no more than noise to it, so it cannot answer."""
    node = listening()
    hear(node, beacon_of(1), 1.0)
    peer = establish(node, 1, 0, 1.0, is_incoming)
    node.beacons.handle_beacon(INTERFACE, ENDPOINT, beacon_of(1), 2.0)
    node.take_outputs()
    assert hear(node, beacon_of(1, OTHER_PASSWORD), 3.0) == []
    log = run(node, 3.0, 5.0, answering=False)
    assert [output for _, output in log if isinstance(output, RemovePeer)] == [RemovePeer(peer)]
    node.handle_event(PeerRemoved(peer, "removed"), 5.0)
    assert of_type(node.take_outputs(), AddPeer) == [
        AddPeer(INTERFACE, ENDPOINT, key(1), OTHER_PASSWORD, None)
    ]


@pytest.mark.parametrize("lie", [beacon_of(1, OTHER_PASSWORD), beacon_of(2)])
def test_a_forged_beacon_cannot_end_a_link_that_works(lie: Beacon) -> None:
    node = listening()
    hear(node, beacon_of(1), 1.0)
    establish(node, 1, 0, 1.0)
    node.take_outputs()
    for moment in range(2, 30, 4):
        node.beacons.handle_beacon(INTERFACE, ENDPOINT, lie, float(moment))
        answer_pings(node, node.take_outputs(), moment)
        log = run(node, moment, moment + 4, answering=True)
        assert not [output for _, output in log if isinstance(output, RemovePeer | AddPeer)]


def test_another_node_at_the_endpoint_of_a_dead_one_takes_its_place() -> None:
    node = listening()
    found(node, 1, 0, 1.0)
    node.take_outputs()
    endpoint = peer_added(1, 0).endpoint
    hear(node, beacon_of(2), 2.0, endpoint)
    run(node, 2.0, 4.0, answering=False)
    node.handle_event(PeerRemoved(A_PEER, "removed"), 4.0)
    assert [call.key for call in of_type(node.take_outputs(), AddPeer)] == [key(2)]


def test_a_beacon_is_too_old_to_act_on_when_the_peer_leaves_much_later() -> None:
    node = listening()
    found(node, 1, 0, 1.0)
    hear(node, beacon_of(2), 2.0, peer_added(1, 0).endpoint)
    node.handle_event(PeerRemoved(A_PEER, "removed"), 60.0)
    assert of_type(node.take_outputs(), AddPeer) == []


# --- Floods ---------------------------------------------------------------------------------------


def test_one_host_can_cause_few_calls() -> None:
    node = listening()
    calls = [
        call
        for number in range(100)
        for call in hear(node, beacon_of(1), 1.0, Endpoint(f"192.0.2.9:{5000 + number}"))
    ]
    assert len(calls) == BEACON_BURST_PER_HOST
    assert node.beacons.drop_counts() == {"beacon_too_often": 100 - BEACON_BURST_PER_HOST}


def test_many_hosts_together_can_cause_few_calls() -> None:
    node = listening()
    calls = [
        call
        for number in range(1000)
        for call in hear(
            node, beacon_of(1), 1.0, Endpoint(f"10.0.{number // 250}.{number % 250}:5000")
        )
    ]
    assert len(calls) == BEACON_BURST


def test_working_links_that_began_with_beacons_are_bounded() -> None:
    node = listening()
    for number in range(1, MAX_BEACON_PEERS + 1):
        added = found(node, number, number, 10.0 * number)
        node.handle_event(
            LinkStateChanged(added.peer, CryptoState.INIT, CryptoState.ESTABLISHED), 10.0 * number
        )
    assert hear(node, beacon_of(200), 1000.0, Endpoint("192.0.2.200:1")) == []
    assert node.beacons.drop_counts() == {"beacon_too_many_peers": 1}


def test_senders_that_never_answer_make_room_for_newer_ones() -> None:
    node = listening()
    for number in range(1, MAX_HALF_OPEN + 2):
        found(node, number, number, 10.0 * number)
    removed = of_type(node.take_outputs(), RemovePeer)
    assert removed == [RemovePeer(peer_added(1, 1).peer)]


def test_the_memory_for_passwords_is_bounded() -> None:
    node = listening()
    for number in range(MAX_REMEMBERED + 50):
        endpoint = Endpoint(f"10.1.{number // 250}.{number % 250}:5000")
        assert len(hear(node, beacon_of(1), 10.0 * number, endpoint)) == 1
    assert len(node.beacons._passwords) == MAX_REMEMBERED


def test_beacons_that_wait_for_a_verdict_are_bounded() -> None:
    """Even when every event that a peer was removed got lost."""
    node = listening()
    for number in range(MAX_REMEMBERED + 50):
        added = replace(peer_added(1, 0), peer=PeerId(number))
        node.handle_event(added, 10.0 * number)
        hear(node, beacon_of(2), 10.0 * number, added.endpoint)
        node.peering.peers.forget(added.peer)
    assert len(node.beacons._successors) == MAX_REMEMBERED


def test_an_interface_that_only_listens_has_nothing_to_announce() -> None:
    node = listening()
    node.beacons.announce(INTERFACE, 1.0)
    assert node.beacons.next_timeout() is None


def test_what_is_no_beacon_is_counted() -> None:
    node = listening()
    node.beacons.count_malformed()
    assert node.beacons.drop_counts() == {"beacon_malformed": 1}
