"""Print results: one table for people, one object for programs.

Place     bench/__main__.py -> here
Keeps     a figure that is missing is shown as missing, never as a guess
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.lab import systems
from bench.rows import Result

_TITLES = ("row", "figure (median)", "", "ours", "ratio", "in each round", "target", "verdict")
_BASE_COLUMN = 2


def as_text(results: Sequence[Result]) -> str:
    """A Markdown table, aligned."""
    base = results[0].base if results else systems.ORIGINAL
    titles = [base if number == _BASE_COLUMN else title for number, title in enumerate(_TITLES)]
    lines = [titles, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def _cells(result: Result) -> list[str]:
    row, digits = result.row, result.row.digits
    judged, unit = (result.values, "") if row.is_absolute else (result.ratios, "x")
    spread = f"{min(judged):.2f} to {max(judged):.2f}" if judged else "-"
    has_ratio = result.ratio is not None and not row.is_absolute
    goal = "" if row.goal is None else f", goal {row.goal:g}{unit}"
    return [
        row.key,
        row.title,
        "-" if result.base_value is None else f"{result.base_value:.{digits}f}",
        "-" if result.value is None else f"{result.value:.{digits}f}",
        f"{result.ratio:.2f}" if has_ratio else "-",
        spread,
        f"{'<=' if row.at_most else '>='} {row.target:g}{unit}{goal}",
        result.verdict,
    ]


def as_object(result: Result) -> dict[str, object]:
    """The same for programs; values are per round, in order."""
    row = result.row
    return {
        "row": row.key,
        "title": row.title,
        "layout": row.layout,
        "system": row.system,
        "base": result.base,
        "figure": row.figure,
        "value": result.value,
        "base_value": result.base_value,
        "ratio": result.ratio,
        "values": list(result.values),
        "base_values": list(result.base_values),
        "target": row.target,
        "goal": row.goal,
        "at_most": row.at_most,
        "absolute": row.is_absolute,
        "verdict": result.verdict,
    }


def machine_line() -> str:
    """What the figures were measured on."""
    models: dict[str, int] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            models[model] = models.get(model, 0) + 1
    kernel = Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()
    cores = ", ".join(f"{count} x {model}" for model, count in models.items()) or "unknown cores"
    return f"{cores}; Linux {kernel}"
