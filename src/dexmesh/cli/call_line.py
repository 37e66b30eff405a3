"""Begin calls from this program: what all of them share, and the loop of one.

Place     cli/call.py, cli/phone_seat.py -> here -> seat_run.py, inbox.py, apps/call/seat
Spec      docs/decisions/0013 (the seat binds its own ports and tells the service which)
Keeps     ports and sound are there before anybody is rung; whatever ends this program ends its calls
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dexmesh.cli.call_show import JsonShow, LineShow, Show, Story
from dexmesh.cli.inbox import (
    Commander,
    CommandRefused,
    Happening,
    Inbox,
    Key,
    Quit,
    SeatTold,
    Stream,
    StreamOver,
    Told,
    quitting,
)
from dexmesh.cli.keyboard import keys
from dexmesh.cli.output import misused
from dexmesh.cli.phone import phone_of
from dexmesh.cli.seat_run import CallResult, SeatedCall, seat_events
from dexmesh.cli.unblocked import unblocked_terminal
from dexmesh.errors import DexmeshError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.call.seat.seat import Seat
    from dexmesh.cli.call_sound import Sound, Wishes

TICK_S: Final = 0.1

CodecOption = Annotated[
    list[str] | None,
    typer.Option(
        "--codec", metavar="NAME", help="Only this one: opus, G722, PCMU, PCMA; may be repeated."
    ),
]


@dataclass(frozen=True, slots=True)
class Line:
    """What the calls of this program share. `ports`: for the sound; `codecs`: the best first."""

    connect: Callable[[], ControlClient]
    inbox: Inbox
    commander: Commander
    show: Show
    address: str
    ports: Sequence[int]
    codecs: Sequence[str]
    has_keys: bool


@contextlib.contextmanager
def open_line(
    home: Path | None, user: str | None, codecs: Sequence[str] | None, *, as_json: bool
) -> Iterator[Line]:
    """Everything a call needs, until the block ends; keys and signals go to its inbox."""
    chosen = choose_codecs(codecs)

    def connect() -> ControlClient:
        return phone_of(home, user)

    with connect() as service:
        facts = service.call("phone.status")
    first, last = facts["media_ports"]
    inbox = Inbox()
    commander = Commander(connect(), inbox)
    try:
        with (
            quitting(inbox),
            unblocked_terminal(),
            keys(inbox, wanted=not as_json) as has_keys,
        ):
            yield Line(
                *(connect, inbox, commander, show_of(as_json=as_json), str(facts["address"])),
                *(range(int(first), int(last) + 2), chosen, has_keys),
            )
    finally:
        commander.close()


def show_of(*, as_json: bool) -> Show:
    """A screen on a terminal, lines elsewhere, JSON for programs."""
    if as_json:
        return JsonShow()
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from dexmesh.cli.call_screen import CallScreen

        return CallScreen()
    return LineShow()


def choose_codecs(wanted: Sequence[str] | None) -> list[str]:
    """The codecs to offer, the best first; those asked for, if any are. Ends for a name nobody knows."""
    from dexmesh.apps.call.codec.catalogue import codecs

    known = {one.name.lower(): one for one in codecs()}
    for name in wanted or ():
        state = known.get(name.lower())
        if state is None:
            misused(
                f"there is no codec {name!r}",
                f"known are {', '.join(one.name for one in codecs())}",
            )
        if not state.is_available:
            misused(f"the codec {state.name} is missing here", f"install {state.package}")
    chosen = {name.lower() for name in wanted or known}
    return [one.name for one in codecs() if one.is_available and one.name.lower() in chosen]


class SeatedLine:
    """One call of this program: the seat, and the stream of the service about it."""

    def __init__(
        self, line: Line, wishes: Wishes, story: Story, most_s: float | None = None, **sound: Any
    ) -> None:
        """Take ports and sound; nobody is rung yet. Raises SoundError, BindError."""
        from dexmesh.cli.call_sound import open_sound

        self._line = line
        self._token = object()
        self._stream: Stream | None = None
        self._is_known = False  # to the service, as ours
        self.sound: Sound = open_sound(wishes, story.name, **sound)
        try:
            seat = self._seat()
        except DexmeshError:
            self.sound.source.close()
            self.sound.sink.close()
            raise
        recording = self.sound.recording
        story.recording = recording.path if recording else None
        self.call = SeatedCall(seat, self.sound, line.commander, line.show, story, most_s)

    def _seat(self) -> Seat:
        from dexmesh.apps.call.seat.seat import Seat

        line = self._line
        events = seat_events(line.inbox, self._token)
        return Seat(line.address, self.sound.source, self.sound.sink, events, ports=line.ports)

    @property
    def is_begun(self) -> bool:
        """Whether the service was asked for this call."""
        return self._stream is not None

    def begin(self, name: str, **arguments: Any) -> None:
        """Ask the service for the call: `call.dial`, `call.answer` or, for the next, `call.stand_by`."""
        from dexmesh.apps.call.media.formats import find_format

        seat, codecs = self.call.seat, self._line.codecs
        if name != "call.answer":  # nobody waits yet
            seat.prepare(one for name in codecs if (one := find_format(name)) is not None)
        media = {"port": seat.port, "codecs": list(codecs)}
        self._stream = Stream(self._line.connect(), self._line.inbox, name, {**arguments, **media})

    def owns(self, happening: Happening) -> bool:
        """Whether this comes from the stream of this call, or from its seat."""
        if isinstance(happening, SeatTold):
            return happening.token is self._token
        return isinstance(happening, Told | StreamOver) and happening.stream is self._stream

    def handle(self, happening: Happening, now: float) -> bool:
        """Do what follows for this call; False if it is about something else.

        Raises what the service said if it did not begin the call at all.
        """
        match happening:
            case Told(stream, event) if stream is self._stream:
                self._is_known = True
                self.call.handle_event(event, now)
            case StreamOver(stream, error) if stream is self._stream:
                self._end_of_stream(error)
            case SeatTold(token, event) if token is self._token:
                self.call.handle_event(event, now)
            case CommandRefused():
                self.call.handle_refused(happening)
            case Key(char):
                return self.call.handle_key(char, now)
            case _:
                return False
        return True

    def _end_of_stream(self, error: DexmeshError | None) -> None:
        if self.call.is_over:
            return
        if error is not None and not self._is_known:
            raise error
        self.call.leave("the service ended")

    def drop(self) -> None:
        """Give everything back of a call that never was, without a word."""
        self.call.drop()
        self.close()

    def close(self) -> None:
        """End the call if it is not over, and give everything back."""
        if self._stream is not None:
            self._stream.close()
        if not self._is_known:
            self.call.drop()
        self.call.leave("hung up", by="us")


def sit(line: Line, seated: SeatedLine) -> tuple[CallResult, int | None]:
    """Run one call to its end: how it ended, and the signal that asked for it."""
    told: int | None = None
    try:
        while not seated.call.is_over:
            happening = line.inbox.take(TICK_S)
            now = time.monotonic()
            if isinstance(happening, Quit):
                told = happening.signal
                seated.call.hang_up(now)
            elif happening is not None:
                seated.handle(happening, now)
            seated.call.tick(now)
            sys.stdout.flush()  # what a terminal did not take before
    finally:
        seated.close()
    return seated.call.result or CallResult(), told
