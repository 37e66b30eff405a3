"""Media of anybody: every description and packet is read or refused; any line gives whole frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.call.media import rtcp, sdp
from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.formats import SOUND_FORMATS
from dexmesh.apps.call.media.offer import (
    Agreed,
    Answer,
    LocalMedia,
    Refusal,
    accept_answer,
    answer,
    make_offer,
)
from dexmesh.apps.call.media.packing import make_packing
from dexmesh.apps.call.media.rtp import RtpPacket, decode_rtp, encode_rtp
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address
from tests.unit.apps.call.media.line import BEGIN, SILENT, Call, session

OWN = Address(bytes.fromhex("fc11") * 8)
PEER = Address(bytes.fromhex("fc22") * 8)
LINES = st.sampled_from(
    [
        *("v=0", "o=- 1 1 IN IP6 fc00::1", "s=x", "c=IN IP6 ::", "c=IN IP4 0.0.0.0", "t=0 0"),
        *("m=audio 7 RTP/AVP 0 96", "m=audio 7 RTP/SAVP 0", "m=video 0 RTP/AVP 31", "m=x"),
        *("a=rtpmap:96 opus/48000/2", "a=rtpmap:0 x/1", "a=fmtp:96 x", "a=rtcp:9", "a=", "z"),
        *("a=sendonly", "a=inactive", "a=ptime:40", "a=maxptime:10", "a=rtpmap:", "o=", "c="),
    ]
)
BODIES = st.binary(max_size=200) | st.lists(LINES | st.text(max_size=20), max_size=20).map(
    lambda lines: "\r\n".join(["v=0", "o=- 1 1 IN IP6 ::1", *lines]).encode()
)
FORMATS = st.permutations(SOUND_FORMATS).flatmap(
    lambda order: st.integers(1, len(order)).map(lambda count: tuple(order[:count]))
)
WORDS = st.integers(0, 2**32 - 1)
BLOCKS = st.builds(
    rtcp.ReportBlock,
    WORDS,
    st.integers(0, 255),
    st.integers(-(1 << 23), (1 << 23) - 1),
    *[WORDS] * 4,
)
MANY_BLOCKS = st.lists(BLOCKS, max_size=3).map(tuple)
NAMES = st.lists(st.tuples(WORDS, st.binary(max_size=20)), max_size=3).map(tuple)
REPORTS = st.one_of(
    st.builds(
        rtcp.SenderReport, WORDS, st.integers(0, 2**64 - 1), WORDS, WORDS, WORDS, MANY_BLOCKS
    ),
    st.builds(rtcp.ReceiverReport, WORDS, MANY_BLOCKS),
    st.builds(rtcp.SourceDescription, NAMES),
    st.builds(rtcp.Goodbye, st.lists(WORDS, max_size=3).map(tuple)),
)


@given(BODIES)
def test_a_body_is_a_description_or_refused(body: bytes) -> None:
    try:
        description = sdp.decode(body)
    except DecodeError:
        return
    assert sdp.decode(sdp.encode(description)) == description
    result = answer(description, LocalMedia(OWN, 7078, SOUND_FORMATS, 1))
    if isinstance(result, Answer):
        kinds = [one.kind for one in description.media]
        assert [one.kind for one in result.description.media] == kinds
    else:
        assert result.reason


@given(FORMATS, FORMATS, st.sampled_from(Direction), st.sampled_from(Direction))
def test_both_sides_agree_on_the_same(
    ours: tuple[object, ...], theirs: tuple[object, ...], wanted: Direction, willing: Direction
) -> None:
    caller = LocalMedia(OWN, 7078, ours, 1)  # type: ignore[arg-type]
    callee = LocalMedia(PEER, 9000, theirs, 2)  # type: ignore[arg-type]
    offer = sdp.decode(sdp.encode(make_offer(caller, wanted)))
    result = answer(offer, callee, willing)
    if not set(ours) & set(theirs):
        assert isinstance(result, Refusal)
        return
    assert isinstance(result, Answer)
    agreed = accept_answer(offer, sdp.decode(sdp.encode(result.description)))
    assert isinstance(agreed, Agreed)
    assert agreed.codec == result.agreed.codec
    assert agreed.payload_type == result.agreed.sound.receive_type
    assert result.agreed.payload_type == agreed.sound.receive_type
    assert agreed.direction is result.agreed.direction.reversed()
    assert agreed.direction.limited_to(wanted) is agreed.direction
    assert agreed.dtmf_payload_type == result.agreed.dtmf_payload_type


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_a_reason(data: bytes) -> None:
    packet = decode_rtp(data)
    if isinstance(packet, RtpPacket):
        assert decode_rtp(encode_rtp(*packet)) == packet
    reports = rtcp.decode_rtcp(data)
    if not isinstance(reports, DropReason) and reports:
        assert rtcp.decode_rtcp(rtcp.encode_rtcp(reports)) == reports


@given(st.lists(REPORTS, min_size=1, max_size=4).map(tuple))
def test_reports_are_read_as_they_were_written(reports: tuple[rtcp.RtcpPacket, ...]) -> None:
    assert rtcp.decode_rtcp(rtcp.encode_rtcp(reports)) == reports


@given(
    st.lists(st.none() | st.floats(0, 0.4), min_size=1, max_size=20),
    st.floats(0, 3),
)
def test_whatever_the_way_frames_are_heard_in_order(ways: list[float | None], gap: float) -> None:
    """Lost, late, in any order, after a gap: never is sound heard after what was said later."""
    call = Call(
        lambda number, at: (
            None
            if (lasts := ways[number % len(ways)]) is None
            else lasts + (max(0.0, 1 + gap - at) if at >= 1 else 0)
        ),
        here=session(1, now=BEGIN),
    )
    call.run(4.5)  # 225 frames: no number comes twice
    assert {len(samples) for samples in call.heard} == {160}
    whole = (samples for samples in call.heard if len(set(samples)) == 1)  # no blends
    heard = [samples[0] for samples in whole if samples[0] > SILENT]
    assert heard == sorted(heard)


@given(
    st.sampled_from([10, 30, 40, 60]), st.lists(st.binary(min_size=160, max_size=160), max_size=9)
)
def test_packing_neither_adds_nor_loses(ptime_ms: int, frames: list[bytes]) -> None:
    packing = make_packing(SOUND_FORMATS[2], ptime_ms)
    assert packing is not None
    joined = b"".join(payload for one in frames for _, payload in packing(one))
    whole = b"".join(frames)
    assert whole.startswith(joined)
    assert 0 <= len(whole) - len(joined) < 8 * ptime_ms
