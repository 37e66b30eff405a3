"""What a check of `dexmesh doctor` found: one line that says what is wrong and what to do.

Place     apps/names/checks.py, apps/mail/checks.py, cli/doctor_node.py make them -> cli/doctor.py
Keeps     a check that could not look says so; it never says that all is well
"""

from __future__ import annotations

import enum

from dexmesh.values import dataclass


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing is broken
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `name` is fixed, for programs; `todo` is what to do, empty where nothing is."""

    name: str
    level: Level
    what: str
    todo: str = ""


def fine(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, what)


def worth_knowing(name: str, what: str, todo: str = "") -> Finding:
    """Nothing is broken, but somebody may want to know."""
    return Finding(name, Level.NOTE, what, todo)


def wrong(name: str, what: str, todo: str) -> Finding:
    """Something does not work."""
    return Finding(name, Level.WRONG, what, todo)
