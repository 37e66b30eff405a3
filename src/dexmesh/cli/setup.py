"""`dexmesh setup`: the working configuration of a stock mail program, for this very node.

Place     cli/main.py -> here -> cli/setup_facts.py (what is installed) -> apps/mail/programs (the text)
          -> cli/setup_checks.py (the program's own checker) -> standard output or a file
Spec      docs/apps/mail.md §3
Keeps     standard output holds the configuration and nothing else; no file is replaced unasked, and
          what was replaced is kept beside it
"""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli.output import Exit, example, note, print_json, reports_errors
from dexmesh.cli.places import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dexmesh.apps.base.programs import Configuration
    from dexmesh.apps.mail.programs.values import Situation
    from dexmesh.cli.setup_checks import Check

app = typer.Typer(
    no_args_is_help=True,
    help="Print the configuration of a mail program for this node.",
    epilog=example("dexmesh setup opensmtpd --write /etc/smtpd.conf"),
)


class Against(enum.StrEnum):
    """Which server the program talks to."""

    AUTO = "auto"
    STOCK = "stock"
    NODE = "node"


UserOption = Annotated[
    str | None, typer.Option("--user", "-u", help="The local user (default: who you are).")
]
NameOption = Annotated[str | None, typer.Option("--name", help="The name that others shall see.")]
ForOption = Annotated[
    Against,
    typer.Option(
        "--for",
        help="The server: stock OpenSMTPD, or the mail node of dexmesh (auto: whether that is on).",
    ),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="The public key, if the configuration is not readable.")
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", readable=False, help="The folder of the apps (default: $DEXMESH_HOME, …)."
    ),
]
WriteOption = Annotated[
    Path | None, typer.Option("--write", "-w", metavar="FILE", help="Write it into a file.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Replace the file without asking.")]


@app.command(epilog=example("dexmesh setup opensmtpd --write /etc/smtpd.conf"))
@reports_errors
def opensmtpd(
    against: ForOption = Against.AUTO,
    user: UserOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print smtpd.conf: OpenSMTPD as the mail server of this node."""
    from dexmesh.apps.mail.programs.opensmtpd import configure
    from dexmesh.cli.setup_checks import check_opensmtpd
    from dexmesh.cli.setup_facts import find_opensmtpd, find_situation, known_names

    situation = find_situation(config, key, home, user, None, against)
    made = configure(situation, find_opensmtpd(), known_names(home))
    _finish(situation, made, check_opensmtpd(made.text), write, yes, as_json)


@app.command(epilog=example("dexmesh setup mailrc > ~/.mailrc"))
@reports_errors
def mailrc(
    program: Annotated[
        str | None, typer.Option("--program", help="s-nail or bsd-mailx (default: what is here).")
    ] = None,
    against: ForOption = Against.AUTO,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print .mailrc: s-nail or bsd-mailx."""
    from dexmesh.apps.mail.programs.mailrc import configure
    from dexmesh.cli.setup_checks import check_mailx
    from dexmesh.cli.setup_facts import find_mailx, find_situation

    situation = find_situation(config, key, home, user, name, against)
    found = find_mailx(situation.person.user, program)
    made = configure(situation, found)
    _finish(situation, made, check_mailx(made.text, found.flavour), write, yes, as_json)


@app.command(epilog=example("dexmesh setup alpine > ~/.pinerc"))
@reports_errors
def alpine(
    against: ForOption = Against.AUTO,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print .pinerc: alpine."""
    from dexmesh.apps.mail.programs.alpine import configure
    from dexmesh.cli.setup_checks import no_checker
    from dexmesh.cli.setup_facts import find_alpine, find_situation

    situation = find_situation(config, key, home, user, name, against)
    made = configure(situation, find_alpine(situation.person.user))
    _finish(situation, made, no_checker("alpine"), write, yes, as_json)


@app.command(epilog=example("dexmesh setup mutt --write ~/.muttrc"))
@reports_errors
def mutt(
    program: Annotated[
        str | None, typer.Option("--program", help="mutt or neomutt (default: what is here).")
    ] = None,
    against: ForOption = Against.AUTO,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print muttrc: mutt or neomutt."""
    from dexmesh.apps.mail.programs.mutt import configure
    from dexmesh.cli.setup_checks import check_mutt
    from dexmesh.cli.setup_facts import find_mutt, find_situation

    situation = find_situation(config, key, home, user, name, against)
    found = find_mutt(situation.person.user, program)
    made = configure(situation, found)
    _finish(situation, made, check_mutt(made.text, found.name), write, yes, as_json)


@app.command(epilog=example("dexmesh setup thunderbird --xml"))
@reports_errors
def thunderbird(
    xml: Annotated[
        bool, typer.Option("--xml", help="Autoconfiguration XML instead of user.js.")
    ] = False,
    against: ForOption = Against.AUTO,
    user: UserOption = None,
    name: NameOption = None,
    config: ConfigOption = None,
    key: KeyOption = None,
    home: HomeOption = None,
    write: WriteOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the account for Thunderbird: the fields to type, and user.js or XML."""
    from dexmesh.apps.mail.programs.thunderbird import Form, configure
    from dexmesh.cli.setup_checks import no_checker
    from dexmesh.cli.setup_facts import find_situation, find_thunderbird

    situation = find_situation(config, key, home, user, name, against)
    form = Form.XML if xml else Form.USER_JS
    made = configure(situation, find_thunderbird(), form)
    _finish(situation, made, no_checker("Thunderbird"), write, yes, as_json)


# --- What all of them end with ----------------------------------------------------------------------------


def _finish(
    situation: Situation,
    made: Configuration,
    check: Check,
    write: Path | None,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Say what the checker said, print or write the text, and what its owner must know."""
    from dexmesh.cli.setup_files import put

    written = backup = None
    if write is not None and check.is_ok is not False:
        written, backup = put(made.text, write, situation.person.user, is_sure)
    if as_json:
        print_json(_described(situation, made, check, written, backup))
    else:
        _tell(made, check, written, backup)
    if check.is_ok is False:
        raise SystemExit(int(Exit.FAILED))


def _tell(made: Configuration, check: Check, written: Path | None, backup: Path | None) -> None:
    if written is None:
        sys.stdout.write(made.text)
    else:
        note(f"written: {written}" + (f" (what was there: {backup})" if backup else ""))
    note(f"checked: {check}")
    for text in made.notes:
        note(f"- {text}")


def _described(
    situation: Situation,
    made: Configuration,
    check: Check,
    written: Path | None,
    backup: Path | None,
) -> dict[str, object]:
    return {
        "program": made.program,
        "for": Against.STOCK if situation.ours is None else Against.NODE,
        "path": made.path,
        "text": made.text,
        "address": situation.address,
        "key_address": situation.key_address,
        "notes": list(made.notes),
        "check": {"by": check.by, "is_ok": check.is_ok, "said": check.said},
        "written": None if written is None else str(written),
        "backup": None if backup is None else str(backup),
    }
