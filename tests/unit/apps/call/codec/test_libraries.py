"""Opus and G.722 of the system: quality, losses, bytes that are no packet."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dexmesh.apps.call.codec import g722, opus
from dexmesh.apps.call.codec.g722 import G722
from dexmesh.apps.call.codec.interface import MAX_PAYLOAD_MS, Codec
from dexmesh.apps.call.codec.opus import Opus
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.errors import UsageError
from tests.unit.apps.call.codec.sounds import frames, loudness, sine, snr_db, voice


def _has(load: Callable[[], object]) -> bool:
    try:
        load()
    except OSError:
        return False
    return True


HERE: list[Callable[[], Codec]] = [
    *([Opus, lambda: Opus(16_000)] if _has(opus.load) else []),
    *([G722] if _has(g722.load) else []),
]
needs_opus = pytest.mark.skipif(not _has(opus.load), reason="libopus0 is not installed")
needs_g722 = pytest.mark.skipif(not _has(g722.load), reason="libspandsp2 is not installed")


@pytest.mark.parametrize("make", HERE)
def test_a_tone_comes_back(make: Callable[[], Codec]) -> None:
    codec = make()
    tone = sine(440, codec.sample_rate, 1.0)
    heard = b"".join(codec.decode(codec.encode(one)) for one in frames(tone, codec.frame_samples))
    assert len(heard) == len(tone)
    settled = heard[len(tone) // 2 :]
    assert tone_share(settled, codec.sample_rate, 440) > 0.98
    assert 0.8 < loudness(settled) / loudness(tone) < 1.2


@pytest.mark.parametrize("make", HERE)
@pytest.mark.parametrize("size", [0, 1, 318, 322, 642])
def test_a_frame_of_another_length_is_a_mistake_of_the_caller(
    make: Callable[[], Codec], size: int
) -> None:
    codec = make()
    with pytest.raises(UsageError):
        codec.encode(bytes(size))


@pytest.mark.parametrize("make", HERE)
def test_junk_of_every_length_gives_sound_of_bounded_length(make: Callable[[], Codec]) -> None:
    codec, dice = make(), random.Random(7)
    longest = 2 * codec.sample_rate * MAX_PAYLOAD_MS // 1000
    for size in range(1501):
        junk = dice.randbytes(size)
        assert 0 < len(codec.decode(junk)) <= longest
        assert len(codec.decode_fec(junk)) == 2 * codec.frame_samples
        assert len(codec.conceal()) == 2 * codec.frame_samples
    assert codec.damaged > 0
    before = codec.damaged
    for frame in frames(sine(440, codec.sample_rate, 0.5), codec.frame_samples):
        codec.decode(codec.encode(frame))
    assert codec.damaged == before
    assert loudness(codec.decode(codec.encode(frame))) > 3000  # it works on as if nothing had been


@needs_opus
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 255), st.binary(max_size=300))
def test_every_first_byte_of_opus_is_survived(first: int, rest: bytes) -> None:
    codec = Opus()
    assert codec.decode(bytes([first]) + rest)
    assert codec.decode_fec(bytes([first]) + rest)
    assert codec.decode(b"\x00" * 65_000)


@needs_opus
def test_a_lost_packet_of_opus_is_found_in_the_next() -> None:
    """Its copy is nearer to what was said than anything made up."""
    sound = voice(48_000, 8)
    spoken = frames(sound, 960)
    encoder, whole, filled, guessed = Opus(), Opus(), Opus(), Opus()
    packets = [encoder.encode(frame) for frame in spoken]
    wanted = [whole.decode(packet) for packet in packets]
    got_filled, got_guessed = [], []
    for at, packet in enumerate(packets):
        if at % 7 == 3:
            got_filled.append(filled.decode_fec(packets[at + 1]))
            got_guessed.append(guessed.conceal())
        else:
            got_filled.append(filled.decode(packet))
            got_guessed.append(guessed.decode(packet))
    reference = b"".join(wanted)
    assert snr_db(reference, b"".join(got_filled)) > snr_db(reference, b"".join(got_guessed)) + 2


@needs_opus
def test_opus_keeps_to_its_bitrate() -> None:
    codec = Opus()
    packets = [codec.encode(frame) for frame in frames(voice(48_000, 4), 960)]
    bits_per_s = sum(map(len, packets)) * 8 / (len(packets) * 0.02)
    assert 8_000 < bits_per_s < 26_000
    assert min(map(len, packets)) > 2  # silence is sent too: DTX is off


@needs_opus
def test_opus_takes_packets_of_other_rates_and_lengths() -> None:
    """A peer may send 10 ms or 60 ms, wide or narrow: the packet says so itself."""
    narrow, wide = Opus(8_000), Opus()
    heard = [wide.decode(narrow.encode(one)) for one in frames(sine(440, 8000, 0.2), 160)]
    assert {len(one) for one in heard} == {2 * 960}
    code_three = bytes([0x4B, 0x03])  # three empty frames of 20 ms, SILK wide band
    assert len(wide.decode(code_three)) == 3 * 2 * 960
    with pytest.raises(UsageError):
        Opus(44_100)


@needs_g722
def test_a_byte_of_g722_is_two_samples() -> None:
    codec = G722()
    assert len(codec.encode(bytes(640))) == 160
    assert len(codec.decode(bytes(240))) == 2 * 480  # 30 ms
    assert (codec.rtp_clock, codec.sample_rate) == (8_000, 16_000)


@needs_g722
def test_a_lost_frame_of_g722_is_filled() -> None:
    codec = G722()
    for frame in frames(sine(250, 16_000, 0.2), 320):
        codec.decode(codec.encode(frame))
    assert loudness(codec.conceal()) > 3000
    for _ in range(4):
        codec.conceal()
    assert loudness(codec.conceal()) == 0
