"""WAV files of every kind are played, and ours are whole whatever becomes of us."""

from __future__ import annotations

import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.call.codec.samples import bytes_of, samples_of
from dexmesh.apps.call.sound.interface import Source
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.wav import WavSink, WavSource
from dexmesh.errors import SoundError
from tests.unit.apps.call.codec.sounds import frames, loudness, sine

RATE = 16_000


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    length = len(body) if size is None else size
    return kind + struct.pack("<I", length) + body + b"\0" * (len(body) & 1)


def wav(
    data: bytes,
    *,
    rate: int = RATE,
    channels: int = 1,
    bits: int = 16,
    kind: int = 1,
    size: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    step = channels * bits // 8
    layout = struct.pack("<HHIIHH", kind, channels, rate, rate * step, step, bits)
    if kind == 0xFFFE:
        layout += struct.pack("<HHIH", 22, bits, 0, 1) + bytes(14)
    body = b"WAVE" + chunk(b"fmt ", layout) + before + chunk(b"data", data, size) + after
    return chunk(b"RIFF", body)


def play(source: Source, rate: int = RATE) -> bytes:
    """All of it, and the silence of its last frame."""
    source.start(rate)
    heard = []
    while not source.is_finished:
        heard.append(source.read())
    return b"".join(heard)


def as_bits(sound: bytes, bits: int) -> bytes:
    samples = samples_of(sound)
    if bits == 8:
        return bytes((one >> 8) + 128 for one in samples)
    return b"".join(
        (one << bits - 16).to_bytes(bits // 8, "little", signed=True) for one in samples
    )


@pytest.fixture
def tone() -> bytes:
    return sine(440, RATE, 0.1)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("kind", [1, 0xFFFE])
def test_every_number_of_bits_is_played(tmp_path: Path, tone: bytes, bits: int, kind: int) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(as_bits(tone, bits), bits=bits, kind=kind))
    heard = samples_of(play(WavSource(path)))
    most = 256 if bits == 8 else 1
    assert all(abs(a - b) < most for a, b in zip(samples_of(tone), heard, strict=True))


@pytest.mark.parametrize(("bits", "code"), [(32, "f"), (64, "d")])
def test_floating_numbers_are_played_and_clipped(tmp_path: Path, bits: int, code: str) -> None:
    values = [0.0, 0.5, -0.5, 1.0, -1.0, 7.0, -7.0, float("inf"), float("-inf"), float("nan")]
    path = tmp_path / "float.wav"
    path.write_bytes(wav(struct.pack(f"<10{code}", *values), bits=bits, kind=3))
    heard = list(samples_of(play(WavSource(path))))[:9]
    top = 32767
    assert heard == [0, 16384, -16384, top, -top, top, -top, top, -top]


def test_channels_are_heard_together(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    path.write_bytes(wav(bytes_of([1000, 3000, -2000, 0] * 160), channels=2))
    assert samples_of(play(WavSource(path))).tolist() == [2000, -1000] * 160


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_is_played_at_the_rate_of_the_call(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(sine(440, rate, 1.2), rate=rate))
    heard = play(WavSource(path))
    assert abs(len(heard) / 2 / RATE - 1.2) <= 0.02
    assert tone_share(heard, RATE, 440) > 0.99


def test_a_repeated_file_goes_on_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(sine(400, 8_000, 0.1), rate=8_000))  # 40 whole waves
    source = WavSource(path, is_repeated=True)
    source.start(RATE)
    heard = b"".join(source.read() for _ in range(100))
    assert not source.is_finished
    assert tone_share(heard, RATE, 400) > 0.99
    assert min(loudness(frame) for frame in frames(heard, 320)[2:]) > 6000


def test_a_change_of_rate_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav(sine(440, 22_050, 1.0), rate=22_050))
    source = WavSource(path)
    source.start(8_000)
    first = b"".join(source.read() for _ in range(20))
    rest = play(source, 48_000)
    assert tone_share(first, 8_000, 440) > 0.98
    assert tone_share(rest, 48_000, 440) > 0.98
    assert abs(len(rest) / 2 / 48_000 - 0.6) < 0.05


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10**6])
def test_a_size_that_was_never_written_means_to_the_end(
    tmp_path: Path, tone: bytes, size: int
) -> None:
    path = tmp_path / "stream.wav"
    path.write_bytes(wav(tone, size=size))
    assert play(WavSource(path)) == tone


