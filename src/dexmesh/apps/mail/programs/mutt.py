"""Write muttrc: mutt with literals, neomutt with key names.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §3 (mutt, neomutt), §1 "Names that survive broken parsers"
Keeps     mutt asks no resolver for its own name and insists on no TLS inside this machine
Not here  aliases of contacts (contacts/exports.py)
"""

from __future__ import annotations

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.values import dataclass

PROGRAM = "mutt"


@dataclass(frozen=True, slots=True)
class Mutt:
    """The program as it is installed here."""

    is_neomutt: bool
    version: str
    path: str  # of the file it reads

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return "neomutt" if self.is_neomutt else "mutt"


def configure(situation: Situation, program: Mutt) -> Configuration:
    """The whole muttrc."""
    address = situation.key_address if program.is_neomutt else situation.address
    lines = [
        f'set realname="{situation.person.full_name}"',
        f'set from="{address}"',
        "set use_from=yes",
        "set use_envelope_from=yes",
        f'set hostname="{situation.me.key_name}"  # else mutt asks a resolver for it',
        *_sending(situation.ours),
        *_reading(situation),
    ]
    head = f"Mail over the mesh with {program.name} {program.version}".rstrip()
    headline = [f"{head}, made by `dexmesh setup mutt`.", f"Place: {program.path}"]
    text = comment(headline) + "\n".join(lines) + "\n"
    return Configuration(PROGRAM, program.path, text, tuple(_notes(situation, program)))


def _sending(ours: OurNode | None) -> list[str]:
    if ours is not None:
        return [f'set sendmail="{ours.sendmail} -oem -oi"', *_no_tls()]
    return ['set smtp_url="smtp://localhost"', *_no_tls()]


def _no_tls() -> list[str]:
    return ["set ssl_starttls=no  # it is this machine", "set ssl_force_tls=no"]


def _reading(situation: Situation) -> list[str]:
    ours, user = situation.ours, situation.person.user
    if ours is None:
        return [
            f'set spoolfile="/var/mail/{user}"',
            'set folder="~"  # else mutt asks whether it may make ~/Mail',
            'set record="~/sent"',
        ]
    if ours.maildir:
        inbox = ours.mbox or ours.maildir
        return [
            "set mbox_type=Maildir",
            f'set folder="{ours.maildir}"',
            f'set spoolfile="{inbox}"',
            'set record="+.Sent"',
            'set postponed="+.Drafts"',
            f'mailboxes "{inbox}" "+.Requests"',
        ]
    if ours.imap_port:
        return [
            f'set folder="imap://{user}@localhost:{ours.imap_port}/"',
            'set spoolfile="+INBOX"',
            'set record="+Sent"',
            'set postponed="+Drafts"',
            'mailboxes "+INBOX" "+Requests"',
        ]
    return []


def _notes(situation: Situation, program: Mutt) -> list[str]:
    notes = [
        f"or keep your own file: write this into {program.path}.mesh and add `source {program.path}.mesh`",
        f"your contacts: `dexmesh contact export -f {program.name} -o {program.path}.people` and"
        f"\n  `source {program.path}.people`",
    ]
    if program.is_neomutt:
        notes.append(
            'neomutt refuses literals ("Bad address"): write to key names, bob@KEY.k, for which the'
            "\n  names service of dexmesh (or smtpd.conf of `dexmesh setup opensmtpd`) must know the way"
        )
    ours = situation.ours
    if ours is not None and not ours.maildir and ours.imap_port:
        notes.append("the password it asks for: `dexmesh mail password` gives one")
    return notes
