"""Answer the routing queries of others from what the table knows.

Place     pathfinder.py hands queries in -> here -> SendInner along the label they came by
Spec      docs/protocol/06 §3, §4 and §6; the halves of a reference node do not matter: whatever
          the txid begins with, every query is answered
Keeps     one reply at most for a query, at most MAX_NODES entries, only nodes that answered us
          lately on the label we hand out; a session gets at most REPLIES_PER_S a second
Not here  asking (search.py, maintenance.py), layout of messages (wire/dht.py)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from dexmesh.mesh.dht.table import Table
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.limits import Limiter
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, distance, rot
from dexmesh.wire.dht import (
    FIND_NODE,
    GET_PEERS,
    MAX_NODES,
    NEXT_HOP,
    NodeEntry,
    Query,
    Reply,
)
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import MAX_LABEL_BITS, SELF_LABEL, Label, label_length
from dexmesh.wire.scheme import convert, first_director, form_of, label_for
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION

REPLIES_PER_S = 20.0  # ours, 06 §11.6
REPLIES_AT_ONCE = 60.0  # ours
MAX_LIMITED_SESSIONS = 512  # ours

_COMPARED_BITS = 32  # 06 §6.3: nh looks at the first 32 bits of rot only


@dataclass(frozen=True, slots=True)
class Known:
    """A node that may be told of: `label` is our way to it."""

    address: Address
    key: PublicKey
    version: int
    label: Label


class Responder:
    """One per node. Performs no I/O."""

    def __init__(self, identity: Identity, table: Table) -> None:
        self._identity, self._table = identity, table
        self._limiter: Limiter[Address] = Limiter(
            REPLIES_PER_S, REPLIES_AT_ONCE, MAX_LIMITED_SESSIONS
        )
        self._answers: dict[bytes, Callable[[Query, float], list[Known]]] = {
            FIND_NODE: self._find_node,
            GET_PEERS: self._peers_from,
            NEXT_HOP: self._next_hop,
        }

    def answer(self, asker: Address, label: Label, query: Query, now: float) -> Reply | None:
        """The reply to a query that came by `label`; None if the asker asks too often."""
        form = form_of(self._identity.scheme, label)
        if form is None or not self._limiter.allows(asker, now):
            return None
        find = self._answers.get(query.kind)
        found = [] if find is None else find(query, now)
        entries = [entry for entry in (self._entry(known, label) for known in found) if entry]
        return Reply(
            txid=query.txid,
            version=self._identity.version,
            scheme=self._identity.scheme,
            form=form,
            nodes=tuple(entries),
        )

    def _entry(self, known: Known, asker: Label) -> NodeEntry | None:
        """The node as the asker can use it: its label widened for the way back (06 §4.1)."""
        label = label_for(known.label, asker, self._identity.scheme)
        if known.label == SELF_LABEL:
            label = SELF_LABEL
        if label is None or label_length(label) > MAX_LABEL_BITS:
            return None
        return NodeEntry(known.key, label, known.version)

    def _find_node(self, query: Query, now: float) -> list[Known]:
        """Up to 8 nodes round the target in the order of `rot`, the nearest last (06 §6.1)."""
        target = query.target_address()
        if target is None:
            return []
        ranked = sorted(self._known(now), key=lambda known: rot(known.address))
        after = bisect_left([rot(known.address) for known in ranked], rot(target))
        after = min(after, len(ranked) - 1)
        before = after - 1
        found: list[Known] = []
        while len(found) < MAX_NODES and (before >= 0 or after < len(ranked)):
            if before < 0 or (
                after < len(ranked)
                and distance(ranked[after].address, target)
                < distance(ranked[before].address, target)
            ):
                candidate, after = ranked[after], after + 1
            else:
                candidate, before = ranked[before], before - 1
            if candidate.address != self._identity.address:
                found.append(candidate)
        return found[::-1]

    def _peers_from(self, query: Query, now: float) -> list[Known]:
        """Our peers and ourselves from a label on, the 8 smallest, descending (06 §6.2)."""
        label = query.target_label()
        if label is None:
            return []
        first = self._first_peer_label(label)
        if first is None:
            return []
        peers = [known for known in [self._own(), *self._known_peers()] if known.label >= first]
        return sorted(peers, key=lambda known: known.label)[:MAX_NODES][::-1]

    def _first_peer_label(self, label: Label) -> Label | None:
        """The label cut to one hop, in its canonical form, since we may have handed it out wider.

        None if it names nothing here.
        """
        if label <= SELF_LABEL:
            return label
        director = first_director(self._identity.scheme, label)
        if director is None:
            return None
        width = director.width
        one_hop = Label(label & ((1 << width) - 1) | 1 << width)
        return convert(self._identity.scheme, one_hop) or one_hop

    def _next_hop(self, query: Query, now: float) -> list[Known]:
        """The target, or the first node on the way outward that is nearer to it (06 §6.3)."""
        target = query.target_address()
        if target is None:
            return []
        outward = sorted(self._known(now), key=lambda known: label_length(known.label))
        mine = _coarse_distance(self._identity.address, target)
        nearer = [known for known in outward if _coarse_distance(known.address, target) < mine]
        exact = [known for known in outward if known.address == target]
        return [*exact, *nearer][:1]

    def _known(self, now: float) -> list[Known]:
        """Ourselves, our peers, and the nodes that answered us lately."""
        known = {one.address: one for one in [self._own(), *self._known_peers()[::-1]]}
        for node in self._table.nodes():
            if node.address in known or node.version < MINIMUM_ROUTED_VERSION:
                continue
            label = self._table.proved_label_to(node, now)
            if label is not None:
                known[node.address] = Known(node.address, node.key, node.version, label)
        return list(known.values())

    def _known_peers(self) -> list[Known]:
        return [
            Known(peer.address, peer.key, peer.version, peer.label) for peer in self._table.peers()
        ]

    def _own(self) -> Known:
        own = self._identity
        return Known(own.address, own.key, own.version, SELF_LABEL)


def _coarse_distance(a: Address, b: Address) -> int:
    return distance(a, b) >> (128 - _COMPARED_BITS)
