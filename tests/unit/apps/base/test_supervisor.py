"""The supervisor with real processes. Each test runs it in a process of its own, as a fork of this one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dexmesh.apps.base import supervisor
from dexmesh.apps.base.account import own_account
from dexmesh.apps.base.supervisor import AGAIN, DONE, HOPELESS, REOPEN, Options, Pauses, supervise
from dexmesh.errors import ConfigError, HostError

LIMIT_S = 15.0
Work = Callable[[Callable[[], None]], int]


def test_the_first_restart_waits_for_nothing_and_the_others_ever_longer() -> None:
    pauses = Pauses()
    assert [pauses.after(0.1) for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_lived_well_is_restarted_at_once_again() -> None:
    pauses = Pauses()
    assert [pauses.after(lived) for lived in (0.1, 0.1, 11, 0.1)] == [0, 0.5, 0, 0.5]


def test_workers_that_come_up_wait_half_a_second_and_forgive_those_before_them() -> None:
    pauses = Pauses()
    for _ in range(6):
        pauses.after(0.1)
    assert [pauses.after(0.1, came_up=True) for _ in range(3)] == [0.5, 0.5, 0.5]
    assert [pauses.after(0.1) for _ in range(2)] == [1, 2]


@dataclass(slots=True)
class Family:
    """A supervisor in a process; its workers write a line each into `log`."""

    pid: int
    log: Path

    def lines(self, count: int) -> list[str]:
        """The first lines of the workers, once there are so many."""
        _wait(lambda: len(self._read()) >= count)
        return self._read()

    def _read(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def code(self) -> int:
        """How the supervisor ended."""
        found: list[int] = []

        def has_ended() -> bool:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                found.append(os.waitstatus_to_exitcode(status))
            return bool(done)

        _wait(has_ended)
        self.pid = 0
        return found[0]


def _wait(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


Start = Callable[..., Family]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    families: list[Family] = []

    def begin(
        work: Work, lifeline: int | None = None, ready: Callable[[], None] | None = None
    ) -> Family:
        log = tmp_path / f"log{len(families)}"

        def logged(is_ready: Callable[[], None]) -> int:
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return work(is_ready)

        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                logging.getLogger("dexmesh").addHandler(logging.NullHandler())
                code = supervise(logged, Options(own_account(), lifeline=lifeline, ready=ready))
            finally:
                sys.stderr.flush()
                os._exit(code)
        families.append(Family(pid, log))
        return families[-1]

    yield begin
    for family in families:
        if family.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(family.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(family.pid, 0)


def _sleep(_is_ready: Callable[[], None]) -> int:
    time.sleep(60)
    return 0


def _until_told(is_ready: Callable[[], None]) -> int:
    """Ends in order, as the service does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    is_ready()
    signal.sigwait((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    return 0


def test_a_killed_worker_has_a_successor_and_waiting_connections_are_served(start: Start) -> None:
    listening = socket.create_server(("127.0.0.1", 0))

    def work(_is_ready: Callable[[], None]) -> int:
        if not marker.exists():
            marker.touch()
            time.sleep(60)
        connection, _ = listening.accept()
        connection.sendall(b"hello")
        time.sleep(60)
        return 0

    marker = Path(f"/tmp/dexmesh-supervisor-{os.getpid()}")
    try:
        family = start(work)
        [first] = family.lines(1)
        _wait(marker.exists)
        with socket.create_connection(listening.getsockname(), timeout=LIMIT_S) as client:
            os.kill(int(first), signal.SIGKILL)
            assert client.recv(5) == b"hello"
        assert len(set(family.lines(2))) == 2
    finally:
        marker.unlink(missing_ok=True)
        listening.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_being_told_to_end_is_passed_on_and_the_end_is_a_good_one(
    start: Start, number: signal.Signals
) -> None:
    family = start(_until_told)
    [worker] = family.lines(1)
    family.signal(number)
    assert family.code() == 0
    assert not _is_alive(int(worker))


def test_a_worker_that_does_not_end_is_killed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_S", 0.2)

    def deaf(_is_ready: Callable[[], None]) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        said.write_text("deaf")
        time.sleep(60)
        return 0

    said = Path(f"/tmp/dexmesh-deaf-{os.getpid()}")
    try:
        family = start(deaf)
        _wait(said.exists)
        family.signal(signal.SIGTERM)
        assert family.code() == 1
    finally:
        said.unlink(missing_ok=True)


def test_no_worker_outlives_a_supervisor_that_is_killed(start: Start) -> None:
    family = start(_sleep)
    [worker] = family.lines(1)
    time.sleep(0.05)  # the worker has asked to die with its parent right after that line
    family.signal(signal.SIGKILL)
    _wait(lambda: not _is_alive(int(worker)))


def test_the_end_of_the_lifeline_is_the_end(start: Start) -> None:
    end, lifeline = os.pipe()

    def work(is_ready: Callable[[], None]) -> int:
        with contextlib.suppress(OSError):
            os.close(lifeline)
        return _until_told(is_ready)

    def let_go() -> None:  # in the supervisor: a fork has both ends, a program started anew has one
        os.close(lifeline)

    family = start(work, lifeline=end, ready=let_go)
    [worker] = family.lines(1)
    os.close(end)
    os.close(lifeline)
    assert family.code() == 0
    assert not _is_alive(int(worker))


@pytest.mark.parametrize(("said", "code"), [(DONE, 0), (REOPEN, REOPEN), (HOPELESS, HOPELESS)])
def test_a_worker_may_say_that_it_is_over(start: Start, said: int, code: int) -> None:
    family = start(lambda _is_ready: said)
    assert family.code() == code
    assert len(family.lines(1)) == 1


def test_settings_that_cannot_be_used_end_it_and_a_busy_disk_does_not(start: Start) -> None:
    def broken(_is_ready: Callable[[], None]) -> int:
        raise ConfigError(())

    def busy(_is_ready: Callable[[], None]) -> int:
        raise HostError("no room")

    assert start(broken).code() == HOPELESS
    family = start(busy)
    assert len(family.lines(2)) >= 2
    family.signal(signal.SIGTERM)
    assert family.code() in {0, 1}  # in a pause, or while a worker was failing


def test_changed_settings_mean_a_new_worker_without_a_pause(start: Start) -> None:
    family = start(lambda is_ready: AGAIN)
    began = time.monotonic()
    family.lines(5)
    assert time.monotonic() - began < 2 * supervisor.FIRST_PAUSE_S + 2
    family.signal(signal.SIGTERM)
    assert family.code() == 0


def test_each_worker_that_is_ready_is_announced(start: Start, tmp_path: Path) -> None:
    announced = tmp_path / "ready"

    def announce() -> None:
        with announced.open("a") as file:
            file.write("R")

    family = start(_until_told, ready=announce)
    _wait(announced.exists)
    os.kill(int(family.lines(1)[0]), signal.SIGKILL)
    _wait(lambda: announced.read_text() == "RR")
    family.signal(signal.SIGTERM)
    assert family.code() == 0
