"""Turn what the parts of the node keep into the views the admin RPC shows.

Place     services.py -> here; values of mesh/ and engine/ in, values of admin/services.py out
Keeps     monotonic times become Unix milliseconds here and nowhere else
"""

from __future__ import annotations

import socket
import time

from dexmesh.admin.services import InterfaceView, PeerView, RouteView, SessionView
from dexmesh.engine.messages import InterfaceNumber, SessionStats
from dexmesh.host.addresses import device_flags
from dexmesh.host.underlay import UnderlaySocket
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.routes import MetricClass, Route
from dexmesh.wire.address import Address, bucket
from dexmesh.wire.node_address import NodeAddress


def interface_view(
    number: InterfaceNumber, opened: UnderlaySocket, beacon_state: int
) -> InterfaceView:
    """A UDP socket for links."""
    family = "IPv6" if opened.is_ipv6 else "IPv4"
    name = f"UDP/{family}/{opened.bind}"
    return InterfaceView(number, name, opened.bind, opened.is_ipv6, beacon_state)


def peer_view(peer: Peer) -> PeerView:
    """A link."""
    stats = peer.stats
    return PeerView(
        key=peer.key,
        label=peer.label,
        version=peer.version,
        endpoint=peer.endpoint,
        state=peer.state.name,
        user=peer.user or None,
        interface=peer.interface,
        is_incoming=peer.is_incoming,
        bytes_in=stats.bytes_in if stats else 0,
        bytes_out=stats.bytes_out if stats else 0,
        receive_kbps=peer.receive_kbps,
        send_kbps=peer.send_kbps,
        last_in_unix_ms=unix_ms(peer.heard_at),
        duplicates=stats.duplicates if stats else 0,
        lost=stats.lost if stats else 0,
        out_of_range=stats.out_of_range if stats else 0,
        received=stats.packets_in if stats else 0,
        round_trip_ms=None if peer.round_trip_s is None else round(peer.round_trip_s * 1000),
    )


def session_view(stats: SessionStats, metric: int, is_maintained: bool) -> SessionView:
    """A session."""
    return SessionView(
        key=stats.key,
        address=stats.address,
        label=stats.send_label or stats.receive_label,
        version=stats.version,
        state=stats.state.name,
        handle=stats.handle,
        send_handle=stats.send_handle,
        last_in_unix_ms=unix_ms(stats.last_in),
        last_out_unix_ms=unix_ms(stats.last_out),
        metric=metric,
        is_maintained=is_maintained,
        duplicates=stats.duplicates,
        lost=stats.lost,
        out_of_range=stats.out_of_range,
    )


def node_address(route: Route) -> NodeAddress:
    """A route in one word."""
    return NodeAddress(route.key, route.label, route.version)


def route_view(route: Route, own: Address) -> RouteView:
    """A node of the table."""
    age = 0.0 if route.heard_at is None else time.monotonic() - route.heard_at
    is_own = route.address == own
    cost = 0 if is_own or route.is_peer else max(route.metric - MetricClass.TABLE, 0)
    return RouteView(
        node=node_address(route),
        address=route.address,
        cost=1024 if route.is_peer and not is_own else cost,
        last_seen_ms_ago=int(age * 1000),
        bucket=127 if is_own else bucket(own, route.address),
        is_peer=route.is_peer and not is_own,
    )


def unix_ms(monotonic: float | None) -> int:
    """A monotonic time as Unix milliseconds, 0 for never."""
    if monotonic is None:
        return 0
    return int((time.time() - time.monotonic() + monotonic) * 1000)


def broadcast_devices() -> list[str]:
    """Network devices of this machine that are up and can broadcast."""
    names = [name for _, name in socket.if_nameindex()]
    flags = [device_flags(name) for name in names]
    return [name for name, one in zip(names, flags, strict=True) if one.is_up and one.can_broadcast]
