"""`dexmesh call | answer | hangup | hold | dtmf | calls` and `dexmesh phone`, between two real services."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dexmesh.apps.base.home import HOME_VARIABLE
from dexmesh.apps.call.phone.values import CallId
from dexmesh.apps.call.seat import seat
from dexmesh.apps.call.sound.measure import tone_share
from dexmesh.apps.call.sound.tones import Part, Tones
from dexmesh.apps.call.sound.wav import WavSink
from dexmesh.cli.call_sound import Wishes
from dexmesh.cli.main import app
from dexmesh.cli.output import INTERRUPTED, Exit
from dexmesh.wire.address import format_address
from tests.unit.cli.phone_world import LoopSeat, Person, PhoneWorld

RATE = 8000
NOBODY = "nobody is called 'bop' in the address book"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneWorld]:
    monkeypatch.setattr(seat, "Seat", LoopSeat)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "alice"))
    world = PhoneWorld(tmp_path)
    yield world
    world.close()


@pytest.fixture
def bob(world: PhoneWorld) -> Person:
    return Person(world.bob)


def run(*arguments: str | Path, code: int = 0, stdin: str | None = None) -> Result:
    """Run `dexmesh ...` at alice's, which must end with that code."""
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def events(*arguments: str | Path, **more: Any) -> list[dict[str, Any]]:
    """What `--json` said, line by line."""
    return [json.loads(line) for line in run(*arguments, "--json", **more).stdout.splitlines()]


def tone_file(path: Path, hertz: float, seconds: float = 3) -> Path:
    """A WAV file with a tone."""
    source, sink = Tones((Part((hertz,), 1),)), WavSink(path)
    source.start(RATE)
    sink.start(RATE)
    for _ in range(int(50 * seconds)):
        sink.write(source.read())
    sink.close()
    return path


def share_of_tone(path: Path, hertz: float) -> float:
    with wave.open(str(path)) as file:
        return tone_share(file.readframes(file.getnframes()), file.getframerate(), hertz)


# Talking


def test_a_call_is_answered_and_each_records_the_tone_of_the_other(
    world: PhoneWorld, bob: Person, tmp_path: Path
) -> None:
    low, high = tone_file(tmp_path / "low.wav", 440), tone_file(tmp_path / "high.wav", 1000)
    heard_here, heard_there = tmp_path / "here.wav", tmp_path / "there.wav"
    with bob.at_desk(answers=True, wishes=Wishes(high, heard_there)) as there:
        said = run(
            *("call", "bob", "--play", low, "--record", heard_here, "--seconds", "1.5"),
        ).stdout
        ended = there.wait_for("ended")
    assert f"calling bob (sip:bob@[{format_address(world.bob.me.address)}])" in said
    assert "in a call with bob, PCMU" in said
    assert "you hung up after 0:01" in said
    assert "PCMU, loss 0.0 %" in said
    assert f"in {heard_here}" in said
    assert (ended["by"], ended["recorded"]) == ("them", str(heard_there))
    assert share_of_tone(heard_here, 1000) > 0.9
    assert share_of_tone(heard_there, 440) > 0.9
    (row,) = run("calls").stdout.splitlines()
    assert row.split("\t")[:4] == ["", "→", "bob", "answered"]


def test_json_has_every_event_figures_each_second_and_the_end(bob: Person) -> None:
    with bob.at_desk(answers=True):
        told = events(
            "call", "bob", "--no-sound", "--seconds", "1.2", "--codec", "pcma", "--codec", "PCMU"
        )
    names = [one["event"] for one in told]
    assert names[0] == "dialling"
    assert names[-1] == "ended"
    assert "established" in names
    figures = next(one for one in told if one["event"] == "statistics")
    assert (figures["codec"], figures["loss_percent"]) == ("PCMU", 0.0)
    assert figures["sent"] > 20
    assert {one["call"] for one in told} == {1}
    assert told[-1]["statistics"]["received"] > 20
    assert (told[-1]["by"], told[-1]["recorded"]) == ("us", None)


def test_the_service_knows_how_a_call_sounds(world: PhoneWorld, bob: Person) -> None:
    with bob.at_desk(answers=True), Person(world.alice).calling("bob") as told:
        told.wait_for("statistics")
        deadline = time.monotonic() + 10
        while True:
            (call,) = json.loads(run("phone", "status", "--json").stdout)["calls"]
            if call["statistics"] or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert call["statistics"]["codec"] == "PCMU"
        assert "1: bob, in a call, 0:0" in run("phone", "status").stdout


