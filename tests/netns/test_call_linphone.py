"""Our phone and linphone: texts, calls both ways, hold, calls that do not come about.

ours (stuart, our service) ---- cable with fc00::/8 ---- stock (stuart, linphone)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns import stock_calls
from tests.netns.phones import Linphone, article_file
from tests.netns.stock_calls import LONG, MARKS, PETNAME, Pair, phone_pair

pytestmark = MARKS


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with phone_pair() as made:
        yield made


@pytest.fixture(scope="module")
def linphone(pair: Pair) -> Iterator[Linphone]:
    """It answers by itself."""
    with Linphone(pair.at, answers=True) as phone:
        yield phone


def test_texts_in_utf8_go_both_ways(pair: Pair, linphone: Linphone) -> None:
    stock_calls.text_each_other(pair.ours, linphone)


def test_a_long_text_arrives_whole_over_tcp(pair: Pair, linphone: Linphone) -> None:
    assert pair.ours.send_text(PETNAME, LONG)["state"] == "delivered"
    assert linphone.wait_text(LONG) == pair.ours.uri
    assert f"Via: SIP/2.0/TCP [{pair.ours.address}]" in linphone.trace()


@pytest.mark.parametrize("codec", ["opus", "PCMU"])
def test_a_tone_goes_both_ways_whoever_calls(pair: Pair, linphone: Linphone, codec: str) -> None:
    stock_calls.call_each_other(pair.ours, linphone, codec)


def test_a_call_with_interruptions(pair: Pair, linphone: Linphone) -> None:
    stock_calls.a_call_with_interruptions(pair.ours, linphone)


def test_the_file_of_the_article_is_audible_both_ways_though_it_offers_the_loopback(
    pair: Pair, linphone: Linphone
) -> None:
    linphone.stop()
    with Linphone(pair.at, text=article_file(pair.at.address)) as phone:
        with pair.ours.sit_down("--auto-answer") as seat:
            stock_calls.be_called(phone, pair.ours, seat)
            ended = stock_calls.hang_up(phone, seat)
        assert "c=IN IP6 ::1\n" in phone.trace().replace("\r", "")
        stock_calls.require_heard(seat, ended, phone)


def test_calls_that_do_not_come_about(pair: Pair) -> None:
    with Linphone(pair.at) as phone:
        stock_calls.give_up_and_decline(pair.ours, phone)
