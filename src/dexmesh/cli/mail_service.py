"""`dexmesh mail on | off | status | password`: the mail service of this node.

Place     cli/mail_commands.py -> here -> apps/base/switching.py; the running service is told
Spec      docs/apps/mail.md §4
Keeps     `on` and `off` may be said again and again
Not here  users (cli/mail_users.py); running it (cli/mail_serve.py)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.apps.base.home import Home, find_home
from dexmesh.cli.mail import app
from dexmesh.cli.output import (
    example,
    fail,
    note,
    print_json,
    print_table,
    reports_errors,
    say,
)
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.cli.service import HomeOption, renew_service, report_absence, switch_on
from dexmesh.errors import NoServiceError

if TYPE_CHECKING:
    from dexmesh.apps.base.settings import AppSettings


@app.command(epilog=example("dexmesh mail on"))
@reports_errors
def on(
    account: Annotated[
        str | None,
        typer.Option(
            "--account", help="The Unix account it runs as (default: yours, also with sudo)."
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Who gets a mailbox; may be repeated (default: the account)."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch mail on: make the mailboxes, and say what comes next."""
    from dexmesh.apps.base.switching import switch_mail_on

    done = switch_on(switch_mail_on, home, config, account, user or ())
    _report_on(done.home, done.settings, done.is_running, as_json)


def _report_on(home: Home, settings: AppSettings, is_running: bool, as_json: bool) -> None:
    from dexmesh.apps.base.me import Me

    me = Me.of(settings.key)
    users = [user.name for user in settings.mail.users]
    addresses = {name: [f"{name}@{me.literal}", f"{name}@{me.key_name}"] for name in users}
    if as_json:
        print_json(
            {
                "on": True,
                "home": str(home.path),
                "account": settings.mail.account,
                "users": addresses,
                "running": is_running,
            }
        )
        return
    say(
        f"mail is on; everything is kept in {home.path}, the service runs as {settings.mail.account}"
    )
    for literal, name in addresses.values():
        say(f"  {literal}  or  {name}")
    if not users:
        note("Next: `dexmesh mail user add NAME` makes a mailbox.")
    if is_running:
        note("The running service has taken it over.")
    else:
        note(
            "Next: `dexmesh up` starts the service with the node (start it again if it runs already);"
        )
        note(
            "      where another program is the node, `dexmesh mail serve` or dexmesh-mail.service."
        )
    if users:
        note(
            f"For a mail program: `dexmesh mail password {users[0]}`, then `dexmesh setup --help`."
        )


@app.command(epilog=example("dexmesh mail off"))
@reports_errors
def off(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Switch mail off: the service ends, mailboxes and waiting mail stay as they are."""
    from dexmesh.apps.base.settings import load_settings, save_settings
    from dexmesh.apps.base.switching import switch_mail_off

    place = find_home(home)
    settings = load_settings(place)
    if settings.mail.is_on:
        save_settings(place, switch_mail_off(settings))
    was_running = renew_service(place)
    if as_json:
        print_json({"on": False, "home": str(place.path), "was_running": was_running})
        return
    goes_on = "the service goes on for the phone" if settings.phone.is_on else "the service ends"
    say("mail is off" + (f"; {goes_on}" if was_running else ""))


@app.command(epilog=example("dexmesh mail status --json"))
@reports_errors
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show how the mail service is doing: what it listens to, what waits, what it refused."""
    from dexmesh.apps.base.control import ControlClient

    place = find_home(home)
    try:
        with ControlClient(place.control_socket) as service:
            told = service.call("service.status")
    except NoServiceError as error:
        report_absence(place, error, "mail", lambda one: one.mail.is_on, as_json=as_json)
    if as_json:
        print_json({"running": True, **told})
        return
    _show_status(told)


def _show_status(told: dict[str, Any]) -> None:
    rows = [
        ("address", str(told["address"])),
        ("also", str(told["key_name"])),
        ("running for", _duration(float(told["uptime_s"]))),
        ("users", ", ".join(told["users"]) or "none: `dexmesh mail user add NAME`"),
        *(("listens on", f"{where}, for {purpose}") for where, purpose in _places(told)),
        *(("warning", str(one)) for one in told["warnings"]),
        ("waiting", _waiting(told["waiting"])),
        *(
            (
                str(part),
                ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "-",
            )
            for part, counts in told["counters"].items()
        ),
    ]
    print_table(("", ""), rows)


def _places(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the service listens, each place once: names are asked for over UDP and TCP."""
    yield from dict.fromkeys((str(one["where"]), str(one["purpose"])) for one in told["listening"])


def _waiting(told: dict[str, Any]) -> str:
    from dexmesh.cli.words import size_in_words

    count = told["mails"]
    if not count:
        return "no mail"
    return f"{count} mail{'s' * (count != 1)}, {size_in_words(told['bytes'])}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


@app.command(epilog=example("dexmesh mail password stuart"))
@reports_errors
def password(
    user: Annotated[str | None, typer.Argument(help="Whose (default: your own).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new password for mail programs (IMAP, submission) and print it, once."""
    from dexmesh.apps.base.control import ControlClient

    place = find_home(home)
    try:
        with ControlClient(place.control_socket, user) as service:
            told = service.call("mail.password")
    except NoServiceError:
        told = _password_without_service(place, user)
    if as_json:
        print_json(told)
        return
    say(str(told["password"]))
    note(f"This is the new password of {told['user']}; it is not shown again, the old one is void.")


def _password_without_service(home: Home, user: str | None) -> dict[str, str]:
    """The service is down: whoever owns the home, and root, may still do it."""
    from dexmesh.apps.base.control import Users
    from dexmesh.apps.base.making import act_as_owner, owner_of
    from dexmesh.apps.base.settings import load_settings
    from dexmesh.apps.mail.passwords import PasswordBook

    mail = load_settings(home).mail
    name = Users(mail, owner_of(home)).judge(os.geteuid(), user)
    if not name:
        fail("nobody has a mailbox here yet", "`dexmesh mail user add NAME` makes one")
    act_as_owner(home)
    return {"user": name, "password": PasswordBook(home.mail / "passwords").renew(name)}
