"""Give any bytes to every parser of the Python side; what it refuses, it refuses in its own words.

Place     tests/fuzz/run.py (a fuzzer), tests/fuzz/test_corpus.py (the committed inputs) -> `TARGETS`
Keeps     one function a target; an input that decodes must survive encode and decode again;
          no state from one input to the next
Not here  the targets of SIP (sip_targets.py), Rust targets (tests/fuzz/rust)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from dexmesh.admin.exchange import cookie_in, decode_reply, raise_refusal
from dexmesh.admin.login import parse_login
from dexmesh.config.dialect import read_document
from dexmesh.config.edit import NewPeer, add_peer, remove_peer
from dexmesh.config.endpoints import BadEndpointError, parse_bind, parse_peer
from dexmesh.config.reader import load_settings
from dexmesh.config.write import clean
from dexmesh.engine.messages import ControlFrame, Event, RoutingMessage
from dexmesh.errors import AdminError, ConfigError, ConfigProblem, DecodeError
from dexmesh.wire import beacon, bencode, control, dht, ether, headers, seed
from dexmesh.wire.address import format_address, format_padded, parse_address
from dexmesh.wire.base32 import decode_base32, encode_base32
from dexmesh.wire.keys import PrivateKey, PublicKey, address_of, decode_key, encode_key
from dexmesh.wire.label import Label, format_label, parse_label
from dexmesh.wire.node_address import format_node_address, parse_node_address
from dexmesh.wire.scheme import (
    build_route,
    convert,
    decode_scheme,
    encode_scheme,
    first_director,
    label_for,
)
from dexmesh.wire.varint import decode_varint, encode_varint
from tests.fuzz.media_targets import MEDIA_TARGETS
from tests.fuzz.sip_targets import sip_conversations, sip_messages
from tests.unit.admin.feeding import feed, new_server
from tests.unit.config import samples
from tests.unit.mesh.helpers import establish, key, make_node, queries_in

T = TypeVar("T")
Target = Callable[[bytes], None]

_LOGIN_FILE: Final = Path("cjdnsadmin")
_NODES: Final = 6  # who may send a routing message
_START: Final = 1.0
_RECORD_HEADER_BYTES: Final = 11


def bencode_values(data: bytes) -> None:
    """What was read is written and read as the same."""
    value = _decoded(bencode.decode_bencode, data)
    if value is not None:
        assert bencode.decode_bencode(bencode.encode_bencode(value)) == value


def dht_messages(data: bytes) -> None:
    """Queries and replies keep all that we use of them."""
    message = _decoded(dht.decode_message, data)
    if message is not None:
        assert dht.decode_message(dht.encode_message(message)) == message
    if isinstance(message, dht.Query):
        assert message.target_address() is None or len(message.target or b"") == 16
        assert message.target_label() is None or len(message.target or b"") == 8


def version_lists(data: bytes) -> None:
    """The `np` value of a reply."""
    versions = _decoded(dht.decode_versions, data)
    if versions:
        assert dht.decode_versions(dht.encode_versions(versions)) == versions


def control_frames(data: bytes) -> None:
    """As it is, and with the checksum made right, which a fuzzer does not guess."""
    _decoded(control.decode_control, data)
    rest = data[2:]
    frame = control.checksum(bytes(2) + rest).to_bytes(2, "big") + rest
    message = _decoded(control.decode_control, frame)
    if message is not None:
        assert control.decode_control(control.encode_control(message)) == message
    if isinstance(message, control.ErrorFrame):
        message.authentication_failure()
        control.failing_label(message.cause_header.label, message.cause_header.label_shift)


def fixed_headers(data: bytes) -> None:
    """Switch, data and route headers keep every bit."""
    switch_header = _decoded(headers.decode_switch_header, data)
    if switch_header is not None:
        assert data.startswith(switch_header.encode())
    data_header = _decoded(headers.decode_data_header, data)
    if data_header is not None:
        assert headers.decode_data_header(data_header.encode()) == data_header
    route_header = _decoded(headers.decode_route_header, data)
    if route_header is not None:
        assert headers.decode_route_header(route_header.encode()) == route_header


def schemes_and_labels(data: bytes) -> None:
    """Two labels, then a scheme to read them with."""
    labels, packed = data[:16].ljust(16, b"\0"), data[16:]
    one, other = (Label(int.from_bytes(part, "big")) for part in (labels[:8], labels[8:]))
    scheme = _decoded(decode_scheme, packed)
    if scheme is None:
        return
    assert decode_scheme(encode_scheme(scheme)) == scheme
    first_director(scheme, one)
    build_route(one, [])
    for label in (convert(scheme, one), label_for(one, other, scheme)):
        assert label is None or 0 <= label < 1 << 64
    for form in range(len(scheme.forms)):
        convert(scheme, one, form)


def node_texts(data: bytes) -> None:
    """Addresses, keys, labels, whole nodes and base32, as people and programs type them."""
    text = data.decode("utf-8", "replace")
    address = _decoded(parse_address, text)
    if address is not None:
        assert parse_address(format_address(address)) == address
        assert parse_address(format_padded(address)) == address
    public_key = _decoded(decode_key, text)
    if public_key is not None:
        assert encode_key(public_key) == text.lower()
    private_key = _decoded(PrivateKey.from_hex, text)
    assert private_key is None or private_key.hex() == text.lower()
    label = _decoded(parse_label, text)
    if label is not None:
        assert parse_label(format_label(label)) == label
    node = _decoded(parse_node_address, text)
    if node is not None:
        assert format_node_address(node) == text.lower()
    octets = _decoded(decode_base32, text)
    if octets is not None:
        assert encode_base32(octets) == text.lower()


def beacons(data: bytes) -> None:
    """LAN beacons over UDP and Ethernet, and what we would do about them."""
    udp = _decoded(beacon.decode_udp_beacon, data)
    if udp is not None:
        assert data.startswith(udp.encode())
    plain = _decoded(beacon.decode_beacon, data)
    if plain is not None:
        assert data.startswith(plain.encode())
        beacon.judge_beacon(plain, PublicKey(bytes(32)), beacon.BeaconState.SEND_AND_ACCEPT)


def ethernet_frames(data: bytes) -> None:
    """Frames with padding, and the length in front of a payload."""
    frame = _decoded(ether.decode_ether_frame, data)
    if frame is not None:
        assert ether.decode_ether_frame(frame.encode()) == frame
    payload = _decoded(ether.decode_link_payload, data)
    if payload is not None:
        assert ether.decode_link_payload(ether.encode_link_payload(payload)) == payload


def seed_records(data: bytes) -> None:
    """The binary form, and the text of a DNS record."""
    record = _decoded(seed.decode_seed, data)
    if record is not None:
        assert seed.decode_seed(seed.encode_seed(record)) == record
        assert seed.parse_seed(seed.format_seed(record)) == record
    _decoded(seed.parse_seed, data.decode("utf-8", "replace"))


def varints(data: bytes) -> None:
    """Numbers of variable length."""
    found = _decoded(decode_varint, data)
    if found is not None:
        value, end = found
        assert 0 < end <= len(data)
        assert decode_varint(encode_varint(value))[0] == value


def config_documents(data: bytes) -> None:
    """Every dialect; a sound document is written so that it is read as the same again."""
    document = read_document(data, "cjdroute.conf")
    for problem in document.problems:
        assert problem.message
        assert problem.line >= 1
    if not document.problems:
        text = clean(document)
        again = read_document(text.encode("latin-1"), "cleaned")
        assert again.problems == ()
        assert clean(again) == text


def config_settings(data: bytes) -> None:
    """Settings, or every mistake with its place."""
    _refused(lambda: load_settings(data, "cjdroute.conf", samples.derive))


def config_edits(data: bytes) -> None:
    """A peer added can be taken away again; a file that cannot be edited is named as such."""
    peer = NewPeer("192.0.2.77:7", samples.PEER, b'p"\xff', b"login", "name")
    try:
        added = add_peer(data, "cjdroute.conf", peer)
    except ConfigError:
        _refused(lambda: remove_peer(data, "cjdroute.conf", samples.PEER_TEXT))
        return
    removed = remove_peer(added, "cjdroute.conf", peer.endpoint)
    assert read_document(removed, "removed").problems == ()
    _refused(lambda: remove_peer(data, "cjdroute.conf", "192.0.2.1:5000"))


def endpoint_texts(data: bytes) -> None:
    """`bind` and `connectTo` texts."""
    text = data.decode("latin-1")
    for parse in (parse_bind, parse_peer):
        try:
            parsed = parse(text)
        except BadEndpointError:
            continue
        assert parsed.port is None or 0 <= parsed.port < 1 << 16


def admin_datagrams(data: bytes) -> None:
    """Requests to a node that asks for a password, and to one that does not."""
    for password in (b"NONE", b"s3cr3tAdminPass"):
        feed(new_server(password), data)


def admin_replies(data: bytes) -> None:
    """What a client believes of a datagram that claims to be an answer."""
    reply = decode_reply(data)
    if reply is None:
        return
    cookie_in(reply[1])
    with suppress(AdminError):
        raise_refusal(reply[1])


def admin_logins(data: bytes) -> None:
    """The file with the admin password."""
    with suppress(ConfigError):
        login = parse_login(_LOGIN_FILE, data)
        assert 0 < login.port < 1 << 16


def node_events(data: bytes) -> None:
    """Control frames and routing messages, one after the other, to a whole node with two peers.

    Each begins with what it is (1), a label (8) and its length (2).
    """
    node = make_node()
    for number in (1, 2):
        establish(node, number, number + 1, _START)
    now = _START
    while len(data) > _RECORD_HEADER_BYTES:
        kind, label = data[0], Label(int.from_bytes(data[1:9], "big"))
        end = _RECORD_HEADER_BYTES + int.from_bytes(data[9:11], "big")
        content, data = data[_RECORD_HEADER_BYTES:end], data[end:]
        now += (kind >> 4) / 2
        queries = queries_in(node.take_outputs())
        node.handle_event(_event(kind, label, content, [query.txid for _, query in queries]), now)
        node.handle_timeout(now)


def _event(kind: int, label: Label, content: bytes, txids: list[bytes]) -> Event:
    """A frame with its checksum made right, or a message that answers our last query if it can."""
    if kind & 1:
        frame = bytes(2) + content
        return ControlFrame(label, control.checksum(frame).to_bytes(2, "big") + content)
    sender = key(1 + kind // 2 % _NODES)
    message = _decoded(bencode.decode_bencode_dict, content)
    if message is not None and txids:
        content = bencode.encode_bencode(message | {b"txid": txids[-1]})
    return RoutingMessage(address_of(sender), sender, label, content)


def _decoded(decode: Callable[..., T], data: bytes | str) -> T | None:
    """What it decodes to; None if it is refused. Any exception but DecodeError is a finding."""
    try:
        return decode(data)
    except DecodeError:
        return None


def _refused(act: Callable[[], object]) -> tuple[ConfigProblem, ...]:
    """What is wrong with a configuration; nothing if it was taken. A refusal always says what."""
    try:
        act()
    except ConfigError as error:
        if not error.problems:
            raise AssertionError("refused without a reason") from error
        return error.problems
    return ()


_ALL: Final[tuple[Target, ...]] = (
    admin_datagrams,
    admin_logins,
    admin_replies,
    beacons,
    bencode_values,
    config_documents,
    config_edits,
    config_settings,
    control_frames,
    dht_messages,
    endpoint_texts,
    ethernet_frames,
    fixed_headers,
    node_events,
    node_texts,
    schemes_and_labels,
    seed_records,
    sip_conversations,
    sip_messages,
    varints,
    version_lists,
    *MEDIA_TARGETS,
)
TARGETS: Final[dict[str, Target]] = {target.__name__: target for target in _ALL}

if __name__ == "__main__":
    print("\n".join(TARGETS))
