"""`dexmesh peers` and `dexmesh peer add | remove`: the links of this node.

Place     cli/main.py -> here -> admin RPC of the running node, config/edit.py for the file
Spec      docs/protocol/08 §6.3, 09 §2 (connectTo)
Keeps     the file is changed first and atomically, then the running node; either alone is said
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from dexmesh.cli.connection import Connection, connect
from dexmesh.cli.output import (
    EXIT_HELP,
    fail,
    note,
    print_json,
    print_table,
    reports_errors,
    say,
)
from dexmesh.cli.places import ConfigOption, JsonOption, find_config
from dexmesh.config.edit import NewPeer, add_peer, remove_peer
from dexmesh.config.files import read_config_file, write_secret_file
from dexmesh.errors import AdminError, DecodeError, NoNodeError
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import PublicKey, address_of, decode_key, encode_key
from dexmesh.wire.node_address import parse_node_address

app = typer.Typer(no_args_is_help=True, help="Tell the node whom to call.", epilog=EXIT_HELP)

NoLiveOption = Annotated[
    bool, typer.Option("--no-live", help="Change only the file, not the running node.")
]


@reports_errors
def list_peers(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every link: to whom, in which state, how much goes over it."""
    with connect(config) as node:
        peers = peers_of(node)
    if as_json:
        print_json({"peers": peers})
        return
    if not peers:
        note("no peers yet: `dexmesh peer add` tells the node whom to call")
        return
    columns = ("peer", "endpoint", "state", "in", "out", "version", "address")
    print_table(columns, [_row(peer) for peer in peers])


def peers_of(node: Connection) -> list[dict[str, object]]:
    """Every link of the node, oldest first, with the address of the other end."""
    shown = []
    for peer in node.pages("InterfaceController_peerStats", "peers"):
        name = parse_node_address(str(peer["addr"]))
        key = name.key
        shown.append(
            {
                "address": format_address(address_of(key)),
                "public_key": encode_key(key),
                "endpoint": peer["lladdr"],
                "state": peer["state"],
                "user": peer.get("user", ""),
                "incoming": bool(peer["isIncoming"]),
                "version": name.version,
                "label": str(peer["addr"]).split(".", 1)[1][:19],
                "receive_kbps": peer["recvKbps"],
                "send_kbps": peer["sendKbps"],
                "bytes_in": peer["bytesIn"],
                "bytes_out": peer["bytesOut"],
                "lost": peer["lostPackets"],
                "interface": peer["ifNum"],
            }
        )
    return shown


def _row(peer: dict[str, object]) -> list[str]:
    arrow = "<-" if peer["incoming"] else "->"
    return [
        f"{arrow} {peer['user'] or '?'}",
        str(peer["endpoint"]),
        str(peer["state"]),
        f"{peer['receive_kbps']} kbit/s",
        f"{peer['send_kbps']} kbit/s",
        f"v{peer['version']}",
        str(peer["address"]),
    ]


@app.command(
    epilog="Example: dexmesh peer add 192.0.2.7:41234 --key KEY.k --password-stdin --login me. "
    + EXIT_HELP
)
@reports_errors
def add(
    endpoint: Annotated[str, typer.Argument(help="HOST:PORT; IPv6 in brackets; names work too.")],
    key: Annotated[str, typer.Option("--key", help="Public key of the peer, ends in .k.")],
    login: Annotated[str | None, typer.Option(help="The login the peer gave you.")] = None,
    name: Annotated[str | None, typer.Option(help="How the peer is shown here.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    config: ConfigOption = None,
    no_live: NoLiveOption = False,
    as_json: JsonOption = False,
) -> None:
    """Call a peer from now on: written into the configuration and told to the running node."""
    path = _existing(config)
    peer = NewPeer(
        endpoint=endpoint,
        public_key=_parse_key(key),
        password=_read_password(password_stdin),
        login=None if login is None else login.encode(),
        peer_name=name,
    )
    write_secret_file(path, add_peer(read_config_file(path), str(path), peer), overwrite=True)
    live = "left alone" if no_live else _add_live(config, peer)
    _report(as_json, f"{endpoint} is in {path}", live, path)


def _add_live(config: Path | None, peer: NewPeer) -> str:
    optional: dict[str, str | bytes | None] = {"login": peer.login, "peerName": peer.peer_name}
    given = {name: value for name, value in optional.items() if value is not None}
    try:
        with connect(config) as node:
            node.call(
                "UDPInterface_beginConnection",
                wait_s=None,
                publicKey=encode_key(peer.public_key),
                address=peer.endpoint,
                interfaceNumber=_interface_for(node, peer.endpoint),
                password=peer.password,
                **given,
            )
    except NoNodeError:
        return "not running"
    except AdminError as error:
        return f"refused: {error.wire_text}"
    return "calling it"


def _interface_for(node: Connection, endpoint: str) -> int:
    """The first UDP interface of the family of the endpoint (names: the first IPv4 one)."""
    wanted = "UDP/IPv6/" if endpoint.startswith("[") else "UDP/IPv4/"
    for interface in node.pages("InterfaceController_interfaces", "ifaces"):
        if str(interface["name"]).startswith(wanted):
            return int(interface["ifNum"])
    return 0


@app.command(epilog="Example: dexmesh peer remove 192.0.2.7:41234. " + EXIT_HELP)
@reports_errors
def remove(
    which: Annotated[str, typer.Argument(help="The endpoint as in the file, or the public key.")],
    config: ConfigOption = None,
    no_live: NoLiveOption = False,
    as_json: JsonOption = False,
) -> None:
    """Call a peer no more: taken out of the configuration, disconnected if the node runs."""
    path = _existing(config)
    before = read_config_file(path)
    write_secret_file(path, remove_peer(before, str(path), which), overwrite=True)
    live = "left alone" if no_live else _remove_live(config, which)
    _report(as_json, f"{which} is out of {path}", live, path)


def _remove_live(config: Path | None, which: str) -> str:
    try:
        with connect(config) as node:
            keys = [
                str(peer["public_key"])
                for peer in peers_of(node)
                if which in (peer["endpoint"], peer["public_key"])
            ]
            if not keys and which.endswith(".k"):
                keys = [which]
            for key in dict.fromkeys(keys):
                node.call("InterfaceController_disconnectPeer", pubkey=key)
    except NoNodeError:
        return "not running"
    except AdminError as error:
        return f"refused: {error.wire_text}"
    return "disconnected" if keys else "had no such peer"


def _report(as_json: bool, done: str, live: str, path: Path) -> None:
    if as_json:
        print_json({"file": str(path), "running_node": live})
        return
    say(f"{done}; the running node: {live}")


def _existing(config: Path | None) -> Path:
    path = find_config(config)
    if path is None:
        fail("there is no configuration yet", "`dexmesh config new` makes one")
    return path


def _parse_key(text: str) -> PublicKey:
    try:
        return decode_key(text)
    except DecodeError as error:
        fail(f"{text!r}: {error}", "a public key is 52 characters and .k")


def _read_password(from_stdin: bool) -> bytes:
    if from_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n").encode()
    return getpass.getpass("password: ").encode()