def test_a_call_that_rings_is_taken_with_answer(world: PhoneWorld, bob: Person) -> None:
    with bob.calling("alice") as told:
        told.wait_for("progress", is_ringing=True)
        said = run("answer", "--no-sound", "--seconds", "0.3").stdout
        told.wait_for("ended", by="them")
    assert "in a call with bob" in said
    assert "you hung up" in said


# Why nobody talked


def test_answering_when_nobody_calls(world: PhoneWorld) -> None:
    error = run("answer", "--no-sound", code=Exit.FAILED).stderr
    assert "nobody is calling" in error
    assert "dexmesh calls" in error


def test_a_declined_call_says_so_and_what_to_do(bob: Person) -> None:
    with bob.at_desk() as there:

        def decline_it() -> None:
            there.wait_for("ringing")
            bob.press("d")

        decline = threading.Thread(target=decline_it)
        decline.start()
        result = run("call", "bob", "--no-sound", code=Exit.FAILED)
        decline.join()
    assert "it rings at bob" in result.stdout
    assert "bob declined the call" in result.stdout
    assert 'dexmesh text bob "words"' in result.stdout
    assert "failed (declined)" in run("calls").stdout


def test_a_call_that_was_declined_here_was_not_missed(world: PhoneWorld, bob: Person) -> None:
    with Person(world.bob).calling("alice") as told:
        told.wait_for("progress")
        run("hangup")
        told.wait_for("ended", reason="declined")
    assert _calls(1)[0][:4] == ["", "←", "bob", "declined"]


def test_who_is_busy_unreachable_unknown_or_disturbed(world: PhoneWorld, bob: Person) -> None:
    with bob.at_desk(answers=True), Person(world.alice).calling("bob") as told:
        told.wait_for("established")
        assert "is in another call" in run("call", "bob", "--no-sound", code=1).stdout
    address = format_address(world.bob.me.address)
    nobody = run("call", f"sip:zoe@[{address}]", "--no-sound", code=1).stdout
    assert "nobody of that name" in nobody
    world.do(_configured(world, "do_not_disturb"))
    assert "bob is not available" in run("call", "bob", "--no-sound", code=1).stdout
    world.bob.is_online = False
    gone = run("call", "bob", "--no-sound", code=1).stdout
    assert "bob cannot be reached" in gone
    assert "a text waits" in gone


async def _configured(world: PhoneWorld, switch: str, *, is_on: bool = True) -> None:
    service = world.bob.service
    service.phone.configure("bob", service.preferences.choose("bob", switch, is_on=is_on))


def test_a_name_that_nobody_has_rings_nobody(world: PhoneWorld) -> None:
    error = run("call", "bop", "--no-sound", code=Exit.FAILED)
    assert "nobody is called 'bop'" in error.stderr
    assert "dexmesh contact list" in error.stderr
    assert error.stdout == ""
    assert json.loads(run("calls", "--json").stdout)["entries"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--codec", "mp3"], "there is no codec 'mp3'"),
        (["--seconds", "-1"], "not in the range"),
        (["--seconds", "nan"], "no number of seconds"),
    ],
)
def test_bad_options_are_said_before_anybody_is_called(
    world: PhoneWorld, arguments: list[str], message: str
) -> None:
    result = run("call", "bob", "--no-sound", *arguments, code=Exit.USAGE)
    assert message in result.stderr
    assert json.loads(run("calls", "--json").stdout)["entries"] == []


def test_files_that_cannot_be_used_are_said_before_anybody_is_called(
    world: PhoneWorld, tmp_path: Path
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("no sound")
    there = tone_file(tmp_path / "there.wav", 440, 0.1)
    for option, path, message in (
        ("--play", tmp_path / "missing.wav", "cannot play"),
        ("--play", text, "a.txt"),
        ("--record", there, "is there already"),
        ("--record", tmp_path / "talk.mp3", "is no place for a recording"),
        ("--record", tmp_path / "missing" / "a.wav", "cannot record into"),
    ):
        assert message in run("call", "bob", "--no-sound", option, path, code=1).stderr
    assert json.loads(run("calls", "--json").stdout)["entries"] == []


def test_without_a_sound_card_and_without_files_it_is_said_what_to_do(
    world: PhoneWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dexmesh.apps.call.sound import device

    monkeypatch.setattr(device, "list_cards", lambda: device.Cards("Null", (), ()))
    error = run("call", "bob", code=Exit.FAILED).stderr
    assert "this machine has no sound card" in error
    assert "--no-sound" in error


def test_a_recording_that_never_began_leaves_no_file(world: PhoneWorld, tmp_path: Path) -> None:
    world.bob.is_online = False
    run("call", "bob", "--no-sound", "--record", tmp_path / "x.wav", code=1)
    assert not (tmp_path / "x.wav").exists()


def test_where_no_service_runs_it_is_said_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "none"))
    for arguments in (
        ["call", "bob", "--no-sound"], ["answer", "--no-sound"], ["hangup"], ["hold"], ["dtmf", "1"],
        ["calls"], ["text", "bob", "hi"], ["texts"], ["phone", "--no-sound"], ["phone", "dnd", "on"],
    ):  # fmt: skip
        error = run(*arguments, code=Exit.NO_NODE).stderr
        assert "the phone service is not running here" in error
        assert "dexmesh phone on" in error


