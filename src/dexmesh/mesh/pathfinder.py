"""Be the seam between those who need routes and the way routes are found.

Place     sessions.py, control.py, peering.py, admin/ ask and tell -> Pathfinder; the parts behind
          it (dht/) can be exchanged
Spec      docs/protocol/06 §10-11; docs/protocol/05 §8.4; docs/protocol/03 §9.4
Keeps     a route is given only over links that are up as far as we know; a failed path is avoided
          until something proves it again
Not here  which route a session uses (sessions.py), what is on the wire (wire/dht.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dexmesh.engine.messages import RoutingMessage
from dexmesh.mesh.dht.maintenance import Maintenance
from dexmesh.mesh.dht.responder import Responder
from dexmesh.mesh.dht.search import MAX_SEARCHES, SEARCH_S, Search, SearchInfo, SearchOwner
from dexmesh.mesh.dht.table import Node, Table
from dexmesh.mesh.dht.tree import Link
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.notices import Emit
from dexmesh.mesh.peers import Peer
from dexmesh.mesh.queries import Answer, Asked, Queries, Target, send_message
from dexmesh.mesh.randomness import Random
from dexmesh.mesh.routes import LinkInfo, MetricClass, NodeInfo, Route
from dexmesh.wire.address import Address, distance
from dexmesh.wire.control import ErrorFrame, failing_label
from dexmesh.wire.dht import FIND_NODE, PING, TXID_PREFIX, Query, Reply, encode_message
from dexmesh.wire.label import SELF_LABEL, Label
from dexmesh.wire.scheme import one_hop_label, smallest_form

DIAGNOSIS_S = 2.0  # ours: a path is examined at most this often
MAX_DIAGNOSES = 64  # ours: paths remembered as examined

_SEEDS = 20  # 06 §8 step 1
_TABLE_COST_STEP = 1024  # 06 §7: what a good link costs in the reference


class Pathfinder(Protocol):
    """Whatever finds routes."""

    def route_to(self, address: Address, avoid: Iterable[Label] = ()) -> Route | None:
        """The best route known at this moment, not along the labels to avoid."""
        ...

    def start_search(self, address: Address, most: int, owner: SearchOwner, now: float) -> bool:
        """Look for a node; False if too many searches run. The owner hears of the end."""
        ...

    def handle_query(self, event: RoutingMessage, query: Query, now: float) -> None:
        """Answer somebody's question, and learn that he exists."""
        ...

    def handle_path_failed(self, address: Address, label: Label, now: float) -> None:
        """What was sent to a node along this label got lost: find out where."""
        ...

    def handle_switch_error(self, label: Label, error: ErrorFrame, now: float) -> None:
        """A switch on the way of `label` says that it went no further (a hint, no proof)."""
        ...

    def handle_peer_up(self, peer: Peer, now: float) -> None: ...
    def handle_peer_gone(self, peer: Peer, now: float) -> None: ...
    def next_timeout(self) -> tuple[float, str] | None: ...
    def handle_timeout(self, now: float) -> None: ...


