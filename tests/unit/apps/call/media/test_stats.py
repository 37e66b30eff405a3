"""The estimate of what listeners would say, against figures of the E-model."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from dexmesh.apps.call.media.stats import CallStatistics, mean_opinion, percent


def test_a_call_without_fault_has_the_default_rating() -> None:
    """G.107: R = 93.2 is MOS 4.41."""
    assert mean_opinion(0, 0) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(
    ("loss_percent", "delay_ms", "opinion"),
    [
        (0, 150, 4.33),  # R = 89.6
        (0, 400, 3.05),  # R = 59.1
        (2, 0, 4.23),  # R = 86.2
        (5, 100, 3.82),  # R = 75.0
        (20, 150, 2.44),  # R = 47.5
    ],
)
def test_delay_and_loss_take_their_share(
    loss_percent: float, delay_ms: float, opinion: float
) -> None:
    assert mean_opinion(loss_percent, delay_ms) == pytest.approx(opinion, abs=0.005)


def test_worse_is_never_better_and_stays_in_bounds() -> None:
    values = [mean_opinion(loss, delay) for delay in (0, 500, 5000) for loss in range(101)]
    assert all(1 <= value <= 4.5 for value in values)
    assert all(one >= other for one, other in pairwise(values[:101]))


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