# Signals


@contextlib.contextmanager
def signalled(number: int, after: Callable[[], object]) -> Iterator[None]:
    """This program gets that signal as soon as `after` returns."""

    def work() -> None:
        after()
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 1), (signal.SIGHUP, 1)]
)
def test_a_signal_before_the_answer_ends_the_ringing(
    world: PhoneWorld, bob: Person, number: int, code: int
) -> None:
    with bob.at_desk() as there, signalled(number, lambda: there.wait_for("ringing")):
        said = run("call", "bob", "--no-sound", code=code).stdout
        there.wait_for("stopped")
    assert "you gave up" in said
    assert world.alice.service.phone.calls(0.0) == ()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_call_hangs_up_and_finishes_the_recording(
    bob: Person, tmp_path: Path, number: int
) -> None:
    heard = tmp_path / "heard.wav"
    with bob.at_desk(answers=True) as there:
        with signalled(number, lambda: there.wait_for("statistics")):
            said = run("call", "bob", "--no-sound", "--record", heard).stdout
        assert there.wait_for("ended")["by"] == "them"
    assert "you hung up after 0:0" in said
    with wave.open(str(heard)) as file:
        assert 0.5 < file.getnframes() / file.getframerate() < 10


def test_a_service_that_ends_takes_the_call_with_it(world: PhoneWorld, bob: Person) -> None:
    alice = Person(world.alice)
    with bob.at_desk(answers=True), alice.calling("bob") as told:
        told.wait_for("established")
        world.do(world.alice.server.close())
        assert told.wait_for("ended")["reason"] == "the service ended"
    assert "the service of this machine ended" in alice.told.words[-1]


# Steering a call


def test_a_call_is_held_resumed_given_keys_and_ended_from_another_terminal(
    world: PhoneWorld, bob: Person
) -> None:
    alice = Person(world.alice)
    with bob.at_desk(answers=True) as there, alice.calling("bob") as told:
        told.wait_for("established")
        assert "is on hold" in run("hold").stdout
        there.wait_for("changed", held_there=True)
        assert json.loads(run("hold", "--off", "--json").stdout) == {"call": 1, "on": False}
        there.wait_for("changed", held_there=False)
        assert run("dtmf", "5").stdout == "sent 5 in call 1\n"
        there.wait_for("digit", digit="5")
        assert run("hangup", "--call", "1").stdout == "call 1 is over\n"
        told.wait_for("ended", by="us")
        there.wait_for("ended", by="them")
    assert "the call is on hold" in alice.told.words
    assert "bob pressed" not in "".join(alice.told.words)
    assert "alice holds the call" in bob.told.words
    assert "alice is back" in bob.told.words
    assert "alice pressed 5" in bob.told.words


def test_keys_do_the_same(world: PhoneWorld, bob: Person) -> None:
    alice = Person(world.alice)
    with bob.at_desk(answers=True) as there, alice.calling("bob") as told:
        told.wait_for("established")
        alice.press("x")  # means nothing
        alice.press("m")
        assert told.wait_for("muted")["on"] is True
        alice.press("h")
        told.wait_for("changed", held_here=True)
        alice.press("h")
        told.wait_for("changed", held_here=False)
        alice.press("#")
        there.wait_for("digit", digit="#")
        alice.press("q")
        assert there.wait_for("ended")["by"] == "them"


@pytest.mark.parametrize("command", [["hangup"], ["hold"], ["hold", "--off"], ["dtmf", "1"]])
def test_where_there_is_no_call_nothing_is_steered(world: PhoneWorld, command: list[str]) -> None:
    error = run(*command, code=Exit.FAILED).stderr
    assert "there is no call" in error
    assert "dexmesh call NAME" in error
    assert "there is no call 7" in run(*command, "--call", "7", code=Exit.FAILED).stderr


def test_keys_that_no_phone_has_are_refused() -> None:
    for digits in ("12x", "", "1 2", "ü"):
        assert "no keys of a phone" in run("dtmf", digits, code=Exit.USAGE).stderr


