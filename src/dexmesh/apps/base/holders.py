"""Find the program that holds a port, to name it to the user.

Place     sockets.py and cli/doctor.py -> here
Spec      proc(5): /proc/net/tcp and its sisters, /proc/PID/fd
Keeps     a guess for people: silence (None) where the kernel does not say, never an exception
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"  # TCP_LISTEN
_MAX_LINES = 100_000
_ANY = frozenset(("00000000", "0" * 32))


def holder_of(host: str, port: int, *, is_tcp: bool = True) -> str | None:
    """`smtpd (process 512)`: who listens on that port of this address, or of every address."""
    inodes = _inodes(host, port, is_tcp)
    return _owner(inodes) if inodes else None


def is_taken(host: str, port: int, *, is_tcp: bool = True) -> bool:
    """Whether anybody listens there, also where we may not see who."""
    return bool(_inodes(host, port, is_tcp))


def _inodes(host: str, port: int, is_tcp: bool) -> set[str]:
    wanted = {_kernel_form(host), *_ANY}
    return {
        inode
        for kind in (("tcp", "tcp6") if is_tcp else ("udp", "udp6"))
        for at, inode in _listeners(kind, is_tcp)
        if at.rpartition(":")[0] in wanted and int(at.rpartition(":")[2], 16) == port
    }


def _kernel_form(host: str) -> str:
    """The address as /proc/net writes it: words of 32 bits in the order of this machine."""
    packed = ipaddress.ip_address(host).packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _listeners(kind: str, is_tcp: bool) -> Iterator[tuple[str, str]]:
    """Local `ADDRESS:PORT` in hex and the inode of every socket that waits for somebody."""
    with (
        contextlib.suppress(OSError, ValueError),
        open(f"/proc/net/{kind}", encoding="ascii") as file,
    ):
        next(file, None)
        for _, line in zip(range(_MAX_LINES), file, strict=False):
            fields = line.split()
            if len(fields) > 9 and (not is_tcp or fields[3] == _LISTENING):
                yield fields[1], fields[9]


def _owner(inodes: set[str]) -> str | None:
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # gone, or not ours to look at
            if any(os.readlink(link) in targets for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text(errors="replace").strip()
                return f"{name} (process {process.name})"
    return None
