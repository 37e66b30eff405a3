"""Sound keeps its pitch, length and loudness at another rate, and nothing folds back."""

from __future__ import annotations

import random

import pytest

from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.resample import Resampler, resample
from dexmesh.errors import UsageError
from tests.unit.apps.call.codec.sounds import loudness, sine

RATES = [
    (22_050, 8_000),
    (22_050, 48_000),
    (44_100, 16_000),
    (8_000, 48_000),
    (48_000, 8_000),
    (11_025, 8_000),
    (44_101, 48_000),  # no small ratio
]


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_keeps_pitch_length_and_loudness(rate_in: int, rate_out: int) -> None:
    tone = sine(1000, rate_in, 0.6)
    heard = resample(tone, rate_in, rate_out)
    assert abs(len(heard) / 2 / rate_out - 0.6) < 1e-4
    middle = heard[len(heard) // 4 & ~1 : -(len(heard) // 4) & ~1]
    assert tone_share(middle, rate_out, 1000) > 0.9999
    assert loudness(middle) == pytest.approx(loudness(tone), rel=0.01)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48_000, 8_000), (22_050, 8_000), (96_000, 44_100)]
)
def test_what_the_new_rate_cannot_carry_does_not_fold_back(rate_in: int, rate_out: int) -> None:
    too_high = sine(rate_out * 0.6, rate_in, 0.3)
    heard = resample(too_high, rate_in, rate_out)
    inside = heard[
        len(heard) // 4 & ~1 : -(len(heard) // 4) & ~1
    ]  # a sound that starts has every pitch
    assert loudness(inside) < loudness(too_high) / 1000


def test_the_same_sound_comes_out_whatever_the_pieces_it_is_fed_in() -> None:
    tone, dice = sine(700, 22_050, 1.3), random.Random(4)
    stream, made, at = Resampler(22_050, 8_000), b"", 0
    while at < len(tone):
        size = 2 * dice.choice((0, 1, 2, 160, 441, 5000))
        made += stream.feed(tone[at : at + size])
        at += size
    assert made + stream.flush() == resample(tone, 22_050, 8_000)


def test_a_long_sound_is_not_moved_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = Resampler.feed

    def watched(self: Resampler, pcm: bytes) -> bytes:
        fed.append(len(pcm))
        return feed(self, pcm)

    monkeypatch.setattr(Resampler, "feed", watched)
    heard = resample(bytes(2 * 8_000 * 20), 8_000, 16_000)
    assert len(heard) == 2 * 16_000 * 20
    assert (max(fed), sum(fed)) == (2 * 8_000, 2 * 8_000 * 20)


def test_a_stream_that_was_flushed_begins_anew() -> None:
    stream, tone = Resampler(8_000, 16_000), sine(700, 8_000, 0.1)
    first = stream.feed(tone) + stream.flush()
    assert stream.feed(tone) + stream.flush() == first


def test_it_clips_and_never_wraps() -> None:
    """A full-scale square wave overshoots between its samples."""
    square = bytes_of(([32_767] * 40 + [-32_768] * 40) * 50)
    heard = samples_of(resample(square, 8_000, 48_000))
    assert (max(heard), min(heard)) == (32_767, -32_768)
    for place in range(240 * 20, 240 * 30, 480):  # the middle of each half keeps its sign
        assert heard[place + 120] > 30_000
        assert heard[place + 360] < -30_000


def test_full_scale_and_nothing_stay_what_they_are() -> None:
    for level in (-32_768, -1, 0, 1, 32_767):
        heard = samples_of(resample(bytes_of([level] * 8_000), 16_000, 8_000))
        assert set(heard[100:-100]) == {level}


def test_an_empty_sound_stays_empty() -> None:
    assert resample(b"", 22_050, 8_000) == b""
    assert len(resample(b"\1\0", 22_050, 44_100)) == 4


@pytest.mark.parametrize("rate", [0, -8_000, 999, 10**9])
def test_no_rate_at_all_is_a_mistake_of_the_caller(rate: int) -> None:
    with pytest.raises(UsageError):
        Resampler(rate, 8_000)
    with pytest.raises(UsageError):
        Resampler(8_000, rate)
