"""Kill the mail process at random moments, again and again, while mail flows: nothing lost, nothing twice.

    on a: a program hands mails to a's submission port -> a's queue -> b
    on a: a sender of the common kind talks to b's port 25 itself, and sends again until it hears 250

Both workers are killed with SIGKILL, DEXMESH_CRASH_KILLS times in all (200; `make soak` says 1000).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.conftest import STEP_BACK
from tests.netns.mail_machines import MailMachine, mail_machines

KILLS = int(os.environ.get("DEXMESH_CRASH_KILLS", "200"))
SEED = int(os.environ.get("DEXMESH_CRASH_SEED", str(random.SystemRandom().randrange(1 << 30))))
LONGEST_LIFE_S = 0.6  # of a worker, after it came up; half of them live as long once more
STILL_STARTING = 0.25  # of the kills may hit a worker that does not serve yet
PATIENCE_S = 120.0
DRAIN_S = 240.0
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.netns


def test_a_killed_mail_process_loses_nothing_and_doubles_nothing() -> None:
    print(f"seed {SEED}")
    with Lab("dexmesh-crash") as lab:
        a, b = mail_machines(lab)
        for one in (a, b):
            one.switch_on()
        b.dexmesh("contact", "add", "ann", a.mailbox)
        a.dexmesh("contact", "add", "bob", b.mailbox)
        services = [one.serve() for one in (a, b)]
        streams = [Stream(a, b, kind) for kind in ("submit", "direct")]
        give_way([*services, *(stream.running for stream in streams)])
        kill_again_and_again([a, b])
        acknowledged = {stream.kind: stream.finish() for stream in streams}
        drain(a)
        arrived = subjects_in(b)
        assert all(service.poll() is None for service in services), "a supervisor ended"
        assert_each_once(acknowledged, arrived)


def assert_each_once(acknowledged: dict[str, set[str]], arrived: Counter[str]) -> None:
    """Everything that got 250 is there, and nothing is there twice."""
    for stream, subjects in acknowledged.items():
        assert len(subjects) >= KILLS / 4, f"the stream {stream} hardly ran: {len(subjects)} mails"
        lost = sorted(subjects - arrived.keys())
        assert not lost, f"{len(lost)} of {len(subjects)} lost: {lost[:5]}"
    twice = [subject for subject, count in arrived.items() if count > 1]
    assert not twice, f"{len(twice)} arrived twice: {twice[:5]}"


def give_way(leaders: list[subprocess.Popen[bytes]]) -> None:
    """These sessions step back, each as a whole: there is no hurry here, and others measure time."""
    for leader in leaders:
        with contextlib.suppress(OSError):  # where sessions are no groups, nice(2) holds
            Path(f"/proc/{leader.pid}/autogroup").write_text(str(STEP_BACK))


def kill_again_and_again(machines: list[MailMachine]) -> None:
    """KILLS times SIGKILL, each machine's share by a hand of its own, at moments that nobody chose."""
    share = -(-KILLS // len(machines))
    with ThreadPoolExecutor(len(machines)) as hands:
        list(hands.map(_kill, machines, range(SEED, SEED + len(machines)), repeat(share)))


def _kill(victim: MailMachine, seed: int, times: int) -> None:
    dice = random.Random(seed)
    lives = 0  # that came as far as serving
    for _ in range(times):
        wait_until(lambda: victim.worker() is not None, PATIENCE_S, "a worker")
        if dice.random() >= STILL_STARTING:
            _wait_until_it_serves(victim, lives)
        time.sleep(dice.uniform(0, LONGEST_LIFE_S) + (dice.random() < 0.5) * LONGEST_LIFE_S)
        worker = victim.worker()
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        lives = victim.lives("mail")


def _wait_until_it_serves(victim: MailMachine, lives: int) -> None:
    wait_until(lambda: victim.lives("mail") > lives, PATIENCE_S, "a worker that serves")


class Stream:
    """A program on the sender's machine that sends mail after mail until it is told to stop."""

    def __init__(self, sender: MailMachine, receiver: MailMachine, kind: str) -> None:
        self.kind, self._machine = kind, sender.machine
        self._stop = sender.machine.folder / f"{kind}.stop"
        program = [sys.executable, "-m", "tests.netns.mail_stream"]
        self.running = sender.machine.start(
            [*program, kind, sender.address, receiver.address, str(self._stop)],
            log=f"{kind}.log",
            env={"PYTHONPATH": str(ROOT)},
        )

    def finish(self) -> set[str]:
        """The subjects of the mails that got 250."""
        assert self.running.poll() is None, self._machine.log(f"{self.kind}.log")
        self._stop.touch()
        self.running.wait(30)
        return set(self._machine.log(f"{self.kind}.log").splitlines())


def drain(sender: MailMachine) -> None:
    """Wait until the sender's queue is empty; what waits for its next try is tried at once."""

    def is_empty() -> bool:
        sender.dexmesh("mail", "retry", "all", check=False)
        time.sleep(1)
        status = json.loads(sender.dexmesh("mail", "status", "--json", check=False) or "{}")
        return bool(status.get("running") and status["waiting"]["mails"] == 0)

    wait_until(is_empty, DRAIN_S, "the queue to empty")


def subjects_in(receiver: MailMachine) -> Counter[str]:
    """How often each subject is in the mailbox, wherever in it."""
    text = receiver.machine.run(["grep", "-h", "^Subject: ", "-r", str(receiver.maildir)]).stdout
    return Counter(line.removeprefix("Subject: ") for line in text.splitlines())
