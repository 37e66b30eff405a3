"""Two phones call each other: every way a call can begin and end."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.formats import G722, PCMA, PCMU
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.values import (
    CallError,
    CallId,
    DigitsArrived,
    Ended,
    EndReason,
    Established,
    Missed,
    MissedReason,
    Progress,
    Ringing,
    SeatMedia,
    SendDigits,
    Side,
    Unanswered,
)
from tests.unit.apps.call.phone.world import ANN, BOB, EVE, SEAT, Node, World, answer_to, invite


def dial(world: World, by: Node, to: Node, name: str = "") -> CallId:
    call = by.phone.dial(by.house.users()[0], uri_at(to.address, name), SEAT, world.now)
    world.run(0.1)
    return call


def answer(world: World, node: Node, user: str = "", seat: SeatMedia = SEAT) -> CallId:
    ringing = node.last(Ringing)
    node.phone.answer(ringing.call, user or ringing.users[0], seat, world.now)
    world.run(0.1)
    return ringing.call


def talk(world: World) -> tuple[CallId, CallId]:
    """Ann has called Bob, and he has answered."""
    mine = dial(world, world.ann, world.bob, "bob")
    return mine, answer(world, world.bob)


def test_a_call_rings_is_answered_and_hung_up_by_the_caller() -> None:
    world = World()
    call = dial(world, world.ann, world.bob, "bob")
    ringing = world.bob.one(Ringing)
    assert ringing.users == ("bob",)
    assert ringing.caller.address == ANN
    assert ringing.caller.petname == "pet-a"
    assert world.ann.one(Progress).is_ringing
    world.run(2.0)
    answer(world, world.bob)
    assert world.ann.one(Established).plan.remote == BOB
    assert world.bob.one(Established).plan.remote == ANN
    world.run(30.0)
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    ended = world.ann.one(Ended)
    assert (ended.reason, ended.by, ended.is_outgoing) == (EndReason.HUNG_UP, Side.US, True)
    assert 29.9 < ended.talked_s < 30.2
    assert world.bob.one(Ended).by is Side.THEM
    assert world.bob.all(Missed) == []
    assert world.methods() == ["INVITE", "180", "200", "ACK", "BYE", "200"]
    world.assert_empty()


def test_a_seat_that_stands_by_answers_and_nothing_rings() -> None:
    world = World()
    world.bob.standing = ("bob", SEAT)
    call = dial(world, world.ann, world.bob, "bob")
    assert (world.bob.all(Ringing), world.ann.all(Progress)) == ([], [])
    assert world.ann.one(Established).plan.remote == BOB
    theirs = world.bob.one(Established)
    assert (theirs.user, theirs.plan.remote) == ("bob", ANN)
    (asked,) = world.bob.asked
    assert (asked.call, asked.users, asked.caller.address) == (theirs.call, ("bob",), ANN)
    world.run(40.0)  # longer than anybody may ring
    world.bob.phone.hold(theirs.call, world.now)
    world.run(1.0)
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    assert (world.bob.all(Missed), world.bob.all(Unanswered)) == ([], [])
    assert world.methods() == ["INVITE", "200", "ACK", "INVITE", "200", "ACK", "BYE", "200"]
    world.assert_empty()


def test_a_seat_that_stands_by_takes_a_late_offer_and_repeats_its_answer_until_the_ack() -> None:
    world = World()
    del world.nodes[BOB]
    world.ann.standing = ("ann", SEAT)
    (answered,) = world.put(invite(body=""))
    assert answered.status == 200
    assert answered.body.startswith(b"v=0")
    world.run(2.0)
    assert [one for _, one in world.inbox] == [answered] * 3
    world.run(40.0)
    assert world.ann.one(Ended).reason is EndReason.LOST
    world.assert_empty()


def test_a_seat_that_stands_by_without_a_common_codec_refuses_and_the_call_was_missed() -> None:
    world = World()
    world.bob.standing = ("bob", SeatMedia(7080, (G722,)))
    dial(world, world.ann, world.bob)
    assert world.ann.one(Ended).reason is EndReason.NO_COMMON_CODEC
    assert world.bob.one(Missed).reason is MissedReason.NO_COMMON_CODEC
    world.assert_empty()


def test_who_does_not_ring_is_not_answered_at_once_either() -> None:
    world = World()
    world.bob.configure(do_not_disturb=True, has_voicemail=True)
    world.bob.standing = ("bob", SEAT)
    dial(world, world.ann, world.bob)
    assert world.bob.asked == []
    assert world.bob.one(Unanswered)


def test_the_called_hangs_up_too() -> None:
    world = World()
    _, theirs = talk(world)
    world.bob.phone.hang_up(theirs, world.now)
    world.run(0.1)
    assert (world.bob.one(Ended).by, world.ann.one(Ended).by) == (Side.US, Side.THEM)
    world.assert_empty()


def test_both_hang_up_at_once() -> None:
    world = World()
    mine, theirs = talk(world)
    world.ann.phone.hang_up(mine, world.now)
    world.bob.phone.hang_up(theirs, world.now)
    world.run(0.1)
    assert world.ann.one(Ended).by is Side.US
    assert world.bob.one(Ended).by is Side.US
    world.assert_empty()


def test_the_caller_gives_up_before_an_answer() -> None:
    world = World()
    call = dial(world, world.ann, world.bob)
    world.ann.phone.hang_up(call, world.now)
    assert world.ann.phone.calls(world.now) == ()
    world.run(0.1)
    assert world.methods() == ["INVITE", "180", "CANCEL", "200", "487", "ACK"]
    assert world.bob.one(Ended).reason is EndReason.CANCELLED
    assert world.bob.one(Missed).reason is MissedReason.CANCELLED
    world.assert_empty()


def test_an_answer_that_crosses_the_cancel_is_hung_up() -> None:
    world = World()
    call = dial(world, world.ann, world.bob)
    world.ann.phone.hang_up(call, world.now)
    world.bob.phone.answer(world.bob.one(Ringing).call, "bob", SEAT, world.now)
    world.run(1.0)
    sent = world.methods(ANN)
    assert sent.index("CANCEL") < sent.index("ACK") < sent.index("BYE")
    assert world.ann.one(Ended).reason is EndReason.HUNG_UP
    assert world.bob.one(Ended).by is Side.THEM
    world.assert_empty()


def test_declined() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    world.bob.phone.decline(world.bob.one(Ringing).call, world.now)
    world.run(0.1)
    ended = world.ann.one(Ended)
    assert (ended.reason, ended.status, ended.by) == (EndReason.DECLINED, 603, Side.THEM)
    assert world.bob.one(Ended).reason is EndReason.DECLINED
    assert world.bob.all(Missed) == []
    world.assert_empty()


def test_hanging_up_a_ringing_call_declines_it() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    world.bob.phone.hang_up(world.bob.one(Ringing).call, world.now)
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.DECLINED
    world.assert_empty()


def test_nobody_answers_for_30_s_then_voicemail_may_for_60_s_then_it_is_over() -> None:
    world = World()
    del world.nodes[BOB]  # a caller with patience
    world.put(invite())
    world.run(29.5)
    assert world.ann.all(Unanswered) == []
    world.run(0.6)
    assert world.ann.one(Unanswered).users == ("ann",)
    world.run(29.5)
    assert world.ann.all(Ended) == []
    world.run(1.0)
    ended = world.ann.one(Ended)
    assert (ended.reason, ended.by) == (EndReason.NO_ANSWER, Side.NOBODY)
    assert world.ann.one(Missed).reason is MissedReason.NO_ANSWER
    assert "480" in world.methods(ANN)
    world.assert_empty()


def test_voicemail_answers_an_unanswered_call() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    world.run(30.5)
    unanswered = world.bob.one(Unanswered)
    world.bob.phone.answer(unanswered.call, "bob", SEAT, world.now)
    world.run(0.1)
    assert world.ann.one(Established)
    assert world.bob.all(Missed) == []


def test_voicemail_that_does_not_want_the_call_says_480() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    world.run(30.5)
    world.bob.phone.decline(world.bob.one(Unanswered).call, world.now, status=480)
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.UNAVAILABLE
    assert world.bob.one(Missed).reason is MissedReason.NO_ANSWER


def test_a_call_of_ours_rings_60_s_at_most() -> None:
    world = World()
    world.bob.phone.dial("bob", uri_at(EVE), SEAT, world.now)
    world.run(0.1)
    [invite] = world.requests("INVITE")
    world.put(answer_to(invite, 180), EVE, BOB)
    world.run(61.0)
    ended = world.bob.one(Ended)
    assert (ended.reason, ended.by) == (EndReason.NO_ANSWER, Side.NOBODY)
    assert world.requests("CANCEL")


def test_an_absent_peer_ends_the_call_by_itself() -> None:
    world = World()
    call = world.ann.phone.dial("ann", uri_at(EVE), SEAT, world.now)
    world.run(33.0)
    ended = world.ann.one(Ended)
    assert (ended.call, ended.reason, ended.by) == (call, EndReason.UNREACHABLE, Side.NOBODY)
    world.assert_empty()


def test_giving_up_on_an_absent_peer_leaves_nothing_behind() -> None:
    world = World()
    call = world.ann.phone.dial("ann", uri_at(EVE), SEAT, world.now)
    world.run(1.0)
    world.ann.phone.hang_up(call, world.now)
    assert world.ann.all(Ended) == []  # until the outputs are taken
    world.collect()
    assert world.ann.one(Ended).reason is EndReason.HUNG_UP
    world.assert_empty()


def test_all_seats_of_the_called_users_ring_and_the_first_answer_wins() -> None:
    world = World()
    dial(world, world.bob, world.ann, "family")
    assert world.ann.one(Ringing).users == ("ann", "amy")
    call = answer(world, world.ann, "amy")
    assert world.ann.one(Established).user == "amy"
    with pytest.raises(CallError, match="not ring any more"):
        world.ann.phone.answer(call, "ann", SEAT, world.now)


def test_a_call_ends_when_all_users_declined() -> None:
    world = World()
    dial(world, world.bob, world.ann, "family")
    call = world.ann.one(Ringing).call
    world.ann.phone.decline(call, world.now, user="amy")
    world.run(0.1)
    assert world.bob.all(Ended) == []
    with pytest.raises(CallError, match="not for amy"):
        world.ann.phone.answer(call, "amy", SEAT, world.now)
    world.ann.phone.decline(call, world.now, user="ann")
    world.run(0.1)
    assert world.bob.one(Ended).reason is EndReason.DECLINED


def test_busy_while_a_call_is_up() -> None:
    world = World()
    talk(world)
    world.nodes[EVE] = eve = Node(EVE, ("eve",), 9, (PCMU,))
    world.bob.book.strangers.clear()
    dial(world, eve, world.bob)
    assert eve.one(Ended).reason is EndReason.BUSY
    assert world.bob.one(Missed).reason is MissedReason.BUSY
    assert world.bob.phone.counters[Count.BUSY] == 1


def test_nobody_is_busy_with_what_his_voicemail_takes() -> None:
    world = World()
    world.bob.configure(do_not_disturb=True, has_voicemail=True)
    dial(world, world.ann, world.bob)
    call = world.bob.one(Unanswered).call
    world.bob.phone.answer(call, "bob", SEAT, world.now, is_machine=True)
    world.run(0.1)
    assert world.bob.phone.calls(world.now)[0].is_machine
    world.bob.configure()
    world.nodes[EVE] = eve = Node(EVE, ("eve",), 9, (PCMU,))
    world.bob.book.strangers.clear()
    dial(world, eve, world.bob)
    assert not world.bob.one(Ringing).is_waiting


def test_call_waiting_rings_during_a_call() -> None:
    world = World()
    world.bob.configure(call_waiting=True)
    talk(world)
    world.nodes[EVE] = eve = Node(EVE, ("eve",), 9, (PCMU,))
    world.bob.book.strangers.clear()
    dial(world, eve, world.bob)
    assert world.bob.last(Ringing).is_waiting
    answer(world, world.bob)
    assert len(world.bob.phone.calls(world.now)) == 2


def test_two_who_call_each_other_at_once_may_both_answer() -> None:
    world = World()
    world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    world.bob.phone.dial("bob", uri_at(ANN), SEAT, world.now)
    world.run(0.1)
    assert world.ann.one(Ringing)
    assert world.bob.one(Ringing)


def test_do_not_disturb_is_480_and_a_missed_call() -> None:
    world = World()
    world.bob.configure(do_not_disturb=True)
    dial(world, world.ann, world.bob)
    assert world.ann.one(Ended).reason is EndReason.UNAVAILABLE
    assert world.bob.one(Missed).reason is MissedReason.DO_NOT_DISTURB
    assert world.bob.all(Ringing) == []


def test_do_not_disturb_with_voicemail_gives_the_call_to_voicemail_at_once() -> None:
    world = World()
    world.bob.configure(do_not_disturb=True, has_voicemail=True)
    dial(world, world.ann, world.bob)
    assert world.bob.all(Ringing) == []
    unanswered = world.bob.one(Unanswered)
    assert unanswered.reason is MissedReason.DO_NOT_DISTURB
    world.bob.phone.answer(unanswered.call, "bob", SEAT, world.now)
    world.run(0.1)
    assert world.ann.one(Established)


def test_a_call_that_voicemail_declined_is_missed_for_the_first_reason() -> None:
    world = World()
    world.bob.configure(do_not_disturb=True, has_voicemail=True)
    dial(world, world.ann, world.bob)
    world.bob.phone.decline(world.bob.one(Unanswered).call, world.now, status=480)
    world.run(0.1)
    assert world.bob.one(Missed).reason is MissedReason.DO_NOT_DISTURB


def test_auto_answer_is_told_for_contacts_only() -> None:
    world = World()
    world.bob.configure(auto_answer=True, strangers_ring=True)
    dial(world, world.ann, world.bob)
    assert world.bob.one(Ringing).answers_itself
    world.nodes[EVE] = eve = Node(EVE, ("eve",), 9, (PCMU,))
    world.bob.phone.hang_up(world.bob.one(Ringing).call, world.now)
    dial(world, eve, world.bob)
    assert not world.bob.last(Ringing).answers_itself


def test_strangers_do_not_ring() -> None:
    world = World()
    world.nodes[EVE] = eve = Node(EVE, ("eve",), 9, (PCMU,))
    dial(world, eve, world.bob)
    assert eve.one(Ended).reason is EndReason.UNAVAILABLE
    missed = world.bob.one(Missed)
    assert (missed.reason, missed.caller.address, missed.caller.is_contact) == (
        MissedReason.STRANGER,
        EVE,
        False,
    )
    assert missed.caller.petname is None
    assert world.bob.all(Ringing) == []


def test_blocked_nodes_hear_403_and_leave_no_entry() -> None:
    world = World()
    world.bob.book.blocked.add(ANN)
    dial(world, world.ann, world.bob)
    assert world.ann.one(Ended).reason is EndReason.FORBIDDEN
    assert world.bob.told == []


def test_a_wrong_user_is_404() -> None:
    world = World()
    dial(world, world.ann, world.bob, "rob")
    assert world.ann.one(Ended).reason is EndReason.NOT_FOUND


@pytest.mark.parametrize("name", ["bob", "BOB", "Bob", ""])
def test_users_are_found_in_any_case_and_the_first_for_no_name(name: str) -> None:
    world = World()
    dial(world, world.ann, world.bob, name)
    assert world.bob.one(Ringing).users == ("bob",)


def test_no_common_codec_is_488_without_ringing() -> None:
    world = World(codecs=(PCMU,))
    world.ann.phone.dial("ann", uri_at(BOB), SeatMedia(7078, (G722,)), world.now)
    world.run(0.1)
    ended = world.ann.one(Ended)
    assert (ended.reason, ended.status) == (EndReason.NO_COMMON_CODEC, 488)
    assert world.bob.all(Ringing) == []
    assert world.bob.one(Missed).reason is MissedReason.NO_COMMON_CODEC


def test_a_seat_without_the_codec_ends_the_call_with_488() -> None:
    world = World()
    world.ann.phone.dial("ann", uri_at(BOB), SeatMedia(7078, (PCMA,)), world.now)
    world.run(0.1)
    answer(world, world.bob, seat=SeatMedia(7078, (PCMU,)))
    assert world.ann.one(Ended).reason is EndReason.NO_COMMON_CODEC
    assert world.bob.one(Ended).reason is EndReason.NO_COMMON_CODEC
    world.assert_empty()


def test_calling_oneself_reaches_another_user_of_the_same_node() -> None:
    world = World()
    call = dial(world, world.ann, world.ann, "amy")
    assert world.ann.one(Ringing).users == ("amy",)
    theirs = answer(world, world.ann)
    assert len(world.ann.all(Established)) == 2
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    assert {one.call for one in world.ann.all(Ended)} == {call, theirs}
    world.assert_empty()


def test_dead_media_hangs_up() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.handle_dead_media(mine, world.now)
    world.run(0.1)
    assert (world.ann.one(Ended).reason, world.ann.one(Ended).by) == (
        EndReason.MEDIA_DEAD,
        Side.NOBODY,
    )
    assert world.bob.one(Ended).reason is EndReason.HUNG_UP
    world.ann.phone.handle_dead_media(mine, world.now)  # the seat may be late
    world.assert_empty()


def test_hanging_up_before_the_ack_waits_with_the_bye() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    call = world.bob.one(Ringing).call
    world.bob.phone.answer(call, "bob", SEAT, world.now)
    world.bob.phone.hang_up(call, world.now)
    world.collect()
    assert world.bob.one(Ended).by is Side.US
    assert "BYE" not in world.methods(BOB)
    world.run(0.1)
    assert world.methods(BOB)[-1] == "BYE"
    assert world.ann.one(Ended).by is Side.THEM
    world.assert_empty()


def test_an_answer_that_is_never_acknowledged_ends_after_32_s() -> None:
    world = World()
    dial(world, world.ann, world.bob)
    del world.nodes[ANN]  # gone
    call = world.bob.one(Ringing).call
    world.bob.phone.answer(call, "bob", SEAT, world.now)
    world.run(33.0)
    ended = world.bob.one(Ended)
    assert (ended.reason, ended.by) == (EndReason.LOST, Side.NOBODY)
    assert world.methods(BOB)[-1] == "BYE"
    world.assert_empty()


def test_keys_go_to_the_seat_where_telephone_events_were_agreed() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.dtmf(mine, "12a", world.now)
    world.run(0.1)
    assert world.ann.one(SendDigits).digits == "12A"
    assert world.bob.all(DigitsArrived) == []
    with pytest.raises(CallError, match="no keys"):
        world.ann.phone.dtmf(mine, "x", world.now)


def test_commands_for_a_call_that_is_over_say_so() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.hang_up(mine, world.now)
    for command in (world.ann.phone.hang_up, world.ann.phone.hold, world.ann.phone.resume):
        with pytest.raises(CallError, match="no such call"):
            command(mine, world.now)


def test_hold_needs_an_answered_call() -> None:
    world = World()
    call = dial(world, world.ann, world.bob)
    with pytest.raises(CallError, match="answered"):
        world.ann.phone.hold(call, world.now)


@pytest.mark.parametrize(
    "seat", [SeatMedia(7079, (PCMU,)), SeatMedia(0, (PCMU,)), SeatMedia(7078, ())]
)
def test_a_seat_needs_an_even_port_and_a_codec(seat: SeatMedia) -> None:
    world = World()
    with pytest.raises(CallError, match="even port"):
        world.ann.phone.dial("ann", uri_at(BOB), seat, world.now)


def test_a_hundred_calls_one_after_another_leave_nothing() -> None:
    world = World()
    for _ in range(100):
        mine, _theirs = talk(world)
        world.ann.phone.hang_up(mine, world.now)
        world.run(1.0)
    assert len(world.bob.all(Established)) == 100
    assert world.ann.phone.sizes()["calls"] == 0
    world.assert_empty()


def test_views_tell_how_a_call_stands() -> None:
    world = World()
    mine, _ = talk(world)
    world.run(5.0)
    [view] = world.ann.phone.calls(world.now)
    assert (view.call, view.state, view.user, view.is_outgoing) == (mine, "in a call", "ann", True)
    assert view.plan is not None
    assert view.plan.agreed.direction is Direction.SENDRECV
    assert 4.9 < view.talked_s < 5.3
