"""Compare rungs of the fallback ladder, and the original, by one TCP stream between two machines.

    a ----- b        or, with --relay,        a ----- r ----- b

Each system is started afresh in machines made for it, rounds are interleaved, figures are medians.
All of it shares this machine's cores, so only the ratios carry over to other machines.

    python -m bench [--rounds 3] [--seconds 5] [--relay] [--only NAME ...]

With CJDROUTE=/path/to/cjdroute the original takes part, and ratios are to it; without, they are to
the bare cable.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.netns.conftest import RunningNode, World

from dexmesh.cli.lab import Lab, wait_until
from dexmesh.errors import HostError

START_LIMIT_S = 30.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BARE = "bare cable"
ORIGINAL = "original"
OURS = "dexmesh"


@dataclass(frozen=True, slots=True)
class System:
    """Something that carries TCP from a to b."""

    name: str
    program: str  # "", "dexmesh" or the path of a cjdroute
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement. CPU is that of all daemons of a machine, per 10^9 bytes received."""

    megabits: float
    retransmits: int
    cpu_seconds_per_gigabyte: dict[str, float]


LADDER = (
    System(OURS, "dexmesh"),
    System("TUN without USO", "dexmesh", {"DEXMESH_TUN_OFFLOAD": "tso"}),
    System("plain TUN", "dexmesh", {"DEXMESH_TUN_OFFLOAD": "off"}),
    System("no UDP offload", "dexmesh", {"DEXMESH_UDP_GSO": "0", "DEXMESH_UDP_GRO": "0"}),
    System(
        "no offload at all",
        "dexmesh",
        {"DEXMESH_TUN_OFFLOAD": "off", "DEXMESH_UDP_GSO": "0", "DEXMESH_UDP_GRO": "0"},
    ),
    System("portable crypto", "dexmesh", {"DEXMESH_CRYPTO": "portable"}),
)


class Course:
    """Machines in a line with one system running; closing it ends everything."""

    def __init__(self, system: System, names: Sequence[str]) -> None:
        self._system = system
        self._lab = Lab("dexmesh-bench")
        self._daemons: dict[str, int] = {}
        try:
            self._build(names)
        except BaseException:
            self._lab.close()
            raise

    def __enter__(self) -> Course:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lab.close()

    def _build(self, names: Sequence[str]) -> None:
        if not self._system.program:
            self.first, self.last = (self._lab.machine(name) for name in (names[0], names[-1]))
            _, self._target = self._lab.cable(self.first, self.last)
            return
        world = World(self._lab)
        nodes = [world.node(name) for name in names]
        for caller, called in zip(nodes[1:], nodes, strict=False):
            world.join(caller, called)
        for node in nodes:
            self._start(node)
        self.first, self.last = nodes[0].machine, nodes[-1].machine
        self._target = nodes[-1].address
        wait_until(
            lambda: nodes[0].reaches(nodes[-1]), START_LIMIT_S, f"{self._system.name} to reach b"
        )

    def _start(self, node: RunningNode) -> None:
        if self._system.program == "dexmesh":
            argv = [sys.executable, "-m", "dexmesh", "up", "--config", str(node.config)]
        else:
            # The original puts a socket into /tmp, which all machines share.
            script = f"mount -t tmpfs tmpfs /tmp && exec {self._system.program} --nobg <&3"
            argv = ["sh", "-c", f"exec 3<{node.config}; exec unshare -m sh -c '{script}'"]
        process = node.machine.start(argv, log="node.log", env=self._system.environment)
        self._daemons[node.machine.name] = process.pid

    def measure(self, seconds: int) -> Figures:
        """One TCP stream from the first to the last machine."""
        self.last.start(["iperf3", "-s", "-1", "--forceflush"], log="iperf.log")
        wait_until(lambda: "listening" in self.last.log("iperf.log"), 5, "iperf3 to listen")
        before = {name: _cpu_seconds(pid) for name, pid in self._daemons.items()}
        argv = ["iperf3", "-c", self._target, "-t", str(seconds), "-O", "1", "-J"]
        done = self.first.run(argv, timeout_s=seconds + 30)
        after = {name: _cpu_seconds(pid) for name, pid in self._daemons.items()}
        ends = json.loads(done.stdout)["end"]
        gigabytes = ends["sum_received"]["bytes"] / 1e9
        # The first second is not in the figure, but its CPU time is.
        share = seconds / (seconds + 1)
        cpu = {name: (after[name] - before[name]) * share / gigabytes for name in before}
        megabits = ends["sum_received"]["bits_per_second"] / 1e6
        return Figures(megabits, int(ends["sum_sent"]["retransmits"]), cpu)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and of everything it started."""
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
        waiting.extend(map(int, children))
    return total / TICKS_PER_S


def table(results: dict[str, list[Figures]], base: str) -> str:
    """Medians, and ratios to `base`, as a Markdown table."""
    rows = [
        "| system | TCP, Mbit/s | ratio | retransmits | CPU s/GB by machine |",
        "|---|---|---|---|---|",
    ]
    reference = statistics.median(figures.megabits for figures in results[base])
    for name, runs in results.items():
        megabits = statistics.median(figures.megabits for figures in runs)
        retransmits = statistics.median(figures.retransmits for figures in runs)
        cpu = "  ".join(
            f"{machine} {statistics.median(run.cpu_seconds_per_gigabyte[machine] for run in runs):.2f}"
            for machine in runs[0].cpu_seconds_per_gigabyte
        )
        rows.append(
            f"| {name} | {megabits:.0f} | {megabits / reference:.2f} | {retransmits:.0f} | {cpu} |"
        )
    return "\n".join(rows)


def systems(only: Sequence[str] | None) -> list[System]:
    """What takes part, the base of the ratios first."""
    cjdroute = os.environ.get("CJDROUTE")
    base = System(ORIGINAL, cjdroute) if cjdroute else System(BARE, "")
    return [base, *(system for system in LADDER if only is None or system.name in only)]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 69 where something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--relay", action="store_true", help="measure through a third machine")
    parser.add_argument("--only", nargs="+", choices=[system.name for system in LADDER])
    options = parser.parse_args(arguments)
    if shutil.which("iperf3") is None:
        print(
            "skipped: iperf3 is missing; install it with: apt-get install iperf3", file=sys.stderr
        )
        return 69
    taking_part = systems(options.only)
    names = ("a", "r", "b") if options.relay else ("a", "b")
    results: dict[str, list[Figures]] = {system.name: [] for system in taking_part}
    try:
        for number in range(1, options.rounds + 1):
            for system in taking_part:
                with Course(system, names) as course:
                    figures = course.measure(options.seconds)
                results[system.name].append(figures)
                print(f"round {number}: {system.name}: {figures.megabits:.0f} Mbit/s", flush=True)
    except HostError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 69
    print(table(results, taking_part[0].name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
