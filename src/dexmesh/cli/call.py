"""`dexmesh call | answer`: talk to somebody, with the sound of this terminal's machine.

Place     cli/main.py -> here -> call_line.py; control socket (call.dial, call.answer)
Spec      issue 5; docs/apps/phone.md
Keeps     exit code 0 means that somebody talked; everything else says why not, and what to do next
Not here  a phone that stays and rings (phone_seat.py), commands for a call under way (call_control.py)
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from dexmesh.cli.call_line import CodecOption, SeatedLine, open_line, sit
from dexmesh.cli.call_show import Story
from dexmesh.cli.call_sound import (
    DeviceOption,
    NoSoundOption,
    PlayOption,
    RecordOption,
    Wishes,
)
from dexmesh.cli.call_words import describe_call, who
from dexmesh.cli.output import INTERRUPTED, Exit, example, note, reports_errors
from dexmesh.cli.phone import phone_of
from dexmesh.cli.places import seconds as length
from dexmesh.cli.service import HomeOption, UserOption
from dexmesh.errors import AppError

commands = typer.Typer()


def _length(value: float | None) -> float | None:
    return None if value is None else length(value)


SecondsOption = Annotated[
    float | None,
    typer.Option("--seconds", min=0, callback=_length, help="Hang up that long after the answer."),
]
EventsOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a line: every event, figures, the end.")
]


@commands.command(epilog=example("dexmesh call stuart --play hello.wav --seconds 20"))
@reports_errors
def call(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A petname, an address, sip:name@[ADDRESS], a key."),
    ],
    play: PlayOption = None,
    record: RecordOption = None,
    device: DeviceOption = None,
    no_sound: NoSoundOption = False,
    codec: CodecOption = None,
    seconds: SecondsOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: EventsOption = False,
) -> None:
    """Call somebody and talk. Keys: q or Ctrl-C hangs up, h holds, m mutes, 0-9 * # are sent.

    Exit code 0: somebody talked. 1: nobody answered, busy, declined; the last line says which.
    """
    wishes = Wishes(play, record, device, no_sound)
    _talk("call.dial", {"to": name}, name, wishes, codec, seconds, user, home, as_json)


@commands.command(epilog=example("dexmesh answer --record talk.wav"))
@reports_errors
def answer(
    number: Annotated[
        int | None,
        typer.Option("--call", min=1, help="Which, if several ring: its number in `phone status`."),
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Hold the call you are in, and then take this one.")
    ] = False,
    play: PlayOption = None,
    record: RecordOption = None,
    device: DeviceOption = None,
    no_sound: NoSoundOption = False,
    codec: CodecOption = None,
    seconds: SecondsOption = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: EventsOption = False,
) -> None:
    """Take the call that rings. Keys: q or Ctrl-C hangs up, h holds, m mutes, 0-9 * # are sent.

    Exit code 0: somebody talked. 1: nobody did, or nobody calls.
    """
    with phone_of(home, user) as service:
        ringing = _ringing(service.call("call.list")["calls"], number)
    wishes, name = Wishes(play, record, device, no_sound), who(ringing["peer"])
    which = {"call": ringing["call"], "hold_others": hold}
    _talk("call.answer", which, name, wishes, codec, seconds, user, home, as_json)


def _ringing(calls: list[dict[str, Any]], number: int | None) -> dict[str, Any]:
    """The call that is meant. Raises AppError if that is not clear."""
    ringing = [one for one in calls if one["state"] == "ringing"]
    chosen = [one for one in ringing if number in (None, one["call"])]
    if len(chosen) == 1:
        return chosen[0]
    if not ringing:
        raise AppError("nobody is calling", "`dexmesh calls` shows who did")
    several = ", ".join(describe_call(one) for one in ringing)
    what = f"call {number} does not ring" if number else "several people are calling"
    raise AppError(what, f"--call says which: {several}")


def _talk(
    command: str,
    arguments: dict[str, Any],
    name: str,
    wishes: Wishes,
    codecs: list[str] | None,
    most_s: float | None,
    user: str | None,
    home: Path | None,
    as_json: bool,
) -> NoReturn:
    with open_line(home, user, codecs, as_json=as_json) as line:
        seated = SeatedLine(line, wishes, Story(name, name), most_s)
        for words in seated.sound.notes:
            note(words)
        seated.begin(command, **arguments)
        result, told = sit(line, seated)
    if result.has_talked:
        raise SystemExit(int(Exit.OK))
    raise SystemExit(INTERRUPTED if told == signal.SIGINT else int(Exit.FAILED))
