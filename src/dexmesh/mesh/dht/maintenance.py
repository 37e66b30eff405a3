"""Keep the map of links fresh: ask nodes for their peers, new ones soon, known ones seldom.

Place     pathfinder.py tells of peers and time -> Queries; answers go into table.py
Spec      docs/protocol/06 §9 for the reference's traffic, §11.3-11.4 for ours
Keeps     PARALLEL queries open; a burst when the network is new to us, then about one query in
          five seconds whatever the size of the table
Not here  searching for one node (search.py), answering (responder.py)
"""

from __future__ import annotations

from dexmesh.mesh.dht.table import Node, Table
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.limits import TokenBucket
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.queries import Answer, Asked, Queries, Target
from dexmesh.mesh.randomness import Random
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address, bucket
from dexmesh.wire.dht import FIND_NODE, GET_PEERS, MAX_NODES, NodeEntry
from dexmesh.wire.label import NO_LABEL, Label, encode_label, label_length
from dexmesh.wire.scheme import EncodingScheme, convert

PARALLEL = 3  # ours
BURST = 40.0  # ours: queries at once when a peer comes up
EAGER_PER_S = 1.0  # ours: in the first minute after that
QUIET_PER_S = 0.2  # ours: later
EAGER_S = 60.0  # ours
FIRST_REFRESH_S = 1.0  # ours: a node whose links changed is asked again this soon
SHORTEST_REFRESH_S = 30.0  # ours: a node whose links stay the same, in a small table
REFRESH_PER_NODE_S = 5.0  # ours: the same in a large one, times its size
LONGEST_BACK_OFF_S = 60.0  # ours: a node that is silent
KEYSPACE_S = 20.0  # ours: between two questions for far away addresses
MAX_PAGES = 32  # 06 §6.2: 256 peers at 8 a page

_STRANGER_SILENCES = 4  # ours: a node that never answered is forgotten then
_KNOWN_SILENCES = 8  # ours: one that did


@dataclass(slots=True)
class _Round:
    """One reading of all peers of a node, page by page."""

    interfaces: dict[int, None] = field(default_factory=dict)
    pages: int = 0
    has_news: bool = False


