"""A million hostile datagrams at a node that carries traffic: it stays up and small, the traffic flows.

b ----- a ----- x      a and b are nodes; x has but a cable to a, and sends from forged addresses, too.
                       Another attacker is a program in a, at the admin port.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import Machine, wait_until
from tests.netns.conftest import PORT, RunningNode, World

pytestmark = pytest.mark.netns

PROGRAM = str(Path(__file__).with_name("hostile.py"))
ADMIN_PORT = 11234
LINK_DATAGRAMS, ADMIN_DATAGRAMS = 750_000, 250_000
FLOODERS = 3  # at the link port: own addresses, the peer's address, anybody's
STREAM_PORT, STREAM_RATE = 7000, 250  # 1000 bytes each: 2 Mbit/s, far below what a node carries
CALM_S = 4.0
LIMIT_S = 120.0
MOST_GROWTH_KB = 8 * 1024
LEAST_FLOW, LEAST_CALM_FLOW = 0.9, 0.97
RECORDED = 400
GRACE_S = 0.5  # what is on its way still counts
NODE_NICE = -10


@dataclass(frozen=True, slots=True)
class Stream:
    """A paced stream over the mesh; both ends write down what they saw."""

    sent: Path
    received: Path

    @classmethod
    def start(cls, sender: RunningNode, receiver: RunningNode) -> Stream:
        """It ends by itself."""
        to = receiver.address
        received = receiver.machine.folder / "received"
        run(receiver.machine, "receive", to, STREAM_PORT, received, LIMIT_S, log="receive.log")
        run(sender.machine, "send", to, STREAM_PORT, STREAM_RATE, LIMIT_S, log="sent")
        return cls(sender.machine.folder / "sent", received)

    def flow(self, start: float, end: float) -> float:
        """The part that arrived of what should have been sent in this time."""
        stamps = {
            stamp for stamp in self.received.read_text().split() if start <= float(stamp) < end
        }
        return len(stamps) / (STREAM_RATE * (end - start))


def run(machine: Machine, *arguments: object, log: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, PROGRAM, *(str(argument) for argument in arguments)]
    return machine.start(argv, log=log)


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def pid_of(node: RunningNode) -> int:
    """The process of the node as the host sees it."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().split(b"\0")
        if b"up" in words and str(node.config).encode() in words and b"nsenter" not in words[0]:
            return int(entry.parent.name)
    raise AssertionError("the node's process is not there")


def give_processor(pid: int) -> None:
    """An attacker has a processor of his own: what the nodes need of this one is not his to take."""
    with contextlib.suppress(OSError):  # in a user namespace it stays as it is
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), NODE_NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NODE_NICE), encoding="ascii")


def status_of(node: RunningNode) -> dict[str, Any]:
    """What `dexmesh status --json` says."""
    said: dict[str, Any] = json.loads(node.dexmesh("status", "--json"))
    return said


def test_a_million_hostile_datagrams_do_no_harm(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(b, a)  # b calls: its hello is a valid credential for whoever records it
    attacker = world.lab.machine("x")
    target, _ = world.lab.cable(a.machine, attacker)
    for device in ("all", "to-x"):  # forged sources have no way back
        a.machine.run(["sysctl", "-qw", f"net.ipv4.conf.{device}.rp_filter=0"])
    recorded = a.machine.folder / "recorded"
    run(a.machine, "record", recorded, PORT, RECORDED, log="record.log")
    b.start()
    a.start()
    wait_until(lambda: a.reaches(b), 10, "b to answer")
    streams = [Stream.start(a, b), Stream.start(b, a)]
    wait_until(
        lambda: recorded.exists() and recorded.read_text().count("\n") == RECORDED,
        20,
        "enough recorded datagrams",
    )
    for node in (a, b):
        give_processor(pid_of(node))
    pid, drops = pid_of(a), sum(status_of(a)["drops"].values())
    before_kb = resident_kb(pid)

    time.sleep(CALM_S)
    start = time.monotonic()
    calm = [stream.flow(start - CALM_S, start - GRACE_S) for stream in streams]
    for flooder in begin_flood(a.machine, attacker, recorded, target):
        assert flooder.wait(LIMIT_S) == 0
    end = time.monotonic()
    time.sleep(GRACE_S)
    flood = [stream.flow(start, end) for stream in streams]
    grown_kb = resident_kb(pid) - before_kb
    status = status_of(a)
    dropped = sum(status["drops"].values()) - drops
    print(f"{end - start:.1f} s, flow {calm} then {flood}, {grown_kb} kB more, {dropped} drops")

    assert pid_of(a) == pid
    assert grown_kb <= MOST_GROWTH_KB
    assert [peer["endpoint"] for peer in a.peers()] == [f"10.99.1.1:{PORT}"]
    assert status["sessions"] == 1
    assert {"link_unknown_endpoint", "crypto_open_failed", "crypto_replay"} <= set(status["drops"])
    assert "admin: not a request" in status["drops"]
    assert dropped > LINK_DATAGRAMS / 4
    for before, during in zip(calm, flood, strict=True):
        assert before > LEAST_CALM_FLOW
        assert during >= LEAST_FLOW * before
    wait_until(lambda: a.reaches(b) and b.reaches(a), 5, "an answer over the mesh")


def begin_flood(
    a: Machine, attacker: Machine, recorded: Path, target: str
) -> list[subprocess.Popen[bytes]]:
    """All attackers at once."""
    share = LINK_DATAGRAMS // FLOODERS
    forged = [f"10.99.1.1:{PORT}"], [f"203.0.113.{n}:{n}" for n in range(1, 250)]
    at_link = [
        run(attacker, "flood", recorded, target, PORT, share, seed, *sources, log=f"flood{seed}")
        for seed, sources in enumerate(([], *forged))
    ]
    admin = ("127.0.0.1", ADMIN_PORT, ADMIN_DATAGRAMS, FLOODERS)
    return [*at_link, run(a, "flood", recorded, *admin, log="flood-admin")]
