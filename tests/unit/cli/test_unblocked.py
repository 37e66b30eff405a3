"""A terminal that takes nothing keeps nobody waiting, and shows what it was told when it goes on."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from dexmesh.cli import unblocked
from dexmesh.cli.call_line import open_line
from dexmesh.cli.call_screen import CallScreen
from dexmesh.cli.call_show import Story
from dexmesh.cli.unblocked import MOST_BYTES, UnblockedTerminal, unblocked_terminal
from tests.unit.cli.phone_world import PhoneWorld

LIMIT_S = 10.0


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """The side of the person, and what a program has as its standard output."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield ours, stream
    os.close(ours)


def does_not_wait(work: Callable[[], None]) -> None:
    """Whether this comes to its end though nobody reads."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def seen(ours: int) -> str:
    """What is on the terminal, until it is quiet."""
    found = b""
    while select.select([ours], [], [], 0.2)[0]:
        found += os.read(ours, 1 << 16)
        sys.stdout.flush()
    return found.decode()


def test_nobody_reads_the_terminal_and_the_call_goes_on(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, stdout = terminal
    monkeypatch.setattr(sys, "stdout", stdout)  # here: pytest sets its own before the test
    monkeypatch.setattr(unblocked, "LEAVE_S", 0.1)
    screen, story = CallScreen(), Story("bob", "bob", since=0.0)

    def call() -> None:
        with unblocked_terminal():
            for number in range(3000):
                screen.tell({}, f"line {number}")
                screen.draw(story, float(number))
            screen.rest()

    does_not_wait(call)
    assert "line 0" in seen(ours)


def test_what_a_stopped_terminal_did_not_take_is_shown_when_it_goes_on(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, stdout = terminal
    monkeypatch.setattr(sys, "stdout", stdout)  # here: pytest sets its own before the test
    monkeypatch.setattr(unblocked, "LEAVE_S", 0.1)

    def stop() -> None:
        termios.tcflow(stdout.fileno(), termios.TCOOFF)

    def tell() -> None:
        for number in range(100):
            print(f"line {number}")

    with unblocked_terminal():
        does_not_wait(stop)
        does_not_wait(tell)
        assert seen(ours) == ""
        termios.tcflow(stdout.fileno(), termios.TCOON)
        sys.stdout.flush()
        assert seen(ours) == "".join(f"line {number}\n" for number in range(100))


def test_what_is_kept_is_bounded_and_no_line_is_cut(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, stdout = terminal
    monkeypatch.setattr(sys, "stdout", stdout)  # here: pytest sets its own before the test
    monkeypatch.setattr(unblocked, "LEAVE_S", 0.1)
    line = "x" * 999 + "\n"

    def tell() -> None:
        for _ in range(1000):
            sys.stdout.write(line)

    with unblocked_terminal():
        does_not_wait(tell)
        shown = seen(ours)
    assert len(line) <= len(shown) < 2 * MOST_BYTES
    assert shown == line * (len(shown) // len(line))


def test_leaving_a_terminal_that_takes_nothing_takes_a_moment(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stdout = terminal
    monkeypatch.setattr(sys, "stdout", stdout)  # here: pytest sets its own before the test
    monkeypatch.setattr(unblocked, "LEAVE_S", 0.1)

    def leave() -> None:
        with unblocked_terminal():
            sys.stdout.write("x" * MOST_BYTES)

    does_not_wait(leave)
    assert sys.stdout is stdout
    assert os.get_blocking(stdout.fileno())  # the shell has the same one


def test_what_is_no_terminal_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with unblocked_terminal():
            assert sys.stdout is pipe


def test_whoever_sits_at_calls_has_such_a_terminal(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, stdout = terminal
    monkeypatch.setattr(sys, "stdout", stdout)
    world = PhoneWorld(tmp_path)
    with open_line(tmp_path / "alice", "alice", None, as_json=False):
        used = type(sys.stdout)
    world.close()
    assert used is UnblockedTerminal
    assert sys.stdout is stdout
