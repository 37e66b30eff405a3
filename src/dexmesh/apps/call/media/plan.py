"""Say what a seat shall do: with whom it exchanges sound, in which codec, and which way.

Place     phone/ makes one of each agreement -> JSON over the control socket -> seat/ -> session.py
Spec      docs/apps/sip.md §3 (media to the signalling peer, whatever `c=` says); docs/decisions/0013
Keeps     `remote` is the address of the signalling peer; what is decoded is within bounds
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dexmesh.apps.call.media.formats import Format
from dexmesh.apps.call.media.offer import MOST_PARAMETERS, PTIMES_MS, Agreed, AgreedFormat
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address, parse_address

_HIGHEST_PORT: Final = 65_535
_HIGHEST_TYPE: Final = 127
_HIGHEST_CLOCK: Final = 192_000
_MOST_CHANNELS: Final = 8


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """Who, and what was agreed with him."""

    remote: Address
    agreed: Agreed

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        agreed = self.agreed
        return {
            "remote": format_address(self.remote),
            "port": agreed.remote_port,
            "rtcp_port": agreed.remote_rtcp_port,
            "sound": _format_as_dict(agreed.sound),
            "events": None if agreed.events is None else _format_as_dict(agreed.events),
            "direction": agreed.direction.value,
            "ptime_ms": agreed.ptime_ms,
        }


def _format_as_dict(one: AgreedFormat) -> dict[str, object]:
    return {
        "name": one.format.name,
        "clock": one.format.clock,
        "channels": one.format.channels,
        "offer_type": one.format.payload_type,
        "offer_parameters": one.format.parameters,
        "send_type": one.send_type,
        "receive_type": one.receive_type,
        "parameters": one.parameters,
    }


def decode_plan(value: object) -> MediaPlan:
    """The plan in an object that `as_dict` made; `DecodeError` if it is none."""
    plan = _object(value)
    rtcp_port = None if plan.get("rtcp_port") is None else _number(plan, "rtcp_port", _HIGHEST_PORT)
    events = None if plan.get("events") is None else _format(plan["events"])
    ptime_ms = _number(plan, "ptime_ms", PTIMES_MS[-1])
    try:
        direction = Direction(plan.get("direction"))
    except ValueError:
        raise DecodeError("plan has no direction") from None
    if ptime_ms not in PTIMES_MS:
        raise DecodeError("plan has no ptime")
    port = _number(plan, "port", _HIGHEST_PORT)
    agreed = Agreed(_format(plan.get("sound")), events, port, rtcp_port, direction, ptime_ms)
    return MediaPlan(parse_address(_text(plan, "remote")), agreed)


def _format(value: object) -> AgreedFormat:
    one = _object(value)
    return AgreedFormat(
        Format(
            _text(one, "name"),
            _number(one, "clock", _HIGHEST_CLOCK),
            _number(one, "offer_type", _HIGHEST_TYPE, least=0),
            _number(one, "channels", _MOST_CHANNELS),
            _text(one, "offer_parameters"),
        ),
        _number(one, "send_type", _HIGHEST_TYPE, least=0),
        _number(one, "receive_type", _HIGHEST_TYPE, least=0),
        _text(one, "parameters"),
    )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError("plan is no object")
    return value


def _number(values: Mapping[str, Any], name: str, most: int, least: int = 1) -> int:
    value = values.get(name)
    if type(value) is not int or not least <= value <= most:
        raise DecodeError(f"plan has no {name}")
    return value


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or len(value) > MOST_PARAMETERS:
        raise DecodeError(f"plan has no {name}")
    return value
