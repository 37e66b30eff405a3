"""Read the arguments of control calls, and who calls.

Place     the calls of mail and phone -> here <- what base/control.py took from a client
Spec      ours: base/control.py
Keeps     arguments are checked, not believed
Not here  the calls (mail/control_calls.py, call/control_calls.py)
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from dexmesh.apps.base.control import Caller
from dexmesh.errors import AppError

MAX_WORD_CHARS = 2000  # ours: of one argument that is no text

Arguments: TypeAlias = dict[str, Any]


def is_trusted(caller: Caller) -> bool:
    """Whether the caller may look at what is everybody's."""
    return caller.uid in (0, os.geteuid())


def require_user(caller: Caller) -> str:
    """The user the caller acts for. Raises AppError if there is none."""
    if not caller.user:
        raise AppError(
            "nobody has a mailbox or a phone here yet",
            "`dexmesh mail user add NAME` adds somebody, for mail and phone",
        )
    return caller.user


def text_of(arguments: Arguments, name: str, default: str | None = None, most: int = 2000) -> str:
    """A text argument. Raises AppError."""
    value = arguments.get(name, default)
    if not isinstance(value, str) or len(value) > most:
        raise AppError(f"the call needs {name!r}, a text of at most {most} characters")
    return value


def texts_of(arguments: Arguments, name: str, most: int = 200) -> list[str]:
    """A list of texts; a missing one is empty. Raises AppError."""
    value = arguments.get(name, [])
    is_list = isinstance(value, list) and len(value) <= most
    if not is_list or not all(isinstance(one, str) and len(one) <= MAX_WORD_CHARS for one in value):
        raise AppError(f"{name!r} is a list of at most {most} texts of {MAX_WORD_CHARS} characters")
    return list(value)


def number_of(arguments: Arguments, name: str, default: float, least: float, most: float) -> float:
    """A number within limits. Raises AppError."""
    value = arguments.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        raise AppError(f"{name!r} is a number from {least:g} to {most:g}")
    return float(value)


def flag_of(arguments: Arguments, name: str) -> bool:
    """Whether something is asked for; a missing one is no. Raises AppError."""
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        raise AppError(f"{name!r} is true or false")
    return value
