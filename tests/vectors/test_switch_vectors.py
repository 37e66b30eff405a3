"""Play the groups of switch.json that concern wire/: schemes, labels, headers, control frames."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import control, scheme
from dexmesh.wire.headers import CONTROL_WORD, SwitchHeader, decode_switch_header
from dexmesh.wire.keys import PublicKey, encode_key
from dexmesh.wire.label import (
    Label,
    format_label,
    label_length,
    parse_label,
    reverse64,
    routes_through,
    splice,
    unsplice,
)
from dexmesh.wire.scheme import EncodingScheme, Form
from dexmesh.wire.versions import is_compatible
from tests.vectors.loading import load, names

SWITCH = load("switch.json")
SCHEMES = {
    entry["name"]: EncodingScheme(tuple(Form(**form) for form in entry["forms"]))
    for entry in SWITCH["encoding_schemes"]["schemes"]
}


def cases(group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = SWITCH[group]["cases"]
    assert found
    return found


def label_or_none(text: str | None) -> Label | None:
    return None if text is None else parse_label(text)


@pytest.mark.parametrize("entry", SWITCH["encoding_schemes"]["schemes"], ids=lambda e: e["name"])
def test_known_schemes_have_these_bytes(entry: dict[str, Any]) -> None:
    known = SCHEMES[entry["name"]]
    assert scheme.encode_scheme(known).hex() == entry["serialized"]
    assert scheme.decode_scheme(bytes.fromhex(entry["serialized"])) == known


def test_our_scheme_is_v358() -> None:
    assert SCHEMES["v358"] == scheme.V358


@pytest.mark.parametrize("entry", SWITCH["encoding_schemes"]["deserialize"], ids=lambda e: e["hex"])
def test_scheme_bytes_are_taken_or_refused(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"])
    if entry["valid"]:
        assert scheme.decode_scheme(data).forms == tuple(Form(**form) for form in entry["forms"])
    else:
        with pytest.raises(DecodeError):
            scheme.decode_scheme(data)


def test_directors_name_interfaces_both_ways() -> None:
    for case in cases("directors"):
        used, interface = SCHEMES[case["scheme"]], case["interface"]
        form = case["form"]
        if form == "smallest":
            form = scheme.smallest_form(used, interface)
            assert format_label(scheme.one_hop_label(interface, used)) == case["one_hop_label"]
        director = scheme.encode_director(used, interface, form)
        assert director == case["director"], case
        assert used.forms[form].width == case["bits"], case
        found = scheme.first_director(used, Label(1 << case["bits"] | director))
        assert found == scheme.Director(form, case["bits"], interface), case


def test_first_directors_are_read_from_whole_labels() -> None:
    for case in cases("parse_director"):
        used, label = SCHEMES[case["scheme"]], parse_label(case["label"])
        found = scheme.first_director(used, label)
        assert found is not None, case
        assert (found.form, found.interface) == (case["form"], case["interface"]), case
        assert scheme.form_of(used, label) == case["form"], case
        assert scheme.is_self(used, label) is case["is_self"], case
        assert scheme.is_one_hop(used, label) is case["is_one_hop"], case


def test_bits_are_reversed() -> None:
    for case in cases("bit_reverse"):
        assert format_label(reverse64(parse_label(case["in"]))) == case["out"], case


def test_labels_are_spliced_or_refused() -> None:
    for case in cases("splice"):
        result = splice(parse_label(case["go_here"]), parse_label(case["via_here"]))
        assert result == label_or_none(case["result"]), case


def test_labels_are_unspliced_where_they_route_through() -> None:
    for case in cases("routes_through_and_unsplice"):
        full, middle = parse_label(case["full"]), parse_label(case["mid"])
        assert routes_through(full, middle) is case["routes_through"], case
        if case["routes_through"]:
            assert format_label(unsplice(full, middle)) == case["unsplice"], case


def test_first_directors_are_converted_or_refused() -> None:
    for case in cases("convert_label"):
        form = None if case["to_form"] == "canonical" else case["to_form"]
        result = scheme.convert(SCHEMES[case["scheme"]], parse_label(case["label"]), form)
        assert result == label_or_none(case["result"]), case


def test_labels_are_widened_for_whoever_asks() -> None:
    for case in cases("label_for"):
        result = scheme.label_for(parse_label(case["target"]), parse_label(case["who_is_asking"]))
        assert result == label_or_none(case["result"]), case


def test_checksums_are_these_bytes() -> None:
    for case in cases("checksum"):
        assert f"{control.checksum(bytes.fromhex(case['data'])):04x}" == case["cksum"], case


@pytest.mark.parametrize("case", cases("switch_headers"), ids=names(cases("switch_headers"), "hex"))
def test_switch_headers_survive_both_ways(case: dict[str, Any]) -> None:
    header = decode_switch_header(bytes.fromhex(case["hex"]))
    assert header.encode().hex() == case["hex"]
    check_header(header, case)


def test_a_route_over_three_nodes_reads_the_same_at_both_ends() -> None:
    steps = [bytes.fromhex(step["header"]) for step in SWITCH["line_a_b_c"]["steps"][:4]]
    first, arrived = decode_switch_header(steps[0]), decode_switch_header(steps[-1])
    assert format_label(first.label) == "0000.0000.0000.0133"
    assert format_label(reverse64(arrived.label)) == "0000.0000.0000.0153"
    assert arrived.label_shift == 3 * 4


def test_an_error_leads_to_the_node_that_made_it() -> None:
    case = SWITCH["multihop_live"]["error_case"]
    packet = bytes.fromhex(case["error_r_to_x"])
    error = decode_packet(packet)
    assert isinstance(error, control.ErrorFrame)
    assert error.error == control.ErrorCode.MALFORMED_ADDRESS
    full = parse_label(case["full_path_label_from_x"])
    failed = control.failing_label(full, error.cause_header.label_shift)
    assert format_label(failed) == "0000.0000.0000.0133"
    assert routes_through(full, failed)
    assert label_length(failed) == error.cause_header.label_shift


def decode_packet(packet: bytes) -> control.ControlMessage:
    """The control message of a whole packet."""
    assert int.from_bytes(packet[12:16], "big") == CONTROL_WORD
    return control.decode_control(packet[16:])


def check_fields(message: control.ControlMessage, decoded: dict[str, Any]) -> None:
    """Compare every field the vector names with the message."""
    frame = control.encode_control(message)
    assert int.from_bytes(frame[2:4], "big") == decoded["type"]
    if isinstance(message, control.ErrorFrame):
        assert message.error == decoded["error"]
        check_header(message.cause_header, decoded["cause_header"])
        assert message.cause_rest.hex() == decoded["cause_rest"]
        return
    assert frame[4:8].hex() == decoded["magic"]
    assert message.version == decoded["version"]
    assert message.data.hex() == decoded["data"]
    match message:
        case control.KeyPing() | control.KeyPong():
            assert message.key.hex() == decoded["key"]
            assert encode_key(message.key) == decoded["key_base32"]
        case control.SnodeQuery() | control.SnodeReply():
            assert message.snode_version == decoded["snode_version"]
            assert message.kbps == decoded["kbps"]
            assert (message.snode_key or bytes(32)).hex() == decoded["snode_key"]
            assert format_label(message.snode_label) == decoded["path_to_snode"]
        case control.RpathQuery() | control.RpathReply():
            assert format_label(message.label) == decoded["rpath"]
        case control.LladdrQuery() | control.LladdrReply():
            if message.endpoint is None:
                assert (decoded["addr_type"], decoded["addr_len"]) == (0, 2)
            else:
                assert message.endpoint.host == ipaddress.ip_address(decoded["address"])
                assert message.endpoint.port == decoded["port"]


def check_header(header: SwitchHeader, decoded: dict[str, Any]) -> None:
    assert format_label(header.label) == decoded["label"]
    for field in ("congestion", "suppress_errors", "version", "label_shift", "traffic_class"):
        assert getattr(header, field) == decoded[field], field


EXCHANGES = cases("control_exchanges_live")
QUERIES = [case for case in EXCHANGES if "request_decoded" in case]
REFUSED = {
    "keyping cookie 65 (too long)",
    "getsnode query bad magic",
    "ping wrong magic",
    "ping byte-swapped checksum",
    "ping 7 bytes (runt)",
    "unknown type 13",
}


@pytest.mark.parametrize("case", QUERIES, ids=names(QUERIES, "note"))
def test_queries_decode_or_are_refused_like_the_reference_did(case: dict[str, Any]) -> None:
    packet = bytes.fromhex(case["request"])
    if case["note"] in REFUSED:
        assert case["response"] is None
        with pytest.raises(DecodeError):
            decode_packet(packet)
        return
    message = decode_packet(packet)
    check_fields(message, case["request_decoded"])
    assert control.encode_control(message) == packet[16:]


@pytest.mark.parametrize("case", QUERIES, ids=names(QUERIES, "note"))
def test_our_answer_is_the_answer_of_the_reference(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(SWITCH["control_exchanges_live"]["node_public_key"]))
    answer = answer_like_v20(bytes.fromhex(case["request"])[16:], key)
    if case["response"] is None:
        assert answer is None
    else:
        assert answer == bytes.fromhex(case["response"])[16:]


def answer_like_v20(frame: bytes, key: PublicKey) -> bytes | None:
    """What a v20.7 node without a supernode answers (03 §10)."""
    try:
        message = control.decode_control(frame)
    except DecodeError:
        return None
    if isinstance(message, control.ErrorFrame) or not is_compatible(message.version):
        return None
    answer: control.ControlMessage
    match message:
        case control.Ping():
            answer = control.Pong(20, message.data)
        case control.KeyPing():
            answer = control.KeyPong(20, key, message.data)
        case control.SnodeQuery():
            answer = control.SnodeReply(20, kbps=0xFFFFFFFF, data=message.data)
        case _:
            return None
    return control.encode_control(answer)


ANSWERED = [case for case in EXCHANGES if case.get("response_decoded")]


@pytest.mark.parametrize("case", ANSWERED, ids=names(ANSWERED, "note"))
def test_answers_and_errors_of_the_reference_decode(case: dict[str, Any]) -> None:
    frame = bytes.fromhex(case["response"])[16:]
    message = control.decode_control(frame)
    check_fields(message, case["response_decoded"])
    encoded = control.encode_control(message)
    assert encoded[2:] == frame[2:]
    was_swapped = not case["response_decoded"]["checksum_ok"]
    assert encoded[:2] == (frame[1::-1] if was_swapped else frame[:2])


def test_an_authentication_error_tells_failure_and_state() -> None:
    case = next(case for case in EXCHANGES if "AUTHENTICATION" in case["note"])
    message = control.decode_control(bytes.fromhex(case["response"])[16:])
    assert isinstance(message, control.ErrorFrame)
    assert message.error == control.ErrorCode.AUTHENTICATION
    assert message.authentication_failure() == control.AuthenticationFailure(failure=11, state=1)


OTHERS = cases("control_unsolicited_live") + cases("control_constructed")


@pytest.mark.parametrize("case", OTHERS, ids=names(OTHERS, "packet"))
def test_other_control_frames_survive_both_ways(case: dict[str, Any]) -> None:
    packet = bytes.fromhex(case["packet"])
    message = decode_packet(packet)
    check_fields(message, case["decoded"])
    assert control.encode_control(message) == packet[16:]
