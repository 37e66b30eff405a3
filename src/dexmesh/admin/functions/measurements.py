"""Show what the node uses and what it drops.

Place     assembly.py registers them -> NodeServices, server.py
Spec      docs/protocol/08 §6.1 (Allocator_bytesAllocated); Dexmesh_dropCounts is ours
"""

from __future__ import annotations

from collections.abc import Mapping

from dexmesh.admin.registry import Arguments, Caller, Function
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import NONE, Answer


def measurement_functions(node: NodeServices, own_drops: Mapping[str, int]) -> list[Function]:
    """How much memory, how many drops by reason (those of the admin port included)."""

    def bytes_allocated(_arguments: Arguments, _caller: Caller) -> Answer:
        return {"bytes": node.allocated_bytes()}

    def drop_counts(_arguments: Arguments, _caller: Caller) -> Answer:
        counts = {**node.drop_counts(), **own_drops}
        return {"drops": {reason: n for reason, n in counts.items() if n}, "error": NONE}

    return [
        Function("Allocator_bytesAllocated", bytes_allocated),
        Function("Dexmesh_dropCounts", drop_counts, needs_auth=False),
    ]
