"""Write .mailrc: s-nail or bsd-mailx, whichever answers to `mailx` here.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §3 (.mailrc lines), §1 "Names that survive broken parsers"
Keeps     the file sends through this machine only, and every From in it can be answered
Not here  aliases of contacts: `dexmesh contact export` writes them (contacts/exports.py)
"""

from __future__ import annotations

import enum

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.values import dataclass

PROGRAM = "mailrc"


class Flavour(enum.Enum):
    """Which program reads .mailrc."""

    S_NAIL = "s-nail"
    BSD_MAILX = "bsd-mailx"


@dataclass(frozen=True, slots=True)
class Mailx:
    """The program as it is installed here."""

    flavour: Flavour
    version: str
    path: str  # of the file it reads
    is_mailx: bool = True  # whether `mailx` starts it


def configure(situation: Situation, program: Mailx) -> Configuration:
    """The whole .mailrc."""
    if program.flavour is Flavour.S_NAIL:
        text, notes = _s_nail(situation), _s_nail_notes(situation, program)
    else:
        text, notes = _bsd_mailx(situation), _bsd_mailx_notes(situation)
    head = f"Mail over the mesh with {program.flavour.value} {program.version}".rstrip()
    headline = [f"{head}, made by `dexmesh setup mailrc`.", f"Place: {program.path}"]
    return Configuration(PROGRAM, program.path, comment(headline) + text, tuple(notes))


# --- s-nail ---------------------------------------------------------------------------------------------


def _s_nail(situation: Situation) -> str:
    ours = situation.ours
    server = "localhost" if ours is None else _server(ours.plain_port)
    lines = [
        "set v15-compat",
        f"set mta=smtp://{server}",
        "set smtp-auth=none",
        f'set from="{situation.person.full_name} <{situation.address}>"',
    ]
    return "\n".join([*lines, *_s_nail_inbox(situation)]) + "\n"


def _server(port: int) -> str:
    return "localhost" if port == 25 else f"localhost:{port}"


def _s_nail_inbox(situation: Situation) -> list[str]:
    """Where the mail is read; without our node it is where s-nail looks by itself."""
    ours = situation.ours
    if ours is None:
        return []
    if ours.maildir:
        return [
            f'set inbox="{ours.mbox or f"maildir://{ours.maildir}"}"',
            f'set folder="maildir://{ours.maildir}"',
            'set record="+.Sent"',
        ]
    if ours.imap_port:
        user = situation.person.user
        return [
            "# The password: `dexmesh mail password` gives one.",
            "set imap-auth=login",
            f"set inbox=imap://{user}@localhost:{ours.imap_port}/INBOX",
        ]
    return []


def _s_nail_notes(situation: Situation, program: Mailx) -> list[str]:
    notes = [
        f"send: echo text | s-nail -s subject 'bob@[IPv6:fc..]'   read: s-nail ({_box(situation)})",
        "your contacts: `dexmesh contact export -f s-nail` prints lines for this file",
    ]
    if not program.is_mailx:
        notes.append(
            "`mailx` is another program here, which cannot write to literals: say `s-nail`, or"
            "\n  update-alternatives --set mailx /usr/bin/s-nail"
        )
    if situation.ours is None:
        notes.append(
            "s-nail cannot answer mail of alpine, whose From is quoted: write to the address without"
            '\n  the quotes ("), or use our mail node, which takes them away'
        )
    return notes


# --- bsd-mailx ------------------------------------------------------------------------------------------


def _bsd_mailx(situation: Situation) -> str:
    if situation.ours is not None:
        return (
            f'set from="{situation.person.full_name} <{situation.address}>"\n'
            f"set sendmail={situation.ours.sendmail}\n"
        )
    return (
        "# By key name: the sendmail of OpenSMTPD takes the colons of a literal for a group.\n"
        f'set from="{situation.person.full_name} <{situation.key_address}>"\n'
    )


def _bsd_mailx_notes(situation: Situation) -> list[str]:
    if situation.ours is not None:
        return [
            "send: echo text | mailx -s subject 'bob@[IPv6:fc..]'",
            _bsd_mailx_reading(situation.ours),
        ]
    return [
        "bsd-mailx with OpenSMTPD can write to key names only: mailx -s subject bob@KEY.k"
        "\n  (`dexmesh setup opensmtpd` writes the key names of your contacts into smtpd.conf;"
        "\n  the names service of dexmesh answers for all others)",
        "for literals install s-nail: apt-get install s-nail",
    ]


def _bsd_mailx_reading(ours: OurNode) -> str:
    if ours.mbox is not None:
        return f"read: mailx -f {ours.mbox}"
    others = ", mutt or s-nail" if ours.maildir else ""
    return (
        f"bsd-mailx reads mbox files only: read with `dexmesh mail list`{others}, or have your INBOX in"
        "\n  one (as root): dexmesh mail user add NAME --mbox /var/mail/NAME"
    )


def _box(situation: Situation) -> str:
    ours = situation.ours
    if ours is None:
        return f"/var/mail/{situation.person.user}"
    if ours.maildir:
        return ours.mbox or ours.maildir
    return "IMAP on localhost" if ours.imap_port else "`dexmesh mail list`"
