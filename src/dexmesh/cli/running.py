"""Find out whether a node answers on an admin address already.

Place     cli/cjdroute.py, `dexmesh up` -> here
Spec      docs/protocol/08 section 1, `ping`; 09 section 5 "admin port already answers"
Keeps     never waits longer than it is told; believes nothing but a pong
Not here  real admin calls (admin/client.py)
"""

from __future__ import annotations

import ipaddress
import socket
import time

from dexmesh.config.settings import AdminSettings

PATIENCE_S = 0.5  # ours: it is on this machine

_PING = b"d1:q4:pinge"
_PONG = b"1:q4:pong"


def is_running(admin: AdminSettings, patience_s: float = PATIENCE_S) -> bool:
    """Whether something answers an admin ping where this configuration puts the admin port."""
    address = ipaddress.ip_address(admin.host)
    host = admin.host
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    deadline = time.monotonic() + patience_s
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect((host, admin.port))
            probe.send(_PING)
            while (left := deadline - time.monotonic()) > 0:
                probe.settimeout(left)
                if _PONG in probe.recv(2048):
                    return True
        except OSError:  # refused, unreachable, or nothing came in time
            return False
    return False
