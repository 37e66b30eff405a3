"""The plan of a seat crosses the control socket as JSON and is believed only if it is one."""

from __future__ import annotations

import json

import pytest

from dexmesh.apps.call.media.formats import EVENTS_48000, OPUS, PCMU
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan, decode_plan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address

REMOTE = Address(bytes.fromhex("fc22") * 8)
OPUS_PLAN = MediaPlan(
    REMOTE,
    Agreed(
        AgreedFormat(OPUS, 120, 96, "useinbandfec=1"),
        AgreedFormat(EVENTS_48000, 101, 100, "0-15"),
        7078,
        7079,
        Direction.RECVONLY,
        40,
    ),
)
PLAIN_PLAN = MediaPlan(
    REMOTE, Agreed(AgreedFormat(PCMU, 0, 0), None, 65535, None, Direction.SENDRECV, 20)
)


@pytest.mark.parametrize("plan", [OPUS_PLAN, PLAIN_PLAN])
def test_a_plan_crosses_as_json(plan: MediaPlan) -> None:
    assert decode_plan(json.loads(json.dumps(plan.as_dict()))) == plan


@pytest.mark.parametrize(
    "change",
    [
        {"remote": "nowhere"},
        {"remote": 5},
        {"port": 0},
        {"port": 65536},
        {"port": True},
        {"port": "7078"},
        {"rtcp_port": 0},
        {"direction": "both"},
        {"direction": []},
        {"ptime_ms": 25},
        {"ptime_ms": None},
        {"sound": None},
        {"sound": {}},
        {"events": []},
    ],
)
def test_what_is_no_plan_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        decode_plan(OPUS_PLAN.as_dict() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x" * 257},
        {"clock": 0},
        {"channels": 9},
        {"send_type": 128},
        {"receive_type": -1},
        {"parameters": None},
    ],
)
def test_what_is_no_format_is_refused(change: dict[str, object]) -> None:
    value = OPUS_PLAN.as_dict()
    sound = value["sound"]
    assert isinstance(sound, dict)
    with pytest.raises(DecodeError):
        decode_plan(value | {"sound": sound | change})


@pytest.mark.parametrize("value", [None, 5, "plan", [], {}])
def test_no_object_is_no_plan(value: object) -> None:
    with pytest.raises(DecodeError):
        decode_plan(value)
