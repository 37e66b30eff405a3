"""Keep the one TUN device of the node: make it, hand it to the data plane, replace it, take it away.

Place     daemon.py, services.py -> here -> tun.py (open), netlink.py (address), runner (packets)
Spec      docs/protocol/10 §1
Keeps     the device exists as long as it is attached, and no longer
"""

from __future__ import annotations

import logging
import os
from typing import Protocol

from dexmesh.host.netlink import configure_tun
from dexmesh.host.tun import OpenTun, open_tun
from dexmesh.wire.address import Address, format_address

log = logging.getLogger(__name__)


class Runner(Protocol):
    """What the device needs of dexmesh.engine._native.Runner."""

    def attach_tun(self, fd: int, mode: int) -> None: ...
    def detach_tun(self) -> None: ...


class TunDevice:
    """The TUN of one node."""

    def __init__(self, runner: Runner, address: Address) -> None:
        self._runner = runner
        self._address = address
        self._open: OpenTun | None = None

    async def start(self, name: str | None) -> None:
        """Make a device (the kernel names it if we do not) in place of the present one.

        Raises TunError or PermissionNeededError with a hint.
        """
        self.stop()
        opened = open_tun(name)
        try:
            await configure_tun(opened.name, self._address)
            self._runner.attach_tun(opened.fd, opened.mode)
        except BaseException:
            os.close(opened.fd)
            raise
        self._open = opened
        log.info(
            "the address is on the TUN",
            extra={"device": opened.name, "address": format_address(self._address)},
        )

    def stop(self) -> bool:
        """Take the device away; whether there was one."""
        if self._open is None:
            return False
        self._runner.detach_tun()
        os.close(self._open.fd)
        self._open = None
        return True
