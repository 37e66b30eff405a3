"""Sessions with the real codecs: a tone is still the tone after loss, jitter and packets of any length."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.media.formats import SOUND_FORMATS, Format
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.media.session import MediaSession
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.tones import Part, Tones
from tests.unit.apps.call.media.line import BEGIN, REMOTE, Call

HERTZ = 440
LEAD_FRAMES = 25


def tone_after(format_: Format, ptime_ms: int, way: Callable[[int, float], float | None]) -> float:
    """How much of what is heard is the tone that was spoken."""
    if format_ not in catalogue.formats():
        pytest.skip(f"no library for {format_.name} here")
    kind = format_.payload_type
    sound = AgreedFormat(format_, kind, kind)
    plan = MediaPlan(REMOTE, Agreed(sound, None, 1, 2, Direction.SENDRECV, ptime_ms))
    here, there = (
        MediaSession(plan, catalogue.make(format_), random.Random(n).getrandbits, BEGIN)
        for n in (1, 2)
    )
    rate = catalogue.make(format_).sample_rate
    tone = Tones((Part((HERTZ,), 10.0),))
    tone.start(rate)
    call = Call(way, here=here, there=there, sound=lambda _number: tone.read())
    call.run(5)
    heard = b"".join(samples.tobytes() for samples in call.heard[LEAD_FRAMES:])
    return tone_share(heard, rate, HERTZ)


@pytest.mark.parametrize("format_", SOUND_FORMATS, ids=lambda one: one.name)
@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_a_tone_arrives_in_packets_of_any_length(format_: Format, ptime_ms: int) -> None:
    assert tone_after(format_, ptime_ms, lambda _number, _at: 0.03) > 0.98


@pytest.mark.parametrize("format_", SOUND_FORMATS, ids=lambda one: one.name)
def test_a_tone_survives_loss_and_jitter(format_: Format) -> None:
    noise = random.Random(3)

    def way(_number: int, _at: float) -> float | None:
        return None if noise.random() < 0.05 else 0.03 + 0.05 * noise.random()

    assert tone_after(format_, 20, way) > 0.9
