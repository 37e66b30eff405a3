"""Keep a few labels to one node, and say which of them should carry its traffic.

Place     sessions.py has one Paths for each session
Spec      docs/protocol/05 §8: ours is §8.4
Keeps     at most MAX_PATHS; a path that works is not left for one that is merely as good; a path
          that failed is not chosen again before the node is heard on it
Not here  finding paths (pathfinder.py), noticing that one fails (sessions.py)
"""

from __future__ import annotations

from dexmesh.mesh.routes import MetricClass, aged_metric
from dexmesh.values import dataclass
from dexmesh.wire.label import NO_LABEL, Label, label_length, routes_through

MAX_PATHS = 3  # 05 §8.3
PROOF_S = 120.0  # ours: how long a proof is worth more than hearsay

# How much the knowledge is worth: proved, came in by it, told by others (05 §8.1).
_RANKS = {
    MetricClass.PEER: 0,
    MetricClass.PING_ANSWERED: 0,
    MetricClass.MESSAGE_CAME_IN: 1,
    MetricClass.TABLE: 2,
    MetricClass.PACKET_CAME_IN: 2,
}
_OLD_RANK = 3


@dataclass(slots=True)
class Path:
    """One label: how we know of it, when that was last confirmed, how often it failed since."""

    label: Label
    metric_class: MetricClass
    proved_at: float
    failures: int = 0

    def rank(self, now: float) -> int:
        """0 is best. What was not confirmed for long counts less than any news."""
        is_old = now - self.proved_at >= PROOF_S
        return _OLD_RANK if is_old else _RANKS.get(self.metric_class, _OLD_RANK)


class Paths:
    """The labels of one session."""

    def __init__(self) -> None:
        self._paths: dict[Label, Path] = {}

    def learn(self, label: Label, metric_class: MetricClass, now: float) -> None:
        """A label is known from this source now; a better source of before is kept while fresh.

        A path that failed is tried again when the node itself was heard on it since.
        """
        if label == NO_LABEL:
            return
        path = self._paths.get(label)
        news = Path(label, metric_class, now)
        if path is None:
            self._paths[label] = news
            self._forget_worst(now)
        elif path.failures:
            if news.rank(now) <= _RANKS[MetricClass.MESSAGE_CAME_IN]:
                self._paths[label] = news
        elif news.rank(now) <= path.rank(now):
            self._paths[label] = news

    def fail(self, label: Label) -> None:
        """This label did not carry what was sent."""
        path = self._paths.get(label)
        if path is not None:
            path.failures += 1

    def forget_through(self, label: Label) -> None:
        """Every path that begins with this one-hop label is worth nothing."""
        self._paths = {
            known: path for known, path in self._paths.items() if not routes_through(known, label)
        }

    def best(self, used: Label, now: float) -> Path | None:
        """The path to use: the one in use unless another is better; None if all have failed."""
        alive = [path for path in self._paths.values() if not path.failures]
        if not alive:
            return None
        best = min(alive, key=lambda path: _order(path, now))
        current = self._paths.get(used)
        if current is None or current.failures:
            return best
        return best if _order(best, now)[:2] < _order(current, now)[:2] else current

    def at(self, label: Label) -> Path | None:
        """The path of this label."""
        return self._paths.get(label)

    def labels(self) -> tuple[Label, ...]:
        """Every label, failed ones too."""
        return tuple(self._paths)

    def failed_labels(self) -> tuple[Label, ...]:
        """The labels to avoid."""
        return tuple(path.label for path in self._paths.values() if path.failures)

    def metric(self, label: Label, now: float) -> int:
        """What SessionManager_sessionStats shows for a label (05 §8.1)."""
        path = self._paths.get(label)
        if path is None:
            return MetricClass.UNKNOWN
        if path.failures:
            return MetricClass.DEAD
        return aged_metric(path.metric_class, now - path.proved_at)

    def _forget_worst(self, now: float) -> None:
        if len(self._paths) > MAX_PATHS:
            worst = max(self._paths.values(), key=lambda path: (path.failures, *_order(path, now)))
            del self._paths[worst.label]


def _order(path: Path, now: float) -> tuple[int, int, int]:
    return path.rank(now), label_length(path.label), path.label
