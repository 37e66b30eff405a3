"""Hear which datagrams of a UDP socket did not arrive, so that nobody waits half a minute for an answer.

Place     transport.py -> here -> the kernel's error queue, ipv6(7) IPV6_RECVERR
Spec      RFC 3261 §18.4 (ICMP errors are failures); RFC 4443 §3.1 (Destination Unreachable)
Keeps     only the node itself, or our own kernel, can say that it is not reachable: on the mesh a source
          address is proof, and nobody is between
Not here  what follows for a request (sip/client.py)
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final

from dexmesh.wire.address import Address, parse_address

MOST: Final = 64  # ours: taken at once

_RECVERR = 25  # linux/in6.h IPV6_RECVERR; Python has no name for it
_ERROR = struct.Struct("@IBBBBII")  # linux/errqueue.h: errno, origin, type, code, pad, info, data
_OFFENDER = struct.Struct("!2xHI16sI")  # struct sockaddr_in6, family left out
_ROOM = socket.CMSG_SPACE(_ERROR.size + _OFFENDER.size)
_LOCAL, _ICMP6 = 1, 3  # SO_EE_ORIGIN_*
_UNREACHABLE = 1  # RFC 4443 §3.1


def want(udp: socket.socket) -> None:
    """Have the kernel keep what it hears of datagrams of this socket."""
    udp.setsockopt(socket.IPPROTO_IPV6, _RECVERR, 1)


def take(udp: socket.socket, own: Address) -> Iterator[tuple[Address, int]]:
    """Address and port of every datagram that cannot have arrived, lately."""
    for _ in range(MOST):
        try:
            _data, notes, _flags, to = udp.recvmsg(1, _ROOM, socket.MSG_ERRQUEUE)
        except OSError:
            return
        address = parse_address(str(to[0]).partition("%")[0])
        for level, kind, note in notes:
            is_note = (level, kind) == (socket.IPPROTO_IPV6, _RECVERR)
            if is_note and is_refusal(note, address, own):
                yield address, int(to[1])


def is_refusal(note: bytes, to: Address, own: Address) -> bool:
    """Whether a `struct sock_extended_err` says so of a datagram to `to`, and may."""
    if len(note) < _ERROR.size:
        return False
    number, origin, kind, *_ = _ERROR.unpack_from(note)
    if origin == _LOCAL:
        return number in {errno.EHOSTUNREACH, errno.ENETUNREACH}
    if origin != _ICMP6 or kind != _UNREACHABLE or len(note) < _ERROR.size + _OFFENDER.size:
        return False
    offender = _OFFENDER.unpack_from(note, _ERROR.size)[2]
    return offender in (to, own)
