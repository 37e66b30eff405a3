"""`dexmesh mail user add | remove`: who has a mailbox at this node.

Place     cli/mail_commands.py -> here -> apps/base/switching.py; the running service is told
Spec      docs/apps/mail.md §4 (several local users)
Keeps     no mail is ever removed with its user
Not here  the mailboxes themselves (apps/mail/store)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.apps.base.home import Home, find_home
from dexmesh.cli.mail import app as mail_app
from dexmesh.cli.output import example, note, print_json, reports_errors, say
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, renew_service

if TYPE_CHECKING:
    from dexmesh.apps.base.settings import AppSettings, MailSettings

app = typer.Typer(
    no_args_is_help=True,
    help="Who has a mailbox here.",
    epilog=example("dexmesh mail user add stuart"),
)
mail_app.add_typer(app, name="user")


@app.command(epilog=example("dexmesh mail user add bob --account robert --mbox /var/mail/robert"))
@reports_errors
def add(
    name: Annotated[str, typer.Argument(help="The part before the @.")],
    account: Annotated[
        str | None,
        typer.Option("--account", help="The Unix account that reads it (default: of that name)."),
    ] = None,
    mbox: Annotated[
        Path | None,
        typer.Option("--mbox", help="Append mail to this file instead of a Maildir of ours."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give somebody a mailbox, or change what is known of it."""
    from dexmesh.apps.base.settings import load_settings
    from dexmesh.apps.base.switching import add_user, changed_user

    place = find_home(home)
    settings = load_settings(place)
    target = None if mbox is None else mbox.absolute()
    user = changed_user(settings.mail.user(name), name, account, target)
    is_running = _save(place, settings, add_user(settings.mail, user))
    if as_json:
        shown = None if user.mbox is None else str(user.mbox)
        print_json({"user": user.name, "account": user.account_name, "mbox": shown})
        return
    say(f"{user.name} has a mailbox: {user.mbox or place.mail_users / user.name}")
    if not _is_account(user.account_name):
        note(
            f"There is no account {user.account_name!r} on this machine: only root and the account of "
            "the service can read it with `dexmesh mail`; --account names another."
        )
    _tell_next(is_running)


@app.command(epilog=example("dexmesh mail user remove bob"))
@reports_errors
def remove(
    name: Annotated[str, typer.Argument(help="The part before the @.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take mail for somebody no more; the mail that is there stays where it is."""
    from dexmesh.apps.base.settings import load_settings
    from dexmesh.apps.base.switching import remove_user

    place = find_home(home)
    settings = load_settings(place)
    is_running = _save(place, settings, remove_user(settings.mail, name))
    if as_json:
        print_json({"user": name.lower(), "running": is_running})
        return
    say(
        f"{name} gets no mail any more; what came so far stays in {place.mail_users / name.lower()}"
    )
    _tell_next(is_running)


def _save(home: Home, settings: AppSettings, mail: MailSettings) -> bool:
    """Write the settings and tell the service; False if none runs."""
    from dexmesh.apps.base.making import make_home
    from dexmesh.apps.base.settings import save_settings
    from dexmesh.cli.service_node import choose_account

    make_home(home, choose_account(None, mail.account))
    save_settings(home, dataclasses.replace(settings, mail=mail))
    return renew_service(home)


def _tell_next(is_running: bool) -> None:
    if is_running:
        note("The running service has taken it over.")


def _is_account(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
