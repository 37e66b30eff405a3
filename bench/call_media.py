"""Hold calls over the loopback and print what each codec costs: `python -m bench.call_media`.

Place     two seats, each a process; a WAV file into each, a recording out of each
Spec      issue 5 "Cost": a G.711 call at most 2 % of a core, an Opus call at most 6 %, both ways together
Keeps     the lowest of the rounds counts, as others on the machine only add; the floor is measured in
          the same run: the same clock and the same packets, with nothing in them; a call whose sound
          does not arrive is an error, not a figure
Not here  calls over the mesh (bench/), how they sound (tests)
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.codec.interface import Codec
from dexmesh.apps.call.media.formats import PCMU, Format
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.seat.seat import Seat
from dexmesh.apps.call.sound import device
from dexmesh.apps.call.sound.interface import Sink, Source
from dexmesh.apps.call.sound.tones import Part, Tones
from dexmesh.apps.call.sound.wav import WavSink, WavSource
from dexmesh.apps.call.sound.wav_format import encode_head
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

TARGETS_PERCENT = {"PCMU": 2.0, "PCMA": 2.0, "opus": 6.0}
LOOPBACK = Address(socket.inet_pton(socket.AF_INET6, "::1"))
FRAME_S = 0.02
SETTLE_S = 1.0
RTP_BYTES = 172  # of 20 ms of G.711

_SPEECH = tuple(
    Part(tuple(pitch * number for number in range(1, 9)) if pitch else (), seconds)
    for pitch, seconds in ((120, 0.25), (135, 0.15), (0, 0.1), (110, 0.3), (150, 0.2), (0, 0.3))
)
"""Syllables of a voice with eight overtones: Opus works harder on them than on a tone."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one end of a call: percent of a core, and the codec alone in microseconds for 20 ms."""

    name: str
    percent: float
    encode_us: float = 0.0
    decode_us: float = 0.0


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.call_media", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each call (10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--json", action="store_true", help="print an object")
    options = parser.parse_args(arguments)
    floor = _lowest(lambda: measure_floor(options.seconds), options.rounds)
    costs = [_cost(one, options.seconds, options.rounds) for one in catalogue.formats()]
    if device.is_available():
        percent = _lowest(
            lambda: measure_call(PCMU, options.seconds, with_cards=True), options.rounds
        )
        costs.append(Cost("PCMU, sound cards", percent))
    missed = [one.name for one in costs if one.percent > TARGETS_PERCENT.get(one.name, 100)]
    if options.json:
        rows = {one.name: [one.percent, one.encode_us, one.decode_us] for one in costs}
        print(json.dumps({"floor_percent": floor, "costs": rows, "missed": missed}))
    else:
        _print(floor, costs)
    return 1 if missed else 0


def measure_call(wanted: Format, seconds: float, *, with_cards: bool = False) -> float:
    """What one end costs, in percent of a core: the mean of both, each a process as it is in use."""
    return _mean_of_two(_sit, (wanted, seconds, with_cards))


def measure_floor(seconds: float) -> float:
    """A process that wakes up every 20 ms, sends a packet and takes one; in percent of a core."""
    return _mean_of_two(_idle, (seconds,))


def _mean_of_two(end: Callable[..., None], arguments: tuple[object, ...]) -> float:
    """Run both ends, tell each the port of the other, and ask what they cost."""
    fresh = multiprocessing.get_context("spawn")
    pipes = [fresh.Pipe() for _ in range(2)]
    processes = [fresh.Process(target=end, args=(far, *arguments)) for _, far in pipes]
    for process in processes:
        process.start()
    ports = [near.recv() for near, _ in pipes]
    for (near, _), port in zip(pipes, reversed(ports), strict=True):
        near.send(port)
    costs = [near.recv() for near, _ in pipes]
    for process in processes:
        process.join()
    if any(isinstance(one, str) for one in costs):
        raise SystemExit(f"the sound did not arrive: {costs}")
    return float(statistics.mean(costs))


