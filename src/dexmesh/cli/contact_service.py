"""Ask the running service for what a new contact needs: is he reachable, does he know of us.

Place     cli/contact_add.py -> here -> control socket (reach.check, mail.send)
Spec      shared issue "Reply-ability"; docs/apps/invitation.md "Accepting"
Keeps     never raises: a service that does not run or fails becomes a sentence
"""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dexmesh.errors import ContactError, DexmeshError, NoServiceError

if TYPE_CHECKING:
    from dexmesh.apps.base.home import Home
    from dexmesh.apps.contacts.contact import Contact
    from dexmesh.apps.contacts.invitation import Invitation
    from dexmesh.wire.keys import PublicKey

_PATIENCE_S = 60.0  # the other node is called, and calls back


def ask_reach(home: Home, contact: Contact) -> tuple[dict[str, Any] | None, list[str]]:
    """The report of the service about the contact's node, and what it says in words."""
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.wire.address import format_address

    address = contact.address
    if address is None:
        return None, []
    if _has_phone_alone(home):
        name = contact.petname
        return None, [f'`dexmesh call {name}` calls, `dexmesh text {name} "words"` writes']
    try:
        with ControlClient(home.control_socket, patience_s=_PATIENCE_S) as client:
            report = client.call("reach.check", to=format_address(address))
    except NoServiceError as error:
        asked = "the mail service does not run, so nobody looked whether mail gets there"
        return None, [f"{asked}; {error.hint}"]
    except (DexmeshError, OSError) as error:
        return None, [f"whether mail gets there is not known: {error}"]
    said = report.get("sentences", [])
    return report, [str(one) for one in said] if isinstance(said, list) else []


def send_request(home: Home, contact: Contact, user: str | None, config: Path | None) -> list[str]:
    """Mail to the inviter who accepted, so that one `dexmesh mail accept` makes the contact there."""
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.contacts.invitation import HEADER, Invitation, encode_invitation

    try:
        own = own_user(home, user)
        me = Invitation(own_key(home, config), own, full_name=full_name_of(own))
        with ControlClient(home.control_socket, own, _PATIENCE_S) as client:
            client.call(
                "mail.send",
                to=[str(contact.mails[0])],
                subject=f"{me.full_name or own} accepted your invitation",
                text=_text(me, encode_invitation(me)),
                headers={HEADER: encode_invitation(me)},
            )
    except NoServiceError as error:
        missing = f"{contact.petname} was not told that you accepted"
        return [f"{missing}: the mail service does not run ({error.hint}); then write to him"]
    except (DexmeshError, OSError) as error:
        return [f"{contact.petname} was not told that you accepted: {error}; write to him"]
    return [
        f"{contact.petname} is told that you accepted; one `dexmesh mail accept` there and all is done"
    ]


def own_user(home: Home, named: str | None) -> str:
    """The local mail user who acts. Raises ContactError if that is not clear."""
    from dexmesh.apps.base.settings import is_user_name, load_settings

    users: tuple[str, ...] = ()
    accounts: dict[str, str] = {}
    with contextlib.suppress(DexmeshError):
        settings = load_settings(home)
        users = tuple(one.name for one in settings.mail.users)
        accounts = {one.account_name: one.name for one in settings.mail.users}
    if named is not None:
        if users and named.lower() not in users:
            raise ContactError(f"nobody here is called {named!r}", f"users are: {', '.join(users)}")
        return named.lower()
    account = _account()
    if account in accounts:
        return accounts[account]
    if len(users) == 1:
        return users[0]
    if not users and account != "root" and is_user_name(account):
        return account
    hint = f"--user says so: {', '.join(users)}" if users else "--user NAME says so"
    raise ContactError("it is not clear which local user is meant", hint)


def is_own(home: Home, invitation: Invitation, user: str | None) -> bool:
    """Whether somebody is about to accept what he made himself."""
    from dexmesh.apps.base.settings import load_settings

    with contextlib.suppress(DexmeshError):
        is_here = load_settings(home).key == invitation.key
        return is_here and own_user(home, user) == invitation.user
    return False


def own_key(home: Home, config: Path | None) -> PublicKey:
    """The key of this node. Raises DexmeshError if nobody knows it."""
    from dexmesh.apps.base.settings import load_settings
    from dexmesh.cli.service_node import find_node, require_key

    with contextlib.suppress(DexmeshError):
        if config is None:
            return load_settings(home).key
    return require_key(find_node(config), None)


def takes_mail(home: Home) -> bool:
    """Whether mail is switched on, as far as we may know."""
    from dexmesh.apps.base.settings import load_settings

    try:
        return home.settings_file.exists() and load_settings(home).mail.is_on
    except (DexmeshError, OSError):  # not ours to read
        return True


def _has_phone_alone(home: Home) -> bool:
    from dexmesh.apps.base.settings import load_settings

    try:
        settings = load_settings(home)
    except (DexmeshError, OSError):
        return False
    return settings.phone.is_on and not settings.mail.is_on


def full_name_of(user: str) -> str:
    """The full name the account of that name has on this machine; often empty."""
    try:
        name = pwd.getpwnam(user).pw_gecos.split(",")[0].strip()
    except (KeyError, ValueError):
        return ""
    return name if name.isprintable() and len(name) <= 80 and name.lower() != user else ""


def _account() -> str:
    uid = os.geteuid()
    if uid == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _text(me: Any, uri: str) -> str:
    return (
        f"{me.full_name or me.user} accepted your invitation and wants to exchange mail with you.\n\n"
        f"`dexmesh mail accept` makes the contact. By hand:\n\n"
        f"    dexmesh contact add {uri}\n"
    )
