"""Hold, resume, re-INVITE, UPDATE, INFO during a call, from both sides and at once."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.sdp import Direction, decode
from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.values import (
    CallError,
    CallId,
    DigitsArrived,
    Ended,
    EndReason,
    Established,
    MediaChanged,
    Ringing,
    SendDigits,
    Side,
)
from dexmesh.apps.call.sip.message import Request, Response
from tests.unit.apps.call.phone.test_calls import talk
from tests.unit.apps.call.phone.world import (
    ANN,
    BOB,
    EVE,
    SDP_FIELD,
    SEAT,
    World,
    answer_to,
    invite,
    request,
    sdp,
)


def direction(told: MediaChanged | Established) -> Direction:
    return told.plan.agreed.direction


def bare_call(world: World, *, is_late: bool = False, body: str = "") -> tuple[CallId, str]:
    """A bare node at BOB has called Ann: the call, and Ann's tag."""
    world.nodes.pop(BOB, None)
    world.put(invite("" if is_late else body or sdp()))
    call = world.ann.last(Ringing).call
    world.ann.phone.answer(call, "ann", SEAT, world.now)
    world.run(0.1)
    ok = [one for _, one in world.inbox if isinstance(one, Response) and one.status == 200][-1]
    if not is_late:
        world.put(in_call("ACK", ok.to.tag, cseq=1))
    return call, ok.to.tag


def in_call(
    method: str,
    tag: str,
    *,
    cseq: int = 2,
    body: str = "",
    fields: tuple[str, ...] | None = None,
) -> str:
    """A request of the bare node inside its call."""
    if fields is None:
        fields = (SDP_FIELD,) if body else ()
    branch = f"z9hG4bK-{method}-{cseq}"
    return request(method, to_tag=tag, cseq=cseq, branch=branch, body=body, fields=fields)


def dialled(world: World, body: str = "") -> tuple[CallId, Request]:
    """Ann has called a bare node at BOB, which answered: the call, and the INVITE."""
    world.nodes.pop(BOB, None)
    call = world.ann.phone.dial("ann", uri_at(BOB, "bob"), SEAT, world.now)
    world.run(0.1)
    [first] = world.requests("INVITE")
    world.put(answer_to(first, 200, body=body or sdp()))
    assert world.ann.all(Established)
    return call, first


def body_of(message: Request | Response) -> Direction:
    media = decode(message.body).media[0]
    return Direction(
        next(name for name, _ in media.attributes if name in {one.value for one in Direction})
    )


# --- Hold and resume between two phones


def test_hold_silences_at_once_and_is_told_there() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.collect()
    changed = world.ann.one(MediaChanged)
    assert (direction(changed), changed.held_here) == (Direction.INACTIVE, True)
    world.run(0.1)
    there = world.bob.one(MediaChanged)
    assert (direction(there), there.held_there, there.held_here) == (
        Direction.RECVONLY,
        True,
        False,
    )
    world.ann.phone.resume(mine, world.now)
    world.run(0.1)
    for node in (world.ann, world.bob):
        changed = node.last(MediaChanged)
        assert direction(changed) is Direction.SENDRECV
        assert not changed.held_here
        assert not changed.held_there


def test_the_called_holds_too() -> None:
    world = World()
    _, theirs = talk(world)
    world.bob.phone.hold(theirs, world.now)
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.RECVONLY
    world.bob.phone.resume(theirs, world.now)
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.SENDRECV


def test_both_hold_and_each_resumes_alone() -> None:
    world = World()
    mine, theirs = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.run(0.1)
    world.bob.phone.hold(theirs, world.now)
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.INACTIVE
    assert direction(world.bob.last(MediaChanged)) is Direction.INACTIVE
    world.ann.phone.resume(mine, world.now)
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.RECVONLY
    assert world.ann.last(MediaChanged).held_there
    assert direction(world.bob.last(MediaChanged)) is Direction.INACTIVE
    world.bob.phone.resume(theirs, world.now)
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.SENDRECV
    assert direction(world.bob.last(MediaChanged)) is Direction.SENDRECV


