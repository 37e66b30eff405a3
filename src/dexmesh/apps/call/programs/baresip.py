"""Write the three files of baresip: config, accounts, contacts.

Place     cli/setup_phones.py -> here
Spec      docs/apps/sip.md §2 "baresip 1.0"
Keeps     it listens on the mesh address alone, and no offer names any other address
Not here  the lines of the contacts (contacts/exports.py)
"""

from __future__ import annotations

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.call.programs.values import AUDIO_PORTS, SIP_PORT, Situation, common_notes
from dexmesh.apps.contacts.exports import export
from dexmesh.errors import AppError
from dexmesh.values import dataclass

PROGRAM = "baresip"
FILES = ("config", "accounts", "contacts")
CODECS = ("opus", "g722", "g711")  # in the order of the offer
CONVERTERS = ("auconv", "auresamp")  # modules since 1.1, built in before
SOUND = ("alsa", "pulse", "pipewire", "portaudio", "sndio", "oss")  # the first there is
_USUAL_DEVICE = "tun0"


@dataclass(frozen=True, slots=True)
class Baresip:
    """The program as it is installed here: `modules` by their names, in `module_folder`."""

    version: str
    folder: str  # of its files
    module_folder: str
    modules: frozenset[str]


def configure(situation: Situation, program: Baresip) -> tuple[Configuration, ...]:
    """All three files. AppError where a module is missing without which nobody hears anything."""
    contacts = export(situation.contacts, "baresip")
    texts = {
        "config": _config(situation, program),
        "accounts": f"{situation.identity};regint=0\n",
        "contacts": contacts.text,
    }
    head = f"Calls over the mesh with baresip {program.version}".rstrip()
    headline = f"{head}, made by `dexmesh setup baresip`."
    notes = (*_notes(situation), *common_notes(situation, contacts.left_out))
    return tuple(
        Configuration(
            PROGRAM,
            f"{program.folder}/{name}",
            comment([headline, f"Place: {program.folder}/{name}"]) + text,
            notes if name == "config" else (),
        )
        for name, text in texts.items()
    )


def _config(situation: Situation, program: Baresip) -> str:
    sound = next((name for name in SOUND if name in program.modules), None)
    if sound is None:
        raise AppError(
            f"baresip has no module for sound in {program.module_folder}",
            "install one of them, on Debian: apt-get install baresip-core",
        )
    device = "" if sound in ("pulse", "pipewire") else "default"
    lines = [
        f"sip_listen [{situation.address}]:{SIP_PORT}",
        "# Else the offer names the address of the device that leads to the Internet: who is called hears",
        "# nothing, and learns where you are.",
        f"net_interface {situation.device or _USUAL_DEVICE}",
        f"rtp_ports {AUDIO_PORTS[0]}-{AUDIO_PORTS[1]}",
        f"audio_player {sound},{device}",
        f"audio_source {sound},{device}",
        f"audio_alert {sound},{device}",
        f"module_path {program.module_folder}",
        *(
            f"module {name}.so"
            for name in ("stdio", *CODECS, *CONVERTERS, sound)
            if name in program.modules
        ),
        *(f"module_app {name}.so" for name in ("account", "contact", "menu")),
    ]
    return "\n".join(lines) + "\n"


def _notes(situation: Situation) -> list[str]:
    notes = [
        "start it after the node: without the mesh address and its device it does not start",
        "call: /dial sip:bob@[fc..]   to a contact: > until it is his turn, then D, or M and a text",
        'it can refuse the calls of others: `"Others" <sip:*@*>;access=block` in the file contacts, and'
        "\n  `;access=allow` behind every other line; that goes by the name a caller gives himself, and"
        "\n  not for texts",
    ]
    if situation.device is None:
        notes.insert(
            0,
            f"the node does not run: if its device is not {_USUAL_DEVICE}, correct the line"
            " `net_interface`, or\n  run this again while it runs",
        )
    return notes
