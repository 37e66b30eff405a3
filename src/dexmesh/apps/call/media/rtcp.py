"""RTCP packets: reports, names and farewells, in bytes and as values.

Place     seat/ -> session.py -> here and back
Spec      RFC 3550 §6.4 (SR, RR), §6.5 (SDES), §6.6 (BYE), A.2 (validity); RFC 5506 (one alone)
Keeps     a datagram is believed whole or not at all; types we do not read (APP, feedback, XR) are
          passed over; any bytes give packets or a reason
Not here  what is counted (rust/media/src/reception.rs, sender.py) and when reports are due (session.py)
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, TypeAlias

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.values import dataclass

MAX_BYTES: Final = 2_048  # ours

_SENDER_REPORT: Final = 200
_RECEIVER_REPORT: Final = 201
_SOURCE_DESCRIPTION: Final = 202
_GOODBYE: Final = 203
_TYPES: Final = range(192, 224)  # RFC 5761 §4

_NTP_FRACTION: Final = 1 << 32
_CNAME: Final = 1
_VERSION: Final = 0x80
_PADDING: Final = 0x20
_COUNT_MASK: Final = 0x1F
_WORD_BYTES: Final = 4

_HEADER: Final = Struct("!BBH")
_SSRC: Final = Struct("!I")
_SENDER: Final = Struct("!IQIII")
_BLOCK: Final = Struct("!IIIIII")


def ntp_time(now: float) -> int:
    """Monotonic seconds as an NTP time of 64 bits: RFC 3550 §6.4.1 allows any clock that runs."""
    return int(now * _NTP_FRACTION) & 0xFFFFFFFFFFFFFFFF


def short_ntp(ntp: int) -> int:
    """The middle 32 bits, in 1/65536 s."""
    return ntp >> 16 & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells about one source (RFC 3550 §6.4.1).

    `fraction_lost` is in 1/256, `cumulative_lost` signed 24 bit, `jitter` in units of the RTP clock,
    `last_report` the middle 32 bits of an NTP time, `delay_since` in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay_since: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR. `ntp_time` has 64 bits, 32 of them behind the point."""

    ssrc: int
    ntp_time: int
    rtp_timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES, of which we read and write the CNAME alone."""

    names: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE."""

    sources: tuple[int, ...]


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Goodbye


def decode_rtcp(data: bytes | memoryview) -> tuple[RtcpPacket, ...] | DropReason:
    """The packets of a datagram that we read, in order."""
    if len(data) < _HEADER.size:
        return DropReason.TOO_SHORT
    if len(data) > MAX_BYTES:
        return DropReason.TOO_LONG
    whole = bytes(data)
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(whole):
        if start + _HEADER.size > len(whole):
            return DropReason.BAD_LENGTH
        first, kind, words = _HEADER.unpack_from(whole, start)
        end = start + _WORD_BYTES * (words + 1)
        padding = whole[-1] if first & _PADDING else 0
        problem = _problem(whole, first, kind, end, end - start - _HEADER.size)
        if problem is not None:
            return problem
        body = whole[start + _HEADER.size : end - padding]
        packet = _DECODERS[kind](body, first & _COUNT_MASK) if kind in _DECODERS else None
        if isinstance(packet, DropReason):
            return packet
        if packet is not None:
            packets.append(packet)
        start = end
    return tuple(packets)


def _problem(whole: bytes, first: int, kind: int, end: int, room: int) -> DropReason | None:
    """What is wrong with a packet that has `room` for its body; only the last may have padding."""
    if first & 0xC0 != _VERSION or kind not in _TYPES:
        return DropReason.BAD_VERSION
    if end > len(whole):
        return DropReason.BAD_LENGTH
    if first & _PADDING:
        is_fit = end == len(whole) and 0 < whole[-1] <= room and not whole[-1] % _WORD_BYTES
        return None if is_fit else DropReason.BAD_PADDING
    return None


