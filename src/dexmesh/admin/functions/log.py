"""Subscribe to the log, and list who has.

Place     assembly.py registers them -> log_stream.py
Spec      docs/protocol/08 §7
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dexmesh.admin.auth import Source
from dexmesh.admin.functions.forms import OK
from dexmesh.admin.log_stream import STREAM_ID_BYTES, LogStream, Subscription, level_of
from dexmesh.admin.paging import newest_first
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.errors import AdminError

MOST_LINES = 1000  # ours
MAX_LINE = (1 << 31) - 1  # of a source file; the original keeps an int

log = logging.getLogger(__name__)


def log_functions(stream: LogStream, is_tracked: Callable[[Source, float], bool]) -> list[Function]:
    """The `AdminLog_` functions."""

    def subscribe(arguments: Arguments, caller: Caller) -> Answer:
        line = arguments.number("line") or 0
        if not 0 <= line <= MAX_LINE:
            raise AdminError(
                "Invalid line number, must be positive or 0 to signify any line is acceptable."
            )
        stream.forget_gone(lambda source: is_tracked(source, caller.now))
        stream_id = stream.subscribe(
            caller.source,
            caller.txid,
            level_of(arguments.text("level")),
            arguments.text("file") or "",
            line,
        )
        return {"error": NONE, "streamId": stream_id.hex()}

    def unsubscribe(arguments: Arguments, _caller: Caller) -> Answer:
        if not stream.unsubscribe(_stream_id(arguments.required_text("streamId"))):
            raise AdminError("No such subscription.")
        return OK

    def subscriptions(_arguments: Arguments, caller: Caller) -> Answer:
        stream.forget_gone(lambda source: is_tracked(source, caller.now))
        return {"entries": [_describe(one) for one in newest_first(stream.subscriptions())]}

    return [
        Function(
            "AdminLog_subscribe",
            subscribe,
            (optional("level"), optional("line", Kind.INT), optional("file")),
        ),
        Function("AdminLog_unsubscribe", unsubscribe, (required("streamId"),)),
        Function("AdminLog_subscriptions", subscriptions),
        Function("AdminLog_logMany", _log_many, (required("count", Kind.INT),)),
    ]


def _log_many(arguments: Arguments, _caller: Caller) -> Answer:
    for number in range(min(arguments.required_number("count"), MOST_LINES)):
        log.debug("message number %d", number)
    return OK


def _stream_id(text: str) -> bytes:
    try:
        stream_id = bytes.fromhex(text)
    except ValueError:
        raise AdminError("Invalid streamId.") from None
    if len(stream_id) != STREAM_ID_BYTES:
        raise AdminError("Invalid streamId.")
    return stream_id


def _describe(subscription: Subscription) -> Value:
    described: dict[str, Value] = {
        "level": subscription.level,
        "line": subscription.line,
        "dropped": subscription.dropped,
        "internalFile": 0,
        "streamId": subscription.stream_id.hex(),
    }
    if subscription.file:
        described["file"] = subscription.file
    return described
