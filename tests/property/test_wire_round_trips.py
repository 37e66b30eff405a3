"""Whatever is encoded decodes to the same value, and labels keep their promises."""

from __future__ import annotations

import random

from hypothesis import assume, given
from hypothesis import strategies as st

from dexmesh.wire import beacon, control, dht, ether, headers, label, scheme, seed
from dexmesh.wire.address import (
    Address,
    bucket,
    distance,
    format_address,
    format_padded,
    parse_address,
    rot,
)
from dexmesh.wire.base32 import decode_base32, encode_base32
from dexmesh.wire.bencode import BencodeValue, decode_bencode, encode_bencode
from dexmesh.wire.headers import DataHeader, RouteHeader, SwitchHeader
from dexmesh.wire.keys import PublicKey, decode_key, encode_key
from dexmesh.wire.label import Label
from dexmesh.wire.node_address import NodeAddress, format_node_address, parse_node_address
from dexmesh.wire.scheme import V358, EncodingScheme, Hop
from dexmesh.wire.varint import decode_varint, encode_varint
from tests.property import wire_values as values


@given(st.binary(max_size=80))
def test_base32(data: bytes) -> None:
    assert decode_base32(encode_base32(data)) == data


@given(values.node_keys)
def test_key_strings(key: PublicKey) -> None:
    assert decode_key(encode_key(key)) == key


@given(values.addresses)
def test_addresses_in_both_written_forms(address: Address) -> None:
    assert parse_address(format_address(address)) == address
    assert parse_address(format_padded(address)) == address


@given(values.addresses, values.addresses, values.addresses)
def test_distance_is_a_metric(a: Address, b: Address, c: Address) -> None:
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert (distance(a, b) == 0) == (a == b)
    assert 0 <= bucket(a, b) <= 127
    shift = 128 - bucket(a, b)
    assert rot(a) >> shift == rot(b) >> shift


@given(values.any_labels)
def test_labels_as_text_and_bytes(value: Label) -> None:
    assert label.parse_label(label.format_label(value)) == value
    assert label.decode_label(label.encode_label(value)) == value
    assert label.reverse64(label.reverse64(value)) == value


@given(values.node_keys, values.any_labels, st.integers(0, 9999))
def test_node_addresses(key: PublicKey, route: Label, version: int) -> None:
    node = NodeAddress(key, route, version)
    assert parse_node_address(format_node_address(node)) == node


@given(values.routes(), values.routes())
def test_what_is_spliced_can_be_unspliced(go_here: Label, via_here: Label) -> None:
    length = label.label_length(go_here) + label.label_length(via_here)
    route = label.splice(go_here, via_here)
    if length > label.MAX_LABEL_BITS:
        assert route is None
        return
    assert route is not None
    assert label.label_length(route) == length
    assert label.routes_through(route, via_here)
    assert label.unsplice(route, via_here) == go_here


@given(values.routes(), values.routes(), values.routes())
def test_splicing_is_associative(a: Label, b: Label, c: Label) -> None:
    left, right = label.splice(a, b), label.splice(b, c)
    assume(left is not None and right is not None)
    assert left is not None
    assert right is not None
    assert label.splice(left, c) == label.splice(a, right)


@given(values.routes(), values.any_labels)
def test_a_route_runs_through_what_it_begins_with_only(full: Label, middle: Label) -> None:
    if label.routes_through(full, middle) and middle > 1:
        rest = label.unsplice(full, middle)
        assert label.splice(rest, middle) == full


@given(values.routes(), st.integers(0, 63))
def test_the_failing_node_lies_on_the_route(full: Label, shift: int) -> None:
    assert label.routes_through(full, control.failing_label(full, shift))


@given(values.schemes())
def test_schemes(value: EncodingScheme) -> None:
    assert scheme.decode_scheme(scheme.encode_scheme(value)) == value


@given(values.schemes(), st.integers(0, 300))
def test_directors(used: EncodingScheme, interface: int) -> None:
    for form in range(len(used.forms)):
        director = scheme.encode_director(used, interface, form)
        if director is None:
            continue
        width = used.forms[form].width
        found = scheme.first_director(used, Label(1 << width | director))
        assert found == scheme.Director(form, width, interface)


@given(values.schemes(), values.any_labels)
def test_a_director_of_any_label_can_be_written_again(used: EncodingScheme, route: Label) -> None:
    found = scheme.first_director(used, route)
    if found is None:
        return
    director = scheme.encode_director(used, found.interface, found.form)
    assert director == route & ((1 << found.width) - 1)


