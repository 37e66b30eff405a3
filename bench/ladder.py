"""Compare the rungs of the fallback ladder, and the original, by one TCP stream.

    python -m bench.ladder [--rounds 3] [--seconds 5] [--relay] [--only NAME ...]

Place     by hand, after a change to rust/hostio or the kernels of rust/engine
Spec      docs/performance.md, "The ladder"
Not here  targets (bench/rows.py)
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence

from bench.lab import systems
from bench.lab.course import CourseError, Sample, run_course
from bench.lab.gauges import Quiet
from bench.lab.systems import System
from bench.rows import LAYOUTS

_TUN_OFF = {"DEXMESH_TUN_OFFLOAD": "off"}
_UDP_OFF = {"DEXMESH_UDP_GSO": "0", "DEXMESH_UDP_GRO": "0"}
RUNGS = {
    "all offloads": {},
    "TUN without USO": {"DEXMESH_TUN_OFFLOAD": "tso"},
    "plain TUN": _TUN_OFF,
    "no UDP offload": _UDP_OFF,
    "no offload at all": {**_TUN_OFF, **_UDP_OFF},
    "portable crypto": {"DEXMESH_CRYPTO": "portable"},
}


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.ladder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--relay", action="store_true", help="measure through a third machine")
    parser.add_argument("--only", nargs="+", choices=RUNGS, default=list(RUNGS))
    options = parser.parse_args(arguments)
    layout = LAYOUTS["relay" if options.relay else "direct"]
    quiet = Quiet(60)
    results: dict[str, list[Sample]] = {}
    for number in range(1, options.rounds + 1):
        for system in _systems(options.only):
            try:
                sample = run_course(system, layout, {"tcp"}, options.seconds, quiet.wait)
            except CourseError as error:
                print(f"{system.name}: not measured: {error}", file=sys.stderr)
                return 1
            results.setdefault(system.name, []).append(sample)
            print(f"round {number}: {system.name}: {sample['tcp_mbps']:.0f} Mbit/s", flush=True)
    print(_table(results, layout.machines))
    return 0


def _systems(rungs: Sequence[str]) -> list[System]:
    """The base of the ratios first."""
    known = systems.known_systems(os.environ.get("CJDROUTE") or None)
    base = known.get(systems.ORIGINAL, known[systems.BARE])
    ours = known[systems.OURS].commands
    return [base, *(System(rung, ours, RUNGS[rung]) for rung in rungs)]


def _table(results: dict[str, list[Sample]], machines: Sequence[str]) -> str:
    lines = ["| system | TCP, Mbit/s | ratio | CPU s/GB by machine |", "|---|---|---|---|"]
    base = _median(next(iter(results.values())), "tcp_mbps")
    for name, samples in results.items():
        megabits = _median(samples, "tcp_mbps")
        cpu = "  ".join(
            f"{machine} {_median(samples, f'cpu_{machine}_s_per_gb'):.2f}"
            for machine in machines
            if f"cpu_{machine}_s_per_gb" in samples[0]
        )
        lines.append(f"| {name} | {megabits:.0f} | {megabits / base:.2f} | {cpu} |")
    return "\n".join(lines)


def _median(samples: Sequence[Sample], figure: str) -> float:
    return statistics.median(sample[figure] for sample in samples)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
