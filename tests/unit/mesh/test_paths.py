"""Tests of mesh/paths.py and mesh/routes.py (docs/protocol/05 §8)."""

from __future__ import annotations

from dexmesh.mesh.paths import MAX_PATHS, PROOF_S, Paths
from dexmesh.mesh.routes import MetricClass, aged_metric
from dexmesh.wire.label import NO_LABEL, Label

SHORT, LONG, OTHER = Label(0x13), Label(0x1533), Label(0x1535)


def best(paths: Paths, used: Label = NO_LABEL, now: float = 0.0) -> Label | None:
    path = paths.best(used, now)
    return None if path is None else path.label


def test_without_a_path_there_is_no_best_one_and_label_0_is_none() -> None:
    paths = Paths()
    paths.learn(NO_LABEL, MetricClass.PEER, 0.0)
    assert best(paths) is None
    assert paths.metric(SHORT, 0.0) == MetricClass.UNKNOWN


def test_a_proved_path_is_better_than_a_shorter_one_that_was_only_heard_of() -> None:
    paths = Paths()
    paths.learn(SHORT, MetricClass.TABLE, 0.0)
    paths.learn(LONG, MetricClass.PING_ANSWERED, 0.0)
    assert best(paths) == LONG


def test_a_path_in_use_is_left_only_for_a_better_one() -> None:
    paths = Paths()
    paths.learn(LONG, MetricClass.PING_ANSWERED, 0.0)
    paths.learn(OTHER, MetricClass.PING_ANSWERED, 1.0)
    assert best(paths, used=OTHER) == OTHER, "as good is not better"
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 2.0)
    assert best(paths, used=OTHER, now=2.0) == SHORT


def test_a_failed_path_comes_back_only_when_the_node_is_heard_on_it() -> None:
    paths = Paths()
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 0.0)
    paths.fail(SHORT)
    paths.fail(OTHER)
    assert best(paths, used=SHORT) is None
    assert paths.failed_labels() == (SHORT,)
    assert paths.metric(SHORT, 0.0) == MetricClass.DEAD
    for hearsay in (MetricClass.TABLE, MetricClass.PACKET_CAME_IN):
        paths.learn(SHORT, hearsay, 1.0)
        assert best(paths, used=SHORT, now=1.0) is None
    paths.learn(SHORT, MetricClass.MESSAGE_CAME_IN, 1.0)
    assert best(paths, used=SHORT, now=1.0) == SHORT
    paths.learn(LONG, MetricClass.PING_ANSWERED, 1.0)
    assert best(paths, used=SHORT, now=1.0) == LONG, "but one that is proved is better"
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 2.0)
    assert best(paths, used=LONG, now=2.0) == SHORT


def test_an_old_proof_counts_less_than_fresh_hearsay() -> None:
    paths = Paths()
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 0.0)
    paths.learn(LONG, MetricClass.TABLE, PROOF_S)
    assert best(paths, now=PROOF_S - 1) == SHORT
    assert best(paths, now=PROOF_S) == LONG
    paths.learn(SHORT, MetricClass.PACKET_CAME_IN, PROOF_S)
    assert best(paths, now=PROOF_S) == SHORT


def test_a_better_source_is_not_replaced_by_a_worse_one() -> None:
    paths = Paths()
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 0.0)
    paths.learn(SHORT, MetricClass.TABLE, 1.0)
    path = paths.at(SHORT)
    assert path is not None
    assert path.metric_class is MetricClass.PING_ANSWERED


def test_at_most_three_paths_are_kept_and_the_failed_one_goes_first() -> None:
    paths = Paths()
    paths.learn(SHORT, MetricClass.PING_ANSWERED, 0.0)
    paths.fail(SHORT)
    for number in range(MAX_PATHS):
        paths.learn(Label(0x1513 + number), MetricClass.TABLE, 0.0)
    assert len(paths.labels()) == MAX_PATHS
    assert SHORT not in paths.labels()


def test_paths_over_a_lost_peer_are_forgotten() -> None:
    paths = Paths()
    for label in (SHORT, LONG, OTHER):
        paths.learn(label, MetricClass.TABLE, 0.0)
    paths.forget_through(SHORT)
    assert paths.labels() == (OTHER,)


def test_a_metric_grows_by_a_point_a_millisecond_and_stays_below_dead() -> None:
    assert aged_metric(MetricClass.PING_ANSWERED, 2.5) == 0xFF500000 + 2500
    assert aged_metric(MetricClass.PING_ANSWERED, -1.0) == 0xFF500000
    assert aged_metric(MetricClass.PACKET_CAME_IN, 1e9) == 0xFFFFFFFE
    paths = Paths()
    paths.learn(SHORT, MetricClass.MESSAGE_CAME_IN, 10.0)
    assert paths.metric(SHORT, 11.0) == 0xFF510000 + 1000
