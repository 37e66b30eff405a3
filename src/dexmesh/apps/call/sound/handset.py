"""Give the sound card back while a call is on hold, so that another call can have it.

Place     cli/call_sound.py puts these between a seat and device.py; cli/seat_run.py says when
Spec      docs/decisions/0013-calls.md ("the sound is where the person is")
Keeps     a seat never sees the difference: silence is read, and what is written is forgotten, while
          the card is another's; the seat's thread never waits for a card that is opened or closed
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from dexmesh.apps.call.sound.interface import Sink, Source, frame_bytes

_USUAL_RATE: Final = 8000  # before the seat has said another


class _Handset:
    """One end. Its owner calls `start`, `rest`, `wake` and `close` from one thread."""

    def __init__(self, card: Source | Sink) -> None:
        self._card = card
        self._rate = 0
        self._is_resting = False
        self._lock = Lock()  # held for a frame, not for opening and closing

    def start(self, rate: int) -> None:
        """Begin, or go on, at this rate; a card that rests begins with `wake`. Raises SoundError."""
        if not self._is_resting:
            self._card.start(rate)
        self._rate = rate

    def rest(self) -> None:
        """Give the card back until `wake`. More than once does no harm."""
        with self._lock:
            self._is_resting = True
        self._card.close()

    def wake(self) -> None:
        """Have the card again. Raises SoundError if it cannot be had; then it rests on."""
        if self._is_resting and self._rate:
            self._card.start(self._rate)
        with self._lock:
            self._is_resting = False

    def close(self) -> None:
        """Give it back for good."""
        self.rest()


class HandsetSource(_Handset):
    """A microphone that can rest."""

    is_finished = False

    def __init__(self, card: Source) -> None:
        super().__init__(card)
        self._source = card

    def read(self) -> bytes:
        """The next 20 ms."""
        with self._lock:
            if not self._is_resting:
                return self._source.read()
        return bytes(frame_bytes(self._rate or _USUAL_RATE))


class HandsetSink(_Handset):
    """A loudspeaker that can rest."""

    def __init__(self, card: Sink) -> None:
        super().__init__(card)
        self._sink = card

    def write(self, pcm: bytes) -> None:
        """Play 20 ms."""
        with self._lock:
            if not self._is_resting:
                self._sink.write(pcm)
