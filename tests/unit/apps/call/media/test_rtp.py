"""RTP headers: every bit honoured, nothing believed that is not there."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.rtp import MAX_BYTES, RtpPacket, decode_rtp, encode_rtp

PLAIN = bytes.fromhex("80 00 1234 00000aa0 cafebabe")
PAYLOAD = b"sound"
FIELDS = (0, False, 0x1234, 0xAA0, 0xCAFEBABE)


def test_a_plain_packet_is_read() -> None:
    assert decode_rtp(PLAIN + PAYLOAD) == RtpPacket(*FIELDS, PAYLOAD)


def test_marker_and_payload_type_share_a_byte() -> None:
    packet = decode_rtp(b"\x80\xe5" + PLAIN[2:] + PAYLOAD)
    assert isinstance(packet, RtpPacket)
    assert (packet.is_marked, packet.payload_type) == (True, 101)


def test_contributing_sources_are_passed_over() -> None:
    assert decode_rtp(b"\x82" + PLAIN[1:] + b"\1" * 8 + PAYLOAD) == RtpPacket(*FIELDS, PAYLOAD)


def test_an_extension_is_passed_over() -> None:
    extension = bytes.fromhex("bede 0002") + b"\1" * 8
    assert decode_rtp(b"\x90" + PLAIN[1:] + extension + PAYLOAD) == RtpPacket(*FIELDS, PAYLOAD)


def test_padding_is_cut_off() -> None:
    assert decode_rtp(b"\xa0" + PLAIN[1:] + PAYLOAD + b"\0\0\3") == RtpPacket(*FIELDS, PAYLOAD)


def test_sources_extension_and_padding_together() -> None:
    extra = b"\1" * 4 + bytes.fromhex("bede 0001") + b"\1" * 4
    assert decode_rtp(b"\xb1" + PLAIN[1:] + extra + PAYLOAD + b"\1") == RtpPacket(*FIELDS, PAYLOAD)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DropReason.TOO_SHORT),
        (PLAIN[:11], DropReason.TOO_SHORT),
        (PLAIN + bytes(MAX_BYTES), DropReason.TOO_LONG),
        (b"\x00" + PLAIN[1:] + PAYLOAD, DropReason.BAD_VERSION),
        (b"\x40" + PLAIN[1:] + PAYLOAD, DropReason.BAD_VERSION),
        (b"\xc0" + PLAIN[1:] + PAYLOAD, DropReason.BAD_VERSION),
        (b"\x8f" + PLAIN[1:] + PAYLOAD, DropReason.TOO_SHORT),
        (b"\x90" + PLAIN[1:] + b"\xbe\xde\0", DropReason.BAD_EXTENSION),
        (b"\x90" + PLAIN[1:] + b"\xbe\xde\0\2" + b"\1" * 7, DropReason.BAD_EXTENSION),
        (b"\x9f" + PLAIN[1:] + b"\xbe\xde\0\0", DropReason.BAD_EXTENSION),
        (b"\xa0" + PLAIN[1:] + PAYLOAD + b"\0", DropReason.BAD_PADDING),
        (b"\xa0" + PLAIN[1:] + PAYLOAD + b"\7", DropReason.BAD_PADDING),
    ],
)
def test_what_is_no_packet_is_dropped_with_its_reason(data: bytes, reason: DropReason) -> None:
    assert decode_rtp(data) is reason


def test_padding_may_be_all_there_is() -> None:
    assert decode_rtp(b"\xa0" + PLAIN[1:] + b"\0\2") == RtpPacket(*FIELDS, b"")


@pytest.mark.parametrize("is_marked", [False, True])
def test_what_is_written_is_read(is_marked: bool) -> None:
    data = encode_rtp(96, is_marked, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, PAYLOAD)
    expected = RtpPacket(96, is_marked, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, PAYLOAD)
    assert decode_rtp(data) == expected
