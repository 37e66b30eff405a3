"""SIP URIs and the values around them, as phones and people spell them."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.uri import (
    MAX_URI_CHARS,
    NameAddr,
    check_uri,
    format_name_addr,
    host_address,
    parse_name_addr,
    parse_uri,
    printable,
    sip_uri_or_none,
)
from dexmesh.errors import DecodeError
from dexmesh.wire.address import parse_address
from dexmesh.wire.keys import PublicKey, address_of, encode_key
from tests.unit.apps.call.sip.world import ALICE, BOB


def some_key() -> PublicKey:
    """The first key that is a node's."""
    number = 0
    while address_of(PublicKey(number.to_bytes(32, "little")))[0] != 0xFC:
        number += 1
    return PublicKey(number.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "host",
    [
        "[fc1d:f9a1::c214]",
        "[FC1D:F9A1:0:0:0:0:0:C214]",
        "[fc1d:f9a1:0000:0000:0000:0000:0000:c214]",
    ],
)
def test_every_spelling_of_an_address_is_the_same_node(host: str) -> None:
    uri = parse_uri(f"sip:bob@{host}:5062;transport=TCP")
    assert uri.address == ALICE
    assert uri.host == host
    assert (uri.user, uri.port, uri.is_tcp) == ("bob", 5062, True)
    assert str(uri) == f"sip:bob@{host}:5062;transport=TCP"


def test_a_key_is_a_host_with_both_endings() -> None:
    key = some_key()
    text = encode_key(key)
    for host in (text, f"{text.removesuffix('.k')}.cjdns.alt", text.upper()):
        assert parse_uri(f"sip:x@{host}").address == address_of(key)


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1", "[::1]", "[2001:db8::1]", "a.k", "[:]"]
)
def test_what_is_no_node_has_no_address(host: str) -> None:
    assert host_address(host) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "sip:", "sip:@[fc00::1]", "bob@[fc00::1]", "sip:a@b@[fc00::1]", "sip:[fc00::1", "sip:a b@c",
        "sip:bob@[IPv6:fc00::1]", "sip:x@[fc00::1]:0", "sip:x@[fc00::1]:65536", "sip:x@[fc00::1]:",
        "sip:x@h;", "sip:x@h;;a", "<sip:x@h>",
        "sip:x@h\r\nVia: y", 'sip:"x"@h', "sip:x@[fc00::1%eth0]", "sip:x@h?<>",
        f"sip:{'x' * MAX_URI_CHARS}@h",
    ],
)  # fmt: skip
def test_what_is_no_sip_uri_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_uri(text)
    assert sip_uri_or_none(text) is None


def test_a_user_is_unescaped_and_has_no_password() -> None:
    uri = parse_uri("SIPS:bob:secret@host;a=1;B?subject=x")
    assert parse_uri("sip:%ff%C3%BC@h").user == "\ufffdü"
    assert (uri.user, uri.params, uri.headers) == ("bob", (("a", "1"), ("b", None)), "subject=x")


@pytest.mark.parametrize("text", ["tel:+123", "isbn:2983792873", "http://www.example.com"])
def test_other_schemes_are_taken_as_they_are(text: str) -> None:
    check_uri(text)
    assert parse_name_addr(f"<{text}>").sip is None
    assert parse_name_addr(f"<{text}>").address is None


@pytest.mark.parametrize("text", ["x", "+tel:1", ":", "a:", "a: b", "sip:[", "é:x"])
def test_what_is_no_uri_at_all_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        check_uri(text)


def test_parameters_behind_a_bare_uri_belong_to_the_header() -> None:
    value = parse_name_addr("sip:ub@[fc22:33::b0b];tag=x7;other")
    assert value == NameAddr("", "sip:ub@[fc22:33::b0b]", (("tag", "x7"), ("other", None)))
    assert value.tag == "x7"
    assert value.address == BOB


def test_parameters_inside_the_brackets_belong_to_the_uri() -> None:
    value = parse_name_addr(
        '"Real Name" <sip:[fc22:33::b0b];transport=udp>;+sip.instance="<urn:uuid:1>"'
    )
    assert value.display == "Real Name"
    assert value.uri == "sip:[fc22:33::b0b];transport=udp"
    assert value.params == (("+sip.instance", "<urn:uuid:1>"),)
    assert value.tag == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "<>", "sip:a@b, sip:c@d", '"open <sip:a@b>', "<sip:a@b", "<sip:a@b>;", "<sip:a@b>;;x",
        "<sip:a@b>;=1",
        "a, b <sip:c@d>", "sip:a@b?x=y", "<sip:a@b> trailing", '"a" "b" <sip:a@b>', "<sip:a@[x]>", "*",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_name_addr(text)


def test_a_name_is_written_so_that_it_is_read_as_the_same() -> None:
    text = format_name_addr('A "quoted" \\ name', "sip:a@b", "t1")
    assert text == '"A \\"quoted\\" \\\\ name" <sip:a@b>;tag=t1'
    assert parse_name_addr(text) == NameAddr('A "quoted" \\ name', "sip:a@b", (("tag", "t1"),))
    assert format_name_addr("", "sip:a@b") == "<sip:a@b>"


def test_nothing_that_moves_the_cursor_is_shown() -> None:
    assert printable("a\x1b[2J\x07\u202eb\u200bc\x9b") == "a\ufffd[2J\ufffd\ufffdb\ufffdc\ufffd"
    assert parse_name_addr("ev\x1bil\u202e<sip:a@b>").display == "ev\ufffdil\ufffd"
    assert printable("Jürgen 電話") == "Jürgen 電話"


def test_the_address_of_a_mapped_or_foreign_literal_is_none() -> None:
    assert host_address("[::ffff:1.2.3.4]") is None
    assert host_address("[fc22:33::b0b]") == parse_address("fc22:33::b0b")
