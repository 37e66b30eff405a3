"""RFC 4475: what is valid is read, what is not is refused, and the sender of a request hears of it."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.message import Request, Response, decode, encode
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.refusal import refuse
from dexmesh.errors import DecodeError
from tests.unit.apps.call.sip.torture import INVALID, VALID
from tests.unit.apps.call.sip.world import ALICE, TO_ALICE, new_table, request_text, summary

UNANSWERABLE = {
    "3.1.2.1 badinv01",  # no Via to answer to
    "3.1.2.5 scalarlg",  # a response
    "3.1.2.16 badvers",  # no Via of our version
    "3.1.2.19 bigcode",  # a response
    "3.3.1 insuf",  # no Call-ID
}


def request(name: str) -> Request:
    message = decode(VALID[name])
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = decode(VALID[name])
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize("name", VALID)
def test_a_valid_message_is_read_and_written_as_the_same(name: str) -> None:
    message = decode(VALID[name])
    assert decode(encode(message)) == message


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_message_is_refused(name: str) -> None:
    with pytest.raises(DecodeError):
        decode(INVALID[name])


@pytest.mark.parametrize("name", INVALID)
def test_who_sent_an_invalid_request_gets_a_400_where_it_can_be_sent(name: str) -> None:
    refusal = refuse(INVALID[name], "broken", "t1", TO_ALICE)
    if name in UNANSWERABLE:
        assert refusal is None
        return
    assert refusal is not None
    assert refusal[0] == TO_ALICE
    lines = refusal[1].decode().split("\r\n")
    assert lines[0] == "SIP/2.0 400 Bad Request: broken"
    assert {"Via", "CSeq", "To"} <= {line.partition(":")[0] for line in lines}


@pytest.mark.parametrize("name", [*VALID, *INVALID])
def test_a_whole_phone_survives_it(name: str) -> None:
    table = new_table()
    table.handle_message((VALID | INVALID)[name], TO_ALICE, 0.0)
    table.handle_timeout(1000.0)
    assert len(table) == 0


def test_the_short_tortuous_invite_is_understood() -> None:
    message = request("3.1.1.1 wsinv")
    assert message.to.tag == "1918181833n"
    assert (message.from_.display, message.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert message.max_forwards == 68
    assert str(message.cseq) == "9 INVITE"
    assert [via.host for via in message.vias] == [
        "192.0.2.2",
        "spindle.example.com",
        "192.168.255.111",
    ]
    assert [via.branch for via in message.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert message.headers.first("subject") == ""
    assert (
        message.headers.first("newfangledheader") == "newfangled value continued newfangled value"
    )
    assert message.headers.first("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.contact is not None
    assert message.contact.display == 'Quoted string ""'
    assert message.contact.params == (
        ("newparam", "newvalue"),
        ("secondparam", None),
        ("q", "0.33"),
    )
    assert len(message.body) == 150


def test_unusual_characters_are_read_and_none_of_them_reaches_a_terminal() -> None:
    message = request("3.1.1.2 intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.to.display == "BEL:\ufffd NUL:\ufffd DEL:\ufffd"
    assert message.sip_uri is not None
    assert message.sip_uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.sip_uri.host == "example.com"
    assert message.from_.tag == "_token~1'+`*%!-."


def test_escapes_are_escapes_only_in_uris() -> None:
    message = request("3.1.1.3 esc01")
    assert message.sip_uri is not None
    assert message.sip_uri.user == "sips:user@example.com"
    assert message.to.sip is not None
    assert message.to.sip.user == "user"
    assert message.contact is not None
    assert message.contact.sip is not None
    assert message.contact.sip.params == (("lr", None), ("name", "value%41"))
    assert request("3.1.1.5 esc02").method == "RE%47IST%45R"
    assert request("3.1.1.5 esc02").to.display == "%Z%45"
    assert request("3.1.1.9 semiuri").sip_uri.user == "user;par=u@example.net"  # type: ignore[union-attr]


def test_what_lies_behind_a_message_in_its_datagram_is_left_out() -> None:
    assert request("3.1.1.8 dblreq").method == "REGISTER"
    assert request("3.1.1.8 dblreq").body == b""


def test_reasons_may_be_anything_or_nothing() -> None:
    assert response("3.1.1.12 unreason").reason.startswith("= 2**3 * 5**2 но сто")
    assert response("3.1.1.13 noreason").reason == ""


def test_uris_of_other_schemes_are_no_sip_uris() -> None:
    assert request("3.3.2 unkscm").sip_uri is None
    assert request("3.3.3 novelsc").uri == "soap.beep://192.0.2.103:3002"
    assert request("3.3.4 unksm2").to.sip is None


def test_two_requests_of_an_old_phone_without_branch_are_one_and_then_two() -> None:
    table = new_table()
    first = VALID["3.4.1 inv2543"]
    table.handle_message(first, TO_ALICE, 0.0)
    assert len(table) == 1
    table.handle_message(first, TO_ALICE, 0.0)
    assert len(table) == 1
    table.handle_message(first.replace(b"56 INVITE", b"57 INVITE"), TO_ALICE, 0.0)
    assert len(table) == 2
    table.take_outputs()
    table.handle_message(VALID["3.2.1 badbranch"], TO_ALICE, 0.0)
    table.handle_message(VALID["3.2.1 badbranch"].replace(b"badbranch.", b"other."), TO_ALICE, 0.0)
    assert len(table) == 4


def test_another_version_is_answered_505_where_the_via_is_ours() -> None:
    table = new_table()
    data = INVALID["3.1.2.16 badvers"].replace(b"SIP/7.0/UDP", b"SIP/2.0/UDP")
    table.handle_message(data, TO_ALICE, 0.0)
    assert summary(table.take_outputs()) == ["505"]
    assert table.counts["not SIP/2.0"] == 1


def test_a_broken_ack_is_answered_with_nothing() -> None:
    assert refuse(request_text("ACK", extra="Max-Forwards: x\r\n"), "broken", "t", TO_ALICE) is None
    assert (
        refuse(request_text("BYE", extra="Max-Forwards: x\r\n"), "broken", "t", TO_ALICE)
        is not None
    )


def test_a_refusal_has_one_tag_and_tells_the_source() -> None:
    for tag, expected in (("", "t1"), ("theirs", "theirs")):
        data = request_text("INFO", to_tag=tag, extra="Max-Forwards: x\r\n")
        refusal = refuse(data, "broken", "t1", Peer(ALICE, 40000))
        assert refusal is not None
        assert refusal[0] == Peer(ALICE, 40000)
        message = decode(refusal[1])
        assert message.to.params == (("tag", expected),)
        assert dict(message.via.params)["rport"] == "40000"


def test_an_answer_for_another_is_dropped() -> None:
    table = new_table(ALICE)
    table.handle_message(VALID["3.3.10 bcast"], TO_ALICE, 0.0)
    assert table.take_outputs() == []
    assert table.counts["answer to nothing"] == 1


@pytest.mark.parametrize("received", ["fc1d:f9a1::c214", "[fc1d:f9a1::c214]"])
def test_received_is_taken_with_and_without_brackets(received: str) -> None:
    """RFC 5118 §4.5."""
    data = request_text("OPTIONS").replace(b";rport", f";received={received};rport=9".encode())
    assert dict(decode(data).via.params)["received"] == received


@pytest.mark.parametrize(
    ("find", "put"),
    [
        (b"sip:bob@[fc22:33::b0b] ", b"sip:bob@fc22:33::b0b "),  # RFC 5118 §4.2
        (b"sip:bob@[fc22:33::b0b] ", b"sip:fc22:33::b0b "),
        (b" [fc1d:f9a1::c214]:5060;", b" fc1d:f9a1::c214;"),
        (b"To: <sip:bob@[fc22:33::b0b]>", b"To: sip:bob@fc22:33::b0b"),
    ],
)
def test_an_address_without_brackets_is_refused(find: bytes, put: bytes) -> None:
    data = request_text("OPTIONS")
    assert find in data
    with pytest.raises(DecodeError):
        decode(data.replace(find, put))
