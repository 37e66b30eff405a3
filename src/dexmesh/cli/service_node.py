"""Find out which node the mail belongs to, and which account runs it.

Place     cli/mail_service.py, cli/mail_serve.py -> here -> cjdroute.conf, else the running node's admin RPC
Spec      docs/protocol/08 §6 (Core_nodeInfo)
Keeps     a configuration that may be read wins over what a running node says; neither wins over what was
          written down before, unless the user names it; never waits long
Not here  the settings of the apps (apps/base/settings.py)
"""

from __future__ import annotations

import dataclasses
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.apps.base.account import Account, account_of, find_account, own_account
from dexmesh.cli.places import find_config
from dexmesh.errors import (
    AdminError,
    AppError,
    ConfigError,
    ConfigProblem,
    DecodeError,
    HostError,
    NoNodeError,
)
from dexmesh.values import dataclass
from dexmesh.wire.keys import PublicKey, encode_key

if TYPE_CHECKING:
    from dexmesh.admin.login import AdminLogin
    from dexmesh.apps.base.home import Home
    from dexmesh.apps.base.settings import AppSettings
    from dexmesh.config.settings import LoggingSettings

SERVICE_ACCOUNT = "dexmesh"  # taken where it exists and nobody else is meant
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of the node: its key (None: not from the node), how to ask it, how it logs.

    `source` says in words where that is from; `is_named`: the user named it, nobody had to look for it.
    """

    key: PublicKey | None
    login: AdminLogin | None
    logging: LoggingSettings | None
    source: str
    is_named: bool


def find_node(config: Path | None) -> NodeFacts:
    """The node of this configuration, or the one that answers here."""
    from dexmesh.admin.login import AdminLogin, read_login
    from dexmesh.cli.config import load_file

    path = find_config(config)
    if path is not None:
        settings = load_file(path).settings
        admin = settings.admin
        login = AdminLogin(admin.host, admin.port, admin.password)
        return NodeFacts(
            settings.public_key, login, settings.logging, str(path), config is not None
        )
    login = read_login()
    return NodeFacts(_ask_key(login), login, None, "the node that answers here", is_named=False)


def require_same(facts: NodeFacts, home: Home, settings: AppSettings) -> None:
    """Raises ConfigError if the apps are another node's, and nobody said that this is to change.

    There may be several nodes and configurations on a machine: one that was found and not named must not
    take the apps, their address and their mail away from their node.
    """
    if facts.is_named or facts.key in (None, settings.key):
        return
    theirs, found = encode_key(settings.key), encode_key(facts.key)
    problem = f"the apps belong to {theirs}, but {facts.source} is {found}"
    hint = "name the configuration of their node with --config; if their node has a new key, name that one"
    raise ConfigError((ConfigProblem(str(home.settings_file), 0, 0, problem, hint),))


def require_key(facts: NodeFacts, former: PublicKey | None) -> PublicKey:
    """The key of the node. Raises AppError if nobody knows it."""
    key = facts.key or former
    if key is None:
        raise AppError(
            "no node was found: no configuration that may be read, and none answers",
            "start it first (`dexmesh up`), or name its configuration with --config",
        )
    return key


def choose_account(wanted: str | None, former: str | None) -> Account:
    """Who the service runs as: the account asked for, the one before, whoever called sudo, or we.

    Raises AppError if that leaves only root, HostError if there is no such account.
    """
    if os.geteuid() != 0:
        own = own_account()
        if wanted not in (None, own.name):
            hint = "run it as root (sudo) to choose another account"
            raise AppError(f"you are {own.name}, not {wanted}", hint)
        return own
    for name in (wanted, former, os.environ.get("SUDO_USER")):
        if name and (name == wanted or name != "root"):
            return find_account(name)
    try:
        return find_account(pwd.getpwnam(SERVICE_ACCOUNT).pw_name)
    except KeyError:
        raise AppError(
            "the mail service does not run as root: whose is it?",
            "`dexmesh mail on --account NAME` says so (your own, or one made for it)",
        ) from None


def serving_account(home: Home, named: str | None, *, with_mailboxes: bool) -> Account:
    """Whom the worker becomes: the owner of the home. Raises HostError if that is not as written down."""
    from dexmesh.apps.base.making import owner_of

    owner = owner_of(home)
    if os.geteuid() not in (0, owner):
        raise HostError(f"{home.path} is not yours", "start it as its owner, or as root")
    if os.geteuid() != 0:
        return own_account()
    account = account_of(owner)
    if named not in (None, account.name):
        hint = "`dexmesh mail on --account NAME` settles whose it is"
        raise HostError(f"{home.path} is {account.name}'s, but apps.toml says {named}", hint)
    return find_account(account.name, with_mailboxes=with_mailboxes)


def _ask_key(login: AdminLogin) -> PublicKey | None:
    from dexmesh.admin.client import AdminClient
    from dexmesh.wire.node_address import parse_node_address

    try:
        open_login = dataclasses.replace(login, password=None)
        with AdminClient(open_login, _PATIENCE_S) as node:
            said = node.call("Core_nodeInfo").get("myAddr")
        text = said.decode() if isinstance(said, bytes) else str(said)
        return parse_node_address(text).key
    except (NoNodeError, AdminError, DecodeError, UnicodeDecodeError):
        return None
