"""Hold the two ports of a call, and take in what its peer sends to them.

Place     seat.py -> here -> the kernel
Spec      docs/apps/sip.md §3: even ports from a small range, RTCP on the next one; packets from the
          address of the signalling peer alone, whatever its port; RFC 3550 §11
Keeps     a flood costs a bounded part of each 20 ms; what others send is counted and forgotten
Not here  what is in a packet (call/media)
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from dexmesh.errors import BindError

PORTS: Final = range(7078, 7099)  # as in the article whose readers opened them
MOST_PACKETS: Final = 64  # ours: that are taken in at once
MOST_BYTES: Final = 2048  # ours: of a packet; longer ones are not for us

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_STAMP = struct.Struct("@qq")  # struct timespec of a 64-bit machine
_TRUNCATED = int(socket.MSG_TRUNC)
_IN_USE_HINT = "end another call, or give `media_ports` in apps.toml more ports"
_NO_ADDRESS_HINT = "the mesh address is not up: is the node running (`dexmesh status`)?"


class MediaSockets:
    """Of RTP and RTCP, on one address. `strangers`, `unsent`: packets refused, and that did not leave."""

    def __init__(self, host: str, ports: Sequence[int] = PORTS) -> None:
        """Bind the first even port that is free with its odd neighbour. Raises BindError."""
        self.strangers = self.unsent = 0
        self._rtp, self._rtcp = _bind_pair(host, ports)
        self._by_number = {one.fileno(): one for one in (self._rtp, self._rtcp)}
        self._poll = select.poll()
        for number in self._by_number:
            self._poll.register(number, select.POLLIN)
        self.port: int = self._rtp.getsockname()[1]
        self._remote = ""
        self._rtp_to = self._rtcp_to = ("", 0)

    def connect(self, remote: bytes, port: int, rtcp_port: int | None) -> None:
        """Send to this peer from now on, and hear nobody else; `remote` is an address of 16 bytes."""
        self._remote = socket.inet_ntop(socket.AF_INET6, remote)
        self._rtp_to = (self._remote, port)
        self._rtcp_to = (self._remote, rtcp_port or 0)

    def receive(self, now: float, unix_time: float) -> Iterator[tuple[bool, bytes, float]]:
        """Each waiting packet of the peer: whether it is RTCP, its bytes, and when it came (as `now`)."""
        ready = [self._rtp]  # nearly always one waits, and looking is dearer than taking it
        for _ in range(MOST_PACKETS):
            for opened in ready:
                if taken := self._take(opened, unix_time):
                    yield opened is self._rtcp, taken[0], now - taken[1]
            ready = [self._by_number[number] for number, _ in self._poll.poll(0)]
            if not ready:
                return

    def send_rtp(self, packet: bytes) -> None:
        """To the peer; a packet that cannot leave is counted, as a lost one would be."""
        self._send(self._rtp, packet, self._rtp_to)

    def send_rtcp(self, packet: bytes) -> None:
        """As `send_rtp`; nothing if the peer has no port for it."""
        if self._rtcp_to[1]:
            self._send(self._rtcp, packet, self._rtcp_to)

    def drain(self) -> None:
        """Forget what waits: it came before there was a call."""
        for opened in (self._rtp, self._rtcp):
            for _ in range(MOST_PACKETS):
                try:
                    opened.recv(1)
                except OSError:
                    break

    def close(self) -> None:
        """Give the ports back."""
        self._rtp.close()
        self._rtcp.close()

    def _take(self, opened: socket.socket, unix_time: float) -> tuple[bytes, float] | None:
        """A packet of the peer and how long ago it came; None for one of others, or none."""
        try:
            data, notes, flags, source = opened.recvmsg(MOST_BYTES, 64)
        except OSError:
            return None
        if source[0] != self._remote or flags & _TRUNCATED:
            self.strangers += 1
            return None
        return data, _age_s(notes, unix_time)

    def _send(self, opened: socket.socket, packet: bytes, to: tuple[str, int]) -> None:
        try:
            opened.sendto(packet, to)
        except OSError:
            self.unsent += 1


def _age_s(notes: Sequence[tuple[int, int, bytes]], unix_time: float) -> float:
    """How long ago the kernel took a packet in: we look only once in 20 ms."""
    for level, kind, stamp in notes:
        if (level, kind, len(stamp)) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS, _STAMP.size):
            seconds, nanoseconds = _STAMP.unpack(stamp)
            age_s: float = unix_time - seconds - nanoseconds / 1e9
            return age_s if 0 <= age_s < 1 else 0.0  # the wall clock was set
    return 0.0


def _bind_pair(host: str, ports: Sequence[int]) -> tuple[socket.socket, socket.socket]:
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


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    rtp = _open(host, port)
    try:
        return rtp, _open(host, port + 1)
    except OSError:
        rtp.close()
        raise


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
