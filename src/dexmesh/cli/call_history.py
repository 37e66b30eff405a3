"""`dexmesh calls`: who called, whom we called, and what became of it.

Place     cli/main.py -> here -> control socket (call.history)
Spec      issue 5 (one history, with contacts' petnames)
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dexmesh.cli.call_words import clock, who
from dexmesh.cli.output import example, note, print_json, print_table, reports_errors
from dexmesh.cli.phone import phone_of
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption
from dexmesh.cli.words import when

commands = typer.Typer()

NewsOption = Annotated[bool, typer.Option("--news", help="Only what you have not seen.")]
KeepNewOption = Annotated[bool, typer.Option("--keep-new", help="Do not mark them as seen.")]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, the latest.")
]


@commands.command(epilog=example("dexmesh calls --news"))
@reports_errors
def calls(
    news: NewsOption = False,
    with_: Annotated[
        str | None, typer.Option("--with", metavar="NAME", help="Only calls with this one.")
    ] = None,
    limit: LimitOption = 20,
    keep_new: KeepNewOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show calls, the latest last: missed, answered, declined, and what was said to the voicemail."""
    with phone_of(home, user) as service:
        told = service.call(
            "call.history",
            **{"kind": "call", "news": news, "with": with_ or "", "limit": limit},
            seen=not keep_new,
        )
    if as_json:
        print_json(told)
        return
    entries = told["entries"]
    if not entries:
        note("no new calls" if news else "no calls yet")
        return
    print_table(("", "", "who", "what", "when", "length"), [_row(one) for one in entries])
    if any(one["mail"] for one in entries):
        note("what was said to the voicemail lies in your mail: `dexmesh mail list`")


def _row(one: dict[str, Any]) -> list[str]:
    length = clock(one["talked_s"]) if one["talked_s"] else ""
    return [
        "" if one["is_seen"] else "N",
        "→" if one["is_outgoing"] else "←",
        who(one),
        _what(one),
        when(one["at_unix"]),
        length,
    ]


def _what(one: dict[str, Any]) -> str:
    """What became of it; how it ended where nobody talked."""
    state, reason = str(one["state"]), str(one["reason"])
    if state == "answered" or reason in ("", state):
        return state
    return f"{state} ({reason})"
