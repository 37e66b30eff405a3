"""Find the cheapest way to every node over the links that nodes have told of.

Place     table.py keeps the links -> here -> labels for pathfinder, searches, maintenance
Spec      docs/protocol/06 §7 (best path); docs/protocol/03 §4.3 (widening on the way)
Keeps     a label is made only if it fits, and every transit director is as wide as the way back
          needs, as far as it is known; same links, same tree
Not here  learning links (table.py)
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol

from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.label import SELF_LABEL, Label
from dexmesh.wire.scheme import (
    EncodingScheme,
    Hop,
    build_route,
    encode_director,
    first_director,
    one_hop_label,
)

PENALTY = 16  # ours: a failed link is worth as many hops as the longest label has
UNREACHABLE = (1 << 32) - 1  # 06 §7: a link cost that means unusable

_MOST_FAILURES = 8  # ours: more change nothing


@dataclass(slots=True)
class Link:
    """`parent` reaches `child` by its interface number `interface`; handed out in form `form`."""

    parent: Address
    interface: int
    form: int
    child: Address
    seen_at: float
    failures: int = 0
    failed_at: float = 0.0

    @property
    def cost(self) -> int:
        """One hop, more if it failed."""
        return 1 + PENALTY * min(self.failures, _MOST_FAILURES)


class LinkedNode(Protocol):
    """A node with its links, as this file needs it."""

    @property
    def address(self) -> Address: ...
    @property
    def scheme(self) -> EncodingScheme: ...
    @property
    def links(self) -> Mapping[int, Link]: ...


@dataclass(frozen=True, slots=True)
class _Branch:
    cost: int
    hops: int
    link: Link | None


class Tree:
    """The result: for every node we can reach its cost, its best parent, and its label."""

    def __init__(
        self, own: LinkedNode, nodes: Mapping[Address, LinkedNode], branches: dict[Address, _Branch]
    ) -> None:
        self._own, self._nodes, self._branches = own, nodes, branches
        self._labels: dict[Address, Label | None] = {own.address: SELF_LABEL}

    def cost_of(self, address: Address) -> int:
        """The sum of the link costs, UNREACHABLE if no links lead there."""
        branch = self._branches.get(address)
        return UNREACHABLE if branch is None else branch.cost

    def hops_to(self, address: Address) -> int | None:
        """How many links lead there; None if none do."""
        branch = self._branches.get(address)
        return None if branch is None else branch.hops

    def best_link_to(self, address: Address) -> Link | None:
        """The last link of the best way; None for ourselves and what no links lead to."""
        branch = self._branches.get(address)
        return None if branch is None else branch.link

    def label_to(self, address: Address) -> Label | None:
        """The label of the best way; None if there is none or it does not fit."""
        if address not in self._labels:
            self._labels[address] = self._make_label(address)
        return self._labels[address]

    def _make_label(self, address: Address) -> Label | None:
        links: list[Link] = []
        link = self.best_link_to(address)
        while link is not None:
            links.append(link)
            link = self.best_link_to(link.parent)
        if not links:
            return None
        links.reverse()
        transit = [
            _hop_over(self._nodes[onward.parent], link, onward) for link, onward in pairwise(links)
        ]
        return build_route(one_hop_label(links[0].interface, self._own.scheme), transit)


def grow_tree(own: LinkedNode, nodes: Mapping[Address, LinkedNode]) -> Tree:
    """Walk outward from ourselves, cheapest first; of equal ways the one with fewer hops."""
    branches: dict[Address, _Branch] = {}
    heap: list[tuple[int, int, int, Address, Link | None]] = [(0, 0, 0, own.address, None)]
    order = 0
    while heap:
        cost, hops, _, address, link = heapq.heappop(heap)
        node = nodes.get(address)
        if address in branches or node is None:
            continue
        branches[address] = _Branch(cost, hops, link)
        for onward in node.links.values():
            if onward.child not in branches:
                order += 1
                entry = (cost + onward.cost, hops + 1, order, onward.child, onward)
                heapq.heappush(heap, entry)
    return Tree(own, nodes, branches)


def follow(
    own: LinkedNode, nodes: Mapping[Address, LinkedNode], label: Label
) -> tuple[list[Link], bool]:
    """The links a label consists of, as far as they are known, and whether that is all of it."""
    links: list[Link] = []
    node: LinkedNode | None = own
    while label > SELF_LABEL and node is not None:
        director = first_director(node.scheme, label)
        link = None if director is None else node.links.get(director.interface)
        if director is None or link is None:
            return links, False
        links.append(link)
        label = Label(label >> director.width)
        node = nodes.get(link.child)
    return links, label == SELF_LABEL


def _hop_over(node: LinkedNode, link: Link, onward: Link) -> Hop:
    """How a route passes `node`: it arrives by `link` and leaves by `onward`.

    If the node did not tell by which interface it sees the node before, the form in which it
    handed out the onward link has to do: it fitted the way by which we asked.
    """
    back = [one.interface for one in node.links.values() if one.child == link.parent]
    towards_next = one_hop_label(onward.interface, node.scheme)
    if back:
        towards_previous = max(one_hop_label(number, node.scheme) for number in back)
    else:
        towards_previous = _label_in_form(node.scheme, onward.interface, onward.form)
    return Hop(towards_previous, towards_next, node.scheme)


def _label_in_form(scheme: EncodingScheme, interface: int, form: int) -> Label:
    director = encode_director(scheme, interface, form)
    if director is None:
        return one_hop_label(interface, scheme)
    return Label(1 << scheme.forms[form].width | director)