class Maintenance:
    """One per node. It is the `Asker` of its queries. Performs no I/O."""

    def __init__(self, identity: Identity, table: Table, queries: Queries, random: Random) -> None:
        self._identity, self._table, self._queries = identity, table, queries
        self._random = random
        self._rounds: dict[Address, _Round] = {}
        self._budget = TokenBucket(QUIET_PER_S, BURST, 0.0)
        self._budget_at = 0.0
        self._eager_until = 0.0
        self._keyspace_at: float | None = None

    def handle_peer_up(self, peer: Peer, now: float) -> None:
        """A new peer is asked at once, whatever the budget says (06 §9)."""
        self._eager_until = now + EAGER_S
        self._budget.tokens = BURST
        if self._keyspace_at is None:
            self._keyspace_at = now + KEYSPACE_S * self._random.random()
        node = self._table.node(peer.address)
        if node is not None:
            self._ask(node, now, Label(0), peer.label)

    def handle_answer(self, answer: Answer, now: float) -> None:
        """Enter the links a node has told of, and ask for its next page if there is one."""
        node = self._table.node(answer.asked.target.address)
        if node is None:
            self._rounds.pop(answer.asked.target.address, None)
        elif answer.asked.kind == GET_PEERS:
            self._learn_page(node, answer, now)

    def handle_silence(self, asked: Asked, now: float) -> None:
        """Ask again later; a node that is silent for long is forgotten, unless it is a peer."""
        self._rounds.pop(asked.target.address, None)
        node = self._table.node(asked.target.address)
        if node is None or asked.kind == FIND_NODE:
            return
        node.ask_at = now + min(0.5 * 2**node.silences, LONGEST_BACK_OFF_S)
        most = _STRANGER_SILENCES if node.heard_at is None else _KNOWN_SILENCES
        if node.silences >= most and not self._table.is_peer(node.address):
            self._table.forget_node(node)

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next node is due and may be asked."""
        times = [] if self._keyspace_at is None else [(self._keyspace_at, "keyspace query")]
        if len(self._rounds) < PARALLEL:
            due = [node.ask_at for node in self._askable()]
            if due:
                may = self._budget.next_token(self._budget_at)
                times.append((max(min(due), may), "table refresh"))
        return min(times, default=None)

    def handle_timeout(self, now: float) -> None:
        """Ask the nodes that are due, near ones first."""
        self._budget_at = now
        self._budget.per_second = EAGER_PER_S if now < self._eager_until else QUIET_PER_S
        due = [node for node in self._askable() if node.ask_at <= now]
        due.sort(key=lambda node: (self._table.tree().cost_of(node.address), node.ask_at))
        for node in due:
            if len(self._rounds) >= PARALLEL or not self._budget.take(now):
                break
            self._ask(node, now)
        if self._keyspace_at is not None and self._keyspace_at <= now:
            self._keyspace_at = now + KEYSPACE_S * (0.5 + self._random.random())
            self._ask_keyspace(now)

    def _askable(self) -> list[Node]:
        return [node for node in self._table.nodes() if node.address not in self._rounds]

    def _ask(
        self, node: Node, now: float, first: Label = NO_LABEL, via: Label | None = None
    ) -> None:
        """Send `gp`. A node without a way to it is looked at again soon: a way may be told of next."""
        label = self._table.label_to(node.address) if via is None else via
        if label is not None:
            target = Target(node.address, node.key, node.version, label)
            if self._queries.start(target, GET_PEERS, now, self, encode_label(first)):
                node.ask_at = now + LONGEST_BACK_OFF_S
                self._rounds.setdefault(node.address, _Round())
                return
        self._rounds.pop(node.address, None)
        self._schedule(node, has_news=False, now=now)

    def _learn_page(self, node: Node, answer: Answer, now: float) -> None:
        """Enter one page; the last one tells which of the links known before are gone."""
        reading = self._rounds.get(node.address)
        seen = _Round() if reading is None else reading
        for entry in answer.reply.nodes:
            self._learn_entry(node, entry, seen, now)
        if reading is None:
            return  # too late: another reading may have begun and ended since
        reading.pages += 1
        further = _next_page(answer, node.scheme)
        if further is not None and reading.pages < MAX_PAGES:
            self._ask(node, now, further, answer.asked.target.label)
            return
        self._rounds.pop(node.address, None)
        if answer.reply.nodes and self._table.retain_links(node, reading.interfaces):
            reading.has_news = True
        self._schedule(node, reading.has_news, now)

    def _learn_entry(self, node: Node, entry: NodeEntry, reading: _Round, now: float) -> None:
        before = len(node.links)
        link = self._table.learn_link(node, entry.label, entry.key, entry.version, now)
        if link is not None:
            reading.interfaces[link.interface] = None
            reading.has_news = reading.has_news or len(node.links) != before

    def _schedule(self, node: Node, has_news: bool, now: float) -> None:
        """Soon again if something changed, else less and less often."""
        size = len(self._table.nodes())
        longest = max(SHORTEST_REFRESH_S, REFRESH_PER_NODE_S * size)
        node.interval_s = FIRST_REFRESH_S if has_news else min(node.interval_s * 2, longest)
        node.interval_s = max(node.interval_s, FIRST_REFRESH_S)
        node.ask_at = now + node.interval_s * (0.75 + 0.5 * self._random.random())

    def _ask_keyspace(self, now: float) -> None:
        """Ask somebody for the far side of what he and we know (06 §9, source c); what he tells is
        learned like every answer to `fn` (pathfinder.py).
        """
        nodes = [node for node in self._table.nodes() if node.heard_at is not None]
        if not nodes:
            return
        node = nodes[self._random.randrange(0, len(nodes))]
        label = self._table.label_to(node.address)
        if label is not None:
            far = _inverted(self._identity.address, bucket(self._identity.address, node.address))
            target = Target(node.address, node.key, node.version, label)
            self._queries.start(target, FIND_NODE, now, self, far)


def _next_page(answer: Answer, scheme: EncodingScheme) -> Label | None:
    """Where the next page of `gp` begins; None if this was the last (06 §6.2).

    In canonical form, since we may have been given a wider one.
    """
    entries = answer.reply.nodes
    if len(entries) < MAX_NODES:
        return None
    labels = [convert(scheme, entry.label) or entry.label for entry in entries]
    largest = max(labels, key=lambda label: (label_length(label), label))
    return largest if encode_label(largest) > (answer.asked.argument or b"") else None


def _inverted(address: Address, bit: int) -> Address:
    """The address with bit `bit` in the order of `rot` turned over (06 §6)."""
    flipped = bytearray(address)
    flipped[(8 + bit // 8) % 16] ^= 0x80 >> bit % 8
    return Address(bytes(flipped))
