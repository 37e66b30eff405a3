"""Check the `router` section: TUN device, exits, supernodes and seeds.

Place     config/reader.py -> here -> settings values
Spec      docs/protocol/09 section 2 "Keys"
Keeps     every key is a node's key, every address an address
Not here  making the device or the tunnels (host/, mesh/)
"""

from __future__ import annotations

import ipaddress
import re

from dexmesh.config.checker import Keys
from dexmesh.config.credentials import read_public_key, required_public_key
from dexmesh.config.document import Text
from dexmesh.config.settings import (
    NO_TUN,
    NO_TUNNELS,
    AllowedTunnel,
    IpTunnelSettings,
    PublicPeer,
    TunKind,
    TunSettings,
)
from dexmesh.values import dataclass
from dexmesh.wire.keys import PublicKey

# What Linux takes as the name of a device: 1 to 15 bytes without slash and white space.
_DEVICE = re.compile(r"(?!\.{1,2}\Z)[^\s/:]{1,15}\Z")


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """What `router` says; config/reader.py spreads it over `Settings`."""

    tun: TunSettings = NO_TUN
    supernodes: tuple[PublicKey, ...] = ()
    ip_tunnel: IpTunnelSettings = NO_TUNNELS
    dns_seeds: tuple[str, ...] = ()
    public_peer: PublicPeer | None = None


def read_router(root: Keys) -> RouterSettings:
    """The `router` section; without it the node forwards for others and has no TUN."""
    router = root.table("router", "router")
    if router is None:
        return RouterSettings()
    settings = RouterSettings(
        tun=_read_tun(router),
        supernodes=_read_keys(router, "supernodes"),
        ip_tunnel=_read_ip_tunnel(router),
        dns_seeds=tuple(text.value.decode("utf-8", "replace") for text in router.texts("dnsSeeds")),
        public_peer=_read_public_peer(router),
    )
    router.finish()
    return settings


def _read_tun(router: Keys) -> TunSettings:
    keys = router.table("interface", "router.interface")
    if keys is None:
        return NO_TUN
    name, device, path = keys.text("type"), keys.text("tunDevice"), keys.text("socketFullPath")
    if keys.has("tunfd"):
        keys.checker.warn(keys.place("tunfd"), "tunfd is obsolete and ignored")
    keys.finish()
    if device is not None and not _DEVICE.match(device):
        hint = "It has 1 to 15 characters, without space, slash and colon."
        keys.checker.wrong(keys.place("tunDevice"), "tunDevice is no name of a device", hint)
    if name == TunKind.TUN.value:
        return TunSettings(TunKind.TUN, device=device)
    if name == TunKind.SOCKET.value:
        if not path:
            hint = 'Add "socketFullPath": "/path/of/a.sock".'
            keys.checker.wrong(keys.start, "a SocketInterface needs socketFullPath", hint)
        return TunSettings(TunKind.SOCKET, socket_path=path)
    if name is not None or not keys.has("type"):
        hint = 'Known are "TUNInterface" and "SocketInterface".'
        message = "router.interface has no known type: no program can use the mesh through it"
        keys.checker.warn(keys.place("type"), message, hint)
    return NO_TUN


def _read_keys(keys: Keys, name: str) -> tuple[PublicKey, ...]:
    """A list of public keys; an empty text in it is skipped."""
    every = (read_public_key(keys.checker, text) for text in keys.texts(name))
    return tuple(key for key in every if key is not None)


def _read_ip_tunnel(router: Keys) -> IpTunnelSettings:
    keys = router.table("ipTunnel", "router.ipTunnel")
    if keys is None:
        return NO_TUNNELS
    every = [
        _read_allowed(entry) for entry in keys.tables("allowedConnections", "allowedConnections")
    ]
    outgoing = _read_keys(keys, "outgoingConnections")
    keys.finish()
    return IpTunnelSettings(tuple(tunnel for tunnel in every if tunnel is not None), outgoing)


def _read_allowed(keys: Keys) -> AllowedTunnel | None:
    owner = "this entry of allowedConnections"
    key = required_public_key(keys, owner)
    ip4, ip6 = _read_address(keys, "ip4Address", 4), _read_address(keys, "ip6Address", 6)
    if not keys.has("ip4Address") and not keys.has("ip6Address"):
        hint = 'Add "ip4Address", "ip6Address" or both.'
        keys.checker.wrong(keys.start, f"{owner} gives no address", hint)
    prefixes = [
        keys.integer(name, 0, most)
        for name, most in (
            ("ip4Prefix", 32),
            ("ip4Alloc", 32),
            ("ip6Prefix", 128),
            ("ip6Alloc", 128),
        )
    ]
    keys.finish()
    if key is None:
        return None
    return AllowedTunnel(key, ip4, prefixes[0], prefixes[1], ip6, prefixes[2], prefixes[3])


def _read_address(keys: Keys, name: str, version: int) -> str | None:
    text = keys.text(name)
    if text is None:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        keys.checker.wrong(keys.place(name), f"{name} is not an IPv{version} address")
        return None
    return str(address)


def _read_public_peer(router: Keys) -> PublicPeer | None:
    """`publicPeer`: a dictionary, or a text that is the id alone; an empty one is off."""
    if isinstance(router.node("publicPeer"), Text):
        peer_id = router.text("publicPeer")
        return PublicPeer(peer_id) if peer_id else None
    keys = router.table("publicPeer", "router.publicPeer")
    if keys is None:
        return None
    peer_id, ipv4, ipv6 = keys.text("id"), keys.text("ipv4"), keys.text("ipv6")
    keys.finish()
    return PublicPeer(peer_id, ipv4, ipv6) if peer_id else None
