"""Show links and the interfaces they are on, and call, drop or renew peers.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.3
Keeps     no name is looked up here; host names as peers are an addition of ours
"""

from __future__ import annotations

import ipaddress
import re

from dexmesh.admin.functions.forms import OK, read_key
from dexmesh.admin.paging import newest_first, page_of
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import InterfaceView, NodeServices, PeerView
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.engine.messages import InterfaceNumber
from dexmesh.errors import AdminError, HostError
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.node_address import NodeAddress, format_node_address

ENTRIES_PER_PAGE = 6  # 08 §5
NO_NAME = "outer"  # 08 §6.3.1: how v20.7 shows a peer without a name
BEACON_STATES = ("DISABLED", "ACCEPTING", "SENDING")
DEFAULT_BIND = "0.0.0.0"  # noqa: S104 - 08 §6.3, the default of the function

MAX_PORT = 65535
MAX_DSCP = 63

_WITH_PORT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+)):([0-9]{1,5})", re.ASCII)
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]*[a-z][a-z0-9_-]*\.?", re.I
)
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - 08 §6.3: means this machine


def interface_functions(node: NodeServices) -> list[Function]:
    """The `InterfaceController_` functions."""

    def interfaces(arguments: Arguments, _caller: Caller) -> Answer:
        found = node.interfaces()
        shown, has_more = page_of(found, arguments.number("page"), ENTRIES_PER_PAGE)
        entries = [_describe_interface(one) for one in newest_first(shown)]
        return _page("ifaces", entries, len(found), has_more)

    def peer_stats(arguments: Arguments, _caller: Caller) -> Answer:
        peers = node.peers()
        shown, has_more = page_of(peers, arguments.number("page"), ENTRIES_PER_PAGE)
        entries = [_describe_peer(one) for one in newest_first(shown)]
        return _page("peers", entries, len(peers), has_more)

    def disconnect_peer(arguments: Arguments, _caller: Caller) -> Answer:
        key = _peer_key(arguments.required_text("pubkey"))
        if key is None:
            return {"error": "bad key", "success": 0}
        if not node.disconnect_peer(key):
            return {"error": "no peer found for that key", "success": 0}
        return {"success": 1}

    def reset_peering(arguments: Arguments, _caller: Caller) -> Answer:
        text = arguments.text("pubkey")
        key = None if text is None else _peer_key(text)
        if text is not None and key is None:
            return {"error": "bad key", "success": 0}
        node.reset_peering(key)
        return {"success": 1}

    page = (optional("page", Kind.INT),)
    return [
        Function("InterfaceController_interfaces", interfaces, page),
        Function("InterfaceController_peerStats", peer_stats, page, needs_auth=False),
        Function("InterfaceController_disconnectPeer", disconnect_peer, (required("pubkey"),)),
        Function("InterfaceController_resetPeering", reset_peering, (optional("pubkey"),)),
    ]


