"""Ping along a label: only the switches on the way are needed.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.5, §10 (a malformed path is answered, not fatal)
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import read_label, read_timeout_s
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices, SwitchPingResult
from dexmesh.admin.values import Answer, Value
from dexmesh.errors import AdminError
from dexmesh.wire.keys import encode_key
from dexmesh.wire.label import format_label

DEFAULT_TIMEOUT_MS = 2000  # 08 §6.5
MAX_DATA_BYTES = 256  # 08 §6.5


def pinger_functions(node: NodeServices) -> list[Function]:
    """SwitchPinger_ping."""

    async def ping(arguments: Arguments, _caller: Caller) -> Answer:
        label = read_label(arguments.required_text("path"), "path was not parsable.")
        data = arguments.octets("data") or b""
        if len(data) > MAX_DATA_BYTES:
            raise AdminError(f"data is too long, max {MAX_DATA_BYTES} bytes")
        timeout_s = read_timeout_s(arguments.number("timeout"), DEFAULT_TIMEOUT_MS)
        is_key_ping = bool(arguments.number("keyPing"))
        return _describe(await node.switch_ping(label, timeout_s, data, is_key_ping))

    return [
        Function(
            "SwitchPinger_ping",
            ping,
            (
                required("path"),
                optional("timeout", Kind.INT),
                optional("data"),
                optional("keyPing", Kind.INT),
            ),
        )
    ]


def _describe(result: SwitchPingResult) -> Answer:
    answer: dict[str, Value] = {
        "result": result.result,
        "ms": result.milliseconds,
        "path": format_label(result.label),
        "version": result.version,
    }
    if result.result == "pong":
        answer["data"] = result.data
    if result.key is not None:
        answer["key"] = encode_key(result.key)
    if result.result == "diff_label" and result.response_label is not None:
        answer["rpath"] = format_label(result.response_label)
    return answer
