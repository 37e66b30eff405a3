"""Say how the program sendmail ends: exit codes other programs understand, and a text for people.

Place     everything in this package raises `Trouble` -> program.py
Spec      sysexits.h
"""

from __future__ import annotations

EX_OK, EX_USAGE, EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM = (
    0, 64, 65, 67, 69, 75, 77
)  # fmt: skip


class Trouble(Exception):  # noqa: N818 it becomes an exit code, not a bug
    """Why the program ends without success: the exit code of sysexits.h and a text for people.

    `left` are the recipients who will not get the mail; None: nobody will.
    """

    def __init__(self, code: int, text: str, left: tuple[str, ...] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.left = left
