"""Open every listening socket of the apps at once, before any right is given up.

Place     cli/mail_serve.py -> here -> supervisor.py, which hands the sockets to the worker
Spec      docs/apps/mail.md §4 (ports), §3 "Start order" (IPV6_FREEBIND: the address may come later)
Keeps     mail for the mesh address is never missed in silence: that port is needed or nothing starts;
          another port that is taken is a warning as long as the others serve its purpose
Not here  who serves them (apps/service.py)
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from enum import Enum

from dexmesh.apps.base.holders import holder_of
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings
from dexmesh.errors import BindError, PermissionNeededError
from dexmesh.values import dataclass
from dexmesh.wire.address import format_address

BACKLOG = 256  # ours: connections that wait while a worker is replaced

_IPV6_FREEBIND = 78  # linux/in6.h
_LOOPBACKS = ("127.0.0.1", "::1")
_RIGHTS_HINT = (
    "start it as root, or let systemd give the right (AmbientCapabilities=CAP_NET_BIND_SERVICE, as in "
    "packaging/systemd/dexmesh-mail.service), or `sysctl net.ipv4.ip_unprivileged_port_start=25`"
)


class Purpose(Enum):
    """What a socket is for."""

    RECEIVE = "mail from the mesh"
    SUBMIT = "mail from programs here"
    IMAP = "reading with IMAP"
    NAMES = "names"
    PHONE = "calls and texts"


@dataclass(frozen=True, slots=True)
class Wish:
    """A socket to open."""

    purpose: Purpose
    host: str
    port: int
    is_tcp: bool = True

    @property
    def where(self) -> str:
        """`[::1]:25`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket that is bound; it listens if it is TCP."""

    wish: Wish
    socket: socket.socket


@dataclass(frozen=True, slots=True)
class Listening:
    """Every socket of the service, and in words what could not be had."""

    opened: tuple[Opened, ...]
    warnings: tuple[str, ...] = ()

    def of(self, purpose: Purpose, *, is_tcp: bool = True) -> tuple[socket.socket, ...]:
        """The sockets for this purpose."""
        return tuple(
            one.socket
            for one in self.opened
            if one.wish.purpose is purpose and one.wish.is_tcp == is_tcp
        )

    def close(self) -> None:
        """Close them all."""
        for one in self.opened:
            one.socket.close()


def wishes(me: Me, settings: AppSettings) -> list[Wish]:
    """The sockets these settings ask for, the most important first."""
    mail, names, phone = settings.mail, settings.names, settings.phone
    wanted: list[Wish] = []
    if mail.is_on:
        wanted.append(Wish(Purpose.RECEIVE, format_address(me.address), mail.receive_port))
        for port in mail.submission_ports:
            wanted += [Wish(Purpose.SUBMIT, host, port) for host in _LOOPBACKS]
        if mail.imap_port:
            wanted += [Wish(Purpose.IMAP, host, mail.imap_port) for host in _LOOPBACKS]
    if phone.is_on:
        host = format_address(me.address)
        wanted += [Wish(Purpose.PHONE, host, phone.port, is_tcp) for is_tcp in (False, True)]
    if names.is_on:
        wanted += [Wish(Purpose.NAMES, names.host, names.port, is_tcp) for is_tcp in (False, True)]
    return wanted


def open_all(wanted: Sequence[Wish]) -> Listening:
    """Open them. Raises BindError or PermissionNeededError if mail could not be received or submitted."""
    opened: list[Opened] = []
    refused: list[tuple[Wish, OSError]] = []
    for wish in wanted:
        try:
            opened.append(Opened(wish, _open(wish)))
        except OSError as error:
            refused.append((wish, error))
    for wish, reason in refused:
        if not _is_replaced(wish, opened):
            for one in opened:
                one.socket.close()
            raise _refusal(wish, reason)
    return Listening(tuple(opened), tuple(_warning(*one) for one in refused))


def _is_replaced(wish: Wish, opened: Sequence[Opened]) -> bool:
    """Whether the service is of use without this socket."""
    if wish.purpose in {Purpose.IMAP, Purpose.NAMES, Purpose.PHONE}:
        return True
    return any(one.wish.purpose is wish.purpose for one in opened)


def _open(wish: Wish) -> socket.socket:
    family = socket.AF_INET6 if ":" in wish.host else socket.AF_INET
    kind = socket.SOCK_STREAM if wish.is_tcp else socket.SOCK_DGRAM
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if wish.is_tcp:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if wish.purpose in {Purpose.RECEIVE, Purpose.PHONE}:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        opened.bind((wish.host, wish.port))
        if wish.is_tcp:
            opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _refusal(wish: Wish, error: OSError) -> BindError | PermissionNeededError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermissionNeededError(f"may not listen on {wish.where}", _RIGHTS_HINT)
    if error.errno != errno.EADDRINUSE:
        return BindError(f"cannot listen on {wish.where}: {_reason(error)}")
    name = "receive_port" if wish.purpose is Purpose.RECEIVE else "submission_ports"
    return BindError(
        f"{wish.where} ({wish.purpose.value}) is taken by {_holder(wish)}",
        f"end that program or make it listen elsewhere; `{name}` in apps.toml moves ours",
    )


def _warning(wish: Wish, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{wish.where} ({wish.purpose.value}) is taken by {_holder(wish)}: going on without it"
        )
    return (
        f"{wish.where} ({wish.purpose.value}) cannot be had: {_reason(error)}; going on without it"
    )


def _holder(wish: Wish) -> str:
    return holder_of(wish.host, wish.port, is_tcp=wish.is_tcp) or "another program"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
