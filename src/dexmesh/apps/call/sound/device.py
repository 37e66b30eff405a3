"""Use the sound cards of this machine: the loudspeaker and the microphone.

Place     seat/ <- here -> miniaudio, which calls us from threads of its own
Spec      docs/decisions/0013-calls.md; the extra `dexmesh[sound]`
Keeps     without miniaudio or without a sound card there is one clear error, and the rest of dexmesh works;
          the device called `null` is always there: it takes sound, and gives silence, as a card would
Not here  the difference of the clocks (elastic.py)
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Sequence
from typing import Any, Final, Literal

from dexmesh.apps.call.sound.elastic import ElasticBuffer
from dexmesh.apps.call.sound.interface import frame_bytes
from dexmesh.errors import SoundError
from dexmesh.values import dataclass

PERIOD_MS: Final = 10  # ours: what a card is given and gives at once, if it can
NULL: Final = "null"
Direction = Literal["playback", "capture"]

_FILES_HINT = "or let the call play and record WAV files"
_NO_CARD = "Discard all samples"  # how ALSA calls its own null device


@dataclass(frozen=True, slots=True)
class Cards:
    """What the system has, in its order; `system` is PulseAudio, ALSA, JACK, or Null for nothing."""

    system: str
    playback: tuple[str, ...]
    capture: tuple[str, ...]


def is_available() -> bool:
    """Whether miniaudio is installed."""
    try:
        _miniaudio()
    except SoundError:
        return False
    return True


def list_cards() -> Cards:
    """The sound cards. Raises SoundError without miniaudio."""
    system, playback, capture = _find()
    return Cards(system, tuple(name for name, _ in playback), tuple(name for name, _ in capture))


class _Card:
    """One direction of a device. `card`: its number, its name or a part of that; None: the usual one."""

    def __init__(self, direction: Direction, card: str | None) -> None:
        """Raises SoundError if there is none such."""
        self._direction: Direction = direction
        self._is_null = card is not None and card.lower() == NULL
        self._id = None if card is None or self._is_null else _choose(direction, card)
        self._device: Any = None
        self._rate = 0
        self.buffer = ElasticBuffer(8000)

    def start(self, rate: int) -> None:
        """Open the device at this rate, or reopen it."""
        if rate == self._rate:
            return
        self.close()
        self.buffer = ElasticBuffer(rate)
        self._device = self._open(rate)
        callback = self._callback(self.buffer)
        next(callback)
        try:
            self._device.start(callback)
        except _miniaudio().MiniaudioError as error:
            self.close()
            raise self._refusal(error) from None
        self._rate = rate

    def close(self) -> None:
        """Give the device back."""
        device, self._device, self._rate = self._device, None, 0
        if device is not None:
            device.close()

    def _callback(self, buffer: ElasticBuffer) -> Generator[Any, Any, None]:
        raise NotImplementedError

    def _open(self, rate: int) -> Any:
        library = _miniaudio()
        make = library.PlaybackDevice if self._direction == "playback" else library.CaptureDevice
        try:
            device = make(
                nchannels=1,
                sample_rate=rate,
                buffersize_msec=PERIOD_MS,
                device_id=self._id,
                backends=[library.Backend.NULL] if self._is_null else None,
                app_name="dexmesh",
            )
        except library.MiniaudioError as error:
            raise self._refusal(error) from None
        if device.backend == "Null" and not self._is_null:
            device.close()
            raise SoundError("this machine has no sound card", f"attach one, {_FILES_HINT}")
        return device

    def _refusal(self, error: Exception) -> SoundError:
        hint = f"`dexmesh phone devices` lists them; choose another, {_FILES_HINT}"
        return SoundError(f"the sound card for {self._direction} cannot be opened: {error}", hint)


class DeviceSource(_Card):
    """A microphone."""

    is_finished = False

    def __init__(self, card: str | None = None) -> None:
        """Raises SoundError if there is none such."""
        super().__init__("capture", card)

    def read(self) -> bytes:
        """The next 20 ms."""
        return self.buffer.read(frame_bytes(self._rate))

    def _callback(self, buffer: ElasticBuffer) -> Generator[None, bytearray, None]:
        while True:
            buffer.write((yield))


class DeviceSink(_Card):
    """A loudspeaker or an earphone."""

    def __init__(self, card: str | None = None) -> None:
        """Raises SoundError if there is none such."""
        super().__init__("playback", card)

    def write(self, pcm: bytes) -> None:
        """Play 20 ms."""
        self.buffer.write(pcm)

    def _callback(self, buffer: ElasticBuffer) -> Generator[bytes, int, None]:
        sound = b""
        while True:
            samples = yield sound
            sound = buffer.read(2 * samples)


def _miniaudio() -> Any:
    try:
        return importlib.import_module("miniaudio")
    except ImportError:
        hint = f"install it with `pip install 'dexmesh[sound]'`, {_FILES_HINT}"
        raise SoundError("sound cards need miniaudio", hint) from None


def _find() -> tuple[str, Sequence[tuple[str, Any]], Sequence[tuple[str, Any]]]:
    """The system, and (name, id) of what plays and of what records."""
    library = _miniaudio()
    try:
        devices = library.Devices()
        found = devices.backend, devices.get_playbacks(), devices.get_captures()
    except (library.MiniaudioError, UnicodeDecodeError) as error:
        raise SoundError(f"the sound cards cannot be listed: {error}") from None
    if found[0] == "Null":
        return "Null", (), ()
    return found[0], _named(found[1]), _named(found[2])


def _named(devices: Sequence[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(one["name"], one["id"]) for one in devices if not one["name"].startswith(_NO_CARD)]


def _choose(direction: Direction, card: str) -> Any:
    _, playback, capture = _find()
    cards = playback if direction == "playback" else capture
    wanted = card.lower()
    if wanted.isdecimal() and int(wanted) < len(cards):
        return cards[int(wanted)][1]
    exact = [found for name, found in cards if name.lower() == wanted]
    alike = exact or [found for name, found in cards if wanted in name.lower()]
    if len(alike) == 1:
        return alike[0]
    what = "more than one sound card" if alike else "no sound card"
    hint = f"`dexmesh phone devices` lists them; `{NULL}` is always there"
    raise SoundError(f"{what} for {direction} is called {card}", hint)
