"""Become the Unix account the apps run as, for good.

Place     supervisor.py's worker -> here; cli/service_node.py finds the account
Spec      docs/apps/mail.md §4 (ours: own unprivileged process); capabilities(7)
Keeps     afterwards this process is that account, has no capability and can gain none
Not here  the node's own rights (host/privileges.py)
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd

from dexmesh.errors import HostError, PermissionNeededError
from dexmesh.values import dataclass

MAILBOX_GROUP = "mail"  # may write in /var/mail

_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Account:
    """A Unix account: name, uid, gid, and the further groups it shall have."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def find_account(name: str, *, with_mailboxes: bool = False) -> Account:
    """The account of this name. `with_mailboxes`: it may write in /var/mail, too.

    Raises HostError if there is none, or if it is root: the apps never run as root.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        hint = f"`useradd --system {name}` makes it, `dexmesh mail on --account NAME` takes another"
        raise HostError(f"there is no account {name!r} on this machine", hint) from None
    if entry.pw_uid == 0:
        hint = "`dexmesh mail on --account NAME` takes another account"
        raise HostError("the mail service does not run as root", hint)
    return Account(name, entry.pw_uid, entry.pw_gid, _mailbox_group() if with_mailboxes else ())


def account_of(uid: int) -> Account:
    """The account with this number. Raises HostError like `find_account`."""
    try:
        return find_account(pwd.getpwuid(uid).pw_name)
    except KeyError:
        raise HostError(f"there is no account with the number {uid} on this machine") from None


def own_account() -> Account:
    """Who this process is."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, os.getegid())


def become(account: Account) -> None:
    """Be this account from now on. Raises PermissionNeededError if the kernel refuses."""
    try:
        if os.geteuid() == 0:
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise PermissionNeededError(
            f"cannot become {account.name}: {error.strerror}", "start it as that account"
        ) from None
    if os.geteuid() != account.uid:
        raise PermissionNeededError(
            f"this is to run as {account.name}", "start it as that account, or as root"
        )
    _drop_capabilities()


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise PermissionNeededError(f"the kernel refused to drop rights: {reason}")


def _mailbox_group() -> tuple[int, ...]:
    try:
        return (grp.getgrnam(MAILBOX_GROUP).gr_gid,)
    except KeyError:
        return ()
