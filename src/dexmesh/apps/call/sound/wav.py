"""Play a WAV file into a call, and write what is heard into one.

Place     seat/ <- here -> a file
Spec      docs/apps/sip.md, "Building blocks": files are ends like a sound card
Keeps     any rate in; 16 bit mono out, for its owner alone, playable even when we are killed midway;
          a disk that fails ends the recording, never the call
Not here  the head and the samples (wav_format.py), other rates (resample.py)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from dexmesh.apps.call.sound.interface import frame_bytes
from dexmesh.apps.call.sound.resample import Resampler
from dexmesh.apps.call.sound.wav_format import (
    HEAD_BYTES,
    MOST_DATA_BYTES,
    WavHead,
    decode_head,
    encode_head,
    to_mono,
)
from dexmesh.errors import SoundError, UsageError

BLOCK_S: Final = 0.5  # of a file read at once
WRITE_EVERY_S: Final = 1  # what is lost at most when we are killed


class WavSource:
    """A file, played once or again and again."""

    def __init__(self, path: Path, *, is_repeated: bool = False) -> None:
        """Raises SoundError if it cannot be played."""
        self.problem = ""
        self._is_repeated = is_repeated
        self._file, self._head = _open(path)
        self._left = self._head.size
        self._rate = 0
        self._resampler: Resampler | None = None
        self._ready = b""
        self._has_ended = self._has_sound = False

    @property
    def is_finished(self) -> bool:
        """Whether everything was played."""
        return self._has_ended and not self._ready

    def start(self, rate: int) -> None:
        """Play, or go on, at this rate."""
        if rate == self._rate:
            return
        if self._resampler is not None and not self._has_ended:
            self._ready += self._resampler.flush()
        if self._ready:
            again = Resampler(self._rate, rate)
            self._ready = again.feed(self._ready) + again.flush()
        self._rate, self._resampler = rate, Resampler(self._head.rate, rate)

    def read(self) -> bytes:
        """The next 20 ms."""
        size = frame_bytes(self._rate)
        while len(self._ready) <= size and not self._has_ended:  # so that its end is known in time
            self._ready += self._more()
        frame, self._ready = self._ready[:size], self._ready[size:]
        return frame.ljust(size, b"\0")

    def close(self) -> None:
        """Close the file."""
        self._has_ended, self._ready = True, b""
        self._file.close()

    def _more(self) -> bytes:
        if self._resampler is None:
            raise UsageError("a source is started before it is read")
        data = self._block()
        if data:
            self._has_sound = True
            return self._resampler.feed(to_mono(data, self._head))
        if self._is_repeated and self._has_sound and not self.problem:
            self._file.seek(self._head.start)
            self._left = self._head.size
            return b""
        self._has_ended = True
        return self._resampler.flush()

    def _block(self) -> bytes:
        """Whole samples of all channels; empty at the end."""
        step = self._head.step
        wanted = max(1, int(self._head.rate * BLOCK_S)) * step
        if self._left is not None:
            wanted = min(wanted, self._left)
        try:
            data = self._file.read(wanted)
        except OSError as error:
            self.problem = _reason(error)
            return b""
        if self._left is not None:
            self._left -= len(data)
        return data[: len(data) // step * step]


class WavSink:
    """A recording, at the rate of the first `start`."""

    def __init__(
        self, path: Path, *, most_s: float | None = None, may_replace: bool = False
    ) -> None:
        """`most_s`: longer is not recorded. Raises SoundError if the file cannot be made."""
        self.path = path
        self.problem = ""
        self._most_s = most_s
        self._file: int | None = _create(path, may_replace=may_replace)
        self._rate = 0
        self._resampler: Resampler | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = self._written = 0

    @property
    def seconds(self) -> float:
        """What was recorded."""
        return (self._written + self._waiting_bytes) / (2 * self._rate) if self._rate else 0.0

    @property
    def is_full(self) -> bool:
        """Whether no more is recorded."""
        return self._file is None or self._room() <= 0

    def start(self, rate: int) -> None:
        """Record at this rate; later rates are brought to it."""
        if not self._rate:
            self._rate = rate
            self._write(encode_head(rate, 0), 0)
        elif self._resampler is not None:
            self._take(self._resampler.flush())
        self._resampler = None if rate == self._rate else Resampler(rate, self._rate)

    def write(self, pcm: bytes) -> None:
        """Record 20 ms; they are on disk within a second."""
        self._take(pcm if self._resampler is None else self._resampler.feed(pcm))
        if self._waiting_bytes >= 2 * self._rate * WRITE_EVERY_S:
            self._save()

    def close(self) -> None:
        """Finish the file."""
        if self._file is None:
            return
        if not self._rate:
            self.start(8000)  # nothing was heard: a WAV file all the same
        if self._resampler is not None:
            self._take(self._resampler.flush())
        self._save()
        self._end()

    def _room(self) -> int:
        """Bytes that still fit."""
        most = MOST_DATA_BYTES
        if self._most_s is not None and self._rate:
            most = min(most, 2 * int(self._most_s * self._rate))
        return most - self._written - self._waiting_bytes

    def _take(self, pcm: bytes) -> None:
        pcm = pcm[: max(0, self._room())]
        if pcm and self._file is not None:
            self._waiting.append(pcm)
            self._waiting_bytes += len(pcm)

    def _save(self) -> None:
        """Sound first, sizes then: what the head promises is there."""
        data = b"".join(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        if data and self._write(data, HEAD_BYTES + self._written):
            self._written += len(data)
            self._write(encode_head(self._rate, self._written), 0)

    def _write(self, data: bytes, place: int) -> bool:
        if self._file is None:
            return False
        try:
            while data:
                count = os.pwrite(self._file, data, place)
                data, place = data[count:], place + count
        except OSError as error:
            self.problem = _reason(error)
            self._end()
            return False
        return True

    def _end(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> tuple[BinaryIO, WavHead]:
    try:
        # without O_NONBLOCK a pipe would be waited for
        file = open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")  # noqa: SIM115
    except OSError as error:
        raise SoundError(f"cannot play {path}: {_reason(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SoundError(f"cannot play {path}: it is no file")
        return file, decode_head(file, str(path))
    except (OSError, SoundError) as error:
        file.close()
        if isinstance(error, OSError):
            raise SoundError(f"cannot play {path}: {_reason(error)}") from None
        raise


def _create(path: Path, *, may_replace: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= os.O_TRUNC if may_replace else os.O_EXCL
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        raise SoundError(f"{path} is there already", "give another name, or remove it") from None
    except OSError as error:
        raise SoundError(f"cannot record into {path}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
