"""A card that rests is another's; the seat notices nothing."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sound.handset import HandsetSink, HandsetSource
from dexmesh.errors import SoundError


class FakeCard:
    """Both directions; `rate` is 0 while it is closed."""

    def __init__(self) -> None:
        self.rate = 0
        self.is_taken = False
        self.played = b""

    is_finished = False

    def start(self, rate: int) -> None:
        if self.is_taken:
            raise SoundError("the card is busy")
        self.rate = rate

    def read(self) -> bytes:
        assert self.rate
        return b"\x01\x02" * (self.rate // 50)

    def write(self, pcm: bytes) -> None:
        assert self.rate
        self.played += pcm

    def close(self) -> None:
        self.rate = 0


def test_a_microphone_that_rests_is_free_and_silent_in_whole_frames() -> None:
    card = FakeCard()
    source = HandsetSource(card)
    source.start(16_000)
    assert source.read() == b"\x01\x02" * 320
    source.rest()
    assert card.rate == 0
    assert source.read() == bytes(640)
    source.start(8000)  # the other side changed the codec meanwhile
    assert card.rate == 0
    assert source.read() == bytes(320)
    source.wake()
    assert card.rate == 8000
    assert source.read() == b"\x01\x02" * 160
    source.close()
    assert card.rate == 0


def test_a_loudspeaker_that_rests_plays_nothing() -> None:
    card = FakeCard()
    sink = HandsetSink(card)
    sink.rest()
    sink.wake()  # before it began
    assert card.rate == 0
    sink.start(8000)
    sink.write(b"one")
    sink.rest()
    sink.rest()
    sink.write(b"two")
    sink.wake()
    sink.write(b"three")
    assert card.played == b"onethree"


def test_a_card_that_another_has_leaves_the_call_silent_until_it_is_free() -> None:
    card = FakeCard()
    source = HandsetSource(card)
    source.start(8000)
    source.rest()
    card.is_taken = True
    with pytest.raises(SoundError):
        source.wake()
    assert source.read() == bytes(320)
    card.is_taken = False
    source.wake()
    assert source.read() == b"\x01\x02" * 160
