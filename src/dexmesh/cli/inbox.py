"""Bring together what happens: words of the service, keys, signals, what the sound tells.

Place     threads that wait for one thing each -> here -> the one loop of cli/call.py or cli/phone_seat.py
Keeps     one thread decides; whoever hands something in never waits; a stream that ends says so
Not here  what follows (seat_run.py, phone_seat.py)
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from dexmesh.errors import DexmeshError, NoServiceError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient

Event: TypeAlias = dict[str, Any]

MAX_COMMANDS: Final = 64  # ours: that wait for the service; more are dropped
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Told:
    """The service said something on a stream."""

    stream: Stream
    event: Event


@dataclass(frozen=True, slots=True)
class StreamOver:
    """A stream ended; `error`: not as it should."""

    stream: Stream
    error: DexmeshError | None


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The service did not do what a key asked for."""

    command: str
    error: DexmeshError


@dataclass(frozen=True, slots=True)
class SeatTold:
    """The sound of a call has news: `digit`, `dead`, `back`. `token` says of which."""

    token: object
    event: Event


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    char: str


@dataclass(frozen=True, slots=True)
class Quit:
    """Somebody wants this program to end: a number of signal.Signals."""

    signal: int


Happening: TypeAlias = Told | StreamOver | CommandRefused | SeatTold | Key | Quit


class Inbox:
    """What happened, in order. Any thread, and a signal handler, may put something in."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Happening] = queue.SimpleQueue()

    def put(self, happening: Happening) -> None:
        """Hand in; never waits."""
        self._waiting.put(happening)

    def take(self, timeout_s: float) -> Happening | None:
        """The next one; None if there is none in that time."""
        try:
            return self._waiting.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None


class Stream:
    """A call of the control socket that gives many items, listened to by a thread."""

    def __init__(self, client: ControlClient, inbox: Inbox, call: str, arguments: Event) -> None:
        self._client, self._inbox = client, inbox
        self._is_closed = False
        self._thread = threading.Thread(
            target=self._listen, args=(call, arguments), name=call, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more; the service notices that we left."""
        self._is_closed = True
        self._client.close()
        self._thread.join(2.0)

    def _listen(self, call: str, arguments: Event) -> None:
        error: DexmeshError | None = None
        try:
            for event in self._client.stream(call, **arguments):
                if self._is_closed:  # before there was a connection to close
                    self._client.close()
                    break
                self._inbox.put(Told(self, event))
        except DexmeshError as ended:
            error = ended
        self._inbox.put(StreamOver(self, error))


class Commander:
    """Does calls of the control socket in a thread, in order; only what fails is told."""

    def __init__(self, client: ControlClient, inbox: Inbox) -> None:
        self._client, self._inbox = client, inbox
        self._waiting: queue.Queue[tuple[str, Event] | None] = queue.Queue(MAX_COMMANDS)
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)
        self._thread.start()

    def send(self, command: str, /, **arguments: Any) -> None:
        """Have this done soon."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait((command, arguments))

    def close(self) -> None:
        """End when all is done, or soon."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(2.0)
        self._client.close()

    def _work(self) -> None:
        while (command := self._waiting.get()) is not None:
            try:
                self._do(*command)
            except DexmeshError as error:
                self._inbox.put(CommandRefused(command[0], error))

    def _do(self, call: str, arguments: Event) -> None:
        try:
            self._client.call(call, **arguments)
        except NoServiceError:  # the service ends connections that are silent for a minute
            self._client.close()
            self._client.call(call, **arguments)


@contextlib.contextmanager
def quitting(inbox: Inbox) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP become `Quit`; a second SIGINT ends at once (KeyboardInterrupt)."""
    seen: set[int] = set()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        seen.add(number)
        inbox.put(Quit(number))

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if former[number] is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
