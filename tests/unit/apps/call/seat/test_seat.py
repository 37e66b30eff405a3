"""Two seats talk over the loopback: with a clock of the test, and once with their own."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.media import rtcp
from dexmesh.apps.call.media.formats import EVENTS_8000, G722, PCMA, PCMU, Format
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.seat.seat import SIGNAL_RATE, Seat, SeatEvents
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.silence import Discard, Silence
from dexmesh.apps.call.sound.tones import Part, Tones
from dexmesh.errors import BindError, SoundError, UsageError
from dexmesh.wire.address import Address
from tests.unit.apps.call.codec.sounds import loudness
from tests.unit.apps.call.seat.ports import port_range

LOOPBACK = Address(socket.inet_pton(socket.AF_INET6, "::1"))
ELSEWHERE = Address(b"\xfc" + bytes(15))
PORTS = port_range(27_120, 21)
TONE = (Part((440,), 1),)


class Recorder:
    """A sink that keeps what it was given, by rate."""

    def __init__(self) -> None:
        self.rates: list[int] = []
        self.sound = b""
        self.is_closed = False

    def start(self, rate: int) -> None:
        if [rate] != self.rates[-1:]:
            self.rates.append(rate)
            self.sound = b""

    def write(self, pcm: bytes) -> None:
        assert len(pcm) == self.rates[-1] // 25
        self.sound += pcm

    def close(self) -> None:
        self.is_closed = True

    def tail(self, seconds: float) -> bytes:
        return self.sound[-2 * round(self.rates[-1] * seconds) :]

    def share(self, hertz: float = 440) -> float:
        """Of a tone in what was heard in the last half second."""
        return tone_share(self.tail(0.5), self.rates[-1], hertz)


class Line:
    """Two seats and their clock; only `tone`'s side speaks."""

    def __init__(self, wanted: Format = PCMU) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, Any]] = []
        events = SeatEvents(
            dead=lambda silent_s: self.told.append(("dead", silent_s)),
            back=lambda: self.told.append(("back", None)),
            digit=lambda digit: self.told.append(("digit", digit)),
        )
        self.recorder, self.answer = Recorder(), Recorder()
        self.speaker = self.seat(Tones(TONE), self.answer)
        self.listener = self.seat(Silence(), self.recorder, events)
        self.agree(wanted)

    def seat(self, source: Any, sink: Any, events: SeatEvents = SeatEvents()) -> Seat:  # noqa: B008
        return Seat(
            "::1", source, sink, events, ports=PORTS, clock=lambda: self.now, has_thread=False
        )

    def agree(self, wanted: Format, there: str = "sendrecv", back: str = "sendrecv") -> None:
        self.speaker.start(plan(wanted, self.listener.port, there))
        self.listener.start(plan(wanted, self.speaker.port, back))

    def run(self, seconds: float, *, is_heard: bool = True) -> None:
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            if is_heard:
                self.speaker.tick(self.now)
            self.listener.tick(self.now)

    def stop(self) -> None:
        self.speaker.stop()
        self.listener.stop()


def plan(
    wanted: Format, port: int, direction: str = "sendrecv", remote: Address = LOOPBACK
) -> MediaPlan:
    sound = AgreedFormat(wanted, wanted.payload_type, wanted.payload_type)
    events = AgreedFormat(EVENTS_8000, 101, 101)
    return MediaPlan(remote, Agreed(sound, events, port, port + 1, Direction(direction), 20))


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.stop()


@pytest.mark.parametrize("wanted", catalogue.formats(), ids=lambda one: one.name)
def test_what_one_says_the_other_hears(wanted: Format) -> None:
    line = Line(wanted)
    line.run(2)
    assert line.recorder.share() > 0.97
    assert loudness(line.answer.tail(1)) < 20
    assert line.listener.levels().heard_db > -20
    assert line.speaker.levels().spoken_db > -20
    went = line.listener.statistics().as_dict()
    assert went["codec"] == wanted.name
    assert went["received"] == 100
    assert (went["lost"], went["strangers"], went["unsent"], went["skipped"]) == (0, 0, 0, 0)
    line.stop()


