"""What a configuration is made from, and what comes out.

Place     cli/setup_facts.py -> here -> the modules of the programs
Spec      docs/apps/mail.md §3
Keeps     no name of a user or a person breaks out of the quotes it is written into
"""

from __future__ import annotations

import re

from dexmesh.apps.base.me import Me
from dexmesh.errors import AppError
from dexmesh.values import dataclass

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,62}")
_UNFIT = re.compile(r'[^\w .,\'+-]|[\x00-\x1f"\\]')


@dataclass(frozen=True, slots=True)
class Person:
    """Who writes: the local user and the name that others shall see."""

    user: str
    full_name: str

    @classmethod
    def named(cls, user: str, full_name: str = "") -> Person:
        """A person whose names can stand in a configuration; AppError for a user that cannot."""
        if not _USER.fullmatch(user):
            raise AppError(f"{user!r} is no user name that mail can carry")
        shown = " ".join(_UNFIT.sub(" ", full_name).split())
        return cls(user, shown or user)


@dataclass(frozen=True, slots=True)
class OurNode:
    """What a mail node of ours offers to the programs on this machine."""

    submission_ports: tuple[int, ...]
    imap_port: int  # 0: not offered
    sendmail: str  # the program that takes mail, with its full path
    maildir: str | None  # where the person's mail lies, if the person may read it there

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


@dataclass(frozen=True, slots=True)
class Configuration:
    """A finished configuration: its usual place, its text, and what its owner must know."""

    program: str
    path: str
    text: str
    notes: tuple[str, ...] = ()


def comment(lines: list[str], mark: str = "#") -> str:
    """The lines as comments of a configuration file."""
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)
