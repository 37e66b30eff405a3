"""Hear single keys of a terminal, without waiting for the end of a line.

Place     cli/call.py, cli/phone_seat.py -> here -> inbox.py
Keeps     the terminal is given back as it was; Ctrl-C still is a signal; nothing happens where standard
          input is no terminal, or belongs to another job (`dexmesh phone &`)
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Final

from dexmesh.cli.inbox import Inbox, Key

_LOOK_S: Final = 0.2
_ESCAPE: Final = "\x1b"  # begins what arrows and function keys send


@contextlib.contextmanager
def keys(inbox: Inbox, *, wanted: bool = True) -> Iterator[bool]:
    """Keys go to the inbox meanwhile; gives whether there is a keyboard."""
    descriptor = _terminal() if wanted else None
    if descriptor is None:
        yield False
        return
    former = termios.tcgetattr(descriptor)
    is_over = threading.Event()
    thread = threading.Thread(
        target=_listen, args=(descriptor, inbox, is_over), name="keys", daemon=True
    )
    tty.setcbreak(descriptor)
    thread.start()
    try:
        yield True
    finally:
        is_over.set()
        thread.join(1.0)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, former)


def _terminal() -> int | None:
    try:
        descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
    except (OSError, ValueError):  # closed, or not of the operating system
        return None
    return descriptor if descriptor is not None and _is_in_front(descriptor) else None


def _is_in_front(descriptor: int) -> bool:
    """Whether this job may read; a job in the background would be stopped for it."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal that steers jobs
        return True


def _listen(descriptor: int, inbox: Inbox, is_over: threading.Event) -> None:
    while not is_over.is_set():
        if not select.select([descriptor], [], [], _LOOK_S)[0]:
            continue
        try:
            typed = os.read(descriptor, 64).decode(errors="replace")
        except OSError:  # the terminal is gone: a SIGHUP says so, too
            return
        if not typed:
            return
        for char in typed.partition(_ESCAPE)[0]:
            inbox.put(Key(char))
