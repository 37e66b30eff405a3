"""Our phone and baresip: texts, calls both ways in each codec, hold, calls that do not come about.

ours (stuart, our service) ---- cable with fc00::/8 ---- stock (stuart, baresip)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns import stock_calls
from tests.netns.phones import Baresip
from tests.netns.stock_calls import MARKS, Pair, phone_pair

pytestmark = MARKS


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with phone_pair() as made:
        yield made


@pytest.mark.parametrize("codec", ["opus", "G722", "PCMA"])
def test_texts_and_a_tone_go_both_ways_whoever_calls(pair: Pair, codec: str) -> None:
    with Baresip(pair.at, codec=codec.lower(), contacts=[pair.ours.uri]) as baresip:
        stock_calls.text_each_other(pair.ours, baresip)
        stock_calls.call_each_other(pair.ours, baresip, codec)


def test_a_call_with_interruptions(pair: Pair) -> None:
    with Baresip(pair.at) as baresip:
        stock_calls.a_call_with_interruptions(pair.ours, baresip)


def test_calls_that_do_not_come_about(pair: Pair) -> None:
    with Baresip(pair.at, answers=False) as baresip:
        stock_calls.give_up_and_decline(pair.ours, baresip)
