"""`dexmesh up`: be on the mesh.

Place     cli/main.py -> here -> host/daemon.py; cli/panel.py draws on a terminal
Spec      docs/protocol/09 §5 (what is decided when something is wrong)
Keeps     every mistake in the configuration is said before anything starts
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.config import load_file, warnings_of
from dexmesh.cli.mail_child import MailChild, start_mail
from dexmesh.cli.output import fail, note, reports_errors
from dexmesh.cli.places import ConfigOption, find_config, new_config_path
from dexmesh.config.files import write_secret_file

if TYPE_CHECKING:
    from dexmesh.cli.panel import Panel
    from dexmesh.config.settings import Settings


@reports_errors
def up(
    config: ConfigOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Log lines instead of the panel, even on a terminal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Log lines as JSON, no panel.")] = False,
) -> None:
    """Start the node in the foreground: a live panel on a terminal, log lines elsewhere."""
    from dexmesh.cli.running import is_running

    path = find_config(config) or _first_configuration()
    loaded = load_file(path)
    for warning in warnings_of(path, loaded):
        note(f"warning: {warning}")
    settings = _with_format(loaded.settings, as_json)
    if is_running(settings.admin):
        fail(
            f"a node is running already: it answers on {settings.admin.host}:{settings.admin.port}",
            "`dexmesh status` asks it; another `admin.bind` lets two nodes run side by side",
        )
    from dexmesh.host.daemon import RunOptions, run

    has_panel = not (plain or as_json) and _can_draw()
    mail = start_mail(path, as_json=as_json, keeps_output=has_panel)
    try:
        panel = _panel(mail) if has_panel else None
        code = run(settings, RunOptions(foreground=True, watcher=panel))
    finally:
        if mail is not None:
            mail.end()
    raise SystemExit(code)


def _can_draw() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _panel(mail: MailChild | None) -> Panel:
    from dexmesh.cli.panel import Panel

    return Panel(take_lines=mail.take_lines if mail else None)


def _first_configuration() -> Path:
    """The first start: one command is enough to be on the mesh."""
    from dexmesh.config.generate import generate
    from dexmesh.engine.keys import public_key_of

    path = new_config_path(None)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret_file(path, generate(os.urandom, public_key_of))
    note(f"made a configuration for this node: {path}")
    note("it calls nobody yet: `dexmesh peer add` tells it whom to call")
    return path


def _with_format(settings: Settings, as_json: bool) -> Settings:
    if not as_json:
        return settings
    from dataclasses import replace

    return replace(settings, logging=replace(settings.logging, format="json"))