def udp_functions(node: NodeServices) -> list[Function]:
    """The `UDPInterface_` functions that are not about beacons (beacons.py)."""

    async def new(arguments: Arguments, _caller: Caller) -> Answer:
        bind = arguments.text("bindAddress") or DEFAULT_BIND
        beacon_port = arguments.number("beaconPort")
        if _bind_family(bind) == 6 and beacon_port:
            raise AdminError("UDP broadcast only supported by ipv4.")
        if beacon_port and not 0 < beacon_port <= MAX_PORT:
            raise AdminError("invalid beaconPort")
        dscp = arguments.number("dscp") or 0
        if not 0 <= dscp <= MAX_DSCP:
            raise AdminError("invalid dscp")
        try:
            made = await node.add_udp_interface(bind, dscp, beacon_port)
        except HostError as error:
            raise AdminError(str(error), error.hint) from error
        return {"error": NONE, "interfaceNumber": made.interface, "bindAddress": made.bind}

    async def begin_connection(arguments: Arguments, _caller: Caller) -> Answer:
        interface = find_interface(node, arguments.number("interfaceNumber") or 0)
        key = read_key(arguments.required_text("publicKey"))
        endpoint, family = _peer_endpoint(arguments.required_text("address"))
        if family not in (None, 6 if interface.is_ipv6 else 4):
            raise AdminError("different address type than this socket is bound to.")
        if key == node.key:
            raise AdminError("invalid cjdns public key.")
        await node.add_peer(
            interface.interface,
            endpoint,
            key,
            arguments.octets("password"),
            arguments.text("login"),
            arguments.text("peerName"),
        )
        return OK

    def list_devices(_arguments: Arguments, _caller: Caller) -> Answer:
        return {"ret": newest_first(node.broadcast_devices())}

    return [
        Function(
            "UDPInterface_new",
            new,
            (
                optional("bindAddress"),
                optional("dscp", Kind.INT),
                optional("beaconPort", Kind.INT),
            ),
        ),
        Function(
            "UDPInterface_beginConnection",
            begin_connection,
            (
                required("publicKey"),
                required("address"),
                optional("interfaceNumber", Kind.INT),
                optional("password"),
                optional("login"),
                optional("peerName"),
            ),
        ),
        Function("UDPInterface_listDevices", list_devices),
    ]


def _page(key: str, entries: list[Value], total: int, has_more: bool) -> Answer:
    more: Answer = {"more": 1} if has_more else {}
    return {key: entries, "total": total, **more}


def _describe_interface(interface: InterfaceView) -> Value:
    return {
        "ifNum": interface.interface,
        "name": interface.name,
        "beaconState": BEACON_STATES[interface.beacon_state],
    }


def _describe_peer(peer: PeerView) -> Value:
    return {
        "addr": format_node_address(NodeAddress(peer.key, peer.label, peer.version)),
        "lladdr": peer.endpoint,
        "state": peer.state,
        "user": NO_NAME if peer.user is None else peer.user,
        "bytesIn": peer.bytes_in,
        "bytesOut": peer.bytes_out,
        "recvKbps": peer.receive_kbps,
        "sendKbps": peer.send_kbps,
        "last": peer.last_in_unix_ms,
        "isIncoming": peer.is_incoming,
        "duplicates": peer.duplicates,
        "lostPackets": peer.lost,
        "receivedOutOfRange": peer.out_of_range,
        "receivedPackets": peer.received,
        "ifNum": peer.interface,
    }


def _peer_key(text: str) -> PublicKey | None:
    try:
        return read_key(text)
    except AdminError:
        return None


def find_interface(
    node: NodeServices, number: int, refusal: str = "no such interface for interfaceNumber"
) -> InterfaceView:
    """The interface of this number; AdminError `refusal` if there is none."""
    for interface in node.interfaces():
        if interface.interface == InterfaceNumber(number):
            return interface
    raise AdminError(refusal)


def _bind_family(text: str) -> int:
    """4 or 6 for a local address, with or without a port; AdminError if it is none."""
    host, port = _split(text)
    family = _family_of(host)
    if family is None or (port is not None and port > MAX_PORT):
        raise AdminError("Failed to parse address")
    return family


def _peer_endpoint(text: str) -> tuple[str, int | None]:
    """The endpoint as the host takes it, and its family (None for a host name)."""
    host, port = _split(text)
    family = _family_of(host)
    is_host = family is not None or _HOST_NAME.fullmatch(host) is not None
    if not is_host or port is None or not 0 < port <= MAX_PORT:
        raise AdminError("unable to parse ip address and port.")
    host = _LOOPBACK.get(host, host)
    return f"[{host}]:{port}" if family == 6 else f"{host}:{port}", family


def _split(text: str) -> tuple[str, int | None]:
    """Host and port of `HOST:PORT` or `[IP6]:PORT`; a text without a port is all host."""
    match = _WITH_PORT.fullmatch(text)
    return (text, None) if match is None else (match[1] or match[2], int(match[3]))


def _family_of(host: str) -> int | None:
    if "%" in host:
        return None
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
