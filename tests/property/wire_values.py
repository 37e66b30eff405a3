"""Draw values of wire/ that a node could really hold."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dexmesh.wire import control, dht, ether, seed
from dexmesh.wire.address import Address
from dexmesh.wire.beacon import Beacon, UdpBeacon
from dexmesh.wire.headers import DataHeader, RouteHeader, SwitchHeader
from dexmesh.wire.keys import PublicKey, decode_key
from dexmesh.wire.label import MAX_LABEL, Label
from dexmesh.wire.scheme import EncodingScheme, Form
from tests.vectors.loading import load

NODE_KEYS = [decode_key(node["public_key"]) for node in load("routing.json")["nodes"]]
SCHEMES = [
    EncodingScheme(tuple(Form(**form) for form in entry["forms"]))
    for entry in load("switch.json")["encoding_schemes"]["schemes"]
]

words = st.integers(0, (1 << 32) - 1)
opaque = st.binary(max_size=64)
node_keys = st.sampled_from(NODE_KEYS)
public_keys = st.binary(min_size=32, max_size=32).map(PublicKey)
addresses = st.binary(min_size=16, max_size=16).map(Address)
any_labels = st.integers(0, (1 << 64) - 1).map(Label)


@st.composite
def routes(draw: st.DrawFn) -> Label:
    """A path label of any length, short ones as often as long ones."""
    length = draw(st.integers(0, MAX_LABEL.bit_length() - 1))
    return Label(1 << length | draw(st.integers(0, (1 << length) - 1)))


@st.composite
def schemes(draw: st.DrawFn) -> EncodingScheme:
    """A known scheme, or any sane one with prefixes of one length."""
    if draw(st.booleans()):
        return draw(st.sampled_from(SCHEMES))
    count = draw(st.integers(1, 31))
    if count == 1:
        return EncodingScheme((Form(0, draw(st.integers(1, 31)), 0),))
    prefix_len = draw(st.integers((count - 1).bit_length(), 20))
    prefixes = draw(
        st.lists(st.integers(0, (1 << prefix_len) - 1), min_size=count, max_size=count, unique=True)
    )
    bit_counts = draw(
        st.lists(st.integers(1, 31), min_size=count, max_size=count, unique=True).map(sorted)
    )
    pairs = zip(bit_counts, prefixes, strict=True)
    return EncodingScheme(tuple(Form(prefix_len, bits, prefix) for bits, prefix in pairs))


switch_headers = st.builds(
    SwitchHeader,
    label=any_labels,
    congestion=st.integers(0, 127),
    suppress_errors=st.booleans(),
    version=st.integers(0, 3),
    label_shift=st.integers(0, 63),
    traffic_class=st.integers(0, 0xFFFF),
)
data_headers = st.builds(
    DataHeader, content_type=st.integers(0, 0xFFFF), version=st.integers(0, 15)
)
route_headers = st.builds(
    RouteHeader,
    key=public_keys,
    switch_header=switch_headers,
    version=words,
    address=addresses,
    is_incoming=st.booleans(),
    is_control=st.booleans(),
    is_pathfinder=st.booleans(),
)

_endpoints = st.none() | st.builds(
    control.UnderlayAddress,
    host=st.ip_addresses(v=4) | st.ip_addresses(v=6),
    port=st.integers(0, 0xFFFF),
)
_snode_fields: dict[str, Any] = {
    "version": words,
    "snode_version": words,
    "kbps": words,
    "snode_key": st.none() | node_keys,
    "snode_label": any_labels,
    "data": opaque,
}
control_messages: st.SearchStrategy[control.ControlMessage] = st.one_of(
    st.builds(control.Ping, version=words, data=opaque),
    st.builds(control.Pong, version=words, data=opaque),
    st.builds(control.KeyPing, version=words, key=public_keys, data=opaque),
    st.builds(control.KeyPong, version=words, key=public_keys, data=opaque),
    st.builds(control.SnodeQuery, **_snode_fields),
    st.builds(control.SnodeReply, **_snode_fields),
    st.builds(control.RpathQuery, version=words, label=any_labels, data=opaque),
    st.builds(control.RpathReply, version=words, label=any_labels, data=opaque),
    st.builds(control.LladdrQuery, version=words, endpoint=_endpoints, data=opaque),
    st.builds(control.LladdrReply, version=words, endpoint=_endpoints, data=opaque),
    st.builds(control.ErrorFrame, error=words, cause_header=switch_headers, cause_rest=opaque),
)

_entries = st.builds(dht.NodeEntry, key=node_keys, label=any_labels.filter(bool), version=words)


@st.composite
def routing_messages(draw: st.DrawFn) -> dht.RoutingMessage:
    """Any query or reply that is not refused on arrival."""
    scheme = draw(schemes())
    form = draw(st.integers(0, len(scheme.forms) - 1))
    txid = draw(st.binary(max_size=20))
    version = draw(st.integers(16, (1 << 32) - 1))
    if draw(st.booleans()):
        nodes = draw(st.lists(_entries, max_size=dht.MAX_NODES).map(tuple))
        return dht.Reply(txid, version, scheme, form, nodes)
    kinds = st.sampled_from([dht.PING, dht.FIND_NODE, dht.GET_PEERS, dht.NEXT_HOP])
    kind = draw(kinds | st.binary(max_size=4))
    return dht.Query(txid, kind, version, scheme, form, draw(st.none() | opaque))


beacons = st.builds(
    Beacon, version=words, password=st.binary(min_size=20, max_size=20), key=public_keys
)
udp_beacons = st.builds(UdpBeacon, port=st.integers(0, 0xFFFF), beacon=beacons)
_macs = st.binary(min_size=6, max_size=6).map(ether.MacAddress)
ether_frames = st.builds(
    ether.EtherFrame,
    destination=st.just(ether.BROADCAST) | _macs,
    source=_macs,
    payload=st.binary(max_size=200),
)
seed_records = st.builds(
    seed.SeedRecord,
    peers=st.lists(
        st.builds(
            seed.SeedPeer,
            host=st.ip_addresses(v=4) | st.ip_addresses(v=6),
            port=st.integers(0, 0xFFFF),
            login=st.integers(0, 0xFFFF),
            password=st.binary(min_size=8, max_size=8),
            key=public_keys,
            version=words,
        ),
        max_size=4,
    ).map(tuple),
    supernode=st.none() | public_keys,
    peer_id=st.none() | opaque,
)

bencode_values = st.recursive(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)
