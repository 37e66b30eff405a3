"""`dexmesh hangup | hold | dtmf`: steer a call that is under way in another program.

Place     cli/main.py -> here -> control socket (call.hangup, hold, digits)
Spec      issue 5
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dexmesh.cli.output import example, misused, print_json, reports_errors, say
from dexmesh.cli.phone import phone_of
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption

commands = typer.Typer()

_DIGITS = frozenset("0123456789*#ABCD")

CallOption = Annotated[
    int | None,
    typer.Option(
        "--call", min=1, help="Which, if there are several: its number in `phone status`."
    ),
]


@commands.command(epilog=example("dexmesh hangup"))
@reports_errors
def hangup(
    call: CallOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a call, or decline one that rings."""
    with phone_of(home, user) as service:
        told = service.call("call.hangup", **_which(call))
    _report(told, f"call {told['call']} is over", as_json)


@commands.command(epilog=example("dexmesh hold --off"))
@reports_errors
def hold(
    off: Annotated[bool, typer.Option("--off", help="Go on with the call.")] = False,
    swap: Annotated[
        bool, typer.Option("--swap", help="Go on with the call on hold, and hold the other.")
    ] = False,
    call: CallOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a call: nobody hears anything until it goes on.

    With several calls, --call says which; --swap goes from one to the other.
    """
    if off and swap:
        misused(
            "--off and --swap do not go together", "--swap goes on with one and holds the other"
        )
    with phone_of(home, user) as service:
        if swap:
            told = service.call("call.swap", **_which(call))
            _report(told, f"call {told['call']} goes on{_held(told['held'])}", as_json)
            return
        told = service.call("call.hold", on=not off, **_which(call))
    words = "goes on" if off else "is on hold; `dexmesh hold --off` goes on"
    _report(told, f"call {told['call']} {words}", as_json)


@commands.command(epilog=example("dexmesh dtmf 1234#"))
@reports_errors
def dtmf(
    digits: Annotated[str, typer.Argument(metavar="DIGITS", help="0 to 9, *, #, A to D.")],
    call: CallOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Press keys in a call, for a machine at the other side."""
    wanted = digits.upper()
    if not wanted or not _DIGITS.issuperset(wanted):
        misused(f"{digits!r} are no keys of a phone", "they are 0 to 9, *, # and A to D")
    with phone_of(home, user) as service:
        told = service.call("call.digits", digits=wanted, **_which(call))
    _report(told, f"sent {told['digits']} in call {told['call']}", as_json)


def _held(calls: list[int]) -> str:
    if not calls:
        return ""
    numbers = ", ".join(map(str, calls))
    return f", {numbers} {'is' if len(calls) == 1 else 'are'} on hold"


def _which(call: int | None) -> dict[str, int]:
    return {} if call is None else {"call": call}


def _report(told: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        say(words)
