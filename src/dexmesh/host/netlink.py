"""Give the TUN device its address, and notice when the network of this machine changes.

Place     daemon.py -> configure_tun(); NetworkWatch -> daemon.py -> mesh (handle_network_changed)
Spec      docs/protocol/10 §1 "The TUN device"
Keeps     no program is run: everything goes through netlink
Not here  opening the device (tun.py)
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable

from dexmesh.errors import PermissionNeededError, TunError
from dexmesh.host.routes_library import iproute_class, netlink_error_class
from dexmesh.wire.address import Address, format_address

MTU_BYTES = 1304  # docs/protocol/10 §1
PREFIX_LENGTH = 8
QUEUE_LENGTH = 2000  # ours: 500 drops in bursts
# Ours: one superframe of the kernel is then one segmented send (BURST_PACKETS in rust/hostio).
SUPERFRAME_PACKETS = 48

# Multicast groups of NETLINK_ROUTE: links, IPv4 addresses and routes, IPv6 addresses and routes.
_WATCHED_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_NETLINK_ROUTE = 0
_SETTLE_S = 0.3  # changes come in bursts; tell about them once

log = logging.getLogger(__name__)


async def configure_tun(name: str, address: Address, mtu: int = MTU_BYTES) -> None:
    """Set MTU and queue length, add `address`/8 and bring the device up.

    The prefix makes the kernel route fc00::/8 into the device. Raises TunError with a hint.
    """
    text = format_address(address)
    netlink_error = netlink_error_class()
    try:
        async with iproute_class()() as routes:
            found = await routes.link_lookup(ifname=name)
            if not found:
                raise TunError(f"the TUN device {name} is gone", "start the node again")
            index = found[0]
            await routes.link(
                "set",
                index=index,
                mtu=mtu,
                txqlen=QUEUE_LENGTH,
                gso_max_segs=SUPERFRAME_PACKETS,
            )
            # Up before the address: no duplicate address detection then delays its use.
            await routes.link("set", index=index, state="up")
            await routes.addr("replace", index=index, address=text, prefixlen=PREFIX_LENGTH)
    except netlink_error as error:
        code: int = getattr(error, "code", 0)
        raise _tun_error(name, text, code) from error


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
