"""Call over three hops with our phone and with baresip, in turns, and print the ratios: `make bench-calls`.

Place     `python -m bench.calls_setup` -> machines a - r1 - r2 - b with our nodes, both phones on a and b
Spec      issue 5: set-up (median of 20) and mouth-to-ear delay not above baresip's in the same run; CPU of
          a G.711 call <= 2 % of a core, of an Opus call <= 6 %
Keeps     both are watched from outside, by what passes the TUN of the caller: nobody reports on himself;
          calls take turns, so that both meet the same machine
Not here  what a call costs in itself (bench/call_media.py, run at the end), the core alone (bench/calls.py)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from tests.netns.conftest import RunningNode, World
from tests.netns.mail_machines import MailMachine
from tests.netns.our_phone import OurPhone
from tests.netns.phones import Baresip, baresip_files

from bench import call_media
from bench.lab.desk import LOUD, REST_S
from bench.lab.gauges import Quiet, cpu_seconds, programs_in_network_of
from bench.lab.tap import Packet, Tap
from dexmesh.apps.call.codec.g711 import MU_LAW
from dexmesh.apps.call.sound.wav_format import encode_head
from dexmesh.cli.lab import USER, Lab, wait_until
from dexmesh.values import dataclass

RATE = 8000
FRAME_S = 0.02
SOUND_BYTES = 172  # of a packet of 20 ms of PCMU
TALK_S = 0.6  # of a call whose set-up is measured
CLICKS_S = 12.0  # of a call whose delay is measured
CLICK_EVERY_S = 0.7103  # not a whole number of packets
MOST_DELAY_S = 0.5
CPU_ROW = "CPU there, percent"
TARGETS = ("set-up", "mouth to ear")  # the ratio is to be 1 at most
SIP_PORT, BARESIP_PORT = 5060, 5070
OUR_SOUND, BARESIP_SOUND = range(7078, 7100), range(7178, 7200)


@dataclass(frozen=True, slots=True)
class SetUp:
    """Of one call, in ms after its INVITE left: the 200, and the first sound in each direction."""

    answered: float
    heard: float
    spoken: float

    @property
    def whole(self) -> float:
        """Until both can talk: answered, and sound goes both ways."""
        return max(self.answered, self.heard, self.spoken)


class Phones(Protocol):
    """One kind of phone, on a and on b."""

    name: str
    ports: tuple[int, range]
    program: str
    """What only the command line of the called program has in it."""

    def call(self, seconds: float) -> None:
        """A call from a to b, to its end."""
        ...

    def clicks(self) -> list[float]:
        """When each click of the last call was handed to the loudspeaker on b: seconds since 1970."""
        ...


# --- The phones


class Ours:
    """`dexmesh call` on a; on b `dexmesh phone --auto-answer`, with an ear for clicks."""

    name = "dexmesh"
    ports = (SIP_PORT, OUR_SOUND)
    program = "bench.lab.desk"

    def __init__(self, a: RunningNode, b: RunningNode, sound: Path) -> None:
        self._caller, self._called = (OurPhone(one, Path(f"/home/{USER}/mesh")) for one in (a, b))
        self._sound = ["--play", str(sound), "--codec", "PCMU"]
        _serve(a, self._caller, "bob", b)
        _serve(b, self._called, "ann", a)
        self._desk = self._called.run(
            "phone",
            "--auto-answer",
            sound=self._sound,
            program=(sys.executable, "-m", "bench.lab.desk"),
            env={"PYTHONPATH": str(Path.cwd())},
        )
        self._desk.expect("attached")

    def call(self, seconds: float) -> None:
        """A call from a to b, to its end."""
        self._desk.forget()
        sound = [*self._sound, "--no-sound", "--seconds", f"{seconds}"]
        with self._caller.run("call", self._called.uri, sound=sound) as call:
            call.expect("ended", 20 + seconds, reason="hung up")
        self._desk.expect("ended")

    def clicks(self) -> list[float]:
        """As Phones says."""
        return [float(one["at"]) for one in self._desk.news() if one["event"] == "click"]


class Stock:
    """baresip on both, on a port of its own beside ours."""

    name = "baresip"
    ports = (BARESIP_PORT, BARESIP_SOUND)
    program = "baresip\0-v"

    def __init__(self, a: RunningNode, b: RunningNode, sound: Path) -> None:
        self._caller, self._called = _Baresip(a, sound), _Baresip(b, sound)
        self._caller.start()
        self._called.start()
        self._clicks: list[float] = []

    def call(self, seconds: float) -> None:
        """A call from a to b, to its end."""
        former = set((self._called.root / "heard").iterdir())
        self._caller.call(self._called.uri)
        self._called.expect(self._called.established)
        self._caller.expect(self._caller.established)
        with _watching(self._called.root / "heard", former) as written:
            time.sleep(seconds)
        self._caller.hang_up()
        self._called.expect(self._called.ended)
        self._clicks = _clicks_in(self._called.recording(), written)

    def clicks(self) -> list[float]:
        """As Phones says."""
        return self._clicks


class _Baresip(Baresip):
    """baresip as shipped, at BARESIP_PORT."""

    def __init__(self, at: RunningNode, sound: Path) -> None:
        self._sound = sound
        files = baresip_files(at, USER, "pcmu", answers=True, contacts=())
        files["config"] = (
            files["config"]
            .replace(":5060", f":{BARESIP_PORT}")
            .replace("7078-7098", f"{BARESIP_SOUND[0]}-{BARESIP_SOUND[-1]}")
        )
        super().__init__(at, files=files)

    @property
    def uri(self) -> str:
        """How others call it."""
        return f"{super().uri}:{BARESIP_PORT}"

    def _source(self, hz: float) -> Path:
        del hz
        return self._sound

    def _has_port(self) -> bool:
        listening = self.machine.run(["ss", "-Hltnp", f"sport = :{BARESIP_PORT}"]).stdout
        return f'"{self.program}"' in listening


@contextmanager
def _watching(folder: Path, former: set[Path]) -> Iterator[list[tuple[float, int]]]:
    """When the recording that is not there yet, or just began, grew to how many bytes."""
    written: list[tuple[float, int]] = []
    is_over = threading.Event()

    def watch() -> None:
        recording: Path | None = None
        while not is_over.wait(0.0005):
            if recording is None:
                new = (one for one in folder.glob("dump-*-dec.wav") if one not in former)
                recording = next(new, None)
                continue
            size = recording.stat().st_size
            if not written or size != written[-1][1]:
                written.append((time.time(), size))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield written
    finally:
        is_over.set()
        watcher.join()


def _clicks_in(recording: Path, written: Sequence[tuple[float, int]]) -> list[float]:
    """When the frame with each click was written, and how far inside of it the click lies."""
    data = recording.read_bytes()[44:]
    samples = memoryview(data[: len(data) // 2 * 2]).cast("h")
    found: list[float] = []
    for (_, before), (at, size) in pairwise(written):
        frame = samples[(before - 44) // 2 : (size - 44) // 2]
        first = _first_loud(frame)
        if first is not None and (not found or at - found[-1] > REST_S):
            found.append(at + first / RATE)
    return found


def _first_loud(samples: Sequence[int]) -> int | None:
    return next((at for at, sample in enumerate(samples) if sample >= LOUD), None)


def _serve(node: RunningNode, phone: OurPhone, name: str, other: RunningNode) -> None:
    """Switch the phone on, with the other in its address book, and run the service."""
    home = ["--home", str(phone.home)]
    node.dexmesh("phone", "on", "--account", USER, *home)
    person = ["contact", "add", name, f"{USER}@[IPv6:{other.address}]", "--key", other.key]
    node.dexmesh(*person, "--no-check", "--no-request", "--user", USER, *home)
    MailMachine(node.machine, node.config, node.key, node.address, phone.home).serve()


# --- What passes the TUN


def set_up_of(packets: Sequence[Packet], ports: tuple[int, range]) -> SetUp:
    """Of the only call in there by the phones at these ports. Raises StopIteration."""
    sip, sound = ports
    talk = [one for one in packets if one.own_port in sound and len(one.data) == SOUND_BYTES]
    signals = [one for one in packets if one.own_port == sip]
    began = next(one.at for one in signals if one.data.startswith(b"INVITE "))

    def after(found: Iterator[float]) -> float:
        return 1000 * (next(found) - began)

    return SetUp(
        answered=after(one.at for one in signals if _is_answer(one)),
        heard=after(one.at for one in talk if not one.is_outgoing),
        spoken=after(one.at for one in talk if one.is_outgoing),
    )


def _is_answer(packet: Packet) -> bool:
    return packet.data.startswith(b"SIP/2.0 200 ") and b" INVITE\r\n" in packet.data


def spoken_clicks(packets: Sequence[Packet], sound: range) -> list[float]:
    """When each click that left was at the microphone: its packet is complete 20 ms after its begin."""
    found: list[float] = []
    for packet in packets:
        if packet.is_outgoing and packet.own_port in sound and len(packet.data) == SOUND_BYTES:
            first = _first_loud(memoryview(MU_LAW.decode(packet.data[12:])).cast("h"))
            at = packet.at - FRAME_S + (first or 0) / RATE
            if first is not None and (not found or at - found[-1] > REST_S):
                found.append(at)
    return found


def delays_ms(spoken: Sequence[float], heard: Sequence[float]) -> list[float]:
    """From mouth to ear, of every click that was heard."""
    found = []
    for at in spoken:
        arrived = next((one for one in heard if 0 <= one - at < MOST_DELAY_S), None)
        if arrived is not None:
            found.append(1000 * (arrived - at))
    return found


# --- The run


@dataclass(frozen=True, slots=True)
class Figures:
    """What came out for one kind of phone: times in ms, `shares` of a core in percent."""

    set_ups: list[SetUp]
    delays: list[float]
    shares: list[float]

    def medians(self) -> dict[str, float]:
        """By the names they are printed under."""
        parts = {
            "set-up": [one.whole for one in self.set_ups],
            "answered": [one.answered for one in self.set_ups],
            "first sound heard": [one.heard for one in self.set_ups],
            "first sound spoken": [one.spoken for one in self.set_ups],
            "mouth to ear": self.delays,
            CPU_ROW: self.shares,
        }
        return {name: statistics.median(values) for name, values in parts.items() if values}


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.calls_setup", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--calls", type=int, default=20, help="set up with each phone (20)")
    parser.add_argument("--listens", type=int, default=2, help="calls to measure delay in (2)")
    parser.add_argument("--quiet", type=float, default=120, help="longest wait for quiet, s in all")
    parser.add_argument("--no-cpu", action="store_true", help="leave out what a call costs")
    parser.add_argument("--json", action="store_true", help="print an object")
    options = parser.parse_args(arguments)
    quiet = Quiet(options.quiet)
    figures = measure(options.calls, options.listens, quiet)
    medians = {name: one.medians() for name, one in figures.items()}
    if options.json:
        ratios = _ratios(medians)
        print(json.dumps({"medians": medians, "ratios": ratios}))
    else:
        print_figures(figures, medians)
        if quiet.loud:
            print(
                f"  the machine was busy with other things at {quiet.loud} of {quiet.asked} calls"
            )
    missed = any(ratio > 1 for name, ratio in _ratios(medians).items() if name in TARGETS)
    costs = 0 if options.no_cpu else call_media.main(["--json"] if options.json else [])
    return int(missed or costs != 0)


def measure(calls: int, listens: int, quiet: Quiet) -> dict[str, Figures]:
    """Both phones, in turns, while others leave the machine alone."""
    with Lab("dexmesh-bench") as lab, ExitStack() as opened:
        a, b = build(lab)
        sound = lab.folder / "clicks.wav"
        write_clicks(sound)
        _say("the phones start")
        phones: list[Phones] = [Ours(a, b, sound), Stock(a, b, sound)]
        tap = opened.enter_context(Tap(a.machine, a.address))
        figures = {one.name: Figures([], [], []) for one in phones}
        for one in phones:  # the first call of a program loads what it needs
            one.call(TALK_S)
        for number in range(calls):
            _say(f"call {number + 1} of {calls}")
            for one in phones:
                quiet.wait()
                tap.take()
                one.call(TALK_S)
                figures[one.name].set_ups.append(set_up_of(tap.take(), one.ports))
        for number in range(listens):
            _say(f"listening, {number + 1} of {listens}")
            for one in phones:
                tap.take()
                programs = _running(b, one.program)
                used_s = cpu_seconds(programs)
                one.call(CLICKS_S)
                used_s = cpu_seconds(programs) - used_s
                figures[one.name].shares.append(100 * used_s / CLICKS_S)
                spoken = spoken_clicks(tap.take(), one.ports[1])
                figures[one.name].delays.extend(delays_ms(spoken, one.clicks()))
        return figures


def _running(node: RunningNode, words: str) -> list[int]:
    """The programs on this node with these words in their command line."""
    found = programs_in_network_of(node.machine.pid)
    return [one for one in found if words in Path(f"/proc/{one}/cmdline").read_text()]


def build(lab: Lab) -> tuple[RunningNode, RunningNode]:
    """a - r1 - r2 - b: the ends, reaching each other."""
    world = World(lab)
    a, r1, r2, b = (world.node(name) for name in ("a", "r1", "r2", "b"))
    for left, right in ((a, r1), (r1, r2), (r2, b)):
        world.join(left, right)
    _say("four nodes start")
    for node in (b, r2, r1, a):
        node.start()
    wait_until(lambda: a.reaches(b), 60, "b, over three hops")
    return a, b


def write_clicks(path: Path) -> None:
    """Silence with a click now and then; each is loud from its first sample on."""
    samples = [0] * round(RATE * (CLICKS_S + 5))
    at = 0.5
    while at < CLICKS_S + 4:
        first = round(at * RATE)
        samples[first : first + 40] = [20_000, 20_000, -20_000, -20_000] * 10
        at += CLICK_EVERY_S
    data = struct.pack(f"<{len(samples)}h", *samples)
    path.write_bytes(encode_head(RATE, len(data)) + data)
    path.chmod(0o644)


def _ratios(medians: dict[str, dict[str, float]]) -> dict[str, float]:
    ours, stock = medians[Ours.name], medians[Stock.name]
    return {name: ours[name] / stock[name] for name in ours}


def print_figures(figures: dict[str, Figures], medians: dict[str, dict[str, float]]) -> None:
    """A line for each figure."""
    ours, stock = medians[Ours.name], medians[Stock.name]
    calls, clicks = len(figures[Ours.name].set_ups), len(figures[Ours.name].delays)
    print(
        f"over three hops, in ms, median of {calls} calls and {clicks} clicks; after the INVITE left; PCMU"
    )
    for name, ratio in _ratios(medians).items():
        line = f"  {name:18}  dexmesh {ours[name]:7.1f}  baresip {stock[name]:7.1f}  ratio {ratio:5.2f}"
        if name in TARGETS:
            line += f"  target <= 1: {'met' if ratio <= 1 else 'MISSED'}"
        print(line)


def _say(words: str) -> None:
    print(f"{words} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("small machines need root: `make bench-calls` finds a way")
    sys.exit(main(sys.argv[1:]))
