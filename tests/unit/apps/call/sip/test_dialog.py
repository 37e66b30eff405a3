"""Dialogs from both ends: names, order, routes, and where the next request goes."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.dialog import Dialog, DialogId, DialogState
from dexmesh.apps.call.sip.message import Request, Response, decode
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.errors import UsageError
from tests.unit.apps.call.sip.world import (
    ALICE,
    BOB,
    CAROL,
    TO_ALICE,
    TO_BOB,
    request_of,
    request_text,
)

CONTACT = "Contact: <sip:alice-0x55d@[FC1D:f9a1:0::c214]:5066>\r\n"


def incoming(method: str, **more: str) -> Request:
    message = decode(request_text(method, **more))
    assert isinstance(message, Request)
    return message


def answer(
    request: Request, status: int, contact: str = "<sip:[fc22:33::b0b]>", *routes: str
) -> Response:
    """What Bob's phone says to a request of ours."""
    fields = [("Contact", contact), *(("Record-Route", route) for route in routes)]
    request = Request(
        request.method, request.uri, request.headers.with_first("Via", "SIP/2.0/UDP x")
    )
    return make_response(request, status, to_tag="bob", fields=fields)


def as_callee(extra: str = CONTACT, peer: Peer = TO_ALICE, status: int = 200) -> Dialog:
    invite = incoming("INVITE", extra=extra, cseq="5")
    return Dialog.as_callee(invite, make_response(invite, status, to_tag="bob"), peer)


def as_caller(status: int = 200, contact: str = "<sip:[fc22:33::b0b]>", *routes: str) -> Dialog:
    invite = request_of("INVITE", cseq=7)
    return Dialog.as_caller(invite, answer(invite, status, contact, *routes), TO_BOB)


def test_both_ends_of_a_call_have_the_same_names_crosswise() -> None:
    caller, callee = as_caller(), as_callee()
    assert caller.id == DialogId("c1", "alice", "bob")
    assert callee.id == DialogId("c1", "bob", "alice")
    assert caller.local == callee.remote
    assert caller.remote == callee.local
    assert caller.state is callee.state is DialogState.CONFIRMED


def test_a_request_goes_to_the_contact_exactly_as_given_with_the_next_number() -> None:
    callee = as_callee()
    bye = callee.make_request("BYE", fields=[("User-Agent", "x")], body=b"b")
    assert bye.uri == "sip:alice-0x55d@[FC1D:f9a1:0::c214]:5066"
    assert callee.peer == Peer(ALICE, 5066)
    assert (bye.from_.tag, bye.to.tag, bye.call_id, str(bye.cseq)) == (
        "bob",
        "alice",
        "c1",
        "1 BYE",
    )
    assert (bye.headers.first("User-Agent"), bye.body, bye.max_forwards) == ("x", b"b", 70)
    caller = as_caller()
    assert str(caller.make_request("INFO").cseq) == "8 INFO"
    assert str(caller.make_request("INFO").cseq) == "9 INFO"
    ack = caller.make_ack(7)
    assert (ack.method, str(ack.cseq), ack.to.tag) == ("ACK", "7 ACK", "bob")
    assert ack.uri == "sip:[fc22:33::b0b]"


@pytest.mark.parametrize(
    ("contact", "peer", "expected"),
    [
        ("<sip:[fc1d:f9a1::c214]>", Peer(ALICE, 40000), Peer(ALICE, 5060)),
        ("<sip:x@127.0.0.1:5099>", Peer(ALICE, 40000), Peer(ALICE, 40000)),
        ("<sip:x@[::1]>", Peer(ALICE, 40000), Peer(ALICE, 40000)),
        ("<sip:x@[fc44::ca]:5070>", Peer(ALICE, 40000), Peer(ALICE, 40000)),
        ("<tel:+1>", Peer(ALICE, 40000), Peer(ALICE, 40000)),
        (
            "<sip:[fc1d:f9a1::c214]:5061;transport=tcp>",
            Peer(ALICE, 40000, True, 3),
            Peer(ALICE, 5061, True, 3),
        ),
        ("<sip:[fc1d:f9a1::c214]>", Peer(ALICE, 40000, True, 3), Peer(ALICE, 5060)),
        ("<sip:x@127.0.0.1>", Peer(ALICE, 40000, True, 3), Peer(ALICE, 40000, True, 3)),
    ],
)
def test_requests_go_to_no_other_node_whatever_the_contact_says(
    contact: str, peer: Peer, expected: Peer
) -> None:
    assert as_callee(f"Contact: {contact}\r\n", peer).peer == expected


