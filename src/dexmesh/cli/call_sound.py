"""Choose where the sound of a call comes from and goes to: files, a sound card, or nothing.

Place     cli/call.py, cli/phone_seat.py -> here -> apps/call/sound; the seat uses what is made
Spec      docs/apps/sip.md, "Building blocks" (files and nothing are ends like a sound card)
Keeps     what cannot be played or recorded is said before anybody is called; a recording begins with the
          call, not with the signal before it; one that never began leaves no file; a call on hold
          lets another have the card
Not here  20 ms at a time (apps/call/seat)
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dexmesh.errors import SoundError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.call.sound.handset import HandsetSink, HandsetSource
    from dexmesh.apps.call.sound.interface import Sink, Source
    from dexmesh.apps.call.sound.wav import WavSink

PlayOption = Annotated[
    Path | None,
    typer.Option("--play", metavar="FILE.wav", help="Say this instead of using the microphone."),
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE.wav|DIR", help="Record what is heard; in a folder, a file a call."
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="NAME", help="The sound card: a number or part of a name of `devices`."
    ),
]
NoSoundOption = Annotated[
    bool, typer.Option("--no-sound", help="No sound card: say and hear nothing but files.")
]

_UNFIT: Final = re.compile(r"[^\w.-]+")
_MOST_SAME_NAMES: Final = 1000


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the options said."""

    play: Path | None = None
    record: Path | None = None
    device: str | None = None
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """The two ends of one call. `notes`: what a person should know of them; `cards`: what can rest."""

    source: Source
    sink: Sink
    has_speaker: bool
    recording: Recording | None = None
    notes: tuple[str, ...] = ()
    cards: tuple[HandsetSource | HandsetSink, ...] = ()

    def rest(self) -> None:
        """Let another call have the card; files go on."""
        for card in self.cards:
            card.rest()

    def wake(self) -> None:
        """Have the card again. Raises SoundError."""
        for card in self.cards:
            card.wake()

    def begin(self) -> None:
        """The call begins: from now on it is recorded."""
        if self.recording is not None:
            self.recording.begin()


def open_sound(wishes: Wishes, name: str, *, may_number: bool = False) -> Sound:
    """The ends for a call with somebody of this name. Raises SoundError.

    `may_number`: several calls are recorded one after another, so a file that is there gets a sister.
    """
    from dexmesh.apps.call.sound.silence import Discard, Silence
    from dexmesh.apps.call.sound.wav import WavSource

    source: Source = Silence() if wishes.play is None else WavSource(wishes.play)
    sink: Sink = Discard()
    notes: list[str] = []
    cards: tuple[HandsetSource | HandsetSink, ...] = ()
    has_speaker = False
    try:
        if not wishes.is_silent:
            trouble = trouble_with_card(wishes.device)
            has_speaker = not trouble
            if trouble and (wishes.device is not None or not (wishes.play or wishes.record)):
                raise trouble
            if trouble:
                notes.append(f"{trouble}: only files are used")
            else:
                source, sink, cards = _card_ends(wishes, source)
        recording = _recording(wishes.record, name, sink, may_number=may_number)
    except SoundError:
        source.close()
        raise
    return Sound(source, recording or sink, has_speaker, recording, tuple(notes), cards)


def require_sound(wishes: Wishes) -> tuple[str, ...]:
    """What a person should know of the sound of calls with these wishes. Raises SoundError for none."""
    sound = open_sound(wishes, "test", may_number=True)
    sound.source.close()
    sound.sink.close()  # a recording that did not begin leaves nothing
    return sound.notes


def trouble_with_card(device: str | None) -> SoundError | None:
    """Why no sound card can be used; None if one can."""
    from dexmesh.apps.call.sound.device import NULL, DeviceSink, list_cards

    try:
        if device is not None:
            DeviceSink(device).close()
        if (device or "").lower() == NULL or list_cards().playback:
            return None
    except SoundError as error:
        return error
    hint = "attach one, use `--play FILE.wav --record FILE.wav`, or do without: `--no-sound`"
    return SoundError("this machine has no sound card", hint)


def _card_ends(
    wishes: Wishes, source: Source
) -> tuple[Source, Sink, tuple[HandsetSource | HandsetSink, ...]]:
    """Both ends, and those of them that are cards."""
    from dexmesh.apps.call.sound.device import DeviceSink, DeviceSource
    from dexmesh.apps.call.sound.handset import HandsetSink, HandsetSource

    speaker = HandsetSink(DeviceSink(wishes.device))
    if wishes.play is not None:
        return source, speaker, (speaker,)
    microphone = HandsetSource(DeviceSource(wishes.device))
    return microphone, speaker, (microphone, speaker)


# --- Recording


class Recording:
    """A sink that lets a card hear what a file gets, too, from `begin` on."""

    def __init__(self, file: WavSink, speaker: Sink, folder: Path | None = None) -> None:
        """`folder`: the file has a name of ours, not one of the person's."""
        self.path = file.path
        self._file, self._speaker, self._folder = file, speaker, folder
        self._is_wanted = self._is_on = False

    @property
    def seconds(self) -> float:
        """What was recorded."""
        return self._file.seconds

    @property
    def problem(self) -> str:
        """Why it ended before the call did; empty if it did not."""
        return self._file.problem

    def name_after(self, caller: str) -> None:
        """Who calls is known only now: that is what the file is called after, and when."""
        if self._folder is None:
            return
        path = _free(_path_in(self._folder, caller))
        with contextlib.suppress(OSError):  # it keeps the name it has
            self.path = self.path.rename(path)

    def begin(self) -> None:
        """Record what comes after the next `start`."""
        self._is_wanted = True

    def start(self, rate: int) -> None:
        """Begin, or go on, at this rate."""
        self._speaker.start(rate)
        if self._is_wanted:
            self._file.start(rate)
            self._is_on = True

    def write(self, pcm: bytes) -> None:
        """Take 20 ms."""
        self._speaker.write(pcm)
        if self._is_on:
            self._file.write(pcm)

    def close(self) -> None:
        """Finish the file; one that never began is taken away."""
        self._speaker.close()
        self._file.close()
        if not self._is_on:
            self.path.unlink(missing_ok=True)


def _recording(
    wanted: Path | None, name: str, speaker: Sink, *, may_number: bool
) -> Recording | None:
    from dexmesh.apps.call.sound.wav import WavSink

    if wanted is None:
        return None
    folder = wanted if wanted.is_dir() else None
    if folder is not None:
        wanted, may_number = _path_in(folder, name), True
    elif wanted.suffix.lower() != ".wav":
        hint = "name a file that ends with .wav, or a folder that is there"
        raise SoundError(f"{wanted} is no place for a recording", hint)
    path = _free(wanted) if may_number else wanted
    return Recording(WavSink(path), speaker, folder)


def _path_in(folder: Path, name: str) -> Path:
    began = time.strftime("%Y-%m-%d-%H%M%S")
    return folder / f"{began}-{_UNFIT.sub('-', name)[:60].strip('-.')}.wav"


def _free(wanted: Path) -> Path:
    """The same, with a number if there is such a file."""
    for number in range(1, _MOST_SAME_NAMES):
        path = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
        if not path.exists():
            break
    return path
