"""Tell systemd how the node is doing, where it asked to be told (Type=notify).

Place     daemon.py
Spec      sd_notify(3); docs/protocol/09 §8 "systemd"
Keeps     silent and harmless where NOTIFY_SOCKET is unset
"""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(*lines: str) -> bool:
    """Send lines such as `READY=1` or `STATUS=2 peers`; False where nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    target = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(lines).encode(), target)
    except OSError as error:
        log.debug("systemd did not listen", extra={"reason": str(error)})
        return False
    return True
