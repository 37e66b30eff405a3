"""`dexmesh mail queue | retry | cancel`: mails and texts that wait for other nodes.

Place     cli/mail.py -> here -> control socket (mail.queue, retry, cancel)
Spec      docs/apps/mail.md §4 Queue; shared issue "Reply-ability"
Keeps     says in words why something waits, when it is tried next, and whether an answer would get here
Not here  texts alone, and sending one as a mail (cli/text.py)
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dexmesh.cli.mail import app
from dexmesh.cli.mail_words import plain_reason
from dexmesh.cli.output import example, note, print_json, print_table, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption, service_of
from dexmesh.cli.text_words import offer_mail
from dexmesh.cli.words import ago

MOST_NODES = 5  # ours: of which it is told what was found there

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="An id of `queue`: 12 (a mail), t3 (a text), or all.")
]
EverybodyOption = Annotated[
    bool, typer.Option("--everybody", help="What all users wrote (for the owner of the service).")
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
    """Show the mails and texts that wait: to whom, since when, why, and when they are tried next."""
    with service_of(home, user) as service:
        told = service.call("mail.queue", limit=limit, everybody=everybody, look=True)
    if as_json:
        print_json(told)
        return
    rows = told["waiting"]
    if not rows:
        note("nothing waits")
        return
    columns = ("id", "to", "since", "tries", "why", "next try")
    print_table(columns, [_row(one) for one in rows], ("why",))
    if len(rows) >= limit:
        note("there may be more: --limit shows them")
    offer_mail(rows)
    for node in told["reach"][:MOST_NODES]:
        _say_reach(node)
    if len(told["reach"]) > MOST_NODES:
        note(f"what was found at {len(told['reach']) - MOST_NODES} other nodes: --json")


def _row(one: dict[str, Any]) -> list[str]:
    return [
        str(one["id"]),
        one["petname"] or one["to"],
        ago(one["since_unix"]),
        str(one["tries"]),
        _why(one),
        _next_try(one),
    ]


def _why(one: dict[str, Any]) -> str:
    if one["reason"]:
        return plain_reason(one["reason"])
    if one["state"] != "waiting":
        return str(one["state"])
    return "no answer yet" if one["is_tried"] else "not tried yet"


def _next_try(one: dict[str, Any]) -> str:
    if one["state"] != "waiting":
        return "-"
    if one["is_tried"]:
        return "trying now"
    following = ago(one["next_unix"])
    return "now" if following.endswith("ago") else following


def _say_reach(node: dict[str, Any]) -> None:
    """What was found at a node that mail waits for."""
    if node["sentences"]:
        looked = f"{node['name']}, looked at {ago(node['unix_time'])}:"
        note("\n  ".join([looked, *node["sentences"]]))
    elif node["is_being_checked"]:
        note(f"{node['name']} is being looked at: `dexmesh mail queue` soon says what was found")


@app.command(epilog=example("dexmesh mail retry all"))
@reports_errors
def retry(
    number: IdArgument,
    everybody: EverybodyOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try waiting mails and texts now."""
    with service_of(home, user) as service:
        told = service.call("mail.retry", id=number, everybody=everybody)
    if as_json:
        print_json(told)
        return
    what = _counted(told, mails="mail", texts="text")
    if not what:
        note("nothing waits")
        return
    say(f"{what} for {_count(len(told['nodes']), 'node')}: being tried now")
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
    """Take waiting mails and texts out: they are not sent any more."""
    with service_of(home, user) as service:
        told = service.call("mail.cancel", id=number, everybody=everybody)
    if as_json:
        print_json(told)
        return
    lost = []
    if told["recipients"]:
        lost.append(f"{_count(told['recipients'], 'recipient')} will not get it")
    if told["texts"]:
        lost.append(f"{_count(told['texts'], 'text')} will not be sent")
    if lost:
        say(f"taken out; {', '.join(lost)}")
    else:
        note("nothing waits")


def _counted(told: dict[str, Any], **words: str) -> str:
    """`2 mails and 1 text`; what there is none of is left out."""
    return " and ".join(_count(told[name], word) for name, word in words.items() if told[name])


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
