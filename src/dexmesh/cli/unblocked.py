"""Write to a terminal that may take nothing (Ctrl-S, a stalled ssh) without ever waiting for it.

Place     cli/call_line.py puts it around a call -> here -> whatever prints there, and Rich
Keeps     a write never waits; what the terminal does not take is kept up to MOST_BYTES, and what comes
          then is not shown; a picture or a line is shown whole or not at all; other programs at the
          same terminal see no difference
Not here  standard output that is no terminal: a program that reads it slowly is waited for
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Final, TextIO

MOST_BYTES: Final = 1 << 16
LEAVE_S: Final = 0.5  # ours: what is left is shown within that time, or not any more


@contextlib.contextmanager
def unblocked_terminal() -> Iterator[None]:
    """Standard output and standard error do not wait meanwhile, where they are terminals."""
    former = sys.stdout, sys.stderr
    streams = [_unblocked(one) for one in former]
    sys.stdout, sys.stderr = (
        one if ours is None else ours for one, ours in zip(former, streams, strict=True)
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = former
        for ours in streams:
            if ours is not None:
                ours.leave()


def _unblocked(stream: TextIO) -> UnblockedTerminal | None:
    """The same terminal, opened once more: a flag on the first would be one of the shell as well."""
    try:
        if not stream.isatty():
            return None
        stream.flush()
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK
        descriptor = os.open(os.ttyname(stream.fileno()), flags)
    except (OSError, ValueError):  # closed, or a terminal of somebody else (su)
        return None
    return UnblockedTerminal(descriptor, stream.encoding)


class UnblockedTerminal(io.TextIOBase):
    """A text stream to a terminal. Used by one thread."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        """Takes over the descriptor, which does not block."""
        self._descriptor, self._encoding = descriptor, encoding
        self._waiting = bytearray()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As the terminal wants it."""
        return self._encoding

    def fileno(self) -> int:
        """Of the terminal."""
        return self._descriptor

    def isatty(self) -> bool:
        """It is one."""
        return True

    def writable(self) -> bool:
        """Always, whatever becomes of it."""
        return True

    def write(self, text: str) -> int:
        """Show this as soon as the terminal takes it. Raises OSError if there is no terminal any more."""
        data = text.encode(self._encoding, "replace")
        if len(self._waiting) + len(data) <= MOST_BYTES:
            self._waiting += data
        self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what the terminal takes now."""
        try:
            while self._waiting:
                del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            pass

    def leave(self) -> None:
        """Give it back, after a moment for what was not shown yet."""
        end = time.monotonic() + LEAVE_S
        with contextlib.suppress(OSError):
            self.flush()
            while self._waiting and (left := end - time.monotonic()) > 0:
                select.select([], [self._descriptor], [], left)
                self.flush()
        self._waiting.clear()
        os.close(self._descriptor)
