"""Be the ends of a call that nobody speaks in or listens to."""

from __future__ import annotations

from dexmesh.apps.call.sound.interface import frame_bytes


class Silence:
    """A source that never ends and says nothing."""

    is_finished = False

    def __init__(self) -> None:
        self._frame = b""

    def start(self, rate: int) -> None:
        """Be silent at this rate."""
        self._frame = bytes(frame_bytes(rate))

    def read(self) -> bytes:
        """Zeros."""
        return self._frame

    def close(self) -> None:
        """Nothing is held."""


class Discard:
    """A sink that keeps nothing."""

    def start(self, rate: int) -> None:
        """Any rate will do."""

    def write(self, pcm: bytes) -> None:
        """Forget it."""

    def close(self) -> None:
        """Nothing is held."""
