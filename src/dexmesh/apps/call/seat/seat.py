"""Sit at one end of a call: sockets, sound and a clock of 20 ms, in one thread.

Place     `dexmesh call`, `answer`, `phone`, and voicemail in the worker -> here -> call/media, sound/
Spec      docs/decisions/0013-calls.md ("the sound is where the person is"); docs/apps/sip.md, "Media"
Keeps     one wake-up in 20 ms; nothing in a packet, on a disk or in a sound card makes a call late for
          good; whoever holds a seat may call it from any thread
Not here  who is called and when it ends: the service tells (call/phone)
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread, current_thread
from typing import Final

from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.media.formats import Format
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.session import (
    DigitArrived,
    MediaBack,
    MediaDead,
    MediaOutput,
    MediaSession,
)
from dexmesh.apps.call.media.stats import CallStatistics
from dexmesh.apps.call.seat.beat import Beat
from dexmesh.apps.call.seat.sockets import PORTS, MediaSockets
from dexmesh.apps.call.sound.interface import FRAME_MS, Sink, Source
from dexmesh.apps.call.sound.level import peak_db
from dexmesh.errors import SoundError, UsageError
from dexmesh.values import dataclass

SIGNAL_RATE: Final = 16_000  # of what is played before there is a call
SELDOM: Final = 10  # ours: times 20 ms; reports are 5 s apart, and the kernel says when they came
_STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class SeatEvents:
    """What a seat tells, from its own thread: do not wait in there.

    `dead`: nothing was heard for so many seconds, or the seat itself failed; `back`: but now;
    `digit`: the other side pressed a key.
    """

    dead: Callable[[float], None] = lambda silent_s: None
    back: Callable[[], None] = lambda: None
    digit: Callable[[str], None] = lambda digit: None


@dataclass(frozen=True, slots=True)
class SeatStatistics:
    """A seat until now; `media` is None before there is a call.

    `strangers`: packets of others; `unsent`: that the kernel did not take; `skipped`: times 20 ms for
    which the machine was too busy, or asleep; `cpu_s`: what the thread used of a core.
    """

    media: CallStatistics | None
    strangers: int
    unsent: int
    skipped: int
    cpu_s: float

    def as_dict(self) -> dict[str, object]:
        """For JSON: one flat object."""
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del own["media"]
        return (self.media.as_dict() if self.media else {}) | own


@dataclass(frozen=True, slots=True)
class Levels:
    """How loud it is now, in decibels of full scale (0 at most)."""

    heard_db: float
    spoken_db: float


class Seat:
    """One end of one call. Owns its ports from the beginning, its source and sink until `stop`."""

    def __init__(
        self,
        host: str,
        source: Source,
        sink: Sink,
        events: SeatEvents = SeatEvents(),  # noqa: B008 a frozen value
        *,
        ports: Sequence[int] = PORTS,
        make_codec: Callable[[Format], Codec] = catalogue.make,
        clock: Callable[[], float] = time.monotonic,
        has_thread: bool = True,
    ) -> None:
        """`host` is the own mesh address. Without a thread somebody calls `tick`. Raises BindError."""
        self._source, self._sink, self._events = source, sink, events
        self._make_codec = make_codec
        self._sockets = MediaSockets(host, ports)
        self.port = self._sockets.port
        self._lock = Lock()  # for everything below, and for the sounds
        self._session: MediaSession | None = None
        self._codec: Codec | None = None
        self._prepared: dict[tuple[str, int], Codec] = {}
        self._signal: Source | None = None
        self._is_muted = False
        self._heard = self._spoken = b""
        self._beat: Beat | None = None
        self._cpu_s = 0.0
        self._ticks = 0
        self._ended_at: float | None = None
        self._is_over = False
        self._clock, self._has_thread = clock, has_thread
        self._has_work = Event()
        self._thread = Thread(target=self._run, name="dexmesh-seat", daemon=True)

    def prepare(self, formats: Iterable[Format]) -> None:
        """Have the thread wait for the call, and make the codecs it may have: the first sound is soon.

        A thread that begins has to wait for its turn on a busy machine, one that wakes up has not.
        """
        if self._has_thread and self._thread.ident is None:
            self._thread.start()
        for one in formats:
            made = self._make_codec(one)
            with self._lock:
                self._prepared[one.name, one.clock] = made

    def play(self, signal: Source | None) -> None:
        """Let the person hear this until there is a call: ringback, the bell. None: nothing.

        Only where a person listens: a recording would begin with it.
        """
        with self._lock:
            self._require_open()
            if self._session is not None:
                return
            if signal is not None:
                signal.start(SIGNAL_RATE)
                self._sink.start(SIGNAL_RATE)
            self._signal = signal
        self._wake_thread()

    def start(self, plan: MediaPlan) -> None:
        """The call begins, or goes on in another way: held, resumed, another codec or port.

        Raises UsageError if this machine has no such codec, SoundError if a sound cannot be had.
        """
        agreed = plan.agreed
        with self._lock:
            self._require_open()
            codec = self._codec_for(agreed.codec)
            self._start_sounds(codec.sample_rate)
            self._sockets.connect(plan.remote, agreed.remote_port, agreed.remote_rtcp_port)
            if self._session is None:
                self._sockets.drain()
                self._session = MediaSession(plan, codec, secrets.randbits, self._clock())
            else:
                self._session.change(plan, codec)
            self._codec, self._signal = codec, None
        self._wake_thread()

    def replace(self, source: Source | None = None, sink: Sink | None = None) -> None:
        """Speak from another source, or let another sink hear; the former ones are closed."""
        with self._lock:
            self._require_open()
            if source is not None:
                if self._codec is not None:
                    source.start(self._codec.sample_rate)
                self._source.close()
                self._source = source
            if sink is not None:
                if self._codec is not None or self._signal is not None:
                    sink.start(self._codec.sample_rate if self._codec else SIGNAL_RATE)
                self._sink.close()
                self._sink = sink

    def mute(self, is_muted: bool) -> None:
        """Say nothing, or speak again; the other side hears silence, not a call on hold."""
        self._is_muted = is_muted

    def send_digit(self, digit: str) -> bool:
        """Press a key; False if it must be told another way (INFO), or too many wait."""
        with self._lock:
            return self._session is not None and self._session.send_digit(digit)

    def levels(self) -> Levels:
        """What the meters show."""
        return Levels(peak_db(self._heard), peak_db(self._spoken))

    def statistics(self) -> SeatStatistics:
        """How it goes; after `stop`, how it went."""
        with self._lock:
            now = self._clock() if self._ended_at is None else self._ended_at
            media = None if self._session is None else self._session.statistics(now)
            sockets = self._sockets
            skipped = self._beat.skipped if self._beat else 0
            return SeatStatistics(media, sockets.strangers, sockets.unsent, skipped, self._cpu_s)

    def stop(self) -> SeatStatistics:
        """The call is over: say so by RTCP, close everything. More than once does no harm."""
        self._is_over = True
        self._has_work.set()
        if self._thread.ident is None:
            self._finish()
        elif self._thread is not current_thread():
            self._thread.join(_STOP_S)
        return self.statistics()

    def _codec_for(self, wanted: Format) -> Codec:
        codec = self._codec
        if codec is not None and (codec.name, codec.rtp_clock) == (wanted.name, wanted.clock):
            return codec
        return self._prepared.pop((wanted.name, wanted.clock), None) or self._make_codec(wanted)

    def _start_sounds(self, rate: int) -> None:
        """Both at this rate, or both as they were."""
        try:
            self._source.start(rate)
            self._sink.start(rate)
        except SoundError:
            if self._codec is not None:
                with suppress(SoundError):
                    self._source.start(self._codec.sample_rate)
                    self._sink.start(self._codec.sample_rate)
            raise

    def _require_open(self) -> None:
        if self._is_over:
            raise UsageError("this seat was left")

    def _wake_thread(self) -> None:
        if self._has_thread and self._thread.ident is None:
            self._thread.start()
        self._has_work.set()

    def _run(self) -> None:
        self._has_work.wait()
        beat = self._beat = Beat(FRAME_MS / 1000, self._clock())
        try:
            while not self._is_over:
                self.tick(self._clock())
                if not self._ticks:
                    self._cpu_s = time.thread_time()
                time.sleep(beat.advance(self._clock()))  # cheaper than an Event
        finally:
            self._cpu_s = time.thread_time()
            self._finish()
            if not self._is_over:  # a fault of ours: the call shall end, not stay silent
                self._is_over = True
                self._events.dead(0.0)

    def tick(self, now: float) -> None:
        """20 ms. The thread of the seat calls this, and nobody else where there is one."""
        outputs: Sequence[MediaOutput] = ()
        with self._lock:
            if self._session is None:
                self._tick_without_call()
            elif self._ended_at is None:
                outputs = self._tick_of_call(self._session, now)
        if outputs:
            self._tell(outputs)  # outside of the lock: whoever is told may call the seat

    def _tick_of_call(self, session: MediaSession, now: float) -> Sequence[MediaOutput]:
        """All code here is cold after 20 ms of sleep: what is called costs ten times of what it seems to."""
        self._ticks = ticks = (self._ticks + 1) % SELDOM
        others = self._sockets.receive(session.incoming, now, not ticks)
        for is_report, packet, came_at in others:
            if is_report:
                session.handle_rtcp(packet, came_at)
            else:
                session.handle_rtp(packet, came_at)
        self._heard = heard = session.pull(now)
        self._sink.write(heard)
        spoken = self._source.read()
        self._spoken = spoken = bytes(len(spoken)) if self._is_muted else spoken
        for packet in session.push(spoken, now):
            self._sockets.send_rtp(packet)
        if not ticks and (report := session.next_rtcp(now)):
            self._sockets.send_rtcp(report)
        return session.take_outputs() if others or not ticks else ()

    def _tick_without_call(self) -> None:
        self._sockets.drain()
        if self._signal is not None:
            self._heard = self._signal.read()
            self._sink.write(self._heard)

    def _tell(self, outputs: Sequence[MediaOutput]) -> None:
        for output in outputs:
            match output:
                case DigitArrived(digit):
                    self._events.digit(digit)
                case MediaDead(silent_s):
                    self._events.dead(silent_s)
                case MediaBack():
                    self._events.back()

    def _finish(self) -> None:
        with self._lock:
            if self._ended_at is not None:
                return
            self._ended_at = self._clock()
            if self._session is not None:
                self._sockets.send_rtcp(self._session.end(self._ended_at))
            self._sockets.close()
            for sound in (self._source, self._sink, self._signal):
                if sound is not None:
                    sound.close()
