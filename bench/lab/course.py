"""Build a line of machines, start one system in it, and measure it.

    a ----- b        or        a ----- r ----- b        a sends, b receives

Place     bench/__main__.py -> here; machines and cables are those of dexmesh/cli/lab.py
Keeps     every system is measured by the same steps, and nothing of it outlives the course
Not here  which figures make a row (bench/rows.py)
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.lab import gauges
from bench.lab.systems import Identity, Link, System, configuration
from dexmesh.cli.lab import Lab, Machine, wait_until
from dexmesh.errors import HostError

START_LIMIT_S = 20.0
REST_S = 0.5  # between the start of one node and the next, as the original needs it
_PING_LIMIT_S = 10

Sample = dict[str, float]


class CourseError(Exception):
    """A step gave no figure; the text says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A line of machines. Without offload every datagram crosses a link alone and whole."""

    machines: tuple[str, ...]
    offload: bool = True


class Course:
    """Machines in a line with one system running. Use as a context manager."""

    def __init__(self, system: System, layout: Layout) -> None:
        self._system = system
        self._lab = Lab("dexmesh-bench")
        self._sample: Sample = {}
        try:
            self._machines = self._build(layout)
        except BaseException:
            self._lab.close()
            raise

    def __enter__(self) -> Course:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lab.close()

    # --- Build ------------------------------------------------------------------------------------

    def _build(self, layout: Layout) -> list[Machine]:
        bare = not self._system.commands
        names = (layout.machines[0], layout.machines[-1]) if bare else layout.machines
        machines = [self._lab.machine(name) for name in names]
        nodes = [Identity.make() for _ in machines]
        links: list[list[Link]] = [[] for _ in machines]
        for number in range(len(machines) - 1):
            left, right = machines[number : number + 2]
            left_host, right_host = self._lab.cable(left, right)
            if not layout.offload:
                _forbid_segmentation(left, f"to-{right.name}")
                _forbid_segmentation(right, f"to-{left.name}")
            links[number].append(Link(left_host))
            links[number + 1].append(Link(right_host, left_host, nodes[number]))
        self._addresses = [link[-1].own_host for link in links] if bare else []
        for machine, node, at in zip(machines, nodes, links, strict=True):
            if not bare:
                self._addresses.append(node.address)
                text = configuration(node, at, machine.folder / "pipe.sock")
                (machine.folder / "cjdroute.conf").write_text(text)
        return machines

    # --- Start ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the nodes in order; the clock of the first reply runs from the start of the last."""
        begun = time.monotonic()
        for number in range(len(self._machines)):
            if number and self._system.commands:
                self._wait_for_address(number - 1)
                time.sleep(REST_S)
            begun = time.monotonic()
            self._start_node(number)
        self._wait_for_reply()
        self._sample["first_reply_s"] = time.monotonic() - begun

    def _start_node(self, number: int) -> None:
        if not self._system.commands:
            return
        machine = self._machines[number]
        conf = machine.folder / "cjdroute.conf"
        with conf.open("rb") as stdin:
            argv = self._system.command(number, conf)
            machine.start(argv, log="node.log", stdin=stdin, env=self._system.environment)

    def _wait_for_address(self, number: int) -> None:
        machine, address = self._machines[number], self._addresses[number]
        wait_until(
            lambda: address in machine.run(["ip", "-6", "addr"]).stdout,
            START_LIMIT_S,
            f"{self._system.name} on {machine.name} to start: {machine.log('node.log')[-300:]}",
        )

    def _wait_for_reply(self) -> None:
        """Return at the first answer to a ping from a to b; pings go out every 20 ms."""
        ping = ["ping", "-n", "-i", "0.02", "-w", str(_PING_LIMIT_S), self._addresses[-1]]
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            process = subprocess.Popen(
                self._machines[0].command(ping),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            with process:
                try:
                    if any("bytes from" in line for line in process.stdout or ()):
                        return
                finally:
                    process.kill()
            time.sleep(0.01)
        raise CourseError(f"no reply from b in {START_LIMIT_S:g} s")

    # --- Measure ----------------------------------------------------------------------------------

    def measure(self, steps: set[str], seconds: int, wait: Callable[[], None]) -> Sample:
        """Take the steps, `tcp` and `udp64`, each after a wait for quiet; all figures by name."""
        wait()
        self.start()
        time.sleep(1.0)
        self._daemons = {
            machine.name: gauges.programs_in_network_of(machine.pid) for machine in self._machines
        }
        for name, pids in self._daemons.items():
            self._sample[f"rss_idle_{name}_mb"] = gauges.memory_mb(pids)
            gauges.forget_peak(pids)
        if steps:
            self._machines[-1].start(["iperf3", "-s", "--forceflush"], log="iperf.log")
            wait_until(
                lambda: "listening" in self._machines[-1].log("iperf.log"), 5, "iperf3 to listen"
            )
        if "tcp" in steps:
            wait()
            self._measure_tcp(seconds)
        if "udp64" in steps:
            wait()
            self._measure_udp64(seconds)
        self._note_memory()
        return self._sample

    def _measure_tcp(self, seconds: int) -> None:
        before = {name: gauges.cpu_seconds(pids) for name, pids in self._daemons.items()}
        ends = self._iperf(seconds)
        received = ends["sum_received"]
        gigabytes = received["bytes"] / 1e9
        if not gigabytes:
            raise CourseError("iperf3: nothing was received")
        for name, pids in self._daemons.items():
            used = gauges.cpu_seconds(pids) - before[name]
            self._sample[f"cpu_{name}_s_per_gb"] = used / gigabytes
        self._sample["tcp_mbps"] = received["bits_per_second"] / 1e6
        self._sample["tcp_retransmits"] = ends["sum_sent"]["retransmits"]

    def _measure_udp64(self, seconds: int) -> None:
        ends = self._iperf(seconds, "-u", "-l", "64", "-b", "0")["sum"]
        self._sample["udp64_pps"] = (ends["packets"] - ends["lost_packets"]) / ends["seconds"]
        self._sample["udp64_sent_pps"] = ends["packets"] / ends["seconds"]

    def _note_memory(self) -> None:
        idle = [self._sample[f"rss_idle_{name}_mb"] for name in self._daemons]
        peak = [gauges.peak_memory_mb(pids) for pids in self._daemons.values()]
        self._sample["rss_idle_mb"] = max(idle)
        self._sample["rss_growth_mb"] = max(
            high - low for high, low in zip(peak, idle, strict=True)
        )

    def _iperf(self, seconds: int, *options: str) -> dict[str, dict[str, float]]:
        argv = ["iperf3", "-c", self._addresses[-1], "-J", "--connect-timeout", "3000"]
        argv += ["-t", str(seconds), *options]
        try:
            done = self._machines[0].run(argv, check=False, timeout_s=seconds + 40)
            report = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise CourseError(f"iperf3 gave no report: {error}") from error
        if "error" in report:
            raise CourseError(f"iperf3: {report['error']}")
        ends: dict[str, dict[str, float]] = report["end"]
        return ends


def _forbid_segmentation(machine: Machine, device: str) -> None:
    """Let one end of a cable refuse segments that are still to be cut."""
    machine.run(["ip", "link", "set", device, "gso_max_segs", "1"])


def run_course(
    system: System, layout: Layout, steps: set[str], seconds: int, wait: Callable[[], None]
) -> Sample:
    """Build, start, measure, end. Raises CourseError when there are no figures."""
    try:
        with Course(system, layout) as course:
            return course.measure(steps, seconds, wait)
    except HostError as error:
        raise CourseError(str(error)) from error
    except OSError as error:
        raise CourseError(f"a program ended during the measurement: {error}") from error
