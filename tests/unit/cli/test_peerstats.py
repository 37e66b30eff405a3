"""The program `peerStats` prints the lines of docs/protocol/09 §7, character by character."""

from __future__ import annotations

import json
import sys

import pytest

from dexmesh.cli.peerstats import line_of, main
from dexmesh.engine.messages import Endpoint
from dexmesh.wire.keys import encode_key
from dexmesh.wire.label import parse_label
from tests.unit.admin.fake import KEY_A, KEY_B, peer_of
from tests.unit.cli.conftest import Served

FULL = {
    "lladdr": "18:03:14:56:c2:1e",
    "addr": "v20.0000.0000.0000.0019.681vm61r7v4b9c0f3jxtk2q8n5sh7ydl4wzug1p0b6k9mv3t2cx0.k",
    "state": "ESTABLISHED",
    "recvKbps": 6,
    "sendKbps": 15,
    "duplicates": 0,
    "lostPackets": 8,
    "receivedOutOfRange": 0,
    "user": "outer",
}


def test_the_line_of_the_article() -> None:
    assert line_of(FULL) == (
        "18:03:14:56:c2:1e v20.0000.0000.0000.0019."
        "681vm61r7v4b9c0f3jxtk2q8n5sh7ydl4wzug1p0b6k9mv3t2cx0.k"
        ' ESTABLISHED in 6kb/s out 15kb/s  LOS 8 "outer"'
    )


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"lostPackets": 0}, ' out 15kb/s "outer"'),
        ({"duplicates": 1, "receivedOutOfRange": 2}, ' out 15kb/s  DUP 1  LOS 8  OOR 2 "outer"'),
        ({"user": "", "lostPackets": 0}, " out 15kb/s"),
    ],
)
def test_counters_that_are_zero_and_names_that_are_empty_leave_no_gap(
    changes: dict[str, object], end: str
) -> None:
    assert line_of({**FULL, **changes}).endswith(end)


@pytest.fixture
def stats(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Served:
    served.node.links_up = [
        peer_of(
            KEY_A, endpoint=Endpoint("10.98.0.1:5000"), user="node-a", receive_kbps=5, send_kbps=4
        ),
        peer_of(KEY_B, label=parse_label("0000.0000.0000.0015"), state="UNRESPONSIVE", lost=2),
    ]
    monkeypatch.setenv("DEXMESH_CONFIG", str(served.config))
    return served


def test_one_line_per_peer_in_the_order_of_the_server(
    stats: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["peerStats"])
    main()
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        f"10.98.0.1:5000 v20.0000.0000.0000.0013.{encode_key(KEY_A)}"
        ' ESTABLISHED in 5kb/s out 4kb/s "node-a"'
    )
    assert second.startswith(f"192.0.2.1:5000 v20.0000.0000.0000.0015.{encode_key(KEY_B)} UNRESP")
    assert "  LOS 2" in second


def test_programs_get_json(
    stats: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["peerStats", "--json", "--config", str(stats.config)])
    monkeypatch.delenv("DEXMESH_CONFIG")
    main()
    assert [peer["state"] for peer in json.loads(capsys.readouterr().out)] == [
        "ESTABLISHED",
        "UNRESPONSIVE",
    ]
