"""G.711 gives the values of the Recommendation, survives any payload, and fills gaps."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.call.codec.g711 import A_LAW, MU_LAW, make_pcma, make_pcmu
from dexmesh.apps.call.codec.interface import MAX_PAYLOAD_MS, Codec
from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.native import Law
from dexmesh.errors import UsageError
from tests.unit.apps.call.codec.sounds import frames, loudness, sine, snr_db, voice

# ITU-T G.711, table 2a (mu-law, in 14 bits): decision value at which a segment ends, and the highest
# and lowest decoder output inside it
MU_SEGMENTS = [
    (8159, 8031, 4191),
    (4063, 3999, 2079),
    (2015, 1983, 1023),
    (991, 975, 495),
    (479, 471, 231),
    (223, 219, 99),
    (95, 93, 33),
    (31, 30, 0),
]
# Table 1a (A-law, in 13 bits)
A_SEGMENTS = [
    (4096, 4032, 2112),
    (2048, 2016, 1056),
    (1024, 1008, 528),
    (512, 504, 264),
    (256, 252, 132),
    (128, 126, 66),
    (64, 63, 33),
    (32, 31, 1),
]


def decoded(law: Law, codes: bytes) -> list[int]:
    return list(samples_of(law.decode(codes)))


def encoded(law: Law, *samples: int) -> bytes:
    return law.encode(bytes_of(samples))


def test_the_outputs_of_mu_law_are_those_of_the_recommendation() -> None:
    for number, (_end, highest, lowest) in enumerate(MU_SEGMENTS):
        first = 0x80 + 16 * number  # character signals count downwards in loudness
        assert decoded(MU_LAW, bytes([first, first + 15])) == [4 * highest, 4 * lowest]
        assert decoded(MU_LAW, bytes([first - 0x80, first - 0x71])) == [-4 * highest, -4 * lowest]


def test_the_outputs_of_a_law_are_those_of_the_recommendation() -> None:
    for number, (_end, highest, lowest) in enumerate(A_SEGMENTS):
        first = 0xFF - 16 * number  # before every second bit is inverted
        codes = bytes([first ^ 0x55, (first - 15) ^ 0x55])
        assert decoded(A_LAW, codes) == [8 * highest, 8 * lowest]
        assert decoded(A_LAW, bytes(code ^ 0x80 for code in codes)) == [-8 * highest, -8 * lowest]


@pytest.mark.parametrize(
    ("law", "segments", "scale"), [(MU_LAW, MU_SEGMENTS, 4), (A_LAW, A_SEGMENTS, 8)]
)
def test_a_segment_ends_at_its_decision_value(
    law: Law, segments: list[tuple[int, int, int]], scale: int
) -> None:
    for (end, highest, _), (_, _, lowest) in zip(segments[1:], segments, strict=False):
        below, above = encoded(law, end * scale - 1, end * scale)
        assert decoded(law, bytes([below, above])) == [highest * scale, lowest * scale]


@pytest.mark.parametrize("law", [MU_LAW, A_LAW])
def test_a_louder_sample_never_gets_a_softer_code(law: Law) -> None:
    heard = decoded(law, encoded(law, *range(-32768, 32768)))
    assert heard == sorted(heard)
    assert len({*heard}) >= 255  # mu-law has two zeros
    for sample, got in zip(range(-32768, 32768), heard, strict=True):
        assert abs(got - sample) <= max(8, (abs(sample) + 132) / 31), (
            sample
        )  # half a step of its segment


@pytest.mark.parametrize("law", [MU_LAW, A_LAW])
def test_what_was_decoded_is_encoded_as_it_was(law: Law) -> None:
    codes = bytes(code for code in range(256) if not (law is MU_LAW and code == 0x7F))  # minus zero
    assert law.encode(law.decode(codes)) == codes


@pytest.mark.parametrize("law", [MU_LAW, A_LAW])
def test_a_frame_is_encoded_as_its_samples_one_by_one(law: Law) -> None:
    dice = random.Random(5)
    samples = [
        dice.choice((-32768, 32767, -1, 0, dice.randrange(-32768, 32768))) for _ in range(480)
    ]
    assert encoded(law, *samples) == b"".join(encoded(law, one) for one in samples)


@pytest.mark.parametrize(("law", "mode"), [(MU_LAW, 1), (A_LAW, 0)])
def test_the_decoder_of_spandsp_agrees(law: Law, mode: int) -> None:
    try:
        spandsp = ctypes.CDLL("libspandsp.so.2")
    except OSError:
        pytest.skip("libspandsp2 is not installed")
    spandsp.g711_init.restype = ctypes.c_void_p
    state = ctypes.c_void_p(spandsp.g711_init(None, mode))
    codes, heard = bytes(range(256)), ctypes.create_string_buffer(512)
    assert spandsp.g711_decode(state, heard, codes, len(codes)) == len(codes)
    assert heard.raw == law.decode(codes)


@pytest.mark.parametrize("law", [MU_LAW, A_LAW])
@pytest.mark.parametrize("amplitude", [300, 3000, 30_000])
def test_a_tone_comes_back_with_the_quality_of_a_telephone_line(law: Law, amplitude: int) -> None:
    """ITU-T G.712, figure on total distortion: at least 33 dB from 0 to -30 dBm0, 24 dB below."""
    tone = sine(1020, 8000, 0.5, amplitude)
    assert snr_db(tone, law.decode(law.encode(tone))) > (33 if amplitude >= 1000 else 27)


@pytest.mark.parametrize("make", [make_pcmu, make_pcma])
def test_a_frame_of_another_length_is_a_mistake_of_the_caller(make: Callable[[], Codec]) -> None:
    codec = make()
    for size in (0, 1, 318, 319, 322):
        with pytest.raises(UsageError):
            codec.encode(bytes(size))


@given(st.binary(max_size=1600))
def test_any_payload_gives_sound(payload: bytes) -> None:
    codec = make_pcmu()
    heard = codec.decode(payload)
    is_taken = 0 < len(payload) <= 8 * MAX_PAYLOAD_MS
    assert len(heard) == (2 * len(payload) if is_taken else 320)
    assert codec.damaged == (not is_taken)
    assert len(codec.decode_fec(payload)) == len(codec.conceal()) == 320


def test_a_lost_frame_of_a_tone_is_hardly_heard() -> None:
    codec = make_pcmu()
    sent = frames(sine(250, 8000, 0.4), 160)
    for frame in sent[:10]:
        codec.decode(codec.encode(frame))
    assert snr_db(sent[10], codec.conceal()) > 10
    assert snr_db(sent[11], codec.decode(codec.encode(sent[11]))) > 20  # and joins again


def test_a_long_loss_fades_to_silence() -> None:
    codec = make_pcma()
    for frame in frames(sine(250, 8000, 0.2), 160):
        codec.decode(codec.encode(frame))
    heard = [loudness(codec.conceal()) for _ in range(5)]
    assert heard[0] > heard[1] > heard[2] > heard[3] == heard[4] == 0
    assert math.isclose(loudness(codec.decode(codec.encode(bytes(320)))), 0, abs_tol=8)


def test_a_voice_with_losses_sounds_more_like_it_than_with_gaps() -> None:
    codec, dice = make_pcmu(), random.Random(3)
    spoken = frames(voice(8000, 6), 160)
    filled, gapped = [], []
    for frame in spoken:
        if dice.random() < 0.1:
            filled.append(codec.conceal())
            gapped.append(bytes(320))
        else:
            filled.append(codec.decode(codec.encode(frame)))
            gapped.append(MU_LAW.decode(MU_LAW.encode(frame)))
    wanted = b"".join(spoken)
    assert snr_db(wanted, b"".join(filled)) > snr_db(wanted, b"".join(gapped)) + 1
