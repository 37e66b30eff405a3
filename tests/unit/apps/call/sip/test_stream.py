"""Messages out of a TCP stream, however it is cut."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.sip.message import MAX_BODY_BYTES, MAX_HEADER_BYTES, decode
from dexmesh.apps.call.sip.stream import StreamDecoder
from dexmesh.errors import DecodeError
from tests.unit.apps.call.sip.world import request_text

TEXT = request_text("MESSAGE", body="first")
OTHER = request_text("OPTIONS")


def test_two_messages_in_one_piece_are_two() -> None:
    assert StreamDecoder().feed(TEXT + OTHER) == [TEXT, OTHER]


def test_byte_by_byte_gives_the_same() -> None:
    decoder = StreamDecoder()
    pieces = [decoder.feed(bytes([byte])) for byte in b"\r\n\r\n" + TEXT + b"\r\n\0" + OTHER]
    assert [message for piece in pieces for message in piece] == [TEXT, OTHER]


def test_keep_alives_are_nothing_however_many() -> None:
    decoder = StreamDecoder()
    for _ in range(1000):
        assert decoder.feed(b"\r\n\r\n\0") == []
    assert decoder.feed(TEXT) == [TEXT]


def test_without_content_length_there_is_no_body() -> None:
    bare = OTHER.replace(b"Content-Length: 0\r\n", b"")
    assert StreamDecoder().feed(bare + TEXT) == [bare, TEXT]


def test_a_folded_compact_content_length_counts() -> None:
    data = TEXT.replace(b"Content-Length: 5", b"l :\r\n 5").replace(b"\r\nFrom", b"\nFrom")
    (message,) = StreamDecoder().feed(data)
    assert decode(message).body == b"first"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 65537", b"Content-Length: -1", b"Content-Length: 5\r\nl: 5", b"Content-Length:",
        b"Content-Length: 5, 5", b"no field",
    ],
)  # fmt: skip
def test_where_no_border_can_be_found_the_stream_ends(header: bytes) -> None:
    with pytest.raises(DecodeError):
        StreamDecoder().feed(TEXT.replace(b"Content-Length: 5", header))


def test_a_header_without_end_is_bounded() -> None:
    decoder = StreamDecoder()
    for _ in range(MAX_HEADER_BYTES // 2 + 2):
        decoder.feed(b"xx")
    with pytest.raises(DecodeError, match="header too long"):
        decoder.feed(b"x")


def test_a_header_that_ends_too_late_is_refused_in_one_piece_too() -> None:
    with pytest.raises(DecodeError, match="header too long"):
        StreamDecoder().feed(b"x" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n")


def test_the_largest_message_fits() -> None:
    data = request_text("MESSAGE", body="b" * MAX_BODY_BYTES)
    decoder = StreamDecoder()
    assert decoder.feed(data[:-1]) == []
    assert decoder.feed(data[-1:]) == [data]
