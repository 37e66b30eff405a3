"""What the configuration of a phone is made from.

Place     cli/setup_phone_facts.py -> here -> the modules of the programs
Spec      docs/apps/sip.md §2
Not here  the person, and what comes out (base/programs.py)
"""

from __future__ import annotations

from collections.abc import Sequence

from dexmesh.apps.base.me import Me
from dexmesh.apps.base.programs import Person
from dexmesh.apps.contacts import exports
from dexmesh.values import dataclass
from dexmesh.wire.address import format_address

SIP_PORT = 5060
AUDIO_PORTS = (7078, 7098)  # the article's readers opened 7078/udp and 9078/udp
VIDEO_PORT = 9078


@dataclass(frozen=True, slots=True)
class Situation:
    """This machine: whose node, who calls, who is in the address book.

    `device`: the network device with the mesh address, None while there is none; `is_phone_on`: whether
    our own phone is switched on, which has the port then.
    """

    me: Me
    person: Person
    contacts: Sequence[exports.Person] = ()
    device: str | None = None
    is_phone_on: bool = False

    @property
    def address(self) -> str:
        """The mesh address, as programs write it."""
        return format_address(self.me.address)

    @property
    def uri(self) -> str:
        """How others call this person."""
        return f"sip:{self.person.user}@[{self.address}]"

    @property
    def identity(self) -> str:
        """The same with the name that others shall see."""
        return f'"{self.person.full_name}" <{self.uri}>'


def common_notes(situation: Situation, left_out: Sequence[str]) -> list[str]:
    """What is to be known with every stock phone."""
    notes = []
    if situation.is_phone_on:
        notes.append(
            f"the phone of dexmesh is on and has port {SIP_PORT} of the mesh address: only one of the"
            "\n  two can run (`dexmesh phone off` switches it off)"
        )
    notes.append(f"others call you: {situation.uri}")
    notes.append(
        "it sends sound to the address the other side names, shows any name without a check, and"
        "\n  rings for strangers: `dexmesh setup phone-firewall` lets contacts alone in"
    )
    notes += [f"not in its address book: {one}" for one in left_out]
    return notes
