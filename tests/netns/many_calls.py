"""Seats by the dozen in one process, for tests of many calls: a process each would cost a second.

    python -m tests.netns.many_calls call SOCKET ADDRESS URI COUNT HOLD FOLDER [HERTZ...]
    python -m tests.netns.many_calls answer SOCKET ADDRESS FOLDER [HERTZ...]

`call` makes COUNT calls, HOLD of them at the same time, each as soon as the one before it has sound, and
prints a JSON line when all are over; `answer` takes every call, until it is killed. Call number n says
tone number n, if there are tones, and what it hears is in FOLDER/n.wav.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from dexmesh.apps.base.control import ControlClient
from dexmesh.apps.call.media.plan import decode_plan
from dexmesh.apps.call.seat.seat import Seat
from dexmesh.apps.call.sound.interface import Source
from dexmesh.apps.call.sound.silence import Discard, Silence
from dexmesh.apps.call.sound.tones import Part, Tones
from dexmesh.apps.call.sound.wav import WavSink

HEARD = 3  # packets
LIMIT_S = 60.0


class Call:
    """One call in a thread of its own."""

    def __init__(self, place: Place, number: int, command: str, **arguments: Any) -> None:
        self.has_sound, self.is_over = threading.Event(), threading.Event()
        self.ended: dict[str, Any] = {}
        self._place, self._command, self._arguments = place, command, arguments
        source: Source = Silence()
        if place.tones:
            source = Tones([Part((place.tones[number],), 1.0)])
            self._seat = Seat(place.address, source, WavSink(place.folder / f"{number}.wav"))
        else:
            self._seat = Seat(place.address, source, Discard())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hang_up(self) -> dict[str, Any]:
        """End it; how it was."""
        with self._place.connect() as service:
            service.call("call.hangup", call=self.number)
        self._thread.join(LIMIT_S)
        return self.ended

    def _run(self) -> None:
        media = {"port": self._seat.port, "codecs": ["PCMU"]}
        with self._place.connect() as service:
            for event in service.stream(self._command, **self._arguments, **media):
                self._handle(event)
        figures = self._seat.stop().as_dict()
        self.ended |= {"received": figures.get("received", 0), "sent": figures.get("sent", 0)}
        self.is_over.set()

    def _handle(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "dialling" | "answering":
                self.number = event["call"]
            case "established":
                self._seat.start(decode_plan(event["plan"]))
                threading.Thread(target=self._wait_sound, daemon=True).start()
            case "ended":
                self.ended |= event
                self.has_sound.set()

    def _wait_sound(self) -> None:
        while not self.is_over.wait(0.02):
            media = self._seat.statistics().media
            if media is not None and media.received >= HEARD:
                self.has_sound.set()
                return


class Place:
    """Where the calls are."""

    def __init__(self, socket: str, address: str, folder: str, tones: list[str]) -> None:
        self.socket, self.address, self.folder = Path(socket), address, Path(folder)
        self.tones = [float(tone) for tone in tones]

    def connect(self) -> ControlClient:
        """A connection to the service."""
        return ControlClient(self.socket, "stuart")


def call(place: Place, uri: str, count: int, held: int) -> None:
    """Make the calls; say how they ended."""
    going: deque[Call] = deque()
    ended = []
    for number in range(count):
        one = Call(place, number, "call.dial", to=uri)
        going.append(one)
        if not one.has_sound.wait(LIMIT_S) or one.ended:
            raise SystemExit(f"call {number} has no sound: {one.ended}")
        if len(going) == held and number < count - 1:
            ended.append(going.popleft().hang_up())
    if place.tones:
        threading.Event().wait(2.0)  # for the tones of the last one
    ended += [one.hang_up() for one in going]
    print(json.dumps(ended), flush=True)


def answer(place: Place) -> None:
    """Take whatever rings."""
    kept: deque[Call] = deque(maxlen=20)
    with place.connect() as service:
        number = 0
        for event in service.stream("phone.attach"):
            if event["event"] == "ringing":
                kept.append(Call(place, number, "call.answer", call=event["call"]))
                number += 1


if __name__ == "__main__":
    command, socket, address, *rest = sys.argv[1:]
    if command == "call":
        uri, count, held, folder, *tones = rest
        call(Place(socket, address, folder, tones), uri, int(count), int(held))
    else:
        folder, *tones = rest
        answer(Place(socket, address, folder, tones))
