"""Write linphonerc: linphone 5, in the terminal (linphonec) or on the desktop.

Place     cli/setup_phones.py -> here
Spec      docs/apps/sip.md §2 "linphone 5.1"
Keeps     it listens on the mesh address alone, and no offer names any other address
Not here  the friends (contacts/exports.py)
"""

from __future__ import annotations

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.call.programs.values import (
    AUDIO_PORTS,
    SIP_PORT,
    VIDEO_PORT,
    Situation,
    common_notes,
)
from dexmesh.apps.contacts.exports import export
from dexmesh.values import dataclass

PROGRAM = "linphone"


@dataclass(frozen=True, slots=True)
class Linphone:
    """The program as it is installed here."""

    version: str
    path: str  # of the file it reads
    data: str  # the folder of its message database, which linphonec does not make


def configure(situation: Situation, program: Linphone) -> Configuration:
    """The lines of linphonerc that matter; linphone adds all others when it ends."""
    friends = export(situation.contacts, "linphone")
    lines = [
        "[sip]",
        f"sip_port={SIP_PORT}",
        "# The mesh address alone; without this line it listens to the Internet, too.",
        f"bind_address={situation.address}",
        "sip_tls_port=0",
        "# Else others see you@127.0.0.1.",
        "guess_hostname=0",
        f"contact={situation.identity}",
        "use_ipv6=1",
        "[rtp]",
        "# Else the offer names another address of yours: who is called hears nothing, or learns where",
        "# you are on the Internet.",
        f"bind_address={situation.address}",
        f"audio_rtp_port={AUDIO_PORTS[0]}",
        f"video_rtp_port={VIDEO_PORT}",
        "[net]",
        "firewall_policy=0",
        "",
    ]
    head = f"Calls over the mesh with linphone {program.version}".rstrip()
    headline = [f"{head}, made by `dexmesh setup linphone`.", f"Place: {program.path}"]
    text = comment(headline) + "\n".join(lines) + "\n" + friends.text
    notes = (*_notes(program), *common_notes(situation, friends.left_out))
    return Configuration(PROGRAM, program.path, text, notes)


def _notes(program: Linphone) -> list[str]:
    return [
        f"without a folder for its messages it starts and listens nowhere: mkdir -p {program.data}",
        "linphone must not run while you write the file: it writes it anew when it ends",
        "start it after the node: without the mesh address it cannot listen",
        "whoever can send to port 5060 can end linphone 5.1 with a damaged message: let contacts alone"
        "\n  reach it (`dexmesh setup phone-firewall`), or use the phone of dexmesh",
        "call and write to addresses, sip:bob@[fc..]; a name in .k it drops, say KEY.cjdns.alt for those",
        "leave STUN and ICE off: they add addresses of yours that have nothing to do with the mesh",
    ]
