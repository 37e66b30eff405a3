"""Check the interfaces of a configuration and the peers to call through them.

Place     config/reader.py -> here -> settings values
Spec      docs/protocol/04 section 2 "UDP", section 3 "Ethernet"; docs/protocol/09 section 2 "Keys"
Keeps     every peer has an address, a key and a password, and fits the socket it is called from
Not here  looking up host names, opening sockets (host/)
"""

from __future__ import annotations

import re

from dexmesh.config.checker import Keys
from dexmesh.config.credentials import required_password, required_public_key
from dexmesh.config.document import Table, Text
from dexmesh.config.endpoints import BadEndpointError, HostPort, parse_bind, parse_peer
from dexmesh.config.settings import (
    ConnectTo,
    EtherInterfaceSettings,
    EtherPeer,
    UdpInterfaceSettings,
)
from dexmesh.wire.keys import PublicKey

MAX_DSCP = 63
MAX_PORT = 65535

_ANY_IPV4 = HostPort("0.0.0.0", 0, 4)  # noqa: S104 - what an absent `bind` means
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\Z")
# What people write into the blocks they exchange, for each other to read.
_REMARKS = ("contact", "email", "gpg", "hostname", "info", "ipv6", "location", "name", "user")


def read_udp_interfaces(
    interfaces: Keys, own_key: PublicKey | None
) -> tuple[UdpInterfaceSettings, ...]:
    """The elements of `interfaces.UDPInterface`; one that stands alone is fine too."""
    every = interfaces.tables("UDPInterface", "UDPInterface", single_too=True)
    return tuple(_read_udp_interface(keys, own_key) for keys in every)


def _read_udp_interface(keys: Keys, own_key: PublicKey | None) -> UdpInterfaceSettings:
    bind = _read_bind(keys)
    dscp = keys.integer("dscp", 0, MAX_DSCP) or 0
    beacon, devices, port = _read_udp_beacon(keys, bind)
    peers = _read_udp_peers(keys, bind, own_key)
    keys.finish()
    return UdpInterfaceSettings(
        bind_host=bind.host,
        bind_port=bind.port,
        bind_family=bind.family or 4,
        dscp=dscp,
        beacon=beacon,
        beacon_devices=devices,
        beacon_port=port,
        connect_to=peers,
    )


def _read_bind(keys: Keys) -> HostPort:
    text = keys.text("bind")
    if text is None:
        return _ANY_IPV4
    try:
        return parse_bind(text)
    except BadEndpointError as error:
        keys.checker.wrong(keys.place("bind"), f"bind {text!r}: {error}", error.hint)
        return HostPort("", 0, None)


def _read_udp_beacon(keys: Keys, bind: HostPort) -> tuple[int, tuple[str, ...], int | None]:
    """Beacon state, devices and port. As in cjdns a missing part only switches beacons off."""
    state = keys.integer("beacon", 0, 2) or 0
    port = keys.integer("beaconPort", 1, MAX_PORT)
    devices = tuple(text.value.decode("utf-8", "replace") for text in keys.texts("beaconDevices"))
    if state == 0:
        return 0, devices, port
    for missing, name in ((port is None, "beaconPort"), (not devices, "beaconDevices")):
        if missing:
            message = f"beacon without {name}: no beacons are sent or accepted"
            keys.checker.warn(keys.place("beacon"), message, f'Add "{name}", or set "beacon" to 0.')
            return 0, devices, port
    if bind.family == 6:
        message = "beacons need an IPv4 bind: IPv6 has no broadcast"
        hint = 'Set "beacon" to 0 here; an IPv4 interface finds the same nodes.'
        keys.checker.wrong(keys.place("beacon"), message, hint)
    elif port == bind.port:
        message = f"beaconPort {port} is the port of the links too"
        hint = f'The usual "beaconPort" is 64512; or let "bind" name another port than {port}.'
        keys.checker.wrong(keys.place("beaconPort"), message, hint)
    return state, devices, port


