"""Reach the running node that a command is about.

Place     commands -> here -> admin/client.py
Keeps     an explicit --config wins, then ~/.cjdnsadmin, then the configuration that `up` would use
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dexmesh.cli.config import load_file
from dexmesh.cli.places import find_config

if TYPE_CHECKING:
    from dexmesh.admin.client import AdminClient
    from dexmesh.admin.login import AdminLogin

    Connection: TypeAlias = AdminClient
    """A running node; a context manager."""


def connect(config: Path | None) -> Connection:
    """The node of this configuration. Raises NoNodeError as soon as a call finds nobody there."""
    from dexmesh.admin.client import AdminClient

    return AdminClient(find_login(config))


def find_login(config: Path | None) -> AdminLogin:
    """Where that node listens and what lets us in."""
    from dexmesh.admin.login import AdminLogin, read_login

    path = find_config(config)
    if path is None or (config is None and (Path.home() / ".cjdnsadmin").exists()):
        return read_login()
    admin = load_file(path).settings.admin
    return AdminLogin(admin.host, admin.port, admin.password)
