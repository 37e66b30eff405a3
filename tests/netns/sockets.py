"""Sockets of a machine, held by the test itself.

A socket stays in the network it was made in: a thread enters the machine, makes it and ends.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dexmesh.cli.lab import Machine

_CLONE_NEWNET = 0x40000000
_Made = TypeVar("_Made")


def in_network(machine: Machine, make: Callable[[], _Made]) -> _Made:
    """What `make` returns when it is called by a thread inside the machine's network."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_enter, machine).result()
        return threads.submit(make).result()


def udp_socket(machine: Machine, address: str, port: int = 0) -> socket.socket:
    """A bound UDP socket in the machine; it waits five seconds at most."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.settimeout(5)
        made.bind((address, port))
        return made

    return in_network(machine, make)


def _enter(machine: Machine) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/proc/{machine.pid}/ns/net", os.O_RDONLY)
    try:
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)
