"""Carry events from the data plane to the node, and its decisions back.

Place     runner's eventfd -> here -> mesh/node.py -> engine/door.py; notices -> services.py, daemon.py
Spec      docs/architecture.md §3
Keeps     one round handles at most ROUND_EVENTS events, so that a flood cannot starve the event loop;
          a decision that raises is logged and the node lives on
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import ReadStats
from dexmesh.mesh.node import Node
from dexmesh.mesh.notices import Notice, is_notice

ROUND_EVENTS = 256
TICK_S = 1.0

log = logging.getLogger(__name__)


class Pump:
    """One per daemon; runs on the event loop that starts it."""

    def __init__(
        self, node: Node, door: EngineDoor, event_fd: int, hear: Callable[[Notice], None]
    ) -> None:
        self._node = node
        self._door = door
        self._event_fd = event_fd
        self._hear = hear
        self._timer: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._running = False

    def start(self) -> None:
        """Begin to carry."""
        self._running = True
        loop = asyncio.get_running_loop()
        loop.add_reader(self._event_fd, self._handle_readable)
        self._handle_tick()

    def stop(self) -> None:
        """Stop carrying; what is still in the ring stays there."""
        self._running = False
        asyncio.get_running_loop().remove_reader(self._event_fd)
        for timer in (self._timer, self._tick):
            if timer is not None:
                timer.cancel()

    def run(self) -> None:
        """Handle what is waiting, carry out what was decided, and set the next alarm.

        Call it after every command given to the node from outside.
        """
        now = time.monotonic()
        events = self._door.take_events(ROUND_EVENTS)
        for event in events:
            self._guard(lambda event=event: self._node.handle_event(event, now))  # type: ignore[misc]
        due = self._node.next_timeout()
        if due is not None and due[0] <= now:
            self._guard(lambda: self._node.handle_timeout(now))
        self._carry_out(now)
        self._set_alarm(again=len(events) == ROUND_EVENTS)

    def _carry_out(self, now: float) -> None:
        for output in self._node.take_outputs():
            if is_notice(output):
                self._guard(lambda output=output: self._hear(output))  # type: ignore[misc]
            else:
                self._door.apply(output, now)
                if isinstance(output, ReadStats):
                    asyncio.get_running_loop().call_soon(self.run)

    def _set_alarm(self, again: bool) -> None:
        if not self._running:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        if again:
            self._timer = loop.call_later(0, self.run)
            return
        due = self._node.next_timeout()
        if due is not None:
            self._timer = loop.call_later(max(0.0, due[0] - time.monotonic()), self.run)

    def _handle_readable(self) -> None:
        try:
            os.read(self._event_fd, 8)
        except BlockingIOError:
            return
        self.run()

    def _handle_tick(self) -> None:
        """The data plane has no timers of its own: parked packets expire when we say what time it is."""
        self._door.tick(time.monotonic())
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._handle_tick)

    def _guard(self, step: Callable[[], None]) -> None:
        """The last resort: a bug in one decision must not end the node."""
        try:
            step()
        except Exception:
            log.exception("a decision failed")
