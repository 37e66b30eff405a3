"""Keep the one TUN device of the node: make it, hand it to the data plane, replace it, take it away.

Place     daemon.py, services.py -> here -> tun.py (open), netlink.py (address), runner (packets)
Spec      docs/protocol/10 §1
Keeps     the device exists as long as it is attached, and no longer
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Protocol

from dexmesh.errors import HostError
from dexmesh.host.netlink import configure_tun
from dexmesh.host.tun import OpenTun, open_spare, open_tun
from dexmesh.wire.address import Address, format_address

SPARES = 4
REPAIR_WAITS_S = (0.2, 1.0, 5.0, 15.0, 60.0)

log = logging.getLogger(__name__)


class Runner(Protocol):
    """What the device needs of dexmesh.engine._native.Runner."""

    def attach_tun(self, fd: int, mode: int) -> None: ...
    def detach_tun(self) -> bool: ...


class TunDevice:
    """The TUN of one node."""

    def __init__(self, runner: Runner, address: Address) -> None:
        self._runner = runner
        self._address = address
        self._open: OpenTun | None = None
        self._spares: list[int] = []

    @property
    def name(self) -> str | None:
        """How the kernel calls the device; None while there is none."""
        return None if self._open is None else self._open.name

    async def start(self, name: str | None) -> None:
        """Make a device (the kernel names it if we do not) in place of the present one.

        Raises TunError or PermissionNeededError with a hint.
        """
        self.stop()
        opened = open_tun(name, spares=self._spares)
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

    def keep_spares(self) -> None:
        """Before privileges are dropped: what a later repair needs and could not open then."""
        with contextlib.suppress(HostError):
            while len(self._spares) < SPARES:
                self._spares.append(open_spare())

    def close(self) -> None:
        """Take the device away, if there is one, and let go of everything."""
        self.stop()
        for spare in self._spares:
            os.close(spare)
        self._spares.clear()

    async def repair(self, name: str | None) -> None:
        """The device vanished (somebody deleted it): make it again, with more patience each time."""
        self.stop()
        for wait_s in REPAIR_WAITS_S:
            await asyncio.sleep(wait_s)
            if self._open is not None:
                return
            try:
                await self.start(name)
            except HostError as error:
                log.error("no TUN", extra={"reason": str(error), "hint": error.hint})
            else:
                return

    def stop(self) -> bool:
        """Take the device away; whether there was one."""
        if self._open is None:
            return False
        self._runner.detach_tun()
        os.close(self._open.fd)
        self._open = None
        return True
