"""Show the table of known nodes, the links between them, and labels made of both.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.5 (`NodeStore_`)
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import describe_scheme, read_address, read_label
from dexmesh.admin.paging import newest_first, page_of
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import LinkView, NodeServices, NodeView, RouteView
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import encode_key
from dexmesh.wire.label import format_label
from dexmesh.wire.node_address import format_node_address

NODES_PER_PAGE = 4  # 08 §5


def nodestore_functions(node: NodeServices) -> list[Function]:
    """The `NodeStore_` functions that show what we keep."""

    def dump_table(arguments: Arguments, _caller: Caller) -> Answer:
        routes = node.routes()
        shown, _ = page_of(routes, arguments.required_number("page"), NODES_PER_PAGE)
        more: Answer = {"more": 1} if len(shown) == NODES_PER_PAGE else {}
        return {
            "routingTable": [_describe_route(route) for route in newest_first(shown)],
            "count": len(routes),
            "peers": sum(route.is_peer for route in routes),
            "deprecation": "ip,path,version will soon be removed",
            **more,
        }

    def link(arguments: Arguments, _caller: Caller) -> Answer:
        text = arguments.text("parent")
        parent = node.address if not text else read_address(text, "parse_parent")
        links = node.links(parent)
        number = arguments.required_number("linkNum")
        if not 0 <= number < len(links):
            return {"error": "not_found", "result": {}}
        return {"error": NONE, "result": _describe_link(links[number])}

    def node_for_address(arguments: Arguments, _caller: Caller) -> Answer:
        text = arguments.text("ip")
        found = node.node(node.address if not text else read_address(text, "parse_ip"))
        return {"error": NONE, "result": {} if found is None else _describe_node(found)}

    def route_label(arguments: Arguments, _caller: Caller) -> Answer:
        to_parent = read_label(arguments.required_text("pathToParent"), "parse_pathToParent")
        to_child = read_label(
            arguments.required_text("pathParentToChild"), "parse_pathParentToChild"
        )
        return {"error": NONE, "result": format_label(node.join_labels(to_parent, to_child))}

    return [
        Function(
            "NodeStore_dumpTable", dump_table, (required("page", Kind.INT),), needs_auth=False
        ),
        Function(
            "NodeStore_getLink",
            link,
            (required("linkNum", Kind.INT), optional("parent")),
            needs_auth=False,
        ),
        Function("NodeStore_nodeForAddr", node_for_address, (optional("ip"),), needs_auth=False),
        Function(
            "NodeStore_getRouteLabel",
            route_label,
            (required("pathToParent"), required("pathParentToChild")),
        ),
    ]


def _describe_route(route: RouteView) -> Value:
    return {
        "addr": format_node_address(route.node),
        "ip": format_padded(route.address),
        "path": format_label(route.node.label),
        "link": route.cost,
        "version": route.node.version,
        "time": route.last_seen_ms_ago,
        "bucket": route.bucket,
    }


def _describe_link(link: LinkView) -> Value:
    return {
        "parent": format_node_address(link.parent),
        "child": format_node_address(link.child),
        "cannonicalLabel": format_label(link.label),  # spelt so on the wire
        "linkCost": link.cost,
        "isOneHop": link.is_one_hop,
        "bestParent": link.is_best_parent,
        "inverseLinkEncodingFormNumber": link.inverse_form,
    }


def _describe_node(found: NodeView) -> Value:
    return {
        "key": encode_key(found.route.node.key),
        "protocolVersion": found.route.node.version,
        "linkCount": found.link_count,
        "cost": found.route.cost,
        "encodingScheme": describe_scheme(found.scheme),
        "routeLabel": format_label(found.route.node.label),
        "bestParent": {
            "ip": format_padded(found.best_parent),
            "parentChildLabel": format_label(found.label_from_parent),
            "isOneHop": found.is_one_hop,
        },
    }
