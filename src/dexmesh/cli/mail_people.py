"""`dexmesh mail requests | accept | block | unblock | blocked`: who may write to you.

Place     cli/mail.py -> here -> control socket (mail.requests, accept, block, ...)
Spec      docs/apps/mail.md §4 "Spam control without lists"
Keeps     of what a stranger wrote only a line of plain text is shown
Not here  the address book itself (cli/contact.py)
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dexmesh.cli.mail import app
from dexmesh.cli.output import example, note, print_json, print_table, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption, service_of
from dexmesh.cli.words import when

_REACH_PATIENCE_S = 60.0

WhoArgument = Annotated[
    str,
    typer.Argument(metavar="WHO", help="A number of `requests`, an address, a key, or a petname."),
]


@app.command(epilog=example("dexmesh mail requests"))
@reports_errors
def requests(
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="How many people.")
    ] = 20,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the strangers who wrote and wait for you to decide."""
    with service_of(home, user) as service:
        told = service.call("mail.requests", limit=limit)
    if as_json:
        print_json(told)
        return
    found = told["requests"]
    if not found:
        note("nobody waits")
        return
    for one in found:
        _show(one)
    if told["people"] > len(found):
        note(f"{told['people'] - len(found)} more people wait: --limit shows more")
    number = found[0]["number"]
    note(
        f"`dexmesh mail accept {number}` takes somebody in, `dexmesh mail block {number}` refuses him"
    )


def _show(one: dict[str, Any]) -> None:
    # What anybody can say who has seen an invitation: nothing secret is in it.
    invited = "  (says that you invited him)" if one["says_invited"] else ""
    name = f"{one['name']} <{one['from']}>" if one["name"] else one["from"]
    mails = f", {one['mails']} mails" if one["mails"] > 1 else ""
    say(f"{one['number']}  {_line(name)}  {when(one['unix_time'])}{mails}{invited}")
    if one["is_from_other"]:
        say("    the From line names somebody else: this is the node it came from")
    say(f"    {_line(one['subject']) or '(no subject)'}")
    say(f"    {_line(one['preview']) or '(no plain text)'}")


def _line(text: str) -> str:
    return " ".join(text.split())


@app.command(epilog=example("dexmesh mail accept 3 --name bobby"))
@reports_errors
def accept(
    who: Annotated[
        str, typer.Argument(metavar="[WHO]", help="A number of `requests`, a name, or an address.")
    ] = "",
    name: Annotated[
        str,
        typer.Option("--name", help="The petname (default: made of the name he gives himself)."),
    ] = "",
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a stranger into your contacts; what he wrote moves to INBOX."""
    with service_of(home, user, _REACH_PATIENCE_S) as service:
        told = service.call("mail.accept", who=who, petname=name)
        if as_json:
            print_json(told)
            return
        known = "is a contact now" if told["is_new"] else "was a contact already"
        mails = "1 mail" if told["moved"] == 1 else f"{told['moved']} mails"
        say(f"{told['petname']} ({told['mailbox']}) {known}; {mails} moved to INBOX")
        for sentence in _reach(service, told["address"]):
            note(sentence)


def _reach(service: Any, address: str) -> list[str]:
    """Whether mail gets there and back, if that can be found out."""
    from dexmesh.errors import DexmeshError

    try:
        told = service.call("reach.check", to=address).get("sentences", [])
    except (DexmeshError, OSError) as error:
        return [f"whether mail gets there is not known: {error}"]
    return [str(one) for one in told] if isinstance(told, list) else []


@app.command(epilog=example("dexmesh mail block 3"))
@reports_errors
def block(
    who: WhoArgument, user: UserOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Refuse everything from somebody's node; his requests go to Trash."""
    with service_of(home, user) as service:
        told = service.call("mail.block", who=who)
    if as_json:
        print_json(told)
        return
    moved = f"; {told['moved']} of his requests are in Trash" if told["moved"] else ""
    say(
        f"{told['petname'] or told['address']} is blocked: his mail is answered 550 from now on{moved}"
    )


@app.command(epilog=example("dexmesh mail unblock fc00::1"))
@reports_errors
def unblock(
    who: WhoArgument, user: UserOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Let somebody's node write again."""
    with service_of(home, user) as service:
        told = service.call("mail.unblock", who=who)
    if as_json:
        print_json(told)
        return
    say(f"{told['petname'] or told['address']} may write again")


@app.command(epilog=example("dexmesh mail blocked"))
@reports_errors
def blocked(user: UserOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the nodes that are refused."""
    with service_of(home, user) as service:
        told = service.call("mail.blocked")
    if as_json:
        print_json(told)
        return
    if not told["blocked"]:
        note("nobody is blocked")
        return
    print_table(
        ("address", "petname"), [[one["address"], one["petname"]] for one in told["blocked"]]
    )
