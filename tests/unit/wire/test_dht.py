from __future__ import annotations

from typing import Any

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire import dht
from dexmesh.wire.bencode import decode_bencode_dict, encode_bencode
from dexmesh.wire.keys import PublicKey, decode_key
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import V358, EncodingScheme, Form

NODE = decode_key("6ub2cjwzrpj01ydqz96sv3muj9mhtj4v4xbdbyu8tcshxx879b00.k")
OTHER = decode_key("g7pxt9tvnsjz9mmxwnkkmm179hvfj8d75pwp79nzfkt77kupw2v0.k")
STRANGER = PublicKey(bytes(32))
V48 = EncodingScheme((Form(1, 4, 1), Form(1, 8, 0)))


def content(**changes: Any) -> bytes:
    """A ping with some keys changed; None removes a key."""
    values: dict[str, Any] = {"q": b"pn", "txid": b"0abc", "p": 20, "ei": 0} | changes
    return encode_bencode(
        {key.encode(): value for key, value in values.items() if value is not None}
    )


def entry(key: PublicKey, label: int) -> bytes:
    return key + label.to_bytes(8, "big")


def test_a_query_is_written_sorted_without_padding() -> None:
    query = dht.Query(b"0abc", dht.FIND_NODE, 20, target=bytes(16))
    expected = b"d2:eii0e2:es5:a\x14E\x81\x001:pi20e1:q2:fn3:tar16:" + bytes(16) + b"4:txid4:0abce"
    assert dht.encode_message(query) == expected


def test_a_reply_names_nodes_only_when_there_are_some() -> None:
    empty = dht.encode_message(dht.Reply(b"t", 20))
    assert set(decode_bencode_dict(empty)) == {b"ei", b"es", b"p", b"txid"}
    nodes = (dht.NodeEntry(NODE, Label(0x13), 20), dht.NodeEntry(OTHER, Label(0x15), 300))
    full = dht.encode_message(dht.Reply(b"t", 20, nodes=nodes))
    assert decode_bencode_dict(full)[b"np"] == bytes.fromhex("020014012c")
    assert dht.decode_message(full) == dht.Reply(b"t", 20, nodes=nodes)


def test_a_sender_that_does_not_say_its_form_writes_none() -> None:
    message = dht.Reply(b"1t", 20, form=None)
    assert b"2:ei" not in dht.encode_message(message)
    assert dht.decode_message(dht.encode_message(message)) == message


def test_a_foreign_scheme_is_read() -> None:
    query = dht.Query(b"0", dht.PING, 20, V48, 1)
    assert dht.decode_message(dht.encode_message(query)) == query


def test_an_unknown_question_is_still_a_question() -> None:
    message = dht.decode_message(content(q=b"zz"))
    assert isinstance(message, dht.Query)
    assert message.kind == b"zz"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"txid": None}, "without txid"),
        ({"txid": 5}, "without txid"),
        ({"p": None}, "without version"),
        ({"p": b"20"}, "without version"),
        ({"p": 15}, "incompatible"),
        ({"p": -1}, "incompatible"),
        ({"p": 1 << 32}, "incompatible"),
        ({"ei": None}, "without form"),
        ({"ei": b"0"}, "without form"),
        ({"ei": 3}, "outside its scheme"),
        ({"ei": -1}, "outside its scheme"),
        ({"es": b""}, "forms"),
        ({"q": None, "sq": b"pn"}, "supernode query"),
    ],
)
def test_messages_the_reference_drops_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        dht.decode_message(content(**changes))


@pytest.mark.parametrize("changes", [{"ei": None}, {"ei": 9}, {"es": b"", "ei": 0}])
def test_the_subnode_half_may_leave_out_its_form(changes: dict[str, Any]) -> None:
    message = dht.decode_message(content(txid=b"1abc", **changes))
    assert (message.scheme, message.form) == (V358, None)


@pytest.mark.parametrize("changes", [{"es": None}, {"es": 7}, {"foo": [1, [b"x", {b"y": 2}]]}])
def test_missing_schemes_and_unknown_keys_are_no_reason_to_refuse(changes: dict[str, Any]) -> None:
    assert dht.decode_message(content(**changes)) == dht.Query(b"0abc", dht.PING, 20)


def test_values_of_the_wrong_type_count_as_missing() -> None:
    assert dht.decode_message(content(q=5)) == dht.Reply(b"0abc", 20)
    assert dht.decode_message(content(q=None, sq=5)) == dht.Reply(b"0abc", 20)
    assert dht.decode_message(content(tar=5)) == dht.Query(b"0abc", dht.PING, 20)


def test_a_message_that_is_too_big_is_refused() -> None:
    with pytest.raises(DecodeError, match="too big"):
        dht.decode_message(content(foo=bytes(dht.MAX_MESSAGE_BYTES)))


def test_targets_are_addresses_or_labels_by_their_length() -> None:
    eight = dht.Query(b"0", dht.GET_PEERS, 20, target=bytes(7) + b"\x15")
    assert eight.target_label() == 0x15
    assert eight.target_address() is None
    sixteen = dht.Query(b"0", dht.FIND_NODE, 20, target=bytes(16))
    assert sixteen.target_address() == bytes(16)
    assert sixteen.target_label() is None
    none = dht.Query(b"0", dht.FIND_NODE, 20)
    assert none.target_address() is None
    assert none.target_label() is None


GOOD = entry(NODE, 0x13) + entry(OTHER, 0x15)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": GOOD},
        {"np": b"\x01\x14\x14"},
        {"n": GOOD[:-1], "np": b"\x01\x14\x14"},
        {"n": GOOD, "np": b"\x01\x14"},
        {"n": GOOD, "np": b"\x01\x14\x14\x14"},
        {"n": GOOD, "np": b""},
        {"n": GOOD, "np": b"\x00"},
        {"n": GOOD, "np": b"\x05" + bytes(10)},
        {"n": GOOD, "np": b"\x02\x14\x14\x14"},
        {"n": 5, "np": b"\x01\x14\x14"},
        {"n": b"", "np": b"\x01"},
    ],
)
def test_a_damaged_node_list_makes_an_empty_reply(changes: dict[str, Any]) -> None:
    message = dht.decode_message(content(q=None, **changes))
    assert message == dht.Reply(b"0abc", 20)


def test_entries_nobody_could_use_are_left_out() -> None:
    packed = entry(STRANGER, 0x13) + entry(NODE, 0) + entry(OTHER, 0x15)
    message = dht.decode_message(content(q=None, n=packed, np=b"\x01\x14\x15\x16"))
    assert isinstance(message, dht.Reply)
    assert message.nodes == (dht.NodeEntry(OTHER, Label(0x15), 22),)


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        ([], "01"),
        ([0], "0100"),
        ([255], "01ff"),
        ([256], "020100"),
        ([1 << 16], "03010000"),
        ([(1 << 32) - 1, 20], "04ffffffff00000014"),
    ],
)
def test_versions_take_the_width_of_the_largest(versions: list[int], text: str) -> None:
    assert dht.encode_versions(versions).hex() == text
    assert dht.decode_versions(bytes.fromhex(text)) == versions


@pytest.mark.parametrize("version", [-1, 1 << 32])
def test_a_version_beyond_32_bits_is_our_mistake(version: int) -> None:
    with pytest.raises(UsageError):
        dht.encode_versions([version])
