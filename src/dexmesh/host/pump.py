"""Carry events from the data plane to the node, and its decisions back.

Place     runner's eventfd -> here -> mesh/node.py -> engine/door.py; notices -> services.py, daemon.py
Spec      docs/architecture.md §3
Keeps     one round handles at most ROUND_EVENTS events, so that a flood cannot starve the event loop;
          a decision that raises is logged and the node lives on
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import ReadStats
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import Notice

ROUND_EVENTS = 256

log = logging.getLogger(__name__)


class Source(Protocol):
    """What wakes the pump: dexmesh.engine._native.Runner."""

    def event_fd(self) -> int: ...
    def clear_event_fd(self) -> None: ...


class Pump:
    """One per daemon; runs on the event loop that starts it. `woken` is called on every wake-up."""

    def __init__(
        self,
        node: Node,
        door: EngineDoor,
        source: Source,
        hear: Callable[[Notice], None],
        woken: Callable[[], None],
    ) -> None:
        self._node = node
        self._door = door
        self._source = source
        self._hear = hear
        self._woken = woken
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    def start(self) -> None:
        """Begin to carry."""
        self._running = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._source.event_fd(), self._handle_readable)
        self.run()

    def stop(self) -> None:
        """Stop carrying; what is still in the ring stays there."""
        self._running = False
        asyncio.get_running_loop().remove_reader(self._source.event_fd())
        if self._timer is not None:
            self._timer.cancel()

    def run(self) -> None:
        """Handle what is waiting, carry out what was decided, and set the next alarm.

        Call it after every command given to the node from outside.
        """
        now = time.monotonic()
        events = self._door.take_events(ROUND_EVENTS)
        for event in events:
            self._guard(partial(self._node.handle_event, event, now))
        due = self._node.next_timeout()
        if due is not None and due[0] <= now:
            self._guard(partial(self._node.handle_timeout, now))
        asks_again = self._carry_out(now)
        self._set_alarm(again=asks_again or len(events) == ROUND_EVENTS)

    def _carry_out(self, now: float) -> bool:
        """Carry out every output; True if an answer of the data plane waits to be taken."""
        asks_again = False
        for output in self._node.take_outputs():
            if isinstance(output, Notice):
                self._guard(partial(self._hear, output))
            else:
                self._guard(partial(self._door.apply, output, now))
                asks_again |= isinstance(output, ReadStats)
        return asks_again

    def _set_alarm(self, *, again: bool) -> None:
        if not self._running:
            return
        if self._timer is not None:
            self._timer.cancel()
        due = self._node.next_timeout()
        wait_s = 0.0 if again or due is None else max(0.0, due[0] - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.run)

    def _handle_readable(self) -> None:
        self._source.clear_event_fd()
        self._woken()
        self.run()

    def _guard(self, step: Callable[[], None]) -> None:
        """The last resort: a bug in one decision must not end the node."""
        try:
            step()
        except Exception:
            log.exception("a decision failed")
