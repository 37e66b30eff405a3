"""Open UDP sockets for links, exactly as the configuration or the admin RPC asks.

Place     daemon.py, services.py -> here -> runner.attach_udp()
Spec      docs/protocol/04 §2 "UDP", 08 §6.3 UDPInterface_new
Keeps     a failure is one BindError that says what to do
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from dexmesh.errors import BindError
from dexmesh.values import dataclass

RECEIVE_BUFFER_BYTES = 4 << 20  # docs/decisions: two superframes fill the default buffer
SEND_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32


@dataclass(frozen=True, slots=True)
class UnderlaySocket:
    """A bound UDP socket and its real address."""

    socket: socket.socket
    host: str
    port: int
    is_ipv6: bool
    dscp: int = 0

    @property
    def bind(self) -> str:
        """The way cjdns writes it: `0.0.0.0:5000`, `[::]:5000`."""
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def open_udp(host: str, port: int, dscp: int = 0) -> UnderlaySocket:
    """Bind a UDP socket to a literal address; port 0 lets the kernel choose. Raises BindError."""
    is_ipv6 = ipaddress.ip_address(host).version == 6
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_traffic_class(sock, is_ipv6, dscp)
        _enlarge_buffers(sock)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _bind_error(host, port, error) from error
    real = sock.getsockname()
    return UnderlaySocket(sock, real[0], real[1], is_ipv6, dscp)


def _set_traffic_class(sock: socket.socket, is_ipv6: bool, dscp: int) -> None:
    if not dscp:
        return
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def _enlarge_buffers(sock: socket.socket) -> None:
    """As much as the kernel gives: forced where CAP_NET_ADMIN allows, else up to its limit."""
    for forced, plain, size in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER_BYTES),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, size)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, plain, size)


def _bind_error(host: str, port: int, error: OSError) -> BindError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    hint = {
        errno.EADDRINUSE: "another program has that port; choose another one in `bind`, or stop it",
        errno.EADDRNOTAVAIL: "that address is not on this machine; `0.0.0.0` means every address",
        errno.EACCES: "ports below 1024 need root",
        errno.EAFNOSUPPORT: "this machine has no IPv6; remove that interface",
    }.get(error.errno or 0, "")
    return BindError(f"cannot bind UDP {where}: {os.strerror(error.errno or 0)}", hint)
