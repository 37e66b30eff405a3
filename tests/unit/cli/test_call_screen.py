"""The picture of a call: what it shows on which terminal, and what stays when the call is over."""

from __future__ import annotations

import io
import os
import pty
import select
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from dexmesh.cli.call_screen import CallScreen, picture
from dexmesh.cli.call_show import JsonShow, LineShow, Story
from dexmesh.cli.inbox import Inbox, Key
from dexmesh.cli.keyboard import keys

FIGURES = {
    "codec": "opus", "recent_loss_percent": 1.26, "jitter_ms": 3.6, "delay_ms": 41.7, "mos": 4.12,
    "remote_loss_percent": 0.0, "buffer_ms": 40.0, "round_trip_ms": None,
}  # fmt: skip


def _story(**changes: object) -> Story:
    story = Story("bob", "bob", "fc00::b", 1, "in a call", 100.0, statistics=FIGURES)
    story.heard_db, story.spoken_db = -6.0, -60.0
    for name, value in changes.items():
        setattr(story, name, value)
    return story


def _rows(story: Story, lines: tuple[str, ...] = (), width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(picture(story, lines, 165.2))
    return console.export_text().rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [30, 58, 80, 200])
def test_a_picture_is_as_wide_as_the_terminal_and_never_higher_than_a_small_one(width: int) -> None:
    story = _story(name="b" * 300, recording=Path("/x" * 200), is_muted=True)
    rows = _rows(story, ("one", "two" * 100, "three", "four"), width)
    assert {cell_len(row) for row in rows} == {width}
    assert len(rows) < 20


def test_a_picture_says_with_whom_how_long_how_loud_and_how_well() -> None:
    text = "\n".join(_rows(_story()))
    assert "bob   in a call   1:05" in text
    assert "codec opus   loss 1.3 %   jitter 4 ms   delay 42 ms   MOS 4.1 good" in text
    assert "round trip – ms" in text
    loud, silent = (
        next(row for row in _rows(_story()) if name in row) for name in ("they ", "you ")
    )
    assert loud.count("█") == 22
    assert silent.count("█") == 0
    assert "no sound yet" in "\n".join(_rows(_story(statistics={})))


def test_a_picture_says_what_is_held_and_muted() -> None:
    assert "on hold: h goes on" in "\n".join(_rows(_story(is_held_here=True)))
    held = "\n".join(_rows(_story(is_held_there=True)))
    assert "held by the other side" in held
    assert "muted" in "\n".join(_rows(_story(is_muted=True)))
    assert "on hold: ann, ben  (s goes over)" in "\n".join(_rows(_story(others=("ann", "ben"))))


def test_what_others_say_cannot_steer_the_terminal() -> None:
    text = "\n".join(_rows(_story(name="\x1b[2Jbob"), ("\x1b]0;owned\x07",)))
    assert not set(text) & set("\x1b\x07")


def test_lines_before_and_during_a_call_stay_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = io.StringIO()
    screen = CallScreen(Console(file=drawn, force_terminal=True, width=80, height=24))
    screen.tell({"event": "dialling"}, "calling bob")
    screen.draw(_story(since=None), 1.0)
    assert (capsys.readouterr().out, drawn.getvalue()) == ("calling bob\n", "")
    screen.draw(_story(), 101.0)
    screen.tell({"event": "changed"}, "bob holds the call")
    screen.tell({"event": "statistics"}, "")
    screen.draw(_story(), 102.0)
    assert capsys.readouterr().out == ""
    assert "bob holds the call" in drawn.getvalue()
    screen.rest()
    assert capsys.readouterr().out == "bob holds the call\n"
    screen.tell({"event": "ended"}, "bob hung up")
    assert capsys.readouterr().out == "bob hung up\n"


def test_a_terminal_that_takes_nothing_does_not_stop_the_call() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as full:
        screen = CallScreen(Console(file=full, force_terminal=True, width=80, height=24))
        screen.draw(_story(), 101.0)
        os.set_blocking(theirs, False)
        try:
            while True:
                os.write(theirs, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(theirs, True)
        screen.draw(_story(), 102.0)  # would wait for ever
        while select.select([ours], [], [], 0)[0]:
            os.read(ours, 1 << 16)
        screen.rest()
    os.close(ours)


def test_lines_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    for show in (LineShow(), JsonShow()):
        show.tell({"event": "text", "text": "ü"}, "bob writes: \x1b[1mü")
        show.tell({"event": "statistics"}, "")
        show.draw(_story(), 1.0)
        show.rest()
    assert capsys.readouterr().out.splitlines() == [
        "bob writes: \\x1b[1mü",
        '{"event": "text", "text": "ü"}',
        '{"event": "statistics"}',
    ]


def test_single_keys_are_heard_and_the_terminal_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(theirs))
    before = termios.tcgetattr(theirs)
    inbox = Inbox()
    with keys(inbox) as has_keys:
        assert has_keys
        assert not termios.tcgetattr(theirs)[3] & termios.ICANON
        os.write(ours, b"h5")
        assert [inbox.take(10), inbox.take(10)] == [Key("h"), Key("5")]
        os.write(ours, b"\x1b[A")  # an arrow is no key of a phone
        time.sleep(0.3)
        os.write(ours, b"q")
        assert inbox.take(10) == Key("q")
    assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_a_job_in_the_background_does_not_touch_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(theirs))
    monkeypatch.setattr(os, "tcgetpgrp", lambda _descriptor: 1)
    before = termios.tcgetattr(theirs)
    with keys(Inbox()) as has_keys:
        assert not has_keys
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("q"))
    with keys(Inbox()) as has_keys:
        assert not has_keys
    with keys(Inbox(), wanted=False) as has_keys:
        assert not has_keys
