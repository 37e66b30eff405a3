"""Check the node itself: it runs, has links, its address is there, and nobody competes for fc00::/8.

Place     cli/doctor.py -> here -> admin RPC, /proc, /sys
Spec      docs/protocol/10 §1 (MTU, fc00::/8 on the TUN); 08 §6
Keeps     nothing is changed; an original cjdns as the node is as good as ours
Not here  the apps (apps/names/checks.py, apps/mail/checks.py)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dexmesh.apps.base.findings import Finding, fine, worth_knowing, wrong
from dexmesh.apps.names.resolved import device_of
from dexmesh.cli.connection import find_login
from dexmesh.cli.peers import peers_of
from dexmesh.errors import DexmeshError, NoNodeError
from dexmesh.wire.address import Address, format_address

PATIENCE_S = 2.0
USUAL_MTU = 1304
SMALLEST_MTU = 1280  # IPv6 needs it
ROUTES = Path("/proc/net/ipv6_route")
PROCESSES = Path("/proc")
DEVICES = Path("/sys/class/net")
_MESH = "fc" + "0" * 30
_MESH_LENGTH = "08"
_LOOPBACK = "lo"
_MAX_CMDLINE = 4096


def checks(
    config: Path | None, address: Address | None
) -> Iterable[Callable[[], Iterator[Finding]]]:
    """All of them; each may run in a thread of its own. `address` is ours, where it is known."""
    yield lambda: check_node(config)
    yield lambda: check_address(address)
    yield check_others
    yield check_clock


def check_node(config: Path | None) -> Iterator[Finding]:
    """Does a node answer, and is it linked to anybody?"""
    from dexmesh.admin.client import AdminClient

    try:
        with AdminClient(find_login(config), PATIENCE_S) as node:
            peers = peers_of(node)
    except NoNodeError as error:
        yield wrong("node.running", str(error), "`dexmesh up` starts it")
        return
    except (DexmeshError, OSError) as error:
        hint = getattr(error, "hint", "") or "name the configuration of your node with --config"
        yield worth_knowing("node.running", f"the node could not be asked: {error}", hint)
        return
    yield fine("node.running", "the node runs")
    up = sum(peer["state"] == "ESTABLISHED" for peer in peers)
    count = f"{len(peers)} peer{'s' * (len(peers) != 1)}"
    if not peers:
        yield wrong(
            "node.links", "the node has no peers: nobody can be reached", "`dexmesh peer add`"
        )
    elif not up:
        todo = "`dexmesh peers` shows their states; look at endpoint, password and firewall"
        yield wrong("node.links", f"no link is up ({count} called)", todo)
    else:
        yield fine("node.links", f"{up} of {len(peers)} links are up")


def check_address(address: Address | None) -> Iterator[Finding]:
    """Is our address on a device, with a fitting MTU, and is that the only way to fc00::/8?"""
    if address is None:
        todo = "name the configuration of your node with --config, or run it as its owner"
        yield worth_knowing("node.address", "which address is ours is not known", todo)
        return
    device = device_of(address)
    if device is None:
        what = f"our address {format_address(address)} is on no device that is up"
        yield wrong("node.address", what, "start the node as root: it makes the TUN device")
    else:
        yield fine("node.address", f"our address is on {device.name}")
        yield from _judge_mtu(device.name)
    yield from _judge_routes(None if device is None else device.name)


def _judge_mtu(device: str) -> Iterator[Finding]:
    try:
        mtu = int((DEVICES / device / "mtu").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return  # no sysfs here
    todo = f"ip link set {device} mtu {USUAL_MTU}"
    if mtu < SMALLEST_MTU:
        yield wrong("node.mtu", f"the MTU of {device} is {mtu}, too small for IPv6", todo)
    elif mtu > USUAL_MTU:
        what = f"the MTU of {device} is {mtu}: large packets may be lost on the way"
        yield worth_knowing("node.mtu", what, todo)
    else:
        yield fine("node.mtu", f"the MTU of {device} is {mtu}")


def _judge_routes(own: str | None) -> Iterator[Finding]:
    others = sorted(mesh_devices() - {own, _LOOPBACK})
    if others:
        what = f"the mesh (fc00::/8) is also routed to {', '.join(others)}: packets may go astray"
        todo = (
            "stop the other node, or take its route away: ip -6 route del fc00::/8 dev " + others[0]
        )
        yield wrong("node.route", what, todo)


def mesh_devices(routes: Path = ROUTES) -> set[str]:
    """Devices that the kernel sends fc00::/8 to."""
    try:
        lines = routes.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    rows = (line.split() for line in lines)
    return {row[-1] for row in rows if len(row) > 9 and row[:2] == [_MESH, _MESH_LENGTH]}


def check_others() -> Iterator[Finding]:
    """Is there more than one node on this machine?"""
    nodes = running_nodes()
    if len(nodes) > 1:
        found = ", ".join(f"{name} (process {pid})" for pid, name in sorted(nodes.items()))
        what = f"{len(nodes)} nodes run on this machine: {found}"
        todo = "one of them can have fc00::/8: stop the others, unless that is meant"
        yield worth_knowing("node.several", what, todo)


def running_nodes(processes: Path = PROCESSES) -> dict[int, str]:
    """Nodes in our network, ours and originals, by process: what they are called."""
    here = _network(processes / "self")
    found = {}
    for entry in processes.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            with (entry / "cmdline").open("rb") as file:
                words = file.read(_MAX_CMDLINE).decode(errors="replace").split("\0")
        except OSError:
            continue
        name = _node_in(words)
        if name is not None and _network(entry) in (here, None):
            found[int(entry.name)] = name
    return found


def _node_in(words: list[str]) -> str | None:
    names = [os.path.basename(word) for word in words]
    if names and names[0] in ("cjdroute", "cjdns-rs") and "--genconf" not in words:
        return names[0]
    for at, name in enumerate(names[:4]):
        if name == "dexmesh" and names[at + 1 : at + 2] == ["up"]:
            return "dexmesh up"
    return None


def _network(process: Path) -> str | None:
    """The network a process lives in; None where we may not look."""
    try:
        return os.readlink(process / "ns" / "net")
    except OSError:
        return None


def check_clock(unix_clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """A clock before the day this program was installed cannot be right."""
    installed = Path(__file__).stat().st_mtime
    if unix_clock() < installed - 86_400:
        what = (
            f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(unix_clock()))}, which is past"
        )
        yield wrong("node.clock", what, "set it (timedatectl set-ntp true): mail carries the date")
    else:
        yield fine("node.clock", "the clock is plausible")
