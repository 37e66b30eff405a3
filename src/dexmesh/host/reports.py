"""Write down what the node decided, as log lines with fields.

Place     pump.py hands in notices -> here -> logging
Spec      shared house style, "Logs, metrics, trace"
Keeps     addresses of nodes that are not peers stay below INFO
"""

from __future__ import annotations

import logging

from dexmesh.mesh.notices import (
    MessageRefused,
    NoRouteFound,
    Notice,
    PathFailed,
    PeerDown,
    PeerJoined,
    PeerLeft,
    PeerNotAdded,
    PeerUp,
    RouteChanged,
)
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import format_label

log = logging.getLogger(__name__)


def report(notice: Notice) -> None:
    """One line for a notice worth one."""
    match notice:
        case PeerJoined():
            _peer(logging.DEBUG, "a peer has a slot", notice, user=notice.user)
        case PeerUp():
            _peer(logging.INFO, "link is up", notice, version=notice.version)
        case PeerDown():
            _peer(logging.INFO, "link is down", notice, reason=notice.reason)
        case PeerLeft():
            _peer(logging.INFO, "peer is gone", notice, reason=notice.reason)
        case PeerNotAdded():
            level = logging.WARNING if notice.is_final else logging.DEBUG
            fields = {"endpoint": notice.endpoint, "reason": notice.reason}
            log.log(level, "a peer cannot be called", extra=fields)
        case RouteChanged():
            fields = {
                "address": format_address(notice.address),
                "old": format_label(notice.old),
                "label": format_label(notice.new),
                "reason": notice.reason,
            }
            log.debug("route changed", extra=fields)
        case PathFailed():
            fields = {
                "address": format_address(notice.address),
                "label": format_label(notice.label),
                "reason": notice.reason,
            }
            log.debug("path failed", extra=fields)
        case NoRouteFound():
            log.debug("no route found", extra={"address": format_address(notice.address)})
        case MessageRefused():
            log.debug("message refused", extra={"kind": notice.kind, "reason": notice.reason})
        case _:
            pass


def _peer(
    level: int, text: str, notice: PeerJoined | PeerUp | PeerDown | PeerLeft, **fields: object
) -> None:
    shown = {
        "peer": format_address(address_of(notice.key)),
        "endpoint": notice.endpoint,
        **{name: value for name, value in fields.items() if value != ""},
    }
    log.log(level, text, extra=shown)