def test_a_codec_can_change_in_the_middle(line: Line) -> None:
    line.run(1)
    for wanted in catalogue.formats():
        line.agree(wanted)
        line.run(1.5)
        assert line.recorder.share() > 0.95, wanted.name
    assert line.recorder.rates[0] == 8_000


def test_a_held_call_is_silent_and_goes_on(line: Line) -> None:
    line.run(1)
    line.agree(PCMU, there="sendonly", back="recvonly")
    line.run(1)
    assert line.recorder.share() > 0.97  # music on hold would be heard
    line.agree(PCMU, there="inactive", back="inactive")
    sent = line.speaker.statistics().media
    line.run(1)
    still = line.speaker.statistics().media
    assert sent is not None
    assert still is not None
    assert still.sent == sent.sent
    assert loudness(line.recorder.tail(0.5)) == 0
    line.agree(PCMU)
    line.run(1)
    assert line.recorder.share() > 0.97


def test_a_key_pressed_here_is_told_there_once(line: Line) -> None:
    line.run(0.5)
    assert line.speaker.send_digit("5")
    line.run(1)
    assert line.told == [("digit", "5")]


def test_a_muted_seat_sends_silence(line: Line) -> None:
    line.speaker.mute(True)
    line.run(1)
    assert loudness(line.recorder.tail(0.5)) < 20
    assert line.speaker.levels().spoken_db < -90
    line.speaker.mute(False)
    line.run(1)
    assert line.recorder.share() > 0.97


def test_twenty_seconds_of_nothing_are_told_once_and_their_end(line: Line) -> None:
    line.run(1)
    line.run(30, is_heard=False)
    [(what, silent_s)] = line.told
    assert what == "dead"
    assert silent_s == pytest.approx(20, abs=0.1)
    line.run(1)
    assert line.told[1:] == [("back", None)]


def test_who_is_not_the_peer_is_not_heard(line: Line) -> None:
    line.listener.start(plan(PCMU, line.speaker.port, remote=ELSEWHERE))
    line.run(1)
    assert loudness(line.recorder.sound) == 0
    statistics = line.listener.statistics()
    assert statistics.strangers >= 50
    assert statistics.media is not None
    assert statistics.media.received == 0


def test_junk_to_both_ports_changes_nothing(line: Line) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as junk:
        for size in range(0, 1500, 7):
            junk.sendto(bytes([size % 256]) * size, ("::1", line.listener.port))
            junk.sendto(b"\x81\xc9" + bytes(size), ("::1", line.listener.port + 1))
            line.run(0.02)
    assert line.recorder.share() > 0.95
    media = line.listener.statistics().media
    assert media is not None
    assert sum(media.drops.values()) > 100


def test_signals_are_heard_until_the_call_begins() -> None:
    heard = Recorder()
    seat = Seat("::1", Silence(), heard, ports=PORTS, has_thread=False)
    seat.play(Tones(TONE))
    for tick in range(50):
        seat.tick(0.02 * tick)
    assert heard.rates == [SIGNAL_RATE]
    assert heard.share() > 0.97
    seat.play(None)
    before = heard.sound
    seat.tick(1.0)
    assert heard.sound == before
    assert seat.statistics().media is None
    assert not seat.send_digit("1")
    seat.start(plan(PCMU, seat.port))  # to itself
    assert heard.rates[-1] == 8_000
    seat.play(Tones(TONE))  # too late: one would not hear the other
    seat.tick(1.02)
    assert loudness(heard.sound) == 0
    seat.stop()


def test_source_and_sink_can_be_replaced_while_it_runs(line: Line) -> None:
    """As voicemail does: greeting, beep, recording."""
    line.run(1)
    line.speaker.replace(source=Tones((Part((1000,), 1),)))
    later = Recorder()
    line.listener.replace(sink=later)
    line.run(1)
    assert later.share(1000) > 0.97
    assert line.recorder.is_closed
    assert not later.is_closed


