"""`dexmesh mail ...`: the group all mail commands belong to.

Place     cli/main.py -> here; commands from cli/mail_service.py, cli/mail_read.py and their sisters
Keeps     every command of the group is registered in its own module, by importing `app` from here
"""

from __future__ import annotations

import typer

from dexmesh.cli.output import example

app = typer.Typer(
    no_args_is_help=True,
    help="Mail between people, no server in between.",
    epilog=example("dexmesh mail on"),
)