def test_without_contact_the_address_itself_is_the_target() -> None:
    callee = as_callee("")
    assert callee.make_request("BYE").uri == "sip:[fc1d:f9a1::c214]:5060"


def test_headers_in_a_contact_are_no_part_of_the_request_uri() -> None:
    callee = as_callee("Contact: <sip:a?b@[fc1d:f9a1::c214];x=1?Subject=y>\r\n")
    assert callee.make_request("BYE").uri == "sip:a?b@[fc1d:f9a1::c214];x=1"


def test_only_the_same_names_from_the_same_address_match() -> None:
    callee = as_callee()
    bye = incoming("BYE", to_tag="bob")
    assert callee.matches(bye, Peer(ALICE, 41000))
    assert not callee.matches(bye, Peer(CAROL, 5060))
    assert not callee.matches(incoming("BYE", to_tag="bob", call_id="c2"), TO_ALICE)
    assert not callee.matches(incoming("BYE"), TO_ALICE)
    caller = as_caller()
    assert caller.matches(answer(caller.make_request("INFO"), 200), TO_BOB)
    assert DialogId.of(bye) == callee.id


def state_of(dialog: Dialog) -> DialogState:
    """It changes behind mypy's back."""
    return dialog.state


# --- States -------------------------------------------------------------------------------------------


def test_an_early_dialog_is_confirmed_by_the_2xx_and_takes_its_contact_and_routes() -> None:
    invite = request_of("INVITE")
    dialog = Dialog.as_caller(invite, answer(invite, 180, "<sip:early@[fc22:33::b0b]>"), TO_BOB)
    assert state_of(dialog) is DialogState.EARLY
    assert dialog.remote_target == "sip:early@[fc22:33::b0b]"
    ok = answer(invite, 200, "<sip:late@[fc22:33::b0b]:5070>", "<sip:[fc22:33::b0b]:5090;lr>")
    dialog.handle_response(ok, TO_BOB)
    assert dialog.state is DialogState.CONFIRMED
    assert dialog.remote_target == "sip:late@[fc22:33::b0b]:5070"
    assert dialog.peer == Peer(BOB, 5090)


def test_our_2xx_confirms_an_early_dialog() -> None:
    callee = as_callee(status=180)
    assert state_of(callee) is DialogState.EARLY
    callee.confirm()
    assert state_of(callee) is DialogState.CONFIRMED
    callee.end()
    callee.confirm()
    assert state_of(callee) is DialogState.ENDED


@pytest.mark.parametrize(
    ("first", "method", "status", "state"),
    [
        (180, "INVITE", 486, DialogState.ENDED),
        (180, "INVITE", 183, DialogState.EARLY),
        (200, "INVITE", 488, DialogState.CONFIRMED),
        (200, "INVITE", 491, DialogState.CONFIRMED),
        (200, "INVITE", 481, DialogState.ENDED),
        (200, "INFO", 408, DialogState.ENDED),
        (200, "INFO", 500, DialogState.CONFIRMED),
        (200, "BYE", 200, DialogState.ENDED),
        (200, "BYE", 100, DialogState.CONFIRMED),
        (200, "UPDATE", 200, DialogState.CONFIRMED),
    ],
)
def test_which_answer_ends_a_dialog(
    first: int, method: str, status: int, state: DialogState
) -> None:
    dialog = as_caller(first)
    dialog.handle_response(answer(dialog.make_request(method), status), TO_BOB)
    assert dialog.state is state


def test_a_dialog_that_ended_makes_nothing_but_a_bye_and_hears_nothing_but_481() -> None:
    callee = as_callee()
    assert callee.handle_request(incoming("BYE", to_tag="bob", cseq="6"), TO_ALICE) == 0
    assert callee.state is DialogState.ENDED
    assert callee.handle_request(incoming("INFO", to_tag="bob", cseq="7"), TO_ALICE) == 481
    assert callee.make_request("BYE").method == "BYE"
    with pytest.raises(UsageError):
        callee.make_request("INFO")


# --- Order and targets --------------------------------------------------------------------------------


