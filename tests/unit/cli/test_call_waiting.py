"""Several calls of one person: one is held while he talks in another, with keys and from commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dexmesh.apps.base.home import HOME_VARIABLE
from dexmesh.apps.call.seat import seat
from dexmesh.apps.call.sound import device
from dexmesh.apps.call.sound.interface import frame_bytes
from dexmesh.cli.call_sound import Wishes
from dexmesh.cli.main import app
from dexmesh.cli.output import Exit
from dexmesh.errors import SoundError
from tests.unit.cli.phone_world import LoopSeat, Person, PhoneWorld


class OneCard:
    """A sound card that one call at a time can have, as ALSA lends it."""

    holders: list[OneCard] = []  # noqa: RUF012 one for all of them
    is_finished = False

    def __init__(self, _card: str | None = None) -> None:
        self._rate = 0

    def start(self, rate: int) -> None:
        if any(type(one) is type(self) and one is not self for one in self.holders):
            raise SoundError("the card is busy")
        if self not in self.holders:
            self.holders.append(self)
        self._rate = rate

    def read(self) -> bytes:
        return bytes(frame_bytes(self._rate))

    def write(self, pcm: bytes) -> None:
        assert self in self.holders

    def close(self) -> None:
        if self in self.holders:
            self.holders.remove(self)


class OneMicrophone(OneCard):
    """Its other direction."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PhoneWorld]:
    """Bob wants to hear of a second call."""
    monkeypatch.setattr(seat, "Seat", LoopSeat)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "alice"))
    world = PhoneWorld(tmp_path)
    with world.bob.client("bob") as client:
        client.call("phone.switch", switch="call_waiting", on=True)
    yield world
    world.close()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one sound card."""
    monkeypatch.setattr(OneCard, "holders", [])
    monkeypatch.setattr(device, "list_cards", lambda: device.Cards("ALSA", ("card",), ("card",)))
    monkeypatch.setattr(device, "DeviceSink", OneCard)
    monkeypatch.setattr(device, "DeviceSource", OneMicrophone)


@pytest.fixture
def bob(world: PhoneWorld) -> Person:
    return Person(world.bob)


def run(*arguments: str, code: int = 0) -> Result:
    """Run `dexmesh ...` at alice's, which must end with that code."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("card")
def test_keys_answer_a_second_call_hold_the_first_and_go_from_one_to_the_other(
    world: PhoneWorld, bob: Person
) -> None:
    alice, other = Person(world.alice), Person(world.alice)
    with bob.at_desk(wishes=Wishes()) as there, alice.calling("bob") as first:
        there.wait_for("ringing", call=1)
        bob.press("a")
        first.wait_for("established")
        bob.press("s")  # there is nobody to go over to
        with other.calling("bob") as second:
            there.wait_for("ringing", call=2, is_waiting=True)
            bob.press("s")
            there.wait_for("established", call=2)
            first.wait_for("changed", held_there=True)
            second.wait_for("established")
            bob.press("s")
            second.wait_for("changed", held_there=True)
            first.wait_for("changed", held_there=False)
            there.wait_for("changed", call=1, held_here=False)
            assert len(OneCard.holders) == 2  # a loudspeaker and a microphone
            bob.press("q")
            first.wait_for("ended", by="them")
            there.wait_for("forward", call=2)
            bob.press("h")
            second.wait_for("changed", held_there=False)
            there.wait_for("changed", call=2, held_here=False)
            until(lambda: len(OneCard.holders) == 2)
            bob.press("q")
            second.wait_for("ended", by="them")
    assert not [one for one in there.events if one["event"] == "trouble"]
    assert OneCard.holders == []
    words = "\n".join(bob.told.words)
    assert "alice is calling, too: a hangs up here and answers, s holds this call" in words
    assert "alice is still on hold: h goes on, q hangs up" in words


@pytest.mark.usefixtures("card")
def test_who_waits_and_gives_up_meanwhile_brings_the_first_call_back_with_its_sound(
    world: PhoneWorld, bob: Person
) -> None:
    alice, other = Person(world.alice), Person(world.alice)
    with bob.at_desk(wishes=Wishes()) as there, alice.calling("bob") as first:
        there.wait_for("ringing", call=1)
        bob.press("a")
        first.wait_for("established")
        with other.calling("bob"):
            there.wait_for("ringing", call=2)
            with world.bob.client("bob") as client:  # another phone of his is quicker
                client.call("call.decline", call=2)
            bob.press("s")
            until(lambda: {"stopped", "trouble"} & {one["event"] for one in there.events})
        bob.press("5")
        first.wait_for("digit", digit="5")
        until(lambda: len(OneCard.holders) == 2)
    assert not [one for one in first.events if one.get("held_there")]


def test_a_held_call_that_ends_leaves_the_other_alone_and_whoever_ends_the_phone_ends_all(
    world: PhoneWorld, bob: Person
) -> None:
    callers = [Person(world.alice) for _ in range(3)]
    with bob.at_desk() as there, callers[0].calling("bob") as first:
        there.wait_for("ringing", call=1)
        bob.press("a")
        first.wait_for("established")
        with callers[1].calling("bob") as second:
            there.wait_for("ringing", call=2)
            bob.press("s")
            second.wait_for("established")
            callers[0].press("q")
            there.wait_for("ended", call=1)
            with callers[2].calling("bob") as third:
                there.wait_for("ringing", call=3)
                bob.press("s")
                third.wait_for("established")
                assert bob.desk is not None
                assert [one.call.story.call for one in bob.desk._all()] == [2, 3]
                assert bob.desk._all()[1].call.story.others == ("alice",)
                bob.hang_up_and_leave()
                second.wait_for("ended", by="them")
                third.wait_for("ended", by="them")


def test_calls_are_held_swapped_and_resumed_from_another_terminal(
    world: PhoneWorld, bob: Person
) -> None:
    desks = bob, Person(world.bob)
    alice, other = Person(world.alice), Person(world.alice)
    with desks[0].at_desk(answers=True), desks[1].at_desk(answers=True):
        assert "no call is on hold" in run("hold", "--swap", code=Exit.FAILED).stderr
        with alice.calling("bob") as first:
            first.wait_for("established")
            with other.calling("bob") as second:
                second.wait_for("established")
                assert "say which with --call" in run("hold", code=Exit.FAILED).stderr
                assert run("hold", "--call", "2").stdout.startswith("call 2 is on hold")
                assert json.loads(run("hold", "--json").stdout) == {"call": 1, "on": True}
                assert "say which with --call" in run("hold", "--swap", code=Exit.FAILED).stderr
                assert run("hold", "--off", "--call", "2").stdout == "call 2 goes on\n"
                assert run("hold", "--swap").stdout == "call 1 goes on, 2 is on hold\n"
                first.wait_for("changed", held_here=False)
                assert run("dtmf", "7").stdout == "sent 7 in call 1\n"
                first.wait_for("send_digits", digits="7")
                told = json.loads(run("hold", "--swap", "--json").stdout)
                assert told == {"call": 2, "held": [1]}
                assert run("hold", "--off").stdout == "call 1 goes on\n"
                assert "say which with --call" in run("dtmf", "7", code=Exit.FAILED).stderr
                assert (
                    "do not go together" in run("hold", "--swap", "--off", code=Exit.USAGE).stderr
                )
