"""`dexmesh phone` with a loudspeaker that tells when a click is handed to it, and nothing else changed.

Place     `python -m bench.lab.desk phone ...`, run by bench/calls_setup.py -> dexmesh.cli
Keeps     a click is told by the clock of the machine, as `time.time()` has it, which all machines share
Not here  what a sound card adds: its buffer comes behind this
"""

from __future__ import annotations

import json
import sys
import time

from dexmesh.apps.call.sound.silence import Silence
from dexmesh.apps.call.sound.wav import WavSource
from dexmesh.cli import call_sound
from dexmesh.cli.main import main

LOUD = 5_000
REST_S = 0.3  # between clicks


class Ear:
    """A sink."""

    def __init__(self) -> None:
        self._rate = 8000
        self._rests_until = 0.0

    def start(self, rate: int) -> None:
        """Frames of this rate come."""
        self._rate = rate

    def write(self, pcm: bytes) -> None:
        """20 ms that a card would begin to play now."""
        now = time.time()
        samples = memoryview(pcm).cast("h")
        if now < self._rests_until or max(samples) < LOUD:
            return
        self._rests_until = now + REST_S
        first = next(at for at, sample in enumerate(samples) if sample >= LOUD)
        sys.stdout.write(json.dumps({"event": "click", "at": now + first / self._rate}) + "\n")

    def close(self) -> None:
        """Nothing is open."""


def open_ends(
    wishes: call_sound.Wishes, name: str, *, may_number: bool = False
) -> call_sound.Sound:
    """In place of files and cards."""
    del name, may_number
    source = Silence() if wishes.play is None else WavSource(wishes.play)
    return call_sound.Sound(source, Ear(), has_speaker=False)


if __name__ == "__main__":
    call_sound.open_sound = open_ends
    main()
