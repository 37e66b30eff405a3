"""The requests of others: told once, answered as often as they come, acknowledged, cancelled."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.message import Request, Response, decode
from dexmesh.apps.call.sip.outputs import Acked, Cancelled, Failed, Incoming, Output, Send, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.server import MAX_PER_ADDRESS, MAX_SERVER
from dexmesh.apps.call.sip.transaction import Transactions
from dexmesh.wire.address import Address
from tests.unit.apps.call.sip.world import (
    ALICE,
    BOB,
    CAROL,
    TO_ALICE,
    decoded,
    new_table,
    only,
    request_text,
    run_until,
    summary,
    without_sends,
)

ALICE_TCP = Peer(ALICE, 40000, is_tcp=True, connection=7)


def table_with(method: str, peer: Peer = TO_ALICE, **more: str) -> tuple[Transactions, Incoming]:
    table = new_table(BOB)
    table.handle_message(request_text(method, **more), peer, 0.0)
    return table, only(Incoming, table.take_outputs())


def respond(table: Transactions, incoming: Incoming, status: int, now: float) -> list[Output]:
    table.respond(incoming.id, make_response(incoming.request, status, to_tag="bob"), now)
    return table.take_outputs()


def times(table: Transactions, end: float) -> list[tuple[float, str]]:
    found = []
    for now, outputs in run_until(table, end):
        found += [(now, what) for what in summary(outputs)]
        found += [(now, one.why.value) for one in outputs if isinstance(one, Failed)]
    return found


def sent_response(outputs: list[Output]) -> Response:
    (response,) = decoded(outputs)
    assert isinstance(response, Response)
    return response


# --- Where answers go ---------------------------------------------------------------------------------


def test_the_answer_goes_to_the_source_address_and_port_and_says_so_in_via() -> None:
    source = Peer(ALICE, 40000)
    table, incoming = table_with("OPTIONS", source)
    assert incoming.peer == source
    outputs = respond(table, incoming, 200, 0.1)
    assert only(Send, outputs).peer == source
    via = sent_response(outputs).via
    assert via.params == (
        ("branch", "z9hG4bK1"),
        ("received", "fc1d:f9a1::c214"),
        ("rport", "40000"),
    )
    assert via.port == 5060
    assert incoming.request.via == via


def test_further_vias_stay_as_they_are() -> None:
    table, incoming = table_with("OPTIONS", extra="Via: SIP/2.0/UDP far;branch=z9hG4bK-far;x\r\n")
    vias = sent_response(respond(table, incoming, 200, 0.1)).headers.all("Via")
    assert vias[1] == "SIP/2.0/UDP far;branch=z9hG4bK-far;x"


def test_over_tcp_the_answer_goes_by_the_connection_or_else_to_the_port_in_via() -> None:
    table, incoming = table_with("MESSAGE", ALICE_TCP, transport="TCP")
    assert incoming.peer == ALICE_TCP
    outputs = respond(table, incoming, 200, 0.1)
    assert only(Send, outputs).peer == Peer(ALICE, 5060, is_tcp=True, connection=7)


def test_a_repetition_from_another_port_is_answered_there() -> None:
    table, incoming = table_with("OPTIONS")
    respond(table, incoming, 200, 0.1)
    table.handle_message(request_text("OPTIONS"), Peer(ALICE, 40001), 0.5)
    assert only(Send, table.take_outputs()).peer == Peer(ALICE, 40001)


# --- Requests without ACK -----------------------------------------------------------------------------


def test_a_repeated_request_is_told_once_and_answered_from_the_table() -> None:
    table, incoming = table_with("MESSAGE")
    table.handle_message(request_text("MESSAGE"), TO_ALICE, 0.1)
    assert table.take_outputs() == []
    first = respond(table, incoming, 200, 0.2)
    for now in (0.5, 20.0, 32.1):
        table.handle_message(request_text("MESSAGE"), TO_ALICE, now)
        assert table.take_outputs() == first
    assert table.counts["request repeated"] == 4
    assert times(table, 32.2) == []
    assert len(table) == 0
    table.handle_message(request_text("MESSAGE"), TO_ALICE, 33.0)
    assert only(Incoming, table.take_outputs()).id != incoming.id


def test_over_tcp_an_answered_request_is_forgotten_at_once() -> None:
    table, incoming = table_with("MESSAGE", ALICE_TCP)
    respond(table, incoming, 200, 0.2)
    assert times(table, 0.2) == []
    assert len(table) == 0


def test_a_request_our_phone_never_answers_is_forgotten_after_32_s() -> None:
    table, incoming = table_with("INFO")
    assert times(table, 32.0) == []
    assert len(table) == 0
    assert respond(table, incoming, 200, 40.0) == []
    assert table.counts["answer of ours too late"] == 1


def test_only_the_first_final_answer_counts() -> None:
    table, incoming = table_with("INFO")
    assert summary(respond(table, incoming, 200, 0.1)) == ["200"]
    assert respond(table, incoming, 500, 0.2) == []


@pytest.mark.parametrize(
    "change",
    [(b"z9hG4bK1", b"z9hG4bK2"), (b"]:5060;branch", b"]:5062;branch"), (b"INFO", b"MESSAGE")],
)
def test_another_branch_sent_by_or_method_is_another_transaction(
    change: tuple[bytes, bytes],
) -> None:
    table, incoming = table_with("INFO")
    table.handle_message(request_text("INFO").replace(*change), TO_ALICE, 0.1)
    assert only(Incoming, table.take_outputs()).id != incoming.id


def test_the_same_branch_from_another_address_is_another_transaction() -> None:
    table, incoming = table_with("INFO")
    table.handle_message(request_text("INFO"), Peer(CAROL, 5060), 0.1)
    assert only(Incoming, table.take_outputs()).id != incoming.id


# --- INVITE -------------------------------------------------------------------------------------------


def test_a_100_is_sent_after_200_ms_or_when_the_invite_comes_again() -> None:
    table, _ = table_with("INVITE")
    assert times(table, 1.0) == [(0.2, "100")]
    table, _ = table_with("INVITE")
    table.handle_message(request_text("INVITE"), TO_ALICE, 0.1)
    assert summary(table.take_outputs()) == ["100"]
    assert times(table, 1.0) == []


def test_no_100_where_the_phone_was_quicker_and_the_last_provisional_is_repeated() -> None:
    table, incoming = table_with("INVITE")
    ringing = respond(table, incoming, 180, 0.1)
    assert times(table, 1.0) == []
    table.handle_message(request_text("INVITE"), TO_ALICE, 0.5)
    assert table.take_outputs() == ringing


def test_a_refusal_is_repeated_until_its_ack() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 486, 1.0)
    assert times(table, 5.0) == [(1.5, "486"), (2.5, "486"), (4.5, "486")]
    table.handle_message(request_text("INVITE"), TO_ALICE, 5.0)
    assert summary(table.take_outputs()) == ["486"]
    table.handle_message(request_text("ACK", to_tag="bob"), TO_ALICE, 5.1)
    assert table.take_outputs() == []
    assert times(table, 10.1) == []
    assert len(table) == 0


def test_a_refusal_nobody_acknowledges_fails_after_32_s() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 486, 1.0)
    assert times(table, 99.0)[-1] == (33.0, "no ACK")


def test_over_tcp_a_refusal_is_not_repeated() -> None:
    table, incoming = table_with("INVITE", ALICE_TCP)
    respond(table, incoming, 486, 1.0)
    assert times(table, 99.0) == [(33.0, "no ACK")]


@pytest.mark.parametrize("peer", [TO_ALICE, ALICE_TCP])
def test_a_2xx_is_repeated_over_every_transport_until_its_ack(peer: Peer) -> None:
    table, incoming = table_with("INVITE", peer)
    respond(table, incoming, 200, 1.0)
    assert times(table, 9.0) == [(1.5, "200"), (2.5, "200"), (4.5, "200"), (8.5, "200")]
    table.handle_message(request_text("INVITE"), peer, 9.0)
    assert table.take_outputs() == []  # RFC 6026 §7.1: it is absorbed
    table.handle_message(request_text("ACK", "z9hG4bKack", to_tag="bob", body="sdp"), peer, 9.1)
    acked = only(Acked, table.take_outputs())
    assert (acked.id, acked.request.body, acked.peer) == (incoming.id, b"sdp", peer)
    table.handle_message(request_text("ACK", "z9hG4bKack", to_tag="bob", body="sdp"), peer, 9.2)
    assert table.take_outputs() == []
    assert times(table, 33.0) == []
    assert len(table) == 0


def test_a_2xx_nobody_acknowledges_fails_after_32_s() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 200, 1.0)
    assert times(table, 99.0)[-1] == (33.0, "no ACK")


def test_an_old_phone_acknowledges_a_2xx_with_the_branch_of_the_invite() -> None:
    table, incoming = table_with("INVITE", branch="old")
    respond(table, incoming, 200, 1.0)
    table.handle_message(request_text("ACK", "old", to_tag="bob"), TO_ALICE, 1.1)
    assert only(Acked, table.take_outputs()).id == incoming.id


@pytest.mark.parametrize(
    ("peer", "more"),
    [
        (Peer(CAROL, 5060), {}),
        (TO_ALICE, {"to_tag": "another"}),
        (TO_ALICE, {"cseq": "2"}),
        (TO_ALICE, {"call_id": "c2"}),
    ],
)
def test_an_ack_for_something_else_acknowledges_nothing(peer: Peer, more: dict[str, str]) -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 200, 1.0)
    table.handle_message(request_text("ACK", "z9hG4bKack", **{"to_tag": "bob"} | more), peer, 1.1)
    assert table.take_outputs() == []
    assert table.counts["ACK for nothing"] == 1


def test_an_invite_our_phone_never_answers_ends_after_five_minutes() -> None:
    table, _ = table_with("INVITE")
    assert times(table, 999.0) == [(0.2, "100"), (300.0, "timeout")]
    assert len(table) == 0


# --- CANCEL -------------------------------------------------------------------------------------------


def test_a_cancel_is_answered_and_takes_the_invite_back() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 180, 0.1)
    table.handle_message(request_text("CANCEL"), Peer(ALICE, 40001), 0.2)
    outputs = table.take_outputs()
    ok = sent_response(outputs)
    assert (ok.status, str(ok.cseq), ok.to.tag) == (200, "1 CANCEL", "bob")
    assert only(Cancelled, outputs).id == incoming.id
    table.handle_message(request_text("CANCEL"), TO_ALICE, 0.7)
    outputs = table.take_outputs()
    assert summary(outputs) == ["200"]
    assert without_sends(outputs) == []
    assert summary(respond(table, incoming, 487, 0.8)) == ["487"]


def test_a_cancel_before_anything_was_sent_is_matched_and_the_invite_goes_silent() -> None:
    table, incoming = table_with("INVITE")
    table.handle_message(request_text("CANCEL"), TO_ALICE, 0.1)
    assert only(Cancelled, table.take_outputs()).id == incoming.id
    table.handle_message(request_text("INVITE"), TO_ALICE, 0.15)
    assert table.take_outputs() == []
    assert times(table, 1.0) == []


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 200, 0.1)
    table.handle_message(request_text("CANCEL"), TO_ALICE, 0.2)
    outputs = table.take_outputs()
    assert summary(outputs) == ["200"]
    assert without_sends(outputs) == []


@pytest.mark.parametrize("peer", [TO_ALICE, Peer(CAROL, 5060)])
def test_a_cancel_for_nothing_of_its_sender_is_481(peer: Peer) -> None:
    table, _ = table_with("INVITE")
    branch = "z9hG4bKother" if peer == TO_ALICE else "z9hG4bK1"
    table.handle_message(request_text("CANCEL", branch), peer, 0.2)
    outputs = table.take_outputs()
    assert sent_response(outputs).status == 481
    assert sent_response(outputs).to.tag
    assert without_sends(outputs) == []


# --- Bounds -------------------------------------------------------------------------------------------


def test_one_address_fills_only_its_share_and_gets_503() -> None:
    table = new_table(BOB)
    for number in range(MAX_PER_ADDRESS):
        table.handle_message(request_text("OPTIONS", f"z9hG4bK-{number}"), TO_ALICE, 0.0)
    table.take_outputs()
    table.handle_message(request_text("INVITE", "z9hG4bK-more"), TO_ALICE, 0.0)
    outputs = table.take_outputs()
    busy = sent_response(outputs)
    assert (busy.status, busy.headers.first("Retry-After")) == (503, "10")
    assert without_sends(outputs) == []
    assert table.counts["too many requests"] == 1
    table.handle_message(request_text("OPTIONS"), Peer(CAROL, 5060), 0.0)
    assert only(Incoming, table.take_outputs()).peer.address == CAROL
    table.handle_message(request_text("ACK", "z9hG4bK-more", to_tag="x"), TO_ALICE, 0.1)
    assert table.take_outputs() == []
    table.handle_timeout(32.0)
    assert len(table) == 0
    table.handle_message(request_text("OPTIONS"), TO_ALICE, 33.0)
    only(Incoming, table.take_outputs())


@pytest.mark.parametrize("status", [180, 200])
def test_calls_that_ring_or_were_accepted_fill_the_table_and_stay(status: int) -> None:
    table = new_table(BOB)
    statuses = []
    for number in range(MAX_SERVER + 5):
        address = Address(bytes([0xFC]) + number.to_bytes(15, "big"))
        table.handle_message(request_text("INVITE"), Peer(address, 5060), 0.0)
        outputs = table.take_outputs()
        statuses += summary(outputs)
        if number < MAX_SERVER:
            respond(table, only(Incoming, outputs), status, 0.0)
    assert len(table) == MAX_SERVER
    assert statuses == ["503"] * 5


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
def test_a_flood_of_answered_requests_keeps_no_call_out(method: str) -> None:
    table = new_table(BOB)
    for number in range(MAX_SERVER):
        address = Address(bytes([0xFC]) + number.to_bytes(15, "big"))
        table.handle_message(request_text(method), Peer(address, 5060), 0.0)
        respond(table, only(Incoming, table.take_outputs()), 480, 0.0)
    table.handle_message(request_text("INVITE"), TO_ALICE, 1.0)
    invite = only(Incoming, table.take_outputs())
    assert len(table) == MAX_SERVER
    assert table.counts["answered requests forgotten early"] == 1
    oldest = Peer(Address(bytes([0xFC]) + bytes(15)), 5060)
    table.handle_message(request_text(method), oldest, 1.1)
    assert only(Incoming, table.take_outputs()).peer == oldest
    table.handle_message(request_text("INVITE"), TO_ALICE, 1.2)
    assert summary(table.take_outputs()) == ["100"]
    assert summary(respond(table, invite, 180, 1.3)) == ["180"]


def test_calls_that_are_up_keep_no_call_out() -> None:
    """Each stays for 32 s after its ACK: at 100 calls a second that is more than the table holds."""
    table = new_table(BOB)
    for number in range(MAX_SERVER):
        peer = Peer(Address(bytes([0xFC]) + number.to_bytes(15, "big")), 5060)
        table.handle_message(request_text("INVITE"), peer, 0.0)
        respond(table, only(Incoming, table.take_outputs()), 200, 0.0)
        table.handle_message(request_text("ACK", "z9hG4bK-ack", to_tag="bob"), peer, 0.0)
        only(Acked, table.take_outputs())
    table.handle_message(request_text("INVITE"), TO_ALICE, 1.0)
    only(Incoming, table.take_outputs())
    assert len(table) == MAX_SERVER


def test_a_cancel_counts_in_a_full_table_too() -> None:
    table, incoming = table_with("INVITE")
    for number in range(MAX_PER_ADDRESS):
        table.handle_message(request_text("OPTIONS", f"z9hG4bK-{number}"), TO_ALICE, 0.0)
    table.take_outputs()
    table.handle_message(request_text("CANCEL"), TO_ALICE, 0.1)
    outputs = table.take_outputs()
    assert summary(outputs) == ["200"]
    assert only(Cancelled, outputs).id == incoming.id


def test_nothing_of_a_request_that_ended_is_kept() -> None:
    table, incoming = table_with("INVITE")
    respond(table, incoming, 200, 0.1)
    table.handle_message(request_text("MESSAGE"), TO_ALICE, 0.2)
    respond(table, only(Incoming, table.take_outputs()), 200, 0.3)
    times(table, 99.0)
    server = table._server
    assert (server.records, server._by_key, server._by_ack, server._of_address) == ({}, {}, {}, {})
    assert server._answered == {}
    assert len(server._shared.schedule._names) == 0


def test_keep_alives_and_junk_are_counted_and_answered_with_nothing() -> None:
    table = new_table(BOB)
    for data in (
        b"",
        b"\r\n\r\n",
        b"\0",
        b"\xff" * 900,
        b"GET / HTTP/1.1\r\n\r\n",
        b"SIP/2.0 200\r\n\r\n",
    ):
        table.handle_message(data, TO_ALICE, 0.0)
    assert table.take_outputs() == []
    assert table.counts["keep-alive"] == 3
    assert table.counts.total() == 6
    assert Why("timeout") is Why.TIMEOUT


def test_a_request_for_nobody_is_still_a_request() -> None:
    _, incoming = table_with("OPTIONS")
    assert isinstance(incoming.request, Request)
    assert incoming.request.sip_uri is not None
    assert decode(request_text("OPTIONS")).cseq == incoming.request.cseq
