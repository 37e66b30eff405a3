"""Ask whether every node of a small network reaches every other, all pairs at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from dexmesh.cli.lab import Machine

Pair = tuple[str, str]


class Reachable(Protocol):
    """A node of ours or of the original."""

    machine: Machine
    address: str


def reach_all(nodes: Sequence[Reachable], limit_s: float) -> list[Pair]:
    """Ping until every pair has had an answer, or the time is over; the pairs that never had."""
    names = [node.machine.name for node in nodes]
    waiting = {(one, other) for one in names for other in names if one != other}
    deadline = time.monotonic() + limit_s

    def ask(node: Reachable) -> set[Pair]:
        found = set()
        for other in nodes:
            pair = (node.machine.name, other.machine.name)
            argv = ["ping", "-c", "1", "-W", "2", other.address]
            if pair in waiting and node.machine.run(argv, check=False).returncode == 0:
                found.add(pair)
        return found

    while waiting and time.monotonic() < deadline:
        with ThreadPoolExecutor(len(nodes)) as pool:
            waiting -= set().union(*pool.map(ask, nodes))
    return sorted(waiting)


def parent_of(number: int, shape: str) -> int:
    """The node that node `number` (2 ...) calls, in a line or in a binary tree."""
    return number // 2 if shape == "tree" else number - 1
