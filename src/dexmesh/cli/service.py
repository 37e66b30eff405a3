"""Reach the service of the apps: where it lives, who asks, what its settings are.

Place     cli/mail_*.py, cli/phone_*.py, cli/call*.py, cli/text*.py -> here -> control socket, apps.toml
Spec      ours: apps/base/control.py, docs/decisions/0009 (one service for all apps)
Keeps     nothing heavy is imported with this; settings that are not ours to read are no failure here
Not here  which node it is and which account runs it (service_node.py)
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dexmesh.apps.base.home import HOME_VARIABLE, Home, find_home
from dexmesh.cli.output import Exit, fail, print_json
from dexmesh.errors import ConfigError, DexmeshError, HostError, NoServiceError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.base.settings import AppSettings
    from dexmesh.wire.keys import PublicKey

    Change = Callable[[AppSettings | None, PublicKey, str, Sequence[str], str], AppSettings]
    """What apps.toml becomes of what it was, the node's key, the account, users, the machine's name."""

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar=HOME_VARIABLE,
        readable=False,  # others may pass through it, not look around
        help="Where the apps keep everything (default: /var/lib/dexmesh, else your own).",
    ),
]
UserOption = Annotated[
    str | None,
    typer.Option("--user", "-u", help="Who you are (for root and the owner of the service)."),
]


def service_of(
    home: Path | None, user: str | None, patience_s: float = 60.0, app: str = "mail"
) -> ControlClient:
    """A connection to the running service; `app` is what is wanted of it: mail, or the phone."""
    from dexmesh.apps.base.control import ControlClient

    return ControlClient(find_home(home).control_socket, user, patience_s, app)


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


@dataclass(frozen=True, slots=True)
class SwitchedOn:
    """What `mail on` and `phone on` did. `is_running`: a service runs and has taken it over."""

    home: Home
    settings: AppSettings
    is_running: bool


def switch_on(
    change: Change,
    home: Path | None,
    config: Path | None,
    account: str | None,
    users: Sequence[str],
) -> SwitchedOn:
    """Make or change the home and its settings, and tell the running service."""
    from dexmesh.apps.base.making import make_home
    from dexmesh.apps.base.settings import save_settings
    from dexmesh.cli.service_node import choose_account, find_node, require_key, require_same

    place = find_home(home)
    former = former_settings(place)
    facts = find_node(config)
    if former is not None:
        require_same(facts, place, former)
    key = require_key(facts, former.key if former else None)
    owner = choose_account(account, former.mail.account if former else None)
    settings = change(former, key, owner.name, users, socket.gethostname())
    make_home(place, owner)
    if settings != former:
        save_settings(place, settings)
    return SwitchedOn(place, settings, renew_service(place))


def report_absence(
    home: Home,
    error: NoServiceError,
    app: str,
    is_on_in: Callable[[AppSettings], bool],
    *,
    as_json: bool,
) -> NoReturn:
    """End because that app is not served, and say whether it is switched on at all."""
    from dexmesh.cli.mail_child import is_running

    is_on: bool | None = None
    try:
        former = former_settings(home)
        is_on = former is not None and is_on_in(former)
    except ConfigError:
        raise
    except DexmeshError:  # not ours to read
        pass
    if as_json:
        print_json({"running": False, "on": is_on, "home": str(home.path)})
        raise SystemExit(int(Exit.NO_NODE))
    is_not_started = is_on and not is_running(home)
    hint = "`dexmesh up` or `dexmesh mail serve` starts it" if is_not_started else error.hint
    fail(str(error) + (f" although {app} is on" if is_on else ""), hint, Exit.NO_NODE)
