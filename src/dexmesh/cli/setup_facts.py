"""Find out what `dexmesh setup` writes about: whose node, who writes, what is installed.

Place     cli/setup.py -> here -> cjdroute.conf, apps.toml, the programs' own `--version`
Spec      docs/apps/mail.md §3
Keeps     nothing is changed; no network is asked, not for the host name either
Not here  the text of a configuration (apps/mail/programs)
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.apps.base.home import Home, find_home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.programs import Person
from dexmesh.apps.base.settings import AppSettings, MailSettings, load_settings
from dexmesh.apps.mail.programs.alpine import Alpine
from dexmesh.apps.mail.programs.mailrc import Flavour, Mailx
from dexmesh.apps.mail.programs.mutt import Mutt
from dexmesh.apps.mail.programs.opensmtpd import KnownName, OpenSmtpd
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.cli.identity import parse_key
from dexmesh.cli.output import fail, misused, note
from dexmesh.cli.service_node import find_node
from dexmesh.cli.setup_checks import LIMIT_S, find_program
from dexmesh.errors import AppError, PermissionNeededError
from dexmesh.wire.keys import PublicKey

if TYPE_CHECKING:
    from dexmesh.cli.setup import Against

_SMTPD_CONFIGS = (
    "/etc/opensmtpd/smtpd.conf",  # Fedora
    "/etc/smtpd/smtpd.conf",  # Arch, Alpine
    "/usr/local/etc/mail/smtpd.conf",  # FreeBSD
    "/etc/mail/smtpd.conf",  # OpenBSD
    "/etc/smtpd.conf",  # Debian
)
_ALIASES = ("/etc/aliases", "/etc/mail/aliases", "/etc/smtpd/aliases", "/etc/opensmtpd/aliases")
_MOST_NAMES = 1000  # ours: a table in smtpd.conf is read by people, too


# --- This node and this person ----------------------------------------------------------------------------


def find_situation(
    config: Path | None,
    key: str | None,
    home: Path | None,
    user: str | None,
    name: str | None,
    against: Against,
) -> Situation:
    """Whose node this is, who writes, and what the programs talk to."""
    place = find_home(home)
    settings = read_settings(place)
    me = Me.of(find_key(config, key, settings))
    person = find_person(user, name)
    mail = _mail_node(place, settings, against)
    return Situation(me, person, None if mail is None else _our_node(place, mail, person.user))


def read_settings(home: Home) -> AppSettings | None:
    """What apps.toml says; None where there is none that we may read."""
    if not home.settings_file.exists():
        return None
    try:
        return load_settings(home)
    except PermissionNeededError:
        return None


def find_key(config: Path | None, given: str | None, settings: AppSettings | None) -> PublicKey:
    """The key given, that in a configuration that is named, the one the apps know, or that of a node or
    configuration that is found.
    """
    if given:
        return parse_key(given)
    facts = find_node(config)
    key = facts.key if settings is None or facts.is_named else settings.key
    if key is not None:
        return key
    fail(
        "no node was found: no configuration that you may read, and none answers",
        "run it as root with --user NAME, or say --key KEY.k (`dexmesh address` shows it)",
    )


def find_person(user: str | None, name: str | None) -> Person:
    """Who writes: the one named, whoever called sudo, or whoever we are."""
    wanted = user or os.environ.get("SUDO_USER") or pwd.getpwuid(os.geteuid()).pw_name
    try:
        shown = pwd.getpwnam(wanted).pw_gecos.partition(",")[0] if name is None else name
    except KeyError:
        shown = ""
    try:
        return Person.named(wanted, shown)
    except AppError as error:
        misused(str(error), "name one with --user")


def home_of(user: str) -> str:
    """The home of this user, `~` where nobody is called that."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "~"


def _mail_node(home: Home, settings: AppSettings | None, against: Against) -> MailSettings | None:
    """The settings of our mail node, if the program shall talk to it."""
    if against == "stock":
        return None
    if settings is not None:
        return settings.mail if settings.mail.is_on or against == "node" else None
    if home.control_socket.exists():  # it runs, although we may not read how
        note(f"note: {home.settings_file} may not be read by you; its usual ports are assumed")
        return MailSettings(is_on=True)
    return MailSettings() if against == "node" else None


def _our_node(home: Home, mail: MailSettings, user: str) -> OurNode:
    known = mail.user(user)
    return OurNode(
        submission_ports=mail.submission_ports,
        imap_port=mail.imap_port,
        sendmail=_sendmail(),
        maildir=_maildir(home, user),
        mbox=str(known.mbox) if known is not None and known.mbox is not None else None,
    )


