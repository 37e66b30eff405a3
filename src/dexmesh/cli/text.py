"""`dexmesh text | texts`: short messages, straight to the person.

Place     cli/main.py -> here -> control socket (text.*)
Spec      issue 5; docs/apps/sip.md §3 (MESSAGE; offered as mail after 10 minutes)
Keeps     it is said what became of a text: delivered, waiting and why, or refused; what others wrote
          cannot steer the terminal, nor look like a line of ours
Not here  when what waits is tried again (apps/mail/texting.py)
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.apps.base.carrier import MAX_TEXT_BYTES
from dexmesh.cli.call_history import KeepNewOption, LimitOption, NewsOption
from dexmesh.cli.call_words import who
from dexmesh.cli.output import (
    Exit,
    example,
    fail,
    misused,
    note,
    print_json,
    print_table,
    reports_errors,
    say,
)
from dexmesh.cli.phone import phone_of
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption
from dexmesh.cli.text_words import offer_mail
from dexmesh.cli.words import ago, when

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient

commands = typer.Typer()

MOST_OFFERED = 3  # strangers at a time
_FIRST_TRY_S = 5.0  # how long to wait for the first attempt
_WAIT_PATIENCE_S = 20.0
_NUMBER = re.compile(r"[tT]?([1-9][0-9]{0,14})")


@commands.command(epilog=example('dexmesh text stuart "see you at eight?"'))
@reports_errors
def text(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A petname, an address, sip:name@[ADDRESS], a key."),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORDS...", help="The text; without it standard input is read."),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, max=50, help="Seconds to wait for the first attempt.")
    ] = _FIRST_TRY_S,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write somebody a text; what cannot be delivered waits.

    It goes out as soon as that node shows itself, and `dexmesh texts --waiting` says why it did not.
    """
    body = _checked(os.fsencode(" ".join(words)) if words else _typed())
    if not body.strip():
        misused("the text is empty", f'dexmesh text {name} "words"')
    with phone_of(home, user, wait + _WAIT_PATIENCE_S) as service:
        told = service.call("text.send", to=name, text=body, wait_s=wait)
    if as_json:
        print_json(told)
    else:
        _say_fate(told)
    if told["state"] == "refused":
        raise SystemExit(int(Exit.FAILED))


def _typed() -> bytes:
    if sys.stdin.isatty():
        note("Type the text and end it with Ctrl-D; Ctrl-C gives up.")
    return sys.stdin.buffer.read(MAX_TEXT_BYTES + 2)  # a newline at its end does not count


def _checked(said: bytes) -> str:
    try:  # of itself Python takes anything, in place of what it cannot read
        body = said.decode().rstrip("\n")
    except UnicodeDecodeError as error:
        is_cut = len(said) > MAX_TEXT_BYTES and error.reason == "unexpected end of data"
        if not is_cut:
            misused("the text is not UTF-8", "a file is sent by `dexmesh mail send`")
        body = said.decode(errors="replace")
    if len(body.encode()) > MAX_TEXT_BYTES:
        hint = "send it as a mail: `dexmesh mail send`"
        fail(f"a text has at most {MAX_TEXT_BYTES} bytes", hint)
    return body


def _say_fate(told: dict[str, Any]) -> None:
    if told["state"] == "delivered":
        say(f"delivered to {told['to']}")
    elif told["state"] == "refused":
        say(f"not delivered to {told['to']}: {told['reason'] or 'it was refused'}")
    else:
        say(f"waiting for {told['to']}: {told['reason'] or 'no answer yet'}")
        note("  it goes out as soon as that node shows itself (`dexmesh texts --waiting`)")


