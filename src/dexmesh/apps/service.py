"""Be the service of the apps: mail and phone in one worker, on one page.

Place     base/supervisor.py's worker calls run(); mail/service.py and call/service.py are opened from here
Spec      docs/decisions 0009 (one process), 0013 (where the phone is)
Keeps     opened in order, closed in reverse; mail and call know each other only through what is handed
          over here; a phone that does not start leaves mail flowing
Not here  binding sockets and restarting (base/); how parts are kept alive (base/running.py)
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.carrier import QueuedText
from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.running import Running
from dexmesh.apps.base.settings import AppSettings, has_mbox, load_settings
from dexmesh.apps.base.sockets import Listening, Purpose, wishes
from dexmesh.apps.base.supervisor import DONE, REOPEN
from dexmesh.apps.call import control_calls
from dexmesh.apps.call.people import Acquaintances, Inhabitants
from dexmesh.apps.call.preferences import Preferences
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.sip.uri import parse_uri
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.texting import Texting
from dexmesh.apps.call.voicemail import Recording, Voicemail
from dexmesh.apps.mail.proto.letters import Attached, Letter
from dexmesh.apps.mail.service import MailService
from dexmesh.errors import AppError, NoServiceError

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
    _explain_phone(mail, settings, listening)
    try:
        await mail.start()
        if settings.phone.is_on:
            await running.attempt("phone", _open_phone(home, settings, listening, mail))
        is_ready()
        if settings.mail.is_on:
            log.info("mail is served", extra={"users": len(settings.mail.users)})
        return await running.wait()
    finally:
        await running.close()
        log.info("the service has ended")


def _explain_phone(mail: MailService, settings: AppSettings, listening: Listening) -> None:
    """What whoever asks for the phone hears as long as it is not there."""
    why = NoServiceError("the phone is switched off", "`dexmesh phone on` switches it on")
    if settings.phone.is_on:
        taken = [one for one in listening.warnings if Purpose.PHONE.value in one]
        why = NoServiceError(
            "the phone did not start, or not yet", "; ".join(taken) or "its log says why"
        )
    for group in ("phone", "call", "text"):
        mail.control.explain(group, why)


async def _open_phone(
    home: Home, settings: AppSettings, listening: Listening, mail: MailService
) -> None:
    """Open the phone beside the mail, and hand each what it needs of the other."""
    folder = home.path / "phone"
    history = History(folder)
    await history.open()
    mail.running.opened("history of calls", history.close)
    service = PhoneService(
        *(mail.me, settings),
        Acquaintances(mail.me, mail.book, mail.store.is_blocked),
        Inhabitants(settings.mail),
        history,
        Preferences(folder / "users.json", settings.phone),
        mail.delivery.heard,
    )
    mail.running.opened("phone", service.close)
    if not await service.start(listening):
        log.warning("calls and texts are not served: their port could not be had")
        return
    mail.running.keep("history of calls", service.write)
    letters = _Letters(mail)
    texting = Texting(service, mail.queue.texts, letters.post_text)
    await texting.open()
    mail.texts.take_carrier(texting)
    voicemail = Voicemail(service, settings.phone, folder / "voicemail", letters.post_recording)
    await voicemail.open()
    mail.running.opened("voicemail", voicemail.close)
    mail.running.keep("voicemail", voicemail.run)
    control_calls.register(mail.control, service, texting, mail.book)
    log.info("calls and texts are served")


class _Letters:
    """What the phone puts into the mail."""

    def __init__(self, mail: MailService) -> None:
        self._mail = mail

    async def post_text(self, user: str, text: QueuedText) -> None:
        """A text that waited too long goes as a mail to the same person."""
        remote = parse_uri(text.uri).user
        if not remote:
            there = self._mail.book.by_address(text.address)
            mails = [one for contact in there for one in contact.mesh_mails()]
            if not mails:
                hint = "`dexmesh mail send NAME@[IPv6:...]` writes to somebody there"
                raise AppError("nobody there is known by name", hint)
            remote = mails[0].local
        to = Mailbox(remote, literal(text.address))
        subject = " ".join(text.body.split())[:60]
        sender = Mailbox(user, self._mail.me.literal)
        await self._mail.postman.post(user, Letter(sender, (to,), subject, text.body))

    async def post_recording(self, user: str, recording: Recording) -> str:
        """What somebody said to the machine, as a mail of the user to himself; its Message-ID."""
        caller, me = recording.caller, self._mail.me
        reply_to = Mailbox(caller.claimed_user or "postmaster", literal(caller.address))
        letter = Letter(
            Mailbox(user, me.literal, "Voicemail"),
            (Mailbox(user, me.literal),),
            f"Voicemail from {recording.name} ({recording.seconds:.0f} s)",
            recording.words(),
            attached=(Attached(recording.file_name, "audio/x-wav", recording.content),),
            headers=(("Reply-To", str(reply_to)),),
        )
        return await self._mail.postman.post(user, letter)
