"""A tone and a sentence are found where they are, and only there."""

from __future__ import annotations

import random

import pytest

from dexmesh.apps.call.codec.g711 import make_pcmu
from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.sound.measure import find, tone_share
from dexmesh.apps.call.sound.resample import resample
from tests.unit.apps.call.codec.sounds import frames, sine, voice


def mixed(*sounds: bytes) -> bytes:
    return bytes_of([sum(one) for one in zip(*map(samples_of, sounds), strict=True)])


def noise(rate: int, seconds: float, seed: int = 1) -> bytes:
    dice = random.Random(seed)
    return bytes_of([round(dice.gauss(0, 3000)) for _ in range(int(rate * seconds))])


def test_a_tone_has_all_its_energy_at_its_pitch() -> None:
    tone = sine(440, 8000, 1.0)
    assert tone_share(tone, 8000, 440) > 0.999
    assert tone_share(tone, 8000, 441) > 0.95  # another clock
    assert tone_share(tone, 8000, 480) < 0.01


def test_two_tones_share_the_energy() -> None:
    both = mixed(sine(440, 8000, 1.0), sine(1000, 8000, 1.0))
    assert tone_share(both, 8000, 440) == pytest.approx(0.5, abs=0.01)
    assert tone_share(both, 8000, 1000) == pytest.approx(0.5, abs=0.01)


def test_a_tone_that_jumps_in_phase_is_still_that_tone() -> None:
    """As a jitter buffer makes it."""
    tone = sine(440, 8000, 1.0)
    assert tone_share(tone[: 7001 & ~1] + tone[7100:], 8000, 440) > 0.9


def test_noise_silence_and_nothing_are_no_tone() -> None:
    assert tone_share(noise(8000, 1.0), 8000, 440) < 0.1
    assert tone_share(bytes(16_000), 8000, 440) == 0
    assert tone_share(b"", 8000, 440) == 0


@pytest.fixture(scope="module")
def sentence() -> bytes:
    return voice(22_050, 2.0, seed=3)


def test_a_sentence_is_found_through_a_codec_with_losses_and_a_slip(sentence: bytes) -> None:
    codec, dice = make_pcmu(), random.Random(6)
    sent = frames(bytes(2 * 8000 // 2) + resample(sentence, 22_050, 8000) + bytes(8000), 160)
    heard = [
        codec.conceal() if dice.random() < 0.03 else codec.decode(codec.encode(one)) for one in sent
    ]
    heard.insert(75, bytes(320))  # 20 ms more from the middle on
    match = find(sentence, 22_050, b"".join(heard), 8000)
    assert match.score > 0.8
    assert 495 < match.delay_ms < 525


@pytest.mark.parametrize("gain", [0.05, 1.0])
def test_loudness_is_no_matter_and_the_delay_is_exact(sentence: bytes, gain: float) -> None:
    quiet = bytes_of([round(gain * one) for one in samples_of(sentence)])
    recording = bytes(2 * 4410) + resample(quiet, 22_050, 44_100) + bytes(2 * 44_100)
    match = find(sentence, 22_050, recording, 44_100)
    assert match.score > 0.98
    assert match.delay_ms == pytest.approx(100, abs=0.2)


def test_a_sentence_that_begins_before_the_recording_is_found_in_part(sentence: bytes) -> None:
    match = find(sentence, 22_050, sentence[2 * 11_025 :], 22_050)
    assert match.score < 0.8


def test_what_was_not_said_is_not_found(sentence: bytes) -> None:
    for other in (voice(8000, 3.0, seed=9)[::-1], noise(8000, 3.0), bytes(48_000), b""):
        assert find(sentence, 22_050, other, 8000).score < 0.3
    assert find(b"", 22_050, sentence, 22_050).score == 0
