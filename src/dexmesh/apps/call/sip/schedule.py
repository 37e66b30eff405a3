"""Run the timers of all transactions.

Place     transaction.py starts and stops -> here; machine.py says which and how long
Spec      RFC 3261 §17, table 4
Keeps     a timer that was stopped never goes off; memory follows the number of live timers
"""

from __future__ import annotations

import heapq

from dexmesh.apps.call.sip.machine import Timer
from dexmesh.apps.call.sip.outputs import TransactionId
from dexmesh.values import dataclass

_Key = tuple[TransactionId, str]
_SPARE = 64  # ours: stale entries of the heap that are not worth clearing away


@dataclass(frozen=True, slots=True)
class Running:
    """A timer that runs: its entry in the heap, and how long it waits."""

    timer: Timer
    number: int
    wait_s: float


class Schedule:
    """Every running timer, by transaction and name."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Key]] = []
        self._running: dict[_Key, Running] = {}
        self._names: dict[TransactionId, tuple[str, ...]] = {}
        self._number = 0

    def enter(
        self, id_: TransactionId, timers: tuple[Timer, ...], is_tcp: bool, now: float
    ) -> None:
        """Run exactly these timers for a transaction that is in a state."""
        names = tuple(timer.name for timer in timers)
        for name in self._names.get(id_, ()):
            if name not in names:
                self._running.pop((id_, name), None)
        self._names[id_] = names
        for timer in timers:
            wait_s = timer.tcp_s if is_tcp else timer.udp_s
            if wait_s is not None and (timer.restarts or (id_, timer.name) not in self._running):
                self._push(id_, timer, now, wait_s)

    def stop(self, id_: TransactionId) -> None:
        """Run none of its timers any more."""
        for name in self._names.pop(id_, ()):
            self._running.pop((id_, name), None)

    def next_timeout(self) -> tuple[float, str] | None:
        """The earliest deadline and the name of its timer."""
        self._drop_stale()
        if not self._heap:
            return None
        deadline, _, (_, name) = self._heap[0]
        return deadline, name

    def take_due(self, now: float) -> tuple[TransactionId, Timer] | None:
        """The earliest timer that is due; it runs again if it is one that repeats."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        went_off = self._running.pop(key)
        timer = went_off.timer
        if timer.longest_s is not None:
            self._push(key[0], timer, now, min(2 * went_off.wait_s, timer.longest_s))
        return key[0], timer

    def _push(self, id_: TransactionId, timer: Timer, now: float, wait_s: float) -> None:
        key = (id_, timer.name)
        self._number += 1
        self._running[key] = Running(timer, self._number, wait_s)
        heapq.heappush(self._heap, (now + wait_s, self._number, key))

    def _drop_stale(self) -> None:
        """Leave a running timer at the top of the heap."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        if len(self._heap) > _SPARE + 2 * len(self._running):
            self._heap = [entry for entry in self._heap if not self._is_stale(entry)]
            heapq.heapify(self._heap)

    def _is_stale(self, entry: tuple[float, int, _Key]) -> bool:
        running = self._running.get(entry[2])
        return running is None or running.number != entry[1]