def _sender_report(body: bytes, count: int) -> SenderReport | DropReason:
    if len(body) < _SENDER.size + count * _BLOCK.size:
        return DropReason.BAD_REPORT
    ssrc, ntp_time, timestamp, packets, octets = _SENDER.unpack_from(body)
    blocks = _blocks(body, _SENDER.size, count)
    return SenderReport(ssrc, ntp_time, timestamp, packets, octets, blocks)


def _receiver_report(body: bytes, count: int) -> ReceiverReport | DropReason:
    if len(body) < _SSRC.size + count * _BLOCK.size:
        return DropReason.BAD_REPORT
    (ssrc,) = _SSRC.unpack_from(body)
    return ReceiverReport(ssrc, _blocks(body, _SSRC.size, count))


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    """`count` blocks; what follows them is an extension of a profile, and not read."""
    blocks = []
    for number in range(count):
        ssrc, lost, *rest = _BLOCK.unpack_from(body, start + number * _BLOCK.size)
        cumulative = lost & 0xFFFFFF
        cumulative -= (cumulative & 0x800000) << 1
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, *rest))
    return tuple(blocks)


def _source_description(body: bytes, count: int) -> SourceDescription | DropReason:
    """Chunks of SSRC and items; each ends with a zero and is filled up to a word (§6.5)."""
    names: list[tuple[int, bytes]] = []
    start = 0
    for _ in range(count):
        if start + _SSRC.size > len(body):
            return DropReason.BAD_REPORT
        (ssrc,) = _SSRC.unpack_from(body, start)
        start += _SSRC.size
        while start < len(body) and body[start]:
            end = start + 2 + (body[start + 1] if start + 1 < len(body) else 0)
            if end > len(body):
                return DropReason.BAD_REPORT
            if body[start] == _CNAME:
                names.append((ssrc, body[start + 2 : end]))
            start = end
        start += _WORD_BYTES - start % _WORD_BYTES
    return SourceDescription(tuple(names))


def _goodbye(body: bytes, count: int) -> Goodbye | DropReason:
    if len(body) < count * _SSRC.size:
        return DropReason.BAD_REPORT
    sources = (_SSRC.unpack_from(body, number * _SSRC.size)[0] for number in range(count))
    return Goodbye(tuple(sources))


_Decoder: TypeAlias = Callable[[bytes, int], RtcpPacket | DropReason]
_DECODERS: Final[dict[int, _Decoder]] = {
    _SENDER_REPORT: _sender_report,
    _RECEIVER_REPORT: _receiver_report,
    _SOURCE_DESCRIPTION: _source_description,
    _GOODBYE: _goodbye,
}


def encode_rtcp(packets: tuple[RtcpPacket, ...]) -> bytes:
    """One datagram of them all (§6.1: a report comes first)."""
    return b"".join(map(_encode_one, packets))


def _encode_one(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp_time, rtp_timestamp, sent, octets, blocks):
            body = _SENDER.pack(ssrc, ntp_time, rtp_timestamp, sent, octets)
            return _with_header(_SENDER_REPORT, len(blocks), body + _encode_blocks(blocks))
        case ReceiverReport(ssrc, blocks):
            body = _SSRC.pack(ssrc) + _encode_blocks(blocks)
            return _with_header(_RECEIVER_REPORT, len(blocks), body)
        case SourceDescription(names):
            return _with_header(_SOURCE_DESCRIPTION, len(names), b"".join(map(_chunk, names)))
        case Goodbye(sources):
            return _with_header(_GOODBYE, len(sources), b"".join(map(_SSRC.pack, sources)))


def _with_header(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(_VERSION | count, kind, len(body) // _WORD_BYTES) + body


def _encode_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            one.ssrc,
            one.fraction_lost << 24 | one.cumulative_lost & 0xFFFFFF,
            one.highest_sequence,
            one.jitter,
            one.last_report,
            one.delay_since,
        )
        for one in blocks
    )


def _chunk(name: tuple[int, bytes]) -> bytes:
    """SSRC and CNAME, with one to four zeros up to a word."""
    ssrc, text = name
    chunk = _SSRC.pack(ssrc) + bytes([_CNAME, len(text)]) + text
    return chunk + bytes(_WORD_BYTES - len(chunk) % _WORD_BYTES)
