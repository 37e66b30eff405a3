"""Single messages from a bare node: who is refused, and how."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.policy import MAX_MISSED_OF_ONE
from dexmesh.apps.call.phone.presence import MAX_PEOPLE
from dexmesh.apps.call.phone.values import (
    CallError,
    Ended,
    EndReason,
    Established,
    Missed,
    MissedReason,
    Presence,
    Progress,
    Ringing,
    Side,
    TextArrived,
)
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.uri import parse_uri
from dexmesh.wire.address import Address, parse_address
from tests.unit.apps.call.phone.world import (
    ANN,
    BOB,
    EVE,
    SEAT,
    World,
    answer_to,
    crlf,
    invite,
    request,
    sdp,
)

NOT_MESH = parse_address("2001:db8::1")
ALT = "bn4dv5qftdqk93hhy2bfvm1tgn6vqu7ftqbwqrwqwqfq2v2jtu30"


@pytest.fixture
def world() -> World:
    """Ann's phone; whatever goes to BOB or EVE is for the test to read."""
    world = World()
    del world.nodes[BOB]
    return world


def statuses(found: list[Response]) -> list[int]:
    return [one.status for one in found]


# --- Who is calling


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "BYE", "FOO"])
@pytest.mark.parametrize("named", ["[fc00::e]", "[fc00:0000::000E]:5060"])
def test_a_from_that_names_another_node_is_403(world: World, method: str, named: str) -> None:
    [answer] = world.put(request(method, from_=f"<sip:bob@{named}>"))
    assert answer.status == 403
    assert world.ann.told == []
    assert world.ann.phone.counters[Count.FORGED] == 1


@pytest.mark.parametrize("named", ["127.0.0.1", "unknown-host", "example.org", "[2001:db8::1]"])
def test_a_from_that_names_no_node_is_taken_and_flagged(world: World, named: str) -> None:
    world.put(invite(from_=f'"The Bank" <sip:bank@{named}>'))
    caller = world.ann.one(Ringing).caller
    assert (caller.address, caller.is_flagged, caller.petname) == (BOB, True, "pet-b")
    assert (caller.claimed_user, caller.claimed_name) == ("bank", "The Bank")


def test_a_from_that_names_the_sender_is_not_flagged(world: World) -> None:
    world.put(invite(from_="<sip:bob@[FC00:0:0:0:0:0:0:B]>"))
    assert not world.ann.one(Ringing).caller.is_flagged


def test_what_a_caller_claims_is_short_and_clean(world: World) -> None:
    world.put(invite(from_='"' + "x\u202e" * 200 + '" <sip:b%00%1b%5bb@[fc00::b]>'))
    caller = world.ann.one(Ringing).caller
    assert len(caller.claimed_name) <= 64
    assert caller.claimed_user.isprintable()


def test_other_programs_of_this_machine_do_not_speak_as_its_users(world: World) -> None:
    answers = world.put(invite(source=ANN, from_="<sip:amy@[fc00::a]>"), ANN, port=40_000)
    world.run(0.1)
    assert world.ann.all(Ringing) == []
    assert world.ann.phone.counters[Count.NOT_OURS] == 1
    assert answers == []  # the answer went to ANN, who has no phone at that port
    world.put(invite(source=ANN, from_="<sip:amy@[fc00::a]>", branch="z9hG4bK2"), ANN)
    assert world.ann.one(Ringing).caller.claimed_user == "amy"


def test_nothing_from_outside_the_mesh_is_answered(world: World) -> None:
    assert world.put(request("OPTIONS"), NOT_MESH) == []
    assert world.ann.phone.counters[Count.NOT_MESH] == 1


# --- What is asked


def test_options_lists_what_is_served(world: World) -> None:
    [answer] = world.put(request("OPTIONS"))
    allowed = answer.headers.all("Allow")
    assert answer.status == 200
    assert set(allowed) == {
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "MESSAGE",
        "UPDATE",
        "INFO",
    }
    assert {"application/sdp", "text/plain"} <= set(answer.headers.all("Accept"))
    assert "Supported" in answer.headers
    assert answer.to.tag


