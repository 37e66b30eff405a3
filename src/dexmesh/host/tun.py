"""Open a TUN device on the highest rung of offloads that this kernel has.

Place     device.py -> here -> Linux; the descriptor goes to the runner (rust/hostio/src/tun.rs)
Spec      docs/protocol/10 §1 "The TUN device"; Linux tun(4)
Keeps     a refused rung leaves no device behind; what a person can mend is said with its command
Not here  address, MTU, up, queue length (netlink.py)
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from enum import IntEnum
from pathlib import Path

from dexmesh.errors import PermissionNeededError, TunError
from dexmesh.values import dataclass

OFFLOAD_VARIABLE = "DEXMESH_TUN_OFFLOAD"  # uso, tso or off: the highest rung to try
NAME_MAX_BYTES = 15

_DEVICE = Path("/dev/net/tun")
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")

_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_CHECKSUM, _TSO4, _TSO6, _USO4, _USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
_VNET_HEADER_BYTES = 10
_IFREQ_BYTES = 40

_ROOT_HINT = "run as root, or give the program CAP_NET_ADMIN (setcap cap_net_admin+ep)"


class TunMode(IntEnum):
    """A rung; the numbers are those of rust/hostio."""

    PLAIN = 0
    TSO = 1
    USO = 2


_NAMES = {"off": TunMode.PLAIN, "tso": TunMode.TSO, "uso": TunMode.USO}
_OFFLOADS = {
    TunMode.USO: _CHECKSUM | _TSO4 | _TSO6 | _USO4 | _USO6,
    TunMode.TSO: _CHECKSUM | _TSO4 | _TSO6,
}


@dataclass(frozen=True, slots=True)
class OpenTun:
    """An open TUN. Whoever holds it closes `fd`, and with the last descriptor the device goes."""

    fd: int
    name: str
    mode: TunMode


def open_tun(
    name: str | None = None, highest: TunMode | None = None, spares: list[int] | None = None
) -> OpenTun:
    """Open a TUN of that name, or one the kernel names. A device that exists already is used.

    `highest` is the highest rung to try; None takes it from DEXMESH_TUN_OFFLOAD. `spares` are
    descriptors of open_spare(), taken from when the device may not be opened (any more). Raises
    TunError or PermissionNeededError, with a hint.
    """
    spares = [] if spares is None else spares
    wanted = _mode_from_environment() if highest is None else highest
    _check_name(name)
    _check_ipv6("all")
    for mode in sorted(_OFFLOADS, reverse=True):
        if mode <= wanted:
            opened = _try_with_offload(name, mode, spares)
            if opened is not None:
                return _checked(opened)
    fd, given = _attach(name, 0, spares)
    return _checked(OpenTun(fd, given, TunMode.PLAIN))


def open_spare() -> int:
    """A descriptor that open_tun() can make a TUN of later, as a user who may not open the device.

    Raises TunError or PermissionNeededError.
    """
    return _open_control_device([])


def _mode_from_environment() -> TunMode:
    value = os.environ.get(OFFLOAD_VARIABLE) or "uso"
    if value not in _NAMES:
        raise TunError(
            f"{OFFLOAD_VARIABLE} is {value!r}", f"set it to {', '.join(_NAMES)}, or not at all"
        )
    return _NAMES[value]


def _check_name(name: str | None) -> None:
    if name is None:
        return
    is_usable = 0 < len(os.fsencode(name)) <= NAME_MAX_BYTES and name not in (".", "..")
    if not is_usable or any(sign.isspace() or sign in "/:%\0" for sign in name):
        raise TunError(
            f"{name!r} cannot be the name of a device",
            f"use 1 to {NAME_MAX_BYTES} letters, digits and dashes",
        )


def _check_ipv6(device: str) -> None:
    """The kernel must have IPv6, and have it switched on for this device ("all": at all)."""
    try:
        is_disabled = (_IPV6_SETTINGS / device / "disable_ipv6").read_text().strip() != "0"
    except FileNotFoundError:
        if device == "all":
            raise TunError(
                "this kernel has no IPv6",
                "start it without ipv6.disable=1, or load it with: modprobe ipv6",
            ) from None
        return
    if is_disabled and device != "all":
        raise TunError(
            f"IPv6 is switched off for the device {device}",
            "switch it on: sysctl -w net.ipv6.conf.all.disable_ipv6=0"
            f" net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.{device}.disable_ipv6=0",
        )


def _checked(opened: OpenTun) -> OpenTun:
    try:
        _check_ipv6(opened.name)
    except BaseException:
        os.close(opened.fd)
        raise
    return opened


def _try_with_offload(name: str | None, mode: TunMode, spares: list[int]) -> OpenTun | None:
    """None if this kernel does not have the rung."""
    try:
        fd, given = _attach(name, _IFF_VNET_HDR, spares)
    except _RungMissingError:
        return None
    try:
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", _VNET_HEADER_BYTES))
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _OFFLOADS[mode])
    except OSError:
        os.close(fd)
        return None
    return OpenTun(fd, given, mode)


class _RungMissingError(TunError):
    """The kernel refused the flags; without them it may still do."""


def _attach(name: str | None, flags: int, spares: list[int]) -> tuple[int, str]:
    """Open the control device and make it a TUN: descriptor, and the name the device has."""
    fd = _open_control_device(spares)
    wanted = os.fsencode(name or "")
    request = struct.pack("16sH", wanted, _IFF_TUN | _IFF_NO_PI | flags).ljust(_IFREQ_BYTES, b"\0")
    try:
        answer = fcntl.ioctl(fd, _TUNSETIFF, request)
    except OSError as error:
        os.close(fd)
        raise _attach_error(error, name, flags) from error
    return fd, os.fsdecode(answer[:16].split(b"\0", 1)[0])


def _open_control_device(spares: list[int]) -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, OSError) as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            if spares:
                return spares.pop()
            raise PermissionNeededError(f"{_DEVICE} may not be opened", _ROOT_HINT) from error
        raise TunError(
            f"{_DEVICE} cannot be opened ({error.strerror})",
            "load the driver with: modprobe tun; in a container, pass the device in",
        ) from error


def _attach_error(error: OSError, name: str | None, flags: int) -> TunError | PermissionNeededError:
    shown = name or "a new TUN device"
    match error.errno:
        case errno.EPERM | errno.EACCES:
            return PermissionNeededError(f"{shown} may not be made", _ROOT_HINT)
        case errno.EBUSY:
            return TunError(
                f"the device {shown} is in use by another program",
                "stop that program (is another node running?), or choose another tunDevice name",
            )
        case errno.EINVAL if flags & _IFF_VNET_HDR:
            return _RungMissingError(f"{shown}: {error.strerror}")
        case errno.EINVAL:
            return TunError(
                f"the device {shown} exists and is not a TUN device we can use",
                f"choose another name, or make it with: ip tuntap add {shown} mode tun",
            )
    return TunError(f"{shown} cannot be made ({error.strerror})", "see dmesg for the reason")