def test_the_end_is_told_by_rtcp_and_everything_is_closed() -> None:
    line = Line()
    line.run(1)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.bind(("::1", 0))
        peer.settimeout(5)
        port = peer.getsockname()[1]
        line.listener.start(plan(PCMU, port - 1))
        went = line.listener.stop()
        packets = rtcp.decode_rtcp(peer.recv(2000))
    assert isinstance(packets, list | tuple)
    assert isinstance(packets[-1], rtcp.Goodbye)
    assert line.recorder.is_closed
    line.now += 100
    assert line.listener.stop() == went  # its duration does not grow
    assert went.media is not None
    assert went.media.duration_s == pytest.approx(1)
    with pytest.raises(UsageError):
        line.listener.start(plan(PCMU, 9))
    with pytest.raises(UsageError):
        line.listener.play(None)
    again = Seat(
        "::1", Silence(), Discard(), ports=range(line.listener.port, line.listener.port + 2)
    )
    again.stop()
    line.speaker.stop()


class NoCard(Discard):
    """A sink that cannot be had, or not at that rate."""

    def start(self, rate: int) -> None:
        if rate != 8_000:
            raise SoundError("no card")


def test_a_sound_card_that_refuses_leaves_the_call_as_it_was(line: Line) -> None:
    line.listener.replace(sink=NoCard())
    if G722 not in catalogue.formats():
        pytest.skip("libspandsp2 is not installed")
    with pytest.raises(SoundError):
        line.listener.start(plan(G722, line.speaker.port))
    line.run(1)
    media = line.listener.statistics().media
    assert media is not None
    assert (media.codec, media.received > 40) == ("PCMU", True)


def test_a_codec_this_machine_lacks_is_a_mistake_of_the_caller() -> None:
    seat = Seat("::1", Silence(), Discard(), ports=PORTS, has_thread=False)
    with pytest.raises(UsageError):
        seat.start(plan(EVENTS_8000, 9))
    seat.stop()


def test_without_ports_there_is_no_seat() -> None:
    with pytest.raises(BindError):
        Seat("::1", Silence(), Discard(), ports=())


class Broken(Discard):
    """A sink with a bug."""

    def write(self, pcm: bytes) -> None:
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_seat_that_fails_says_so_and_gives_its_ports_back() -> None:
    told = Event()
    seat = Seat("::1", Silence(), Broken(), SeatEvents(dead=lambda _: told.set()), ports=PORTS)
    seat.start(plan(PCMU, seat.port))
    assert told.wait(20)
    assert seat.stop().media is not None
    Seat("::1", Silence(), Discard(), ports=range(seat.port, seat.port + 2)).stop()


def test_with_their_own_threads_they_keep_time_and_may_be_stopped_by_what_they_tell() -> None:
    """A caller presses a key, and the other side hangs up at once, from the thread that told it."""
    over, heard = Event(), Recorder()
    caller = Seat("::1", Tones(TONE), Discard(), ports=PORTS)
    called: list[Seat] = []

    def hang_up(digit: str) -> None:
        assert digit == "9"
        called[0].stop()
        over.set()

    called.append(Seat("::1", Silence(), heard, SeatEvents(digit=hang_up), ports=PORTS))
    begun = time.monotonic()
    caller.start(plan(PCMA, called[0].port))
    called[0].start(plan(PCMA, caller.port))
    while len(heard.sound) < 16_000:
        assert time.monotonic() < begun + 20
        time.sleep(0.02)
    assert heard.share() > 0.9
    caller.send_digit("9")
    assert over.wait(20)
    went = caller.stop()
    took_s = time.monotonic() - begun
    assert went.media is not None
    assert abs(went.media.sent + went.skipped - took_s * 50) < 15
    assert went.cpu_s > 0
