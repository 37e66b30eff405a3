"""Give the TUN device its address, and notice when the network of this machine changes.

Place     device.py -> configure_tun(); NetworkWatch -> daemon.py -> mesh (handle_network_changed)
Spec      docs/protocol/10 §1 "The TUN device"; rtnetlink(7)
Keeps     no program is run: everything goes through netlink
Not here  opening the device (tun.py)
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Mapping

from dexmesh.errors import PermissionNeededError, TunError
from dexmesh.wire.address import Address, format_address

MTU_BYTES = 1304  # docs/protocol/10 §1
PREFIX_LENGTH = 8
QUEUE_LENGTH = 2000  # ours: 500 drops in bursts
# Ours: one superframe of the kernel is then one segmented send (BURST_PACKETS in rust/hostio).
SUPERFRAME_PACKETS = 48

# Multicast groups of NETLINK_ROUTE: links, IPv4 addresses and routes, IPv6 addresses and routes.
_WATCHED_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_NETLINK_ROUTE = 0

# Requests (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h).
_RTM_NEWLINK, _RTM_NEWADDR = 16, 20
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
_IFLA_MTU, _IFLA_TXQLEN, _IFLA_GSO_MAX_SEGS = 4, 13, 40
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFF_UP = 0x1
_NO_FLAGS = 0

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, type, device index, flags, which flags change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, device index
_ATTRIBUTE = struct.Struct("=HH")  # length, type; a value of 4 or 16 bytes needs no padding
_TIMEOUT_S = 1.0  # the kernel answers at once; this is for one that never does

_SETTLE_S = 0.3  # changes come in bursts; tell about them once

log = logging.getLogger(__name__)


def configure_tun(name: str, address: Address, mtu: int = MTU_BYTES) -> None:
    """Set MTU and queue length, add `address`/8 and bring the device up.

    The prefix makes the kernel route fc00::/8 into the device. Raises TunError with a hint.
    """
    sizes = {
        _IFLA_MTU: mtu,
        _IFLA_TXQLEN: QUEUE_LENGTH,
        _IFLA_GSO_MAX_SEGS: SUPERFRAME_PACKETS,
    }
    try:
        index = socket.if_nametoindex(name)
    except OSError as error:
        raise TunError(f"the TUN device {name} is gone", "start the node again") from error
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
            sock.settimeout(_TIMEOUT_S)
            _set_link(sock, index, _NO_FLAGS, sizes)
            # Up before the address: no duplicate address detection then delays its use.
            _set_link(sock, index, _IFF_UP, {})
            _set_address(sock, index, address)
    except OSError as error:
        raise _tun_error(name, format_address(address), error.errno or 0) from error


def _set_link(sock: socket.socket, index: int, flags: int, sizes: Mapping[int, int]) -> None:
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags)
    body += b"".join(_attribute(kind, struct.pack("=I", size)) for kind, size in sizes.items())
    _request(sock, _RTM_NEWLINK, _NO_FLAGS, body)


def _set_address(sock: socket.socket, index: int, address: Address) -> None:
    body = _ADDRESS.pack(socket.AF_INET6, PREFIX_LENGTH, 0, 0, index)
    body += _attribute(_IFA_LOCAL, address) + _attribute(_IFA_ADDRESS, address)
    _request(sock, _RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_REPLACE, body)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _request(sock: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Ask the kernel and wait for its yes. Raises OSError with the kernel's errno."""
    flags |= _NLM_F_REQUEST | _NLM_F_ACK
    sock.send(_MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, 1, 0) + body)
    answer = sock.recv(4096)  # an NLMSG_ERROR: 0 is the yes
    (code,) = struct.unpack_from("=i", answer, _MESSAGE.size)
    if code:
        raise OSError(-code, os.strerror(-code))


def _tun_error(name: str, address: str, code: int) -> TunError | PermissionNeededError:
    what = f"cannot give {name} the address {address}: {errno.errorcode.get(code, code)}"
    if code in (errno.EPERM, errno.EACCES):
        return PermissionNeededError(
            what,
            "run as root with CAP_NET_ADMIN, and check that IPv6 is on: "
            "sysctl net.ipv6.conf.all.disable_ipv6 must be 0",
        )
    return TunError(what, "check that IPv6 is on: sysctl net.ipv6.conf.all.disable_ipv6 must be 0")


class NetworkWatch:
    """Calls back, at most every 0.3 s, when links, addresses or routes of this machine change."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen from now on. Where the kernel refuses, say so and go on without."""
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE)
            sock.setblocking(False)
            sock.bind((0, _WATCHED_GROUPS))
        except OSError as error:
            log.warning("cannot watch the network", extra={"reason": str(error)})
            return
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._handle_readable)

    def stop(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle_readable(self) -> None:
        if self._socket is None:
            return
        relevant = False
        try:
            for _ in range(64):
                relevant |= _is_change(self._socket.recv(65536))
        except BlockingIOError:
            pass
        except OSError as error:  # ENOBUFS: messages were lost, so something did change
            relevant |= error.errno == errno.ENOBUFS
        if relevant and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SETTLE_S, self._settle)

    def _settle(self) -> None:
        self._timer = None
        self._changed()


def _is_change(data: bytes) -> bool:
    """Whether a netlink datagram holds a new or removed link, address or route (types 16-25)."""
    if len(data) < 16:
        return False
    (kind,) = struct.unpack_from("=H", data, 4)
    return bool(16 <= kind <= 25)