def test_options_for_nobody_here_is_404(world: World) -> None:
    assert statuses(world.put(request("OPTIONS", to="nobody@[fc00::a]"))) == [404]


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("SUBSCRIBE", 489),
        ("NOTIFY", 489),
        ("REFER", 501),
        ("PUBLISH", 501),
        ("REGISTER", 501),
        ("FOO", 501),
        ("BYE", 481),
        ("INFO", 481),
        ("UPDATE", 481),
    ],
)
def test_methods_outside_of_calls(world: World, method: str, status: int) -> None:
    [answer] = world.put(request(method))
    assert answer.status == status
    assert status == 481 or answer.headers.first("Allow")


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS", "MESSAGE", "FOO"])
def test_requests_of_a_call_we_do_not_know_are_481(world: World, method: str) -> None:
    assert statuses(world.put(request(method, to_tag="gone"))) == [481]


def test_a_cancel_of_nothing_is_481_and_an_ack_of_nothing_is_nothing(world: World) -> None:
    assert statuses(world.put(request("CANCEL"))) == [481]
    assert world.put(request("ACK", branch="z9hG4bK2")) == []


def test_required_extensions_are_420(world: World) -> None:
    [answer] = world.put(invite(fields=("Content-Type: application/sdp", "Require: 100rel, timer")))
    assert answer.status == 420
    assert answer.headers.all("Unsupported") == ("100rel", "timer")
    assert world.ann.told == []


@pytest.mark.parametrize("uri", ["tel:+49123", "sips:ann@[fc00::a]", "mailto:ann@example.org"])
def test_other_schemes_are_416(world: World, uri: str) -> None:
    assert statuses(world.put(request("OPTIONS", uri=uri))) == [416]


def test_a_request_for_another_node_is_404_for_nothing_is_passed_on(world: World) -> None:
    assert statuses(world.put(invite(to="ann@[fc00::e]"))) == [404]


@pytest.mark.parametrize("host", ["[FC00::A]", "ann.cjdns.alt", "localhost", "[fc00::a]:5060"])
def test_any_name_of_ours_will_do(world: World, host: str) -> None:
    assert statuses(world.put(request("OPTIONS", to=f"ann@{host}"))) == [200]


def test_no_user_means_the_first(world: World) -> None:
    world.put(invite(uri="sip:[fc00::a]"))
    assert world.ann.one(Ringing).users == ("ann",)


def test_an_alias_means_its_users(world: World) -> None:
    world.put(invite(to="Family@[fc00::a]"))
    assert world.ann.one(Ringing).users == ("ann", "amy")


# --- What is offered


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (sdp(formats="18"), 488),
        (sdp().replace("RTP/AVP", "RTP/SAVP"), 488),
        (sdp().replace("m=audio", "m=video"), 488),
        (sdp(port=0), 488),
        ("v=0\nrubbish\n", 400),
    ],
)
def test_offers_that_come_to_nothing(world: World, body: str, status: int) -> None:
    [answer] = world.put(invite(body))
    assert answer.status == status
    assert answer.headers.first("Warning")
    assert world.ann.all(Ringing) == []
    assert bool(world.ann.all(Missed)) == (status == 488)


def test_another_body_is_415_and_so_is_a_packed_one(world: World) -> None:
    [other] = world.put(invite("hello", fields=("Content-Type: text/plain",)))
    packed = ("Content-Type: application/sdp", "Content-Encoding: gzip")
    [second] = world.put(invite(fields=packed, branch="z9hG4bK2", call_id="call-2"))
    assert (other.status, second.status) == (415, 415)
    assert other.headers.first("Accept") == "application/sdp"
    assert second.headers.first("Accept-Encoding") == "identity"


def test_a_body_without_its_type_is_read_if_it_is_a_description(world: World) -> None:
    world.put(invite(fields=("Subject: x",)))
    assert world.ann.one(Ringing)


