"""The estimate of what listeners would say, against figures of the E-model."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from dexmesh.apps.call.media.formats import SOUND_FORMATS
from dexmesh.apps.call.media.stats import CallStatistics, mean_opinion, percent


@pytest.mark.parametrize(("codec", "opinion"), [("PCMA", 4.41), ("G722", 4.5), ("opus", 4.5)])
def test_a_call_without_fault_has_the_rating_of_its_codec(codec: str, opinion: float) -> None:
    """G.107: R = 93.2 is MOS 4.41; the wider bands begin beyond R = 100."""
    assert mean_opinion(codec, 0, 0) == pytest.approx(opinion, abs=0.005)


@pytest.mark.parametrize(
    ("codec", "loss_percent", "delay_ms", "opinion"),
    [
        ("PCMU", 0, 150, 4.33),  # R = 89.6
        ("PCMU", 0, 400, 3.05),  # R = 59.1
        ("PCMU", 2, 0, 4.23),  # R = 86.2
        ("PCMA", 5, 100, 3.82),  # R = 75.0
        ("PCMU", 20, 150, 2.44),  # R = 47.5
        ("opus", 0, 400, 4.42),  # R = 93.7
        ("opus", 5, 100, 4.37),  # R = 91.1
        ("opus", 20, 150, 2.72),  # R = 52.8
        ("G722", 5, 100, 3.64),  # R = 70.9
        ("G722", 20, 150, 2.35),  # R = 45.7
    ],
)
def test_delay_and_loss_take_their_share(
    codec: str, loss_percent: float, delay_ms: float, opinion: float
) -> None:
    assert mean_opinion(codec, loss_percent, delay_ms) == pytest.approx(opinion, abs=0.005)


@pytest.mark.parametrize("codec", [*(one.name for one in SOUND_FORMATS), "speex"])
def test_worse_is_never_better_and_stays_in_bounds(codec: str) -> None:
    values = [mean_opinion(codec, loss, delay) for delay in (0, 500, 5000) for loss in range(101)]
    assert all(1 <= value <= 4.5 for value in values)
    assert all(one >= other for one, other in pairwise(values[:101]))


def test_a_codec_that_nobody_knows_counts_as_a_telephone() -> None:
    assert mean_opinion("speex", 3, 80) == mean_opinion("PCMU", 3, 80)


@pytest.mark.parametrize(("part", "whole", "expected"), [(1, 4, 25.0), (0, 0, 0.0), (1, -1, 0.0)])
def test_percent(part: int, whole: int, expected: float) -> None:
    assert percent(part, whole) == expected


def test_statistics_are_an_object_of_json() -> None:
    statistics = CallStatistics(
        duration_s=1.23456,
        codec="PCMU",
        sent=1,
        received=2,
        lost=3,
        too_late=4,
        concealed=5,
        loss_percent=0.1,
        recent_loss_percent=0.2,
        jitter_ms=0.3,
        buffer_ms=0.4,
        round_trip_ms=None,
        delay_ms=None,
        remote_loss_percent=None,
        remote_jitter_ms=None,
        mos=4.4,
        silent_s=0.0,
        drops={"late": 1},
    )
    found = json.loads(json.dumps(statistics.as_dict()))
    assert found["duration_s"] == 1.23
    assert found["codec"] == "PCMU"
    assert found["delay_ms"] is None
    assert found["drops"] == {"late": 1}
