"""Write .pinerc: alpine, formerly pine.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §3 (.pinerc line, quoted literals)
Keeps     no question of alpine stands between the user and his mail but the password
Not here  the address book of alpine (contacts/exports.py)
"""

from __future__ import annotations

from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.values import dataclass

PROGRAM = "alpine"
FEATURES = "quell-user-id-prompt,\n\tquell-maildomain-warning"


@dataclass(frozen=True, slots=True)
class Alpine:
    """The program as it is installed here."""

    version: str
    path: str  # of the file it reads


def configure(situation: Situation, program: Alpine) -> Configuration:
    """The lines of .pinerc that matter; alpine adds all others when it starts."""
    ours, person = situation.ours, situation.person
    lines = [
        f"personal-name={person.full_name}",
        f"user-id={person.user}",
        f"user-domain={situation.me.literal}",
        f"smtp-server=localhost:{25 if ours is None else ours.plain_port}/notls",
        *_reading(situation),
        f"feature-list={FEATURES}",
    ]
    head = f"Mail over the mesh with alpine {program.version}".rstrip()
    headline = [f"{head}, made by `dexmesh setup alpine`.", f"Place: {program.path}"]
    text = comment(headline) + "\n".join(lines) + "\n"
    return Configuration(PROGRAM, program.path, text, tuple(_notes(situation)))


def _reading(situation: Situation) -> list[str]:
    ours, user = situation.ours, situation.person.user
    if ours is None:
        return [f"inbox-path=/var/mail/{user}"]
    if not ours.imap_port:
        return []
    # By STARTTLS: alpine calls a server insecure that takes passwords without it, here too.
    server = f"{{localhost:{ours.imap_port}/user={user}/novalidate-cert}}"
    return [
        f"inbox-path={server}INBOX",
        f"folder-collections=Mesh {server}[]",
        f"default-fcc={server}Sent",
        f"postponed-folder={server}Drafts",
    ]


def _notes(situation: Situation) -> list[str]:
    notes = [
        "keep your own .pinerc and lay these lines over it: alpine -x FILE",
        "your contacts: `dexmesh contact export -f alpine -o ~/.addressbook`",
        'alpine writes user@"[IPv6:..]" with quotes into From and To. Our mail node takes them away;'
        "\n  s-nail on a machine without it cannot answer such a mail by `reply`",
    ]
    if situation.ours is not None:
        notes.append(_imap_note(situation.ours))
    return notes


def _imap_note(ours: OurNode) -> str:
    if ours.imap_port:
        return "the password alpine asks for: `dexmesh mail password` gives one"
    return "IMAP is off (imap_port = 0 in apps.toml): alpine can send, `dexmesh mail list` reads"