def test_both_hold_at_the_same_moment() -> None:
    """Both INVITEs cross, both are answered 491, and both are tried again one after the other."""
    world = World()
    mine, theirs = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.bob.phone.hold(theirs, world.now)
    world.run(0.1)
    assert world.methods().count("491") == 2
    world.run(5.0)
    for node in (world.ann, world.bob):
        assert node.last(MediaChanged).held_here
        assert node.last(MediaChanged).held_there
        assert node.phone.counters[Count.OUT_OF_TURN] == 1


def test_hold_and_resume_before_the_answer_come_in_order() -> None:
    world = World()
    mine, _ = talk(world)
    for _ in range(3):
        world.ann.phone.hold(mine, world.now)
        world.ann.phone.resume(mine, world.now)
    world.run(1.0)
    assert direction(world.bob.last(MediaChanged)) is Direction.SENDRECV
    assert direction(world.ann.last(MediaChanged)) is Direction.SENDRECV


def test_hold_before_the_ack_waits_for_it() -> None:
    world = World()
    world.ann.phone.dial("ann", uri_at(BOB), SEAT, world.now)
    world.run(0.1)
    call = world.bob.one(Ringing).call
    world.bob.phone.answer(call, "bob", SEAT, world.now)
    world.bob.phone.hold(call, world.now)
    world.collect()
    assert direction(world.bob.one(MediaChanged)) is Direction.INACTIVE
    world.run(0.1)
    assert direction(world.ann.last(MediaChanged)) is Direction.RECVONLY


def test_holding_twice_sends_nothing_the_second_time() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.run(0.1)
    before = len(world.wire)
    world.ann.phone.hold(mine, world.now)
    world.run(0.1)
    assert len(world.wire) == before


def test_the_version_of_the_description_grows_with_each_change() -> None:
    world = World()
    mine, _ = talk(world)
    for command in (world.ann.phone.hold, world.ann.phone.resume):
        command(mine, world.now)
        world.run(0.1)
    origins = [
        decode(one.body).origin
        for sender, _, one in world.wire
        if sender == ANN and isinstance(one, Request) and one.method == "INVITE"
    ]
    assert [one.version for one in origins] == [1, 2, 3]
    assert len({one.session_id for one in origins}) == 1


def test_a_held_call_whose_other_side_vanished_ends() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.run(100.0)
    assert world.ann.all(Ended) == []
    del world.nodes[BOB]
    world.run(100.0)
    assert world.ann.one(Ended).reason is EndReason.LOST


def test_a_call_with_sound_is_not_asked_whether_it_lives() -> None:
    world = World()
    talk(world)
    before = len(world.wire)
    world.run(600.0)
    assert len(world.wire) == before


# --- A bare node changes


def test_hold_by_sendonly_inactive_and_the_old_way() -> None:
    world = World()
    _, tag = bare_call(world)
    old = sdp(version=4).replace("c=IN IP6 fc00::b", "c=IN IP6 ::")
    older = sdp(version=6).replace("c=IN IP6 fc00::b", "c=IN IP4 0.0.0.0")
    steps = [
        (sdp(version=2, direction="sendonly"), Direction.RECVONLY),
        (sdp(version=3, direction="inactive"), Direction.INACTIVE),
        (sdp(version=5), Direction.SENDRECV),
        (old, Direction.RECVONLY),
        (sdp(version=5), Direction.SENDRECV),
        (older, Direction.RECVONLY),
    ]
    for number, (body, expected) in enumerate(steps, start=2):
        [ok] = world.put(in_call("INVITE", tag, cseq=number, body=body))
        assert ok.status == 200
        assert body_of(ok) is expected
        assert direction(world.ann.last(MediaChanged)) is expected
        world.put(in_call("ACK", tag, cseq=number))


def test_media_stay_with_the_signalling_peer_whatever_a_change_says() -> None:
    world = World()
    _, tag = bare_call(world, body=sdp().replace("fc00::b", "fc00::e"))
    assert world.ann.one(Established).plan.remote == BOB
    world.put(in_call("INVITE", tag, body=sdp(version=2, port=5000).replace("fc00::b", "fc00::e")))
    changed = world.ann.last(MediaChanged)
    assert (changed.plan.remote, changed.plan.agreed.remote_port) == (BOB, 5000)


