"""What is said about both ways, and who is called back how often."""

from __future__ import annotations

import itertools

import pytest

from dexmesh.apps.mail.proto.reach import (
    AGAIN_S,
    CALLBACK_KEYWORD,
    MAX_A_MINUTE,
    MAX_AT_ONCE,
    MAX_REMEMBERED,
    SAME_ADDRESS_S,
    CallbackLimiter,
    Ours,
    Port,
    ReachReport,
    format_callback,
    is_outdated,
    judge_greeting,
    parse_callback,
    program_of,
    say,
)
from dexmesh.wire.address import Address


def node(number: int) -> Address:
    return Address(b"\xfc" + number.to_bytes(15, "big"))


BOB = node(1)


def test_every_state_has_words_that_name_the_contact_and_no_state_is_both_good_and_wrong() -> None:
    said = set()
    for theirs, ours in itertools.product(Port, Ours):
        report = ReachReport(BOB, theirs, ours, called_back=Port.SILENT)
        assert not (report.is_good and report.is_wrong)
        there, back = say(report, "bob")
        assert "bob" in there or theirs is Port.UNREACHABLE
        said.add((there, back))
    assert len(said) == len(Port) * len(Ours)


def test_an_estimate_is_not_said_as_a_fact() -> None:
    report = ReachReport(BOB, Port.ANSWERS, Ours.UNPROVEN)
    assert "is not known" in say(report, "bob")[1]
    assert not report.is_good
    assert not report.is_wrong


def test_a_call_that_got_lost_names_the_firewall() -> None:
    for back in (Port.SILENT, Port.REFUSED):
        report = ReachReport(BOB, Port.ANSWERS, Ours.BLOCKED, called_back=back)
        assert "firewall" in say(report, "bob")[1]
        assert report.is_wrong


def test_without_an_address_of_our_own_nothing_is_claimed() -> None:
    report = ReachReport(BOB, Port.UNREACHABLE, Ours.DEAF, has_own_address=False)
    assert say(report, "bob") == (
        "This node's mesh address is not up, so nothing could be tried: `dexmesh up`.",
    )


def test_a_slow_greeting_is_mentioned() -> None:
    slow = ReachReport(BOB, Port.ANSWERS, Ours.HEARD, "OpenSMTPD", 12.3, heard_ago_s=7300)
    there, back = say(slow, "bob")
    assert "12 s to greet" in there
    assert "OpenSMTPD" in there
    assert "2 hours ago" in back


@pytest.mark.parametrize("port", list(Port))
def test_the_reply_about_a_call_back_is_read_as_it_was_written(port: Port) -> None:
    line = format_callback(port)
    assert line.startswith("250 ")
    assert parse_callback(int(line[:3]), line[4:]) is port


@pytest.mark.parametrize(
    "text", ["", "2.0.0", "callback=", "callback=everything", "2.0.0 Ok x=callback"]
)
def test_other_replies_say_nothing(text: str) -> None:
    assert parse_callback(250, text) is None
    assert parse_callback(451, "4.7.1 callback=answers") is None


def test_greetings_are_told_apart() -> None:
    assert judge_greeting(220) is Port.ANSWERS
    assert judge_greeting(421) is judge_greeting(554) is Port.TURNS_AWAY
    assert judge_greeting(250) is judge_greeting(0) is Port.NOT_SMTP
    assert program_of("mx ESMTP OpenSMTPD", frozenset()) == "OpenSMTPD"
    assert program_of("mx ESMTP", frozenset({CALLBACK_KEYWORD})) == "dexmesh"
    assert program_of("mx ESMTP", frozenset()) == ""


def test_a_node_is_called_back_once_in_a_while() -> None:
    limiter = CallbackLimiter()
    assert limiter.admit(BOB, 0.0)
    limiter.release()
    assert not limiter.admit(BOB, SAME_ADDRESS_S - 1)
    assert limiter.admit(BOB, SAME_ADDRESS_S)


def test_calls_at_a_time_and_in_a_minute_are_bounded() -> None:
    limiter = CallbackLimiter()
    assert all(limiter.admit(node(number), 0.0) for number in range(MAX_AT_ONCE))
    assert not limiter.admit(node(99), 0.0)
    for _ in range(MAX_AT_ONCE):
        limiter.release()
    for number in range(100, 100 + MAX_A_MINUTE - MAX_AT_ONCE):
        assert limiter.admit(node(number), 1.0)
        limiter.release()
    assert not limiter.admit(node(1000), 1.0)
    assert limiter.admit(node(1000), 61.5)


def test_what_is_remembered_about_callers_is_bounded() -> None:
    limiter = CallbackLimiter()
    now = 0.0
    for number in range(3 * MAX_REMEMBERED):
        now += 60.0 / MAX_A_MINUTE
        if limiter.admit(node(number), now):
            limiter.release()
    assert len(limiter._last) <= SAME_ADDRESS_S * MAX_A_MINUTE / 60 + 1 <= MAX_REMEMBERED


@pytest.mark.parametrize(
    ("theirs", "age_s", "is_delivered", "is_old"),
    [
        (None, 0, False, True),  # nobody looked
        (Port.SILENT, AGAIN_S - 1, False, False),
        (Port.SILENT, AGAIN_S, False, True),
        (Port.SILENT, -10, False, True),  # the clock was set back
        (Port.SILENT, 0, True, True),  # a mail just got there
        (Port.ANSWERS, AGAIN_S, True, False),
    ],
)
def test_a_report_is_told_while_nothing_speaks_against_it(
    theirs: Port | None, age_s: float, is_delivered: bool, is_old: bool
) -> None:
    report = ReachReport(BOB, theirs, Ours.UNPROVEN, unix_time=1e9) if theirs else None
    assert is_outdated(report, 1e9 + age_s, is_delivered=is_delivered) is is_old
