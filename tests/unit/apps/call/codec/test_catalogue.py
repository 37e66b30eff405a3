"""What is offered follows from what is installed."""

from __future__ import annotations

import ctypes

import pytest

from dexmesh.apps.call.codec import catalogue, g722, opus
from dexmesh.apps.call.media.formats import EVENTS_8000, G722, OPUS, PCMA, PCMU
from dexmesh.errors import UsageError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "LIBRARY", "libdexmesh-has-no-opus.so.0")
    monkeypatch.setattr(g722, "LIBRARY", "libdexmesh-has-no-spandsp.so.2")
    opus.load.cache_clear()
    g722.load.cache_clear()


def test_a_codec_is_made_for_each_format_offered() -> None:
    for one in catalogue.formats():
        codec = catalogue.make(one)
        assert (codec.name, codec.rtp_clock) == (one.name, one.clock)
        assert codec.frame_samples * 50 == codec.sample_rate
        assert len(codec.decode(codec.encode(bytes(2 * codec.frame_samples)))) > 0


def test_the_order_is_from_the_best_to_what_all_know() -> None:
    assert [one.name for one in catalogue.codecs()] == ["opus", "G722", "PCMU", "PCMA"]


@pytest.mark.usefixtures("nothing_installed")
def test_without_libraries_there_is_still_g711_and_a_word_on_what_to_install() -> None:
    assert catalogue.formats() == (PCMU, PCMA)
    assert [(one.name, one.package) for one in catalogue.codecs() if not one.is_available] == [
        ("opus", "libopus0"),
        ("G722", "libspandsp2"),
    ]
    for one in (OPUS, G722, EVENTS_8000):
        with pytest.raises(UsageError):
            catalogue.make(one)


def test_a_library_without_our_functions_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opus, "LIBRARY", "libc.so.6")
    opus.load.cache_clear()
    assert isinstance(ctypes.CDLL("libc.so.6"), ctypes.CDLL)
    assert OPUS not in catalogue.formats()


@pytest.fixture(autouse=True)
def _forget_after() -> object:
    yield
    opus.load.cache_clear()
    g722.load.cache_clear()


def test_opus_can_be_had_at_a_lower_rate() -> None:
    if OPUS not in catalogue.formats():
        pytest.skip("libopus0 is not installed")
    assert catalogue.make(OPUS, opus_rate=16_000).frame_samples == 320
