"""The options that every `dexmesh setup` command has.

Place     cli/setup.py, cli/setup_phones.py -> here
Keeps     one option has one name and one help everywhere
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

UserOption = Annotated[
    str | None, typer.Option("--user", "-u", help="The local user (default: who you are).")
]
NameOption = Annotated[str | None, typer.Option("--name", help="The name that others shall see.")]
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
