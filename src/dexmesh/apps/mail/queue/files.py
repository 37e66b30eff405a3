"""Keep the text of each queued mail in a file of its own.

Place     mailqueue.py -> here -> home/mail/queue/
Spec      docs/apps/mail.md §4 Queue ("one file per message", "fsync before 250")
Keeps     a file that has its name is complete and on the disk; constant memory, whatever the size
Not here  who the mail is for (tables.py)
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dexmesh.apps.mail.proto.attempts import Needs
from dexmesh.apps.mail.proto.sending import LineEnds
from dexmesh.values import dataclass

CHUNK_BYTES = 64 * 1024
MAX_HEADER_BYTES = 256 * 1024  # ours: what is looked at for a report

_NEW = ".new"


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is on the disk, its name not yet durable (`MessageFiles.sync`)."""

    file: str
    needs: Needs


class MessageFiles:
    """The folder. Every method blocks: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder if need be."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, file: str) -> Path:
        """Where a message is."""
        return self._folder / file

    def write(self, message: Path | bytes) -> Written:
        """Copy a message into the folder, its lines ended by CRLF. Raises OSError, leaving nothing."""
        file = secrets.token_hex(10)
        path = self.path(file + _NEW)
        try:
            needs = _copy(message, path)
            path.rename(self.path(file))
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        return Written(file, needs)

    def sync(self) -> None:
        """Make the names of all files durable."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, file: str) -> None:
        """Forget a message. One that cannot be removed is removed at the next start."""
        with suppress(OSError):
            self.path(file).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Every file of the folder, unfinished ones too."""
        with os.scandir(self._folder) as entries:
            return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}

    def header(self, file: str) -> bytes:
        """The header of a message, with its last line end, without the empty line.

        Empty if the file is gone: the report that wants it shall be told all the same.
        """
        start = self._start(file, MAX_HEADER_BYTES)
        if start.startswith(b"\r\n"):
            return b""
        end = start.find(b"\r\n\r\n")
        return start if end < 0 else start[: end + 2]

    def read(self, file: str, limit: int) -> bytes | None:
        """The whole of a message, None if it is longer than `limit`."""
        data = self._start(file, limit + 1)
        return data if len(data) <= limit else None

    def _start(self, file: str, size: int) -> bytes:
        try:
            with self.path(file).open("rb") as source:
                return source.read(size)
        except FileNotFoundError:
            return b""


def _copy(message: Path | bytes, target: Path) -> Needs:
    ends = LineEnds()
    with open(target, "xb", opener=_private) as out:
        for chunk in _chunks(message):
            out.write(ends.feed(chunk))
        out.write(ends.finish())
        out.flush()
        os.fsync(out.fileno())
    return Needs(ends.size, ends.is_8bit, ends.has_8bit_header)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _chunks(message: Path | bytes) -> Iterator[bytes]:
    if isinstance(message, bytes):
        yield message
        return
    with message.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
