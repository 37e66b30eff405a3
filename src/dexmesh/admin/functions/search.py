"""Search the mesh for a node, and tell of every answer on the way.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.5 (`SearchRunner_`)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from dexmesh.admin.functions.forms import describe_nodes, read_address
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.errors import AdminError
from dexmesh.wire.address import format_padded
from dexmesh.wire.node_address import format_node_address

MOST_REQUESTS = 60  # ours: when the caller names no limit, or a larger one


def search_functions(node: NodeServices) -> list[Function]:
    """The `SearchRunner_` functions."""

    async def search(arguments: Arguments, _caller: Caller) -> AsyncGenerator[Answer, None]:
        try:
            address = read_address(arguments.required_text("ipv6"), "ipv6 invalid")
        except AdminError as error:
            yield {"error": error.wire_text}
            return
        asked = arguments.number("maxRequests")
        most = MOST_REQUESTS if asked is None or asked < 1 else min(asked, MOST_REQUESTS)
        async with aclosing(node.search(address, most)) as steps:
            async for step in steps:
                yield {
                    "from": format_node_address(step.sender),
                    "ms": step.milliseconds,
                    "nodes": describe_nodes(step.nodes),
                }
        yield {"complete": 1, "error": NONE}

    def show(arguments: Arguments, _caller: Caller) -> Answer:
        active = node.active_searches()
        answer: dict[str, Value] = {"activeSearches": len(active), "error": NONE}
        number = arguments.required_number("number")
        if 0 <= number < len(active):
            chosen = active[number]
            answer["target"] = format_padded(chosen.target)
            answer["totalRequests"] = chosen.requests
            if chosen.last_asked is not None:
                answer["lastNodeAsked"] = format_node_address(chosen.last_asked)
        return answer

    return [
        Function(
            "SearchRunner_search",
            search,
            (required("ipv6"), optional("maxRequests", Kind.INT)),
        ),
        Function("SearchRunner_showActiveSearch", show, (required("number", Kind.INT),)),
    ]