def test_a_change_without_a_common_codec_is_488_and_changes_nothing() -> None:
    world = World()
    _, tag = bare_call(world)
    [refused] = world.put(in_call("INVITE", tag, body=sdp(version=2, formats="18")))
    assert refused.status == 488
    assert refused.headers.first("Warning")
    assert world.ann.all(MediaChanged) == []
    assert world.ann.all(Ended) == []


def test_a_change_that_is_no_description_is_400_or_415() -> None:
    world = World()
    _, tag = bare_call(world)
    [bad] = world.put(in_call("INVITE", tag, body="v=0\nrubbish"))
    [foreign] = world.put(
        in_call("INVITE", tag, cseq=3, body="hello", fields=("Content-Type: text/plain",))
    )
    assert (bad.status, foreign.status) == (400, 415)
    assert foreign.headers.first("Accept") == "application/sdp"


def test_a_reinvite_without_an_offer_gets_ours_and_answers_in_its_ack() -> None:
    world = World()
    _, tag = bare_call(world)
    [ok] = world.put(in_call("INVITE", tag))
    assert ok.status == 200
    assert body_of(ok) is Direction.SENDRECV
    [busy] = world.put(in_call("INVITE", tag, cseq=3, body=sdp(version=2)))
    assert busy.status == 500  # our offer waits for its answer
    assert busy.headers.first("Retry-After")
    world.put(in_call("ACK", tag, body=sdp(version=2, direction="sendonly")))
    assert direction(world.ann.last(MediaChanged)) is Direction.RECVONLY


def test_an_ack_without_the_answer_leaves_the_call_as_it_was() -> None:
    world = World()
    call, tag = bare_call(world)
    world.put(in_call("INVITE", tag))
    world.put(in_call("ACK", tag))
    assert world.ann.phone.counters[Count.BAD_ANSWER] == 1
    assert world.ann.all(Ended) == []
    world.ann.phone.hold(call, world.now)
    world.run(0.1)
    assert world.requests("INVITE")


def test_a_reinvite_while_ours_is_under_way_is_491() -> None:
    world = World()
    call, tag = bare_call(world)
    world.ann.phone.hold(call, world.now)
    world.collect()
    [crossed] = world.put(in_call("INVITE", tag, body=sdp(version=2)))
    assert crossed.status == 491


def test_a_reinvite_before_the_first_ack_is_500() -> None:
    world = World()
    del world.nodes[BOB]
    world.put(invite())
    world.ann.phone.answer(world.ann.one(Ringing).call, "ann", SEAT, world.now)
    world.run(0.1)
    tag = next(
        one.to.tag for _, one in world.inbox if isinstance(one, Response) and one.status == 200
    )
    [early] = world.put(in_call("INVITE", tag, body=sdp(version=2)))
    assert early.status == 500


def test_requests_in_the_wrong_order_are_500() -> None:
    world = World()
    _, tag = bare_call(world)
    world.put(in_call("INFO", tag, cseq=9))
    [late] = world.put(in_call("INVITE", tag, cseq=5, body=sdp(version=2)))
    assert late.status == 500


def test_update_with_an_offer_is_answered_and_one_without_only_confirmed() -> None:
    world = World()
    _, tag = bare_call(world)
    [ok] = world.put(in_call("UPDATE", tag, body=sdp(version=2, direction="sendonly")))
    assert (ok.status, body_of(ok)) == (200, Direction.RECVONLY)
    assert direction(world.ann.last(MediaChanged)) is Direction.RECVONLY
    [ok] = world.put(in_call("UPDATE", tag, cseq=3))
    assert (ok.status, ok.body) == (200, b"")


def test_update_moves_the_contact() -> None:
    world = World()
    call, tag = bare_call(world)
    moved = in_call("UPDATE", tag).replace(
        "Contact: <sip:bob@[fc00::b]:5060>", "Contact: <sip:elsewhere@[fc00::b]:5070>"
    )
    world.put(moved)
    world.ann.phone.hang_up(call, world.now)
    world.run(0.1)
    [bye] = world.requests("BYE")
    assert bye.uri == "sip:elsewhere@[fc00::b]:5070"


