"""Keep a worker alive: fork it, restart it when it dies, end it when we are to end.

Place     cli/mail_serve.py, with the sockets open -> here -> the work, in a child of this process
Spec      docs/decisions on the one process of the apps; prctl(2) PR_SET_PDEATHSIG, signal(7)
Keeps     the sockets outlive every worker; no worker outlives us; one that dies at once is not restarted
          faster than the pauses allow; this process imports nothing heavy and serves nobody
Not here  what the worker does (apps/service.py); who starts us (cli/up.py, systemd, a person)
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from dexmesh.apps.base.account import Account, become
from dexmesh.errors import ConfigError, DexmeshError, PermissionNeededError
from dexmesh.values import dataclass

QUICK_DEATH_S = 10.0  # ours: who dies within this time is restarted ever more slowly
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
GRACE_S = 20.0  # ours: what a worker gets to end in order

REOPEN = 77  # exit code of a worker: other sockets or rights are wanted; `supervise` returns it
DONE = 76  # exit code of a worker: there is nothing to do any more (switched off)
AGAIN = 75  # exit code of a worker: fork me anew at once (settings changed)
HOPELESS = 78  # exit code of a worker: trying again cannot help (settings, rights)

_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[Callable[[], None]], int]
"""What the worker does, as its account; is given what to call when it is ready; its exit code."""


@dataclass(frozen=True, slots=True)
class Options:
    """`lifeline`: a descriptor that reaches its end when whoever started us is gone.

    `ready` is called in this process whenever a worker says it can be used. `prepare` is called in each
    worker before it changes its account, which may not be able to read where Python's modules are.
    """

    account: Account
    prepare: Callable[[], None] | None = None
    lifeline: int | None = None
    ready: Callable[[], None] | None = None


class Pauses:
    """How long to wait before the next fork. Performs no I/O; seconds in, seconds out."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, lived_s: float, *, came_up: bool = False) -> float:
        """The pause after a worker that lived so long: none first, then twice as long each time.

        One that came up works: what killed it came from outside, and the count begins anew.
        """
        if lived_s >= QUICK_DEATH_S:
            self._next_s = 0.0
        elif came_up:
            self._next_s = min(self._next_s, FIRST_PAUSE_S)
        pause_s = self._next_s
        self._next_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        return pause_s


def supervise(work: Work, options: Options) -> int:
    """Run workers until SIGTERM, SIGINT, SIGHUP, or the end of the lifeline; the exit code.

    Returns REOPEN when the caller shall open other sockets and call again.
    """
    supervisor = _Supervisor(work, options)
    try:
        return supervisor.run()
    finally:
        supervisor.close()


class _Supervisor:
    def __init__(self, work: Work, options: Options) -> None:
        self._work = work
        self._options = options
        self._wake, self._poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._asked: signal.Signals | None = None
        self._pid = 0
        self._was_ready = self._came_up = False
        self._lifeline = options.lifeline

    def run(self) -> int:
        signal.set_wakeup_fd(self._poke, warn_on_full_buffer=False)
        for number in _ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked not to be ended
                signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        pauses = Pauses()
        while True:
            began = time.monotonic()
            code = self._one_worker()
            if self._asked is not None or code in {DONE, REOPEN}:
                return self._last_word(code)
            if code == HOPELESS and not self._was_ready:
                return HOPELESS
            if code == AGAIN:
                log.info("the worker starts anew with changed settings")
                continue
            pause_s = pauses.after(time.monotonic() - began, came_up=self._came_up)
            log.warning("the worker ended by itself", extra={"code": code, "pause_s": pause_s})
            self._wait(time.monotonic() + pause_s)
            if self._asked is not None:
                return 0

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._poke)

    def _last_word(self, code: int) -> int:
        if code == REOPEN and self._asked is None:
            return REOPEN
        told = {-number for number in _ENDING}  # it had not come so far as to end in order
        return 0 if code in {0, AGAIN, DONE, REOPEN, *told} else 1

    def _ask(self, number: int, _frame: object) -> None:
        self._asked = signal.Signals(number)

    def _one_worker(self) -> int:
        """Fork, see the worker through, and say how it ended (a signal N as -N)."""
        self._came_up = False
        said, say = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be_worker(parent, say)
        self._pid = pid
        os.close(say)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        try:
            return self._see_through(pid, said)
        finally:
            self._pid = 0
            os.close(said)

    def _see_through(self, pid: int, said: int) -> int:
        deadline: float | None = None
        is_said = False
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if self._asked is not None and deadline is None:
                os.kill(pid, self._asked)
                deadline = time.monotonic() + GRACE_S
            if deadline is not None and time.monotonic() >= deadline:
                log.error("the worker does not end; killing it")
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")
            is_said = self._wait(deadline, None if is_said else said) or is_said

    def _wait(self, deadline: float | None, said: int | None = None) -> bool:
        """Sleep until a signal, the end of the lifeline, the worker's word, or the deadline.

        True when the pipe `said` is done with.
        """
        if self._asked is not None and self._pid == 0:
            return False
        left_s = None
        if deadline is not None and deadline != float("inf"):
            left_s = max(0.0, deadline - time.monotonic())
        watched = [fd for fd in (self._wake, self._lifeline, said) if fd is not None]
        readable, _, _ = select.select(watched, [], [], left_s)
        if self._wake in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        if self._lifeline in readable and not os.read(self._lifeline, 1):
            self._lifeline = None
            self._ask(signal.SIGTERM, None)
        if said is None or said not in readable:
            return False
        if os.read(said, 1):
            self._was_ready = self._came_up = True
            if self._options.ready is not None:
                self._options.ready()
        return True

    def _be_worker(self, parent: int, say: int) -> NoReturn:
        """The child: never returns into the caller's stack."""
        code = 1
        try:
            code = self._work_as_account(parent, say)
        except DexmeshError as error:
            log.error("the worker failed", extra={"reason": str(error), "hint": error.hint})
            is_hopeless = isinstance(error, (ConfigError, PermissionNeededError))
            code = HOPELESS if is_hopeless else 1
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 the last word of this process
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _work_as_account(self, parent: int, say: int) -> int:
        signal.set_wakeup_fd(-1)
        for number in (*_ENDING, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        os.close(self._wake)
        os.close(self._poke)
        if self._options.lifeline is not None and self._lifeline is not None:
            os.close(self._options.lifeline)
        if self._options.prepare is not None:
            self._options.prepare()
        become(self._options.account)
        _die_with(parent)  # after the change of account, which would forget it

        def is_ready() -> None:
            with contextlib.suppress(OSError):
                os.write(say, b"R")
                os.close(say)

        return self._work(is_ready)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
