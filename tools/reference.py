"""Write docs/reference/ from the program itself: commands, drop reasons, admin functions.

Place     `python tools/reference.py` writes; tests/qa compares
Keeps     the same program gives the same bytes, whatever the terminal
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import typer.main

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.registry import Argument, Function
from dexmesh.admin.services import NodeServices
from dexmesh.cli.main import app
from dexmesh.cli.output import INTERRUPTED, Exit
from dexmesh.engine.drops import EXPLANATIONS, DropReason
from dexmesh.mesh.beacons import BeaconDrop

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
_NOTE = "<!-- Written by tools/reference.py; change the program and run that. -->\n"

_EXITS = {
    Exit.OK: "done",
    Exit.FAILED: "it was tried and did not work, or nobody replied",
    Exit.USAGE: "the command line is wrong",
    Exit.NO_NODE: "no node is running here",
    Exit.PERMISSION: "a right is missing, or the admin password is wrong",
    Exit.CONFIG: "the configuration is wrong",
}


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"commands.md": commands_page(), "drops.md": drops_page(), "admin.md": admin_page()}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


# Commands

Command = Any  # typer's own click classes have no public types


def commands_page() -> str:
    """Every command with its arguments, options and example."""
    exits = "".join(f"| {int(code)} | {text} |\n" for code, text in _EXITS.items())
    parts = [
        f"# Commands\n\n{_NOTE}\nEvery command takes `--help` and `--json`. Results go to standard "
        "output, everything else to standard error.\n\n"
        f"| exit code | meaning |\n|---|---|\n{exits}| {INTERRUPTED} | Ctrl-C |\n",
        *(_describe(name, command) for name, command in commands()),
    ]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Command]]:
    """Every command by its full name, in the order of the help."""
    yield from _leaves("dexmesh", typer.main.get_command(app))


def _leaves(name: str, command: Command) -> Iterator[tuple[str, Command]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    if command.invoke_without_command:
        yield name, command
    for part, child in command.commands.items():
        yield from _leaves(f"{name} {part}", child)


def example_of(command: Command) -> str:
    """The example at the end of the help of a command."""
    return str(command.epilog).split("\n", 1)[0].removeprefix("Example: ")


def _describe(name: str, command: Command) -> str:
    summary = " ".join(str(command.help).split())
    rows = [_row(parameter) for parameter in command.params if not _is_everywhere(parameter)]
    table = "".join(f"{row}\n" for row in ("| | |", "|---|---|", *rows, "")) if rows else ""
    return f"## {name}\n\n{summary}\n\n{table}```\n{example_of(command)}\n```\n"


def _is_everywhere(parameter: Any) -> bool:
    if "--json" in parameter.opts:
        return bool(parameter.help == "Print JSON for programs.")
    return "--help" in parameter.opts


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    names = (parameter.metavar or parameter.name.upper()).strip("[]")
    if not is_argument:
        names = ", ".join(sorted(parameter.opts, key=len, reverse=True))
    notes = [] if not parameter.required else ["required"]
    default = parameter.default
    if isinstance(default, int | float | str) and not isinstance(default, bool):
        notes.append(f"default {default:g}" if isinstance(default, float) else f"default {default}")
    if not is_argument and parameter.envvar:
        notes.append(f"or `{parameter.envvar}`")
    tail = f" ({', '.join(notes)})" if notes else ""
    return f"| `{names}` | {parameter.help or ''}{tail} |"


# Drop reasons


def drops_page() -> str:
    """Every reason for which a packet goes no further."""
    rows = [
        f"| {reason.value} | `{reason.name.lower()}` | {EXPLANATIONS[reason]} |"
        for reason in DropReason
    ]
    return (
        f"# Drop reasons\n\n{_NOTE}\n"
        "Whatever goes no further is counted under one of these; `dexmesh status` shows the counts. "
        "Numbers 1 to 16 are the CryptoAuth errors of `docs/protocol/01-identity-and-cryptoauth.md`, "
        "the rest are ours.\n\n"
        "| number | name | what happened |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "Beacons never reach the data plane, so these have no number:\n\n"
        "| name | what happened |\n|---|---|\n"
        + "".join(f"| `{drop.name.lower()}` | {drop.value} |\n" for drop in BeaconDrop)
    )


# Admin functions


def admin_functions() -> list[Function]:
    """Every function a node offers; registering them asks nothing of the node."""
    node = cast(NodeServices, object())
    stream = LogStream(logging.Logger("reference"))
    try:
        return list(admin_server(node, b"", stream)._registry)
    finally:
        stream.close()


def admin_page() -> str:
    """Every admin function with its arguments."""
    groups: dict[str, list[Function]] = {}
    for function in admin_functions():
        groups.setdefault(function.name.partition("_")[0], []).append(function)
    sections = [
        f"## {group}\n\n| function | arguments | password |\n|---|---|---|\n"
        + "".join(_function_row(function) for function in groups[group])
        for group in sorted(groups)
    ]
    return (
        f"# Admin functions\n\n{_NOTE}\n"
        "The wire, cookies and authentication, and what each answers, are in "
        "`docs/protocol/08-admin-rpc.md`. Arguments in brackets may be left out. "
        "A function without a password can be called by every local program. `cookie` is "
        "a message of its own and no function.\n\n" + "\n".join(sections)
    )


def _function_row(function: Function) -> str:
    arguments = " ".join(_argument(argument) for argument in function.arguments) or "–"
    return f"| `{function.name}` | {arguments} | {'yes' if function.needs_auth else 'no'} |\n"


def _argument(argument: Argument) -> str:
    text = f"`{argument.name}: {argument.kind.value}`"
    return text if argument.is_required else f"[{text}]"


if __name__ == "__main__":
    main()
