"""Know which seats there are, and tell each what happens to the calls it has or may take.

Place     control calls (call_calls.py) attach seats -> here <- service.py, for every output of the phone
Spec      docs/decisions/0013 (seats)
Keeps     a seat that does not listen loses events, oldest first, never the last of a call; everything is
          bounded; a call has one seat
Not here  what the phone decides (phone/), what a seat does with its plan (seat/)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from dexmesh.apps.call.phone.values import CallError, CallId, SeatMedia
from dexmesh.errors import AppError
from dexmesh.values import dataclass

MAX_SEATS = 64  # ours
MAX_EVENTS = 200  # ours: a seat that does not take them
BEAT_S = 20.0  # ours: a sign of life on a stream where nothing happens

Event = dict[str, Any]


class SeatLine:
    """The events for one seat, in order. `user`: whose it is."""

    def __init__(self, user: str) -> None:
        self.user = user
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._news = asyncio.Event()
        self._is_over = False

    def tell(self, event: Event, *, is_last: bool = False) -> None:
        """Add an event; after the last one the stream ends."""
        self._events.append(event)
        self._is_over = self._is_over or is_last
        self._news.set()

    async def take(self) -> AsyncIterator[Event]:
        """Every event as it comes; now and then a sign of life."""
        while self._events or not self._is_over:
            if self._events:
                yield self._events.popleft()
                continue
            self._news.clear()
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._news.wait()
            except TimeoutError:
                yield {"event": "alive"}


@dataclass(frozen=True, slots=True)
class StandingSeat:
    """Ready for the next call that answers itself; `takes_all`: for whatever rings."""

    line: SeatLine
    media: SeatMedia
    takes_all: bool


class Seats:
    """Of one service: who may be rung, who has which call, who waits for the next."""

    def __init__(self) -> None:
        self._bells: set[SeatLine] = set()
        self._of_call: dict[CallId, SeatLine] = {}
        self._standing: list[StandingSeat] = []  # the one that waits longest first

    def attach(self, user: str) -> SeatLine:
        """A seat that hears the bell of this user. Raises CallError where there are too many."""
        self._require_room()
        line = SeatLine(user)
        self._bells.add(line)
        return line

    def detach(self, line: SeatLine) -> None:
        """It listens no more."""
        self._bells.discard(line)

    def take_call(self, call: CallId, user: str) -> SeatLine:
        """This seat has the call now. Raises CallError if another has it."""
        if call in self._of_call:
            raise CallError("that call has been answered already")
        self._require_room()
        line = self._of_call[call] = SeatLine(user)
        return line

    def drop_call(self, call: CallId) -> None:
        """The call is over, or its seat is gone."""
        self._of_call.pop(call, None)

    def stand_by(self, user: str, media: SeatMedia, *, takes_all: bool) -> SeatLine:
        """A seat that answers the next call by itself. Raises AppError where there are too many."""
        self._require_room()
        standing = StandingSeat(SeatLine(user), media, takes_all)
        self._standing.append(standing)
        return standing.line

    def sit_down(
        self, call: CallId, users: tuple[str, ...], *, answers_itself: bool
    ) -> StandingSeat | None:
        """The seat that answers this call, which rings for `users`, at once; it has it now."""
        for one in self._standing:
            is_meant = answers_itself and one.line.user == users[0]
            if is_meant or (one.takes_all and one.line.user in users):
                self._standing.remove(one)
                self._of_call[call] = one.line
                return one
        return None

    def leave(self, line: SeatLine) -> CallId | None:
        """A seat that stood by is gone; the call it has, if any."""
        self._standing = [one for one in self._standing if one.line is not line]
        return next((call for call, one in self._of_call.items() if one is line), None)

    def bells(self, user: str) -> int:
        """How many listen for this user."""
        return sum(line.user == user for line in self._bells)

    def has_seat(self, call: CallId) -> bool:
        """Whether somebody sits at that call."""
        return call in self._of_call

    def ring(self, users: Iterable[str], event: Event) -> int:
        """Tell the bells of these users; how many heard it."""
        wanted = set(users)
        heard = [line for line in self._bells if line.user in wanted]
        for line in heard:
            line.tell(event)
        return len(heard)

    def tell(self, call: CallId, event: Event, *, is_last: bool = False) -> None:
        """Tell the seat of a call."""
        line = self._of_call.get(call)
        if line is not None:
            line.tell(event, is_last=is_last)

    def __len__(self) -> int:
        return len(self._bells) + len(self._of_call) + len(self._standing)

    def _require_room(self) -> None:
        if len(self) >= MAX_SEATS:
            raise AppError("too many phones listen here", "end some of them")
