"""`dexmesh peers` and `dexmesh peer add | remove`: the links of this node.

Place     cli/main.py -> here -> admin RPC of the running node, config/edit.py for the file
Spec      docs/protocol/08 §6.3, 09 §2 (connectTo)
Keeps     the file is changed first and atomically, then the running node; either alone is said
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.config import load_settings_in
from dexmesh.cli.connection import connect
from dexmesh.cli.identity import parse_key
from dexmesh.cli.output import (
    example,
    fail,
    misused,
    note,
    print_json,
    print_table,
    reports_errors,
    say,
)
from dexmesh.cli.places import ConfigOption, JsonOption, find_config
from dexmesh.config.files import read_config_file, write_secret_file
from dexmesh.errors import AdminError, ConfigError, NoNodeError
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, encode_key
from dexmesh.wire.node_address import parse_node_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexmesh.cli.connection import Connection
    from dexmesh.config.edit import NewPeer
    from dexmesh.config.settings import ConnectTo

app = typer.Typer(
    no_args_is_help=True,
    help="Tell the node whom to call.",
    epilog=example("dexmesh peer remove 192.0.2.7:41234"),
)
_LONGEST_LINE = 1024

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


@app.command(epilog=example("dexmesh peer add 192.0.2.7:41234 --key KEY.k --login me"))
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
    from dexmesh.config.edit import NewPeer

    public_key = parse_key(key)
    _require_endpoint(endpoint)
    path = _existing(config)
    before = read_config_file(path)
    load_settings_in(before, path)
    peer = NewPeer(
        endpoint=endpoint,
        public_key=public_key,
        password=_read_password(password_stdin),
        login=None if login is None else login.encode(),
        peer_name=name,
    )
    write_secret_file(path, _with_peer(before, path, peer), overwrite=True)
    live = "left alone" if no_live else add_live(config, peer)
    _report(as_json, f"{endpoint} is in {path}", live, path)


def _with_peer(before: bytes, path: Path, peer: NewPeer) -> bytes:
    """The file with this peer, which a node can start with."""
    from dexmesh.config.edit import add_peer

    try:
        after = add_peer(before, str(path), peer)
        load_settings_in(after, path)
    except ConfigError as error:  # it was good before: what is wrong is what was asked for
        problem = error.problems[0]
        misused(f"{peer.endpoint} was not added: {problem.message}", problem.hint)
    return after


def add_live(config: Path | None, peer: NewPeer) -> str:
    """Tell the running node to call this peer; what became of it, in words."""
    try:
        with connect(config) as node:
            _call(node, peer.endpoint, peer)
    except NoNodeError:
        return "not running"
    except AdminError as error:
        return f"refused: {error.wire_text}"
    return "calling it"


def _call(node: Connection, endpoint: str, peer: NewPeer | ConnectTo) -> None:
    optional: dict[str, str | bytes | None] = {"login": peer.login, "peerName": peer.peer_name}
    given = {name: value for name, value in optional.items() if value is not None}
    node.call(
        "UDPInterface_beginConnection",
        publicKey=encode_key(peer.public_key),
        address=endpoint,
        interfaceNumber=_interface_for(node, endpoint),
        password=peer.password,
        wait_s=None,
        **given,
    )


def _interface_for(node: Connection, endpoint: str) -> int:
    """The first UDP interface of the family of the endpoint (names: the first IPv4 one)."""
    wanted = "UDP/IPv6/" if endpoint.startswith("[") else "UDP/IPv4/"
    for interface in node.pages("InterfaceController_interfaces", "ifaces"):
        if str(interface["name"]).startswith(wanted):
            return int(interface["ifNum"])
    return 0


@app.command(epilog=example("dexmesh peer remove 192.0.2.7:41234"))
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
    after = _without_peer(before, path, which)
    keys = {encode_key(peer.public_key) for peer in _gone(before, after, path)}
    write_secret_file(path, after, overwrite=True)
    live = "left alone" if no_live else _remove_live(config, which, keys, _peers_in(after, path))
    _report(as_json, f"{which} is out of {path}", live, path)


def _without_peer(before: bytes, path: Path, which: str) -> bytes:
    from dexmesh.config.dialect import read_document
    from dexmesh.config.edit import remove_peer

    read_document(before, str(path)).require_sound()
    try:
        return remove_peer(before, str(path), which)
    except ConfigError as error:
        problem = error.problems[0]
        fail(f"{path}: {problem.message}", problem.hint)


def _gone(before: bytes, after: bytes, path: Path) -> list[ConnectTo]:
    left = _peers_in(after, path)
    return [peer for peer in _peers_in(before, path) if peer not in left]


def _peers_in(data: bytes, path: Path) -> list[ConnectTo]:
    """The peers a node with this file calls: none if it cannot start with it."""
    try:
        settings = load_settings_in(data, path)
    except ConfigError:
        return []
    return [peer for interface in settings.udp_interfaces for peer in interface.connect_to]


def _remove_live(config: Path | None, which: str, keys: set[str], left: Sequence[ConnectTo]) -> str:
    """Disconnect these nodes, and call them again where the file still says so."""
    try:
        with connect(config) as node:
            keys |= {
                str(peer["public_key"])
                for peer in peers_of(node)
                if which in (peer["endpoint"], peer["public_key"])
            }
            had = [key for key in sorted(keys) if _disconnect(node, key)]
            for peer in left:
                if encode_key(peer.public_key) in had:
                    _call(node, peer.endpoint, peer)
    except NoNodeError:
        return "not running"
    except AdminError as error:
        return f"refused: {error.wire_text}"
    return "disconnected" if had else "had no such peer"


def _disconnect(node: Connection, key: str) -> bool:
    try:
        node.call("InterfaceController_disconnectPeer", pubkey=key)
    except AdminError as error:
        if error.wire_text != "no peer found for that key":
            raise
        return False
    return True


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


def _require_endpoint(text: str) -> None:
    from dexmesh.config.endpoints import BadEndpointError, parse_peer

    try:
        parse_peer(text)
    except BadEndpointError as error:
        misused(f"{text!r}: {error}", error.hint)


def _read_password(from_stdin: bool) -> bytes:
    if not from_stdin and sys.stdin.isatty():
        password = getpass.getpass("password: ").encode()
    else:
        password = sys.stdin.buffer.readline(_LONGEST_LINE).rstrip(b"\r\n")
    if not password:
        misused("no password was given", "the peer hands it out together with its key")
    return password
