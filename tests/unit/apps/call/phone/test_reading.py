"""Bodies of strangers: whatever they hold, reading them gives a value."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.call.media.sdp import CONTENT_TYPE
from dexmesh.apps.call.phone.bodies import has_foreign_body, is_encoded, sdp_in
from dexmesh.apps.call.phone.contents import CPIM, IMDN, PLAIN, Receipt, Text, read_content
from dexmesh.apps.call.phone.digits import (
    KEYS,
    RELAY,
    check_digits,
    read_digits,
)
from dexmesh.apps.call.phone.digits import (
    PLAIN as KEYS_PLAIN,
)
from dexmesh.apps.call.phone.identity import MAX_CLAIM_CHARS, identify
from dexmesh.apps.call.phone.values import CallError
from dexmesh.apps.call.sip.fields import parse_media_type
from dexmesh.apps.call.sip.headers import Headers
from dexmesh.apps.call.sip.message import Request
from dexmesh.apps.call.sip.uri import NameAddr, parse_name_addr
from tests.unit.apps.call.phone.world import BOB, EVE, Book

PIECES = st.sampled_from(
    [
        b"From: <sip:x@[fc00::b]>", b"\r\n", b"\n\n", b"\r\n\r\n", b"Content-Type: text/plain",
        b"imdn.Message-ID: abc", b"<message-id>", b"</message-id>", b"<status>", b"<delivered/>",
        b"<displayed", b"\xff\xfe", b"\x00", b":", b"<!", b"Signal=", b"5", b"10", b" ",
    ]
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join))
KINDS = st.sampled_from([PLAIN, CPIM, IMDN, "text/plain;charset=utf-16", "text/plain;charset=x"])


def info(body: bytes, kind: str) -> Request:
    return Request("INFO", "sip:a@[fc00::a]", Headers((("Content-Type", kind),)), body)


@given(kind=KINDS, body=BODIES)
def test_any_content_is_read_or_not_understood(kind: str, body: bytes) -> None:
    found = read_content(parse_media_type(kind), body)
    assert found is None or isinstance(found, Text | Receipt)
    if isinstance(found, Text):
        assert all(char.isprintable() or char in "\n\t" or ord(char) > 0x9F for char in found.text)


@given(kind=st.sampled_from([RELAY, KEYS_PLAIN, PLAIN]), body=BODIES)
def test_any_info_tells_keys_or_none(kind: str, body: bytes) -> None:
    found = read_digits(info(body, kind))
    assert found is None or (found and set(found) <= set(KEYS))


@pytest.mark.parametrize("signal", ["16", "99", "Z", "", "1 2"])
def test_signals_that_are_no_keys(signal: str) -> None:
    assert read_digits(info(f"Signal={signal}\r\n".encode(), RELAY)) is None


@pytest.mark.parametrize("digits", ["", "E", "1" * 65, "12 3"])
def test_digits_that_cannot_be_pressed(digits: str) -> None:
    with pytest.raises(CallError):
        check_digits(digits)


def test_digits_in_small_letters() -> None:
    assert check_digits("12ab*#") == "12AB*#"


def test_a_body_is_what_its_type_says() -> None:
    sdp = Request("INVITE", "sip:a", Headers((("Content-Type", CONTENT_TYPE),)), b"v=0")
    text = Request("INVITE", "sip:a", Headers((("Content-Type", PLAIN),)), b"v=0")
    bare = Request("INVITE", "sip:a", Headers(()), b"v=0")
    empty = Request("INVITE", "sip:a", Headers((("Content-Type", PLAIN),)), b"")
    assert [sdp_in(one) for one in (sdp, text, bare, empty)] == [b"v=0", None, b"v=0", None]
    assert [has_foreign_body(one) for one in (sdp, text, bare, empty)] == [
        False,
        True,
        False,
        False,
    ]


def test_identity_coding_is_none() -> None:
    headers = Headers((("Content-Encoding", "Identity"),))
    assert not is_encoded(Request("INVITE", "sip:a", headers, b"x"))
    assert is_encoded(Request("INVITE", "sip:a", headers.with_("Content-Encoding", "gzip"), b"x"))


@given(display=st.text(max_size=200), user=st.text(max_size=100))
def test_any_claim_is_one_short_printable_line(display: str, user: str) -> None:
    claimed = NameAddr(display, f"sip:{quote(user)}@nowhere" if user else "sip:nowhere")
    caller = identify(claimed, BOB, Book())
    assert caller is not None
    assert caller.is_flagged
    for text in (caller.claimed_name, caller.claimed_user):
        assert len(text) <= MAX_CLAIM_CHARS
        assert text.isprintable()
        assert '"' not in text  # people see it in quotes


@pytest.mark.parametrize(
    "text",
    [
        "<sip:bob@[fc00::b]>",
        "sip:bob@[FC00::000B]",
        '"Bob" <sip:bob@[fc00:0:0:0:0:0:0:b]:5070;transport=tcp>;x=y',
    ],
)
def test_a_from_in_any_spelling_of_the_source_is_sound(text: str) -> None:
    caller = identify(parse_name_addr(text), BOB, Book())
    assert caller is not None
    assert not caller.is_flagged
    assert identify(parse_name_addr(text), EVE, Book()) is None


def test_a_from_of_another_scheme_names_no_node() -> None:
    caller = identify(parse_name_addr("<tel:+4912345>"), EVE, Book())
    assert caller is not None
    assert (caller.is_flagged, caller.is_contact, caller.petname) == (True, False, None)