def test_a_request_older_than_one_before_is_500_and_ack_and_cancel_are_outside_the_order() -> None:
    callee = as_callee()
    assert callee.handle_request(incoming("INFO", cseq="4"), TO_ALICE) == 500
    assert callee.handle_request(incoming("INFO", cseq="9"), TO_ALICE) == 0
    assert callee.handle_request(incoming("INVITE", cseq="8"), TO_ALICE) == 500
    assert callee.handle_request(incoming("ACK", cseq="5"), TO_ALICE) == 0
    assert callee.handle_request(incoming("INFO", cseq="10"), TO_ALICE) == 0
    caller = as_caller()
    assert caller.handle_request(incoming("INFO", cseq="1"), TO_BOB) == 0


@pytest.mark.parametrize(
    ("method", "renews"), [("INVITE", True), ("UPDATE", True), ("INFO", False), ("MESSAGE", False)]
)
def test_a_new_contact_counts_in_invite_and_update(method: str, renews: bool) -> None:
    callee = as_callee()
    moved = "Contact: <sip:new@[fc1d:f9a1::c214]:5071>\r\n"
    assert callee.handle_request(incoming(method, cseq="6", extra=moved), TO_ALICE) == 0
    assert (callee.peer.port == 5071) is renews
    assert (callee.remote_target == "sip:new@[fc1d:f9a1::c214]:5071") is renews


def test_a_new_contact_from_another_node_moves_nothing() -> None:
    callee = as_callee()
    before = callee.peer
    moved = "Contact: <sip:new@[fc44::ca]>\r\n"
    callee.handle_request(incoming("UPDATE", cseq="6", extra=moved), Peer(CAROL, 5060))
    assert callee.peer == before


def test_the_2xx_to_a_re_invite_renews_the_target_and_keeps_the_routes() -> None:
    dialog = as_caller(200, "<sip:[fc22:33::b0b]>", "<sip:[fc22:33::b0b];lr>")
    again = dialog.make_request("INVITE")
    dialog.handle_response(answer(again, 200, "<sip:moved@[fc22:33::b0b]:5080>"), TO_BOB)
    assert dialog.remote_target == "sip:moved@[fc22:33::b0b]:5080"
    assert dialog.make_request("BYE").headers.all("Route") == ("<sip:[fc22:33::b0b];lr>",)


# --- Routes -------------------------------------------------------------------------------------------


def test_the_route_set_is_turned_round_for_the_caller_and_kept_for_the_callee() -> None:
    routes = ("<sip:[fc22:33::b0b]:5090;lr>", "<sip:far.example;lr>")
    caller = as_caller(200, "<sip:[fc22:33::b0b]>", *routes)
    assert caller.make_request("BYE").headers.all("Route") == routes[::-1]
    assert caller.make_ack(7).headers.all("Route") == routes[::-1]
    callee = as_callee(
        "Record-Route: <sip:[fc1d:f9a1::c214]:5090;lr>, <sip:far.example;lr>\r\n" + CONTACT
    )
    bye = callee.make_request("BYE")
    assert bye.headers.all("Route") == ("<sip:[fc1d:f9a1::c214]:5090;lr>", "<sip:far.example;lr>")
    assert bye.uri == "sip:alice-0x55d@[FC1D:f9a1:0::c214]:5066"
    assert callee.peer == Peer(ALICE, 5090)


def test_a_strict_router_becomes_the_request_uri() -> None:
    callee = as_callee(
        "Record-Route: <sip:[fc1d:f9a1::c214]>\r\nRecord-Route: <sip:b;lr>\r\n" + CONTACT
    )
    bye = callee.make_request("BYE")
    assert bye.uri == "sip:[fc1d:f9a1::c214]"
    assert bye.headers.all("Route") == (
        "<sip:b;lr>",
        "<sip:alice-0x55d@[FC1D:f9a1:0::c214]:5066>",
    )


def test_a_route_that_cannot_be_read_is_passed_on_and_leads_nowhere_else() -> None:
    callee = as_callee("Record-Route: <nonsense\r\n" + CONTACT)
    assert callee.make_request("BYE").headers.all("Route") == ("<nonsense",)
    assert callee.peer == TO_ALICE


def test_phones_without_tags_have_dialogs_too() -> None:
    invite = incoming("INVITE", extra=CONTACT)
    bare = Request(
        invite.method,
        invite.uri,
        invite.headers.without("From").with_("From", "sip:old@[fc1d:f9a1::c214]"),
    )
    dialog = Dialog.as_callee(bare, make_response(bare, 200, to_tag="bob"), TO_ALICE)
    assert dialog.id == DialogId("c1", "bob", "")
    assert dialog.remote == "sip:old@[fc1d:f9a1::c214]"
