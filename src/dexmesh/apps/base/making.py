"""Make the home of the apps, and see that it belongs to the account they run as.

Place     `dexmesh mail on` -> here; the supervisor asks whose home it is
Spec      docs/apps/mail.md §4 (ours: own unprivileged process)
Keeps     others on this machine can reach the control socket in it and nothing else; root never follows
          a link that another account put there, and hands over only what belonged to the former owner
Not here  what is in it (settings.py and the stores)
"""

from __future__ import annotations

import os
from pathlib import Path

from dexmesh.apps.base.account import Account, account_of, become
from dexmesh.apps.base.home import Home
from dexmesh.errors import HostError, PermissionNeededError

_HOME_MODE = 0o711  # to pass through, not to look around
_INNER_MODE = 0o700


def make_home(home: Home, account: Account) -> None:
    """The folders of a home, owned by this account. Nothing in it is lost; may be called again."""
    try:
        home.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        former = _make(home.path, _HOME_MODE, account)
        for inner in (home.contacts, home.mail, home.mail_users):
            _make(inner, _INNER_MODE, account)
        if former not in (None, account.uid):
            _hand_over(home.path, former, account)
    except PermissionError as error:
        hint = "run it as root, or name a folder of yours with --home"
        raise PermissionNeededError(f"{error.filename} may not be made by you", hint) from None
    except OSError as error:
        raise HostError(f"{error.filename or home.path}: {error.strerror}") from None


def owner_of(home: Home) -> int:
    """The uid of whoever owns this home. Raises HostError if it is not there."""
    try:
        return home.path.stat().st_uid
    except OSError as error:
        hint = "`dexmesh mail on` makes it, --home names another folder"
        raise HostError(f"{home.path}: {error.strerror}", hint) from None


def act_as_owner(home: Home) -> None:
    """Become the owner of the home for the rest of this program, so that what it writes is the owner's.

    Root calls it before it writes there; nobody else can or need. Raises HostError, as `owner_of`.
    """
    owner = owner_of(home)
    if os.geteuid() == 0 and owner != 0:
        become(account_of(owner))


def _make(path: Path, mode: int, account: Account) -> int | None:
    """One folder with this mode and owner; whose it was before (None: it is new)."""
    former: int | None = None
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        former = path.lstat().st_uid
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, mode)
        if os.geteuid() == 0:
            os.fchown(descriptor, account.uid, account.gid)
    finally:
        os.close(descriptor)
    return former


def _hand_over(root: Path, former: int | None, account: Account) -> None:
    """Everything below that was the former owner's. Hard links to files of others stay theirs."""
    for _, folders, files, at in os.fwalk(root, follow_symlinks=False):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=at, follow_symlinks=False).st_uid == former:
                os.chown(name, account.uid, account.gid, dir_fd=at, follow_symlinks=False)