def test_what_stands_around_the_sound_is_not_played(tmp_path: Path, tone: bytes) -> None:
    path = tmp_path / "notes.wav"
    notes = chunk(b"LIST", b"odd")
    path.write_bytes(wav(tone, before=notes, after=chunk(b"id3 ", b"\x7f" * 5000)))
    assert play(WavSource(path)) == tone


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"OggS" + bytes(100),
        chunk(b"RIFF", b"WAVE"),
        chunk(b"RIFF", b"WAVE" + chunk(b"data", bytes(100))),
        chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", bytes(4)) + chunk(b"data", bytes(100))),
        b"RIFF\0\0\0\0WAVE" + chunk(b"junk", b"") * 1001,
        wav(bytes(100), kind=0x55),  # MP3 inside
        wav(bytes(100), bits=12),
        wav(bytes(100), channels=0),
        wav(bytes(100), channels=99),
        wav(bytes(100), rate=0),
        wav(bytes(100), rate=2**30),
        wav(bytes(100), kind=3, bits=16),
    ],
)
def test_what_cannot_be_played_is_said_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(SoundError, match=r"broken\.wav"):
        WavSource(path)


def test_a_pipe_a_folder_and_nothing_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "absent"):
        with pytest.raises(SoundError, match="cannot play"):
            WavSource(tmp_path / name)


@given(content=st.binary(max_size=200), tail=st.binary(max_size=300))
def test_any_bytes_are_played_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.wav"
    for whole in (content, wav(content), wav(content, channels=2, bits=24)[:60] + tail):
        path.write_bytes(whole)
        try:
            source = WavSource(path, is_repeated=True)
        except SoundError:
            continue
        source.start(RATE)
        assert [len(source.read()) for _ in range(3)] == [640] * 3
        source.close()


def test_a_recording_is_what_was_heard_and_only_its_owner_may_listen(
    tmp_path: Path, tone: bytes
) -> None:
    path = tmp_path / "heard.wav"
    sink = WavSink(path)
    sink.start(RATE)
    for frame in frames(tone, 320):
        sink.write(frame)
    assert sink.seconds == pytest.approx(0.1)
    sink.close()
    sink.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(10**6) == tone


def test_another_rate_in_the_middle_is_brought_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    sink = WavSink(path)
    for rate in (8_000, 48_000, 8_000):
        sink.start(rate)
        for frame in frames(sine(440, rate, 0.5), rate // 50):
            sink.write(frame)
    sink.close()
    heard = play(WavSource(path), 8_000)
    assert len(heard) == 2 * 8_000 * 3 // 2
    assert tone_share(heard, 8_000, 440) > 0.97


def test_a_recording_that_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    path.write_bytes(b"precious")
    with pytest.raises(SoundError, match="there already"):
        WavSink(path)
    assert path.read_bytes() == b"precious"
    WavSink(path, may_replace=True).close()
    assert not any(play(WavSource(path)))
    with pytest.raises(SoundError, match="cannot record"):
        WavSink(tmp_path / "no" / "folder.wav")


def test_a_recording_ends_at_its_length(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "long.wav", most_s=1.5)
    sink.start(8_000)
    for _ in range(100):
        sink.write(bytes(320))
    assert sink.is_full
    sink.close()
    assert (tmp_path / "long.wav").stat().st_size == 44 + 2 * 8_000 * 3 // 2


def test_a_killed_recording_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "killed.wav"
    program = f"""
import os, signal
from pathlib import Path
from dexmesh.apps.call.sound.wav import WavSink
sink = WavSink(Path({str(path)!r}))
sink.start(8000)
for _ in range(120):  # 2.4 s
    sink.write(b"\\1" * 320)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with wave.open(str(path)) as file:
        assert file.getnframes() == 2 * 8_000
        assert file.readframes(10**6) == b"\1" * (4 * 8_000)


def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "full.wav"
    sink = WavSink(path)
    sink.start(8_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        for _ in range(200):
            sink.write(b"\1" * 320)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert sink.problem
    assert sink.is_full
    sink.close()
    with wave.open(str(path)) as file:
        assert file.getnframes() == 8_000
