"""Write down what the node decided, as log lines with fields.

Place     pump.py hands in notices -> here -> logging
Spec      shared house style, "Logs, metrics, trace"
Keeps     addresses of nodes that are not peers stay below INFO; peers that come and go all the time
          cannot fill the log: of what they cause, LINES_PER_S stay at INFO, the rest is counted
"""

from __future__ import annotations

import logging

from dexmesh.mesh.limits import TokenBucket
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

LINES_AT_ONCE = 600  # every one of 256 peers may come, and go, and be gone
LINES_PER_S = 1.0

log = logging.getLogger(__name__)


class Reports:
    """One per daemon; remembers how much was said lately."""

    def __init__(self, now: float) -> None:
        self._lines = TokenBucket(LINES_PER_S, LINES_AT_ONCE, now)
        self._hidden = 0

    def report(self, notice: Notice, now: float) -> None:
        """One line for a notice worth one."""
        match notice:
            case PeerUp():
                _peer(self._level(now), "link is up", notice, version=notice.version)
            case PeerDown():
                _peer(self._level(now), "link is down", notice, reason=notice.reason)
            case PeerLeft():
                _peer(self._level(now), "peer is gone", notice, reason=notice.reason)
            case _:
                _report(notice)

    def _level(self, now: float) -> int:
        """INFO, or DEBUG while there was too much of it."""
        if not self._lines.take(now):
            self._hidden += 1
            return logging.DEBUG
        if self._hidden:
            log.info("links came and went too often to show each", extra={"hidden": self._hidden})
            self._hidden = 0
        return logging.INFO


def _report(notice: Notice) -> None:
    match notice:
        case PeerJoined():
            _peer(logging.DEBUG, "a peer has a slot", notice, user=notice.user)
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
