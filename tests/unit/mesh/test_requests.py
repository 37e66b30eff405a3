"""Questions of people to the node itself: answered without a packet."""

from __future__ import annotations

import pytest

from dexmesh.mesh.notices import QueryFinished
from dexmesh.mesh.queries import Target
from dexmesh.wire.address import Address
from dexmesh.wire.dht import FIND_NODE, GET_PEERS, PING
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import SELF_LABEL
from tests.unit.mesh.helpers import establish, identity, key, make_node, of_type

OWN = identity()


@pytest.mark.parametrize("target", [OWN.address, Target(OWN.address, OWN.key, 20, SELF_LABEL)])
def test_a_ping_to_ourselves_is_answered_at_once(target: Address | Target) -> None:
    node = make_node()
    request = node.start_query(target, PING, None, 2.0, 1.0)
    outputs = node.take_outputs()
    assert len(outputs) == 1
    finished = of_type(outputs, QueryFinished)[0]
    assert finished.request == request
    assert finished.sender is not None
    assert (finished.sender.key, finished.sender.label) == (OWN.key, SELF_LABEL)


def test_our_own_peers_are_told_without_asking_anybody() -> None:
    node = make_node()
    establish(node, 1, 0, 1.0)
    node.take_outputs()
    node.start_query(OWN.address, GET_PEERS, bytes(8), 2.0, 1.0)
    (finished,) = of_type(node.take_outputs(), QueryFinished)
    assert finished.nodes is not None
    assert [(one.address, one.label) for one in finished.nodes] == [
        (address_of(key(1)), 0x13),
        (OWN.address, SELF_LABEL),
    ]


def test_nodes_near_a_target_come_from_our_own_table() -> None:
    node = make_node()
    establish(node, 1, 0, 1.0)
    node.take_outputs()
    node.start_query(OWN.address, FIND_NODE, address_of(key(1)), 2.0, 1.0)
    (finished,) = of_type(node.take_outputs(), QueryFinished)
    assert finished.nodes is not None
    assert [one.address for one in finished.nodes] == [address_of(key(1))]
