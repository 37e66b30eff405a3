"""Hold the calls of a phone by their numbers.

Place     core.py (commands, time), frontdesk.py (busy? room?) -> here
Spec      ours
Keeps     no number is used twice; whoever adds a call asks first whether there is room (MAX_CALLS)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dexmesh.apps.call.phone.call import Call
from dexmesh.apps.call.phone.values import CallId

MAX_CALLS: Final = 200  # ours: of all kinds, those that linger included


class Calls:
    """One per phone."""

    def __init__(self) -> None:
        self._calls: dict[CallId, Call] = {}
        self._last = 0

    def all(self) -> Iterable[Call]:
        """Every call, those that linger included."""
        return self._calls.values()

    def get(self, id_: CallId) -> Call | None:
        """The call of that number."""
        return self._calls.get(id_)

    def new_id(self) -> CallId:
        """A number for the next call."""
        self._last += 1
        return CallId(self._last)

    def add(self, call: Call, now: float) -> None:
        """Take in a new call, and let it begin."""
        self._calls[call.id] = call
        call.begin(now)

    def forget(self, call: Call) -> None:
        """It is over."""
        self._calls.pop(call.id, None)

    def __len__(self) -> int:
        return len(self._calls)
