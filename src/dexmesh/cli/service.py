"""Reach the service of the apps: where it lives, who asks, what its settings are.

Place     cli/mail_*.py, cli/phone_*.py, cli/call*.py, cli/text*.py -> here -> control socket, apps.toml
Spec      ours: apps/base/control.py, docs/decisions/0009 (one service for all apps)
Keeps     nothing heavy is imported with this; settings that are not ours to read are no failure here
Not here  which node it is and which account runs it (service_node.py)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.apps.base.home import HOME_VARIABLE, Home, find_home
from dexmesh.errors import HostError, NoServiceError

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.base.settings import AppSettings

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
