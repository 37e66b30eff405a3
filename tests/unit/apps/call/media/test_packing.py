"""Packets of 10 to 60 ms from frames of 20: nothing twice, nothing left out, the right beginnings."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.formats import G722, OPUS, PCMA, PCMU, Format
from dexmesh.apps.call.media.packing import join_opus, make_packing

FRAMES = [bytes([number]) * 160 for number in range(12)]
WIDE, NARROW = 0x78, 0x08  # two TOC bytes of Opus: 20 ms, mono, one frame


@pytest.mark.parametrize("format_", [PCMU, PCMA, G722])
@pytest.mark.parametrize("ptime_ms", [10, 30, 40, 60])
def test_sound_by_the_byte_is_cut_anywhere(format_: Format, ptime_ms: int) -> None:
    packing = make_packing(format_, ptime_ms)
    assert packing is not None
    begins, joined = [], b""
    for number, one in enumerate(FRAMES):
        for before, payload in packing(one):
            assert len(payload) == 8 * ptime_ms
            begins.append(number * 160 - before)
            joined += payload
    assert joined == b"".join(FRAMES)
    assert begins == list(range(0, 160 * len(FRAMES), 8 * ptime_ms))


@pytest.mark.parametrize("format_", [PCMU, OPUS])
def test_a_frame_is_a_packet_of_20_ms(format_: Format) -> None:
    assert make_packing(format_, 20) is None


@pytest.mark.parametrize("ptime_ms", [10, 30])
def test_opus_stays_at_20_ms_where_frames_do_not_fit(ptime_ms: int) -> None:
    assert make_packing(OPUS, ptime_ms) is None


@pytest.mark.parametrize(("ptime_ms", "count"), [(40, 2), (60, 3)])
def test_frames_of_opus_share_a_packet(ptime_ms: int, count: int) -> None:
    packing = make_packing(OPUS, ptime_ms)
    assert packing is not None
    frames = [bytes([WIDE, number]) for number in range(count)]
    packets = [packing(one) for one in frames]
    assert packets == [*[[]] * (count - 1), [((count - 1) * 960, join_opus(frames))]]


def test_a_packet_of_several_frames_is_as_the_standard_draws_it() -> None:
    """RFC 6716 §3.2.5: code 3, variable, two frames; the length of all but the last."""
    frames = [bytes([WIDE]) + b"a" * 5, bytes([WIDE]) + b"b" * 7]
    assert join_opus(frames) == bytes([WIDE | 3, 0x82, 5]) + b"a" * 5 + b"b" * 7


@pytest.mark.parametrize(
    ("size", "length"), [(0, b"\0"), (251, b"\xfb"), (252, b"\xfc\0"), (1274, b"\xfe\xff")]
)
def test_lengths_have_one_byte_or_two(size: int, length: bytes) -> None:
    """RFC 6716 §3.2.1: from 252 on, the first byte plus four times the second."""
    joined = join_opus([bytes([WIDE]) + bytes(size), bytes([WIDE])])
    assert joined[2:] == length + bytes(size)


def test_a_frame_of_another_kind_begins_a_new_packet() -> None:
    packing = make_packing(OPUS, 60)
    assert packing is not None
    wide, narrow = bytes([WIDE, 1]), bytes([NARROW, 2])
    assert packing(wide) == []
    assert packing(narrow) == [(960, wide)]
    assert packing(narrow) == []
    assert packing(narrow) == [(1920, join_opus([narrow] * 3))]


@pytest.mark.parametrize("payload", [b"", bytes([WIDE | 3, 2, 1, 2])])
def test_what_cannot_be_joined_goes_as_it_is(payload: bytes) -> None:
    packing = make_packing(OPUS, 40)
    assert packing is not None
    wide = bytes([WIDE, 1])
    assert packing(wide) == []
    assert packing(payload) == [(960, wide), (0, payload)]
