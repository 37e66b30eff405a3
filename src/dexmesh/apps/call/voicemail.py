"""Answer where nobody does: play a greeting, record what is said, hand it to the mail.

Place     service.py tells what nobody answered -> here, a seat in this process -> a WAV file on the disk
          -> `post` (apps/service.py: a mail of the user to himself)
Spec      issue 5 (not answered in 30 s: greeting, recording, delivered as mail); docs/decisions/0013
Keeps     what was said is on the disk from the first second and stays there until it is in the mail, also
          when we are killed; machines, lengths and the room on the disk are bounded
Not here  when a call counts as unanswered (phone/), the sound (seat/, sound/)
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import secrets
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dexmesh.apps.base.settings import PhoneSettings
from dexmesh.apps.call.media.plan import decode_plan
from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.values import CallError, CallId, Unanswered
from dexmesh.apps.call.seat.seat import Seat
from dexmesh.apps.call.seats import SeatLine
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.sound.interface import Source
from dexmesh.apps.call.sound.resample import resample
from dexmesh.apps.call.sound.silence import Discard, Silence
from dexmesh.apps.call.sound.tones import BEEP, Tones
from dexmesh.apps.call.sound.wav import WavSink, WavSource
from dexmesh.apps.call.sound.wav_format import decode_head, encode_head
from dexmesh.apps.call.store.tables import Entry, Kind, State
from dexmesh.errors import DexmeshError, SoundError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address, parse_address

MAX_MACHINES = 4  # ours: at the same time
MAX_MACHINES_OF_ONE = 2  # ours: for calls of one node
MAX_RECORDING_S = 180.0  # ours
LEAST_FREE = int(2 * 48_000 * MAX_RECORDING_S)  # ours: bytes, a recording as long as that
MAX_KEPT = 200  # ours: recordings that could not be handed to the mail yet
SHORTEST_S = 1.0  # ours: who says less said nothing
SILENCE_S = 10.0  # ours: then he has finished
SILENCE_DB = -50.0  # ours
MAIL_RATE = 16_000  # ours: of what is attached; Opus records at 48,000
AGAIN_S = 300.0  # ours: pause after the mail did not take a recording
UNAVAILABLE = 480
_LOOK_S = 0.1
_USELESS = (SoundError, FileNotFoundError, ValueError, KeyError, TypeError)  # cut off too early

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recording:
    """What somebody said to the machine. `content` is a WAV file."""

    caller: Caller
    at_unix: float
    seconds: float
    content: bytes

    @property
    def file_name(self) -> str:
        """For the attachment."""
        return time.strftime("voicemail-%Y-%m-%d-%H%M.wav", time.localtime(self.at_unix))

    @property
    def name(self) -> str:
        """Who called, for people: what was checked; what he only says of himself stands in quotes."""
        caller = self.caller
        if caller.petname:
            return caller.petname
        claimed = caller.claimed_name or caller.claimed_user
        return format_address(caller.address) + (f' ("{claimed}")' if claimed else "")

    def words(self) -> str:
        """The text of the mail. Who calls has chosen some of it, and it is pasted into shells."""
        caller = self.caller
        reach = caller.petname or uri_at(caller.address, caller.claimed_user).text
        at = time.strftime("%A, %d %B %Y, %H:%M", time.localtime(self.at_unix))
        known = "" if caller.is_contact else " (not in your address book)"
        return (
            f"{self.name} called on {at}, and nobody answered.\n"
            f"What was said, {self.seconds:.0f} seconds, is attached.\n\n"
            f"Node: [{format_address(caller.address)}]{known}\n"
            f"Call back: dexmesh call {shlex.quote(reach)}\n"
        )


Post = Callable[[str, Recording], Awaitable[str]]
"""Put a recording into the mail of a user; its Message-ID. Raises DexmeshError."""


class Voicemail:
    """One per worker."""

    def __init__(
        self, service: PhoneService, settings: PhoneSettings, folder: Path, post: Post
    ) -> None:
        self._service, self._settings, self._folder, self._post = service, settings, folder, post
        self._machines: dict[CallId, asyncio.Task[None]] = {}
        self._callers: dict[CallId, Address] = {}  # of these
        self._news = asyncio.Event()  # something was recorded

    async def open(self) -> None:
        """Take over unanswered calls from now on."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for note in self._folder.glob("*.part"):  # we were killed meanwhile
            note.rename(note.with_suffix(".json"))
        for note in self._folder.glob("*.early"):
            note.unlink()
        self._service.unanswered = self._begin

    async def close(self) -> None:
        """End every machine; what was said so far is kept."""
        self._service.unanswered = lambda _event: None
        for task in tuple(self._machines.values()):
            task.cancel()
        await asyncio.gather(*self._machines.values(), return_exceptions=True)

    async def run(self) -> None:
        """Hand over what an earlier process could not, and what the mail did not take; for ever."""
        while True:
            self._news.clear()
            await self._hand_over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._news.wait()

    # --- One call -----------------------------------------------------------------------------------

    def _begin(self, event: Unanswered) -> None:
        users = [one for one in event.users if self._service.preferences.of(one).has_voicemail]
        if not users or not self._has_room(event.caller.address):
            self._leave_alone(event)
            return
        task = asyncio.create_task(self._answer(event, users[0]))
        self._machines[event.call] = task
        self._callers[event.call] = event.caller.address
        task.add_done_callback(lambda done: self._finished(event.call, done))

    def _leave_alone(self, event: Unanswered) -> None:
        """Without a machine a call that rings rings on, and any other hears that nobody is there."""
        if any(self._service.rings(event.call, user) for user in event.users):
            return
        with contextlib.suppress(CallError):
            self._service.phone.decline(event.call, time.monotonic(), status=UNAVAILABLE)

    def _has_room(self, address: Address) -> bool:
        """Whether one more machine may answer a call from there."""
        of_one = list(self._callers.values()).count(address)
        if len(self._machines) >= MAX_MACHINES or of_one >= MAX_MACHINES_OF_ONE:
            return False
        return sum(1 for _ in self._folder.glob("*.json")) < MAX_KEPT

    def _finished(self, call: CallId, task: asyncio.Task[None]) -> None:
        self._machines.pop(call, None)
        self._callers.pop(call, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the answering machine failed", exc_info=error)

    async def _answer(self, event: Unanswered, user: str) -> None:
        """Be the seat of this call until it is over."""
        machine, greeting = _Machine(event, user, self._folder), self._greeting()
        seat: Seat | None = None
        try:
            machine.prepare()
            seat = self._make_seat(greeting)
            line = self._service.take_for_machine(event.call, user, seat.port)
        except (DexmeshError, OSError) as error:  # a person was quicker, no port, a full disk
            log.warning("voicemail cannot answer", extra={"reason": str(error)})
            machine.discard()
            greeting.close() if seat is None else seat.stop()
            self._leave_alone(event)
            self._service.pump()
            return
        ending = asyncio.create_task(self._listen(machine, seat, greeting, event.call))
        try:
            await self._follow(line, seat)
        finally:
            ending.cancel()
            await asyncio.wait({ending})
            self._service.leave_machine(event.call)
            await asyncio.to_thread(seat.stop)
            await self._note(machine, event, user)
            self._news.set()

    def _make_seat(self, greeting: Source) -> Seat:
        first, last = self._settings.media_ports
        host = format_address(self._service.me.address)
        return Seat(host, greeting, Discard(), ports=range(first, last + 2))

    def _greeting(self) -> Source:
        if self._settings.greeting is not None:
            try:
                return WavSource(self._settings.greeting)
            except SoundError as error:
                log.warning("the greeting cannot be played", extra={"reason": str(error)})
        return Tones(BEEP, is_repeated=False)

    async def _follow(self, line: SeatLine, seat: Seat) -> None:
        async for event in line.take():
            if event["event"] in ("established", "changed"):
                await asyncio.to_thread(seat.start, decode_plan(event["plan"]))

    async def _listen(self, machine: _Machine, seat: Seat, greeting: Source, call: CallId) -> None:
        """Greeting, beep, recording; hang up after a silence, at the end of the tape, or without one."""
        try:
            await self._record(machine, seat, greeting)
        except (DexmeshError, OSError) as error:
            log.warning("voicemail cannot record", extra={"reason": str(error)})
        finally:
            self._service.hang_up(call)

    async def _record(self, machine: _Machine, seat: Seat, greeting: Source) -> None:
        while seat.statistics().media is None:  # noqa: ASYNC110 a thread begins it
            await asyncio.sleep(_LOOK_S)
        await _played(greeting)
        if isinstance(greeting, WavSource):
            beep = Tones(BEEP, is_repeated=False)
            seat.replace(source=beep)
            await _played(beep)
        sink = machine.begin()
        seat.replace(source=Silence(), sink=sink)
        heard_at = time.monotonic()
        while not sink.is_full and time.monotonic() - heard_at < SILENCE_S:
            await asyncio.sleep(_LOOK_S)
            if seat.levels().heard_db > SILENCE_DB:
                heard_at = time.monotonic()

    async def _note(self, machine: _Machine, event: Unanswered, user: str) -> None:
        """The call was missed by everybody it was for; whoever has the recording sees that, too."""
        number: int | None = None
        for one in event.users:
            entry = _missed(one, event)
            with contextlib.suppress(CallError):
                stored = await self._service.history.add(entry)
                number = stored if one == user else number
        machine.finish(number)

    # --- Into the mail ------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        """Everything on the disk that is not being recorded; of nobody whose mail takes no more."""
        refused: set[str] = set()
        for note in sorted(self._folder.glob("*.json")):
            try:
                told = json.loads(note.read_text(encoding="utf-8"))
                user = str(told["user"])
                if user not in refused:
                    await self._hand_over_one(note, told, user, refused)
            except _USELESS as error:
                log.warning("a recording is of no use", extra={"reason": str(error)})
                note.rename(note.with_suffix(".broken"))
            except (DexmeshError, OSError) as error:
                log.warning("voicemail waits for the mail", extra={"reason": str(error)})

    async def _hand_over_one(
        self, note: Path, told: dict[str, Any], user: str, refused: set[str]
    ) -> None:
        seconds, content = await asyncio.to_thread(_read, note.with_suffix(".wav"))
        if seconds >= SHORTEST_S:
            recording = Recording(_caller(told), float(told["at_unix"]), seconds, content)
            try:
                mail = await self._post(user, recording)
            except DexmeshError:
                refused.add(user)
                raise
            if told.get("number"):
                await self._service.history.keep_voicemail(int(told["number"]), mail, seconds)
        await asyncio.to_thread(_remove, note)


async def _played(source: Source) -> None:
    while not source.is_finished:  # noqa: ASYNC110 a thread plays it
        await asyncio.sleep(_LOOK_S)


class _Machine:
    """The files of one recording: the sound, and beside it a note that says whose it is."""

    def __init__(self, event: Unanswered, user: str, folder: Path) -> None:
        name = f"{time.time():.0f}-{secrets.token_hex(4)}"
        self._sound, self._note = folder / f"{name}.wav", folder / f"{name}.part"
        self._early = self._note.with_suffix(".early")  # until something is recorded
        self._facts: dict[str, Any] = {
            "user": user,
            "at_unix": time.time(),
            "address": format_address(event.caller.address),
            "petname": event.caller.petname,
            "claimed_user": event.caller.claimed_user,
            "claimed_name": event.caller.claimed_name,
            "is_contact": event.caller.is_contact,
        }
        self._has_begun = False

    def prepare(self) -> None:
        """See to it that there is room, before anybody is answered. Raises SoundError, OSError."""
        disk = os.statvfs(self._early.parent)
        if disk.f_bavail * disk.f_frsize < LEAST_FREE:
            raise SoundError("there is no room on the disk for a recording")
        self._early.write_text(json.dumps(self._facts), encoding="utf-8")

    def discard(self) -> None:
        """Nothing was recorded."""
        with contextlib.suppress(OSError):
            self._early.unlink(missing_ok=True)

    def begin(self) -> WavSink:
        """Record from now on. Raises SoundError, OSError; then nothing is left behind."""
        try:
            self._early.rename(self._note)
            sink = WavSink(self._sound, most_s=MAX_RECORDING_S)
        except (SoundError, OSError):
            self._note.unlink(missing_ok=True)
            raise
        self._has_begun = True
        return sink

    def finish(self, number: int | None) -> None:
        """It is complete: now it may be handed over."""
        if not self._has_begun:
            self.discard()
            return
        draft = self._note.with_suffix(".new")
        draft.write_text(json.dumps({**self._facts, "number": number}), encoding="utf-8")
        draft.rename(self._note.with_suffix(".json"))
        self._note.unlink()


def _missed(user: str, event: Unanswered) -> Entry:
    caller = event.caller
    return Entry(
        *(user, Kind.CALL, False, caller.address, time.time(), State.MISSED),
        remote_user=caller.claimed_user,
        claimed_name=caller.claimed_name,
        is_request=not caller.is_contact,
        is_flagged=caller.is_flagged,
        reason=str(event.reason),
        is_seen=False,
    )


def _caller(told: dict[str, Any]) -> Caller:
    address: Address = parse_address(str(told["address"]))
    return Caller(
        address,
        told.get("petname"),
        str(told.get("claimed_user", "")),
        str(told.get("claimed_name", "")),
        bool(told.get("is_contact")),
    )


def _read(sound: Path) -> tuple[float, bytes]:
    """How long a recording is, and the WAV file to attach: no wider than speech needs."""
    data = sound.read_bytes()
    head = decode_head(io.BytesIO(data), sound.name)
    pcm = data[head.start :][: head.size]
    rate = head.rate
    if rate > MAIL_RATE:
        pcm, rate = resample(pcm, rate, MAIL_RATE), MAIL_RATE
    return len(pcm) / (2 * rate), encode_head(rate, len(pcm)) + pcm


def _remove(note: Path) -> None:
    note.unlink()
    note.with_suffix(".wav").unlink(missing_ok=True)
