"""Keep a message that nobody took in ~/dead.letter, where people look for it.

Place     program.py -> here -> an mbox in the home of whoever called
Spec      mailx(1), sendmail(8) "dead.letter"; RFC 4155
Keeps     a message is in the file whole or not at all; constant memory, whatever its size; nothing but a
          file of one's own is written to
Not here  mail of the service (store/mbox.py)
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dexmesh.apps.mail.sendmail.message import login_name

_QUOTED_FROM = re.compile(rb"^(?=>*From )", re.MULTILINE)
_LONGEST_LINE = 1 << 20  # ours: of a longer one, only the start is looked at


def keep(message: Iterable[bytes]) -> str:
    """Append the message, which comes in pieces; a text that says so."""
    path = Path(os.path.expanduser("~")) / "dead.letter"
    try:
        _append(path, _entry(message))
    except OSError as error:
        return f"the message is LOST: {path} cannot be written ({error.strerror})"
    return f"the message is kept in {path}"


def _entry(message: Iterable[bytes]) -> Iterator[bytes]:
    yield f"From {login_name()} {time.asctime(time.gmtime())}\n".encode()
    end = b""
    for lines in _quoted(message):
        yield lines
        end = lines[-1:]
    yield b"\n" if end == b"\n" else b"\n\n"


def _quoted(message: Iterable[bytes]) -> Iterator[bytes]:
    """The message with LF line ends, and a `>` before each line that an mbox would begin with."""
    held, is_line_start = b"", True
    for piece in message:
        held += piece
        cut = held.rfind(b"\n") + 1
        if not cut and len(held) >= _LONGEST_LINE:
            cut = len(held) - held.endswith(b"\r")
        if cut:
            yield _quoted_lines(held[:cut], is_line_start)
            is_line_start, held = held[cut - 1 : cut] == b"\n", held[cut:]
    if held:
        yield _quoted_lines(held, is_line_start)


def _quoted_lines(text: bytes, is_line_start: bool) -> bytes:
    text = text.replace(b"\r\n", b"\n")
    begun = b"" if is_line_start else text[: text.find(b"\n") + 1] or text
    return begun + _QUOTED_FROM.sub(b">", text[len(begun) :])


def _append(path: Path, entry: Iterable[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        try:
            for piece in entry:
                _write(descriptor, piece)
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, size)  # half a message would swallow the next one
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
