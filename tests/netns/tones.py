"""Tones that go into a phone, and how much of them comes out of another."""

from __future__ import annotations

import array
import math
import wave
from pathlib import Path

from dexmesh.apps.call.sound.measure import tone_share

BLOCK_S = 0.1
_AMPLITUDE = 12_000
_LEAST_RMS = 300  # below it is silence; the tone itself has 8500
_LEAST_SHARE = 0.8  # of a block's energy


def tone(hz: float, seconds: float, rate: int) -> array.array[int]:
    """A sine of whole waves, at least that long."""
    period = rate // math.gcd(rate, round(hz))
    once = [round(_AMPLITUDE * math.sin(math.tau * hz * i / rate)) for i in range(period)]
    return array.array("h", once * math.ceil(seconds * rate / period))


def write_tone(
    path: Path, hz: float, seconds: float = 20, rate: int = 8000, channels: int = 1
) -> None:
    """A WAV file of it, the same in all channels."""
    mono = tone(hz, seconds, rate)
    samples = array.array("h", bytes(2 * channels * len(mono)))
    for channel in range(channels):
        samples[channel::channels] = mono
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def recorded_tone_s(path: Path, hz: float) -> float:
    """How many seconds of a WAV file are this tone and hardly anything else."""
    with wave.open(str(path), "rb") as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = array.array("h", file.readframes(file.getnframes()))[::channels]
    return tone_s(samples, rate, hz)


def tone_s(samples: array.array[int], rate: int, hz: float) -> float:
    """How many seconds of these samples are this tone and hardly anything else."""
    size = round(rate * BLOCK_S)
    blocks = (samples[start : start + size] for start in range(0, len(samples) - size + 1, size))
    return sum(_is_tone(block, hz, rate) for block in blocks) * BLOCK_S


def _is_tone(block: array.array[int], hz: float, rate: int) -> bool:
    energy = sum(value * value for value in block)
    is_loud = energy > _LEAST_RMS**2 * len(block)
    return is_loud and tone_share(block.tobytes(), rate, hz) > _LEAST_SHARE
