"""`dexmesh mail queue | retry | cancel`: mail that waits for other nodes.

Place     cli/mail.py -> here -> control socket (mail.queue, retry, cancel)
Spec      docs/apps/mail.md §4 Queue
Keeps     says in words why something waits and when it is tried next
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dexmesh.cli.mail import app
from dexmesh.cli.mail_words import HomeOption, UserOption, ago, service_of
from dexmesh.cli.output import example, note, print_json, print_table, reports_errors, say
from dexmesh.cli.places import JsonOption

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A number of `queue`, or all.")]
EverybodyOption = Annotated[
    bool, typer.Option("--everybody", help="The mail of all users (for the owner of the service).")
]


@app.command(epilog=example("dexmesh mail queue"))
@reports_errors
def queue(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 50,
    everybody: EverybodyOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what waits: to whom, since when, why, and when it is tried next."""
    with service_of(home, user) as service:
        told = service.call("mail.queue", limit=limit, everybody=everybody)
    if as_json:
        print_json(told)
        return
    rows = told["waiting"]
    if not rows:
        note("nothing waits")
        return
    columns = ("id", "to", "since", "tries", "why", "next try")
    print_table(columns, [_row(one) for one in rows])
    if len(rows) == limit:
        note("there may be more: --limit shows them")


def _row(one: dict[str, Any]) -> list[str]:
    waits = one["state"] == "waiting"
    why = one["reason"] or ("not tried yet" if waits else one["state"])
    following = ago(one["next_unix"]) if waits else "-"
    is_due = following.endswith("ago")
    return [
        str(one["id"]),
        one["petname"] or one["to"],
        ago(one["since_unix"]),
        str(one["tries"]),
        why,
        "now" if is_due else following,
    ]


@app.command(epilog=example("dexmesh mail retry all"))
@reports_errors
def retry(
    number: IdArgument,
    everybody: EverybodyOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try waiting mail now."""
    with service_of(home, user) as service:
        told = service.call("mail.retry", id=number, everybody=everybody)
    if as_json:
        print_json(told)
        return
    if not told["mails"]:
        note("nothing waits")
        return
    nodes = len(told["nodes"])
    say(f"{_count(told['mails'], 'mail')} for {_count(nodes, 'node')}: being tried now")
    note("`dexmesh mail queue` shows what still waits, and why")


@app.command(epilog=example("dexmesh mail cancel 12"))
@reports_errors
def cancel(
    number: IdArgument,
    everybody: EverybodyOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take waiting mail out: it is not sent any more."""
    with service_of(home, user) as service:
        told = service.call("mail.cancel", id=number, everybody=everybody)
    if as_json:
        print_json(told)
        return
    if not told["recipients"]:
        note("nothing waits")
        return
    say(f"taken out; {_count(told['recipients'], 'recipient')} will not get it")


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
