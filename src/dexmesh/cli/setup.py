"""`dexmesh setup`: the working configuration of a stock program, for this very node; here those of mail.

Place     cli/main.py -> here -> cli/setup_facts.py (what is installed) -> apps/mail/programs (the text)
          -> cli/setup_checks.py (the program's own checker) -> cli/setup_finish.py
Spec      docs/apps/mail.md §3
Keeps     standard output holds the configuration and nothing else; no file is replaced unasked, and
          what was replaced is kept beside it
Not here  phones (cli/setup_phones.py)
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dexmesh.cli import setup_phones
from dexmesh.cli.output import example, reports_errors
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.cli.setup_finish import finish
from dexmesh.cli.setup_options import (
    HomeOption,
    KeyOption,
    NameOption,
    UserOption,
    WriteOption,
    YesOption,
)

if TYPE_CHECKING:
    from dexmesh.apps.base.programs import Configuration
    from dexmesh.apps.mail.programs.values import Situation
    from dexmesh.cli.setup_checks import Check

app = typer.Typer(
    no_args_is_help=True,
    help="Print the configuration of a mail program or a phone for this node.",
    epilog=example("dexmesh setup opensmtpd --write /etc/smtpd.conf"),
)


app.command("linphone", epilog=example("dexmesh setup linphone --write ~/.linphonerc"))(
    setup_phones.linphone
)
app.command("baresip", epilog=example("dexmesh setup baresip --write ~/.baresip"))(
    setup_phones.baresip
)
app.command("phone-firewall", epilog=example("dexmesh setup phone-firewall | sudo nft -f -"))(
    setup_phones.phone_firewall
)


class Against(enum.StrEnum):
    """Which server the program talks to."""

    AUTO = "auto"
    STOCK = "stock"
    NODE = "node"


ForOption = Annotated[
    Against,
    typer.Option(
        "--for",
        help="The server: stock OpenSMTPD, or the mail node of dexmesh (auto: whether that is on).",
    ),
]


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
    facts = {
        "for": Against.STOCK if situation.ours is None else Against.NODE,
        "address": situation.address,
        "key_address": situation.key_address,
    }
    finish(made, check, write, situation.person.user, is_sure, as_json, facts)