@pytest.mark.parametrize("address", ["::1", "2001:db8::1", "fc00::e", "127.0.0.1"])
def test_media_go_to_the_signalling_peer_whatever_the_offer_says(
    world: World, address: str
) -> None:
    kind = "IP6" if ":" in address else "IP4"
    world.put(invite(sdp().replace("c=IN IP6 fc00::b", f"c=IN {kind} {address}")))
    world.ann.phone.answer(world.ann.one(Ringing).call, "ann", SEAT, world.now)
    world.run(0.1)
    plan = world.ann.one(Established).plan
    assert (plan.remote, plan.agreed.remote_port) == (BOB, 4000)
    for _, message in world.inbox:
        assert address.encode() not in message.body
        assert not message.body or b"c=IN IP6 fc00::a" in message.body


def test_an_invite_that_comes_on_two_ways_rings_once(world: World) -> None:
    world.put(invite())
    again = world.put(invite(branch="z9hG4bK-other"))
    assert statuses(again) == [482]
    assert world.ann.one(Ringing)


def test_an_invite_that_comes_twice_is_answered_from_the_table(world: World) -> None:
    world.put(invite())
    assert statuses(world.put(invite())) == [180]
    assert world.ann.one(Ringing)


def test_answers_go_to_the_port_the_request_came_from(world: World) -> None:
    world.nodes[ANN].phone.handle_message(crlf(request("OPTIONS")), Peer(BOB, 40000), world.now)
    [send] = world.ann.phone.take_outputs()
    assert send.peer.port == 40000  # type: ignore[union-attr]


# --- Taking back, hanging up early


def test_a_cancel_ends_the_ringing(world: World) -> None:
    world.put(invite())
    assert statuses(world.put(request("CANCEL"))) == [200, 487]
    assert world.ann.one(Ended).by is Side.THEM
    assert world.ann.one(Missed).reason is MissedReason.CANCELLED


def test_a_cancel_from_another_node_ends_nothing(world: World) -> None:
    world.put(invite())
    assert statuses(world.put(request("CANCEL"), EVE)) == [481]
    assert world.ann.all(Ended) == []


def test_a_cancel_after_the_answer_changes_nothing(world: World) -> None:
    world.put(invite())
    world.ann.phone.answer(world.ann.one(Ringing).call, "ann", SEAT, world.now)
    world.run(0.1)
    assert statuses(world.put(request("CANCEL"))) == [200]
    assert world.ann.all(Ended) == []


def test_a_bye_while_it_rings_ends_it(world: World) -> None:
    [ringing] = world.put(invite())
    bye = request("BYE", to_tag=ringing.to.tag, cseq=2, branch="z9hG4bK2")
    assert statuses(world.put(bye)) == [200, 487]
    assert world.ann.one(Missed).reason is MissedReason.CANCELLED


def test_early_requests_of_a_ringing_call_are_answered(world: World) -> None:
    [ringing] = world.put(invite())
    sent = [
        request(method, to_tag=ringing.to.tag, cseq=number, branch=f"z9hG4bK{number}")
        for number, method in enumerate(("OPTIONS", "INFO", "UPDATE", "REFER"), start=2)
    ]
    assert [statuses(world.put(one)) for one in sent] == [[200], [200], [200], [501]]
    assert world.ann.all(Ended) == []


def test_a_text_inside_a_call_is_for_its_user(world: World) -> None:

    [ringing] = world.put(invite(to="amy@[fc00::a]"))
    text = request(
        "MESSAGE",
        to_tag=ringing.to.tag,
        cseq=2,
        branch="z9hG4bK2",
        fields=("Content-Type: text/plain",),
        body="come",
    )
    world.put(text)
    assert world.ann.one(TextArrived).users == ("amy",)


# --- How much


