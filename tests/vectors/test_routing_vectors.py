"""Play the groups of routing.json that concern wire/: messages, versions, order of addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import control, dht
from dexmesh.wire.address import bucket, distance, format_address, format_padded, parse_address
from dexmesh.wire.bencode import decode_bencode_dict, encode_bencode
from dexmesh.wire.headers import ContentType, decode_data_header
from dexmesh.wire.keys import address_of, decode_key, encode_key
from dexmesh.wire.label import Label, format_label, parse_label, splice
from dexmesh.wire.scheme import V358, EncodingScheme, Hop, build_route, convert, decode_scheme
from tests.vectors.loading import load, names

ROUTING = load("routing.json")
SCHEMES = {
    entry["name"]: decode_scheme(bytes.fromhex(entry["serialized"]))
    for entry in load("switch.json")["encoding_schemes"]["schemes"]
}


def captured(value: Any) -> Iterator[dict[str, Any]]:
    """Every captured message under `value`."""
    if isinstance(value, dict):
        if "content" in value and "decoded" in value:
            yield value
        for item in value.values():
            yield from captured(item)
    elif isinstance(value, list):
        for item in value:
            yield from captured(item)


def without_padding(content: bytes) -> bytes:
    """The same message without the zeros before its first key."""
    return re.sub(rb"^d0+", b"d", content)


@pytest.mark.parametrize("node", ROUTING["nodes"], ids=names(ROUTING["nodes"], "node"))
def test_keys_give_these_addresses(node: dict[str, Any]) -> None:
    key = decode_key(node["public_key"])
    assert key.hex() == node["public_key_hex"]
    assert encode_key(key) == node["public_key"]
    assert format_padded(address_of(key)) == node["ipv6"]
    assert parse_address(format_address(address_of(key))) == address_of(key)


def test_buckets_are_those_of_node_tables() -> None:
    for case in ROUTING["address_order"]["buckets"]:
        found = bucket(parse_address(case["self"]), parse_address(case["other"]))
        assert found == case["bucket"], case


def test_the_nearer_of_two_addresses_is_nearer() -> None:
    for case in ROUTING["address_order"]["closest"]:
        target = parse_address(case["target"])
        far = {side: distance(target, parse_address(case[side])) for side in ("a", "b")}
        for side, value in far.items():
            assert f"{value:032x}" == case[f"distance_{side}"], case
        assert min(far, key=lambda side: far[side]) == case["closer"], case


@pytest.mark.parametrize("case", ROUTING["version_list"], ids=names(ROUTING["version_list"], "hex"))
def test_version_lists_decode_or_are_refused(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["versions"] is None:
        with pytest.raises(DecodeError):
            dht.decode_versions(data)
        return
    assert dht.decode_versions(data) == case["versions"]
    assert dht.decode_versions(dht.encode_versions(case["versions"])) == case["versions"]


def check_message(message: dht.RoutingMessage, decoded: dict[str, Any]) -> None:
    """Compare every field of the DHT that the vector names."""
    assert message.txid.hex() == decoded["txid"]["hex"]
    assert message.version == decoded["p"]
    if "ei" in decoded:
        assert message.form == decoded["ei"]
        assert message.scheme == decode_scheme(bytes.fromhex(decoded["es"]["hex"]))
    if isinstance(message, dht.Query):
        assert message.kind.decode() == decoded["q"]
        check_target(message, decoded.get("tar"))
        return
    assert "q" not in decoded
    entries = decoded.get("n", [])
    assert [encode_key(node.key) for node in message.nodes] == names(entries, "public_key")
    assert [format_label(node.label) for node in message.nodes] == names(entries, "label")
    addresses = [format_padded(address_of(node.key)) for node in message.nodes]
    assert addresses == names(entries, "ipv6")
    versions = decoded["np"]["versions"] if entries else []
    assert [node.version for node in message.nodes] == versions


def check_target(query: dht.Query, target: dict[str, str] | None) -> None:
    if target is None:
        assert query.target is None
    elif "ipv6" in target:
        address = query.target_address()
        assert address is not None
        assert format_padded(address) == target["ipv6"]
    else:
        label = query.target_label()
        assert label is not None
        assert format_label(label) == target["label"]


DHT_GROUPS = ("messages", "cold_search", "mixed_forms")
CAPTURED = [message for group in DHT_GROUPS for message in captured(ROUTING[group])]


@pytest.mark.parametrize("case", CAPTURED, ids=names(CAPTURED, "content"))
def test_captured_messages_decode_and_encode_to_the_same_bytes(case: dict[str, Any]) -> None:
    header = decode_data_header(bytes.fromhex(case["data_header"]))
    assert header.content_type == ContentType.CJDHT
    content = bytes.fromhex(case["content"])
    message = dht.decode_message(content)
    check_message(message, case["decoded"])
    assert dht.encode_message(message) == without_padding(content)


CONTROL = [case for case in ROUTING["cold_search"]["messages"] if "control_hex" in case]


def test_control_frames_of_a_cold_start_survive_both_ways() -> None:
    assert CONTROL
    for case in CONTROL + ROUTING["getsnode"]["frames"]:
        frame = bytes.fromhex(case["control_hex"])
        assert control.encode_control(control.decode_control(frame)) == frame, case


@pytest.mark.parametrize(
    "case", ROUTING["getsnode"]["frames"], ids=names(ROUTING["getsnode"]["frames"], "control_hex")
)
def test_supernode_questions_have_these_fields(case: dict[str, Any]) -> None:
    message = control.decode_control(bytes.fromhex(case["control_hex"]))
    assert isinstance(message, control.SnodeQuery | control.SnodeReply)
    assert isinstance(message, control.SnodeQuery) is (case["type"] == "query")
    assert message.version == case["version"]
    assert message.snode_version == case["snode_version"]
    assert f"{message.kbps:08x}" == case["kbps"]
    key = None if message.snode_key is None else encode_key(message.snode_key)
    assert key == case["snode_key"]
    assert format_label(message.snode_label) == case["snode_label"]
    assert message.data.hex() == case["opaque"]


RESPONDER = ROUTING["responder_cases"]["cases"]
# Answered by silence for a reason that is not in the bytes: only the DHT half answers these, and
# only when the txid does not begin with 1. Ours answers them (06 §11.1).
DECODED_ALTHOUGH_UNANSWERED = {
    "find-node, txid begins with 1: nobody answers",
    "unknown query for the subnode half: no answer",
}


@pytest.mark.parametrize("case", RESPONDER, ids=names(RESPONDER, "case"))
def test_hand_made_queries_are_taken_where_the_reference_answered(case: dict[str, Any]) -> None:
    query = bytes.fromhex(case["query"])
    if case["reply"] is None and case["case"] not in DECODED_ALTHOUGH_UNANSWERED:
        with pytest.raises(DecodeError):
            dht.decode_message(query)
        return
    message = dht.decode_message(query)
    assert isinstance(message, dht.Query)
    if case["reply"] is not None:
        assert message.txid.hex() == case["reply_decoded"]["txid"]["hex"]


REPLIES = [case for case in RESPONDER if case["reply"] is not None]


@pytest.mark.parametrize("case", REPLIES, ids=names(REPLIES, "case"))
def test_replies_to_hand_made_queries_decode(case: dict[str, Any]) -> None:
    content = bytes.fromhex(case["reply"])
    message = dht.decode_message(content)
    assert isinstance(message, dht.Reply)
    check_message(message, case["reply_decoded"])
    assert dht.encode_message(message) == without_padding(content)


def test_find_node_replies_name_these_nodes_in_this_order() -> None:
    keys = {node["node"]: node["public_key"] for node in ROUTING["nodes"]}
    for case in ROUTING["find_node_order"]["cases"]:
        query = dht.decode_message(bytes.fromhex(case["query"]))
        assert isinstance(query, dht.Query)
        assert query.kind == dht.FIND_NODE
        assert query.target_address() == parse_address(case["target"])
        reply = dht.decode_message(bytes.fromhex(case["reply"]))
        assert isinstance(reply, dht.Reply)
        expected = [keys[number] for number in case["nodes_in_reply_order"]]
        assert [encode_key(node.key) for node in reply.nodes] == expected
        assert [format_label(node.label) for node in reply.nodes] == case["labels"]


SUPERNODE = list(captured(ROUTING["supernode_messages"]))


@pytest.mark.parametrize("case", SUPERNODE, ids=names(SUPERNODE, "content"))
def test_supernode_queries_are_refused_and_their_replies_read(case: dict[str, Any]) -> None:
    content = bytes.fromhex(case["content"])
    if "sq" in case["decoded"]:
        with pytest.raises(DecodeError, match="supernode query"):
            dht.decode_message(content)
        return
    check_message(dht.decode_message(content), case["decoded"])


def test_bencode_of_captured_messages_is_canonical() -> None:
    for case in CAPTURED + SUPERNODE:
        content = bytes.fromhex(case["content"])
        assert encode_bencode(decode_bencode_dict(content)) == without_padding(content)


def hops_of(case: dict[str, Any]) -> tuple[Label, list[Hop]]:
    first, *transit, _ = case["hops"]
    hops = [
        Hop(
            towards_previous=parse_label(hop["label_towards_previous"]),
            towards_next=parse_label(hop["label_towards_next"]),
            scheme=SCHEMES[hop["scheme"]],
        )
        for hop in transit
    ]
    return parse_label(first["label_towards_next"]), hops


ROUTES = ROUTING["route_label"]["cases"]


@pytest.mark.parametrize("case", ROUTES, ids=names(ROUTES, "name"))
def test_routes_over_hops_have_these_labels(case: dict[str, Any]) -> None:
    first, hops = hops_of(case)
    route = build_route(first, hops)
    assert route is not None
    assert format_label(route) == case["label"]


def test_labels_for_an_asker_behind_a_wider_interface_are_widened() -> None:
    """The hub in `mixed_forms` hands out seven-bit labels; converted back they are one hop."""
    exchange = ROUTING["mixed_forms"]["dht_at_node_12"]["exchanges"][0]
    reply = dht.decode_message(bytes.fromhex(exchange["reply"]["content"]))
    assert isinstance(reply, dht.Reply)
    assert reply.form == 1
    narrow = [convert(V358, node.label) for node in reply.nodes]
    assert Label(0x15) in narrow
    towards_hub = parse_label(exchange["reply"]["label"])
    for node in reply.nodes:
        assert splice(node.label, towards_hub) is not None


def test_every_scheme_of_the_file_is_v358() -> None:
    schemes: set[EncodingScheme] = {
        dht.decode_message(bytes.fromhex(c["content"])).scheme for c in CAPTURED
    }
    assert schemes == {V358}
