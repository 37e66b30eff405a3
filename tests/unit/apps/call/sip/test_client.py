"""Our own requests: repeated, answered, acknowledged, cancelled, given up; over UDP and TCP."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.client import MAX_CLIENT, MAX_FORKS, MAX_NO_TCP, NO_TCP_S
from dexmesh.apps.call.sip.message import Request, decode, encode
from dexmesh.apps.call.sip.outputs import Answered, Failed, Output, Send, Why
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.transaction import Transactions
from dexmesh.errors import UsageError
from dexmesh.wire.address import Address
from tests.unit.apps.call.sip.world import (
    BOB,
    CAROL,
    TO_BOB,
    new_table,
    only,
    request_of,
    run_until,
    summary,
    without_sends,
)

BOB_TCP = Peer(BOB, 5060, is_tcp=True)
BIG = b"x" * 1300


def sent_request(outputs: list[Output]) -> Request:
    request = decode(only(Send, outputs).data)
    assert isinstance(request, Request)
    return request


def answer(request: Request, status: int, tag: str = "bob") -> bytes:
    return encode(make_response(request, status, to_tag=tag))


def times(table: Transactions, end: float) -> list[tuple[float, str]]:
    """When what is sent, and how it ends; what was sent before is left out."""
    table.take_outputs()
    found = []
    for now, outputs in run_until(table, end):
        found += [(now, what) for what in summary(outputs)]
        found += [(now, one.why.value) for one in outputs if isinstance(one, Failed)]
    return found


def test_a_request_gets_a_via_of_ours_and_goes_by_udp() -> None:
    table = new_table()
    table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    (send,) = table.take_outputs()
    assert isinstance(send, Send)
    assert send.peer == TO_BOB
    via = decode(send.data).via
    assert (via.transport, via.host, via.port) == ("UDP", "[fc1d:f9a1::c214]", 5060)
    assert via.branch.startswith("z9hG4bK")
    assert len(via.branch) == 7 + 24
    assert ("rport", None) in via.params


def test_an_unanswered_request_is_repeated_at_the_times_of_timer_e_and_given_up_after_32_s() -> (
    None
):
    table = new_table()
    table.request(request_of("MESSAGE"), TO_BOB, 0.0)
    assert times(table, 99.0) == [
        *((at, "MESSAGE") for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)),
        (32.0, "timeout"),
    ]
    assert len(table) == 0


def test_an_unanswered_invite_is_repeated_at_the_times_of_timer_a() -> None:
    table = new_table()
    table.request(request_of("INVITE"), TO_BOB, 0.0)
    assert times(table, 99.0) == [
        *((at, "INVITE") for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)),
        (32.0, "timeout"),
    ]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_over_tcp_nothing_is_repeated(method: str) -> None:
    table = new_table()
    table.request(request_of(method), BOB_TCP, 0.0)
    outputs = table.take_outputs()
    assert only(Send, outputs).peer == BOB_TCP
    assert sent_request(outputs).via.transport == "TCP"
    assert times(table, 99.0) == [(32.0, "timeout")]


def test_a_provisional_answer_slows_the_repetition_down_and_is_told() -> None:
    table = new_table()
    id_ = table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    request = sent_request(table.take_outputs())
    table.handle_message(answer(request, 100), TO_BOB, 0.1)
    assert [one.id for one in table.take_outputs() if isinstance(one, Answered)] == [id_]
    assert times(table, 99.0)[:2] == [(4.1, "OPTIONS"), (8.1, "OPTIONS")]


def test_a_final_answer_is_told_once_and_the_transaction_forgotten_after_timer_k() -> None:
    table = new_table()
    id_ = table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    request = sent_request(table.take_outputs())
    for _ in range(3):
        table.handle_message(answer(request, 200), TO_BOB, 1.0)
    told = only(Answered, table.take_outputs())
    assert (told.id, told.response.status, told.peer) == (id_, 200, TO_BOB)
    assert table.counts["answer repeated"] == 2
    assert times(table, 5.9) == []
    assert len(table) == 1
    assert times(table, 6.0) == []
    assert len(table) == 0


def test_an_answer_from_another_address_is_none_and_from_another_port_is_one() -> None:
    table = new_table()
    table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    request = sent_request(table.take_outputs())
    table.handle_message(answer(request, 200), Peer(CAROL, 5060), 0.1)
    assert table.take_outputs() == []
    assert table.counts["answer from another address"] == 1
    table.handle_message(answer(request, 200), Peer(BOB, 40000), 0.1)
    assert only(Answered, table.take_outputs()).peer.port == 40000


def test_an_answer_with_the_branch_of_ours_but_another_method_is_none() -> None:
    table = new_table()
    table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    request = sent_request(table.take_outputs())
    table.handle_message(answer(request, 200).replace(b"1 OPTIONS", b"1 BYE"), TO_BOB, 0.1)
    assert table.take_outputs() == []
    assert table.counts["answer to nothing"] == 1


def test_an_answer_with_a_second_via_is_for_another() -> None:
    table = new_table()
    table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    data = answer(sent_request(table.take_outputs()), 200)
    table.handle_message(data.replace(b"From: ", b"Via: SIP/2.0/UDP x\r\nFrom: "), TO_BOB, 0.1)
    assert table.take_outputs() == []
    assert table.counts["answer for another"] == 1


def test_a_refused_invite_is_acknowledged_by_itself_and_again_for_each_repetition() -> None:
    table = new_table()
    table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    table.handle_message(answer(invite, 486), TO_BOB, 0.1)
    outputs = table.take_outputs()
    ack = sent_request(outputs)
    assert only(Answered, outputs).response.status == 486
    assert (ack.method, str(ack.cseq), ack.uri) == ("ACK", "1 ACK", invite.uri)
    assert ack.vias == invite.vias
    assert (ack.to.tag, ack.from_.tag, ack.call_id) == ("bob", "alice", "c1")
    table.handle_message(answer(invite, 486), TO_BOB, 0.6)
    outputs = table.take_outputs()
    assert summary(outputs) == ["ACK"]
    assert without_sends(outputs) == []
    assert times(table, 99.0) == []
    assert len(table) == 0


def test_an_accepted_invite_is_acknowledged_by_the_phone_and_again_from_the_table() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    table.handle_message(answer(invite, 180), TO_BOB, 0.1)
    table.handle_message(answer(invite, 200), TO_BOB, 0.2)
    table.handle_message(answer(invite, 200), TO_BOB, 0.25)  # before the phone could say anything
    told = table.take_outputs()
    assert [one.response.status for one in told if isinstance(one, Answered)] == [180, 200]
    table.acknowledge(id_, request_of("ACK"), TO_BOB, 0.3)
    (ack,) = table.take_outputs()
    assert isinstance(ack, Send)
    assert decode(ack.data).via.branch != invite.via.branch
    for _ in range(2):
        table.handle_message(answer(invite, 200), TO_BOB, 0.7)
    assert table.take_outputs() == []  # the ACK's To has no tag, so it was for another answer
    table.acknowledge(id_, request_of("ACK", to="<sip:bob@x>;tag=bob"), TO_BOB, 0.8)
    first = table.take_outputs()
    table.handle_message(answer(invite, 200), TO_BOB, 1.2)
    assert table.take_outputs() == first
    assert times(table, 32.3) == []
    assert len(table) == 0


def test_every_fork_is_told_up_to_a_bound() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    for number in range(MAX_FORKS + 3):
        table.handle_message(answer(invite, 200, f"fork{number}"), TO_BOB, 0.1)
        table.acknowledge(id_, request_of("ACK", to=f"<sip:bob@x>;tag=fork{number}"), TO_BOB, 0.1)
    assert len(table._client.records[id_].acks) == MAX_FORKS
    tags = [one.response.to.tag for one in table.take_outputs() if isinstance(one, Answered)]
    assert tags == [f"fork{number}" for number in range(MAX_FORKS)]


def test_an_invite_that_only_rings_ends_after_three_minutes_from_the_last_ringing() -> None:
    table = new_table()
    table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    for now in (1.0, 100.0):
        table.handle_message(answer(invite, 180), TO_BOB, now)
    table.take_outputs()
    assert times(table, 999.0) == [(280.0, "timeout")]


# --- CANCEL -------------------------------------------------------------------------------------------


def test_a_cancel_waits_for_the_first_provisional_answer() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    table.cancel(id_, 0.1)
    assert table.take_outputs() == []
    assert times(table, 0.6) == [(0.5, "INVITE")]
    table.handle_message(answer(invite, 180), TO_BOB, 0.7)
    outputs = table.take_outputs()
    cancel = sent_request(outputs)
    assert (cancel.method, str(cancel.cseq)) == ("CANCEL", "1 CANCEL")
    assert cancel.vias == invite.vias
    assert cancel.uri == invite.uri
    assert cancel.headers.first("To") == invite.headers.first("To")
    table.handle_message(answer(cancel, 200), TO_BOB, 0.8)
    assert table.take_outputs() == []
    table.handle_message(answer(invite, 487), TO_BOB, 0.9)
    outputs = table.take_outputs()
    assert summary(outputs) == ["ACK"]
    assert only(Answered, outputs).response.status == 487


def test_a_cancel_nobody_hears_ends_after_32_s_and_says_so_once() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    table.handle_message(answer(sent_request(table.take_outputs()), 180), TO_BOB, 0.1)
    table.cancel(id_, 1.0)
    table.cancel(id_, 1.1)
    assert summary(table.take_outputs()) == ["CANCEL"]
    ends = [one for one in times(table, 99.0) if one[1] != "CANCEL"]
    assert ends == [(33.0, "timeout")]
    assert len(table) == 0


def test_an_answer_that_crosses_the_cancel_still_counts() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    table.handle_message(answer(invite, 180), TO_BOB, 0.1)
    table.cancel(id_, 1.0)
    table.take_outputs()
    table.handle_message(answer(invite, 200), TO_BOB, 1.1)
    assert only(Answered, table.take_outputs()).response.status == 200


def test_after_a_final_answer_there_is_nothing_to_cancel() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    table.handle_message(answer(sent_request(table.take_outputs()), 486), TO_BOB, 0.1)
    table.take_outputs()
    table.cancel(id_, 0.2)
    assert table.take_outputs() == []


# --- TCP by size --------------------------------------------------------------------------------------


def test_more_than_1200_bytes_go_by_tcp_and_1200_by_udp() -> None:
    table = new_table()
    table.request(request_of("MESSAGE"), TO_BOB, 0.0)
    room = 1200 - len(only(Send, table.take_outputs()).data) - 2  # Content-Length grows by 2 digits
    table.request(request_of("MESSAGE", body=b"x" * room), TO_BOB, 0.0)
    send = only(Send, table.take_outputs())
    assert (len(send.data), send.peer) == (1200, TO_BOB)
    table.request(request_of("MESSAGE", body=b"x" * (room + 1)), TO_BOB, 0.0)
    send = only(Send, table.take_outputs())
    assert send.peer == BOB_TCP
    assert decode(send.data).via.transport == "TCP"


def test_who_takes_no_tcp_gets_it_by_udp_and_the_next_one_at_once() -> None:
    table = new_table()
    id_ = table.request(request_of("MESSAGE", body=BIG), TO_BOB, 0.0)
    by_tcp = sent_request(table.take_outputs())
    table.handle_transport_failed(BOB_TCP, 4.0)
    outputs = table.take_outputs()
    by_udp = sent_request(outputs)
    assert only(Send, outputs).peer == TO_BOB
    assert by_udp.via.transport == "UDP"
    assert by_udp.via.branch == by_tcp.via.branch
    assert times(table, 5.0) == [(4.5, "MESSAGE")]
    table.handle_message(answer(by_udp, 200), TO_BOB, 5.0)
    assert only(Answered, table.take_outputs()).id == id_
    table.request(request_of("MESSAGE", body=BIG), TO_BOB, 6.0)
    assert only(Send, table.take_outputs()).peer == TO_BOB
    table.request(request_of("MESSAGE", body=BIG), TO_BOB, 4.0 + NO_TCP_S)
    assert only(Send, table.take_outputs()).peer == BOB_TCP


def test_given_up_after_32_s_from_the_change_to_udp() -> None:
    table = new_table()
    table.request(request_of("MESSAGE", body=BIG), TO_BOB, 0.0)
    table.handle_transport_failed(BOB_TCP, 5.0)
    assert times(table, 99.0)[-1] == (37.0, "timeout")


def test_who_was_asked_for_tcp_and_refuses_it_fails() -> None:
    table = new_table()
    table.request(request_of("MESSAGE"), BOB_TCP, 0.0)
    table.take_outputs()
    table.handle_transport_failed(BOB_TCP, 0.1)
    assert only(Failed, table.take_outputs()).why is Why.TRANSPORT
    assert len(table) == 0


def test_what_no_datagram_can_carry_fails_without_tcp() -> None:
    table = new_table()
    table.request(request_of("MESSAGE", body=b"x" * 65_000), TO_BOB, 0.0)
    table.take_outputs()
    table.handle_transport_failed(BOB_TCP, 0.1)
    assert only(Failed, table.take_outputs()).why is Why.TRANSPORT


def test_a_failure_of_another_peer_or_after_the_answer_changes_nothing() -> None:
    table = new_table()
    table.request(request_of("INVITE", body=BIG), TO_BOB, 0.0)
    invite = sent_request(table.take_outputs())
    for peer in (TO_BOB, Peer(CAROL, 5060, is_tcp=True), Peer(BOB, 5061, is_tcp=True)):
        table.handle_transport_failed(peer, 0.1)
    assert table.take_outputs() == []
    table.handle_message(answer(invite, 180), BOB_TCP, 0.2)
    table.take_outputs()
    table.handle_transport_failed(BOB_TCP, 0.3)
    assert table.take_outputs() == []


def test_a_large_ack_falls_back_too() -> None:
    table = new_table()
    id_ = table.request(request_of("INVITE"), TO_BOB, 0.0)
    table.handle_message(answer(sent_request(table.take_outputs()), 200), TO_BOB, 0.1)
    table.take_outputs()
    table.acknowledge(id_, request_of("ACK", body=BIG), TO_BOB, 0.2)
    assert only(Send, table.take_outputs()).peer == BOB_TCP
    table.handle_transport_failed(BOB_TCP, 0.3)
    assert only(Send, table.take_outputs()).peer == TO_BOB


# --- Bounds -------------------------------------------------------------------------------------------


def test_more_requests_than_the_table_holds_fail_at_once() -> None:
    table = new_table()
    for _ in range(MAX_CLIENT):
        table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    table.take_outputs()
    id_ = table.request(request_of("OPTIONS"), TO_BOB, 0.0)
    assert table.take_outputs() == [Failed(id_, Why.OVERLOAD)]
    assert len(table) == MAX_CLIENT


def test_only_so_many_addresses_are_remembered_to_take_no_tcp() -> None:
    table = new_table()
    for number in range(MAX_NO_TCP + 10):
        address = Address(bytes([0xFC]) + number.to_bytes(15, "big"))
        table.handle_transport_failed(Peer(address, 5060, is_tcp=True), 0.0)
    assert len(table._client._no_tcp) == MAX_NO_TCP


def test_nothing_of_a_request_that_ended_is_kept() -> None:
    table = new_table()
    for method in ("INVITE", "OPTIONS"):
        id_ = table.request(request_of(method), TO_BOB, 0.0)
        table.handle_message(answer(sent_request(table.take_outputs()), 180), TO_BOB, 0.0)
        table.cancel(id_, 0.0)
        table.take_outputs()
    assert len(table) == 3
    times(table, 99.0)
    client = table._client
    assert (client.records, client._by_branch, len(client._shared.schedule._names)) == ({}, {}, 0)


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_ack_and_cancel_are_no_requests_of_their_own(method: str) -> None:
    with pytest.raises(UsageError):
        new_table().request(request_of(method), TO_BOB, 0.0)
