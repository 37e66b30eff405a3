"""Where the sound of a call comes from and goes to."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from dexmesh.apps.call.sound import device
from dexmesh.apps.call.sound.handset import HandsetSink, HandsetSource
from dexmesh.apps.call.sound.interface import Sink
from dexmesh.apps.call.sound.silence import Discard, Silence
from dexmesh.apps.call.sound.wav import WavSink, WavSource
from dexmesh.cli.call_sound import Recording, Wishes, open_sound, require_sound
from dexmesh.errors import SoundError

FRAME = b"\1\0" * 160  # 20 ms at 8000 Hz


class Speaker:
    """A card that keeps what it plays."""

    def __init__(self, card: str | None = None) -> None:
        self.card = card
        self.played = b""
        self.is_closed = False

    def start(self, rate: int) -> None:
        pass

    def write(self, pcm: bytes) -> None:
        self.played += pcm

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a sound card."""
    monkeypatch.setattr(device, "list_cards", lambda: device.Cards("ALSA", ("card",), ("card",)))
    monkeypatch.setattr(device, "DeviceSink", Speaker)
    monkeypatch.setattr(device, "DeviceSource", lambda _card: Silence())


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setattr(device, "list_cards", lambda: device.Cards("Null", (), ()))


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return float(file.getnframes() / file.getframerate())


@pytest.mark.usefixtures("card")
def test_a_recording_begins_with_the_call_and_the_card_hears_the_signal_before_it(
    tmp_path: Path,
) -> None:
    sound = open_sound(Wishes(record=tmp_path / "x.wav"), "bob")
    assert (sound.has_speaker, sound.notes) == (True, ())
    recording = sound.recording
    assert isinstance(recording, Recording)
    recording.start(8000)
    for _ in range(50):
        recording.write(FRAME)
    sound.begin()
    recording.write(FRAME)  # not before the next `start`
    recording.start(8000)
    for _ in range(100):
        recording.write(FRAME)
    speaker = card_of(recording._speaker)
    recording.close()
    assert (len(speaker.played), speaker.is_closed) == (151 * len(FRAME), True)
    assert seconds(tmp_path / "x.wav") == pytest.approx(2.0)


@pytest.mark.usefixtures("card")
def test_the_card_that_is_named_is_used_and_a_file_takes_the_place_of_the_microphone(
    tmp_path: Path,
) -> None:
    sound = open_sound(Wishes(device="card"), "bob")
    assert card_of(sound.sink).card == "card"
    assert isinstance(sound.source, HandsetSource)
    sound = open_sound(Wishes(device="card", play=tone(tmp_path / "tone.wav")), "bob")
    assert card_of(sound.sink).card == "card"
    assert isinstance(sound.source, WavSource)


@pytest.mark.usefixtures("card")
def test_a_call_on_hold_gives_the_card_back_and_is_recorded_all_the_same(tmp_path: Path) -> None:
    sound = open_sound(Wishes(record=tmp_path / "x.wav"), "bob")
    recording = sound.recording
    assert recording is not None
    sound.begin()
    recording.start(8000)
    speaker = card_of(recording._speaker)
    sound.rest()
    assert speaker.is_closed
    for _ in range(50):
        recording.write(FRAME)
    sound.wake()
    for _ in range(50):
        recording.write(FRAME)
    recording.close()
    assert len(speaker.played) == 50 * len(FRAME)
    assert seconds(tmp_path / "x.wav") == pytest.approx(2.0)


def card_of(sink: Sink) -> Speaker:
    """The card behind an end of a call."""
    assert isinstance(sink, HandsetSink)
    assert isinstance(sink._sink, Speaker)
    return sink._sink


def tone(path: Path) -> Path:
    """A short file to be played."""
    sink = WavSink(path)
    sink.start(8000)
    sink.write(FRAME)
    sink.close()
    return path


@pytest.mark.usefixtures("no_card")
def test_without_a_card_files_are_enough_and_it_is_said(tmp_path: Path) -> None:
    sound = open_sound(Wishes(record=tmp_path / "x.wav"), "bob")
    assert sound.notes == ("this machine has no sound card: only files are used",)
    assert not sound.has_speaker
    sound.sink.close()
    for wishes in (Wishes(), Wishes(device="card", record=tmp_path / "y.wav")):
        with pytest.raises(SoundError):
            open_sound(wishes, "bob")
    assert not (tmp_path / "y.wav").exists()
    silent = open_sound(Wishes(is_silent=True), "bob")
    assert isinstance(silent.sink, Discard)
    assert silent.notes == ()


def test_each_call_has_a_file_of_its_own_in_a_folder(tmp_path: Path) -> None:
    paths = []
    for _ in range(3):
        sound = open_sound(Wishes(record=tmp_path, is_silent=True), "../bob the / builder")
        assert sound.recording is not None
        paths.append(sound.recording.path)
    assert len(set(paths)) == 3
    assert {path.parent for path in paths} == {tmp_path}
    assert all("bob-the-builder" in path.name and path.suffix == ".wav" for path in paths)


def test_one_name_is_numbered_where_many_calls_are_recorded(tmp_path: Path) -> None:
    wishes = Wishes(record=tmp_path / "x.wav", is_silent=True)
    first = open_sound(wishes, "bob", may_number=True)
    second = open_sound(wishes, "bob", may_number=True)
    assert first.recording is not None
    assert second.recording is not None
    assert second.recording.path == tmp_path / "x-2.wav"
    with pytest.raises(SoundError, match="is there already"):
        open_sound(wishes, "bob")
    second.sink.close()
    assert not (tmp_path / "x-2.wav").exists()


def test_a_phone_says_at_its_start_what_would_not_work(tmp_path: Path) -> None:
    assert require_sound(Wishes(record=tmp_path, is_silent=True)) == ()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SoundError):
        require_sound(Wishes(play=tmp_path / "missing.wav", is_silent=True))
    with pytest.raises(SoundError):
        require_sound(Wishes(record=tmp_path / "a" / "b.wav", is_silent=True))
