"""The table of the benchmark tells the truth about what was measured, and asks for no more than it needs."""

from __future__ import annotations

import pytest
from bench import table
from bench.lab.course import Sample
from bench.lab.systems import BARE, ORIGINAL, OURS, known_systems
from bench.rows import KEYS, LAYOUTS, ROWS, Row, Setting, choose, judge, plan

TCP = next(row for row in ROWS if row.key == "tcp")
RSS = next(row for row in ROWS if row.figure == "rss_idle_mb")
CPU = next(row for row in ROWS if row.figure == "cpu_a_s_per_gb")


def _round(row: Row, original: float, ours: float) -> dict[Setting, Sample]:
    return {
        Setting(row.layout, ORIGINAL): {row.figure: original},
        Setting(row.layout, OURS): {row.figure: ours},
    }


@pytest.mark.parametrize(
    ("row", "original", "ours", "verdict"),
    [
        (TCP, 100, 299, "MISSED"),
        (TCP, 100, 300, "met"),
        (TCP, 100, 600, "goal"),
        (CPU, 10, 4, "met"),
        (CPU, 10, 4.1, "MISSED"),
        (RSS, 5, 50, "met"),
        (RSS, 5, 50.1, "MISSED"),
    ],
)
def test_a_verdict_says_whether_the_target_is_met(
    row: Row, original: float, ours: float, verdict: str
) -> None:
    assert judge(row, [_round(row, original, ours)], True).verdict == verdict


def test_medians_are_taken_over_the_rounds() -> None:
    rounds = [_round(TCP, 100, 100), _round(TCP, 110, 500), _round(TCP, 120, 900)]
    result = judge(TCP, rounds, True)
    assert result.value == 500
    assert result.ratio == pytest.approx(500 / 110)


def test_a_round_without_a_figure_is_left_out_and_no_round_is_no_verdict() -> None:
    assert judge(TCP, [{}, _round(TCP, 100, 400)], True).verdict == "met"
    assert judge(TCP, [{}], True).verdict == "not measured"
    assert "| not measured |" in table.as_text([judge(TCP, [{}], True)])


def test_without_the_original_its_targets_are_not_judged_but_absolute_ones_are() -> None:
    tcp = {
        Setting("direct", BARE): {"tcp_mbps": 9000.0},
        Setting("direct", OURS): {"tcp_mbps": 9.0},
    }
    assert judge(TCP, [tcp], False).verdict == "no original"
    rss = {Setting("direct", OURS): {"rss_idle_mb": 60.0}}
    assert judge(RSS, [rss], False).verdict == "MISSED"


@pytest.mark.parametrize("with_original", [True, False])
def test_every_row_names_a_layout_and_systems_that_exist(with_original: bool) -> None:
    systems = known_systems("/bin/true" if with_original else None)
    settings = plan(choose(KEYS, with_original), with_original)
    assert {setting.system for setting in settings} == set(systems) - (
        {BARE} if with_original else set()
    )
    assert {setting.layout for setting in settings} == set(LAYOUTS)


def test_one_row_asks_for_its_own_two_set_ups_only() -> None:
    assert plan(choose(["relay"], True), True) == {
        Setting("relay", ORIGINAL): {"tcp"},
        Setting("relay", OURS): {"tcp"},
    }
    assert plan(choose(["first-reply"], True), True)[Setting("direct", OURS)] == set()
