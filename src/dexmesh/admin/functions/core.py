"""Say who the node is, end it, and give or take its TUN device.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.1
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import OK, describe_scheme
from dexmesh.admin.registry import Arguments, Caller, Function, optional
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import NONE, Answer
from dexmesh.errors import AdminError, HostError
from dexmesh.wire.address import format_padded
from dexmesh.wire.label import SELF_LABEL
from dexmesh.wire.node_address import NodeAddress, format_node_address
from dexmesh.wire.scheme import encode_scheme


def core_functions(node: NodeServices) -> list[Function]:
    """The `Core_` functions."""

    def node_info(_arguments: Arguments, _caller: Caller) -> Answer:
        return {
            "myAddr": format_node_address(NodeAddress(node.key, SELF_LABEL, node.version)),
            "myIp6": format_padded(node.address),
            "compressedSchemeHex": encode_scheme(node.scheme).hex(),
            "encodingScheme": describe_scheme(node.scheme),
            "version": node.version,
            "error": NONE,
        }

    def pid(_arguments: Arguments, _caller: Caller) -> Answer:
        return {"pid": node.process().pid}

    def end(_arguments: Arguments, _caller: Caller) -> Answer:
        node.exit()
        return OK

    async def init_tunnel(arguments: Arguments, _caller: Caller) -> Answer:
        try:
            await node.start_tun(arguments.text("desiredTunName") or None)
        except HostError as error:
            raise AdminError(f"Failed to configure tunnel [{error}]", error.hint) from error
        return OK

    def stop_tun(_arguments: Arguments, _caller: Caller) -> Answer:
        if not node.stop_tun():
            raise AdminError("no tun currently configured")
        return OK

    return [
        Function("Core_nodeInfo", node_info, needs_auth=False),
        Function("Core_pid", pid, needs_auth=False),
        Function("Core_exit", end),
        Function("Core_initTunnel", init_tunnel, (optional("desiredTunName"),)),
        Function("Core_stopTun", stop_tun),
    ]
