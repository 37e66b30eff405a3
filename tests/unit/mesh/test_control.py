"""Tests of mesh/control.py, mesh/pings.py and mesh/requests.py against switch.json (03 §9-10)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dexmesh.engine.messages import ControlFrame, SendControl
from dexmesh.mesh.control import ANSWERS_AT_ONCE
from dexmesh.mesh.notices import MessageRefused, PingFinished
from dexmesh.mesh.pings import COOKIE_BYTES, MAX_WAITING
from dexmesh.wire.control import (
    ErrorFrame,
    KeyPing,
    KeyPong,
    Ping,
    Pong,
    RpathQuery,
    SnodeQuery,
    SnodeReply,
    decode_control,
    encode_control,
)
from dexmesh.wire.headers import SwitchHeader
from dexmesh.wire.label import Label
from tests.unit.mesh.helpers import identity, key, make_node, of_type

LABEL = Label(0x13)
VECTORS = Path(__file__).parents[2] / "vectors" / "switch.json"


@cache
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text())
    return loaded


def answer_to(frame: bytes) -> bytes | None:
    node = make_node()
    node.handle_event(ControlFrame(LABEL, frame), 0.0)
    sent = of_type(node.take_outputs(), SendControl)
    assert len(sent) <= 1
    assert all(one.label == LABEL for one in sent)
    return sent[0].frame if sent else None


def test_a_ping_is_answered_with_its_data_to_the_last_byte() -> None:
    for data in (b"", b"x", b"IFACE_CNTRLR", bytes(1200)):
        answer = answer_to(encode_control(Ping(22, data)))
        assert answer is not None
        assert decode_control(answer) == Pong(20, data)


def test_a_key_ping_is_answered_with_our_key() -> None:
    answer = answer_to(encode_control(KeyPing(20, key(1), b"data")))
    assert answer is not None
    assert decode_control(answer) == KeyPong(20, identity().key, b"data")


def test_who_asks_for_a_supernode_hears_that_we_have_none() -> None:
    answer = answer_to(encode_control(SnodeQuery(20, data=b"opaque data!")))
    assert answer is not None
    assert decode_control(answer) == SnodeReply(20, kbps=0xFFFFFFFF, data=b"opaque data!")


@pytest.mark.parametrize(
    "frame",
    [
        encode_control(Ping(15, b"")),
        encode_control(KeyPing(15, key(1))),
        encode_control(Pong(20, b"nobody waits for this")),
        encode_control(KeyPong(20, key(1), b"nor for this")),
        encode_control(SnodeReply(20)),
        encode_control(RpathQuery(21, LABEL)),
        encode_control(ErrorFrame(1, SwitchHeader(LABEL), bytes(4))),
    ],
)
def test_old_versions_answers_and_what_v20_does_not_know_get_no_answer(frame: bytes) -> None:
    assert answer_to(frame) is None


@pytest.mark.parametrize("frame", [b"", b"junk", bytes(40), encode_control(Ping(20))[:-1]])
def test_a_bad_frame_is_refused_without_an_answer(frame: bytes) -> None:
    node = make_node()
    node.handle_event(ControlFrame(LABEL, frame), 0.0)
    outputs = node.take_outputs()
    assert [type(output) for output in outputs] == [MessageRefused]


def test_one_peer_cannot_use_up_the_answers_for_the_others() -> None:
    node = make_node()
    for number in range(500):
        frame = encode_control(Ping(20, number.to_bytes(4, "big")))
        node.handle_event(ControlFrame(LABEL, frame), 0.0)
    assert len(of_type(node.take_outputs(), SendControl)) == ANSWERS_AT_ONCE
    node.handle_event(ControlFrame(Label(0x15), encode_control(Ping(20))), 0.0)
    assert len(of_type(node.take_outputs(), SendControl)) == 1


def ping(is_key_ping: bool = False, data: bytes = b"hello") -> tuple[Any, Any, Any]:
    node = make_node()
    request = node.start_switch_ping(LABEL, data, 2.0, 10.0, is_key_ping)
    sent = of_type(node.take_outputs(), SendControl)[0]
    assert sent.label == LABEL
    return node, request, decode_control(sent.frame)


def test_a_switch_ping_ends_with_its_pong() -> None:
    node, request, sent = ping()
    assert isinstance(sent, Ping)
    assert sent.data[COOKIE_BYTES:] == b"hello"
    pong = encode_control(Pong(22, sent.data))
    node.handle_event(ControlFrame(LABEL, pong), 10.25)
    node.handle_event(ControlFrame(LABEL, pong), 10.5)
    assert of_type(node.take_outputs(), PingFinished) == [
        PingFinished(request, "pong", 0.25, LABEL, 22, b"hello", None, LABEL)
    ]


def test_a_pong_from_elsewhere_says_so() -> None:
    node, request, sent = ping()
    node.handle_event(ControlFrame(Label(0x1535), encode_control(Pong(20, sent.data))), 10.5)
    done = of_type(node.take_outputs(), PingFinished)[0]
    assert (done.request, done.result) == (request, "diff_label")
    assert done.response_label == Label(0x1535)


def test_a_switch_ping_without_an_answer_times_out_once() -> None:
    node, request, sent = ping()
    assert node.pings.next_timeout() == (12.0, "switch ping")
    node.pings.handle_timeout(12.0)
    done = of_type(node.take_outputs(), PingFinished)
    assert [(one.request, one.result, one.seconds) for one in done] == [(request, "timeout", 2.0)]
    node.handle_event(ControlFrame(LABEL, encode_control(Pong(20, sent.data))), 12.5)
    assert not of_type(node.take_outputs(), PingFinished)
    assert node.pings.next_timeout() is None


def test_a_key_ping_ends_with_the_key_and_its_data_is_cut_to_fit() -> None:
    node, _, sent = ping(is_key_ping=True, data=bytes(100))
    assert isinstance(sent, KeyPing)
    assert len(sent.data) == 64
    assert sent.key == identity().key
    node.handle_event(ControlFrame(LABEL, encode_control(KeyPong(20, key(1), sent.data))), 10.5)
    done = of_type(node.take_outputs(), PingFinished)[0]
    assert (done.result, done.key, done.data) == ("pong", key(1), bytes(52))


def test_data_of_a_ping_is_cut_at_256_bytes() -> None:
    _, _, sent = ping(data=bytes(300))
    assert len(sent.data) == 256 + COOKIE_BYTES


def test_a_ping_that_finds_no_place_to_wait_ends_at_once() -> None:
    node = make_node()
    for _ in range(MAX_WAITING):
        node.start_switch_ping(LABEL, b"", 2.0, 0.0)
    node.take_outputs()
    request = node.start_switch_ping(LABEL, b"", 2.0, 0.0)
    outputs = node.take_outputs()
    assert outputs == [PingFinished(request, "no_slot", 0.0, LABEL)]
    assert len(node.pings) == MAX_WAITING


def to_our_router() -> list[dict[str, Any]]:
    """The captured control frames that reached the router of the reference."""
    cases: list[dict[str, Any]] = vectors()["control_exchanges_live"]["cases"]
    start = "80000000000000010044"
    return [
        case
        for case in cases
        if case["request"].startswith(start) and case["request"][24:32] == "ffffffff"
    ]


@pytest.mark.parametrize("case", to_our_router(), ids=lambda case: case["note"])
def test_the_live_exchanges_of_the_reference_have_the_same_answers(case: dict[str, Any]) -> None:
    """Only the key in a key pong is ours and not the reference's."""
    answer = answer_to(bytes.fromhex(case["request"])[16:])
    if case["response"] is None:
        assert answer is None
        return
    theirs = decode_control(bytes.fromhex(case["response"])[16:])
    if isinstance(theirs, KeyPong):
        theirs = KeyPong(theirs.version, identity().key, theirs.data)
    assert answer is not None
    assert decode_control(answer) == theirs
