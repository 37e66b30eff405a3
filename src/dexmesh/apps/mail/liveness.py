"""Notice that the node at the other end of a connection is gone, or was started anew.

Place     outgoing.py (every connection), delivery.py (after a sign of life) -> here -> socket options
Spec      tcp(7), RFC 9293 §3.5.3; docs/apps/mail.md §4 "Send when the peer comes back"
Keeps     a few bytes an hour for a connection that rests; a node that was started anew answers the
          questions of its former life with a reset, which ends the connection at once
Not here  which nodes gave a sign (base/signs.py)
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

SILENT_S = 60  # ours: how long a node may acknowledge nothing
STUCK_MS = 8000  # ours, as base/presence.py has it: who was silent for so long was away
ASK_EVERY_S = 2  # ours: after a sign

_INFO = struct.Struct("=24xI28xI")  # struct tcp_info: unacked, last_ack_recv (ms ago)


def notice_silence(opened: socket.socket) -> None:
    """A node that is switched off says no goodbye: without this, a session with it lasts hours."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S // 2)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENT_S // 6)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)


def is_stuck(opened: socket.socket) -> bool:
    """Whether the node has not acknowledged for a while what it was sent."""
    try:
        data = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    except OSError:  # closed
        return False
    unacknowledged, last_heard_ms = map(int, _INFO.unpack(data))
    return unacknowledged > 0 and last_heard_ms >= STUCK_MS


def ask_often(opened: socket.socket) -> None:
    """Ask the node soon whether it still knows this connection; what decides is SILENT_S as before."""
    with suppress(OSError):  # closed
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASK_EVERY_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_EVERY_S)
