"""Find out what `dexmesh setup` writes about phones: the mesh device, the contacts, what is installed.

Place     cli/setup_phones.py -> here -> cjdroute.conf, apps.toml, the address book, `--version`
Spec      docs/apps/sip.md §2
Keeps     nothing is changed; no network is asked
Not here  the node and the person (cli/setup_facts.py); the text (apps/call/programs)
"""

from __future__ import annotations

import re
from pathlib import Path

from dexmesh.apps.base.home import Home, find_home
from dexmesh.apps.base.me import Me
from dexmesh.apps.call.programs.baresip import Baresip
from dexmesh.apps.call.programs.linphone import Linphone
from dexmesh.apps.call.programs.values import Situation
from dexmesh.apps.contacts.exports import Person
from dexmesh.cli.output import fail, misused
from dexmesh.cli.setup_checks import find_program
from dexmesh.cli.setup_facts import find_key, find_person, home_of, read_settings, said_by
from dexmesh.wire.address import Address

IF_INET6 = Path("/proc/net/if_inet6")
MODULE_FOLDERS = ("/usr/local/lib/baresip/modules", "/usr/lib*/baresip/modules")
MODULE_FOLDERS_BY_MACHINE = "/usr/lib/*/baresip/modules"


def find_phone_situation(
    config: Path | None, key: str | None, home: Path | None, user: str | None, name: str | None
) -> Situation:
    """Whose node this is, who calls, whom they know."""
    place = find_home(home)
    settings = read_settings(place)
    me = Me.of(find_key(config, key, settings))
    return Situation(
        me,
        find_person(user, name),
        _contacts(place),
        find_device(me.address),
        is_phone_on=settings is not None and settings.phone.is_on,
    )


def _contacts(home: Home) -> tuple[Person, ...]:
    if not home.contacts.is_dir():
        return ()
    from dexmesh.apps.contacts.book import AddressBook

    book = AddressBook(home.contacts)
    return tuple(Person(one, book.card(one.petname)) for one in book.all())


def find_device(address: Address) -> str | None:
    """The network device that has this address; None while none has."""
    try:
        lines = IF_INET6.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    wanted = bytes(address).hex()
    return next((line.split()[-1] for line in lines if line.startswith(wanted)), None)


def find_linphone(user: str, wanted: str | None) -> Linphone:
    """linphonec where it is, else the linphone of the desktop; `wanted` names one of them."""
    files = {"linphonec": ".linphonerc", "linphone": ".config/linphone/linphonerc"}
    if wanted not in (None, *files):
        misused(f"{wanted!r} is neither linphonec nor linphone")
    name = wanted or next((one for one in files if find_program(one)), None)
    if name is None:
        fail("linphone is not installed", "apt-get install linphone-cli, or linphone-desktop")
    # The one of the desktop is not asked: it might open a window. Both come with one library.
    found = re.search(r"version: (\S+)", said_by("linphonec", "--version"))
    version, place = found[1] if found else "", home_of(user)
    return Linphone(version, f"{place}/{files[name]}", f"{place}/.local/share/linphone")


def find_baresip(user: str) -> Baresip:
    """baresip and its modules, or the end with a hint."""
    found = re.search(r"baresip v(\S+)", said_by("baresip", "-h"))
    if found is None:
        fail("baresip is not installed", "apt-get install baresip-core")
    folder = find_modules()
    modules = frozenset(file.stem for file in folder.glob("*.so"))
    return Baresip(found[1], f"{home_of(user)}/.baresip", str(folder), modules)


def find_modules() -> Path:
    """The folder with the modules of baresip: the first that holds any."""
    root = Path("/")
    patterns = (*MODULE_FOLDERS, MODULE_FOLDERS_BY_MACHINE)
    folders = [folder for one in patterns for folder in sorted(root.glob(one.lstrip("/")))]
    usual = Path("/usr/lib/baresip/modules")
    return next((folder for folder in folders if any(folder.glob("*.so"))), usual)
