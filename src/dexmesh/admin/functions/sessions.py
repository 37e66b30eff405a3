"""Show the sessions with nodes, and begin one anew.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.4
"""

from __future__ import annotations

from collections.abc import Callable

from dexmesh.admin.functions.forms import OK, read_address
from dexmesh.admin.paging import newest_first, page_of
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices, SessionView
from dexmesh.admin.values import Answer
from dexmesh.errors import AdminError
from dexmesh.wire.address import format_padded
from dexmesh.wire.node_address import NodeAddress, format_node_address

HANDLES_PER_PAGE = 64  # 08 §5
NO_SUCH_SESSION = "no such session"


def session_functions(node: NodeServices) -> list[Function]:
    """The `SessionManager_` functions."""

    def handles(arguments: Arguments, _caller: Caller) -> Answer:
        sessions = node.sessions()
        shown, has_more = page_of(sessions, arguments.number("page"), HANDLES_PER_PAGE)
        more: Answer = {"more": 1} if has_more else {}
        return {
            "handles": [session.handle for session in newest_first(shown)],
            "total": len(sessions),
            **more,
        }

    def stats(arguments: Arguments, _caller: Caller) -> Answer:
        handle = arguments.required_number("handle")
        return _describe_first(node, lambda session: session.handle == handle)

    def stats_by_address(arguments: Arguments, _caller: Caller) -> Answer:
        address = read_address(arguments.required_text("ip6"), "malformed_ip")
        return _describe_first(node, lambda session: session.address == address)

    def reset(arguments: Arguments, _caller: Caller) -> Answer:
        address = read_address(arguments.required_text("ip6"), "malformed_ip")
        if not node.reset_session(address):
            raise AdminError(NO_SUCH_SESSION)
        return OK

    return [
        Function("SessionManager_getHandles", handles, (optional("page", Kind.INT),)),
        Function("SessionManager_sessionStats", stats, (required("handle", Kind.INT),)),
        Function("SessionManager_sessionStatsByIP", stats_by_address, (required("ip6"),)),
        Function("SessionManager_resetCA", reset, (required("ip6"),)),
    ]


def _describe_first(node: NodeServices, is_meant: Callable[[SessionView], bool]) -> Answer:
    for session in node.sessions():
        if is_meant(session):
            return _describe(session)
    raise AdminError(NO_SUCH_SESSION)


def _describe(session: SessionView) -> Answer:
    return {
        "addr": format_node_address(NodeAddress(session.key, session.label, session.version)),
        "ip6": format_padded(session.address),
        "state": session.state,
        "handle": session.handle,
        "sendHandle": session.send_handle,
        "timeOfLastIn": session.last_in_unix_ms,
        "timeOfLastOut": session.last_out_unix_ms,
        "metric": session.metric,
        "maintainSession": session.is_maintained,
        "duplicates": session.duplicates,
        "lostPackets": session.lost,
        "receivedOutOfRange": session.out_of_range,
    }
