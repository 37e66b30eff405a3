"""Tests of mesh/dht/responder.py against what running v20.7 nodes answered (docs/protocol/06)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dexmesh.engine.messages import Endpoint, InterfaceNumber, PeerAdded, PeerId
from dexmesh.errors import DecodeError
from dexmesh.mesh.dht.responder import REPLIES_AT_ONCE, Responder
from dexmesh.mesh.dht.table import FRESH_S, Table
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.peers import PeerTable
from dexmesh.wire.address import Address, format_padded, parse_address
from dexmesh.wire.dht import GET_PEERS, PING, Query, Reply, decode_message
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.label import Label, encode_label, parse_label
from dexmesh.wire.scheme import V358
from tests.unit.mesh.helpers import key

VECTORS = Path(__file__).parents[3] / "vectors" / "routing.json"


@cache
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text())
    return loaded


def node_key(number: int) -> PublicKey:
    return PublicKey(bytes.fromhex(vectors()["nodes"][number - 1]["public_key_hex"]))


def key_at(address: str) -> PublicKey:
    for node in vectors()["nodes"]:
        if parse_address(node["ipv6"]) == parse_address(address):
            return PublicKey(bytes.fromhex(node["public_key_hex"]))
    raise AssertionError(address)


def make(own: PublicKey, peers: dict[int, PublicKey]) -> tuple[Responder, Table]:
    """A responder whose peers are at these slots."""
    identity = Identity(own)
    table, known = Table(identity), PeerTable()
    for slot, peer_key in peers.items():
        added = PeerAdded(
            PeerId(slot), slot, InterfaceNumber(0), Endpoint(f"{slot}"), peer_key, False, ""
        )
        peer = known.learn(added, 0.0)
        peer.version = 20
        table.learn_peer(peer, 0.0)
    return Responder(identity, table), table


def node_two() -> Responder:
    """Node 2 of the captures, which knows what `find_node_order` says."""
    responder, table = make(node_key(2), {0: node_key(1), 2: node_key(3)})
    for row in vectors()["find_node_order"]["responder_table"]:
        label = parse_label(row["path"])
        if label > 0x15:
            table.learn_answer(key_at(row["ip6"]), row["version"], V358, label, 0.0)
    return responder


def ask(responder: Responder, content: bytes) -> Reply | None:
    """What node 1 gets for a message; None for silence."""
    try:
        query = decode_message(content)
    except DecodeError:
        return None
    assert isinstance(query, Query)
    return responder.answer(address_of(node_key(1)), Label(0x13), query, 1.0)


def shown(reply: Reply) -> list[tuple[str, str]]:
    return [(format_padded(address_of(node.key)), f"{node.label:016x}") for node in reply.nodes]


def expected(decoded: dict[str, Any]) -> list[tuple[str, str]]:
    return [(node["ipv6"], node["label"].replace(".", "")) for node in decoded.get("n", [])]


# Cases that a v20.7 node leaves to nobody because of its two halves; ours has one (06 §2).
ANSWERED_BY_US = {
    "find-node, txid begins with 1: nobody answers",
    "unknown query for the subnode half: no answer",
}


@pytest.mark.parametrize(
    "case", vectors()["responder_cases"]["cases"], ids=lambda case: case["case"]
)
def test_answers_are_those_of_the_reference(case: dict[str, Any]) -> None:
    reply = ask(node_two(), bytes.fromhex(case["query"] or ""))
    if case["case"] in ANSWERED_BY_US:
        assert reply is not None
    elif case["reply_decoded"] is None:
        assert reply is None
    else:
        decoded = case["reply_decoded"]
        assert reply is not None
        assert shown(reply) == expected(decoded)
        assert reply.txid.hex() == decoded["txid"]["hex"] or not decoded["txid"]["hex"]
        assert (reply.version, reply.form) == (decoded["p"], decoded["ei"])


@pytest.mark.parametrize("case", vectors()["find_node_order"]["cases"], ids=lambda c: c["target"])
def test_find_node_lists_the_nodes_of_the_reference_in_its_order(case: dict[str, Any]) -> None:
    reply = ask(node_two(), bytes.fromhex(case["query"]))
    assert reply is not None
    assert [node.key for node in reply.nodes] == [
        node_key(number) for number in case["nodes_in_reply_order"]
    ]
    assert [label for _, label in shown(reply)] == [
        label.replace(".", "") for label in case["labels"]
    ]


def test_labels_are_widened_for_an_asker_behind_a_wider_director() -> None:
    slots = [0, *range(2, 12)]
    peers = {slot: node_key(number) for slot, number in zip(slots, range(2, 13), strict=True)}
    for exchange in vectors()["mixed_forms"]["dht_at_node_12"]["exchanges"]:
        responder, _ = make(node_key(1), peers)
        query = decode_message(bytes.fromhex(exchange["query"]["content"]))
        assert isinstance(query, Query)
        reply = responder.answer(address_of(node_key(12)), Label(0xAA), query, 1.0)
        decoded = exchange["reply"]["decoded"]
        assert reply is not None
        assert shown(reply) == expected(decoded)
        assert reply.form == decoded["ei"] == 1


def test_a_node_that_did_not_answer_lately_is_not_told_of() -> None:
    responder = node_two()
    content = bytes.fromhex(vectors()["find_node_order"]["cases"][0]["query"])
    query = decode_message(content)
    assert isinstance(query, Query)
    reply = responder.answer(address_of(node_key(1)), Label(0x13), query, FRESH_S)
    assert reply is not None
    assert sorted(node.label for node in reply.nodes) == [0x13, 0x15], "only our peers"


@pytest.mark.parametrize("asker_slot", [0, 20])
def test_get_peers_pages_through_all_peers_with_the_labels_it_gave(asker_slot: int) -> None:
    slots = [0, *range(2, 31)]
    responder, _ = make(key(0), {slot: key(slot + 1) for slot in slots})
    asker = Label(0x13) if asker_slot == 0 else Label(4 * (asker_slot - 1) + 2 | 1 << 7)
    label, seen = Label(0), set[PublicKey]()
    for _ in range(10):
        reply = responder.answer(
            address_of(key(1)), asker, Query(b"0", GET_PEERS, 20, target=encode_label(label)), 1.0
        )
        assert reply is not None
        numbers = [node.label for node in reply.nodes]
        assert numbers == sorted(numbers, reverse=True)
        seen.update(node.key for node in reply.nodes)
        if len(numbers) < 8:
            break
        label = numbers[0]
    assert seen == {key(0), *(key(slot + 1) for slot in slots)}


def test_get_peers_with_a_label_of_many_hops_looks_at_the_first_only() -> None:
    responder, _ = make(key(0), {0: key(1), 2: key(2)})
    query = Query(b"0", GET_PEERS, 20, target=encode_label(Label(0x1335)))
    reply = responder.answer(address_of(key(1)), Label(0x13), query, 1.0)
    assert reply is not None
    assert [node.label for node in reply.nodes] == [0x15]


def test_one_session_is_answered_at_a_bounded_rate() -> None:
    responder = node_two()
    query = Query(b"0", PING, 20)
    asker = Address(address_of(key(5)))
    replies = [responder.answer(asker, Label(0x13), query, 1.0) for _ in range(200)]
    assert sum(reply is not None for reply in replies) == REPLIES_AT_ONCE
    assert responder.answer(address_of(key(6)), Label(0x13), query, 1.0) is not None


def test_a_next_hop_is_the_node_on_the_way_that_is_nearer_or_nothing() -> None:
    responder, _ = make(key(0), {0: key(1), 2: key(2), 3: key(3)})
    for number in range(4, 40):
        query = Query(b"0", b"nh", 20, target=address_of(key(number)))
        reply = responder.answer(address_of(key(1)), Label(0x13), query, 1.0)
        assert reply is not None
        assert len(reply.nodes) <= 1
    assert responder.answer(address_of(key(1)), Label(0x13), Query(b"0", b"nh", 20), 1.0) == Reply(
        b"0", 20
    )


def test_a_path_that_does_not_fit_when_widened_is_left_out() -> None:
    responder, table = make(key(0), {0: key(1), 20: key(2)})
    long_label = Label(1 << 59 | 0x3)
    table.learn_answer(key(3), 20, V358, long_label, 0.0)
    query = Query(b"0", b"fn", 20, target=address_of(key(3)))
    narrow = responder.answer(address_of(key(1)), Label(0x13), query, 1.0)
    wide = responder.answer(address_of(key(2)), Label(0xCE), query, 1.0)
    assert narrow is not None
    assert wide is not None
    assert key(3) in [node.key for node in narrow.nodes]
    assert key(3) not in [node.key for node in wide.nodes]
