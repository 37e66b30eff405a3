"""Links to the original that nobody touches hold for as long as it is asked: idle, pinging, loaded.

caller ----- called    six times over: each kind of traffic, and either kind of node calling

DEXMESH_SOAK_MINUTES says how long (docs/interop.md); unset, this is skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field

import pytest

from tests.interop.mixed import Node, join, make, reaches
from tests.interop.original import needs_original
from tests.netns.conftest import RunningNode, World

MINUTES = float(os.environ.get("DEXMESH_SOAK_MINUTES", "0"))

pytestmark = [
    pytest.mark.interop,
    pytest.mark.soak,
    needs_original,
    pytest.mark.skipif(not MINUTES, reason="DEXMESH_SOAK_MINUTES is unset: 20 is a long time"),
]

LOOK_EVERY_S = 15.0  # the original takes 20 s to call a link unresponsive
LOAD_BITS_PER_S = 10_000_000  # each way
MOST_LOST_OF_PINGS = 0.002
LEAST_OF_LOAD = 0.95


@dataclass(slots=True)
class Pair:
    """A called node, the one that calls it, what goes on between them, and what was noticed."""

    caller: Node
    called: Node
    traffic: str
    process: subprocess.Popen[bytes] | None = None
    noticed: list[str] = field(default_factory=list)
    bytes_in: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.caller.machine.name

    def nodes(self) -> tuple[Node, Node]:
        return self.caller, self.called

    def begin(self, seconds: int) -> None:
        """Start the traffic. It runs a little shorter than the watch."""
        caller, address = self.caller.machine, self.called.address
        if self.traffic == "ping":
            argv = ["ping", "-n", "-i", "1", "-w", str(seconds), address]
            self.process = caller.start(argv, log="traffic.log")
        elif self.traffic == "load":
            self.called.machine.start(["iperf3", "-s", "-1", "-B", address], log="iperf3.log")
            rate = ["-b", str(LOAD_BITS_PER_S), "--bidir", "-t", str(seconds)]
            argv = ["iperf3", "-J", "-i", "10", "-c", address, *rate]
            time.sleep(1)
            self.process = caller.start(argv, log="traffic.log")

    def look(self, at_s: float) -> None:
        """Both ends must call the link established, and it must still be the same link."""
        for node in self.nodes():
            peers = node.peers()
            if [peer["state"] for peer in peers] != ["ESTABLISHED"]:
                self.noticed.append(f"{at_s:.0f} s: {node.machine.name} has {peers}")
                continue
            bytes_in = int(str(peers[0]["bytes_in"]))
            if bytes_in < self.bytes_in.get(node.machine.name, 0):
                self.noticed.append(f"{at_s:.0f} s: {node.machine.name} counts anew")
            self.bytes_in[node.machine.name] = bytes_in

    def link_log(self) -> list[str]:
        """What our node has logged about the link, the first "link is up" left out."""
        ours = next(node for node in self.nodes() if isinstance(node, RunningNode))
        log = ours.machine.log("node.log").splitlines()
        found = [text for text in log if re.search(r"link is (up|down)|peer is gone", text)]
        assert found, "the log does not tell of links"
        return found[1:]

    def lost(self) -> list[int]:
        """Sequence numbers of pings that stayed without answer (the last may be on its way)."""
        log = self.caller.machine.log("traffic.log")
        sent = re.search(r"(\d+) packets transmitted", log)
        assert sent is not None, log
        seen = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", log)}
        return sorted(set(range(1, int(sent.group(1)))) - seen)

    def load(self) -> tuple[float, float, float]:
        """Mbit/s out and in, and the slowest ten seconds in either direction."""
        result = json.loads(self.caller.machine.log("traffic.log"))
        end = result["end"]
        slices = [part[way] for part in result["intervals"] for way in ("sum", "sum_bidir_reverse")]
        whole = [part["bits_per_second"] for part in slices if part["seconds"] > 9]
        return (
            end["sum_received"]["bits_per_second"] / 1e6,
            end["sum_received_bidir_reverse"]["bits_per_second"] / 1e6,
            min(whole, default=0) / 1e6,
        )


@pytest.fixture
def pairs(world: World) -> list[Pair]:
    """All six, linked and quiet."""
    made = []
    for traffic in ("idle", "ping", "load"):
        for caller, called in (("ours", "original"), ("original", "ours")):
            name = f"{traffic[0]}-{caller[:2]}"
            pair = Pair(make(world, name, caller), make(world, f"{name}-d", called), traffic)
            join(world, pair.caller, pair.called)
            made.append(pair)
    for pair in made:
        pair.called.start()
        pair.caller.start()
    for pair in made:
        reaches(pair.caller, pair.called, 30)
    return made


def _watch(pairs: list[Pair], seconds: float) -> None:
    start = time.monotonic()
    while (at_s := time.monotonic() - start) < seconds:
        for pair in pairs:
            pair.look(at_s)
        time.sleep(max(0.0, at_s + LOOK_EVERY_S - (time.monotonic() - start)))


def test_no_link_drops_idle_pinging_or_loaded(pairs: list[Pair]) -> None:
    seconds = MINUTES * 60
    for pair in pairs:
        pair.begin(round(seconds))
    _watch(pairs, seconds + 5)
    for pair in pairs:
        if pair.process is not None:
            pair.process.wait(60)
    for pair in pairs:
        print(pair, pair.traffic, "noticed:", pair.noticed, "log:", pair.link_log())
        if pair.traffic == "ping":
            print("  lost:", pair.lost(), pair.caller.machine.log("traffic.log").splitlines()[-2:])
        if pair.traffic == "load":
            print("  Mbit/s out, in, slowest 10 s: {:.2f} {:.2f} {:.2f}".format(*pair.load()))
        reaches(pair.caller, pair.called, 3)
        reaches(pair.called, pair.caller, 3)
    assert [pair.noticed + pair.link_log() for pair in pairs] == [[]] * len(pairs)
    for pair in pairs:
        if pair.traffic == "ping":
            assert len(pair.lost()) <= MOST_LOST_OF_PINGS * seconds
        if pair.traffic == "load":
            out, back, slowest = pair.load()
            assert min(out, back) * 1e6 >= LEAST_OF_LOAD * LOAD_BITS_PER_S
            assert slowest > 0
