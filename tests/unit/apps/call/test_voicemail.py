from __future__ import annotations

import asyncio
import gc
import io
import json
import shlex
import shutil
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dexmesh.apps.base.settings import PhoneSettings
from dexmesh.apps.call import voicemail
from dexmesh.apps.call.media.formats import PCMU
from dexmesh.apps.call.media.offer import Agreed, AgreedFormat
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.values import CallError, CallId, MissedReason, Unanswered, UserSettings
from dexmesh.apps.call.seat.sockets import MediaSockets
from dexmesh.apps.call.seats import SeatLine
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.sip.uri import parse_uri
from dexmesh.apps.call.sound.wav_format import encode_head
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.store.tables import Entry, Kind, Question, State
from dexmesh.apps.call.voicemail import MAX_KEPT, MAX_MACHINES_OF_ONE, Recording, Voicemail
from dexmesh.errors import MailError
from dexmesh.wire.address import parse_address

DAVE = parse_address("fc00::da")
HERE = parse_address("::1")
FACTS = {"user": "stuart", "at_unix": 1000.0, "address": "fc00::da", "petname": "dave"}


class World:
    """Voicemail beside a real history; the phone and the mail are made up."""

    def __init__(self, folder: Path, history: History) -> None:
        self.folder = folder / "voicemail"
        self.posted: list[tuple[str, Recording]] = []
        self.declined: list[tuple[CallId, int]] = []
        self.error: MailError | None = None
        self.tries = 0
        self.wants_voicemail = True
        self.rings = False
        self.history = history
        self.service = SimpleNamespace(
            history=history,
            unanswered=None,
            phone=SimpleNamespace(decline=self._decline),
            rings=lambda _call, _user: self.rings,
            preferences=SimpleNamespace(
                of=lambda _user: UserSettings(has_voicemail=self.wants_voicemail)
            ),
        )
        self.voicemail = Voicemail(
            cast(PhoneService, self.service), PhoneSettings(), self.folder, self._post
        )

    def _decline(self, call: CallId, _now: float, *, status: int) -> None:
        self.declined.append((call, status))

    async def _post(self, user: str, recording: Recording) -> str:
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.posted.append((user, recording))
        return "<v@x>"

    def leave(self, name: str, seconds: float, rate: int = 48_000, **facts: object) -> None:
        """A recording as an earlier process left it."""
        self.folder.mkdir(exist_ok=True)
        pcm = bytes(int(2 * rate * seconds))
        (self.folder / name).with_suffix(".wav").write_bytes(encode_head(rate, len(pcm)) + pcm)
        (self.folder / name).write_text(json.dumps({**FACTS, **facts}))

    async def hand_over(self, is_done: Callable[[], bool]) -> None:
        """Let it work until that is so."""
        await self.voicemail.open()
        running = asyncio.create_task(self.voicemail.run())
        async with asyncio.timeout(20):
            while not is_done():  # noqa: ASYNC110 a test waits
                await asyncio.sleep(0.01)
        running.cancel()

    def is_empty(self) -> bool:
        """Whether nothing is kept any more."""
        return not any(self.folder.iterdir())


