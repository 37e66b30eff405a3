"""Check what mail needs on this machine: the service, its ports, its home, room on the disk, the queue.

Place     cli/doctor.py -> here -> control socket, /proc, the home of the apps
Spec      docs/apps/mail.md §3 "Start order", §4
Keeps     nothing is changed, no other node is called; every wait is short
Not here  names (apps/names/checks.py), the node itself (cli/doctor_node.py)
"""

from __future__ import annotations

import os
import pwd
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dexmesh.apps.base.control import ControlClient
from dexmesh.apps.base.findings import Finding, fine, worth_knowing, wrong
from dexmesh.apps.base.holders import holder_of, is_taken
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings
from dexmesh.apps.base.sockets import Purpose, Wish, wishes
from dexmesh.errors import DexmeshError, NoServiceError, PermissionNeededError
from dexmesh.wire.address import Address, format_address, format_padded

PATIENCE_S = 2.0
LITTLE_ROOM_BYTES = 1 << 30
NO_ROOM_BYTES = 100 << 20
LITTLE_INODES = 10_000
LONG_WAIT_S = 86_400.0  # mail.md §4: the sender is warned after a day
SOON_S = 14 * 86_400
SMTPD_FILES = ("/etc/smtpd.conf", "/etc/opensmtpd/smtpd.conf", "/etc/mail/smtpd.conf")
NONLOCAL_BIND = Path("/proc/sys/net/ipv6/ip_nonlocal_bind")
MAX_FILE_BYTES = 1 << 20
START = "`dexmesh up` starts it with the node; `dexmesh mail serve` alone"


def stock_checks(address: Address) -> Iterable[Callable[[], Iterator[Finding]]]:
    """What a stock mail server on this node needs, whether or not ours is set up."""
    yield lambda: check_start_order(address)


def checks(home: Home, settings: AppSettings) -> Iterable[Callable[[], Iterator[Finding]]]:
    """All of them; each may run in a thread of its own."""
    me = Me.of(settings.key)
    if not settings.mail.is_on:
        yield _say_off
        return
    yield lambda: check_service(home, me, settings)
    yield lambda: check_home(home, settings)
    yield lambda: check_room(home)
    yield lambda: check_certificate(home)
    yield lambda: check_waiting(home)


def _say_off() -> Iterator[Finding]:
    yield worth_knowing("mail.on", "mail is switched off", "`dexmesh mail on` switches it on")


# --- The service and its ports --------------------------------------------------------------------------


def check_service(home: Home, me: Me, settings: AppSettings) -> Iterator[Finding]:
    """Does it run, and who has the ports it needs?"""
    others = {Purpose.NAMES, Purpose.PHONE}
    wanted = [wish for wish in wishes(me, settings) if wish.purpose not in others]
    try:
        told = _ask(home, "service.status")
    except NoServiceError:
        yield wrong("mail.service", "mail is on, but its service does not run", START)
        yield from _judge_ports(wanted, frozenset())
        return
    except DexmeshError as error:
        yield _unable("mail.service", error)
        return
    yield fine("mail.service", "the mail service runs")
    ours = frozenset(str(one.get("where")) for one in told.get("listening", ()))
    yield from _judge_ports(wanted, ours)


def _judge_ports(wanted: Iterable[Wish], ours: frozenset[str]) -> Iterator[Finding]:
    for wish in wanted:
        if wish.where in ours:
            yield fine("mail.port", f"{wish.where} is ours, for {wish.purpose.value}")
            continue
        if not is_taken(wish.host, wish.port):
            if ours:  # the service runs without it
                todo = (
                    "start the service again: `dexmesh mail off`, `dexmesh mail on`, `dexmesh up`"
                )
                yield wrong(
                    "mail.port", f"nobody listens on {wish.where} ({wish.purpose.value})", todo
                )
            continue
        holder = holder_of(wish.host, wish.port) or "another program (root would see which)"
        what = f"{wish.where} ({wish.purpose.value}) is held by {holder}"
        yield wrong(
            "mail.port", what, f"stop it, or give ours another port in apps.toml: {_key(wish)}"
        )


def _key(wish: Wish) -> str:
    """What the port is called in apps.toml."""
    names = {Purpose.RECEIVE: "receive_port", Purpose.IMAP: "imap_port"}
    return names.get(wish.purpose, "submission_ports")


def check_start_order(address: Address) -> Iterator[Finding]:
    """Stock OpenSMTPD that listens on the mesh address ends if it starts before the node."""
    config = next((text for text in map(_read, SMTPD_FILES) if _listens_on(text, address)), None)
    if config is None or _read(str(NONLOCAL_BIND)).strip() == "1":
        return
    what = "OpenSMTPD listens on the mesh address and ends if it starts before the node"
    todo = "start it after the node, or: sysctl -w net.ipv6.ip_nonlocal_bind=1"
    yield worth_knowing("mail.start-order", what, todo)


def _listens_on(config: str, address: Address) -> bool:
    addresses = (format_address(address), format_padded(address))
    lines = (line.split() for line in config.splitlines())
    listens = (words[2].lower() for words in lines if words[:2] == ["listen", "on"] and words[2:])
    return any(one in addresses for one in listens)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return ""


# --- The home ---------------------------------------------------------------------------------------------


