"""`dexmesh names status | resolve | setup`: names of the mesh without any DNS server.

Place     cli/main.py -> here -> apps/names
Spec      docs/apps/mail.md §1, §2
Keeps     `resolve` asks nobody: it computes, and reads the address book; `setup` changes nothing
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dexmesh.cli.output import Exit, example, fail, misused, note, print_json, reports_errors, say
from dexmesh.cli.places import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dexmesh.apps.base.home import Home
    from dexmesh.apps.base.me import Me
    from dexmesh.apps.base.settings import NamesSettings
    from dexmesh.apps.names.advice import Advice
    from dexmesh.cli.setup_checks import Check

app = typer.Typer(
    no_args_is_help=True,
    help="Names of the mesh: <key>.k, <key>.cjdns.alt, <petname>.cjdns.alt.",
    epilog=example("dexmesh names resolve bob.cjdns.alt"),
)

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", readable=False, help="The folder of the apps (default: $DEXMESH_HOME, ...)."
    ),
]
_USUAL_DEVICE = "tun0"


@app.command(epilog=example("dexmesh names status"))
@reports_errors
def status(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say how this node is called, and whether programs here find names of the mesh."""
    from dexmesh.apps.base.home import find_home
    from dexmesh.apps.names.advice import find_situation
    from dexmesh.apps.names.checks import Answer, resolves_here, who_answers
    from dexmesh.wire.address import format_address

    settings, me = _facts(find_home(home), config)
    is_served = who_answers(settings.host, settings.port) is Answer.OURS
    is_found = resolves_here()
    resolver = find_situation().resolver.value
    if as_json:
        print_json(
            {
                "on": settings.is_on,
                "host": settings.host,
                "port": settings.port,
                "answers": is_served,
                "programs_find_names": bool(is_found),
                "resolver": resolver,
                "address": None if me is None else format_address(me.address),
                "names": [] if me is None else [me.key_name, me.alt_name],
            }
        )
    else:
        if me is not None:
            say(f"address   {format_address(me.address)}")
            say(f"names     {me.key_name}\n          {me.alt_name}")
        say(f"answers   {'yes' if is_served else 'no'}, at {settings.host} port {settings.port}")
        say(
            f"programs  {'find names of the mesh' if is_found else 'do not find them'}, asking {resolver}"
        )
        if not is_served:
            note("the resolver runs with the mail service: `dexmesh mail on`, then `dexmesh up`")
        elif not is_found:
            note("`dexmesh names setup` says what this machine needs")
    raise SystemExit(int(Exit.OK if is_served and is_found else Exit.FAILED))


@app.command(epilog=example("dexmesh names resolve bob.cjdns.alt"))
@reports_errors
def resolve(
    name: Annotated[str, typer.Argument(help="A name, a petname, or an address (then: its name).")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the address of a name, or the name of an address; no server is asked."""
    from dexmesh.apps.base.domains import parse_domain
    from dexmesh.apps.base.home import find_home
    from dexmesh.apps.contacts.book import AddressBook
    from dexmesh.wire.address import format_address

    place = find_home(home)
    book = AddressBook(place.contacts)
    address = parse_domain(f"[IPv6:{name}]")
    if address is not None:
        _, me = _facts(place, config)
        petname = book.petname_of(address)
        is_own = me is not None and me.address == address
        found = me.key_name if is_own and me is not None else petname and f"{petname}.cjdns.alt"
        if not found:
            fail(f"no name is known for {name}", "`dexmesh contact add` gives it one")
    else:
        address = parse_domain(name, book.address_of)
        if address is None:
            _fail_to_resolve(name)
        found = format_address(address)
    if as_json:
        print_json({"asked": name, "found": found, "address": format_address(address)})
    else:
        say(found)


def _fail_to_resolve(name: str) -> NoReturn:
    from dexmesh.apps.base.domains import ALT_SUFFIX
    from dexmesh.apps.contacts.petname import is_petname

    petname = name.lower().removesuffix(ALT_SUFFIX)
    if is_petname(petname):
        hint = "`dexmesh contact list` shows who is there"
        fail(f"no node of {petname!r} is in the address book", hint)
    misused(
        f"{name!r} is no name of the mesh",
        "names are <52 characters>.k, <52 characters>.cjdns.alt, and petnames of contacts",
    )


@app.command(epilog=example("dexmesh names setup"))
@reports_errors
def setup(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Print what this machine needs so that its programs find names of the mesh."""
    from dexmesh.apps.base.home import find_home
    from dexmesh.apps.names.advice import advise, find_situation
    from dexmesh.apps.names.resolved import device_of

    settings, me = _facts(find_home(home), config)
    device = None if me is None else device_of(me.address)
    situation = find_situation()
    name = _USUAL_DEVICE if device is None else device.name
    advice = advise(situation, name, settings.host, settings.port)
    check = _judge(advice)
    if as_json:
        print_json(
            {
                "resolver": situation.resolver.value,
                "title": advice.title,
                "text": advice.text,
                "file": advice.file,
                "after": advice.after,
                "notes": list(advice.notes),
                "check": None if check is None else {"by": check.by, "is_ok": check.is_ok},
            }
        )
    else:
        note(advice.title)
        sys.stdout.write(advice.text + "\n")
        if advice.after:
            note(f"Then: {advice.after}")
        if check is not None:
            note(f"checked: {check}")
        for line in advice.notes:
            note(f"- {line}")
    if check is not None and check.is_ok is False:
        raise SystemExit(int(Exit.FAILED))


def _judge(advice: Advice) -> Check | None:
    """What the program's own checker says to the text."""
    from dexmesh.cli.setup_checks import check_file

    if not advice.checker:
        return None
    return check_file(advice.checker, advice.text + "\n")


def _facts(home: Home, config: Path | None) -> tuple[NamesSettings, Me | None]:
    """Where our resolver is, and who we are, as far as that may be read."""
    from dexmesh.apps.base.me import Me
    from dexmesh.apps.base.settings import NamesSettings, load_settings
    from dexmesh.cli.config import load_file
    from dexmesh.cli.places import find_config
    from dexmesh.errors import PermissionNeededError

    path = find_config(config)
    me = None if path is None else Me.of(load_file(path).settings.public_key)
    try:
        if not home.settings_file.exists():
            return NamesSettings(), me
        settings = load_settings(home)
    except (PermissionNeededError, PermissionError):
        return NamesSettings(), me
    return settings.names, me or Me.of(settings.key)