def _read_udp_peers(keys: Keys, bind: HostPort, own_key: PublicKey | None) -> tuple[ConnectTo, ...]:
    found = []
    for name, node in keys.entries("connectTo"):
        endpoint = _read_peer_endpoint(keys, name, bind)
        if not isinstance(node, Table):
            hint = 'Write "ADDRESS:PORT": { "password": "...", "publicKey": "....k" }.'
            keys.checker.wrong(node.start, "a connectTo entry must be a dictionary", hint)
            continue
        entry = Keys(keys.checker, node, "connectTo entries")
        peer = _read_credential(entry, own_key)
        version = entry.integer("version", 0, (1 << 31) - 1)
        entry.finish()
        if endpoint is None or peer is None:
            continue
        key, password, login, peer_name = peer
        found.append(
            ConnectTo(endpoint.host, endpoint.port, key, password, login, peer_name, version)
        )
    return tuple(found)


def _read_peer_endpoint(keys: Keys, name: Text, bind: HostPort) -> HostPort | None:
    shown = name.value.decode("utf-8", "replace")
    try:
        endpoint = parse_peer(shown)
    except BadEndpointError as error:
        keys.checker.wrong(name.start, f"connectTo {shown!r}: {error}", error.hint)
        return None
    if bind.family and endpoint.family and endpoint.family != bind.family:
        message = (
            f"connectTo {shown!r}: an IPv{endpoint.family} address under an IPv{bind.family} bind"
        )
        hint = f"Move it to the interface bound to an IPv{endpoint.family} address."
        keys.checker.wrong(name.start, message, hint)
        return None
    return endpoint


def _read_credential(
    entry: Keys, own_key: PublicKey | None
) -> tuple[PublicKey, bytes, bytes | None, str | None] | None:
    """Key, password, login and name of a peer to call."""
    key = required_public_key(entry, "this connectTo entry")
    password = required_password(entry, "this connectTo entry")
    login, peer_name = entry.octets("login"), entry.text("peerName")
    entry.ignore(*_REMARKS)
    if key is not None and key == own_key:
        hint = "Use the key of the other node; your own is derived from privateKey."
        entry.checker.wrong(entry.place("publicKey"), "this is this node's own key", hint)
        return None
    if key is None or password is None:
        return None
    return key, password, login, peer_name


def read_ether_interfaces(
    interfaces: Keys, own_key: PublicKey | None
) -> tuple[EtherInterfaceSettings, ...]:
    """The elements of `interfaces.ETHInterface`, with a word that they are not used yet."""
    every = interfaces.tables("ETHInterface", "ETHInterface", single_too=True)
    if every:
        message = "Ethernet interfaces are not supported by this version and are ignored"
        hint = "Rename the key to _disabled_ETHInterface to be rid of this warning."
        interfaces.checker.warn(interfaces.place("ETHInterface"), message, hint)
    return tuple(_read_ether_interface(keys, own_key) for keys in every)


def _read_ether_interface(keys: Keys, own_key: PublicKey | None) -> EtherInterfaceSettings:
    device = keys.text("bind")
    if device is None:
        keys.checker.wrong(keys.start, "this ETHInterface has no bind", 'Add "bind": "eth0".')
    beacon = keys.integer("beacon", 0, 2) or 0
    peers = []
    for name, node in keys.entries("connectTo"):
        mac = name.value.decode("utf-8", "replace")
        if not _MAC.match(mac):
            hint = "Write it like 01:02:03:04:05:06"
            keys.checker.wrong(name.start, f"connectTo {mac!r}: not a MAC address", hint)
        elif isinstance(node, Table):
            entry = Keys(keys.checker, node, "connectTo entries")
            peer = _read_credential(entry, own_key)
            entry.ignore("version")
            entry.finish()
            if peer is not None:
                peers.append(EtherPeer(bytes.fromhex(mac.replace(":", "")), *peer))
        else:
            keys.checker.wrong(node.start, "a connectTo entry must be a dictionary")
    keys.ignore("beaconDevices", "beaconPort")
    keys.finish()
    return EtherInterfaceSettings(device or "", beacon, tuple(peers))
