"""Read what the kernel knows: CPU time and memory of a machine's programs, and whether others are busy.

Place     lab/course.py and bench/__main__.py read
Spec      proc(5); namespaces(7)
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

QUIET_SHARE = 0.08  # the machine counts as quiet when less than this share of it is busy
_LOOK_S = 0.5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_RESET_PEAK = "5"


def programs_in_network_of(pid: int) -> list[int]:
    """Every process in the network namespace of `pid`, except `pid` itself."""
    network = os.readlink(f"/proc/{pid}/ns/net")
    return [
        number
        for number in map(int, filter(str.isdigit, os.listdir("/proc")))
        if number != pid and _network(number) == network
    ]


def _network(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def memory_mb(pids: Iterable[int]) -> float:
    """Resident memory, MiB."""
    return sum(_status_kb(pid, "VmRSS") for pid in pids) / 1024


def forget_peak(pids: Iterable[int]) -> None:
    """From now on `peak_memory_mb` is counted anew."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def peak_memory_mb(pids: Iterable[int]) -> float:
    """The most resident memory since `forget_peak`, MiB."""
    return sum(_status_kb(pid, "VmHWM") for pid in pids) / 1024


def _status_kb(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


class Quiet:
    """Waits for the machine to be quiet, but never longer in all than it was given."""

    def __init__(self, budget_s: float) -> None:
        self._left_s = budget_s
        self.loud = 0  # how often it was not
        self.asked = 0

    def wait(self) -> None:
        """Return when less than 8 % of the machine is busy, or the patience is used up."""
        start = time.monotonic()
        share = _busy_share()
        while share >= QUIET_SHARE and time.monotonic() - start < self._left_s:
            share = _busy_share()
        if share >= QUIET_SHARE:
            self.loud += 1
        self.asked += 1
        self._left_s -= max(0.0, time.monotonic() - start - _LOOK_S)


def _busy_share() -> float:
    before, start = _busy_seconds(), time.monotonic()
    time.sleep(_LOOK_S)
    spent = (_busy_seconds() - before) / (time.monotonic() - start)
    return spent / (os.cpu_count() or 1)


def _busy_seconds() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks[:8]) - idle) / _TICKS_PER_S
