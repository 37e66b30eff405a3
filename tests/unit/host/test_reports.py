"""What the log tells about peers, and how little of it they can cause."""

from __future__ import annotations

import logging

import pytest

from dexmesh.engine.messages import Endpoint, PeerId
from dexmesh.host.reports import LINES_AT_ONCE, Reports
from dexmesh.mesh.notices import PeerDown, PeerUp
from dexmesh.wire.keys import PublicKey

KEY = PublicKey(bytes(32))
UP = PeerUp(PeerId(1), KEY, Endpoint("192.0.2.1:5"), 20)
DOWN = PeerDown(PeerId(1), KEY, Endpoint("192.0.2.1:5"), "unresponsive")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines at INFO and above, as they are written."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.INFO:
                lines.append(record.getMessage())

    logger = logging.getLogger("dexmesh.host.reports")
    monkeypatch.setattr(logger, "handlers", [Keeper()])
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    return lines


def test_a_link_that_comes_and_goes_is_told(shown: list[str]) -> None:
    reports = Reports(0.0)
    reports.report(UP, 1.0)
    reports.report(DOWN, 2.0)
    assert shown == ["link is up", "link is down"]


def test_peers_that_come_and_go_all_the_time_cannot_fill_the_log(shown: list[str]) -> None:
    reports = Reports(0.0)
    for step in range(20_000):
        reports.report(UP if step % 2 else DOWN, step / 100)
    assert LINES_AT_ONCE <= len(shown) <= 2 * (LINES_AT_ONCE + 200)
    assert "links came and went too often to show each" in shown


def test_what_was_not_shown_is_counted_once(shown: list[str]) -> None:
    reports = Reports(0.0)
    for _ in range(LINES_AT_ONCE + 10):
        reports.report(UP, 0.0)
    assert len(shown) == LINES_AT_ONCE
    reports.report(UP, 1.0)
    reports.report(UP, 2.0)
    assert shown[LINES_AT_ONCE:] == [
        "links came and went too often to show each",
        "link is up",
        "link is up",
    ]
