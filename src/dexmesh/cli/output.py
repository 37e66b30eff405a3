"""How every command speaks: tables for people, JSON for programs, one exit code per kind of end.

Place     all of cli/
Keeps     results go to standard output, everything else to standard error; plain when not a terminal
"""

from __future__ import annotations

import contextlib
import enum
import functools
import io
import json
import os
import re
import select
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    ConfigError,
    DexmeshError,
    NoNodeError,
    NoServiceError,
    PermissionNeededError,
    UnknownFunctionError,
)

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")
R = TypeVar("R")


class Exit(enum.IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1  # it was tried and did not work; no reply
    USAGE = 2  # the command line is wrong
    NO_NODE = 69  # no node (or no mail service) is running here
    PERMISSION = 77  # a right is missing
    CONFIG = 78  # the configuration is wrong


INTERRUPTED = 130  # Ctrl-C, as shells say it

EXIT_HELP = (
    "Exit codes: 0 done, 1 failed or no reply, 2 wrong usage, 69 no node running, "
    "77 a right is missing, 78 the configuration is wrong, 130 interrupted."
)

# Within emoji and the scripts of Persia and India; between other letters they would only hide.
_JOINED = re.compile(r"((?<=[^\0-\x7f\u200c\u200d])[\u200c\u200d](?=[^\0-\x7f\u200c\u200d]))")


def example(text: str) -> str:
    """The end of the help of a command: how it is used, and what its exit codes mean."""
    return f"Example: {text}\n\n{EXIT_HELP}"


@functools.cache
def console() -> Console:
    """Standard output as a terminal draws it; imported only for what needs drawing."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@functools.cache
def error_console() -> Console:
    """Standard error, likewise."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def is_writable(console: Console) -> bool:
    """Whether writing to the terminal returns at once."""
    try:
        return bool(select.select([], [console.file], [], 0)[1])
    except (OSError, ValueError):  # no file of the operating system: a test reads it
        return True


def printable(text: str) -> str:
    """The text without anything that could steer a terminal: a peer may have chosen it."""
    if text.isprintable():
        return text
    pieces = _JOINED.split(text)  # every other one is a joiner
    return "".join(one if number % 2 else _escaped(one) for number, one in enumerate(pieces))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], loose: Collection[str] = ()
) -> None:
    """Print rows under headings: a table on a terminal, tab-separated lines elsewhere.

    Words in the columns that are `loose` may be broken.
    """
    cells = [[_cell(one) for one in row] for row in rows]
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(row) + "\n" for row in cells)
        return
    from dexmesh.cli.layout import lay_out

    strong, end = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[1m", "\x1b[0m")
    room = shutil.get_terminal_size().columns
    sys.stdout.writelines(f"{line}\n" for line in lay_out(columns, cells, room, loose, strong, end))


def _cell(text: str) -> str:
    """One line, whatever a stranger put into it."""
    return " ".join(printable(text).split())


def say(text: str) -> None:
    """Print a line to standard output."""
    sys.stdout.write(printable(text) + "\n")


def note(text: str) -> None:
    """Print a line for the person at the terminal, not for the program behind the pipe."""
    sys.stdout.flush()  # in the order in which it was said
    sys.stderr.write(printable(text) + "\n")


def narrate(text: str) -> None:
    """Print a line of markup to standard output."""
    console().print(text)


def fail(message: str, hint: str = "", code: Exit = Exit.FAILED) -> NoReturn:
    """End with one clear error and what to do next."""
    is_drawn = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    red, dim, end = ("\x1b[31m", "\x1b[2m", "\x1b[0m") if is_drawn else ("", "", "")
    sys.stdout.flush()
    sys.stderr.write(f"{red}error:{end} {printable(message)}\n")
    if hint:
        sys.stderr.write(f"  {dim}{printable(hint)}{end}\n")
    raise SystemExit(int(code))


def misused(message: str, hint: str = "") -> NoReturn:
    """End because of what was typed on the command line."""
    fail(message, hint, Exit.USAGE)


def exit_code_of(error: DexmeshError) -> Exit:
    """The exit code an error ends a command with."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, (NoNodeError, NoServiceError)):
        return Exit.NO_NODE
    if isinstance(error, (PermissionNeededError, AuthFailedError)):
        return Exit.PERMISSION
    return Exit.FAILED


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions of dexmesh.errors into one message, one hint and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        _ensure_streams()
        try:
            try:
                return command(*args, **kwargs)
            finally:
                sys.stdout.flush()  # here, and not while Python ends: a full disk gets its message
        except DexmeshError as error:
            _explain(error)
        except BrokenPipeError:  # `| head`: whoever read has seen enough
            _discard_output()
            raise SystemExit(int(Exit.OK)) from None
        except OSError as error:
            _discard_output()
            place = f"{error.filename}: " if error.filename else ""
            denied = isinstance(error, PermissionError)
            fail(
                f"{place}{error.strerror or error}", code=Exit.PERMISSION if denied else Exit.FAILED
            )
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None

    return wrapped


def _ensure_streams() -> None:
    """Python has none that the caller closed (`>&-`); a letter the code page lacks is no failure."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the end
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _explain(error: DexmeshError) -> NoReturn:
    """Say what an error means and end with its exit code."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            note(str(problem))
        count = len(error.problems)
        mistakes = "a mistake" if count == 1 else f"{count} mistakes"
        fail(f"the configuration has {mistakes}; nothing was done", code=Exit.CONFIG)
    if isinstance(error, UnknownFunctionError):
        fail(str(error), "this node does not offer that; it may be an older program")
    if isinstance(error, AdminError):
        fail(f"the node said: {error.wire_text}", error.hint, exit_code_of(error))
    fail(str(error), error.hint, exit_code_of(error))


def _discard_output() -> None:
    """Nobody takes our output any more; what is still buffered must not fail a second time."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
