"""Give any bytes to what reads the media of a call: descriptions, RTP, RTCP, a whole session.

Place     tests/fuzz/targets.py puts these among its own
Keeps     as there: nothing but the refusal of its own kind, and no state from one input to the next
"""

from __future__ import annotations

import random
from typing import Final

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
from dexmesh.apps.call.media.plan import MediaPlan, decode_plan
from dexmesh.apps.call.media.rtp import RtpPacket, decode_rtp, encode_rtp
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.errors import DecodeError
from tests.unit.apps.call.media.line import REMOTE, frame, plan, session

_LOCAL: Final = LocalMedia(REMOTE, 7078, SOUND_FORMATS, 1)
_MOST_STEPS: Final = 400
_FRAME_BYTES: Final = 320


def media_descriptions(data: bytes) -> None:
    """Read, written again, answered as an offer, believed as an answer, and offered anew."""
    try:
        description = sdp.decode(data)
    except DecodeError:
        return
    assert sdp.decode(sdp.encode(description)) == description
    _check_agreed(accept_answer(make_offer(_LOCAL), description))
    answered = answer(description, _LOCAL)
    if isinstance(answered, Answer):
        _check_agreed(answered.agreed)
        written = answered.description
        assert sdp.decode(sdp.encode(written)) == written
        assert [one.kind for one in written.media] == [one.kind for one in description.media]
        assert sum(one.port > 0 for one in written.media) == 1
        again = make_offer(_LOCAL, Direction.SENDONLY, written)
        assert len(again.media) == len(written.media)
        assert sdp.decode(sdp.encode(again)) == again


def _check_agreed(agreed: Agreed | Refusal) -> None:
    """What was agreed crosses the control socket."""
    if isinstance(agreed, Agreed):
        made = MediaPlan(REMOTE, agreed)
        assert decode_plan(made.as_dict()) == made


def media_packets(data: bytes) -> None:
    """One datagram as RTP and as RTCP; what is read is written and read as the same."""
    packet = decode_rtp(data)
    if isinstance(packet, RtpPacket):
        assert decode_rtp(encode_rtp(*packet)) == packet
    reports = rtcp.decode_rtcp(data)
    if not isinstance(reports, DropReason):
        assert rtcp.decode_rtcp(rtcp.encode_rtcp(reports)) == reports or not reports


def media_sessions(data: bytes) -> None:
    """A session through records of four bytes and more: packets of a peer, junk, reports, time, holds.

    Each record: what it is (low bits) and how long it is (high bits); two numbers; the rest.
    """
    own = session(1, now=0.0)
    directions = tuple(Direction)
    now, steps = 0.0, 0
    while len(data) >= 3 and steps < _MOST_STEPS:
        kind, one, two = data[:3]
        size = 3 + (kind >> 3)
        content, data = data[3:size], data[size:]
        steps += 1
        if kind & 7 < 3:  # sound of a peer whose counters jump about
            payload_type = 101 if one & 1 else 0
            timestamp = int(now * 8000) + two * (160 if one & 2 else 1 << 24)
            packet = encode_rtp(
                payload_type,
                False,
                (steps + two) & 0xFFFF,
                timestamp & 0xFFFFFFFF,
                one >> 5,
                content,
            )
            own.handle_rtp(packet, now)
        elif kind & 7 == 3:
            own.handle_rtp(content, now)
            own.handle_rtcp(content, now)
        elif kind & 7 == 4:
            own.change(plan(directions[one & 3], (10, 20, 30, 40, 60)[two % 5]))
        elif kind & 7 == 5:
            own.send_digit(chr(one))
        else:
            now += one * (0.02 if two & 1 else 0.3)
        assert len(own.pull(now)) == _FRAME_BYTES
        assert len(own.push(frame(steps), now)) <= 2
        own.next_rtcp(now)
    assert len(own.take_outputs()) <= 64
    own.statistics(now).as_dict()
    own.end(now)


MEDIA_TARGETS: Final = (media_descriptions, media_packets, media_sessions)


def media_seeds() -> dict[str, list[bytes]]:
    """The first inputs of these targets."""
    from tests.unit.apps.call.media.bodies import BARESIP_OFFER, LINPHONE_OFFER, offer_with

    speaking = session(2, now=0.0)
    sent = [speaking.push(frame(number), number * 0.02)[0] for number in range(3)]
    report = speaking.next_rtcp(5.0) or b""
    noise = random.Random(7)
    plays = [
        b"".join(
            bytes([noise.choice((8 << 3, 1 << 3 | 1, 31 << 3, 3, 4, 5, 6, 6, 7)), one, 1])
            + noise.randbytes(31)
            for one in noise.randbytes(40)
        )
        for _ in range(3)
    ]
    return {
        "media_descriptions": [
            LINPHONE_OFFER,
            BARESIP_OFFER,
            sdp.encode(make_offer(_LOCAL)),
            offer_with("a=rtcp:9000 IN IP6 ::", "a=ptime:30", "a=maxptime:40", connection="::"),
            offer_with("m=audio 9 RTP/AVP 8", audio="7 RTP/SAVP 0"),
        ],
        "media_packets": [
            sent[0],
            bytes.fromhex("b1e50001 00000002 00000003 00000004 bede0001 01020304 6162 01"),
            report,
            bytes.fromhex("81c8000c000000071122334455667788000000a000000009000005a0")
            + bytes.fromhex("cafebabe40fffffd0001ffff0000000caabbccdd00010000")
            + bytes.fromhex("80cf00020000000704000000 a1cb00020000000700000004"),
        ],
        "media_sessions": [
            bytes([20 << 3, 0, 1]) + bytes(20) + bytes([6, 1, 1]) * 40,
            *plays,
        ],
    }