@given(values.schemes(), values.routes(), st.integers(0, 3))
def test_a_converted_label_goes_the_same_way(used: EncodingScheme, route: Label, form: int) -> None:
    before = scheme.first_director(used, route)
    converted = scheme.convert(used, route, form)
    assume(before is not None and converted is not None)
    assert before is not None
    assert converted is not None
    if scheme.is_self(used, route):
        assert converted == route
        return
    after = scheme.first_director(used, converted)
    assert after is not None
    assert (after.form, after.interface) == (form, before.interface)
    assert converted >> after.width == route >> before.width
    assert label.label_length(converted) <= label.MAX_LABEL_BITS or converted == route


@given(st.integers(2, 256), st.integers(2, 256))
def test_a_peer_can_splice_what_it_is_given(target: int, asker: int) -> None:
    towards, back = scheme.one_hop_label(target), scheme.one_hop_label(asker)
    given_label = scheme.label_for(towards, back)
    assert given_label is not None
    narrow, wide = scheme.first_director(V358, towards), scheme.first_director(V358, given_label)
    way_back = scheme.first_director(V358, back)
    assert narrow is not None
    assert wide is not None
    assert way_back is not None
    assert wide.interface == narrow.interface
    assert wide.width >= way_back.width


@given(st.lists(st.tuples(st.integers(2, 256), st.integers(2, 256)), max_size=6))
def test_a_built_route_visits_its_hops_in_order(interfaces: list[tuple[int, int]]) -> None:
    hops = [
        Hop(scheme.one_hop_label(back), scheme.one_hop_label(onward), V358)
        for back, onward in interfaces
    ]
    route = scheme.build_route(scheme.one_hop_label(0), hops)
    assume(route is not None)
    assert route is not None
    for interface in [0, *(onward for _, onward in interfaces)]:
        found = scheme.first_director(V358, route)
        assert found is not None
        assert found.interface == interface
        route = Label(route >> found.width)
    assert route == label.SELF_LABEL


@given(values.switch_headers, values.data_headers, values.route_headers)
def test_headers(switch: SwitchHeader, data: DataHeader, route: RouteHeader) -> None:
    assert headers.decode_switch_header(switch.encode()) == switch
    assert headers.decode_data_header(data.encode()) == data
    assert headers.decode_route_header(route.encode()) == route


@given(values.control_messages)
def test_control_messages(message: control.ControlMessage) -> None:
    frame = control.encode_control(message)
    assert control.checksum(frame) == 0
    assert control.decode_control(frame) == message


@given(values.routing_messages())
def test_routing_messages(message: dht.RoutingMessage) -> None:
    assert dht.decode_message(dht.encode_message(message)) == message


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=10))
def test_version_lists(versions: list[int]) -> None:
    assert dht.decode_versions(dht.encode_versions(versions)) == versions


@given(values.udp_beacons)
def test_beacons(datagram: beacon.UdpBeacon) -> None:
    assert beacon.decode_udp_beacon(datagram.encode()) == datagram
    assert beacon.decode_beacon(datagram.beacon.encode()) == datagram.beacon


@given(values.ether_frames, st.integers(0, 60))
def test_ethernet_frames_with_any_padding(frame: ether.EtherFrame, padding: int) -> None:
    assert ether.decode_ether_frame(frame.encode() + bytes(padding)) == frame


@given(values.seed_records)
def test_seed_records(record: seed.SeedRecord) -> None:
    assert seed.decode_seed(seed.encode_seed(record)) == record
    assert seed.parse_seed(seed.format_seed(record)) == record


@given(st.integers(0, 64).flatmap(lambda bits: st.integers(0, (1 << bits) - 1)), st.binary())
def test_numbers_of_variable_length(value: int, rest: bytes) -> None:
    encoded = encode_varint(value)
    assert decode_varint(encoded + rest) == (value, len(encoded))


@given(values.bencode_values)
def test_bencode(value: BencodeValue) -> None:
    encoded = encode_bencode(value)
    assert decode_bencode(encoded) == value
    assert decode_bencode(encoded + b"more", allow_trailing=True) == value


@given(
    st.dictionaries(st.binary(max_size=6), st.binary(max_size=9) | values.words, max_size=5),
    st.randoms(use_true_random=False),
)
def test_bencode_of_other_writers_reads_the_same(
    value: dict[bytes, int | bytes], rng: random.Random
) -> None:
    """Any order of keys, zeros before any number."""
    keys = list(value)
    rng.shuffle(keys)
    pieces = [b"d"]
    for key in keys:
        zeros, item = b"0" * rng.randrange(4), value[key]
        pieces.append(b"%b%d:%b" % (zeros, len(key), key))
        written = b"i%b%de" % (zeros, item) if isinstance(item, int) else encode_bencode(item)
        pieces.append(written)
    pieces.append(b"e")
    assert decode_bencode(b"".join(pieces)) == value
