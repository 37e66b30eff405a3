"""Pass log records on to admin clients that subscribed to them.

Place     Python logging -> here -> endpoint.py; functions/log.py subscribes and lists
Spec      docs/protocol/08 §7
Keeps     at most MAX_SUBSCRIPTIONS listen and MAX_WAITING messages wait; what is too much is
          counted per subscription; logging never waits for a client
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from dexmesh.admin.auth import Source, cookie_at
from dexmesh.admin.values import Answer, encode_answer
from dexmesh.errors import AdminError
from dexmesh.values import dataclass

MAX_SUBSCRIPTIONS = 64  # 08 §7
MAX_WAITING = 512  # ours
MAX_MESSAGE_CHARACTERS = 1024  # ours
STREAM_ID_BYTES = 8

LEVELS = {
    "KEYS": 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}  # 08 §7


@dataclass(slots=True, eq=False)
class Subscription:
    """One client's wish. `file` empty and `line` 0 mean any."""

    stream_id: bytes
    source: Source
    txid: bytes
    level: str
    file: str
    line: int
    dropped: int = 0

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether the record is for this client."""
        return (
            record.levelno >= LEVELS[self.level]
            and self.file in ("", record.filename)
            and self.line in (0, record.lineno)
        )


class LogStream(logging.Handler):
    """A logging handler that keeps records for its subscribers until the endpoint takes them.

    `describe` makes the message of a record (the host adds its fields there).
    """

    def __init__(
        self,
        logger: logging.Logger,
        describe: Callable[[logging.LogRecord], str] = logging.LogRecord.getMessage,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(LEVELS["KEYS"])
        self._logger = logger
        self._describe = describe
        self._random_bytes = random_bytes
        self._usual_level = logger.level
        self._usual_effect = logger.getEffectiveLevel()
        self._subscriptions: list[Subscription] = []
        self._waiting: deque[tuple[Subscription, bytes]] = deque()
        self._waker: Callable[[], None] | None = None
        self._guard = threading.RLock()
        logger.addHandler(self)

    def close(self) -> None:
        """Listen no more, and let the logger be as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._usual_level)
        super().close()

    def set_waker(self, waker: Callable[[], None] | None) -> None:
        """Whom to call, from any thread, when messages begin to wait."""
        self._waker = waker

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record for whoever wants it."""
        with self._guard:
            wanted = [one for one in self._subscriptions if one.wants(record)]
            if not wanted:
                return
            is_first = not self._waiting
            try:
                message = self._describe(record).removesuffix("\n")[:MAX_MESSAGE_CHARACTERS]
            except (TypeError, ValueError):  # arguments that do not fit their message
                self.handleError(record)
                return
            for subscription in wanted:
                self._keep(subscription, record, message)
        if is_first and self._waker is not None:
            self._waker()

    def _keep(self, subscription: Subscription, record: logging.LogRecord, message: str) -> None:
        if len(self._waiting) >= MAX_WAITING:
            subscription.dropped += 1
            return
        pushed: Answer = {
            "file": record.filename,
            "level": level_name(record.levelno),
            "line": record.lineno,
            "message": message.encode(errors="replace"),
            "streamId": subscription.stream_id.hex(),
            "time": cookie_at(int(record.created * 1000)),
        }
        self._waiting.append((subscription, encode_answer(pushed, subscription.txid)))

    def take_messages(self, is_tracked: Callable[[Source], bool]) -> list[tuple[Source, bytes]]:
        """Every message that waits, for subscribers that are still there; the others are forgotten."""
        with self._guard:
            waiting, self._waiting = self._waiting, deque()
            self.forget_gone(is_tracked)
            kept = set(map(id, self._subscriptions))
        return [(one.source, data) for one, data in waiting if id(one) in kept]

    def subscribe(self, source: Source, txid: bytes, level: str, file: str, line: int) -> bytes:
        """Begin a stream and return its id. AdminError when there are too many."""
        with self._guard:
            if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
                raise AdminError("Max subscription count reached.")
            stream_id = self._random_bytes(STREAM_ID_BYTES)
            self._subscriptions.append(Subscription(stream_id, source, txid, level, file, line))
            self._set_level()
            return stream_id

    def unsubscribe(self, stream_id: bytes) -> bool:
        """End a stream; whether there was one."""
        with self._guard:
            left = [one for one in self._subscriptions if one.stream_id != stream_id]
            is_there = len(left) < len(self._subscriptions)
            self._subscriptions = left
            self._set_level()
            return is_there

    def subscriptions(self) -> list[Subscription]:
        """Every subscription, oldest first."""
        with self._guard:
            return list(self._subscriptions)

    def forget_gone(self, is_tracked: Callable[[Source], bool]) -> None:
        """End the streams of clients that are tracked no more (08 §7)."""
        with self._guard:
            self._subscriptions = [one for one in self._subscriptions if is_tracked(one.source)]
            self._set_level()

    def _set_level(self) -> None:
        """Let the logger make what somebody wants to hear, and no more."""
        wanted = [LEVELS[one.level] for one in self._subscriptions]
        level = min([self._usual_effect, *wanted]) if wanted else self._usual_level
        self._logger.setLevel(level)


def level_name(number: int) -> str:
    """The name of the highest level of 08 §7 that is not above a Python level."""
    names = [name for name, level in LEVELS.items() if level <= number]
    return names[-1] if names else "KEYS"


def level_of(text: str | None) -> str:
    """The level a client asks for: DEBUG if none, KEYS if it is unknown [08 §7]."""
    if text is None:
        return "DEBUG"
    name = text.upper()
    return name if name in LEVELS else "KEYS"
