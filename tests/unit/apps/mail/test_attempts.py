"""Whom delivery calls next, and what answers mean."""

from dexmesh.apps.mail.proto.attempts import (
    MAX_CALLS,
    MAX_ORDINARY,
    MAX_SILENT,
    Calls,
    Due,
    Needs,
    Verdict,
    judge,
    obstacle,
)
from dexmesh.wire.address import Address


def node(number: int) -> Address:
    return Address(b"\xfc" + number.to_bytes(15, "big"))


def test_replies_are_delivered_refused_or_put_off() -> None:
    assert judge(250, "2.0.0 Ok").verdict is Verdict.DELIVERED
    assert judge(550, "no").verdict is Verdict.FAILED
    for code in (421, 450, 451, 452, 354, 199, -1, 700):
        assert judge(code, "hm").verdict is Verdict.RETRY, code


def test_the_enhanced_code_is_cut_from_the_text() -> None:
    outcome = judge(550, "5.1.1 no\n such\tuser")
    assert (outcome.enhanced, outcome.text) == ("5.1.1", "no such user")
    assert outcome.as_text == "550 5.1.1 no such user"
    assert judge(550, "5.1 is no code").enhanced == ""


def test_a_long_reply_is_cut() -> None:
    assert len(judge(550, "x" * 100_000).text) == 500


def test_a_message_the_server_cannot_take_is_refused_with_the_reason() -> None:
    everything = {"smtputf8": "", "8bitmime": "", "size": "1000"}
    assert obstacle(Needs(1000, True, True), everything) is None
    assert obstacle(Needs(10), {}) is None
    for needs, extensions, status in (
        (Needs(1001), everything, "5.3.4"),
        (Needs(10, True, True), {"8bitmime": ""}, "5.6.7"),
        (Needs(10, True), {}, "5.6.3"),
    ):
        found = obstacle(needs, extensions, has_utf8_address=needs.is_utf8)
        assert found is not None
        assert (found.verdict, found.enhanced) == (Verdict.FAILED, status)


def test_a_size_that_is_none_limits_nothing() -> None:
    for text in ("", "0", "many", "-1", "٣"):
        assert obstacle(Needs(10**9), {"size": text}) is None


def test_one_call_per_node() -> None:
    calls = Calls()
    assert calls.take_calls([Due(node(1), 0)], 0.0) == [node(1)]
    assert calls.take_calls([Due(node(1), 0)], 1.0) == []
    calls.handle_end(node(1), 2.0)
    assert calls.take_calls([Due(node(1), 1)], 3.0) == [node(1)]


def test_silent_nodes_leave_room_for_others_and_both_for_signs() -> None:
    calls = Calls()
    silent = [Due(node(number), 5) for number in range(100)]
    fresh = [Due(node(number), 0) for number in range(100, 200)]
    assert len(calls.take_calls(silent, 0.0)) == MAX_SILENT
    assert len(calls.take_calls(silent + fresh, 0.0)) == MAX_ORDINARY - MAX_SILENT
    calls.handle_sign(node(99), 0.0)
    assert calls.take_calls(silent, 0.0) == [node(99)]
    for number in range(200, 300):
        calls.handle_sign(node(number), 0.0)
    calls.take_calls(silent, 0.0)
    assert len(calls.active) == MAX_CALLS


def test_nodes_that_never_failed_go_before_others() -> None:
    calls = Calls()
    due = [Due(node(1), 3), Due(node(2), 0), Due(node(3), 1)]
    assert calls.take_calls(due, 0.0) == [node(2), node(3), node(1)]


def test_a_sign_is_followed_by_quick_calls_and_then_by_the_schedule() -> None:
    calls = Calls()
    calls.handle_sign(node(1), 100.0)
    called, now = [], 100.0
    while (timeout := calls.next_timeout()) is not None:
        now = max(now, timeout[0])
        assert calls.take_calls([], now) == [node(1)]
        called.append(now - 100.0)
        calls.handle_end(node(1), now)  # refused at once: the mail program is not up yet
    assert called == [0, 2, 7, 17, 37]


def test_a_node_that_answers_needs_no_more_quick_calls() -> None:
    calls = Calls()
    calls.handle_sign(node(1), 0.0)
    calls.take_calls([], 0.0)
    calls.handle_taken(node(1))
    calls.handle_greeted(node(1))
    calls.handle_end(node(1), 1.0)
    assert calls.next_timeout() is None


def test_a_call_into_the_void_is_renewed_by_a_sign_but_not_a_young_one() -> None:
    calls = Calls()
    calls.take_calls([Due(node(1), 0)], 0.0)
    assert not calls.handle_sign(node(1), 0.5)
    assert calls.handle_sign(node(1), 20.0)
    calls.handle_renewed(node(1))
    assert calls.take_calls([], 20.0) == [node(1)]


def test_a_call_that_was_taken_is_not_given_up_while_its_greeting_is_waited_for() -> None:
    calls = Calls()
    calls.take_calls([Due(node(1), 0)], 0.0)
    calls.handle_taken(node(1))
    assert not calls.handle_sign(node(1), 60.0)  # a server with a dead name server takes 75 s
    calls.handle_end(node(1), 70.0)
    assert calls.next_timeout() == (72.0, "after a sign of life")


def test_signs_are_bounded() -> None:
    calls = Calls()
    for number in range(5000):
        calls.handle_sign(node(number), 0.0)
    assert len(calls.signs) == 4096
    assert node(0) not in calls.signs
    assert node(4999) in calls.signs
