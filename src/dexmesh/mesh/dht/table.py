"""Remember nodes, the links between them, and the ways on which they answered us.

Place     pathfinder.py feeds answers, silences and peers in; responder, searches, maintenance read
Spec      docs/protocol/06 §7 says what the reference keeps; ours is a map of links
Keeps     at most MAX_NODES nodes that are no peers and MAX_LINKS links; a way is proved only by an
          answer of the node at its end, and proves the links it consists of
Not here  choosing among links (tree.py), asking (maintenance.py, search.py)
"""

from __future__ import annotations

from collections.abc import Iterable

from dexmesh.mesh.dht.tree import PENALTY, Link, Tree, follow, grow_tree
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.peers import Peer
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address, bucket
from dexmesh.wire.dht import NodeEntry
from dexmesh.wire.keys import PublicKey, address_of
from dexmesh.wire.label import Label, label_length, routes_through, splice
from dexmesh.wire.scheme import (
    V358,
    EncodingScheme,
    first_director,
    is_one_hop,
    is_self,
    smallest_form,
)
from dexmesh.wire.versions import MINIMUM_ROUTED_VERSION

MAX_NODES = 256  # ours; the reference has 128 (06 §7)
MAX_LINKS = 4096  # 06 §7
MAX_LINKS_PER_NODE = 256  # 03 §5: what a switch holds
MAX_WAYS = 4  # ours: labels remembered for one node
FORGIVE_S = 30.0  # ours: a failed link that its node still tells of is tried again after this
FRESH_S = 300.0  # ours: how long an answer counts as recent (06 §11.3)

_BEST_IN_BUCKET = 4  # 06 §7
_WAY_FAILURES = 3  # ours: silences in a row that end a way
_BITS_PER_HOP = 4  # ours: a guess for hops we cannot follow
_UNPROVED_COST = 1  # ours: how much a hop count must be better to prefer what nobody proved


@dataclass(slots=True)
class Way:
    """A whole label to a node: told by somebody, or proved by an answer at `proved_at`."""

    label: Label
    proved_at: float | None = None
    failures: int = 0


@dataclass(slots=True)
class Node:
    """What is known of one node. `heard_at` is when it last answered us, None for never."""

    address: Address
    key: PublicKey
    version: int
    scheme: EncodingScheme = V358
    links: dict[int, Link] = field(default_factory=dict)
    ways: dict[Label, Way] = field(default_factory=dict)
    heard_at: float | None = None
    silences: int = 0
    ask_at: float = 0.0
    interval_s: float = 0.0


