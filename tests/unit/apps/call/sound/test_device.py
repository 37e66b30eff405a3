"""Sound cards: the null device of miniaudio, made-up cards, and a machine that has neither."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, ClassVar

import pytest

from dexmesh.apps.call.sound import device
from dexmesh.apps.call.sound.device import DeviceSink, DeviceSource
from dexmesh.apps.call.sound.interface import Sink, Source
from dexmesh.errors import SoundError

needs_miniaudio = pytest.mark.skipif(not device.is_available(), reason="miniaudio is not installed")


def wait_for(is_done: Callable[[], bool], most_s: float = 10) -> None:
    until = time.monotonic() + most_s
    while not is_done():
        assert time.monotonic() < until, "the null device does not run"
        time.sleep(0.01)


@needs_miniaudio
def test_the_null_device_takes_sound_as_a_card_would() -> None:
    sink = DeviceSink("null")
    sink.start(16_000)
    for _ in range(5):
        sink.write(b"\1" * 640)
    wait_for(lambda: sink.buffer.underruns == 1)
    assert sink.buffer.waiting_ms == 0
    sink.start(48_000)  # another codec in the middle of a call
    for _ in range(5):
        sink.write(b"\1" * 1920)
    wait_for(lambda: sink.buffer.waiting_ms == 0)
    sink.close()
    sink.close()


@needs_miniaudio
def test_the_null_device_gives_silence_as_a_microphone_would() -> None:
    source = DeviceSource("null")
    source.start(16_000)
    wait_for(lambda: source.buffer.waiting_ms > 60)
    assert source.read() == bytes(640)
    assert not source.is_finished
    source.close()


class FakeError(Exception):
    """What miniaudio raises."""


class FakeDevice:
    """A device whose callbacks are called by hand."""

    made: ClassVar[list[FakeDevice]] = []
    backend = "ALSA"
    refuses: str = ""

    def __init__(self, **asked: Any) -> None:
        if self.refuses == "init":
            raise FakeError("failed to init device", -1)
        self.asked = asked
        self.callback: Generator[Any, Any, None] | None = None
        self.is_closed = False
        self.made.append(self)

    def start(self, callback: Generator[Any, Any, None]) -> None:
        if self.refuses == "start":
            raise FakeError("failed to start audio device", -2)
        self.callback = callback

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> type[FakeDevice]:
    """A machine with three cards, two of them alike."""

    class Device(FakeDevice):
        made: ClassVar[list[FakeDevice]] = []

    class Devices:
        backend = "ALSA"

        def get_playbacks(self) -> list[dict[str, Any]]:
            names = ["Discard all samples (playback)", "Speakers", "USB Headset", "USB Headset"]
            return [{"name": name, "id": number} for number, name in enumerate(names)]

        def get_captures(self) -> list[dict[str, Any]]:
            return [{"name": "Webcam", "id": 7}]

    fake: Any = ModuleType("miniaudio")
    fake.MiniaudioError = FakeError
    fake.Devices = Devices
    fake.PlaybackDevice = fake.CaptureDevice = Device
    fake.Backend = type("Backend", (), {"NULL": "null backend"})
    monkeypatch.setitem(sys.modules, "miniaudio", fake)
    return Device


def test_the_cards_are_listed_without_what_is_none(cards: type[FakeDevice]) -> None:
    found = device.list_cards()
    assert found == device.Cards("ALSA", ("Speakers", "USB Headset", "USB Headset"), ("Webcam",))
    assert cards.made == []  # nothing is opened


@pytest.mark.parametrize(
    ("card", "number"), [(None, None), ("speakers", 1), ("Speak", 1), ("0", 1), ("2", 3)]
)
def test_a_card_is_chosen_by_number_or_name(
    cards: type[FakeDevice], card: str | None, number: int | None
) -> None:
    sink = DeviceSink(card)
    sink.start(8_000)
    assert cards.made[0].asked["device_id"] == number
    assert (cards.made[0].asked["sample_rate"], cards.made[0].asked["nchannels"]) == (8_000, 1)


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("card", "said"),
    [("usb", "more than one"), ("3", "no sound card"), ("Webcam", "no sound card")],
)
def test_a_card_that_is_not_clear_is_an_error_with_a_hint(card: str, said: str) -> None:
    with pytest.raises(SoundError, match=said) as caught:
        DeviceSink(card)
    assert "dexmesh phone devices" in caught.value.hint


def test_sound_goes_through_in_both_directions(cards: type[FakeDevice]) -> None:
    sink, source = DeviceSink("Speakers"), DeviceSource("Webcam")
    for one in (sink, source):
        one.start(8_000)
    played, recorded = (one.callback for one in cards.made)
    assert played is not None
    assert recorded is not None
    for _ in range(3):
        sink.write(b"\1" * 320)
        recorded.send(bytearray(b"\2" * 320))
    assert played.send(100) == b"\1" * 200
    assert source.read() == b"\2" * 320


def test_another_rate_opens_the_card_anew_and_the_same_leaves_it(cards: type[FakeDevice]) -> None:
    source: Source = DeviceSource()
    for rate in (8_000, 8_000, 48_000):
        source.start(rate)
    assert [one.asked["sample_rate"] for one in cards.made] == [8_000, 48_000]
    assert cards.made[0].is_closed
    source.close()
    assert cards.made[1].is_closed


@pytest.mark.parametrize("step", ["init", "start"])
def test_a_card_that_refuses_is_one_clear_error(cards: type[FakeDevice], step: str) -> None:
    cards.refuses = step
    sink: Sink = DeviceSink()
    with pytest.raises(SoundError, match="cannot be opened"):
        sink.start(8_000)
    assert all(one.is_closed for one in cards.made)


def test_a_machine_without_a_card_is_told_so_not_played_to(cards: type[FakeDevice]) -> None:
    """miniaudio falls back to its null device, and nobody would hear anything."""
    cards.backend = "Null"
    with pytest.raises(SoundError, match="no sound card") as caught:
        DeviceSink().start(8_000)
    assert "WAV" in caught.value.hint
    DeviceSink("null").start(8_000)


def test_without_miniaudio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "miniaudio", None)
    assert not device.is_available()
    for act in (device.list_cards, lambda: DeviceSource().start(8_000), lambda: DeviceSink("usb")):
        with pytest.raises(SoundError) as caught:
            act()
        assert "dexmesh[sound]" in caught.value.hint
