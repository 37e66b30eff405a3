"""What the configuration of a mail program is made from.

Place     cli/setup_facts.py -> here -> the modules of the programs
Spec      docs/apps/mail.md §3
Not here  the person, and what comes out (base/programs.py)
"""

from __future__ import annotations

from dexmesh.apps.base.me import Me
from dexmesh.apps.base.programs import Person
from dexmesh.values import dataclass


@dataclass(frozen=True, slots=True)
class OurNode:
    """What a mail node of ours offers to the programs on this machine."""

    submission_ports: tuple[int, ...]
    imap_port: int  # 0: not offered
    sendmail: str  # the program that takes mail, with its full path
    maildir: str | None  # where the person's mail lies, if the person may read it there
    mbox: str | None = None  # the file that is the INBOX, where it is not the Maildir

    @property
    def plain_port(self) -> int:
        """The port that programs take when nobody names one, else another."""
        return 25 if 25 in self.submission_ports else self.mail_user_port

    @property
    def mail_user_port(self) -> int:
        """The port for mail programs (RFC 6409); never 25, which a mail server may hold."""
        others = [port for port in self.submission_ports if port != 25]
        return others[0] if others else 587


@dataclass(frozen=True, slots=True)
class Situation:
    """This machine: whose node, who writes, and which server the programs talk to.

    `ours` is None where stock OpenSMTPD is the server.
    """

    me: Me
    person: Person
    ours: OurNode | None

    @property
    def address(self) -> str:
        """The person's mail address by literal, the form that every receiver knows."""
        return f"{self.person.user}@{self.me.literal}"

    @property
    def key_address(self) -> str:
        """The person's mail address by key name, for programs that cannot read literals."""
        return f"{self.person.user}@{self.me.key_name}"
