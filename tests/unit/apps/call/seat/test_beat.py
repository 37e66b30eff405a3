"""Beats do not drift, and a machine that slept does not make up for hours."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.seat.beat import MOST_BEHIND, Beat


def test_beats_are_at_absolute_times_however_long_each_takes() -> None:
    beat, now = Beat(0.02, now=100.0), 100.0
    for number in range(1, 180_001):  # an hour
        now = max(now, beat.due_at) + 0.003
        beat.advance(now)
        assert abs(beat.due_at - 100 - 0.02 * number) < 1e-6
    assert beat.skipped == 0


def test_a_beat_that_was_late_is_followed_at_once_by_those_it_delayed() -> None:
    beat = Beat(0.02, now=0.0)
    beat.advance(0.1)
    assert [beat.due_at] == [pytest.approx(0.02)]
    for _ in range(4):
        beat.advance(0.1)
    assert beat.due_at == pytest.approx(0.1)
    assert beat.skipped == 0


def test_a_machine_that_slept_goes_on_with_the_next_beat() -> None:
    beat = Beat(0.02, now=0.0)
    beat.advance(3600.0)
    assert 3600 - 0.02 <= beat.due_at <= 3600.02
    assert beat.skipped == pytest.approx(180_000, abs=2)
    beat.advance(3600.001)
    assert beat.skipped == pytest.approx(180_000, abs=2)


def test_few_beats_are_made_up_for() -> None:
    beat = Beat(0.02, now=0.0)
    beat.advance(0.02 * MOST_BEHIND)
    assert beat.skipped == 0
