"""A peer more or less, and not a byte of anything else."""

from __future__ import annotations

import random

import pytest

from dexmesh.config.edit import NewPeer, add_peer, remove_peer
from dexmesh.config.generate import generate
from dexmesh.config.reader import load_settings
from dexmesh.config.settings import ConnectTo
from dexmesh.errors import ConfigError
from tests.unit.config.samples import EXIT, EXIT_TEXT, PEER, PEER_TEXT, derive

FOUR = NewPeer("192.0.2.1:5", PEER, b'se"cret', b"me", "Ann")
SIX = NewPeer("[2001:db8::1]:5", EXIT, b"other")
NAME = NewPeer("peer.example.org:5", EXIT, b"other")


def fresh() -> bytes:
    return generate(random.Random(1).randbytes, derive).encode()


def peers(data: bytes) -> list[list[ConnectTo]]:
    settings = load_settings(data, "f", derive).settings
    return [list(interface.connect_to) for interface in settings.udp_interfaces]


def add(data: bytes, peer: NewPeer) -> bytes:
    return add_peer(data, "f", peer)


def wrap(connect_to: str, bind: str = "0.0.0.0:5") -> bytes:
    text = f'{{"interfaces": {{"UDPInterface": [{{"bind": "{bind}"{connect_to}}}]}}, "version": 2}}'
    return text.encode()


def reads_as(data: bytes, endpoints: list[str]) -> None:
    """The edited text is sound and has these connectTo keys, in this order."""
    again = data
    for endpoint in endpoints:
        again = remove_peer(again, "f", endpoint)
    with pytest.raises(ConfigError, match="no connectTo entry"):
        remove_peer(again, "f", "192.0.2.99:1")


def test_a_new_peer_goes_to_the_interface_of_its_family() -> None:
    data = add(add(add(fresh(), FOUR), SIX), NAME)
    four = ConnectTo("192.0.2.1", 5, PEER, b'se"cret', b"me", "Ann")
    six = ConnectTo("2001:db8::1", 5, EXIT, b"other")
    name = ConnectTo("peer.example.org", 5, EXIT, b"other")
    assert peers(data) == [[name, four], [six]]


def test_adding_keeps_every_line_there_was() -> None:
    before = fresh()
    after = add(before, FOUR).splitlines()
    added = after.copy()
    for line in before.splitlines():
        added.remove(line)
    assert [line.strip() for line in added] == [
        b'"192.0.2.1:5": {',
        b'"login": "me",',
        rb'"password": "se\x22cret",',
        f'"publicKey": "{PEER_TEXT}",'.encode(),
        b'"peerName": "Ann"',
        b"}",
    ]


def test_added_lines_are_indented_like_their_neighbours() -> None:
    lines = add(fresh(), FOUR).decode().splitlines()
    at = lines.index('                    "192.0.2.1:5": {')
    assert lines[at - 1] == '                "connectTo": {'
    assert lines[at + 1] == '                        "login": "me",'
    assert lines[at + 5] == "                    }"
    assert lines[at + 6] == "                },"


def test_removing_undoes_adding() -> None:
    before = fresh()
    once = add(before, FOUR)
    twice = add(once, NewPeer("192.0.2.2:5", EXIT, b"x"))
    assert remove_peer(twice, "f", "192.0.2.2:5") == once
    assert remove_peer(once, "f", "192.0.2.1:5") == before
    only_second = remove_peer(twice, "f", PEER_TEXT)
    assert [[to.endpoint for to in each] for each in peers(only_second)] == [["192.0.2.2:5"], []]


def test_removing_by_key_takes_every_link_to_that_node() -> None:
    data = add(add(fresh(), NewPeer("192.0.2.1:5", EXIT, b"x")), SIX)
    assert peers(remove_peer(add(data, NewPeer("192.0.2.3:5", PEER, b"y")), "f", EXIT_TEXT)) == [
        [ConnectTo("192.0.2.3", 5, PEER, b"y")],
        [],
    ]


@pytest.mark.parametrize(
    "connect_to",
    [
        "",
        ', "connectTo": {}',
        ', "connectTo": { }',
        ', "connectTo": {\n}',
        ', "connectTo": { // remark "\n}',
        ', "connectTo": { /* remark */\n}',
        ', "connectTo": { /* remark */ }',
    ],
)
def test_a_peer_fits_into_every_shape_of_empty_place(connect_to: str) -> None:
    data = add(wrap(connect_to), FOUR)
    reads_as(data, ["192.0.2.1:5"])
    if "remark" in connect_to:
        assert b"remark" in data


ENTRIES = [
    '"192.0.2.7:1": {}',
    '"192.0.2.7:1": {"password": "}"}, "192.0.2.8:1": {}',
    '\n "192.0.2.7:1": {} // first, with comma \n , // between\n "192.0.2.8:1": {} // last \n',
    '\n\t"192.0.2.7:1": {}, /* , */\n\t"192.0.2.8:1": {}, "192.0.2.9:1": {}\n',
]


@pytest.mark.parametrize("entries", ENTRIES)
@pytest.mark.parametrize("remark", ["", " // peers, all {\n", " /* x */\n", " /* x */ "])
def test_peers_can_be_added_to_and_removed_from_every_shape(entries: str, remark: str) -> None:
    data = wrap(f', "connectTo": {{{remark}{entries}}}')
    reads_as(add(data, FOUR), ["192.0.2.1:5", "192.0.2.7:1"])
    if entries.count("{}") > 1:
        reads_as(data, ["192.0.2.8:1", "192.0.2.7:1"])
        reads_as(add(data, FOUR), ["192.0.2.8:1", "192.0.2.7:1", "192.0.2.1:5"])
    for word in (b"first", b"between", b"last"):
        assert (word in remove_peer(data, "f", "192.0.2.7:1")) == (word in data)


@pytest.mark.parametrize(
    ("data", "peer", "said"),
    [
        (wrap(', "connectTo": {"192.0.2.1:5": {}}'), FOUR, "in the file already"),
        (wrap(""), SIX, "no UDPInterface for an IPv6 address"),
        (wrap("", "[::]:5"), FOUR, "no UDPInterface for an IPv4 address"),
        (b'{"version": 2}', NAME, "no UDPInterface for an address"),
        (wrap(', "connectTo": []'), FOUR, "must be a dictionary"),
        (wrap(""), NewPeer("nowhere", PEER, b"x"), "port is missing"),
        (b'{"version": 2,}', FOUR, "nothing behind it"),
        (b'{"interfaces": {},}', FOUR, "loose rules"),
    ],
)
def test_a_peer_that_has_no_place_is_refused(data: bytes, peer: NewPeer, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        add_peer(data, "f", peer)


def test_a_host_name_matches_in_any_case_and_an_address_in_any_form() -> None:
    data = wrap(', "connectTo": {"Peer.Example.org:5": {}, "[2001:db8:0::1]:5": {}}', "[::]:1")
    reads_as(data, ["peer.example.ORG:5", "[2001:db8::1]:5"])
