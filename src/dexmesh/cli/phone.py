"""`dexmesh phone ...`: the group all commands about the phone itself belong to.

Place     cli/main.py -> here; commands from cli/phone_service.py, phone_switches.py; alone: phone_seat.py
Keeps     every command of the group is registered in its own module, by importing `app` from here
Not here  calls (cli/call*.py) and texts (cli/text.py): they are commands of their own
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dexmesh.cli.service import service_of

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient

app = typer.Typer()


def phone_of(home: Path | None, user: str | None, patience_s: float = 60.0) -> ControlClient:
    """A connection to the phone in the running service."""
    return service_of(home, user, patience_s, app="phone")
