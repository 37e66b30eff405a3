"""Decide what the settings become when mail or phone is switched on or off, and when users come and go.

Place     cli/mail_service.py, cli/mail_users.py, cli/phone_service.py -> here -> base/settings.py writes it
Spec      docs/apps/mail.md §4 (ours: what a first `mail on` chooses)
Keeps     settings in, settings out; what a person wrote into apps.toml stays unless it is what was asked
          to be changed
Not here  files, accounts of this machine, the running service
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dexmesh.apps.base.settings import (
    MAX_USERS,
    AppSettings,
    MailSettings,
    UserSettings,
    is_user_name,
)
from dexmesh.errors import AppError
from dexmesh.wire.keys import PublicKey

_ROLES = ("postmaster", "root")  # RFC 5321 §4.5.1; cron and friends


def switch_mail_on(
    former: AppSettings | None,
    key: PublicKey,
    account: str,
    users: Sequence[str],
    host_name: str,
) -> AppSettings:
    """Mail on for these users (none named: those there are, else the account itself).

    Raises AppError for a name that cannot be a user's.
    """
    settings = _with_people(former, key, account, users, host_name)
    return dataclasses.replace(settings, mail=dataclasses.replace(settings.mail, is_on=True))


def switch_phone_on(
    former: AppSettings | None,
    key: PublicKey,
    account: str,
    users: Sequence[str],
    host_name: str,
) -> AppSettings:
    """The phone on, likewise; mail stays as it is."""
    settings = _with_people(former, key, account, users, host_name)
    return dataclasses.replace(settings, phone=dataclasses.replace(settings.phone, is_on=True))


def _with_people(
    former: AppSettings | None,
    key: PublicKey,
    account: str,
    users: Sequence[str],
    host_name: str,
) -> AppSettings:
    settings = former or AppSettings(key, MailSettings(host_names=_host_names(host_name)))
    mail = dataclasses.replace(settings.mail, account=account)
    for name in users or (() if mail.users else _first_user(account)):
        if mail.user(name) is None:
            mail = add_user(mail, UserSettings(_checked(name)))
    return dataclasses.replace(settings, key=key, mail=mail)


def switch_mail_off(settings: AppSettings) -> AppSettings:
    """Mail off; everything else stays for the next time."""
    return dataclasses.replace(settings, mail=dataclasses.replace(settings.mail, is_on=False))


def switch_phone_off(settings: AppSettings) -> AppSettings:
    """The phone off, likewise."""
    return dataclasses.replace(settings, phone=dataclasses.replace(settings.phone, is_on=False))


def add_user(mail: MailSettings, user: UserSettings) -> MailSettings:
    """With this user, or with what is known of it changed. The first one also answers for postmaster.

    Raises AppError for a name that cannot be a user's, or one user too many.
    """
    _checked(user.name)
    others = tuple(one for one in mail.users if one.name != user.name)
    if len(others) >= MAX_USERS:
        raise AppError(f"there are {MAX_USERS} users already", "more are not supported")
    users = tuple(user if one.name == user.name else one for one in mail.users)
    if len(others) == len(mail.users):
        users = (*mail.users, user)
    aliases = dict(mail.aliases)
    if not others:
        roles = (role for role in _ROLES if role != user.name)
        aliases = dict.fromkeys(roles, (user.name,)) | aliases
    return dataclasses.replace(mail, users=users, aliases=aliases)


def remove_user(mail: MailSettings, name: str) -> MailSettings:
    """Without this user, also in aliases. Raises AppError if there is none of that name."""
    if mail.user(name) is None:
        known = ", ".join(user.name for user in mail.users) or "none"
        raise AppError(f"there is no mail user {name!r}", f"users are: {known}")
    gone = name.lower()
    kept = {
        alias: tuple(user for user in users if user != gone)
        for alias, users in mail.aliases.items()
    }
    return dataclasses.replace(
        mail,
        users=tuple(user for user in mail.users if user.name != gone),
        aliases={alias: users for alias, users in kept.items() if users},
    )


def changed_user(
    former: UserSettings | None, name: str, account: str | None, mbox: Path | None
) -> UserSettings:
    """The user with what was asked for; the rest as it was."""
    user = former or UserSettings(_checked(name))
    return dataclasses.replace(
        user,
        account=user.account if account is None else account,
        mbox=user.mbox if mbox is None else mbox,
    )


def _first_user(account: str) -> tuple[str, ...]:
    """A person's account is its own first user; one made for the service is nobody's mailbox."""
    return () if account == "dexmesh" else (account.lower(),)


def _checked(name: str) -> str:
    if not is_user_name(name.lower()):
        hint = "small letters, digits, . _ - and no more than 64 of them; name one with --user"
        raise AppError(f"{name!r} cannot be the name of a mail user", hint)
    return name.lower()


def _host_names(host_name: str) -> tuple[str, ...]:
    """The name of this machine, if it can stand behind an @."""
    is_plain = all(part.replace("-", "").isalnum() for part in host_name.split("."))
    return (host_name,) if host_name.isascii() and is_plain and host_name != "localhost" else ()
