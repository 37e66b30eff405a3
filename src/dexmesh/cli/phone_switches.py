"""`dexmesh phone dnd | auto-answer | waiting | devices`: what a person wants of the phone.

Place     cli/phone_commands.py -> here -> control socket (phone.switch), apps/call/sound/device.py
Spec      issue 5 (do-not-disturb, auto-answer)
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from dexmesh.cli.output import example, note, print_json, print_table, reports_errors, say
from dexmesh.cli.phone import app, phone_of
from dexmesh.cli.places import JsonOption
from dexmesh.cli.service import HomeOption, UserOption


class OnOff(StrEnum):
    """What a switch can be set to."""

    ON = "on"
    OFF = "off"


StateArgument = Annotated[
    OnOff | None, typer.Argument(metavar="on|off", help="Left out: show how it is.")
]

_WORDS: Final = {
    "do_not_disturb": {
        True: "do not disturb is on: nothing rings, callers get the voicemail or hear that you are "
        "not available",
        False: "do not disturb is off: contacts ring",
    },
    "auto_answer": {
        True: "calls of contacts are answered by whatever phone of yours is there, without a key",
        False: "calls ring until somebody answers",
    },
    "call_waiting": {
        True: "call waiting is on: a second call rings while you are in one",
        False: "call waiting is off: a second caller hears that you are busy",
    },
}


@app.command(epilog=example("dexmesh phone dnd on"))
@reports_errors
def dnd(
    state: StateArgument = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do not disturb: calls do not ring, they go to voicemail or hear that you are not available."""
    _switch("do_not_disturb", state, user, home, as_json)


@app.command("auto-answer", epilog=example("dexmesh phone auto-answer off"))
@reports_errors
def auto_answer(
    state: StateArgument = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Calls of contacts are answered by themselves; strangers still have to wait."""
    _switch("auto_answer", state, user, home, as_json)


@app.command(epilog=example("dexmesh phone waiting on"))
@reports_errors
def waiting(
    state: StateArgument = None,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call waiting: a second call rings while you are in one."""
    _switch("call_waiting", state, user, home, as_json)


def _switch(
    name: str, state: OnOff | None, user: str | None, home: Path | None, as_json: bool
) -> None:
    with phone_of(home, user) as service:
        if state is None:
            switches = service.call("phone.status")["switches"]
        else:
            switches = service.call("phone.switch", switch=name, on=state is OnOff.ON)
    if as_json:
        print_json(switches)
        return
    say(_WORDS[name][bool(switches[name])])


@app.command(epilog=example("dexmesh phone devices"))
@reports_errors
def devices(as_json: JsonOption = False) -> None:
    """List the sound cards that --device can choose from."""
    from dexmesh.apps.call.sound.device import list_cards

    cards = list_cards()
    if as_json:
        print_json(
            {
                "system": cards.system,
                "playback": list(cards.playback),
                "capture": list(cards.capture),
            }
        )
        return
    rows = [
        *(["loudspeaker", str(number), name] for number, name in enumerate(cards.playback)),
        *(["microphone", str(number), name] for number, name in enumerate(cards.capture)),
    ]
    if not rows:
        note(
            "no sound card was found; `--play FILE.wav --record FILE.wav`, or `--no-sound`, do without"
        )
        return
    print_table(("for", "number", "name"), rows)
    note("`--device` takes a number or a part of the name; `null` is always there")
