"""Start something that lives on when this program ends, and learn whether it came up.

Place     cli/cjdroute.py -> here
Spec      docs/protocol/09 section 5 "Process model, messages, exit codes"
Keeps     the parent returns only after the daemon said ready, ended, or was ended for being late;
          messages of a failing start still reach the terminal
Not here  what the daemon does (host/daemon.py)
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

START_TIMEOUT_S = 60.0  # ours; looking up host names does not count, it goes on behind ready

_READY = b"R"

Start = Callable[[Callable[[], None]], int]
"""Runs the daemon; gets what to call when it is ready, gives its exit code."""


def run_in_background(
    start: Start, *, keep_output: bool = False, timeout_s: float = START_TIMEOUT_S
) -> int:
    """Exit code for the parent: 0 once the daemon is ready, its own code if it ends before.

    Must be called before any thread exists. The daemon gets a session of its own; once ready it
    lets go of the terminal, with `keep_output` only of its input.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    first = os.fork()
    if first == 0:
        os.close(reading)
        _become_daemon(start, writing, keep_output=keep_output)
    os.close(writing)
    os.waitpid(first, 0)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        return _wait_until_ready(pipe.fileno(), timeout_s)


def _wait_until_ready(pipe: int, timeout_s: float) -> int:
    """Read `PID newline`, then `R` or the exit code as one more line, until the pipe closes."""
    heard = b""
    deadline = time.monotonic() + timeout_s
    while not heard.endswith(_READY):
        left = max(0.0, deadline - time.monotonic())
        try:
            is_late = not select.select([pipe], [], [], left)[0]
        except KeyboardInterrupt:
            _end(heard)
            raise
        if is_late:
            _end(heard)
            sys.stderr.write(f"the node was not ready after {timeout_s:.0f} seconds\n")
            return 1
        piece = os.read(pipe, 64)
        if not piece:
            _, _, code = heard.partition(b"\n")
            return int(code) if code.isdigit() else 1
        heard += piece
    return 0


def _end(heard: bytes) -> None:
    pid, newline, _ = heard.partition(b"\n")
    if newline and pid.isdigit():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _become_daemon(start: Start, writing: int, *, keep_output: bool) -> None:
    """The child: leave the session, fork once more, run. Does not return."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    report = _Report(writing, keep_output=keep_output)
    code = 1
    try:
        report.say(b"%d\n" % os.getpid())
        _let_go([0], os.O_RDONLY)
        code = start(report.ready)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the last handler of this process
        traceback.print_exc()
    finally:
        report.say(b"%d" % (code & 0xFF or 1))
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


class _Report:
    """The daemon's end of the pipe to its parent; closed, and silent, once it is ready."""

    def __init__(self, pipe: int, *, keep_output: bool) -> None:
        self._pipe: int | None = pipe
        self._keep_output = keep_output

    def say(self, words: bytes) -> None:
        """Tell the parent, if it still listens."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, words)

    def ready(self) -> None:
        """Let go of the terminal and of the parent. A second call does nothing."""
        if self._pipe is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        if not self._keep_output:
            _let_go([1, 2], os.O_WRONLY)
        self.say(_READY)
        os.close(self._pipe)
        self._pipe = None


def _let_go(descriptors: list[int], flags: int) -> None:
    nothing = os.open(os.devnull, flags)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)