def played(folder: Path, script: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        history = History(folder)
        await history.open()
        try:
            await script(World(folder, history))
        finally:
            await history.close()

    asyncio.run(play())


def test_what_a_killed_process_recorded_reaches_the_mail(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        number = await world.history.add(
            Entry("stuart", Kind.CALL, False, DAVE, 1000.0, State.MISSED)
        )
        world.leave("one.json", 3.0, number=number)
        world.leave("two.part", 2.0)
        (world.folder / "three.early").write_text("{}")  # during the greeting
        await world.hand_over(world.is_empty)
        assert [(user, round(one.seconds)) for user, one in world.posted] == [
            ("stuart", 3),
            ("stuart", 2),
        ]
        with wave.open(io.BytesIO(world.posted[0][1].content)) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (16_000, 1)
            assert abs(sound.getnframes() - 48_000) < 100
        (entry,) = await world.history.find(Question("stuart"))
        assert (entry.state, entry.mail) == (State.VOICEMAIL, "<v@x>")

    played(tmp_path, script)


def test_who_said_nothing_leaves_no_mail(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.leave("one.json", 0.5)
        await world.hand_over(world.is_empty)
        assert world.posted == []

    played(tmp_path, script)


def test_a_recording_stays_until_the_mail_takes_it_and_a_broken_one_stops_no_other(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        world.error = MailError(452, "4.3.1", "the disk is full")
        world.leave("a.json", 2.0)
        world.leave("c.json", 2.0)
        (world.folder / "b.json").write_text("{")
        early = json.dumps({**FACTS, "user": "zoe"})  # killed before the first sound
        (world.folder / "ba.json").write_text(early)
        (world.folder / "bb.json").write_text(early)
        (world.folder / "bb.wav").touch()
        world.leave("d.json", 2.0, user="ann")
        await world.hand_over(lambda: world.tries == 2)  # one for each of them
        kept = sorted(one.name for one in world.folder.glob("*.json"))
        assert kept == ["a.json", "c.json", "d.json"]
        broken = sorted(one.name for one in world.folder.glob("*.broken"))
        assert broken == ["b.broken", "ba.broken", "bb.broken"]
        world.error = None
        await world.hand_over(lambda: len(world.posted) == 3)

    played(tmp_path, script)


def test_where_voicemail_is_not_wanted_or_full_the_caller_hears_that_nobody_is_there(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        await world.voicemail.open()
        event = Unanswered(CallId(7), ("stuart",), Caller(DAVE))
        world.wants_voicemail = False
        world.service.unanswered(event)
        world.wants_voicemail = True
        for index in range(MAX_KEPT):
            (world.folder / f"{index}.json").touch()
        world.service.unanswered(event)
        assert world.declined == [(7, 480), (7, 480)]

    played(tmp_path, script)


def test_without_voicemail_a_call_that_rings_rings_on(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.voicemail.open()
        world.wants_voicemail = False
        world.rings = True
        world.service.unanswered(Unanswered(CallId(7), ("stuart",), Caller(DAVE)))
        assert world.declined == []

    played(tmp_path, script)


def test_a_caller_who_cannot_be_recorded_is_not_kept_waiting(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        line, ended = SeatLine("stuart"), asyncio.Event()
        agreed = Agreed(AgreedFormat(PCMU, 0, 0), None, 9, None, Direction.SENDRECV, 20)
        line.tell({"event": "established", "plan": MediaPlan(HERE, agreed).as_dict()})

        def hang_up(_call: CallId) -> None:
            ended.set()
            line.tell({"event": "ended"}, is_last=True)

        def take_for_machine(_call: CallId, _user: str, _port: int) -> SeatLine:
            shutil.rmtree(world.folder)
            return line

        world.service.me = SimpleNamespace(address=HERE)
        world.service.take_for_machine = take_for_machine
        world.service.hang_up = world.service.leave_machine = hang_up
        await world.voicemail.open()
        disturbed = MissedReason.DO_NOT_DISTURB
        world.service.unanswered(Unanswered(CallId(7), ("stuart",), Caller(DAVE), disturbed))
        async with asyncio.timeout(10):
            await ended.wait()
        await world.voicemail.close()
        (entry,) = await world.history.find(Question("stuart"))
        assert (entry.state, entry.reason) == (State.MISSED, "do not disturb")

    played(tmp_path, script)


def test_where_no_recording_can_be_made_the_caller_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(world: World) -> None:
        answered: list[CallId] = []
        world.service.me = SimpleNamespace(address=HERE)
        world.service.take_for_machine = lambda call, _user, _port: answered.append(call)
        world.service.pump = lambda: None
        await world.voicemail.open()
        with monkeypatch.context() as full:
            full.setattr(voicemail, "LEAST_FREE", 1 << 62)
            await _declined(world, CallId(7))
        assert world.is_empty()
        world.folder.rmdir()
        await _declined(world, CallId(8))
        assert answered == []

    played(tmp_path, script)


async def _declined(world: World, call: CallId) -> None:
    """Nobody answers this call, not even the machine."""
    world.service.unanswered(Unanswered(call, ("stuart",), Caller(DAVE)))
    async with asyncio.timeout(10):
        while (call, 480) not in world.declined:  # noqa: ASYNC110 a test waits
            await asyncio.sleep(0.01)


def test_a_machine_that_comes_too_late_gives_its_ports_back(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        ports: list[int] = []

        def take_for_machine(_call: CallId, _user: str, port: int) -> SeatLine:
            ports.append(port)
            raise CallError("that call has been answered already")

        world.service.me = SimpleNamespace(address=HERE)
        world.service.take_for_machine = take_for_machine
        world.service.pump = lambda: None
        await world.voicemail.open()
        world.service.unanswered(Unanswered(CallId(7), ("stuart",), Caller(DAVE)))
        async with asyncio.timeout(10):
            while not world.declined:  # noqa: ASYNC110 a test waits
                await asyncio.sleep(0.01)
        await world.voicemail.close()
        assert world.is_empty()
        MediaSockets("::1", range(ports[0], ports[0] + 2)).close()

    gc.disable()
    try:
        played(tmp_path, script)
    finally:
        gc.enable()


def test_the_words_of_the_mail_say_who_and_how_to_call_back() -> None:
    stranger = Recording(Caller(DAVE, claimed_user="dave"), 1000.0, 12.0, b"")
    assert "dexmesh call 'sip:dave@[fc00::da]'" in stranger.words()
    assert "not in your address book" in stranger.words()
    contact = Recording(Caller(DAVE, "dave", is_contact=True), 1000.0, 12.0, b"")
    assert "dexmesh call dave\n" in contact.words()
    assert contact.file_name.endswith(".wav")


def test_what_a_caller_says_of_himself_is_neither_his_name_nor_a_command() -> None:
    mum = Recording(Caller(DAVE, None, "x';reboot;'", "Mum"), 1000.0, 12.0, b"")
    assert mum.name == 'fc00::da ("Mum")'
    assert mum.words().startswith('fc00::da ("Mum") called on ')
    command = mum.words().partition("Call back: ")[2]
    words = shlex.split(command)
    assert words[:2] == ["dexmesh", "call"]
    assert parse_uri(words[2]).user == "x';reboot;'"
    assert len(words) == 3


def test_one_node_does_not_keep_all_machines(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        def take_for_machine(_call: CallId, _user: str, _port: int) -> SeatLine:
            return SeatLine("stuart")

        world.service.me = SimpleNamespace(address=HERE)
        world.service.take_for_machine = take_for_machine
        world.service.hang_up = world.service.leave_machine = lambda _call: None
        await world.voicemail.open()
        for number in range(MAX_MACHINES_OF_ONE + 1):
            world.service.unanswered(Unanswered(CallId(number), ("stuart",), Caller(DAVE)))
        assert world.declined == [(MAX_MACHINES_OF_ONE, 480)]
        world.service.unanswered(Unanswered(CallId(9), ("stuart",), Caller(HERE)))
        assert len(world.declined) == 1
        await world.voicemail.close()

    played(tmp_path, script)
