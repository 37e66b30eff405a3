"""What people read about a call."""

from __future__ import annotations

from typing import Any

import pytest

from dexmesh.apps.call.phone.values import EndReason
from dexmesh.cli.call_words import clock, describe_end, describe_sound, next_step, opinion, who

FIGURES = {
    "codec": "opus", "loss_percent": 0.52, "jitter_ms": 3.4, "delay_ms": None, "mos": 4.38,
}  # fmt: skip


def _ended(reason: str, by: str = "them", talked_s: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "by": by, "talked_s": talked_s, "status": 0, **more}


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"petname": "bob", "address": "fc00::b", "claimed_name": "Eve"}, "bob"),
        ({"petname": "", "address": "fc00::b", "claimed_name": "Eve"}, 'fc00::b ("Eve")'),
        ({"petname": "", "address": "fc00::b", "claimed_user": "eve"}, 'fc00::b ("eve")'),
        ({"petname": "", "address": "fc00::b"}, "fc00::b"),
        ({"petname": "bob", "address": "fc00::b", "is_flagged": True}, "bob (?)"),
    ],
)
def test_a_name_that_nobody_checked_stands_behind_the_address(
    facts: dict[str, Any], shown: str
) -> None:
    assert who(facts) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (7.9, "0:07"), (61, "1:01"), (3723, "1:02:03")]
)
def test_lengths(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize("reason", [str(one) for one in EndReason])
@pytest.mark.parametrize("by", ["us", "them", "nobody"])
@pytest.mark.parametrize("talked_s", [0.0, 83.0])
def test_every_end_has_a_sentence_with_the_name(reason: str, by: str, talked_s: float) -> None:
    words = describe_end(_ended(reason, by, talked_s, status=499), "bob")
    assert "{" not in words
    if talked_s and reason in {"hung up", "no sound arrived any more"}:
        assert "after 1:23" in words
    assert "{" not in next_step(_ended(reason, by, talked_s, retry_after_s=None), "bob")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (_ended("hung up", "us", 12), "you hung up after 0:12"),
        (_ended("hung up", "them", 12), "bob hung up after 0:12"),
        (_ended("hung up", "us"), "you gave up"),
        (_ended("cancelled", "them"), "bob gave up"),
        (_ended("declined", "us"), "you declined the call of bob"),
        (_ended("refused", status=499), "the other phone refused the call (SIP 499)"),
        (_ended("something new"), "bob cannot be called: something new"),
    ],
)
def test_ends(event: dict[str, Any], words: str) -> None:
    assert describe_end(event, "bob") == words


def test_what_to_do_next_can_be_typed() -> None:
    assert next_step(_ended("too busy, try later", retry_after_s=30), "bob") == "try again in 30 s"
    assert "`dexmesh text 'the bobs' \"words\"`" in next_step(_ended("busy"), "the bobs")
    assert next_step(_ended("refused"), "bob") == ""


def test_figures_are_left_out_while_nobody_knows_them() -> None:
    assert describe_sound(FIGURES) == "opus, loss 0.5 %, jitter 3 ms, MOS 4.4 (good)"
    assert describe_sound({**FIGURES, "delay_ms": 41.7}).endswith("delay 42 ms, MOS 4.4 (good)")
    assert describe_sound({"strangers": 0}) == ""


def test_opinions() -> None:
    found = [opinion(mos) for mos in (4.4, 3.7, 3.2, 1.0)]
    assert found == ["good", "fair", "poor", "bad"]
    assert opinion(None) == ""
