"""Give up every right the node does not need once it is set up.

Place     daemon.py, after sockets and TUN are open
Spec      docs/protocol/09 §4 "Security steps"; docs/decisions/0004 says what we do differently
Keeps     afterwards this process has no other capability than CAP_NET_ADMIN and can gain none
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import pwd

from dexmesh.errors import HostError, PermissionNeededError
from dexmesh.host.routes_library import iproute_class, netlink_error_class
from dexmesh.values import dataclass

CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN = 6, 7, 12
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 8, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY_FILE = "/proc/sys/kernel/cap_last_cap"
_LATE_MODULES = (
    "concurrent.futures.thread",  # the threads of asyncio
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "traceback",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine to become: name, uid, gid."""

    name: str
    uid: int
    gid: int


def find_account(name: str) -> Account:
    """The account of that name; HostError with a hint when there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise HostError(
            f"there is no user {name!r} on this machine",
            'set "setuser" in the security section to a user that exists, or to 0 to keep running as you are',
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def account_to_become(user: str | None) -> Account | None:
    """Whom drop_privileges() will become: None where we stay who we are. HostError: no such user."""
    return find_account(user) if user is not None and os.geteuid() == 0 else None


def drop_privileges(user: str | None, keep_net_admin: bool) -> None:
    """Become `user` (None: stay who we are) and keep CAP_NET_ADMIN at most.

    Where we are not allowed to change user (not root, or a user namespace with one user), only the
    capabilities are dropped, and the log says so. Raises HostError when the kernel refuses that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    account = account_to_become(user)
    _import_the_rest()
    _drop_bounding_set(libc, keep_net_admin)
    if account is not None:
        _become(libc, account)
    _set_capabilities(libc, 1 << CAP_NET_ADMIN if keep_net_admin else 0)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)


def _import_the_rest() -> None:
    """Modules that are imported late: the new user may not be able to read where they are."""
    for name in _LATE_MODULES:
        importlib.import_module(name)
    iproute_class()
    netlink_error_class()


def _become(libc: ctypes.CDLL, account: Account) -> None:
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except PermissionError as error:
        log.warning("cannot change user", extra={"user": account.name, "reason": str(error)})
    except OSError as error:  # EINVAL: the user does not exist in this user namespace
        log.warning("cannot change user", extra={"user": account.name, "reason": str(error)})
    finally:
        _prctl(libc, _PR_SET_KEEPCAPS, 0)


def _drop_bounding_set(libc: ctypes.CDLL, keep_net_admin: bool) -> None:
    """What is not in the bounding set can never be gained again, not even by a set-uid program."""
    with open(_LAST_CAPABILITY_FILE, encoding="ascii") as file:
        last = int(file.read())
    for capability in range(last + 1):
        if keep_net_admin and capability == CAP_NET_ADMIN:
            continue
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused without CAP_SETPCAP: no matter


def _set_capabilities(libc: ctypes.CDLL, wanted: int) -> None:
    """Permitted and effective become (what we have AND wanted); inheritable becomes empty."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low words, then high words
    if libc.capget(header, sets) != 0:
        raise _refused("capget")
    kept = sets[1] & wanted
    sets[:] = [kept, kept, 0, 0, 0, 0]
    if libc.capset(header, sets) != 0:
        raise _refused("capset")


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise _refused(f"prctl {option}")


def _refused(call: str) -> PermissionNeededError:
    reason = os.strerror(ctypes.get_errno())
    return PermissionNeededError(
        f"the kernel refused to drop privileges ({call}: {reason})",
        'set {"setuser": 0} in the security section if this machine cannot do it',
    )
