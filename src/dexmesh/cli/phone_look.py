"""`dexmesh phone look`: whether somebody's phone answers, before one calls.

Place     cli/phone_commands.py -> here -> control socket (phone.look)
Spec      docs/apps/sip.md §3 "Presence" (OPTIONS to a contact at most once in 5 minutes)
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from dexmesh.cli.output import Exit, example, fail, print_json, reports_errors, say
from dexmesh.cli.phone import app, phone_of
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption


@app.command(epilog=example("dexmesh phone look bob"))
@reports_errors
def look(
    to: Annotated[str, typer.Argument(metavar="NAME", help="A contact.")],
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether the phone of a contact answers, and takes calls and texts; nothing rings there.

    A phone is asked once in 5 minutes at most. Exit code 1: it does not answer.
    """
    with phone_of(home, user) as service:
        told = service.call("phone.look", to=to)
    if as_json:
        print_json(told)
        if not told["is_there"]:
            raise typer.Exit(Exit.FAILED)
    elif told["is_there"]:
        say(f"the phone of {told['to']} answers and {_takes(told)}{_age(told)}")
    else:
        hint = f'a text waits for it: `dexmesh text {shlex.quote(to)} "words"`'
        fail(f"the phone of {told['to']} does not answer{_age(told)}", hint)


def _takes(told: dict[str, Any]) -> str:
    if told["takes_calls"] is None:
        return "does not say what it takes"
    takes = [name for name in ("calls", "texts") if told[f"takes_{name}"]]
    return f"takes {' and '.join(takes) or 'neither calls nor texts'}"


def _age(told: dict[str, Any]) -> str:
    minutes = int(told["age_s"] / 60)
    if not minutes:
        return ""
    return f", as of {minutes} minute{'' if minutes == 1 else 's'} ago"