@commands.command(epilog=example("dexmesh texts stuart"))
@reports_errors
def texts(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only the conversation with this one.")
    ] = None,
    news: NewsOption = False,
    requests: Annotated[bool, typer.Option("--requests", help="What strangers wrote.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="What is not delivered yet, and why.")
    ] = False,
    retry: Annotated[
        str | None, typer.Option("--retry", metavar="ID|all", help="Try a waiting text now.")
    ] = None,
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="ID|all", help="Take a waiting text back.")
    ] = None,
    as_mail: Annotated[
        str | None,
        typer.Option("--as-mail", metavar="ID", help="Send a waiting text as a mail instead."),
    ] = None,
    limit: LimitOption = 20,
    keep_new: KeepNewOption = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show texts, the latest last; with a name, the conversation with somebody."""
    others = {"--waiting": waiting, "--retry": retry, "--cancel": cancel, "--as-mail": as_mail}
    given = [option for option, value in others.items() if value]
    if len(given) > 1 or (given and (name or news or requests)):
        misused(f"{given[0]} stands alone", f"dexmesh texts {given[0]}")
    if waiting:
        _show_waiting(home, user, as_json)
    elif retry:
        _retry(home, user, retry, as_json)
    elif cancel:
        _cancel(home, user, cancel, as_json)
    elif as_mail:
        _send_as_mail(home, user, as_mail, as_json)
    else:
        asked = {"with": name or "", "news": news, "limit": limit, "seen": not keep_new}
        if requests or not name:  # a stranger who became a contact is shown with all he wrote
            asked["is_request"] = requests
        _show(home, user, asked, as_json)


def _show(home: Path | None, user: str | None, asked: dict[str, Any], as_json: bool) -> None:
    with phone_of(home, user) as service:
        told = service.call("text.list", **asked)
        waiting = service.call("text.waiting")["waiting"] if not as_json else []
        is_overview = not as_json and asked.get("is_request") is False
        strangers = _news_of_strangers(service) if is_overview else 0
    if as_json:
        print_json(told)
        return
    entries = told["entries"]
    if not entries:
        note("no new texts" if asked["news"] else "no texts yet")
    for one in entries:
        say(_line(one))
    if entries and asked.get("is_request"):
        _offer_contacts(entries)
    if strangers:
        note(f"new texts of strangers: {strangers}; `dexmesh texts --requests` shows them")
    offer_mail(waiting)


def _offer_contacts(entries: list[dict[str, Any]]) -> None:
    """What to type to be heard by the latest strangers; the name of one is what he says, no more."""
    latest = dict.fromkeys((one["address"], one["user"]) for one in reversed(entries))
    for address, user in list(latest)[:MOST_OFFERED]:
        mailbox = shlex.quote(f"{user}@[IPv6:{address}]" if user else address)
        note(f"`dexmesh contact add NAME {mailbox}` makes a contact")
    note("`dexmesh mail block ADDRESS` ends it")


def _news_of_strangers(service: ControlClient) -> int:
    asked = {"news": True, "is_request": True, "limit": 1000}
    return len(service.call("text.list", **asked)["entries"])


def _line(one: dict[str, Any]) -> str:
    """One text: a mark, when, who, what; further lines are indented."""
    mark = "N" if not one["is_seen"] else " "
    name = f"to {who(one)}" if one["is_outgoing"] else who(one)
    body = "\n    ".join(one["text"].splitlines()) or "(empty)"
    state = _state(one) if one["is_outgoing"] else ""
    return f"{mark} {when(one['at_unix'])}  {name}: {body}{state}"


def _state(one: dict[str, Any]) -> str:
    """What became of a text of ours; a delivered one needs no words."""
    if one["state"] == "delivered":
        return ""
    why = f": {one['reason']}" if one["reason"] else ""
    return f"  [{one['state']}{why}]"


def _show_waiting(home: Path | None, user: str | None, as_json: bool) -> None:
    with phone_of(home, user) as service:
        told = service.call("text.waiting")
    if as_json:
        print_json(told)
        return
    rows = told["waiting"]
    if not rows:
        note("no text waits")
        return
    columns = ("id", "to", "since", "tries", "why", "next try", "text")
    print_table(columns, [_waiting_row(one) for one in rows])
    offer_mail(rows)


def _waiting_row(one: dict[str, Any]) -> list[str]:
    following = ago(one["next_unix"])
    return [
        one["id"],
        one["petname"] or one["uri"].removeprefix("sip:"),
        ago(one["since_unix"]),
        str(one["tries"]),
        one["reason"] or "not tried yet",
        "now" if following.endswith("ago") else following,
        one["text"][:40],
    ]


def _retry(home: Path | None, user: str | None, which: str, as_json: bool) -> None:
    with phone_of(home, user) as service:
        told = service.call("text.retry", **_numbered(which, "--retry"))
    nodes = len(told["nodes"])
    words = f"being tried now, at {nodes} node{'s' * (nodes != 1)}" if nodes else "no text waits"
    _report(told, words, as_json)


def _cancel(home: Path | None, user: str | None, which: str, as_json: bool) -> None:
    with phone_of(home, user) as service:
        told = service.call("text.cancel", **_numbered(which, "--cancel"))
    count = told["texts"]
    words = f"taken back: {count} text{'s' * (count != 1)}" if count else "no text waits"
    _report(told, words, as_json)


def _send_as_mail(home: Path | None, user: str | None, which: str, as_json: bool) -> None:
    numbered = _numbered(which, "--as-mail")
    if not numbered:
        misused("--as-mail takes one id", "`dexmesh texts --waiting` shows them")
    with phone_of(home, user) as service:
        told = service.call("text.mail", **numbered)
    _report(told, f"it goes to {told['to']} as a mail: `dexmesh mail queue`", as_json)


def _numbered(which: str, option: str) -> dict[str, int]:
    """`t3`, `3`: that one; `all`: nothing to say."""
    if which.lower() == "all":
        return {}
    found = _NUMBER.fullmatch(which)
    if found is None:
        misused(f"{option} takes an id like t3, or all", "`dexmesh texts --waiting` shows them")
    return {"number": int(found[1])}


def _report(told: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        say(words)
