"""The decoder's tolerance and its limits: docs/apps/sip.md §1 and §3 "SIP subset", shape by shape."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.headers import Headers, split_list
from dexmesh.apps.call.sip.message import (
    MAX_BODY_BYTES,
    MAX_FIELDS,
    MAX_HEADER_BYTES,
    Request,
    Response,
    decode,
    encode,
)
from dexmesh.errors import DecodeError, UsageError
from tests.unit.apps.call.sip.world import ALICE, BOB, request_of, request_text

LINPHONE = (
    b"MESSAGE sip:ub@[fc22:0033:0000:0000:0000:0000:0000:0b0b] SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP [fc1d:f9a1::c214]:5060;branch=z9hG4bK.Kk7~s;rport\r\n"
    b'From: "Alice" <sip:me@[fc1d:f9a1:0000:0000:0000:0000:0000:c214]>;tag=U7~x\r\n'
    b"To: sip:ub@[fc22:0033:0000:0000:0000:0000:0000:0b0b]\r\n"
    b"CSeq: 20 MESSAGE\r\nCall-ID: vHPbXW1zN0\r\nMax-Forwards: 70\r\n"
    b"Supported: replaces, outbound, gruu\r\nDate: Thu, 20 Nov 2025 08:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 9\r\n"
    b"Contact: <sip:[fc1d:f9a1::c214];transport=udp>\r\n\r\nhi \xc3\xbc \xe2\x82\xac"
)


def decode_request(data: bytes) -> Request:
    message = decode(data)
    assert isinstance(message, Request)
    return message


def test_a_text_of_linphone_is_read() -> None:
    message = decode_request(LINPHONE)
    assert message.method == "MESSAGE"
    assert message.from_.address == message.vias[0].address == ALICE
    assert message.to.address == BOB
    assert message.to.tag == ""
    assert message.contact is not None
    assert message.contact.uri == "sip:[fc1d:f9a1::c214];transport=udp"
    assert message.content_type is not None
    assert (message.content_type.kind, message.content_type.charset) == ("text/plain", "utf-8")
    assert message.body.decode() == "hi ü €"
    assert message.max_forwards == 70


def test_compact_names_any_case_and_blanks_before_the_colon() -> None:
    data = LINPHONE
    for long, short in [(b"Via", b"v"), (b"From", b"F"), (b"To", b"t "), (b"Call-ID", b"I"),
                        (b"Contact", b"m"), (b"Content-Type", b"c\t"), (b"Content-Length", b"L"),
                        (b"Supported", b"k"), (b"CSeq", b"cSEQ")]:  # fmt: skip
        data = data.replace(b"\r\n" + long + b":", b"\r\n" + short + b":")
    assert decode(data) == decode(LINPHONE)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: b"\r\n\r\n" + data,
        lambda data: data.replace(b"To: ", b"To:\r\n "),
        lambda data: data.replace(b"To: ", b"To:\n\t\t "),
        lambda data: data.replace(b"To: ", b"To:    "),
        lambda data: data.replace(b"Content-Length: 9\r\n", b""),
        lambda data: data + b"and more",
    ],
)
def test_other_line_ends_folds_and_blanks_change_nothing(change: Callable[[bytes], bytes]) -> None:
    changed = decode_request(change(LINPHONE))
    assert changed.headers == decode(LINPHONE).headers
    assert changed.body.startswith("hi ü €".encode())


def test_several_vias_in_one_line_or_in_many_are_the_same_and_may_have_no_port() -> None:
    one = request_text("OPTIONS", extra='Via: SIP/2.0/UDP a;x="1,2", SIP/2.0/TCP [fc00::1]\r\n')
    two = request_text(
        "OPTIONS", extra='v: SIP/2.0/UDP a;x="1,2"\r\nVIA: SIP/2.0/TCP [fc00::1]\r\n'
    )
    assert decode(one).vias == decode(two).vias
    first, second, third = decode(one).vias
    assert (first.port, second.port, third.port) == (5060, None, None)
    assert second.params == (("x", "1,2"),)
    assert third.host == "[fc00::1]"


def test_a_message_has_made_70_hops_at_most() -> None:
    hops = ", ".join(["SIP/2.0/UDP a"] * 69)
    assert len(decode(request_text("OPTIONS", extra=f"Via: {hops}\r\n")).vias) == 70
    with pytest.raises(DecodeError, match="too many"):
        decode(request_text("OPTIONS", extra=f"Via: {hops}, SIP/2.0/UDP b\r\n"))


def test_a_contact_without_brackets_and_one_without_user_are_read() -> None:
    message = decode(
        request_text("OPTIONS", extra="Contact: sip:carol-0x55@[fc44::ca]:5060;q=1\r\n")
    )
    assert message.contact is not None
    assert message.contact.uri == "sip:carol-0x55@[fc44::ca]:5060"
    assert decode(request_text("REGISTER", extra="Contact: *\r\n")).contact is None


def test_bytes_that_are_no_utf8_are_marked_in_the_header_and_kept_in_the_body() -> None:
    message = decode(request_text("OPTIONS").replace(b"<sip:alice", b"J\xfcrgen <sip:alice"))
    assert message.from_.display == "J\ufffdrgen"
    assert decode(LINPHONE[:-6] + b"\xff\xfe\x00abc").body[-6:] == b"\xff\xfe\x00abc"


@pytest.mark.parametrize(
    ("find", "put", "reason"),
    [
        (b"Call-ID: c1\r\n", b"", "no Call-ID"),
        (b"Via: ", b"Vix: ", "no Via, or too many"),
        (b"CSeq: 1 ", b"CSeq: 1\t ", ""),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE", "the method is not that of CSeq"),
        (b"CSeq: 1 ", b"CSeq: 2147483648 ", "not a CSeq"),
        (b"CSeq: 1 ", b"CSeq: \xd9\xa1 ", "not a CSeq"),
        (b"Call-ID: c1", b"Call-ID: c 1", "not a Call-ID"),
        (b"Call-ID: c1", b"Call-ID: " + b"c" * 256, "not a Call-ID"),
        (b"To: <", b"To: \r<", "bare CR in the header"),
        (b"To: <", b"No colon here\r\nTo: <", "not a field"),
        (b"To: <", b"B@d: name\r\nTo: <", "not a field"),
        (b"To: <", b": no name\r\nTo: <", "not a field"),
        (b"To: <", b"To: <sip:x@y>\r\nTo: <", "a field that may stand once stands twice"),
        (b":5060;branch", b":65536;branch", "port of a Via out of range"),
        (b":5060;branch", b":5060;;branch", "not a Via"),
        (b"SIP/2.0/UDP", b"SIP/1.0/UDP", "not a Via"),
        (b"Content-Length: 0", b"Content-Length: 1", "body shorter than Content-Length"),
        (b"Content-Length: 0", b"Content-Length: 65537", "not a number in range"),
        (b"Content-Length: 0", b"Content-Length: 0\r\nl: 0", "a field that may stand once stands twice"),
        (b"Content-Length: 0", b"Content-Type: text", "not a media type"),
        (b"Content-Length: 0", b"Max-Forwards: 256", "not a number in range"),
        (b"OPTIONS sip:", b"OPTIONS  sip:", "neither a request nor a response"),
        (b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia", "not SIP/2.0"),
        (b"OPTIONS sip:bob@", b"OPTIONS bob@", "not a URI"),
        (b"\r\n\r\n", b"\r\n", "no end of the header"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(find: bytes, put: bytes, reason: str) -> None:
    data = request_text("OPTIONS")
    assert find in data
    broken = data.replace(find, put, 1)
    if not reason:
        decode(broken)
        return
    with pytest.raises(DecodeError, match=f"^{reason}$"):
        decode(broken)


def test_a_header_may_have_64_fields_and_no_more() -> None:
    there = request_text("OPTIONS").count(b"\r\n") - 2
    data = request_text("OPTIONS", extra="X: y\r\n" * (MAX_FIELDS - there))
    assert len(decode(data).headers) == MAX_FIELDS - 1  # Content-Length is not kept
    with pytest.raises(DecodeError, match="too many fields"):
        decode(data.replace(b"X: y", b"X: y\r\nX: y", 1))


def test_a_header_may_have_8_kb_and_no_more() -> None:
    head = len(request_text("OPTIONS").partition(b"\r\n\r\n")[0])
    fill = MAX_HEADER_BYTES - head - len("X: \r\n")
    decode(request_text("OPTIONS", extra=f"X: {'y' * fill}\r\n"))
    with pytest.raises(DecodeError, match="no end of the header"):
        decode(request_text("OPTIONS", extra=f"X: {'y' * (fill + 1)}\r\n"))


def test_a_body_may_have_64_kb_and_no_more() -> None:
    body = "b" * MAX_BODY_BYTES
    assert len(decode(request_text("MESSAGE", body=body)).body) == MAX_BODY_BYTES
    unsaid = request_text("MESSAGE").replace(b"Content-Length: 0\r\n", b"") + b"b" * (
        MAX_BODY_BYTES + 1
    )
    with pytest.raises(DecodeError, match="body too long"):
        decode(unsaid)


def test_our_own_headers_let_no_line_end_in() -> None:
    for fields in ([("Subject", "a\r\nVia: b")], [("Sub\nject", "a")]):
        with pytest.raises(UsageError):
            Headers(fields)
    with pytest.raises(UsageError):
        encode(Request("OPTIONS", "sip:x\r\nVia: y", Headers()))
    with pytest.raises(UsageError):
        encode(Response(200, "OK\n", Headers()))


def test_the_content_length_we_write_is_right_whatever_the_headers_say() -> None:
    message = request_of("MESSAGE", body=b"four")
    wrong = Request(
        message.method, message.uri, message.headers.with_("Content-Length", "99"), b"four"
    )
    assert encode(wrong).count(b"Content-Length") == 1
    assert b"\r\nContent-Length: 4\r\n\r\nfour" in encode(wrong)


def test_headers_are_found_by_any_name_and_lists_are_split_where_they_may_be() -> None:
    headers = Headers([("allow", "INVITE, ACK"), ("k", "a"), ("X-odd", "1,2"), ("Allow", "BYE,,")])
    assert headers.all("ALLOW") == ("INVITE", "ACK", "BYE")
    assert headers.first("Supported") == "a"
    assert headers.all("x-ODD") == ("1,2",)
    assert "x-odd" in headers
    assert "Via" not in headers
    assert list(headers.without("allow").without("k")) == [("X-Odd", "1,2")]
    assert list(headers.with_("t", "x"))[-1] == ("To", "x")
    assert next(iter(headers.with_first("v", "SIP"))) == ("Via", "SIP")
    assert headers != Headers()
    assert hash(headers) == hash(Headers(headers))


def test_commas_in_quotes_and_brackets_split_nothing() -> None:
    assert split_list('"a, \\" b" <sip:x,y@z>;q="1,2" , <c>,, d') == [
        '"a, \\" b" <sip:x,y@z>;q="1,2"',
        "<c>",
        "d",
    ]
    assert split_list('"open, <a') == ['"open, <a']
    assert split_list(",") == []


def test_an_answer_copies_what_names_the_request_and_adds_one_tag() -> None:
    extra = "Via: SIP/2.0/UDP far\r\nRecord-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n"
    invite = decode_request(request_text("INVITE", extra=extra))
    ringing = make_response(
        invite, 180, to_tag="bob", fields=[("Contact", "<sip:b@[fc22:33::b0b]>")]
    )
    assert [str(via) for via in ringing.vias] == [str(via) for via in invite.vias]
    assert (ringing.to.tag, ringing.from_.tag, ringing.call_id) == ("bob", "alice", "c1")
    assert ringing.routes == ("<sip:p1;lr>", "<sip:p2;lr>")
    assert ringing.reason == "Ringing"
    assert make_response(invite, 100, to_tag="bob").to.tag == ""
    assert make_response(invite, 486, to_tag="bob").routes == ()
    assert make_response(invite, 299).reason == "Unknown"
    within = decode_request(request_text("BYE", to_tag="mine"))
    assert make_response(within, 200, to_tag="other").to.params == (("tag", "mine"),)