def test_the_eleventh_request_in_a_second_is_503(world: World) -> None:
    found = [
        world.put(request("OPTIONS", branch=f"z9hG4bK{n}", call_id=f"c{n}")) for n in range(12)
    ]
    assert [one[0].status for one in found] == [200] * 10 + [503] * 2
    assert found[-1][0].headers.first("Retry-After") == "1"
    world.run(1.0)
    assert statuses(world.put(request("OPTIONS", branch="z9hG4bKlast"))) == [200]
    assert world.ann.phone.counters[Count.TOO_FAST] == 2


def test_a_flood_is_told_so_only_ten_times_a_second(world: World) -> None:
    found = [world.put(request("OPTIONS", branch=f"z9hG4bK{n}")) for n in range(100)]
    assert sum(map(len, found)) == 20
    assert world.ann.phone.sizes()["transactions"] == 10


def test_a_flood_of_junk_is_dropped(world: World) -> None:
    for number in range(1000):
        world.put(bytes([number % 256]) * 50)
    assert world.ann.phone.counters[Count.TOO_FAST] > 900
    assert world.ann.phone.sizes()["transactions"] == 0


@pytest.mark.parametrize("in_front", [b"\r\n" * 20, b"\0" * 40, b" ", b"\t" * 40])
def test_what_stands_in_front_of_a_request_hides_it_from_nobody(
    world: World, in_front: bytes
) -> None:
    for number in range(100):
        text = request("OPTIONS", branch=f"z9hG4bK{number}", call_id=f"c{number}")
        world.put(in_front + crlf(text))
    assert world.ann.phone.counters[Count.TOO_FAST] == 90
    assert world.ann.phone.sizes()["transactions"] <= 10


def test_answers_and_acks_that_nobody_waits_for_are_not_read(world: World) -> None:
    text = crlf(request("OPTIONS"))
    world.put(text.replace(b"OPTIONS sip:ann@[fc00::a] SIP/2.0", b"SIP/2.0 200 OK"))
    world.put(text.replace(b"OPTIONS", b"ACK"))
    world.put(b"SIP/9 " + text)  # which would be told that it makes no sense
    assert world.ann.phone.counters[Count.STRAY_ANSWER] == 3
    assert not world.ann.phone.sip_counts
    assert world.inbox == []


def test_a_flood_of_acks_is_dropped_once_a_call_was_refused(world: World) -> None:
    world.ann.book.strangers.add(BOB)
    assert statuses(world.put(invite()))[-1] == 480
    ack = request("ACK", to_tag="x")
    for _ in range(1000):
        world.put(ack)
    assert world.ann.phone.sip_counts["ACK for nothing"] < 50
    assert world.ann.phone.counters[Count.STRANGERS_TOO_FAST] > 900


def test_other_nodes_are_served_meanwhile(world: World) -> None:
    for number in range(50):
        world.put(request("OPTIONS", branch=f"z9hG4bK{number}"), EVE)
    assert statuses(world.put(request("OPTIONS"))) == [200]


def test_strangers_together_have_a_limit_and_contacts_do_not_share_it(world: World) -> None:
    strangers = [parse_address(f"fc01::{n:x}") for n in range(100)]
    world.ann.book.strangers.update(strangers)
    found = [statuses(world.put(request("OPTIONS", source=one), one))[0] for one in strangers]
    assert found == [200] * 50 + [503] * 50
    assert world.ann.phone.counters[Count.STRANGERS_TOO_FAST] == 50
    assert statuses(world.put(request("OPTIONS"))) == [200]


def test_a_node_may_ring_three_times_at_once(world: World) -> None:
    found = [world.put(invite(branch=f"z9hG4bK{n}", call_id=f"c{n}"))[0].status for n in range(4)]
    assert found == [180, 180, 180, 503]
    assert world.ann.phone.counters[Count.TOO_MANY_CALLS] == 1


def test_thirty_calls_may_ring_at_once(world: World) -> None:
    found = []
    for number in range(31):
        source = parse_address(f"fc02::{number + 1:x}")
        [answer] = world.put(invite(source=source, from_=f"<sip:x@[fc02::{number + 1:x}]>"), source)
        found.append(answer.status)
    assert found == [180] * 30 + [503]


