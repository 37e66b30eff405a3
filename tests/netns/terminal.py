"""Type into a full-screen program that runs in a machine, and read what its screen says."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

ROWS, COLUMNS = 40, 132
_MOST_BYTES = 1 << 20
_INSERTING = re.compile(rb"\x1b\[[0-9]*@")  # what follows stands beside what was before
_STEERING = re.compile(rb"\x1b[\[(][0-9;?]*[@-~]|\x1b[=>78]|[\x00\x08\x0e\x0f\r\n]")


class Terminal:
    """A program on a terminal of its own. Use as a context manager: the program ends with it."""

    def __init__(self, argv: Sequence[str]) -> None:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._program = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "linux"},
        )
        os.close(theirs)
        self._fd = ours
        self._seen = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._program.poll() is None:
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait(10)
        os.close(self._fd)

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._fd, keys.encode())

    def expect(self, pattern: str, limit_s: float = 10) -> str:
        """Wait until the screen said `pattern` since the last time; returns what it said."""
        end = time.monotonic() + limit_s
        while not re.search(pattern, self._text()):
            if time.monotonic() > end or not self._read(0.2):
                raise AssertionError(f"{pattern!r} is not on the screen: {self._text()}")
        said, self._seen = self._text(), b""
        return said

    def _read(self, wait_s: float) -> bool:
        """Take what the program wrote; False once it ended."""
        if not select.select([self._fd], [], [], wait_s)[0]:
            return True
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self._seen = (self._seen + data)[-_MOST_BYTES:]
        return bool(data)

    def _text(self) -> str:
        """The words in what was drawn, one blank apart, without what moves the cursor."""
        drawn = _STEERING.sub(b" ", _INSERTING.sub(b"", self._seen))
        return " ".join(drawn.decode(errors="replace").split())
