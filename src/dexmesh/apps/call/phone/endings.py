"""Say what a refused call means to the person who made it.

Place     outgoing.py -> here -> `Ended`
Spec      RFC 3261 §21
"""

from __future__ import annotations

from typing import Final

from dexmesh.apps.call.phone.values import EndReason, Side
from dexmesh.apps.call.sip.message import Response
from dexmesh.apps.call.sip.outputs import Why

MAX_RETRY_AFTER_S: Final = 86400  # ours: what is beyond a day is no advice

_BY_STATUS: Final = {
    403: EndReason.FORBIDDEN,
    404: EndReason.NOT_FOUND,
    406: EndReason.NO_COMMON_CODEC,
    408: EndReason.NO_ANSWER,
    410: EndReason.NOT_FOUND,
    415: EndReason.NO_COMMON_CODEC,
    480: EndReason.UNAVAILABLE,
    486: EndReason.BUSY,
    487: EndReason.CANCELLED,
    488: EndReason.NO_COMMON_CODEC,
    503: EndReason.OVERLOADED,
    600: EndReason.BUSY,
    603: EndReason.DECLINED,
    604: EndReason.NOT_FOUND,
    606: EndReason.NO_COMMON_CODEC,
}
_BY_FAILURE: Final = {
    Why.TIMEOUT: (EndReason.UNREACHABLE, Side.NOBODY),
    Why.TRANSPORT: (EndReason.UNREACHABLE, Side.NOBODY),
    Why.NO_ACK: (EndReason.LOST, Side.NOBODY),
    Why.OVERLOAD: (EndReason.OVERLOADED, Side.US),
}


def reason_of(status: int) -> EndReason:
    """Why a call ends that was answered with this status, 300 to 699."""
    return _BY_STATUS.get(status, EndReason.REFUSED)


def reason_of_failure(why: Why) -> tuple[EndReason, Side]:
    """Why a call ends that got no answer, and who is to blame."""
    return _BY_FAILURE[why]


def retry_after(response: Response) -> int | None:
    """The seconds in Retry-After, if there are any that make sense."""
    text = (response.headers.first("Retry-After") or "").partition(";")[0].partition("(")[0].strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= 9
    return min(int(text), MAX_RETRY_AFTER_S) if is_number else None
