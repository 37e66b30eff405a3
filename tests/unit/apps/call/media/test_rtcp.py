"""RTCP: reports, names and farewells as RFC 3550 lays them out; what is damaged is dropped whole."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.rtcp import (
    MAX_BYTES,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    decode_rtcp,
    encode_rtcp,
)

BLOCK = ReportBlock(0xCAFEBABE, 64, -3, 0x1FFFF, 12, 0xAABBCCDD, 65536)
SENT = SenderReport(7, 0x1122334455667788, 160, 9, 1440, (BLOCK,))
HEARD = ReceiverReport(7, (BLOCK, BLOCK))
NAMED = SourceDescription(((7, b"name"),))
GONE = Goodbye((7, 8))

# One sender report with one block, written by hand from the figure of RFC 3550 §6.4.1.
SENT_BYTES = bytes.fromhex(
    "81c8000c 00000007 11223344 55667788 000000a0 00000009 000005a0"
    "cafebabe 40fffffd 0001ffff 0000000c aabbccdd 00010000"
)
NAMED_BYTES = bytes.fromhex("81ca0003 00000007 0104 6e616d65 0000")


def test_a_sender_report_is_as_the_standard_draws_it() -> None:
    assert encode_rtcp((SENT,)) == SENT_BYTES
    assert decode_rtcp(SENT_BYTES) == (SENT,)


def test_a_name_is_filled_up_to_a_word() -> None:
    assert encode_rtcp((NAMED,)) == NAMED_BYTES
    assert decode_rtcp(NAMED_BYTES) == (NAMED,)


@pytest.mark.parametrize("size", range(9))
def test_a_name_of_any_length_is_read_back(size: int) -> None:
    names = SourceDescription(((1, b"x" * size), (2, b"y")))
    assert decode_rtcp(encode_rtcp((names,))) == (names,)


def test_a_compound_of_all_is_read_in_order() -> None:
    packets = (SENT, HEARD, NAMED, GONE)
    assert decode_rtcp(encode_rtcp(packets)) == packets


def test_a_view_is_read() -> None:
    assert decode_rtcp(memoryview(SENT_BYTES)) == (SENT,)


def test_kinds_that_we_do_not_read_are_passed_over() -> None:
    """linphone: XR (207) and feedback (205); reduced-size RTCP begins with any of them."""
    extended = bytes.fromhex("80cf0002 00000007 04000000")
    feedback = bytes.fromhex("83cd0002 00000007 00000008")
    assert decode_rtcp(feedback + extended + SENT_BYTES) == (SENT,)


def test_other_items_of_a_description_are_passed_over() -> None:
    body = bytes.fromhex("81ca0004 00000007 0203 616263 0104 6e616d65 00")
    assert decode_rtcp(body) == (NAMED,)


def test_what_follows_the_blocks_is_left_to_profiles() -> None:
    assert decode_rtcp(bytes.fromhex("80c90002 00000007 ffffffff")) == (ReceiverReport(7),)


def test_a_farewell_with_a_reason_is_read() -> None:
    assert decode_rtcp(bytes.fromhex("81cb0002 00000007 03627965")) == (Goodbye((7,)),)


def test_padding_at_the_end_is_cut_off() -> None:
    padded = bytes.fromhex("a1cb0002 00000007 00000004")
    assert decode_rtcp(padded) == (Goodbye((7,)),)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DropReason.TOO_SHORT),
        (b"\x80\xc9\0", DropReason.TOO_SHORT),
        (bytes(MAX_BYTES + 1), DropReason.TOO_LONG),
        (b"\x00" + SENT_BYTES[1:], DropReason.BAD_VERSION),
        (b"\x80\x60" + SENT_BYTES[2:], DropReason.BAD_VERSION),
        (SENT_BYTES[:-1], DropReason.BAD_LENGTH),
        (SENT_BYTES + b"\x80", DropReason.BAD_LENGTH),
        (b"\x82" + SENT_BYTES[1:], DropReason.BAD_REPORT),
        (bytes.fromhex("80c80000"), DropReason.BAD_REPORT),
        (bytes.fromhex("80c90000"), DropReason.BAD_REPORT),
        (bytes.fromhex("82cb0001 00000007"), DropReason.BAD_REPORT),
        (bytes.fromhex("81ca0000"), DropReason.BAD_REPORT),
        (bytes.fromhex("81ca0002 00000007 01ff6162"), DropReason.BAD_REPORT),
        (bytes.fromhex("81ca0002 00000007 02016101"), DropReason.BAD_REPORT),
        (bytes.fromhex("a0cb0001 00000008"), DropReason.BAD_PADDING),
        (bytes.fromhex("a0cb0001 00000003"), DropReason.BAD_PADDING),
        (bytes.fromhex("a0cb0001 00000000"), DropReason.BAD_PADDING),
        (bytes.fromhex("a1cb0002 00000007 00000004") + SENT_BYTES, DropReason.BAD_PADDING),
    ],
)
def test_what_is_damaged_is_dropped_with_its_reason(data: bytes, reason: DropReason) -> None:
    assert decode_rtcp(data) is reason