def test_update_while_it_rings_is_500_with_an_offer_and_200_without() -> None:
    world = World()
    del world.nodes[BOB]
    [ringing] = world.put(invite())
    [with_offer] = world.put(in_call("UPDATE", ringing.to.tag, body=sdp(version=2)))
    [without] = world.put(in_call("UPDATE", ringing.to.tag, cseq=3))
    assert (with_offer.status, without.status) == (500, 200)


# --- A bare node answers our change


@pytest.mark.parametrize("status", [488, 400, 500])
def test_a_hold_that_is_refused_is_still_silent_here(status: int) -> None:
    world = World()
    call, _ = dialled(world)
    world.ann.phone.hold(call, world.now)
    world.run(0.1)
    change = world.requests("INVITE")[-1]
    world.put(answer_to(change, status))
    world.run(0.5)
    assert direction(world.ann.last(MediaChanged)) is Direction.INACTIVE
    assert world.ann.all(Ended) == []
    assert world.requests("ACK")


def test_a_change_that_crosses_again_and_again_is_given_up() -> None:
    world = World()
    call, _ = dialled(world)
    world.ann.phone.hold(call, world.now)
    for _ in range(10):
        world.run(4.1)
        world.put(answer_to(world.requests("INVITE")[-1], 491))
    assert len({one.cseq.number for one in world.requests("INVITE")}) == 1 + 5
    assert world.ann.all(Ended) == []


@pytest.mark.parametrize("status", [481, 408])
def test_a_change_that_the_other_side_knows_no_call_for_ends_it(status: int) -> None:
    world = World()
    call, _ = dialled(world)
    world.ann.phone.hold(call, world.now)
    world.run(0.1)
    world.put(answer_to(world.requests("INVITE")[-1], status))
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.LOST


def test_a_change_that_is_never_answered_ends_the_call_with_bye() -> None:
    world = World()
    call, _ = dialled(world)
    world.ann.phone.hold(call, world.now)
    world.run(33.0)
    assert world.ann.one(Ended).reason is EndReason.LOST
    world.run(0.1)
    assert world.requests("BYE")
    world.assert_empty()


def test_a_changed_answer_without_media_keeps_the_plan() -> None:
    world = World()
    call, _ = dialled(world)
    world.ann.phone.hold(call, world.now)
    world.run(0.1)
    world.put(answer_to(world.requests("INVITE")[-1], 200))
    world.run(0.1)
    assert world.ann.phone.counters[Count.BAD_ANSWER] == 1
    assert world.requests("ACK")
    assert world.ann.all(Ended) == []


def test_hanging_up_during_a_change_ends_both() -> None:
    world = World()
    mine, _ = talk(world)
    world.ann.phone.hold(mine, world.now)
    world.ann.phone.hang_up(mine, world.now)
    world.run(1.0)
    assert world.bob.one(Ended).by is Side.THEM
    world.assert_empty()


# --- Late offer at the start


def test_an_invite_without_an_offer_gets_ours_and_is_established_by_its_ack() -> None:
    world = World()
    _, tag = bare_call(world, is_late=True)
    assert world.ann.all(Established) == []
    world.put(in_call("ACK", tag, cseq=1, body=sdp()))
    plan = world.ann.one(Established).plan
    assert (plan.remote, plan.agreed.remote_port) == (BOB, 4000)


@pytest.mark.parametrize("body", ["", "v=0\nrubbish", sdp(formats="18")])
def test_a_late_offer_without_a_usable_answer_is_hung_up(body: str) -> None:
    world = World()
    _, tag = bare_call(world, is_late=True)
    world.put(in_call("ACK", tag, cseq=1, body=body))
    world.run(0.1)
    assert world.ann.one(Ended).reason is EndReason.BROKEN
    assert world.requests("BYE")


# --- Keys


@pytest.mark.parametrize("is_ours", [True, False])
def test_keys_in_a_call_on_hold_are_refused_and_not_promised(is_ours: bool) -> None:
    world = World()
    mine, theirs = talk(world)
    holder, call = (world.ann.phone, mine) if is_ours else (world.bob.phone, theirs)
    holder.hold(call, world.now)
    world.run(0.1)
    with pytest.raises(CallError, match="on hold"):
        world.ann.phone.dtmf(mine, "5", world.now)
    holder.resume(call, world.now)
    world.run(0.1)
    world.ann.phone.dtmf(mine, "6", world.now)
    world.run(0.1)
    assert [one.digits for one in world.ann.all(SendDigits)] == ["6"]


