"""Describe who uses another program and what its configuration is: for mail programs and phones alike.

Place     cli/setup*.py -> here -> mail/programs, call/programs
Spec      docs/apps/mail.md §3, docs/apps/sip.md §2
Keeps     no name of a user or a person breaks out of the quotes it is written into
Not here  what mail (mail/programs/values.py) and calls (call/programs/values.py) need beside it
"""

from __future__ import annotations

import re

from dexmesh.errors import AppError
from dexmesh.values import dataclass

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,62}")
_UNFIT = re.compile(r'[^\w .,\'+-]|[\x00-\x1f"\\]')


@dataclass(frozen=True, slots=True)
class Person:
    """Who writes and calls: the local user and the name that others shall see."""

    user: str
    full_name: str

    @classmethod
    def named(cls, user: str, full_name: str = "") -> Person:
        """A person whose names can stand in a configuration; AppError for a user that cannot."""
        if not _USER.fullmatch(user):
            raise AppError(f"{user!r} is no user name that an address can carry")
        shown = " ".join(_UNFIT.sub(" ", full_name).split())
        return cls(user, shown or user)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A finished configuration: its usual place, its text, and what its owner must know."""

    program: str
    path: str
    text: str
    notes: tuple[str, ...] = ()


def comment(lines: list[str], mark: str = "#") -> str:
    """The lines as comments of a configuration file."""
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)
