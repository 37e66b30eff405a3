"""Print when a node shows itself: `python -m tests.interop.watcher OWN TARGET`, in a machine."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base.signs import SignsOfLife
from dexmesh.wire.address import Address, parse_address


async def watch(own: Address, target: Address) -> None:
    """For ever."""

    async def waiting() -> Sequence[Address]:
        return (target,)

    def tell(_: Address) -> None:
        print(f"sign {time.monotonic():.3f}", flush=True)

    await SignsOfLife(AdminLogin(), own).watch(waiting, tell)


if __name__ == "__main__":
    asyncio.run(watch(parse_address(sys.argv[1]), parse_address(sys.argv[2])))
