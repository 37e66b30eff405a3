"""Tell about a call as it goes: lines for people, JSON for programs; the screen is a third way.

Place     seat_run.py, phone_seat.py -> here or call_screen.py -> the terminal
Keeps     in JSON one object a line, flushed at once; what others sent cannot steer the terminal
Not here  the words (call_words.py), the picture (call_screen.py)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dexmesh.cli.output import say


@dataclass(slots=True)
class Story:
    """A call as a person sees it. `since`: monotonic seconds of the answer, None before.

    `reach`: what commands take for the other side. Levels are decibels of full scale. `others`: who is on
    hold behind this call.
    """

    name: str
    reach: str
    address: str = ""
    call: int | None = None
    state: str = ""
    since: float | None = None
    is_held_here: bool = False
    is_held_there: bool = False
    is_muted: bool = False
    statistics: Mapping[str, Any] = field(default_factory=dict)
    heard_db: float | None = None
    spoken_db: float | None = None
    recording: Path | None = None
    others: tuple[str, ...] = ()


class Show(Protocol):
    """Where it is told."""

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        """Something happened: the event for programs, the words (or none) for people."""
        ...

    def draw(self, story: Story, now: float) -> None:
        """How the call stands; some times a second."""
        ...

    def rest(self) -> None:
        """The call is over: what was drawn stays, lines follow."""
        ...


class JsonShow:
    """One JSON object a line on standard output."""

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        """Print the event."""
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def draw(self, story: Story, now: float) -> None:
        """The events have it all."""

    def rest(self) -> None:
        """Nothing was drawn."""


class LineShow:
    """A line on standard output for what matters."""

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        """Print the words."""
        for line in words.splitlines():
            say(line)
        sys.stdout.flush()

    def draw(self, story: Story, now: float) -> None:
        """Lines are enough."""

    def rest(self) -> None:
        """Nothing was drawn."""
