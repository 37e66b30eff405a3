"""`dexmesh mail serve`: run the mail service, watched over, until told to end.

Place     cli/mail_commands.py, systemd, cli/mail_child.py -> here -> apps/base/supervisor.py
Spec      docs/apps/mail.md §4; docs/decisions on the one process of the apps
Keeps     sockets and rights are taken first, given up by the worker at once; the process that supervises
          imports nothing heavy
Not here  what the service does (apps/service.py)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.apps.base.home import Home, find_home
from dexmesh.cli.mail import app
from dexmesh.cli.output import Exit, example, fail, note, reports_errors
from dexmesh.cli.places import ConfigOption
from dexmesh.cli.service import HomeOption
from dexmesh.errors import BindError

if TYPE_CHECKING:
    from dexmesh.apps.base.settings import AppSettings
    from dexmesh.apps.base.sockets import Listening, Wish
    from dexmesh.cli.service_node import NodeFacts

FORMER_S = 25.0  # ours: a node that starts again waits for the service of the one that was killed
FORMER_PORTS_S = 5.0  # ours: and for its ports
_STEP_S = 0.1


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
    from dexmesh.cli.service_node import find_node

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
    from dexmesh.cli.service_node import require_same

    settings = load_settings(home)
    if not settings.is_anything_on:
        hint = "`dexmesh mail on` or `dexmesh phone on` switches it on"
        fail("mail and phone are switched off", hint, Exit.CONFIG)
    require_same(facts, home, settings)
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
    from dexmesh.cli.service_node import serving_account
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
        from dexmesh.apps.preload import preload

        preload()  # heavy, and only for the worker

    def work(is_ready: Callable[[], None]) -> int:
        from dexmesh.apps.service import run

        return run(home, settings, listening, facts.login, is_ready)

    def ready() -> None:
        notify("READY=1", f"STATUS=mail for {len(settings.mail.users)} users")

    return supervise(work, Options(account, prepare, lifeline, ready))