class DhtPathfinder:
    """Finds routes with the messages of docs/protocol/06. Performs no I/O."""

    def __init__(self, identity: Identity, queries: Queries, random: Random, emit: Emit) -> None:
        self._identity, self._queries, self._emit = identity, queries, emit
        self._table = Table(identity)
        self._responder = Responder(identity, self._table)
        self._maintenance = Maintenance(identity, self._table, queries, random)
        self._searches: list[Search] = []
        self._examined: dict[Label, float] = {}
        queries.observe(self)

    # --- Routes ------------------------------------------------------------------------------

    def route_to(self, address: Address, avoid: Iterable[Label] = ()) -> Route | None:
        """The best route in the table; to a peer it is its own label."""
        node = self._table.node(address)
        if node is None or node is self._table.own:
            return None
        label = self._table.label_to(address, avoid)
        return None if label is None else self._route(node, label)

    def routes(self) -> list[Route]:
        """Every node with a way to it, ourselves first."""
        own = self._identity
        mine = Route(own.address, own.key, own.version, SELF_LABEL, MetricClass.PEER)
        others = (self.route_to(node.address) for node in self._table.nodes())
        return [mine, *(route for route in others if route is not None)]

    def links_of(self, parent: Address) -> list[LinkInfo]:
        """The links a node has told of (our own: the peers that are up), by interface number."""
        node = self._table.node(parent)
        if node is None:
            return []
        return [self._link_info(node, node.links[number]) for number in sorted(node.links)]

    def node_info(self, address: Address) -> NodeInfo | None:
        """What the table knows of a node; None if it is not there or cannot be reached."""
        node = self._table.node(address)
        if node is None:
            return None
        route = self.routes()[0] if node is self._table.own else self.route_to(address)
        if route is None:
            return None
        best = self._table.tree().best_link_to(address)
        parent = None if best is None else self._table.node(best.parent)
        info = None if best is None or parent is None else self._link_info(parent, best)
        cost = 0 if node is self._table.own else self._table.cost_of(route.label)
        return NodeInfo(route, node.scheme, len(node.links), cost * _TABLE_COST_STEP, info)

    def nearest(self, address: Address) -> Route | None:
        """The node itself if there is a way to it, else the nearest one that has a way (06 §6)."""
        ranked = sorted(self._table.nodes(), key=lambda node: distance(node.address, address))
        routes = (self.route_to(node.address) for node in ranked)
        return next((route for route in routes if route is not None), None)

    def searches(self) -> list[SearchInfo]:
        """The searches that are running, oldest first."""
        return [search.info() for search in self._searches]

    # --- Searching ---------------------------------------------------------------------------

    def start_search(self, address: Address, most: int, owner: SearchOwner, now: float) -> bool:
        """Ask the nodes nearest to the address, and it itself if we know a way (06 §11.2)."""
        if len(self._searches) >= MAX_SEARCHES:
            return False
        search = Search(
            address=address,
            most=most,
            ends_at=now + SEARCH_S,
            owner=owner,
            own_address=self._identity.address,
            queries=self._queries,
            finished=self._finish_search,
        )
        self._searches.append(search)
        search.begin(self._seeds(address), now)
        return True

    # --- What every query teaches ------------------------------------------------------------

    def learn_answer(self, answer: Answer, now: float) -> None:
        """Any answer proves the way it was asked on, whoever asked; `fn` tells of more nodes."""
        target, reply = answer.asked.target, answer.reply
        self._table.learn_answer(target.key, reply.version, reply.scheme, target.label, now)
        if answer.asked.kind == FIND_NODE:
            for entry in reply.nodes:
                self._table.learn_hint(entry, answer.label, now)

    def learn_silence(self, asked: Asked, now: float) -> None:
        """A silence makes the way worse, and the last link of it suspect."""
        self._table.learn_silence(asked.target.address, asked.target.label, now)

    # --- Messages of others ------------------------------------------------------------------

    def handle_query(self, event: RoutingMessage, query: Query, now: float) -> None:
        """Answer along the label it came by, and remember that label as a way to the asker."""
        self._table.learn_node(event.key, query.version, now, event.label)
        reply = self._responder.answer(event.address, event.label, query, now)
        if reply is not None:
            asker = Target(event.address, event.key, query.version, event.label)
            self._emit(send_message(asker, encode_message(reply)))

    def answer_own(self, kind: bytes, argument: bytes | None, now: float) -> Reply | None:
        """What we would answer if somebody at our own label asked."""
        own = self._identity
        query = Query(TXID_PREFIX, kind, own.version, own.scheme, target=argument)
        return self._responder.answer(own.address, SELF_LABEL, query, now)

    # --- Failures ----------------------------------------------------------------------------

    def handle_path_failed(self, address: Address, label: Label, now: float) -> None:
        """Ask the nodes on the way, to see how far it still goes."""
        if now - self._examined.get(label, -DIAGNOSIS_S) < DIAGNOSIS_S:
            return
        if len(self._examined) >= MAX_DIAGNOSES:
            del self._examined[next(iter(self._examined))]
        self._examined[label] = now
        for node, prefix in self._table.nodes_on(label)[:-1]:
            self._queries.start(
                Target(node.address, node.key, node.version, prefix), PING, now, self
            )

    def handle_switch_error(self, label: Label, error: ErrorFrame, now: float) -> None:
        """Avoid the link behind the switch that complained until something proves it (03 §9.4)."""
        complainer = failing_label(label, error.cause_header.label_shift)
        if complainer == label:
            return  # the whole way was travelled: not a matter of routes
        stops = self._table.nodes_on(label)
        labels = [SELF_LABEL, *(prefix for _, prefix in stops)]
        nodes = [self._table.own, *(node for node, _ in stops)]
        for place, node in enumerate(nodes[:-1]):
            if labels[place] == complainer:
                child = nodes[place + 1]
                for link in list(node.links.values()):
                    if link.child == child.address:
                        self._table.fail_link(link, now)
                node.ask_at = min(node.ask_at, now)

    def handle_answer(self, answer: Answer, now: float) -> None:
        """An examined node has answered: what that proves is noted by `learn_answer`."""

    def handle_silence(self, asked: Asked, now: float) -> None:
        """An examined node was silent: what that means is noted by `learn_silence`."""

    # --- Peers and time ----------------------------------------------------------------------

    def handle_peer_up(self, peer: Peer, now: float) -> None:
        """A new first hop: ask it at once for its peers."""
        if self._table.learn_peer(peer, now) is not None:
            self._maintenance.handle_peer_up(peer, now)

    def handle_peer_gone(self, peer: Peer, now: float) -> None:
        """A first hop is lost, and with it every way that begins there."""
        self._table.forget_peer(peer)

    def next_timeout(self) -> tuple[float, str] | None:
        """The next deadline of maintenance or a search."""
        times = [(search.ends_at, "search") for search in self._searches]
        maintenance = self._maintenance.next_timeout()
        return min([*times, maintenance] if maintenance else times, default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for search in list(self._searches):
            search.handle_timeout(now)
        self._maintenance.handle_timeout(now)

    # --- Inside ------------------------------------------------------------------------------

    def _seeds(self, address: Address) -> list[Target]:
        """The nodes nearest to an address that we have a way to; the address itself if known."""
        ranked = sorted(self._table.nodes(), key=lambda node: distance(node.address, address))
        seeds = []
        for node in ranked:
            label = self._table.label_to(node.address)
            if label is not None:
                seeds.append(Target(node.address, node.key, node.version, label))
            if len(seeds) >= _SEEDS:
                break
        return seeds

    def _finish_search(self, search: Search) -> None:
        self._searches.remove(search)

    def _route(self, node: Node, label: Label) -> Route:
        is_peer = self._table.is_peer(node.address)
        cost = self._table.cost_of(label) * _TABLE_COST_STEP
        metric = MetricClass.PEER if is_peer else MetricClass.TABLE + min(cost, 0xFFFFF)
        return Route(node.address, node.key, node.version, label, metric, node.heard_at, is_peer)

    def _link_info(self, parent: Node, link: Link) -> LinkInfo:
        best = self._table.tree().best_link_to(link.child)
        child = self._table.node(link.child)
        back = (
            []
            if child is None
            else [
                smallest_form(child.scheme, one.interface) or 0
                for one in child.links.values()
                if one.child == parent.address
            ]
        )
        return LinkInfo(
            parent=parent.address,
            child=link.child,
            label=one_hop_label(link.interface, parent.scheme),
            cost=link.cost * _TABLE_COST_STEP,
            is_best_parent=best is link,
            inverse_form=max(back, default=0),
        )
