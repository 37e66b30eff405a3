"""Ask nodes of the mesh: are you there, whom do you know, who is next.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.5 (`RouterModule_`); docs/protocol/06 §1 (the queries)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dexmesh.admin.functions.forms import (
    ADDRESS_CHARACTERS,
    describe_nodes,
    describe_scheme,
    read_address,
    read_label,
    read_target,
    read_timeout_s,
)
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeAnswer, NodeServices, Query
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.errors import AdminError
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import address_of
from dexmesh.wire.label import NO_LABEL, encode_label, format_label
from dexmesh.wire.node_address import NodeAddress, format_node_address

DEFAULT_TIMEOUT_MS = 3000  # ours; the original adapts it to the network


def router_functions(node: NodeServices) -> list[Function]:
    """The `RouterModule_` functions."""

    async def ping_node(arguments: Arguments, _caller: Caller) -> Answer:
        target = read_target(arguments.required_text("path"))
        timeout_s = read_timeout_s(arguments.number("timeout"), DEFAULT_TIMEOUT_MS)
        return _describe_pong(await node.query_node(target, "pn", b"", timeout_s))

    async def peers_of(arguments: Arguments, _caller: Caller) -> Answer:
        target = read_target(arguments.required_text("path"))
        nearby = arguments.text("nearbyPath")
        label = NO_LABEL if not nearby else read_label(nearby, "parse_nearbyLabel")
        timeout_s = read_timeout_s(arguments.number("timeout"), DEFAULT_TIMEOUT_MS)
        answer = await node.query_node(target, "gp", encode_label(label), timeout_s)
        return _describe_answer(answer, "peers")

    def lookup(arguments: Arguments, _caller: Caller) -> Answer:
        text = arguments.required_text("address")
        if len(text) != ADDRESS_CHARACTERS:
            raise AdminError("address wrong length")
        address = read_address(text, "failed to parse address")
        found = node.next_hop(address)
        if found is None:
            return {"error": NONE, "result": "not found"}
        is_goal = address_of(found.key) == address
        return {"error": NONE, "result": format_label(found.label) if is_goal else _at_label(found)}

    timeout = optional("timeout", Kind.INT)
    about = (required("nodeToQuery"), required("target"), timeout)
    return [
        Function("RouterModule_pingNode", ping_node, (required("path"), timeout)),
        Function(
            "RouterModule_getPeers",
            peers_of,
            (required("path"), timeout, optional("nearbyPath")),
        ),
        Function("RouterModule_findNode", _ask_about(node, "fn"), about),
        Function("RouterModule_nextHop", _ask_about(node, "nh"), about),
        Function("RouterModule_lookup", lookup, (required("address"),)),
    ]


def _ask_about(
    node: NodeServices, query: Query
) -> Callable[[Arguments, Caller], Awaitable[Answer]]:
    """The handler of `findNode` and `nextHop`, which differ in the query only."""

    async def ask(arguments: Arguments, _caller: Caller) -> Answer:
        whom = read_target(arguments.required_text("nodeToQuery"))
        target = read_address(arguments.required_text("target"), "parse_target")
        timeout_s = read_timeout_s(arguments.number("timeout"), DEFAULT_TIMEOUT_MS)
        return _describe_answer(await node.query_node(whom, query, target, timeout_s), "nodes")

    return ask


def _describe_pong(answer: NodeAnswer) -> Answer:
    described: dict[str, Value] = {
        "result": "timeout",
        "ms": answer.milliseconds,
        "version": "unknown",
        "deprecation": "from,protocol,version will soon be removed",
    }
    if answer.sender is not None:
        sender = answer.sender
        described["result"] = "pong"
        described["addr"] = format_node_address(sender)
        described["from"] = _at_label(sender)
        described["protocol"] = sender.version
    return described


def _describe_answer(answer: NodeAnswer, key: str) -> Answer:
    described: dict[str, Value] = {"ms": answer.milliseconds, "error": NONE, "result": "timeout"}
    if answer.sender is not None:
        described["result"] = key
        described[key] = describe_nodes(answer.nodes)
    if answer.scheme is not None:
        described["encodingScheme"] = describe_scheme(answer.scheme)
    return described


def _at_label(node: NodeAddress) -> str:
    return f"{format_padded(address_of(node.key))}@{format_label(node.label)}"
