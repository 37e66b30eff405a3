"""`dexmesh mail on | off | serve | status | password`: the mail service of this node.

Place     cli/main.py -> here -> apps/mail/switching.py (what to become), apps/base (how it runs)
Spec      docs/apps/mail.md §4; docs/decisions on the one process of the apps
Keeps     `on` and `off` may be said again and again; the process that supervises imports nothing heavy
Not here  users (cli/mail_users.py); what the service does (apps/mail/service.py)
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.apps.base.home import HOME_VARIABLE, Home, find_home
from dexmesh.cli.mail import app
from dexmesh.cli.output import (
    Exit,
    example,
    fail,
    note,
    print_json,
    print_table,
    reports_errors,
    say,
)
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.errors import BindError, ConfigError, DexmeshError, HostError, NoServiceError

if TYPE_CHECKING:
    from dexmesh.apps.base.settings import AppSettings
    from dexmesh.apps.base.sockets import Listening, Wish
    from dexmesh.cli.mail_node import NodeFacts

FORMER_S = 25.0  # ours: a node that starts again waits for the service of the one that was killed
FORMER_PORTS_S = 5.0  # ours: and for its ports
_STEP_S = 0.1

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar=HOME_VARIABLE,
        readable=False,  # others may pass through it, not look around
        help="Where the apps keep everything (default: /var/lib/dexmesh, else your own).",
    ),
]


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
    from dexmesh.apps.base.making import make_home
    from dexmesh.apps.base.settings import save_settings
    from dexmesh.apps.mail.switching import switch_on
    from dexmesh.cli.mail_node import choose_account, find_node, require_key

    place = find_home(home)
    former = former_settings(place)
    key = require_key(find_node(config), former.key if former else None)
    owner = choose_account(account, former.mail.account if former else None)
    settings = switch_on(former, key, owner.name, user or (), socket.gethostname())
    make_home(place, owner)
    if settings != former:
        save_settings(place, settings)
    is_running = renew_service(place)
    _report_on(place, settings, is_running, as_json)


def former_settings(home: Home) -> AppSettings | None:
    """What apps.toml says; None if there is none yet. Raises ConfigError if it is of no use."""
    from dexmesh.apps.base.settings import load_settings

    try:
        is_there = home.settings_file.exists()
    except OSError as error:
        raise HostError(f"{home.settings_file}: {error.strerror}") from None
    return load_settings(home) if is_there else None


def renew_service(home: Home) -> bool:
    """Tell the running service that the settings changed; False if none runs."""
    from dexmesh.apps.base.control import ControlClient

    try:
        with ControlClient(home.control_socket) as service:
            service.call("service.renew")
    except NoServiceError:
        return False
    return True


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
    from dexmesh.apps.mail.switching import switch_off

    place = find_home(home)
    settings = load_settings(place)
    if settings.mail.is_on:
        save_settings(place, switch_off(settings))
    was_running = renew_service(place)
    if as_json:
        print_json({"on": False, "home": str(place.path), "was_running": was_running})
        return
    say("mail is off" + ("; the service ends" if was_running else ""))


@app.command(epilog=example("dexmesh mail serve"))
@reports_errors
def serve(
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON.")] = False,
    lifeline: Annotated[int | None, typer.Option("--lifeline", hidden=True)] = None,
) -> None:
    """Run the mail service in the foreground; `dexmesh up` does this by itself."""
    from dexmesh.apps.base.supervisor import REOPEN
    from dexmesh.cli.mail_child import is_running
    from dexmesh.cli.mail_node import find_node

    place = find_home(home)
    patience_s = 0.0 if lifeline is None else FORMER_S
    if not waited_for(lambda: not is_running(place), patience_s):
        fail("the mail service runs already", "`dexmesh mail status` asks it")
    code = REOPEN
    while code == REOPEN:
        facts = find_node(config)
        _set_up_logs(facts, as_json)
        code = _serve_once(place, facts, lifeline)
    raise SystemExit(code)


def _set_up_logs(facts: NodeFacts, as_json: bool) -> None:
    import dataclasses

    from dexmesh.config.settings import LoggingSettings
    from dexmesh.host.logs import set_up_logging

    logging = facts.logging or LoggingSettings()
    set_up_logging(dataclasses.replace(logging, format="json") if as_json else logging)


def _serve_once(home: Home, facts: NodeFacts, lifeline: int | None) -> int:
    """Open what the settings of this moment ask for, and run until they ask for something else."""
    from dexmesh.apps.base.me import Me
    from dexmesh.apps.base.sockets import wishes
    from dexmesh.apps.names.resolved import registering

    settings = _settings_to_serve(home, facts)
    me = Me.of(settings.key)
    with registering(me.address, settings.names):
        listening = _opened(wishes(me, settings), 0.0 if lifeline is None else FORMER_PORTS_S)
        for warning in listening.warnings:
            note(f"warning: {warning}")
        try:
            return _supervise(home, settings, facts, listening, lifeline)
        finally:
            listening.close()


def _opened(wanted: Sequence[Wish], patience_s: float) -> Listening:
    """The sockets. Raises BindError if others still have them when the patience is over."""
    from dexmesh.apps.base.sockets import open_all

    end = time.monotonic() + patience_s
    while True:
        try:
            return open_all(wanted)
        except BindError:
            if time.monotonic() >= end:
                raise
        time.sleep(_STEP_S)


def waited_for(is_true: Callable[[], bool], patience_s: float) -> bool:
    """Whether this became true in time."""
    end = time.monotonic() + patience_s
    while not is_true():
        if time.monotonic() >= end:
            return False
        time.sleep(_STEP_S)
    return True


def _settings_to_serve(home: Home, facts: NodeFacts) -> AppSettings:
    """The settings, with the key the node has now."""
    import dataclasses

    from dexmesh.apps.base.settings import load_settings, save_settings

    settings = load_settings(home)
    if not settings.mail.is_on:
        fail("mail is switched off", "`dexmesh mail on` switches it on", Exit.CONFIG)
    if facts.key is not None and facts.key != settings.key:
        note(
            "the node has another key than before: mail for the old address does not arrive any more"
        )
        settings = dataclasses.replace(settings, key=facts.key)
        save_settings(home, settings)
    return settings


def _supervise(
    home: Home,
    settings: AppSettings,
    facts: NodeFacts,
    listening: Listening,
    lifeline: int | None,
) -> int:
    from dexmesh.apps.base.settings import has_mbox, is_from_root
    from dexmesh.apps.base.supervisor import Options, supervise
    from dexmesh.cli.mail_node import serving_account
    from dexmesh.host.systemd import notify

    wants_spool = has_mbox(settings.mail)
    if wants_spool and os.geteuid() == 0 and not is_from_root(home):
        note(
            f"warning: {home.settings_file} was not written by root: no right to write in /var/mail"
        )
    account = serving_account(
        home, settings.mail.account, with_mailboxes=wants_spool and is_from_root(home)
    )

    def prepare() -> None:
        from dexmesh.apps.mail.preload import preload

        preload()  # heavy, and only for the worker

    def work(is_ready: Callable[[], None]) -> int:
        from dexmesh.apps.mail.service import run

        return run(home, settings, listening, facts.login, is_ready)

    def ready() -> None:
        notify("READY=1", f"STATUS=mail for {len(settings.mail.users)} users")

    return supervise(work, Options(account, prepare, lifeline, ready))


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
        _report_absence(place, error, as_json)
    if as_json:
        print_json({"running": True, **told})
        return
    _show_status(told)


def _report_absence(home: Home, error: NoServiceError, as_json: bool) -> None:
    is_on: bool | None = None
    try:
        former = former_settings(home)
        is_on = former is not None and former.mail.is_on
    except ConfigError:
        raise
    except DexmeshError:  # not ours to read
        pass
    if as_json:
        print_json({"running": False, "on": is_on, "home": str(home.path)})
        raise SystemExit(int(Exit.NO_NODE))
    hint = "`dexmesh up` or `dexmesh mail serve` starts it" if is_on else error.hint
    fail(str(error) + (" although mail is on" if is_on else ""), hint, Exit.NO_NODE)


def _show_status(told: dict[str, Any]) -> None:
    rows = [
        ("address", str(told["address"])),
        ("also", str(told["key_name"])),
        ("running for", _duration(float(told["uptime_s"]))),
        ("users", ", ".join(told["users"]) or "none: `dexmesh mail user add NAME`"),
        *(("listens on", f"{one['where']}  {one['purpose']}") for one in told["listening"]),
        *(("warning", str(one)) for one in told["warnings"]),
        ("waiting", f"{told['waiting']['mails']} mails, {told['waiting']['bytes']} bytes"),
        *(
            (
                str(part),
                ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "-",
            )
            for part, counts in told["counters"].items()
        ),
    ]
    print_table(("", ""), rows)


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
        fail("there are no mail users yet", "`dexmesh mail user add NAME` makes one")
    act_as_owner(home)
    return {"user": name, "password": PasswordBook(home.mail / "passwords").renew(name)}
