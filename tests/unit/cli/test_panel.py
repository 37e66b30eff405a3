"""The live panel: what it shows on which terminal, and what it never does to the node."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from dexmesh.cli.output import is_writable
from dexmesh.cli.panel import Panel, View, picture, rate, sparkline
from dexmesh.engine.messages import Endpoint
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, encode_key
from tests.unit.admin.fake import KEY_A, KEY_B, FakeNode, peer_of


def _screen(width: int, height: int, peers: int, **changes: object) -> list[str]:
    """The rows of a picture of a node with that many peers."""
    log = Panel(Console(file=io.StringIO()))
    for number in range(20):
        log.emit(logging.makeLogRecord({"msg": f"line {number}", "levelno": logging.INFO}))
    links = [peer_of(KEY_B, user=f"peer-{number}", **changes) for number in range(peers)]
    if peers:
        links[-1] = peer_of(KEY_B, user="the-good-one")
    view = View(address_of(KEY_A), KEY_A, links, 3, [0, 4, 8], tuple(log._lines))
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    console.print(picture(view, width, height))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [40, 58, 80, 132, 250])
@pytest.mark.parametrize("height", [16, 24, 60])
@pytest.mark.parametrize("peers", [0, 1, 5, 256])
def test_a_picture_fits_the_terminal(width: int, height: int, peers: int) -> None:
    endpoint = Endpoint("[2001:db8:1111:2222:3333:4444:5555:6666]:41234")
    rows = _screen(width, height, peers, endpoint=endpoint, receive_kbps=123456, round_trip_ms=9999)
    assert len(rows) < height
    assert {cell_len(row) for row in rows} == {width}


def test_the_head_says_who_the_node_is() -> None:
    text = "\n".join(_screen(80, 24, 2))
    assert format_address(address_of(KEY_A)) in text
    assert encode_key(KEY_A) in text
    assert "2 up of 2, 3 sessions" in text


def test_links_that_are_up_are_shown_before_those_that_are_not() -> None:
    text = "\n".join(_screen(80, 24, 40, state="SENT_HELLO"))
    assert "the-good-one" in text
    assert "1 up of 40" in text
    assert "more: `dexmesh peers` lists all" in text


def test_the_log_has_the_latest_lines_and_room_beside_many_peers() -> None:
    rows = "\n".join(_screen(80, 20, 100))
    assert "line 19" in rows
    assert "line 17" in rows
    assert "line 0" not in rows


def test_without_links_the_next_step_is_said() -> None:
    assert "dexmesh peer add" in "\n".join(_screen(80, 24, 0))


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in "\n".join(_screen(80, 24, 2, state="\x1b[2J"))


def _panel(width: int = 80) -> tuple[Panel, io.StringIO]:
    out = io.StringIO()
    return Panel(Console(file=out, force_terminal=True, width=width, height=24)), out


def test_the_terminal_is_given_back_with_the_last_picture_on_it() -> None:
    panel, out = _panel()
    panel.start()
    panel.update(FakeNode(links_up=[peer_of(KEY_B, user="bob")]))
    panel.stop()
    assert out.getvalue().count("\x1b[?25l") == 1
    assert out.getvalue().rstrip("\n").endswith("\x1b[?25h")
    assert "bob" in out.getvalue()


def test_log_records_become_lines_with_their_fields() -> None:
    panel, out = _panel()
    panel.start()
    record = logging.makeLogRecord(
        {"msg": "link is up", "levelno": logging.WARNING, "peer": "fc00::1", "created": 0.0}
    )
    panel.handle(record)
    panel.update(FakeNode())
    panel.stop()
    assert "link is up peer=fc00::1" in out.getvalue()


def test_what_the_mail_service_says_becomes_lines_that_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    said = [["INFO mail is served \x1b[2J"], []]
    panel = Panel(console, take_lines=lambda: said.pop(0))
    panel.start()
    for _ in range(2):
        panel.update(FakeNode())
    panel.stop()
    assert "mail: INFO mail is served" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_a_terminal_that_takes_nothing_does_not_stop_the_node() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(writing, "w", encoding="utf-8") as full:
        assert is_writable(Console(file=full))
        while os.write(writing, bytes(4096)) == 4096:
            if not is_writable(Console(file=full)):
                break
        panel = Panel(Console(file=full, force_terminal=True, width=80, height=24))
        panel.update(FakeNode())  # returns although nobody reads
        os.close(reading)


def test_nothing_is_imported_after_the_panel_is_made() -> None:
    program = """
import io, logging, sys
from rich.console import Console
from dexmesh.cli.panel import Panel
from tests.unit.admin.fake import KEY_B, FakeNode, peer_of
node = FakeNode(links_up=[peer_of(KEY_B, user="b\\u00fcb \\U0001f600")])
panel = Panel(Console(file=io.StringIO(), force_terminal=True, color_system="truecolor"))
before = set(sys.modules)
panel.start()
panel.emit(logging.makeLogRecord({"msg": "x", "exc_info": None}))
panel.update(node)
panel.stop()
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_rates_are_written_the_way_people_read_them() -> None:
    assert [rate(5), rate(12_345), rate(2_500_000)] == ["5 kbit/s", "12.3 Mbit/s", "2.50 Gbit/s"]


def test_the_bars_are_scaled_to_the_largest_rate() -> None:
    assert sparkline([0, 50, 100]) == " ▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