def test_a_call_that_is_not_answered_yet_cannot_be_held(world: PhoneWorld, bob: Person) -> None:
    with bob.at_desk(), Person(world.alice).calling("bob") as told:
        told.wait_for("progress", is_ringing=True)
        assert run("hold", code=Exit.FAILED).stderr
        run("hangup")
        told.wait_for("ended", by="us")


# dexmesh phone


def test_a_phone_shows_what_was_missed_what_rings_and_what_is_written(
    world: PhoneWorld, bob: Person
) -> None:
    run("text", "bob", "earlier\nand more")
    with bob.at_desk() as there:
        (news,) = there.wait_for("attached")["news"]
        assert news["text"] == "earlier\nand more"
        run("text", "bob", "now\neve is calling")
        assert there.wait_for("text")["text"].startswith("now")
        alice = Person(world.alice)
        with alice.calling("bob"):
            there.wait_for("ringing")
        there.wait_for("stopped", call=1)
        missed = there.wait_for("missed")
        assert missed["caller"]["petname"] == "alice"
    words = "\n".join(bob.told.words)
    assert "since you last looked:" in words
    assert "alice: earlier and more" in words
    assert "alice writes: now\n    eve is calling" in words  # no line of ours
    assert "alice is calling" in words
    assert "alice called: the caller gave up" in words


def test_a_call_is_answered_with_a_key_and_elsewhere_it_rings_no_more(
    world: PhoneWorld, bob: Person
) -> None:
    second = Person(world.bob)
    with (
        bob.at_desk() as here,
        second.at_desk() as elsewhere,
        Person(world.alice).calling("bob") as told,
    ):
        here.wait_for("ringing")
        elsewhere.wait_for("ringing")
        bob.press("a")
        here.wait_for("established")
        elsewhere.wait_for("stopped", reason="answered")
        bob.press("q")
        told.wait_for("ended", by="them")
    assert "alice was answered at another phone of yours" in second.told.words


def test_a_phone_says_that_the_voicemail_took_a_call(world: PhoneWorld, bob: Person) -> None:
    async def answer_as_machine() -> None:
        world.bob.service.take_for_machine(CallId(1), "bob", 7078)

    with bob.at_desk() as there, Person(world.alice).calling("bob") as told:
        there.wait_for("ringing")
        world.do(answer_as_machine())
        told.wait_for("established")
        there.wait_for("stopped", reason="voicemail")
    assert "nobody answered: alice speaks to the voicemail" in bob.told.words


def test_a_second_caller_waits_and_is_taken_after_the_first(world: PhoneWorld, bob: Person) -> None:
    world.do(_configured(world, "call_waiting"))
    alice, other = Person(world.alice), Person(world.alice)
    with bob.at_desk() as there, alice.calling("bob") as first:
        there.wait_for("ringing", call=1)
        bob.press("a")
        first.wait_for("established")
        with other.calling("bob") as second:
            there.wait_for("ringing", call=2, is_waiting=True)
            bob.press("a")
            first.wait_for("ended", by="them")
            second.wait_for("established")
            there.wait_for("established", call=2)


