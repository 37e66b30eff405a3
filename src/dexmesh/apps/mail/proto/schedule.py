"""Decide when a mail is tried again, when its sender is warned, and when it is given up.

Place     queue/ and delivery.py -> here
Spec      docs/apps/mail.md §4 Queue
Keeps     ages are measured in queue time, which only goes forward: a wall clock that jumps neither
          ends the life of a mail nor makes all of them due at once
Not here  which node is called first (attempts.py)
"""

from __future__ import annotations

from dexmesh.values import dataclass

STEPS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
EVERY_S = 1800.0
SPREAD = 0.2
LIFE_S = 14 * 86400.0
WARN_AFTER_S = 86400.0
AFTER_SIGN_S = (2.0, 5.0, 10.0, 20.0)  # ours: his mail program may start after his node
LONGEST_ABSENCE_S = 7 * 86400.0  # ours: how much of a time switched off is believed


def wait_after(tries: int, chance: float) -> float:
    """Seconds from try number `tries` (the first is 1) to the next; `chance` is in [0, 1)."""
    base = STEPS_S[tries - 1] if 0 < tries <= len(STEPS_S) else EVERY_S
    return base * (1 - SPREAD + 2 * SPREAD * chance)


def is_over(created: float, at: float) -> bool:
    """Whether a mail made at `created` is given up when a try fails `at` (queue time)."""
    return at - created >= LIFE_S


def deserves_warning(created: float, at: float) -> bool:
    """Whether the sender should hear that his mail still waits."""
    return at - created >= WARN_AFTER_S


@dataclass(frozen=True, slots=True)
class QueueClock:
    """Queue time: seconds the queue has lived, asleep and switched off included.

    While the program runs it follows a clock that never jumps (`now`, seconds since boot). Only the
    time switched off is read from the wall clock, and of that at most LONGEST_ABSENCE_S.
    """

    offset_s: float

    @classmethod
    def resume(cls, saved: float, saved_unix: float, *, unix_time: float, now: float) -> QueueClock:
        """Go on from the queue time and the wall clock that were saved last."""
        absence_s = min(max(unix_time - saved_unix, 0.0), LONGEST_ABSENCE_S)
        return cls(saved + absence_s - now)

    def read(self, now: float) -> float:
        """Queue time at `now`."""
        return self.offset_s + now
