"""Ask the kernel which IPv4 addresses this machine has, on which devices.

Place     beacons.py (where to send), views.py (which devices can broadcast) -> here
Spec      rtnetlink(7) RTM_GETADDR, netdevice(7) SIOCGIFFLAGS
Keeps     no program is run and no right is needed; at most MAX_ADDRESSES are looked at
"""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

from dexmesh.values import dataclass

MAX_ADDRESSES = 1024

_IFF_UP, _IFF_BROADCAST, _IFF_LOOPBACK = 0x1, 0x2, 0x8
_SIOCGIFFLAGS = 0x8913
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_TIMEOUT_S = 1.0  # the kernel answers at once; this is for one that never does

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, device index
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class DeviceFlags:
    """What a network device is."""

    is_up: bool
    can_broadcast: bool
    is_loopback: bool


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One IPv4 address of this machine and the network behind it."""

    device: str
    index: int
    address: IPv4Address
    prefix_length: int

    @property
    def broadcast(self) -> IPv4Address:
        """(address AND mask) OR NOT mask, whatever the kernel was told (04 §9.3)."""
        return IPv4Interface((self.address, self.prefix_length)).network.broadcast_address


def local_addresses() -> list[LocalAddress]:
    """Every IPv4 address, in the order of the kernel. Raises OSError when it does not answer."""
    found: list[LocalAddress] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(_TIMEOUT_S)
        sock.send(
            _MESSAGE.pack(_MESSAGE.size + 8, _RTM_GETADDR, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
            + struct.pack("=B7x", socket.AF_INET)
        )
        is_done = False
        while not is_done and len(found) < MAX_ADDRESSES:
            is_done = _read_messages(sock.recv(65536), found)
    return found


def device_flags(name: str) -> DeviceFlags:
    """What the device of this name is; for one that is not there, nothing at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        except OSError:
            return DeviceFlags(is_up=False, can_broadcast=False, is_loopback=False)
    _, flags = struct.unpack_from("16sH", answer)
    return DeviceFlags(
        bool(flags & _IFF_UP), bool(flags & _IFF_BROADCAST), bool(flags & _IFF_LOOPBACK)
    )


def _read_messages(data: bytes, found: list[LocalAddress]) -> bool:
    """Add the addresses in one answer to `found`; True when nothing follows."""
    place = 0
    while place + _MESSAGE.size <= len(data):
        length, kind, *_ = _MESSAGE.unpack_from(data, place)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _MESSAGE.size:
            return True
        if kind == _RTM_NEWADDR:
            one = _read_address(data[place + _MESSAGE.size : place + length])
            if one is not None:
                found.append(one)
        place += (length + 3) & ~3
    return False


def _read_address(data: bytes) -> LocalAddress | None:
    if len(data) < _ADDRESS.size:
        return None
    family, prefix_length, _, _, index = _ADDRESS.unpack_from(data)
    if family != socket.AF_INET:
        return None
    attributes = _read_attributes(data[_ADDRESS.size :])
    octets = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    try:
        name = socket.if_indextoname(index)
    except OSError:  # it vanished meanwhile
        return None
    if octets is None or len(octets) != 4:
        return None
    return LocalAddress(name, index, IPv4Address(octets), prefix_length)


def _read_attributes(data: bytes) -> dict[int, bytes]:
    attributes = {}
    place = 0
    while place + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind] = data[place + _ATTRIBUTE.size : place + length]
        place += (length + 3) & ~3
    return attributes