def test_a_phone_waits_for_a_service_that_comes_back(world: PhoneWorld, bob: Person) -> None:
    with bob.at_desk() as there:
        world.do(world.bob.server.close())
        there.wait_for("detached")
        world.do(world.bob.server.start(world.bob.home.control_socket))
        deadline = time.monotonic() + 20
        while not world.bob.service.seats.bells("bob"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run("text", "bob", "are you back?")
        there.wait_for("text")


def test_somebody_is_called_from_the_phone_by_typing_a_name(world: PhoneWorld, bob: Person) -> None:
    alice = Person(world.alice)
    with bob.at_desk() as here, alice.at_desk() as there:
        bob.press("cbop\r")
        assert "contact list" in here.wait_for("trouble", text=NOBODY)["hint"]
        bob.press("calicx\x7fe\r")
        there.wait_for("ringing", call=1)
        alice.press("a")
        here.wait_for("established", call=1)
        bob.press("q")
        there.wait_for("ended", by="them")
        bob.press("calic")
        alice.press("cbob\r")  # who calls takes the keys for the bell
        here.wait_for("ringing", call=2)
        bob.press("a")
        there.wait_for("established", call=2)
    assert f"calling alice (sip:alice@[{format_address(world.alice.me.address)}])" in bob.told.words


def test_a_phone_that_answers_by_itself_calls_too_and_stands_by_again(
    world: PhoneWorld, bob: Person
) -> None:
    alice = Person(world.alice)
    with bob.at_desk(answers=True) as here, alice.at_desk(answers=True):
        _wait_standing_by(world)
        bob.press("calice\n")
        here.wait_for("established")
        bob.press("q")
        here.wait_for("ended", by="us")
        _wait_standing_by(world)


def test_whoever_ends_a_phone_hangs_up(world: PhoneWorld, bob: Person) -> None:
    alice = Person(world.alice)
    with alice.calling("bob") as told:
        with bob.at_desk(answers=True) as there:
            there.wait_for("established")
        told.wait_for("ended", by="them")


def test_a_phone_that_answers_itself_has_its_seat_with_the_service(
    world: PhoneWorld, bob: Person, tmp_path: Path
) -> None:
    wishes = Wishes(is_silent=True, record=tmp_path)
    second = Person(world.bob)
    with (
        bob.at_desk(answers=True, wishes=wishes) as there,
        second.at_desk() as elsewhere,
    ):
        for number in (1, 2):
            _wait_standing_by(world)
            with Person(world.alice).calling("bob") as told:
                there.wait_for("ringing", call=number)
                there.wait_for("established", call=number)
                told.wait_for("established")
                time.sleep(0.2)
            ended = there.wait_for("ended", call=number)
            assert re.fullmatch(r"[\d-]+-alice(-2)?\.wav", Path(ended["recorded"]).name)
    assert elsewhere.events == elsewhere.events[:1]  # no bell was rung
    assert len(list(tmp_path.glob("*.wav"))) == 2  # what was never recorded left no file


def test_who_calls_is_told_to_the_mail_as_a_sign_of_life_once_and_not_before_the_answer(
    world: PhoneWorld, bob: Person
) -> None:
    with bob.at_desk(answers=True), Person(world.alice).calling("bob") as told:
        told.wait_for("established")
        assert world.bob.signs == []
        time.sleep(1.5)
        assert world.bob.signs == [world.alice.me.address]


def test_a_phone_that_stands_by_for_its_user_alone_rings_when_he_no_longer_wants_that(
    world: PhoneWorld, bob: Person
) -> None:
    world.do(_configured(world, "auto_answer"))
    with bob.at_desk() as there:
        _wait_standing_by(world)
        world.do(_configured(world, "auto_answer", is_on=False))
        with Person(world.alice).calling("bob"):
            there.wait_for("ringing", answers_itself=False)
            bob.press("a")
            there.wait_for("established")


def test_a_phone_stands_by_again_when_the_service_comes_back(
    world: PhoneWorld, bob: Person
) -> None:
    with bob.at_desk(answers=True) as there:
        _wait_standing_by(world)
        world.do(world.bob.server.close())
        there.wait_for("detached")
        world.do(world.bob.server.start(world.bob.home.control_socket))
        _wait_standing_by(world)
        with Person(world.alice).calling("bob"):
            there.wait_for("established")
    assert not [one for one in there.events if one["event"] == "trouble"]


def _wait_standing_by(world: PhoneWorld) -> None:
    deadline = time.monotonic() + 20
    while not world.bob.service.seats._standing:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_option_before_a_subcommand_is_not_ignored_in_silence(world: PhoneWorld) -> None:
    error = run("phone", "--json", "status", code=Exit.USAGE).stderr
    assert "options of `phone status` stand behind it" in error


# The history


def test_the_history_shows_new_ones_once_and_those_of_one_person(
    world: PhoneWorld, bob: Person
) -> None:
    with bob.calling("alice") as told:
        told.wait_for("progress", is_ringing=True)
    rows = _calls(1)
    assert rows[0][:4] == ["N", "←", "bob", "missed (the caller gave up)"]
    assert run("calls", "--news", "--keep-new").stdout
    assert run("calls", "--news").stdout
    assert run("calls", "--news").stdout == ""
    assert "no new calls" in run("calls", "--news").stderr
    assert run("calls", "--with", "bob").stdout
    address = "fc12::1"
    assert "no calls yet" in run("calls", "--with", f"sip:x@[{address}]").stderr
    assert "nobody is called" in run("calls", "--with", "nobody-here", code=Exit.FAILED).stderr
    run("calls", "--limit", "0", code=Exit.USAGE)


def _calls(count: int) -> list[list[str]]:
    """The rows of `calls --keep-new`, when there are so many."""
    deadline = time.monotonic() + 10
    while True:
        rows = [line.split("\t") for line in run("calls", "--keep-new").stdout.splitlines()]
        if len(rows) >= count or time.monotonic() > deadline:
            return rows
        time.sleep(0.05)
