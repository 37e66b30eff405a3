"""How every command speaks: tables for people, JSON for programs, one exit code per kind of end.

Place     all of cli/
Keeps     results go to standard output, everything else to standard error; plain when not a terminal
"""

from __future__ import annotations

import enum
import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    ConfigError,
    DexmeshError,
    NoNodeError,
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
    NO_NODE = 69  # no node is running here
    PERMISSION = 77  # a right is missing
    CONFIG = 78  # the configuration is wrong


EXIT_HELP = (
    "Exit codes: 0 done, 1 failed or no reply, 2 wrong usage, 69 no node running, "
    "77 a right is missing, 78 the configuration is wrong."
)


@functools.cache
def console() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@functools.cache
def error_console() -> Console:
    """Where everything else goes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headings: a drawn table on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def say(text: str) -> None:
    """Print a line of markup to standard output."""
    console().print(text)


def note(text: str) -> None:
    """Print a line for the person at the terminal, not for the program behind the pipe."""
    error_console().print(text, markup=False)


def fail(message: str, hint: str = "", code: Exit = Exit.FAILED) -> NoReturn:
    """End with one clear error and what to do next."""
    error_console().print("[red]error:[/red] ", end="")
    error_console().print(message, markup=False)
    if hint:
        error_console().print(f"  {hint}", markup=False, style="dim")
    raise SystemExit(int(code))


def exit_code_of(error: DexmeshError) -> Exit:
    """The exit code an error ends a command with."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, NoNodeError):
        return Exit.NO_NODE
    if isinstance(error, (PermissionNeededError, AuthFailedError)):
        return Exit.PERMISSION
    return Exit.FAILED


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions of dexmesh.errors into one message, one hint and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                note(str(problem))
            count = len(error.problems)
            fail(
                f"the configuration has {count} mistake{'s' if count != 1 else ''}; nothing was started",
                code=Exit.CONFIG,
            )
        except UnknownFunctionError as error:
            fail(
                str(error), "this node does not offer that; it may be an older program", Exit.FAILED
            )
        except AdminError as error:
            fail(f"the node said: {error.wire_text}", error.hint, exit_code_of(error))
        except DexmeshError as error:
            fail(str(error), error.hint, exit_code_of(error))
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(int(Exit.OK)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return wrapped
