"""`dexmesh status` and `dexmesh wait-online`: is the node up, and how is it doing.

Place     cli/main.py -> here -> admin RPC; /proc for addresses
Spec      docs/protocol/09 §8 (cjdns-online: the address is on an interface that is up)
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.config import load_file
from dexmesh.cli.connection import connect
from dexmesh.cli.output import Exit, fail, note, print_json, reports_errors, say
from dexmesh.cli.peers import peers_of
from dexmesh.cli.places import ConfigOption, JsonOption, find_config, seconds
from dexmesh.errors import NoNodeError, UnknownFunctionError
from dexmesh.wire.address import Address, format_address, parse_address

if TYPE_CHECKING:
    from dexmesh.cli.connection import Connection

_ADDRESSES = Path("/proc/net/if_inet6")
_TENTATIVE = 0x40
_STEP_S = 0.1


@reports_errors
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say who this node is, how many links and sessions it has, and what it dropped."""
    with connect(config) as node:
        facts = facts_of(node)
        drops = drops_of(node)
    if as_json:
        print_json({**facts, "drops": drops})
        return
    say(f"node      {facts['address']}")
    say(f"key       {facts['public_key']}")
    say(f"protocol  {facts['protocol']}, process {facts['pid']}")
    say(
        f"online    {'yes' if facts['online'] else 'no: its address is on no interface that is up'}"
    )
    say(f"links     {facts['links_up']} up of {facts['links']}")
    say(f"sessions  {facts['sessions_up']} up of {facts['sessions']}")
    for reason, count in drops.items():
        say(f"dropped   {count} {reason}")


def facts_of(node: Connection) -> dict[str, object]:
    """The state of a node, for people and programs."""
    info = node.call("Core_nodeInfo")
    peers = peers_of(node)
    sessions = node.sessions()
    address = parse_address(str(info["myIp6"]))
    return {
        "address": format_address(address),
        "public_key": ".".join(str(info["myAddr"]).split(".")[-2:]),
        "protocol": info["version"],
        "pid": node.call("Core_pid")["pid"],
        "online": is_online(address),
        "links": len(peers),
        "links_up": sum(peer["state"] == "ESTABLISHED" for peer in peers),
        "sessions": len(sessions),
        "sessions_up": sum(session["state"] == "ESTABLISHED" for session in sessions),
    }


def drops_of(node: Connection) -> dict[str, int]:
    """What the node dropped, by reason; empty when it does not tell (an original cjdns)."""
    try:
        return node.drops()
    except UnknownFunctionError:
        return {}


@reports_errors
def wait_online(
    timeout: Annotated[
        float,
        typer.Option("--timeout", "-t", min=0.0, callback=seconds, help="Seconds at most."),
    ] = 30,
    once: Annotated[bool, typer.Option("--exit", "-x", help="Look once and return.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return when the node's address is on an interface that is up (no peer is needed)."""
    start = time.monotonic()
    limit = 0.0 if once else timeout
    address: Address | None = None
    while True:
        address = address or _own_address(config)
        if address is not None and is_online(address):
            break
        if time.monotonic() - start >= limit:
            _give_up(address, limit, quiet, as_json)
        time.sleep(_STEP_S)
    took = round(time.monotonic() - start, 2)
    if as_json:
        print_json({"online": True, "address": format_address(address), "seconds": took})
    elif not quiet:
        say(f"online: {format_address(address)}")


def _give_up(address: Address | None, limit: float, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json({"online": False, "address": address and format_address(address)})
    if quiet or as_json:
        raise SystemExit(int(Exit.FAILED))
    fail(f"not online after {limit:g} s", "is the node running? `dexmesh status` tells")


def _own_address(config: Path | None) -> Address | None:
    """From the configuration if we may read it, else from the running node."""
    path = find_config(config)
    if path is not None:
        return load_file(path).settings.address
    try:
        with connect(config) as node:
            return parse_address(str(node.call("Core_nodeInfo")["myIp6"]))
    except NoNodeError:
        return None


def is_online(address: Address) -> bool:
    """Whether an interface of this machine carries the address, ready to use."""
    try:
        lines = _ADDRESSES.read_text(encoding="ascii").splitlines()
    except OSError as error:
        note(f"cannot read {_ADDRESSES}: {error.strerror}")
        return False
    for line in lines:
        fields = line.split()
        if bytes.fromhex(fields[0]) == address and not int(fields[4], 16) & _TENTATIVE:
            return _is_up(fields[5])
    return False


def _is_up(device: str) -> bool:
    try:
        flags = Path(f"/sys/class/net/{device}/flags").read_text(encoding="ascii")
    except OSError:
        return True  # no sysfs here: the address being there has to do
    return bool(int(flags, 16) & 1)