class Table:
    """Every node we know of, and ourselves. Performs no I/O and never reads a clock."""

    def __init__(self, identity: Identity) -> None:
        self.own = Node(identity.address, identity.key, identity.version, identity.scheme)
        self._nodes: dict[Address, Node] = {identity.address: self.own}
        self._peers: dict[Label, Peer] = {}
        self._tree: Tree | None = None

    # --- Reading -----------------------------------------------------------------------------

    def node(self, address: Address) -> Node | None:
        """The node of this address."""
        return self._nodes.get(address)

    def nodes(self) -> list[Node]:
        """Every node but ourselves, in the order we heard of them."""
        return [node for node in self._nodes.values() if node is not self.own]

    def peers(self) -> list[Peer]:
        """The peers whose links are up, by ascending label."""
        return [self._peers[label] for label in sorted(self._peers)]

    def is_peer(self, address: Address) -> bool:
        """Whether a link of ours leads to this node."""
        return any(link.child == address for link in self.own.links.values())

    def tree(self) -> Tree:
        """The cheapest way over known links to every node."""
        if self._tree is None:
            self._tree = grow_tree(self.own, self._nodes)
        return self._tree

    def label_to(self, address: Address, avoid: Iterable[Label] = ()) -> Label | None:
        """The best label to a node: few hops, no failures, rather proved than not."""
        node = self._nodes.get(address)
        if node is None:
            return None
        shunned = tuple(avoid)
        choices = [
            (self._way_cost(way), label_length(way.label), way.label)
            for way in node.ways.values()
            if way.label not in shunned
        ]
        grown = self.tree().label_to(address)
        if grown is not None and grown not in shunned and grown not in node.ways:
            cost = self.tree().cost_of(address) + _UNPROVED_COST
            choices.append((cost, label_length(grown), grown))
        return min(choices)[2] if choices else None

    def proved_label_to(self, node: Node, now: float) -> Label | None:
        """The best label on which a node answered lately, for telling others (06 §11.3)."""
        choices = [
            (self._way_cost(way), label_length(way.label), way.label)
            for way in node.ways.values()
            if way.proved_at is not None
            and now - way.proved_at < FRESH_S
            and self._way_cost(way) < PENALTY
        ]
        return min(choices)[2] if choices else None

    def cost_of(self, label: Label) -> int:
        """Hops of a label, and a penalty for what failed on it."""
        links, is_whole = follow(self.own, self._nodes, label)
        known = sum(link.cost for link in links)
        if is_whole:
            return known
        return known + max(label_length(label) // _BITS_PER_HOP - len(links), 1)

    def nodes_on(self, label: Label) -> list[tuple[Node, Label]]:
        """The nodes on the way of a label, nearest first, each with its own label."""
        stops: list[tuple[Node, Label]] = []
        bits, rest, scheme = 0, label, self.own.scheme
        for link in follow(self.own, self._nodes, label)[0]:
            director = first_director(scheme, rest)
            node = self._nodes.get(link.child)
            if director is None or node is None:
                break
            bits += director.width
            rest = Label(rest >> director.width)
            scheme = node.scheme
            stops.append((node, Label(label & ((1 << bits) - 1) | 1 << bits)))
        return stops

    # --- Peers -------------------------------------------------------------------------------

    def learn_peer(self, peer: Peer, now: float) -> Node | None:
        """A link of ours is up: a node at one hop."""
        node = self.learn_node(peer.key, peer.version, now)
        if node is None:
            return None
        self._peers[peer.label] = peer
        form = smallest_form(self.own.scheme, peer.slot) or 0
        self.own.links[peer.slot] = Link(self.own.address, peer.slot, form, node.address, now)
        self._tree = None
        return node

    def forget_peer(self, peer: Peer) -> None:
        """A link of ours is down: every way that begins with it is worth nothing."""
        self._peers.pop(peer.label, None)
        self.own.links.pop(peer.slot, None)
        for node in self._nodes.values():
            for label in [way for way in node.ways if routes_through(way, peer.label)]:
                del node.ways[label]
        self._tree = None

    # --- Learning ----------------------------------------------------------------------------

    def learn_node(
        self, key: PublicKey, version: int, now: float, label: Label | None = None
    ) -> Node | None:
        """Somebody told of a node, and maybe of a way to it.

        None if it is ourselves, too old for us, or there is no room for it.
        """
        address = address_of(key)
        if address == self.own.address or version < MINIMUM_ROUTED_VERSION:
            return None
        node = self._nodes.get(address)
        if node is None:
            if not self._make_room():
                return None
            node = self._nodes[address] = Node(address, key, version, ask_at=now)
        if node.heard_at is None:
            node.version = version
        if label is not None:
            self._learn_way(node, label)
        return node

    def learn_answer(
        self, key: PublicKey, version: int, scheme: EncodingScheme, label: Label, now: float
    ) -> Node | None:
        """A node answered what we sent along `label`: the way and its links are proved."""
        node = self.learn_node(key, version, now, label)
        if node is None:
            return None
        if node.scheme != scheme:
            node.links.clear()
            node.scheme = scheme
            self._tree = None
        node.version, node.heard_at, node.silences = version, now, 0
        way = node.ways.get(label)
        if way is not None:
            way.proved_at, way.failures = now, 0
        for link in follow(self.own, self._nodes, label)[0]:
            if link.failures:
                link.failures = 0
                self._tree = None
        return node

    def learn_silence(self, address: Address, label: Label, now: float) -> None:
        """A node did not answer what we sent along `label`: its last link is suspect.

        If we do not know the links of the way, the way itself is.
        """
        node = self._nodes.get(address)
        if node is None:
            return
        node.silences += 1
        links, is_whole = follow(self.own, self._nodes, label)
        way = node.ways.get(label)
        if links and is_whole:
            self.fail_link(links[-1], now)
        elif way is not None:
            way.failures += 1
            if way.failures >= _WAY_FAILURES:
                del node.ways[label]

    def fail_link(self, link: Link, now: float) -> None:
        """A link seems not to carry packets: avoid it until something proves it again."""
        link.failures += 1
        link.failed_at = now
        self._tree = None

    def learn_link(
        self, parent: Node, label: Label, key: PublicKey, version: int, now: float
    ) -> Link | None:
        """`parent` says that its one-hop label `label` leads to the node of this key."""
        director = first_director(parent.scheme, label)
        child = address_of(key)
        if director is None or not is_one_hop(parent.scheme, label):
            return None
        if is_self(parent.scheme, label) or child == parent.address or parent is self.own:
            return None
        if child != self.own.address and self.learn_node(key, version, now) is None:
            return None
        known = parent.links.get(director.interface)
        if known is not None and known.child == child:
            known.seen_at = now
            if known.failures and now - known.failed_at >= FORGIVE_S:
                known.failures, self._tree = 0, None
            return known
        if known is not None:
            parent.links.clear()  # 06 §7: its switch was renumbered
        if self._link_count() >= MAX_LINKS or len(parent.links) >= MAX_LINKS_PER_NODE:
            return None
        link = Link(parent.address, director.interface, director.form, child, now)
        parent.links[director.interface] = link
        self._tree = None
        return link

    def learn_hint(self, entry: NodeEntry, via: Label, now: float) -> Node | None:
        """A node reached by `via` told of another: a way that nobody proved yet."""
        label = splice(entry.label, via)
        if label is None:
            return None
        return self.learn_node(entry.key, entry.version, now, label)

    def retain_links(self, parent: Node, interfaces: Iterable[int]) -> bool:
        """`parent` has told all its links: forget the others; whether there were any."""
        told = frozenset(interfaces)
        gone = [number for number in parent.links if number not in told]
        for number in gone:
            del parent.links[number]
        if gone:
            self._tree = None
        return bool(gone)

    def forget_node(self, node: Node) -> None:
        """Let a node go, with its links."""
        self._nodes.pop(node.address, None)
        self._tree = None

    # --- Inside ------------------------------------------------------------------------------

    def _way_cost(self, way: Way) -> int:
        """Like `cost_of`; its own failures count as long as nobody told of all its links."""
        cost = self.cost_of(way.label)
        if way.failures and not follow(self.own, self._nodes, way.label)[1]:
            cost += PENALTY * way.failures
        return cost if way.proved_at is not None else cost + _UNPROVED_COST

    def _learn_way(self, node: Node, label: Label) -> None:
        if label in node.ways:
            return
        node.ways[label] = Way(label)
        if len(node.ways) > MAX_WAYS:
            worst = max(node.ways.values(), key=lambda way: (self._way_cost(way), way.label))
            del node.ways[worst.label]

    def _link_count(self) -> int:
        return sum(len(node.links) for node in self._nodes.values())

    def _make_room(self) -> bool:
        """Whether one more node fits; the least useful one goes if it must (06 §7)."""
        own_children = {link.child for link in self.own.links.values()}
        others = [node for node in self.nodes() if node.address not in own_children]
        if len(others) < MAX_NODES:
            return True
        strangers = [node for node in others if node.heard_at is None]
        victim = strangers[0] if strangers else self._most_expensive(others)
        if victim is None:
            return False
        self.forget_node(victim)
        return True

    def _most_expensive(self, others: list[Node]) -> Node | None:
        """The node with the worst way among those that are not the best of their bucket."""
        costs = {node.address: self._cheapest(node) for node in others}
        by_bucket: dict[int, list[Node]] = {}
        for node in sorted(others, key=lambda node: costs[node.address]):
            by_bucket.setdefault(bucket(self.own.address, node.address), []).append(node)
        spare = [node for nodes in by_bucket.values() for node in nodes[_BEST_IN_BUCKET:]]
        return max(spare, key=lambda node: costs[node.address], default=None)

    def _cheapest(self, node: Node) -> int:
        costs = [self._way_cost(way) for way in node.ways.values()]
        return min([*costs, self.tree().cost_of(node.address)])
