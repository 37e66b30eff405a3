"""Sounds that the tests of codecs and of seats are made of."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from dexmesh.apps.call.codec.samples import bytes_of, samples_of


def sine(hertz: float, rate: int, seconds: float, amplitude: float = 10_000) -> bytes:
    """A tone."""
    count = int(rate * seconds)
    step = 2 * math.pi * hertz / rate
    return bytes_of([round(amplitude * math.sin(step * at)) for at in range(count)])


def voice(rate: int, seconds: float, seed: int = 1) -> bytes:
    """Something with the spectrum, the pitch and the pauses of a voice: pulses through two resonances."""
    dice = random.Random(seed)
    filters = [_resonance(hertz, rate) for hertz in (500, 1500)]
    heard, phase = [], 0.0
    for at in range(int(rate * seconds)):
        phase += (110 + 20 * math.sin(2 * math.pi * at / rate)) / rate
        pulse = dice.gauss(0, 0.01)
        if phase >= 1:
            phase -= 1
            pulse += 1
        loud = max(
            0.0, math.sin(2 * math.pi * 2.5 * at / rate)
        )  # two and a half syllables a second
        heard.append(loud * sum(one(pulse) for one in filters))
    most = max(map(abs, heard))
    return bytes_of([round(12_000 * one / most) for one in heard])


def _resonance(hertz: float, rate: int) -> Callable[[float], float]:
    radius = math.exp(-math.pi * 80 / rate)
    first, second = 2 * radius * math.cos(2 * math.pi * hertz / rate), -radius * radius
    state = [0.0, 0.0]

    def step(pulse: float) -> float:
        value = pulse + first * state[0] + second * state[1]
        state[1], state[0] = state[0], value
        return value

    return step


def frames(pcm: bytes, samples: int) -> list[bytes]:
    """Cut into whole frames."""
    size = 2 * samples
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def snr_db(wanted: bytes, got: bytes) -> float:
    """How far the difference lies below the sound."""
    pairs = list(zip(samples_of(wanted), samples_of(got), strict=True))
    noise = sum((one - other) ** 2 for one, other in pairs)
    return 10 * math.log10(sum(one * one for one, _ in pairs) / max(noise, 1e-9))


def loudness(pcm: bytes) -> float:
    """Root mean square, of 32768."""
    samples = samples_of(pcm)
    return math.sqrt(sum(one * one for one in samples) / max(1, len(samples)))
