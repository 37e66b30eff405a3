"""Write what this machine needs so that its programs ask our resolver for names of the mesh.

Place     cli/names.py, checks.py -> here: facts of the machine in, text for its owner out
Spec      docs/apps/mail.md §2; dnsmasq(8) --server, unbound.conf(5) stub-zone, resolvectl(1)
Keeps     resolv.conf is never written, and nobody is told to write our resolver into it
Not here  doing it (resolved.py does, where systemd-resolved runs)
"""

from __future__ import annotations

import contextlib
import enum
import glob
import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from dexmesh.apps.base.holders import holder_of
from dexmesh.apps.names.resolved import commands, is_resolved_running
from dexmesh.apps.names.zones import Zone
from dexmesh.values import dataclass

RESOLV_CONF = Path("/etc/resolv.conf")
MAX_FILE_BYTES = 65_536
MAX_SERVERS = 8

_ZONES = tuple(zone.text for zone in Zone)
_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_NETWORK_MANAGER_DNSMASQ = Path("/etc/NetworkManager/dnsmasq.d")
_CONFIGURATIONS = (
    str(RESOLV_CONF),
    "/etc/dnsmasq.conf",
    "/etc/dnsmasq.d/*",
    f"{_NETWORK_MANAGER_DNSMASQ}/*",
    "/etc/unbound/unbound.conf",
    "/etc/unbound/unbound.conf.d/*.conf",
)
MAX_CONFIGURATIONS = 100  # ours: files that are looked into
_KNOWN_HOLDERS = ("dnsmasq", "unbound", "systemd-resolve")  # as /proc/PID/comm has them


class Resolver(enum.Enum):
    """Who answers the programs of this machine."""

    RESOLVED = "systemd-resolved"
    DNSMASQ = "dnsmasq"
    NETWORK_MANAGER = "NetworkManager with dnsmasq"
    UNBOUND = "unbound"
    OTHER_LOCAL = "another local resolver"
    PLAIN = "a name server elsewhere"
    NONE = "nobody"


@dataclass(frozen=True, slots=True)
class Situation:
    """How names are resolved here. `holder` names the program behind the first server, if local."""

    resolver: Resolver
    servers: tuple[str, ...]
    holder: str = ""
    is_resolved_idle: bool = False  # it runs, but resolv.conf leads elsewhere


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do. `text` is what to run or to put into `file`; `checker` judges that file."""

    title: str
    text: str
    file: str = ""
    after: str = ""  # a command that makes it count
    checker: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_servers(path: Path = RESOLV_CONF) -> tuple[str, ...]:
    """The name servers the programs of this machine ask; none if there is no such file."""
    return tuple(_NAMESERVER.findall(_read(path)))[:MAX_SERVERS]


def sent_here_by(host: str, patterns: Sequence[str] = _CONFIGURATIONS) -> Path | None:
    """The file by which the owner of this machine sends its programs to our resolver; None without."""
    ours = re.compile(rf"^\s*[^#\s].*(?<![\w.:]){re.escape(host)}(?![\w.:])", re.MULTILINE)
    found = (Path(one) for pattern in patterns for one in sorted(glob.glob(pattern)))
    return next(
        (path for path in islice(found, MAX_CONFIGURATIONS) if ours.search(_read(path))), None
    )


def _read(path: Path) -> str:
    """The beginning of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def find_situation(
    servers: tuple[str, ...] | None = None,
    holder: Callable[[str], str | None] | None = None,
    is_resolved: Callable[[], bool] = is_resolved_running,
) -> Situation:
    """How names are resolved on this machine, now."""
    servers = read_servers() if servers is None else servers
    runs_resolved = is_resolved()
    if not servers:
        if runs_resolved:
            return Situation(Resolver.RESOLVED, servers)
        return Situation(Resolver.NONE, servers)
    first = servers[0]
    if not first.startswith("127.") and first != "::1":
        return Situation(Resolver.PLAIN, servers, is_resolved_idle=runs_resolved)
    if first in ("127.0.0.53", "127.0.0.54") and runs_resolved:
        return Situation(Resolver.RESOLVED, servers, "systemd-resolved")
    name = ((holder or _holder)(first) or "").split(" ")[0]
    return Situation(_resolver_of(name), servers, name, runs_resolved)


def _holder(server: str) -> str | None:
    """Who answers there; where the kernel does not say, the only such program that runs."""
    return holder_of(server, 53, is_tcp=False) or _only_known()


def _only_known() -> str | None:
    found = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # gone meanwhile
            name = comm.read_text(errors="replace").strip()
            if name.startswith(_KNOWN_HOLDERS):
                found.add(name)
    return found.pop() if len(found) == 1 else None