def test_hanging_up_is_not_hindered_by_the_limit_for_requests(world: World) -> None:
    [ringing] = world.put(invite())
    for number in range(20):
        world.put(request("OPTIONS", branch=f"z9hG4bK-o{number}", call_id="o"))
    bye = request("BYE", to_tag=ringing.to.tag, cseq=2, branch="z9hG4bK2")
    assert statuses(world.put(bye)) == [200, 487]


def test_the_history_is_not_filled_by_one_stranger(world: World) -> None:
    for number in range(100):
        world.put(
            invite(
                source=EVE,
                from_="<sip:e@[fc00::e]>",
                branch=f"z9hG4bK{number}",
                call_id=f"c{number}",
            ),
            EVE,
        )
        world.run(1.0)
    assert len(world.ann.all(Missed)) == 10
    assert world.ann.phone.counters[Count.STRANGER] == 100


# --- Answers to our own INVITE


def dialled(world: World) -> Request:
    world.ann.phone.dial("ann", uri_at(BOB, "bob"), SEAT, world.now)
    world.run(0.1)
    return world.requests("INVITE")[0]


def test_a_literal_stands_in_whatever_we_send(world: World) -> None:
    target = parse_uri("sip:bob@[fc00:0000:0000::000b]:5061;transport=udp")
    world.ann.phone.dial("ann", target, SEAT, world.now)
    world.run(0.1)
    [invite_] = world.requests("INVITE")
    assert invite_.uri == "sip:bob@[fc00::b]:5061"
    assert invite_.from_.uri == "sip:ann@[fc00::a]"


def test_a_host_that_is_no_node_is_refused(world: World) -> None:
    with pytest.raises(CallError, match="no node"):
        world.ann.phone.dial("ann", parse_uri("sip:bob@example.org"), SEAT, world.now)


def test_several_early_answers_with_different_tags_then_one_final(world: World) -> None:
    sent = dialled(world)
    world.put(answer_to(sent, 100, tag=""))
    for tag in ("one", "two", "three"):
        world.put(answer_to(sent, 180, tag=tag))
    world.put(answer_to(sent, 183, tag="two", body=sdp()))
    assert [one.status for one in world.ann.all(Progress)] == [180, 183]
    early = world.ann.last(Progress).plan
    assert early is not None
    assert early.remote == BOB
    world.put(answer_to(sent, 200, tag="three", body=sdp()))
    assert world.ann.one(Established)


def test_an_answer_that_came_early_counts_if_the_final_one_repeats_none(world: World) -> None:
    sent = dialled(world)
    world.put(answer_to(sent, 183, tag="one", body=sdp(port=5000)))
    world.put(answer_to(sent, 200, tag="one"))
    assert world.ann.one(Established).plan.agreed.remote_port == 5000


def test_an_early_answer_of_another_tag_is_not_taken(world: World) -> None:
    sent = dialled(world)
    world.put(answer_to(sent, 183, tag="one", body=sdp()))
    world.put(answer_to(sent, 200, tag="two"))
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.BROKEN


def test_a_second_answer_with_another_tag_is_acknowledged_and_hung_up(world: World) -> None:
    sent = dialled(world)
    world.put(answer_to(sent, 200, tag="one", body=sdp()))
    world.put(answer_to(sent, 200, tag="two", body=sdp()))
    world.run(0.1)
    assert [one.to.tag for one in world.requests("ACK")] == ["one", "two"]
    assert [one.to.tag for one in world.requests("BYE")] == ["two"]
    assert world.ann.one(Established)
    assert world.ann.all(Ended) == []


def test_whoever_rang_too_cannot_end_the_call_with_another(world: World) -> None:
    sent = dialled(world)
    world.put(answer_to(sent, 180, tag="one"))
    world.put(answer_to(sent, 200, tag="two", body=sdp()))
    bye = request(
        "BYE",
        call_id=sent.call_id,
        from_tag="one",
        to_tag=sent.from_.tag,
        from_="<sip:bob@[fc00::b]>",
    )
    assert statuses(world.put(bye)) == [481]
    assert world.ann.all(Ended) == []


