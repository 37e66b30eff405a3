"""Measure the node against the original and print one table of ratios: `make bench`.

Place     `python -m bench` -> bench/rows.py (what to run) -> bench/lab (running) -> bench/table.py
Keeps     rounds are interleaved, each system starts afresh; a missed target is said, and no failure:
          the exit code is 1 only when something could not be measured, 69 when nothing can be
Not here  the rungs of the fallback ladder (bench/ladder.py)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence

from bench import table
from bench.lab.course import REST_S, CourseError, Sample, run_course
from bench.lab.gauges import Quiet
from bench.lab.systems import known_systems
from bench.rows import KEYS, LAYOUTS, Row, Setting, choose, judge, plan
from dexmesh.cli.lab import Lab
from dexmesh.errors import HostError

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 69
_COURSE_S = 5.0  # building, starting and ending, about
_STEP_S = 1.5

_SHOWN = (
    ("first_reply_s", "first reply {:.2f} s"),
    ("tcp_mbps", "TCP {:.0f} Mbit/s"),
    ("tcp_retransmits", "{:.0f} retransmits"),
    ("udp64_pps", "UDP {:.0f}/s"),
)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    options = _options(arguments)
    try:
        _require_everything()
    except HostError as error:
        print(f"cannot measure: {error}\n{error.hint}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    cjdroute = os.environ.get("CJDROUTE") or None
    rows = choose(options.only, cjdroute is not None)
    if not rows:
        print("these rows need the original: set CJDROUTE to its path", file=sys.stderr)
        return EXIT_UNAVAILABLE
    quiet = Quiet(options.quiet)
    rounds = _measure(rows, cjdroute, options, quiet)
    results = [judge(row, rounds, cjdroute is not None) for row in rows]
    if options.json:
        described = [table.as_object(result) for result in results]
        print(json.dumps({"machine": table.machine_line(), "rows": described}, indent=1))
    else:
        print(f"\n{table.as_text(results)}\n\n{_remarks(options, cjdroute, quiet)}")
    is_whole = all(result.value is not None for result in results)
    return 0 if is_whole else EXIT_FAILED


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the node against the original (CJDROUTE=/path/to/cjdroute), or against "
        "the bare link.",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a measurement (5)")
    parser.add_argument("--quick", action="store_true", help="one round of 2 seconds: a first look")
    parser.add_argument(
        "--only", type=_keys, default=KEYS, metavar="ROW,...", help=f"of: {', '.join(KEYS)}"
    )
    parser.add_argument("--quiet", type=float, default=90, help="longest wait for quiet, s in all")
    parser.add_argument("--json", action="store_true", help="print an object instead of a table")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(text.split(","))
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}: know {', '.join(KEYS)}")
    return keys


def _require_everything() -> None:
    """HostError unless machines can be made and the programs are there."""
    for program, package in (("iperf3", "iperf3"), ("ping", "iputils-ping")):
        if shutil.which(program) is None:
            raise HostError(f"{program} is missing", f"apt-get install {package}")
    cjdroute = os.environ.get("CJDROUTE")
    if cjdroute and shutil.which(cjdroute) is None:
        raise HostError("CJDROUTE is no program", "set it to the path of the original's cjdroute")
    with Lab("dexmesh-bench") as lab:
        lab.machine("probe")


def _measure(
    rows: Sequence[Row], cjdroute: str | None, options: argparse.Namespace, quiet: Quiet
) -> list[Mapping[Setting, Sample]]:
    """All rounds; what could not be measured is missing, and was said."""
    courses = plan(rows, cjdroute is not None)
    steps = sum(map(len, courses.values()))
    expected = len(courses) * (_COURSE_S + REST_S) + steps * (options.seconds + _STEP_S)
    _say(
        f"{len(courses)} set-ups in every round, {options.seconds} s a measurement, "
        f"rounds: {options.rounds}. This takes about {options.rounds * expected / 60:.1f} minutes, "
        f"and up to {options.quiet:.0f} s of waiting for a quiet machine"
    )
    if cjdroute is None:
        _say("CJDROUTE is not set: compared with the bare link, mixed pairs are left out")
    systems = known_systems(cjdroute)
    rounds: list[Mapping[Setting, Sample]] = []
    for number in range(1, options.rounds + 1):
        samples: dict[Setting, Sample] = {}
        for setting, wanted in courses.items():
            what = f"round {number}: {setting.layout}, {setting.system}"
            layout, system = LAYOUTS[setting.layout], systems[setting.system]
            try:
                sample = run_course(system, layout, wanted, options.seconds, quiet.wait)
            except CourseError as error:
                _say(f"{what}: not measured: {error}")
                continue
            samples[setting] = sample
            said = [form.format(sample[name]) for name, form in _SHOWN if name in sample]
            _say(f"{what}: {', '.join(said)}")
        rounds.append(samples)
    return rounds


def _remarks(options: argparse.Namespace, cjdroute: str | None, quiet: Quiet) -> str:
    versus = "the original" if cjdroute else "the bare link (CJDROUTE is not set)"
    remarks = [
        f"Ratios to {versus}; rounds: {options.rounds}, {options.seconds} s a measurement; "
        f"{time.strftime('%Y-%m-%d')}, {table.machine_line()}.",
        "Everything shares these cores, so only ratios carry over (docs/performance.md).",
    ]
    if quiet.loud:
        remarks.append(
            f"Others kept the machine busy before {quiet.loud} of {quiet.asked} measurements: "
            "measure again when it is quiet."
        )
    return "\n".join(remarks)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
