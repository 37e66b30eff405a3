"""Hold the two ports of a call, and take in what its peer sends to them.

Place     seat.py -> here -> native.CallPort -> the kernel
Spec      docs/apps/sip.md §3: even ports from a small range, RTCP on the next one; packets from the
          address of the signalling peer alone, whatever its port; RFC 3550 §11
Keeps     a flood of the peer costs a bounded part of each 20 ms; what others send is counted and dropped,
          by the kernel where it can, so that it crowds nothing out
Not here  taking packets in (rust/hostio/src/call_socket.rs), what is in them (call/media)
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, TypeAlias

from dexmesh.apps.call.native import CallPort
from dexmesh.apps.call.seat.source_filter import dropped, hear_only
from dexmesh.errors import BindError

PORTS: Final = range(7078, 7099)  # as in the article whose readers opened them

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_IN_USE_HINT = "end another call, or give `media_ports` in apps.toml more ports"
_NO_ADDRESS_HINT = "the mesh address is not up: is the node running (`dexmesh status`)?"

_Bound: TypeAlias = tuple[tuple[socket.socket, socket.socket], CallPort]


class MediaSockets:
    """Of RTP and RTCP, on one address: `receive`, `send_rtp`, `send_rtcp`, `drain` are those of CallPort."""

    def __init__(self, host: str, ports: Sequence[int] = PORTS) -> None:
        """Bind the first even port that is free with its odd neighbour. Raises BindError."""
        self._pair, self._port = _bind_pair(host, ports)
        self.port: int = self._pair[0].getsockname()[1]
        self._dropped = 0
        self.receive = self._port.receive  # not one call more than needed: there are fifty a second
        self.send_rtp = self._port.send_rtp
        self.send_rtcp = self._port.send_rtcp
        self.drain = self._port.drain

    def connect(self, remote: bytes, port: int, rtcp_port: int | None) -> None:
        """Send to this peer from now on, and hear nobody else; `remote` is an address of 16 bytes."""
        for one in self._pair:
            hear_only(one, remote)
        self._port.connect(remote, port, rtcp_port or 0)

    def close(self) -> None:
        """Give the ports back."""
        _ = self.strangers  # the kernel will not know any more
        self._port.close()
        for one in self._pair:
            one.close()

    @property
    def strangers(self) -> int:
        """Packets refused: of others, longer than any of sound, or more than there was room for."""
        if self._pair[0].fileno() >= 0:
            self._dropped = sum(map(dropped, self._pair))
        return self._port.strangers + self._dropped

    @property
    def unsent(self) -> int:
        """Packets that did not leave, as lost ones would be."""
        return self._port.unsent


def _bind_pair(host: str, ports: Sequence[int]) -> _Bound:
    reason = 0
    for port in ports:
        if port % 2 or port + 1 not in ports:
            continue
        try:
            return _bind(host, port)
        except OSError as error:
            reason = error.errno or 0
            if reason not in {errno.EADDRINUSE, errno.EACCES}:
                break
    where = f"[{host}]:{min(ports, default=0)}-{max(ports, default=0)}"
    if reason in {0, errno.EADDRINUSE}:
        raise BindError(f"no two ports are free for the sound of a call at {where}", _IN_USE_HINT)
    hint = _NO_ADDRESS_HINT if reason == errno.EADDRNOTAVAIL else ""
    raise BindError(f"the sound of a call cannot be bound to {where}: {os.strerror(reason)}", hint)


def _bind(host: str, port: int) -> _Bound:
    with ExitStack() as undo:
        rtp = undo.enter_context(_open(host, port))
        rtcp = undo.enter_context(_open(host, port + 1))
        made = CallPort(rtp.fileno(), rtcp.fileno())
        undo.pop_all()
    return (rtp, rtcp), made


def _open(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened
