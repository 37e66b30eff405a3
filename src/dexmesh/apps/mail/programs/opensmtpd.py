"""Write smtpd.conf: OpenSMTPD as the mail server of this node, or beside our own mail node.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §3 "OpenSMTPD 6.8", §1 (spellings), §2 (DNS traps)
Keeps     mail for others is taken from this machine only; every spelling of this node is ours
Not here  the test of the text with `smtpd -n` (cli/setup_checks.py)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dexmesh.apps.base.domains import spellings
from dexmesh.apps.base.programs import Configuration, comment
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.errors import AppError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address, format_padded

OLDEST = (6, 4)  # the first with `action` and `match`
PROGRAM = "opensmtpd"


@dataclass(frozen=True, slots=True)
class OpenSmtpd:
    """The program as it is installed here."""

    version: str  # "6.8.0p2"
    config_path: str
    aliases_path: str
    host_name: str
    is_host_known: bool  # whether /etc/hosts has the host name


@dataclass(frozen=True, slots=True)
class KnownName:
    """A name that OpenSMTPD reaches without asking any resolver: `<52>.k` and where it leads."""

    name: str
    address: Address


def configure(
    situation: Situation, program: OpenSmtpd, names: Sequence[KnownName] = ()
) -> Configuration:
    """The whole smtpd.conf. AppError if the installed version is too old for it."""
    if _number(program.version) < OLDEST:
        raise AppError(
            f"OpenSMTPD {program.version} has another language than 6.4 and later",
            "install a newer one: the lines of 6.0 and before are not written any more",
        )
    ours = situation.ours
    if ours is None:
        text, notes = _alone(situation, program, names), _alone_notes(situation)
    else:
        text, notes = _beside_ours(ours, program), _beside_notes(situation, ours)
    return Configuration(PROGRAM, program.config_path, text, (*notes, *_name_notes(program)))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:2])


# --- OpenSMTPD is the server on the mesh ----------------------------------------------------------------


def _alone(situation: Situation, program: OpenSmtpd, names: Sequence[KnownName]) -> str:
    me = situation.me
    full = format_padded(me.address)
    relay = f'helo "[IPv6:{full}]" src {full}'
    return "".join(
        (
            comment(_headline(program, f"The mail server of {format_address(me.address)}.")),
            "\n# OpenSMTPD compares text, and others write this node in any of these ways.\n",
            f"table aliases file:{program.aliases_path}\n",
            f"table me {_list(_own_names(situation))}\n",
            "\n# These two need the address to be there already. `listen on ::` in place of both does\n"
            "# not, but listens on every network (the rules below still refuse strangers there).\n",
            f'listen on {full} hostname "[IPv6:{full}]"\n',
            f'listen on lo hostname "[IPv6:{full}]"\n',
            '\naction "local" mbox alias <aliases>\n',
            f'action "mesh" relay {relay}\n',
            _names_action(names, relay),
            '\nmatch from src "fc00::/8" for domain <me> action "local"\n',
            'match from local for domain <me> action "local"\n',
            'match for local action "local"\n',
            _names_match(names),
            'match from local for any action "mesh"\n',
        )
    )


def _own_names(situation: Situation) -> list[str]:
    me = situation.me
    return [*spellings(me.address), me.key_name, me.alt_name]


def _names_action(names: Sequence[KnownName], relay: str) -> str:
    """Where the names of contacts lead: OpenSMTPD would ask DNS for their MX."""
    if not names:
        return ""
    routes = [f'"{one.name}" = "smtp://[{format_address(one.address)}]"' for one in names]
    return (
        "\n# Key names of contacts, found without any resolver.\n"
        f"table routes {_block(routes)}\n"
        f'action "named" relay domain <routes> {relay}\n'
    )


def _names_match(names: Sequence[KnownName]) -> str:
    if not names:
        return ""
    return f'match from local for domain {_list([one.name for one in names])} action "named"\n'


def _alone_notes(situation: Situation) -> list[str]:
    address = format_address(situation.me.address)
    return [
        f"start order: OpenSMTPD ends at once if {address} is not there when it starts. Any of:"
        "\n  1. start it after the mesh: `systemctl edit opensmtpd` and write"
        "\n       [Unit]"
        "\n       Requires=cjdns-wait-online.service"
        "\n       After=cjdns-wait-online.service"
        "\n  2. let programs bind addresses that come later: sysctl net.ipv6.ip_nonlocal_bind=1"
        "\n  3. write `listen on ::` in place of both `listen` lines",
        "port 25 has room for one server: `dexmesh mail off` if our mail node has it",
        f"your address: {situation.address}",
    ]


# --- OpenSMTPD stays the server of this machine and hands mesh mail to our node ---------------------------


def _beside_ours(ours: OurNode, program: OpenSmtpd) -> str:
    return "".join(
        (
            comment(_headline(program, "Mail for the mesh goes to the mail node of dexmesh.")),
            f"\ntable aliases file:{program.aliases_path}\n",
            "listen on lo\n",
            '\naction "local" mbox alias <aliases>\n',
            f'action "mesh" relay host "smtp://127.0.0.1:{ours.mail_user_port}"\n',
            "\n# Literals of mesh addresses, key names, and names of contacts.\n",
            r'match from local for domain regex { "^\[ipv6:fc", "\.k$", "\.cjdns\.alt$" } '
            'action "mesh"\n',
            'match for local action "local"\n',
        )
    )


def _beside_notes(situation: Situation, ours: OurNode) -> list[str]:
    return [
        "our mail node keeps port 25 of the mesh address; OpenSMTPD has port 25 of localhost. So write"
        f"\n  `submission_ports = [{ours.mail_user_port}]` under [mail] in apps.toml and start the"
        "\n  mail service again",
        "mail for the rest of the world: add your own `match` and `action` lines at the end",
        f"your address: {situation.address}",
    ]


# --- Both ---------------------------------------------------------------------------------------------


def _headline(program: OpenSmtpd, what: str) -> list[str]:
    return [
        f"{what} OpenSMTPD {program.version}, made by `dexmesh setup opensmtpd`.",
        f"Place: {program.config_path}   Check: smtpd -n -f FILE   Restart: systemctl restart opensmtpd",
    ]


def _name_notes(program: OpenSmtpd) -> list[str]:
    notes = [
        "OpenSMTPD asks DNS for the name of everyone who calls: a resolver that does not answer delays"
        "\n  each greeting by 75 s. The names service of dexmesh answers at once, and tells nobody"
    ]
    if not program.is_host_known:
        notes.append(
            f"{program.host_name} is not in /etc/hosts: without a resolver OpenSMTPD does not start."
            f"\n  Add the line: 127.0.1.1 {program.host_name}"
        )
    return notes


def _list(items: Sequence[str]) -> str:
    return _block([f'"{item}"' for item in items])


def _block(items: Sequence[str]) -> str:
    return "{ " + ", \\\n    ".join(items) + " }"
