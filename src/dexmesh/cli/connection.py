"""Reach the running node that a command is about.

Place     commands -> here -> admin/client.py
Keeps     an explicit --config wins, then ~/.cjdnsadmin, then the configuration that `up` would use
"""

from __future__ import annotations

from pathlib import Path

from dexmesh.admin.client import AdminClient
from dexmesh.admin.login import AdminLogin, read_login
from dexmesh.cli.config import load_file
from dexmesh.cli.places import find_config

Connection = AdminClient
"""A running node; a context manager."""


def connect(config: Path | None) -> Connection:
    """The node of this configuration. Raises NoNodeError as soon as a call finds nobody there."""
    return AdminClient(find_login(config))


def find_login(config: Path | None) -> AdminLogin:
    """Where that node listens and what lets us in."""
    path = find_config(config)
    if config is None and (Path.home() / ".cjdnsadmin").exists():
        return read_login()
    if path is None:
        return read_login()
    admin = load_file(path).settings.admin
    return AdminLogin(admin.host, admin.port, admin.password)