def check_home(home: Home, settings: AppSettings) -> Iterator[Finding]:
    """Is it there, does it belong to the account of the service, and can nobody else read it?"""
    account = settings.mail.account
    try:
        owner = home.path.stat().st_uid
        modes = {path: path.stat().st_mode for path in (home.mail, home.contacts) if path.exists()}
    except OSError as error:
        todo = "`dexmesh mail on` makes it"
        yield wrong("mail.home", f"{home.path} cannot be used: {error.strerror}", todo)
        return
    if account is not None and owner != _uid_of(account):
        what = f"{home.path} does not belong to {account}, whom the service runs as"
        yield wrong("mail.home", what, "`dexmesh mail on` settles it (as root)")
        return
    for path, mode in modes.items():
        if stat.S_IMODE(mode) & 0o077:
            what = f"others on this machine can look into {path}"
            yield wrong("mail.home", what, f"chmod 700 {path}")
            return
    passwords = home.mail / "passwords"
    try:
        is_open = bool(passwords.stat().st_mode & 0o077)
    except OSError:  # not there, or not ours to see
        is_open = False
    if is_open:
        yield wrong("mail.home", f"others can read {passwords}", f"chmod 600 {passwords}")
        return
    yield fine("mail.home", f"{home.path} belongs to {account or 'you'}, and nobody else looks in")


def _uid_of(account: str) -> int | None:
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def check_room(home: Home) -> Iterator[Finding]:
    """Is there room for mail?"""
    try:
        disk = os.statvfs(home.path)
    except OSError as error:
        yield wrong("mail.room", f"{home.path}: {error.strerror}", "see that its disk is there")
        return
    free = disk.f_bavail * disk.f_frsize
    inodes = disk.f_favail if disk.f_files else LITTLE_INODES  # some disks have no limit
    if disk.f_flag & os.ST_RDONLY:
        what = f"the disk of {home.path} is read-only: mail is refused for now"
        yield wrong("mail.room", what, "find out why (dmesg), mount it for writing")
    elif free < NO_ROOM_BYTES or inodes < LITTLE_INODES // 10:
        what = f"no room for mail: {free >> 20} MB are free at {home.path}; mail is refused for now"
        yield wrong("mail.room", what, "make room on that disk")
    elif free < LITTLE_ROOM_BYTES or inodes < LITTLE_INODES:
        what = f"little room for mail: {free >> 20} MB are free at {home.path}"
        yield worth_knowing("mail.room", what, "make room on that disk")
    else:
        yield fine("mail.room", f"{free >> 30} GB are free at {home.path}")


def check_certificate(home: Home, unix_clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """The self-made certificate of submission and IMAP: is there one, and until when?"""
    path = home.mail / "tls.pem"
    try:
        data = path.read_bytes()[:MAX_FILE_BYTES]
    except OSError:
        return  # made when the service starts; or not ours to see
    left_s = _certificate_left_s(data, unix_clock())
    if left_s is None:
        yield wrong("mail.certificate", f"{path} is no certificate", "remove it: a new one is made")
    elif left_s <= 0:
        what = "the certificate for local mail programs has run out"
        yield wrong("mail.certificate", what, f"remove {path}: a new one is made at start")
    elif left_s < SOON_S:
        what = f"the certificate for local mail programs runs out in {left_s // 86_400:.0f} days"
        yield worth_knowing("mail.certificate", what, "the service makes a new one when it starts")
    else:
        yield fine("mail.certificate", "the certificate for local mail programs is good")


def _certificate_left_s(data: bytes, unix_time: float) -> float | None:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(data)
    except ValueError:
        return None
    return certificate.not_valid_after_utc.timestamp() - unix_time


# --- What waits ---------------------------------------------------------------------------------------------


def check_waiting(home: Home) -> Iterator[Finding]:
    """What waits for long, and contacts that cannot be reached or cannot answer."""
    try:
        waiting = _ask(home, "mail.queue").get("waiting", [])
        reports = _ask(home, "reach.reports").get("reports", [])
    except NoServiceError:
        return  # check_service says so
    except DexmeshError as error:
        yield _unable("mail.queue", error)
        return
    yield from judge_waiting(waiting, time.time())
    for report in reports:
        if report.get("is_wrong"):
            said = " ".join(str(one) for one in report.get("sentences", ()))
            yield worth_knowing("mail.reach", said)


def judge_waiting(waiting: list[dict[str, Any]], unix_time: float) -> Iterator[Finding]:
    """One line for all mails and texts that wait."""
    ages = {"mail": list[float](), "text": list[float]()}
    for one in waiting:
        age = unix_time - float(one.get("since_unix", unix_time))
        if age >= LONG_WAIT_S:
            ages[str(one.get("kind", "mail"))].append(age)
    if late := {kind: found for kind, found in ages.items() if found}:
        count = " and ".join(
            f"{len(one)} {kind}{'s' * (len(one) != 1)}" for kind, one in late.items()
        )
        days = int(max(max(one) for one in late.values()) // 86_400)
        what = f"{count} could not be delivered for a day or more (the oldest for {days})"
        yield worth_knowing("mail.queue", what, "`dexmesh mail queue` shows them and why")
    else:
        yield fine("mail.queue", f"{len(waiting)} mails and texts wait, none for long")


def _ask(home: Home, call: str) -> dict[str, Any]:
    with ControlClient(home.control_socket, patience_s=PATIENCE_S) as service:
        return service.call(call)


def _unable(name: str, error: DexmeshError) -> Finding:
    if isinstance(error, PermissionNeededError):
        return worth_knowing(name, f"could not be looked at: {error}", error.hint)
    return wrong(name, f"the mail service does not answer well: {error}", error.hint or START)
