"""The end of a message is CRLF.CRLF and nothing else, in whatever pieces it comes."""

from __future__ import annotations

import pytest

from dexmesh.apps.mail.proto.data import DataDecoder, encode_data

FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\n",
    b"\r\n.\r\r\n",
    b"\n\r\n.\n\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
]
"""The four of docs/apps/mail.md §6 come first."""

CLEAN_FALSE_ENDS = {b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n. \r\n", b"\r\n..\r\n"}


def read(data: bytes, size: int) -> tuple[DataDecoder, bytes]:
    decoder = DataDecoder()
    out = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size))
    return decoder, out


@pytest.mark.parametrize("mark", FALSE_ENDS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 1000])
def test_no_other_mark_ends_a_message(mark: bytes, size: int) -> None:
    smuggled = b"MAIL FROM:<evil@example>\r\n"
    decoder, text = read(b"one" + mark + smuggled + b"two\r\n.\r\nQUIT\r\n", size)
    assert decoder.is_done
    assert decoder.rest == b"QUIT\r\n"
    assert smuggled in text
    assert decoder.has_bare_line_end is (mark not in CLEAN_FALSE_ENDS)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1000])
@pytest.mark.parametrize(
    ("message", "on_the_wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..a\r\n.b\r\n", b"...a\r\n..b\r\n.\r\n"),
        (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n..\r\n..\r\n.\r\n"),
        (b"x" * 5000 + b"\r\n", b"x" * 5000 + b"\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed_and_unstuffed(message: bytes, on_the_wire: bytes, size: int) -> None:
    assert encode_data(message) == on_the_wire
    decoder, text = read(on_the_wire, size)
    assert decoder.is_done
    assert text == message
    assert not decoder.has_bare_line_end


def test_a_bare_line_end_right_before_the_true_end_is_noticed() -> None:
    for bare in (b"a\r\r\n.\r\n", b"a\n\r\n.\r\n", b"\r\r\n.\r\n", b"\n\r\n.\r\n"):
        for size in (1, 2, 100):
            decoder, _ = read(bare, size)
            assert decoder.is_done
            assert decoder.has_bare_line_end


def test_nothing_but_a_possible_end_mark_is_held_back() -> None:
    decoder = DataDecoder()
    assert decoder.feed(b"abc\r\n.\r") == b"abc"
    assert decoder.feed(b"x") == b"\r\n\rx"  # a dot was taken away, a bare CR is left
    assert decoder.has_bare_line_end
    assert not decoder.is_done


def test_what_comes_after_the_end_is_kept() -> None:
    decoder = DataDecoder()
    decoder.feed(b"a\r\n.\r\nNO")
    assert decoder.feed(b"OP\r\n") == b""
    assert decoder.rest == b"NOOP\r\n"
