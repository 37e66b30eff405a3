"""Whole or byte by byte, with any content: what was stuffed comes out as it went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.mail.proto.data import DataDecoder, encode_data

pieces = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\x00", b"\xff", b"\r\n."]),
    max_size=30,
).map(b"".join)
lines = st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a."]), max_size=12)
cuts = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def feed(data: bytes, sizes: list[int]) -> tuple[DataDecoder, bytes]:
    decoder, out, at, turn = DataDecoder(), b"", 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        out += decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    return decoder, out


@given(lines, st.binary(max_size=5), cuts)
def test_any_lines_survive(content: list[bytes], after: bytes, sizes: list[int]) -> None:
    message = b"".join(line + b"\r\n" for line in content)
    decoder, text = feed(encode_data(message) + after, sizes)
    assert decoder.is_done
    assert (text, decoder.rest) == (message, after)
    assert not decoder.has_bare_line_end


@given(pieces, cuts)
def test_pieces_do_not_matter_and_bare_line_ends_are_never_missed(
    data: bytes, sizes: list[int]
) -> None:
    whole, text = feed(data, [max(1, len(data))])
    parted, parted_text = feed(data, sizes)
    assert (whole.is_done, whole.rest, text) == (parted.is_done, parted.rest, parted_text)
    assert whole.has_bare_line_end == parted.has_bare_line_end
    if whole.is_done:
        message = data[: len(data) - len(whole.rest)]
        left = message.replace(b"\r\n", b"")
        assert whole.has_bare_line_end == (b"\r" in left or b"\n" in left)
        before = (b"\r\n" + message)[: -len(b"\r\n.\r\n")]
        assert b"\r\n.\r\n" not in before + b"\r\n.\r"
