"""Where a user's configuration is, and how to reach the node it belongs to.

Place     every command that talks to a node or edits its configuration
Keeps     an explicit --config always wins; nothing here creates a file
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

SYSTEM_CONFIG = Path("/etc/cjdroute.conf")
CONFIG_VARIABLE = "DEXMESH_CONFIG"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar=CONFIG_VARIABLE,
        help="The cjdroute.conf of the node (default: your own, else /etc/cjdroute.conf).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

LONGEST_S = 86_400.0  # ours: a day


def seconds(value: float) -> float:
    """A number of seconds that somebody can mean; typer calls this for options that take one."""
    if math.isnan(value) or value > LONGEST_S:
        raise typer.BadParameter(f"{value} is no number of seconds up to {LONGEST_S:g}")
    return value


def user_config() -> Path:
    """Where the configuration of an ordinary user lives."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "dexmesh" / "cjdroute.conf"


def find_config(given: Path | None) -> Path | None:
    """The configuration to use, if there is one that we may read."""
    if given is not None:
        return given
    for candidate in (user_config(), SYSTEM_CONFIG):
        if candidate.exists() and os.access(candidate, os.R_OK):
            return candidate
    return None


def new_config_path(given: Path | None) -> Path:
    """Where a new configuration goes."""
    if given is not None:
        return given
    return SYSTEM_CONFIG if os.geteuid() == 0 else user_config()
