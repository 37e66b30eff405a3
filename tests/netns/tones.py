"""Tones that go into a phone, and how much of them comes out of another."""

from __future__ import annotations

import array
import math
import wave
from itertools import pairwise
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
    path: Path, hz: float, seconds: float = 60, rate: int = 8000, channels: int = 1
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
    return tone_s(*_read(path), hz)


def recorded_pause_s(path: Path, hz: float) -> float:
    """For how long this tone is away in a WAV file, at most, before it comes back."""
    blocks = _blocks(*_read(path), hz)
    heard = [number for number, is_heard in enumerate(blocks) if is_heard]
    return max((after - before - 1 for before, after in pairwise(heard)), default=0) * BLOCK_S


def _read(path: Path) -> tuple[array.array[int], int]:
    """The samples of the first channel, and their rate."""
    with wave.open(str(path), "rb") as file:
        samples = array.array("h", file.readframes(file.getnframes()))
        return samples[:: file.getnchannels()], file.getframerate()


def tone_s(samples: array.array[int], rate: int, hz: float) -> float:
    """How many seconds of these samples are this tone and hardly anything else."""
    return sum(_blocks(samples, rate, hz)) * BLOCK_S


def _blocks(samples: array.array[int], rate: int, hz: float) -> list[bool]:
    """Whether each 0.1 s of them is that."""
    size = round(rate * BLOCK_S)
    starts = range(0, len(samples) - size + 1, size)
    return [_is_tone(samples[start : start + size], hz, rate) for start in starts]


def _is_tone(block: array.array[int], hz: float, rate: int) -> bool:
    energy = sum(value * value for value in block)
    is_loud = energy > _LEAST_RMS**2 * len(block)
    return is_loud and tone_share(block.tobytes(), rate, hz) > _LEAST_SHARE
