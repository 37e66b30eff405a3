"""`dexmesh setup linphone|baresip|phone-firewall`: stock phones for this very node.

Place     cli/setup.py -> here -> cli/setup_phone_facts.py (what is installed) -> apps/call/programs (the
          text) -> cli/setup_phone_checks.py (the program reads it) -> cli/setup_finish.py
Spec      docs/apps/sip.md §2, §4
Keeps     as cli/setup.py: standard output holds the configuration, nothing is replaced unasked
Not here  our own phone
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.output import misused, reports_errors
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.cli.setup_finish import finish, finish_folder
from dexmesh.cli.setup_options import (
    HomeOption,
    KeyOption,
    NameOption,
    UserOption,
    WriteOption,
    YesOption,
)

if TYPE_CHECKING:
    from dexmesh.apps.call.programs.values import Situation


class Part(enum.StrEnum):
    """The files of baresip."""

    CONFIG = "config"
    ACCOUNTS = "accounts"
    CONTACTS = "contacts"


@reports_errors
def linphone(
    program: Annotated[
        str | None, typer.Option("--program", help="linphonec or linphone (default: what is here).")
    ] = None,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print linphonerc, with your contacts: linphone."""
    from dexmesh.apps.call.programs.linphone import configure
    from dexmesh.cli.setup_files import make_folder
    from dexmesh.cli.setup_phone_checks import check_linphone
    from dexmesh.cli.setup_phone_facts import find_linphone, find_phone_situation

    situation = find_phone_situation(config, key, home, user, name)
    found, owner = find_linphone(situation.person.user, program), situation.person.user
    made = configure(situation, found)
    check = check_linphone(made.text)
    if write is not None and check.is_ok is not False and Path(found.data).is_absolute():
        make_folder(Path(found.data), owner)
        make_folder(write.parent, owner)
    finish(made, check, write, owner, yes, as_json, _facts(situation))


@reports_errors
def baresip(
    file: Annotated[
        Part | None, typer.Option("--file", help="Only this one of its three files.")
    ] = None,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", "-w", metavar="FOLDER", help="Write all three into this folder."),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print config, accounts and contacts: baresip."""
    from dexmesh.apps.call.programs.baresip import configure
    from dexmesh.cli.setup_phone_checks import check_baresip
    from dexmesh.cli.setup_phone_facts import find_baresip, find_phone_situation

    if file is not None and write is not None:
        misused("--file prints one file and --write writes all three", "leave one of them out")
    situation = find_phone_situation(config, key, home, user, name)
    made = configure(situation, find_baresip(situation.person.user))
    check = check_baresip(made)
    parts = [one for one in made if file in (None, Path(one.path).name)]
    owner, facts = situation.person.user, _facts(situation)
    finish_folder(parts, check, write, owner, yes, as_json, facts)


@reports_errors
def phone_firewall(
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print rules for nft: your contacts alone reach a stock phone."""
    from dexmesh.apps.call.programs.firewall import configure
    from dexmesh.cli.setup_phone_checks import check_nft
    from dexmesh.cli.setup_phone_facts import find_phone_situation

    situation = find_phone_situation(config, key, home, None, None)
    made = configure(situation)
    check = check_nft(made.text)
    finish(made, check, write, situation.person.user, yes, as_json, _facts(situation))


def _facts(situation: Situation) -> dict[str, object]:
    return {"address": situation.uri, "device": situation.device}