def _resolver_of(holder: str) -> Resolver:
    if holder == "dnsmasq":
        is_managed = _NETWORK_MANAGER_DNSMASQ.is_dir() and Path("/run/NetworkManager").is_dir()
        return Resolver.NETWORK_MANAGER if is_managed else Resolver.DNSMASQ
    if holder == "unbound":
        return Resolver.UNBOUND
    return Resolver.RESOLVED if holder.startswith("systemd-resolv") else Resolver.OTHER_LOCAL


def advise(situation: Situation, device: str, host: str, port: int) -> Advice:
    """What to do in this situation. `device` is the TUN device; the resolver is at host and port."""
    resolver = situation.resolver
    if resolver is Resolver.RESOLVED:
        return _advise_resolved(device, host, port)
    if resolver in (Resolver.DNSMASQ, Resolver.NETWORK_MANAGER):
        return _advise_dnsmasq(resolver is Resolver.NETWORK_MANAGER, host, port)
    if resolver is Resolver.UNBOUND:
        return _advise_unbound(host, port)
    if resolver is Resolver.OTHER_LOCAL:
        return _advise_other(situation, host, port)
    return _advise_plain(situation, host, port)


def _advise_resolved(device: str, host: str, port: int) -> Advice:
    lines = [" ".join(command) for command in commands(device, host, port)]
    return Advice(
        "systemd-resolved runs here: the mail service registers itself while it runs as root "
        "(`dexmesh up`, or the systemd unit). By hand, as root, after each start of the node:",
        "\n".join(lines),
        notes=(f"`resolvectl revert {device}` takes it back",),
    )


def _advise_dnsmasq(is_managed: bool, host: str, port: int) -> Advice:
    at = host if port == 53 else f"{host}#{port}"
    lines = [f"server=/{zone}/{at}" for zone in _ZONES]
    lines += [f"rebind-domain-ok=/{'/'.join(_ZONES[:2])}/"]
    folder = str(_NETWORK_MANAGER_DNSMASQ) if is_managed else "/etc/dnsmasq.d"
    who = "NetworkManager runs dnsmasq here" if is_managed else "dnsmasq answers here"
    after = "nmcli general reload dns-full" if is_managed else "systemctl restart dnsmasq"
    return Advice(
        f"{who}. Put this into {folder}/dexmesh.conf:",
        "\n".join(lines),
        f"{folder}/dexmesh.conf",
        after,
        ("dnsmasq", "--test", "-C"),
    )


def _advise_unbound(host: str, port: int) -> Advice:
    at = host if port == 53 else f"{host}@{port}"
    lines = ["server:", "    do-not-query-localhost: no"]
    for zone in _ZONES:
        lines.append(f'    domain-insecure: "{zone}"')
    for zone in _ZONES[:2]:
        lines.append(f'    private-domain: "{zone}"')
    for zone in _ZONES:
        lines += ["stub-zone:", f'    name: "{zone}"', f"    stub-addr: {at}"]
    folder = "/etc/unbound/unbound.conf.d"
    return Advice(
        f"unbound answers here. Put this into {folder}/dexmesh.conf:",
        "\n".join(lines),
        f"{folder}/dexmesh.conf",
        "systemctl restart unbound",
        ("unbound-checkconf",),
    )


def _advise_other(situation: Situation, host: str, port: int) -> Advice:
    who = situation.holder or "a program we may not look at (as root we would see which)"
    return Advice(
        f"{who} answers at {situation.servers[0]}. Have it forward these zones, without DNSSEC, "
        f"to {host} port {port}:",
        "\n".join(_ZONES),
    )


def _advise_plain(situation: Situation, host: str, port: int) -> Advice:
    if situation.resolver is Resolver.NONE:
        title = "No name server is set up here, so no name of the mesh leaks, and none is known."
    else:
        title = (
            f"Programs here ask {situation.servers[0]} directly; nothing on this machine can send "
            "names of the mesh elsewhere."
        )
    install = (
        "Start using systemd-resolved, which runs already: "
        "ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
        if situation.is_resolved_idle
        else "apt-get install systemd-resolved  # or dnf, pacman: then run `dexmesh names setup` again"
    )
    return Advice(
        title + " A resolver between can:",
        install,
        notes=(
            f"`nameserver {host}` in /etc/resolv.conf is not advisable: DHCP clients rewrite that "
            "file, our resolver refuses every other name, and while it does not run names of the "
            "mesh go to the next server in the list",
            "dnsmasq or unbound do as well: run this command again when one answers here",
            "without any of this the mail service of dexmesh works: it looks up nothing; "
            "addresses like bob@[IPv6:fc..] need no names",
            *(
                ()
                if port == 53
                else (f"our resolver is at port {port}, which resolv.conf cannot say",)
            ),
        ),
    )
