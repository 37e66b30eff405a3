"""The signals of a telephone have the pitch and the rhythm of their region."""

from __future__ import annotations

import itertools

import pytest

from dexmesh.apps.call.codec.samples import samples_of
from dexmesh.apps.call.sound.interface import Sink, Source, frame_bytes
from dexmesh.apps.call.sound.level import SILENT_DB, peak_db
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.silence import Discard, Silence
from dexmesh.apps.call.sound.tones import AMPLITUDE, BEEP, REGIONS, RING, Part, Tones
from tests.unit.apps.call.codec.sounds import sine

RATE = 8_000


def played(source: Source, seconds: float, rate: int = RATE) -> bytes:
    source.start(rate)
    return b"".join(source.read() for _ in range(round(seconds * 50)))


def rhythm(sound: bytes) -> list[float]:
    """How long it sounds, is silent, sounds: in seconds."""
    changes, last = [0], True
    size = frame_bytes(RATE) // 4  # 5 ms
    pieces = [any(sound[at : at + size]) for at in range(0, len(sound), size)]
    for at, one in enumerate(pieces):
        if one != last:
            changes.append(at)
            last = one
    return [(b - a) * 0.005 for a, b in itertools.pairwise(changes)]


@pytest.mark.parametrize("region", REGIONS)
def test_ringback_and_busy_have_their_pitch_and_rhythm(region: str) -> None:
    for parts in (REGIONS[region].ringback, REGIONS[region].busy):
        heard = played(Tones(parts), 15)
        wanted = [part.seconds for part in parts]
        got = rhythm(heard)
        for at in range(len(wanted) * 2):
            assert got[at] == pytest.approx(wanted[at % len(wanted)], abs=0.011)
        shares = [tone_share(heard, RATE, one) for one in parts[0].hertz]
        assert sum(shares) > 0.9
        assert max(shares) - min(shares) < 0.05


def test_here_it_rings_as_425_hertz_one_second_in_five() -> None:
    """As most of Europe."""
    assert REGIONS["eu"].ringback == (Part((425,), 1), Part((), 4))


def test_a_tone_begins_and_ends_softly_and_never_clips() -> None:
    for parts in (RING, BEEP, *(one.busy for one in REGIONS.values())):
        samples = samples_of(played(Tones(parts), 3))
        assert max(abs(b - a) for a, b in itertools.pairwise(samples)) < 6_000
        assert 1000 < max(map(abs, samples)) <= AMPLITUDE


def test_a_beep_is_heard_once() -> None:
    beep = Tones(BEEP, is_repeated=False)
    assert not beep.is_finished
    heard = played(beep, 1)
    assert beep.is_finished
    assert rhythm(heard)[0] == pytest.approx(0.4, abs=0.011)
    assert beep.read() == bytes(320)


def test_another_rate_goes_on_where_it_was() -> None:
    tones = Tones(REGIONS["eu"].ringback)
    played(tones, 0.9)
    assert any(played(tones, 0.08, rate=48_000))
    assert not any(played(tones, 3.9, rate=48_000)[2 * 4800 :])
    assert any(played(tones, 0.2, rate=48_000))


def test_a_meter_shows_decibels_below_full_scale() -> None:
    assert peak_db(bytes(320)) == SILENT_DB
    assert peak_db(b"") == SILENT_DB
    assert peak_db(b"\x00\x80" * 160) == 0
    assert peak_db(sine(440, 48_000, 0.02, 3276.8)) == pytest.approx(-20, abs=0.2)


def test_silence_lasts_and_what_is_discarded_is_gone() -> None:
    silence: Source = Silence()
    silence.start(48_000)
    assert silence.read() == bytes(1920)
    assert not silence.is_finished
    silence.close()
    sink: Sink = Discard()
    sink.start(8_000)
    sink.write(bytes(320))
    sink.close()
