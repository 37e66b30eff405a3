"""Name every row of the table: what is measured where, against whom, and what it should reach.

Place     bench/__main__.py asks what to run, hands in the samples, prints the rows
Spec      docs/performance.md (what each row means); the targets are those of the project's plan
Keeps     a row judges medians over the rounds; a target is only judged against what it was set for
Not here  running anything (bench/lab)
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.lab import systems
from bench.lab.course import Layout, Sample

LAYOUTS = {
    "direct": Layout(("a", "b")),
    "relay": Layout(("a", "r", "b")),
    "no-offload": Layout(("a", "b"), offload=False),
}
_STEPS = {"tcp": "tcp", "cpu": "tcp", "udp64": "udp64"}  # first word of a figure -> its step
_GROWTH = "rss_growth_mb"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of `system`, and what it should be: at most or at least `target`.

    The target is a ratio to the original, or with `is_absolute` a value.
    """

    key: str
    title: str
    figure: str
    target: float
    goal: float | None = None
    layout: str = "direct"
    system: str = systems.OURS
    base: str = systems.ORIGINAL
    at_most: bool = False
    is_absolute: bool = False
    digits: int = 0

    @property
    def steps(self) -> set[str]:
        """What has to be measured for it after the start."""
        if self.figure == _GROWTH:
            return {"tcp", "udp64"}
        return {step for word, step in _STEPS.items() if self.figure.split("_")[0] == word}


ROWS = (
    Row("tcp", "TCP direct, Mbit/s", "tcp_mbps", 3, goal=6),
    Row("relay", "TCP through a relay, Mbit/s", "tcp_mbps", 4, goal=9, layout="relay"),
    Row("no-offload", "TCP, links without offload", "tcp_mbps", 2, layout="no-offload"),
    Row("udp64", "UDP 64 B flood, received/s", "udp64_pps", 1.5),
    Row("mixed", "TCP ours to original", "tcp_mbps", 0.95, system=systems.OURS_TO_ORIGINAL),
    Row("mixed", "TCP original to ours", "tcp_mbps", 0.95, system=systems.ORIGINAL_TO_OURS),
    Row("cpu", "CPU s/GB, sender", "cpu_a_s_per_gb", 0.4, at_most=True, digits=2),
    Row("cpu", "CPU s/GB, receiver", "cpu_b_s_per_gb", 0.4, at_most=True, digits=2),
    Row("cpu", "CPU s/GB, relay", "cpu_r_s_per_gb", 0.4, at_most=True, digits=2, layout="relay"),
    Row(
        *("first-reply", "first reply, s (cjdroute)", "first_reply_s", 0.5),
        at_most=True,
        is_absolute=True,
        digits=2,
    ),
    Row(
        *("first-reply", "first reply, s (dexmesh up)", "first_reply_s", 0.5),
        system=systems.DEXMESH_UP,
        at_most=True,
        is_absolute=True,
        digits=2,
    ),
    Row("rss", "RSS idle, MB", "rss_idle_mb", 50, at_most=True, is_absolute=True, digits=1),
    Row("rss", "RSS growth under load, MB", _GROWTH, 8, at_most=True, is_absolute=True, digits=1),
)
KEYS = tuple(dict.fromkeys(row.key for row in ROWS))


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing to run in every round: a system on a line of machines."""

    layout: str
    system: str


@dataclass(frozen=True, slots=True)
class Result:
    """A row with what was measured for it. `ratios` are those of each round."""

    row: Row
    base: str
    values: Sequence[float]
    base_values: Sequence[float]
    ratios: Sequence[float] = field(default=())

    @property
    def value(self) -> float | None:
        """The median over the rounds."""
        return statistics.median(self.values) if self.values else None

    @property
    def base_value(self) -> float | None:
        """The same of the system compared with."""
        return statistics.median(self.base_values) if self.base_values else None

    @property
    def ratio(self) -> float | None:
        """Median to median."""
        if self.value is None or not self.base_value:
            return None
        return self.value / self.base_value

    @property
    def verdict(self) -> str:
        """`met`, `goal` (met, and more), `MISSED`, or why there is none."""
        judged = self.value if self.row.is_absolute else self.ratio
        if judged is None:
            return "not measured"
        if not self.row.is_absolute and self.base == systems.BARE:
            return "no original"
        sign = -1 if self.row.at_most else 1
        if sign * judged < sign * self.row.target:
            return "MISSED"
        is_goal = self.row.goal is not None and sign * judged >= sign * self.row.goal
        return "goal" if is_goal else "met"


def choose(keys: Iterable[str], with_original: bool) -> list[Row]:
    """The rows with these keys; without the original those that need one to run are left out."""
    wanted = set(keys)
    return [row for row in ROWS if row.key in wanted and (with_original or "+" not in row.system)]


def base_of(row: Row, with_original: bool) -> str:
    """What a row is compared with."""
    return row.base if with_original else systems.BARE


def plan(rows: Iterable[Row], with_original: bool) -> dict[Setting, set[str]]:
    """What to run in each round, and the steps to take in each; the original comes first."""
    needed: dict[Setting, set[str]] = {}
    for row in rows:
        for system in (base_of(row, with_original), row.system):
            needed.setdefault(Setting(row.layout, system), set()).update(row.steps)
    return needed


def judge(row: Row, rounds: Sequence[Mapping[Setting, Sample]], with_original: bool) -> Result:
    """Gather what the rounds have for a row."""
    base = base_of(row, with_original)
    values, base_values, ratios = [], [], []
    for samples in rounds:
        value = samples.get(Setting(row.layout, row.system), {}).get(row.figure)
        base_value = samples.get(Setting(row.layout, base), {}).get(row.figure)
        if value is not None:
            values.append(value)
        if base_value is not None:
            base_values.append(base_value)
        if value is not None and base_value:
            ratios.append(value / base_value)
    return Result(row, base, values, base_values, ratios)
