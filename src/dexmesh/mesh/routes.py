"""Hold the answer "how to reach a node", and say how good it is.

Place     pathfinder.py and dht/ make routes -> sessions.py uses them, admin/ shows them
Spec      docs/protocol/05 §8.1 (metric classes)
Keeps     a metric is 32 bits, lower is better, and grows with the age of what we know
Not here  choosing between the routes of one session (paths.py), finding them (dht/)
"""

from __future__ import annotations

from enum import IntEnum

from dexmesh.values import dataclass
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label
from dexmesh.wire.scheme import EncodingScheme


class MetricClass(IntEnum):
    """Where the knowledge of a route comes from (05 §8.1); the low bits carry a value."""

    PEER = 0xFF400000
    PING_ANSWERED = 0xFF500000
    MESSAGE_CAME_IN = 0xFF510000
    TABLE = 0xFF600000
    PACKET_CAME_IN = 0xFF700000
    UNKNOWN = 0xFFFFFFFE
    DEAD = 0xFFFFFFFF


_WORST_LIVE_METRIC = 0xFFFFFFFE


def aged_metric(metric_class: MetricClass, age_s: float) -> int:
    """The class plus the milliseconds since it was last proved, never as bad as dead (05 §8.3)."""
    return min(metric_class + max(int(age_s * 1000), 0), _WORST_LIVE_METRIC)


@dataclass(frozen=True, slots=True)
class Route:
    """To whom, along which label, of which version, how good.

    `heard_at` is when the node last answered (monotonic seconds), None if never.
    """

    address: Address
    key: PublicKey
    version: int
    label: Label
    metric: int = MetricClass.UNKNOWN
    heard_at: float | None = None
    is_peer: bool = False


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link of the node table: `parent` reaches `child` by its one-hop label `label`."""

    parent: Address
    child: Address
    label: Label
    cost: int
    is_best_parent: bool
    inverse_form: int


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What the table knows of one node: how it writes directors, what it costs, who leads to it."""

    route: Route
    scheme: EncodingScheme
    link_count: int
    cost: int
    best_parent: LinkInfo | None