def _sit(pipe: Connection, wanted: Format, seconds: float, with_cards: bool) -> None:
    """One end of a call."""
    with tempfile.TemporaryDirectory() as folder:
        source, sink = _cards() if with_cards else _files(Path(folder), wanted)
        seat = Seat("::1", source, sink)
        pipe.send(seat.port)
        port = pipe.recv()
        seat.start(_plan(wanted, port))
        time.sleep(SETTLE_S)
        percent = _cpu_percent(seconds)
        media = seat.statistics().media
        has_heard = media is not None and media.received > 0.9 * seconds / FRAME_S
        pipe.send(percent if has_heard else str(media))
        time.sleep(SETTLE_S)  # the other end measures, too
        seat.stop()


def _idle(pipe: Connection, seconds: float) -> None:
    """The same clock and packets without a call."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as own:
        own.bind(("::1", 0))
        own.setblocking(False)
        pipe.send(own.getsockname()[1])
        to = ("::1", pipe.recv())
        due = began = time.monotonic()
        used = _cpu_s()
        while due < began + seconds:
            own.sendto(bytes(RTP_BYTES), to)
            try:
                while True:
                    own.recvmsg(2048, 64)
            except OSError:
                pass
            due += FRAME_S
            time.sleep(max(0.0, due - time.monotonic()))
        pipe.send(100 * (_cpu_s() - used) / (time.monotonic() - began))


def measure_codec(codec: Codec, frames: int = 500) -> tuple[float, float]:
    """Microseconds of `encode` and of `decode`, each for 20 ms."""
    speech = Tones(_SPEECH)
    speech.start(codec.sample_rate)
    sounds = [speech.read() for _ in range(frames)]
    began = time.thread_time()
    payloads = [codec.encode(sound) for sound in sounds]
    between = time.thread_time()
    for payload in payloads:
        codec.decode(payload)
    ended = time.thread_time()
    return (between - began) / frames * 1e6, (ended - between) / frames * 1e6


def _cost(wanted: Format, seconds: float, rounds: int) -> Cost:
    print(f"{wanted.name} ...", file=sys.stderr, flush=True)
    percent = _lowest(lambda: measure_call(wanted, seconds), rounds)
    return Cost(wanted.name, percent, *measure_codec(catalogue.make(wanted)))


def _files(folder: Path, wanted: Format) -> tuple[Source, Sink]:
    """A WAV file at the rate of the codec, again and again, and a recording."""
    rate = catalogue.make(wanted).sample_rate
    speech = Tones(_SPEECH, is_repeated=False)
    speech.start(rate)
    frames = []
    while not speech.is_finished:
        frames.append(speech.read())
    sound = b"".join(frames)
    path = folder / "spoken.wav"
    path.write_bytes(encode_head(rate, len(sound)) + sound)
    return WavSource(path, is_repeated=True), WavSink(folder / "heard.wav")


def _cards() -> tuple[Source, Sink]:
    """The null device of miniaudio: everything of a sound card but the sound."""
    return device.DeviceSource(device.NULL), device.DeviceSink(device.NULL)


def _plan(wanted: Format, port: int) -> MediaPlan:
    sound = AgreedFormat(wanted, wanted.payload_type, wanted.payload_type)
    return MediaPlan(LOOPBACK, Agreed(sound, None, port, port + 1, Direction.SENDRECV, 20))


def _cpu_percent(seconds: float) -> float:
    """What this process uses of a core while we sleep."""
    began, used = time.monotonic(), _cpu_s()
    time.sleep(seconds)
    return 100 * (_cpu_s() - used) / (time.monotonic() - began)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _lowest(measure: Callable[[], float], rounds: int) -> float:
    """Whatever else runs here takes the caches away and only adds."""
    return min(measure() for _ in range(rounds))


def _print(floor: float, costs: Sequence[Cost]) -> None:
    print(
        "one end of a call, both ways, percent of a core; floor: clock and packets, nothing in them"
    )
    print(f"  floor              {floor:5.2f} %")
    for one in costs:
        target = TARGETS_PERCENT.get(one.name)
        line = (
            f"  {one.name:18} {one.percent:5.2f} %  ratio to the floor {one.percent / floor:5.2f}"
        )
        if one.encode_us:
            line += (
                f"  20 ms encoded in {one.encode_us:6.1f} us, decoded in {one.decode_us:6.1f} us"
            )
        if target:
            verdict = "met" if one.percent <= target else "MISSED"
            line += f"  target <= {target:.0f} %, ratio {one.percent / target:.2f}: {verdict}"
        print(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