def _sendmail() -> str:
    """The program beside the `dexmesh` that runs, else the one on the path."""
    beside = Path(sys.executable).parent / "dexmesh-sendmail"
    return str(beside) if beside.exists() else find_program("dexmesh-sendmail") or str(beside)


def _maildir(home: Home, user: str) -> str | None:
    """Where the user's mail lies, if it belongs to the user's own account."""
    maildir = home.mail_users / user / "Maildir"
    try:
        owner = maildir.stat().st_uid
        return str(maildir) if owner == pwd.getpwnam(user).pw_uid else None
    except (OSError, KeyError):
        return None


def known_names(home: Path | None) -> tuple[KnownName, ...]:
    """The key names of all contacts, so that OpenSMTPD finds them without a resolver."""
    folder = find_home(home).contacts
    if not folder.is_dir():
        return ()
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.wire.keys import address_of, encode_key

    keys = {key for contact in AddressBook(folder).all() for key in contact.keys}
    names = sorted((encode_key(key), address_of(key)) for key in keys)
    return tuple(KnownName(name, address) for name, address in names[:_MOST_NAMES])


# --- What is installed --------------------------------------------------------------------------------------


def find_opensmtpd() -> OpenSmtpd:
    """OpenSMTPD, or the end with a hint."""
    said = said_by("smtpd", "-h")
    found = re.search(r"OpenSMTPD (\S+)", said)
    if found is None:
        fail("OpenSMTPD is not installed", "apt-get install opensmtpd")
    host = socket.gethostname()
    return OpenSmtpd(
        version=found.group(1),
        config_path=_first(_SMTPD_CONFIGS),
        aliases_path=_first(_ALIASES),
        host_name=host,
        is_host_known=_is_in_hosts(host),
    )


def find_mailx(user: str, wanted: str | None) -> Mailx:
    """s-nail where it is, else bsd-mailx; `wanted` names one of them."""
    path = f"{home_of(user)}/.mailrc"
    mailx = find_program("mailx")
    default = Path(mailx).resolve().name if mailx else ""
    if wanted in (None, "s-nail"):
        said = said_by("s-nail", "-V") or said_by("mailx", "-V")
        found = re.search(r"s-nail v?([\w.]+)", said)
        if found or wanted:
            is_mailx = "s-nail" in said_by("mailx", "-V")
            return Mailx(Flavour.S_NAIL, found.group(1) if found else "", path, is_mailx)
    if wanted in (None, "bsd-mailx") and (default == "bsd-mailx" or wanted):
        return Mailx(Flavour.BSD_MAILX, "", path)
    if wanted is not None:
        misused(f"{wanted!r} is neither s-nail nor bsd-mailx")
    fail("neither s-nail nor bsd-mailx is installed", "apt-get install s-nail")


def find_mutt(user: str, wanted: str | None) -> Mutt:
    """mutt or neomutt: what `mutt` is here, else what there is; `wanted` names one of them."""
    if wanted not in (None, "mutt", "neomutt"):
        misused(f"{wanted!r} is neither mutt nor neomutt")
    for name in (wanted,) if wanted else ("mutt", "neomutt"):
        found = re.match(r"(Neo)?Mutt (\S+)", said_by(name, "-v"), re.IGNORECASE)
        if found:
            is_neomutt = found.group(1) is not None
            file = ".neomuttrc" if is_neomutt else ".muttrc"
            return Mutt(is_neomutt, found.group(2), f"{home_of(user)}/{file}")
    if wanted:
        return Mutt(wanted == "neomutt", "", f"{home_of(user)}/.{wanted}rc")
    fail("neither mutt nor neomutt is installed", "apt-get install mutt")


def find_alpine(user: str) -> Alpine:
    """alpine; its lines can be written before it is installed."""
    found = re.search(r"Alpine (\S+)", said_by("alpine", "-v"))
    return Alpine(found.group(1) if found else "", f"{home_of(user)}/.pinerc")


def find_thunderbird() -> str:
    """The version of Thunderbird, empty where it is not installed."""
    found = re.search(r"Thunderbird (\S+)", said_by("thunderbird", "--version"))
    return found.group(1) if found else ""


def said_by(name: str, option: str) -> str:
    """What a program says about itself; nothing where it is not there."""
    program = find_program(name)
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).decode(errors="replace")


def _first(paths: tuple[str, ...]) -> str:
    """The first of these that is there, else the usual one."""
    usual = paths[-1] if paths is _SMTPD_CONFIGS else paths[0]
    return next((path for path in paths if Path(path).exists()), usual)


def _is_in_hosts(host: str) -> bool:
    try:
        lines = Path("/etc/hosts").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(host in line.partition("#")[0].split()[1:] for line in lines)
