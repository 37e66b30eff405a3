"""Be the service of the apps: mail and phone in one worker, on one page.

Place     base/supervisor.py's worker calls run(); mail/service.py and call/service.py are opened from here
Spec      docs/decisions 0009 (one process), 0013 (where the phone is)
Keeps     opened in order, closed in reverse; mail and call know each other only through what is handed
          over here
Not here  binding sockets and restarting (base/); how parts are kept alive (base/running.py)
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.running import Running
from dexmesh.apps.base.settings import AppSettings, has_mbox, load_settings
from dexmesh.apps.base.sockets import Listening, wishes
from dexmesh.apps.base.supervisor import DONE, REOPEN
from dexmesh.apps.mail.service import MailService

log = logging.getLogger(__name__)


def run(
    home: Home,
    opened_for: AppSettings,
    listening: Listening,
    login: AdminLogin | None,
    is_ready: Callable[[], None],
) -> int:
    """Serve until told to end; an exit code the supervisor understands.

    `opened_for` are the settings the sockets and rights of this process were chosen by.
    """
    settings = load_settings(home)
    if not settings.is_anything_on:
        return DONE
    if _needs(settings) != _needs(opened_for):
        return REOPEN
    os.umask(0o077)  # what is made here is nobody else's to read
    _quiet_libraries()
    return asyncio.run(_serve(home, settings, listening, login, is_ready))


def _needs(settings: AppSettings) -> tuple[object, ...]:
    """What only the supervisor can give: sockets, account, groups."""
    sockets = tuple(wishes(Me.of(settings.key), settings))
    return sockets, settings.mail.account, has_mbox(settings.mail)


def _quiet_libraries() -> None:
    """They log what clients say, addresses included; what matters, our own modules say."""
    for name in ("mail.log", "mail.error", "mail.debug", "pymap", "aiosmtplib"):
        library = logging.getLogger(name)
        library.handlers[:] = [logging.NullHandler()]
        library.propagate = False


async def _serve(
    home: Home,
    settings: AppSettings,
    listening: Listening,
    login: AdminLogin | None,
    is_ready: Callable[[], None],
) -> int:
    running = Running()
    running.watch_signals()
    mail = MailService(home, settings, listening, login, running)
    try:
        await mail.start()
        is_ready()
        log.info("mail is served", extra={"users": len(settings.mail.users)})
        return await running.wait()
    finally:
        await running.close()
        log.info("mail is served no more")
