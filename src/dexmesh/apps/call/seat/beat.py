"""Keep the 20 ms of a call: beats at absolute times, so that being late once does not add up.

Place     seat.py -> here
Keeps     a machine that slept goes on with the next beat: it does not make up for hours
"""

from __future__ import annotations

from typing import Final

MOST_BEHIND: Final = 10  # beats, ours: fewer are made up for at once


class Beat:
    """Begins at `now`, monotonic seconds."""

    def __init__(self, period_s: float, now: float) -> None:
        self.skipped = 0
        self._period_s = period_s
        self._began_at = now
        self._number = 0

    @property
    def due_at(self) -> float:
        """When the next beat is."""
        return self._began_at + self._number * self._period_s

    def advance(self, now: float) -> float:
        """A beat was played at `now`; how long to wait for the next."""
        self._number += 1
        behind = int((now - self.due_at) / self._period_s)
        if behind > MOST_BEHIND:
            self.skipped += behind
            self._number += behind
        return max(0.0, self.due_at - now)