# --- Keys by INFO


def test_keys_go_by_info_one_after_another_where_no_telephone_events_were_agreed() -> None:
    world = World()
    call, _ = dialled(world, sdp(formats="0"))
    world.ann.phone.dtmf(call, "1#", world.now)
    world.run(0.1)
    [first] = world.requests("INFO")
    assert first.body == b"Signal=1\r\nDuration=160\r\n"
    world.put(answer_to(first, 200))
    world.run(0.1)
    assert world.requests("INFO")[-1].body.startswith(b"Signal=#")
    world.ann.phone.dtmf(call, "1" * 64, world.now)
    with pytest.raises(CallError, match="too many keys"):
        world.ann.phone.dtmf(call, "1", world.now)


def test_keys_pressed_before_the_ack_wait_for_it() -> None:
    world = World()
    del world.nodes[BOB]
    world.put(invite(sdp(formats="0")))
    call = world.ann.one(Ringing).call
    world.ann.phone.answer(call, "ann", SEAT, world.now)
    world.ann.phone.dtmf(call, "5", world.now)
    world.run(0.1)
    assert world.requests("INFO") == []
    tag = next(one.to.tag for _, one in world.inbox if isinstance(one, Response))
    world.put(in_call("ACK", tag, cseq=1))
    world.run(0.1)
    assert world.requests("INFO")


def test_keys_that_are_not_understood_are_not_followed_by_others() -> None:
    world = World()
    call, _ = dialled(world, sdp(formats="0"))
    world.ann.phone.dtmf(call, "123", world.now)
    world.run(0.1)
    world.put(answer_to(world.requests("INFO")[0], 415))
    world.run(1.0)
    assert len(world.requests("INFO")) == 1
    assert world.ann.all(Ended) == []


def test_info_that_nobody_answers_does_not_end_the_call() -> None:
    world = World()
    call, _ = dialled(world, sdp(formats="0"))
    world.ann.phone.dtmf(call, "12", world.now)
    world.run(40.0)
    assert world.ann.all(Ended) == []
    world.ann.phone.dtmf(call, "3", world.now)
    world.run(0.1)
    assert world.requests("INFO")[-1].body.startswith(b"Signal=3")


@pytest.mark.parametrize(
    ("kind", "body", "digits"),
    [
        ("application/dtmf-relay", "Signal=5\nDuration=160\n", "5"),
        ("application/dtmf-relay", "Signal= *\nDuration= 250\n", "*"),
        ("application/dtmf-relay", "Duration=100\nSignal=11", "#"),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", "12d\n", "12D"),
    ],
)
def test_keys_in_info_are_told(kind: str, body: str, digits: str) -> None:
    world = World()
    _, tag = bare_call(world)
    [ok] = world.put(in_call("INFO", tag, body=body, fields=(f"Content-Type: {kind}",)))
    assert ok.status == 200
    assert world.ann.one(DigitsArrived).digits == digits


def test_info_with_something_else_is_415_with_a_package_469_and_empty_200() -> None:
    world = World()
    _, tag = bare_call(world)
    [other] = world.put(in_call("INFO", tag, body="x", fields=("Content-Type: application/foo",)))
    [package] = world.put(
        in_call(
            "INFO",
            tag,
            cseq=3,
            body="x",
            fields=("Info-Package: foo", "Content-Type: application/foo"),
        )
    )
    [empty] = world.put(in_call("INFO", tag, cseq=4))
    assert (other.status, package.status, empty.status) == (415, 469, 200)
    assert world.ann.all(DigitsArrived) == []


def test_bye_from_another_node_with_the_right_tags_ends_nothing() -> None:
    world = World()
    _, tag = bare_call(world)
    [refused] = world.put(in_call("BYE", tag), EVE)
    assert refused.status == 481
    assert world.ann.all(Ended) == []
    assert world.ann.phone.counters[Count.WRONG_PEER] == 1