def test_a_stranger_who_may_ring_fills_no_history(world: World) -> None:
    world.ann.configure(strangers_ring=True)
    for number in range(30):
        branch, call_id = f"z9hG4bK{number}", f"c{number}"
        world.put(invite(source=EVE, branch=branch, call_id=call_id), EVE)
        world.put(request("CANCEL", source=EVE, branch=branch, call_id=call_id), EVE)
        world.run(1.0)
    assert len(world.ann.all(Ringing)) == 30
    assert len(world.ann.all(Missed)) == MAX_MISSED_OF_ONE


def test_who_answered_behind_many_others_can_hang_up(world: World) -> None:
    sent = dialled(world)
    for number in range(100):
        world.put(answer_to(sent, 180, tag=f"t{number}"))
    world.put(answer_to(sent, 200, tag="t99", body=sdp()))
    bye = request("BYE", call_id=sent.call_id, from_tag="t99", to_tag=sent.from_.tag)
    assert statuses(world.put(bye)) == [200]
    assert world.ann.one(Ended).by is Side.THEM
    world.assert_empty()


def test_many_tags_are_bounded(world: World) -> None:
    sent = dialled(world)
    for number in range(100):
        world.put(answer_to(sent, 180, tag=f"t{number}"))
    world.put(answer_to(sent, 200, tag="t99", body=sdp()))
    assert world.ann.one(Established)
    world.ann.phone.hang_up(world.ann.one(Established).call, world.now)
    world.run(0.1)
    [bye] = world.requests("BYE")
    world.put(answer_to(bye, 200))
    world.assert_empty()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, EndReason.REFUSED),
        (401, EndReason.REFUSED),
        (403, EndReason.FORBIDDEN),
        (404, EndReason.NOT_FOUND),
        (408, EndReason.NO_ANSWER),
        (480, EndReason.UNAVAILABLE),
        (486, EndReason.BUSY),
        (488, EndReason.NO_COMMON_CODEC),
        (500, EndReason.REFUSED),
        (503, EndReason.OVERLOADED),
        (600, EndReason.BUSY),
        (603, EndReason.DECLINED),
        (699, EndReason.REFUSED),
    ],
)
def test_a_refusal_is_acknowledged_and_tells_its_reason(
    world: World, status: int, reason: EndReason
) -> None:
    world.put(answer_to(dialled(world), status))
    world.run(0.1)
    ended = world.ann.one(Ended)
    assert (ended.reason, ended.status, ended.by) == (reason, status, Side.THEM)
    assert world.requests("ACK")
    world.assert_empty()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("7 (soon)", 7),
        ("3;duration=9", 3),
        ("x", None),
        ("9" * 30, None),
        ("999999999", 86400),
    ],
)
def test_retry_after_is_told_if_it_makes_sense(
    world: World, text: str, seconds: int | None
) -> None:
    refusal = answer_to(dialled(world), 503).replace(
        "SIP/2.0 503 x", f"SIP/2.0 503 x\nRetry-After: {text}"
    )
    world.put(refusal)
    assert world.ann.one(Ended).retry_after_s == seconds


@pytest.mark.parametrize("body", ["", "v=0\nrubbish", sdp(formats="18"), sdp(port=0)])
def test_an_answer_without_usable_media_is_hung_up(world: World, body: str) -> None:
    world.put(answer_to(dialled(world), 200, body=body))
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.BROKEN
    assert world.ann.all(Established) == []
    assert world.requests("ACK")
    assert world.requests("BYE")


def test_an_answer_from_another_node_counts_for_nothing(world: World) -> None:
    world.put(answer_to(dialled(world), 200, body=sdp()), EVE)
    assert world.ann.all(Established) == []


def test_a_contact_that_names_another_node_draws_no_packet_there(world: World) -> None:
    call = world.ann.phone.dial("ann", uri_at(BOB, "bob"), SEAT, world.now)
    world.run(0.1)
    sent = world.requests("INVITE")[0]
    world.put(answer_to(sent, 200, body=sdp(), contact="<sip:x@[fc00::e]>"))
    world.ann.phone.hang_up(call, world.now)
    world.run(10.0)
    assert {to for _, to, _ in world.wire} == {BOB}
    assert world.requests("BYE")[0].uri == "sip:x@[fc00::e]"


def test_a_dead_transport_ends_the_call(world: World) -> None:
    target = uri_at(BOB, "bob", is_tcp=True)
    world.ann.phone.dial("ann", target, SEAT, world.now)
    world.ann.phone.handle_transport_failed(Peer(BOB, 5060, True), world.now)
    world.collect()
    assert world.ann.one(Ended).reason is EndReason.UNREACHABLE


def test_too_many_calls_of_ours_are_refused_here(world: World) -> None:
    for _ in range(200):
        world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    with pytest.raises(CallError, match="too many calls"):
        world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    world.assert_empty()


# --- Presence


def test_a_node_is_asked_once_in_five_minutes(world: World) -> None:
    assert world.ann.phone.ask("ann", uri_at(BOB), world.now)
    world.run(0.1)
    [options] = world.requests("OPTIONS")
    answer = answer_to(options, 200).replace(
        "SIP/2.0 200 x", "SIP/2.0 200 x\nAllow: INVITE, MESSAGE"
    )
    world.put(answer)
    presence = world.ann.one(Presence)
    assert (presence.address, presence.is_there) == (BOB, True)
    assert presence.methods == {"INVITE", "MESSAGE"}
    assert world.ann.phone.presence_of(uri_at(BOB)) == presence
    assert not world.ann.phone.ask("ann", uri_at(BOB), world.now)
    world.run(300.0)
    assert world.ann.phone.ask("ann", uri_at(BOB), world.now)
    assert world.ann.phone.presence_of(uri_at(BOB)) is None  # that was five minutes ago


def test_what_one_user_of_a_node_is_says_nothing_of_another_one(world: World) -> None:
    phone, nobody, bob = world.ann.phone, uri_at(BOB, "nobody"), uri_at(BOB, "bob")
    phone.ask("ann", nobody, world.now)
    world.run(0.1)
    world.put(answer_to(world.requests("OPTIONS")[0], 404))
    assert phone.presence_of(bob) is None
    assert phone.ask("ann", bob, world.now)
    assert not phone.ask("ann", nobody, world.now)
    world.run(0.1)
    answer = answer_to(world.requests("OPTIONS")[-1], 200)
    world.put(answer.replace("SIP/2.0 200 x", "SIP/2.0 200 x\nAllow: INVITE"))
    told = {one.user: one.methods for one in world.ann.all(Presence)}
    assert told == {"nobody": frozenset(), "bob": {"INVITE"}}
    assert phone.presence_of(nobody) != phone.presence_of(bob)


def test_only_the_nodes_asked_last_are_remembered(world: World) -> None:
    nodes = [Address(b"\xfc" + number.to_bytes(15, "big")) for number in range(MAX_PEOPLE + 1)]
    for node in nodes:
        assert world.ann.phone.ask("ann", uri_at(node), world.now)
    world.run(33.0)
    assert world.ann.phone.presence_of(uri_at(nodes[0])) is None
    assert world.ann.phone.presence_of(uri_at(nodes[-1])) is not None
    assert world.ann.phone.ask("ann", uri_at(nodes[0]), world.now)


def test_whoever_does_not_answer_is_not_there(world: World) -> None:
    world.ann.phone.ask("ann", uri_at(BOB), world.now)
    world.run(33.0)
    assert not world.ann.one(Presence).is_there
    world.assert_empty()


def test_any_answer_means_that_somebody_is_there(world: World) -> None:
    world.ann.phone.ask("ann", uri_at(BOB), world.now)
    world.run(0.1)
    world.put(answer_to(world.requests("OPTIONS")[0], 501))
    assert world.ann.one(Presence).is_there
