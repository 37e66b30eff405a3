"""Turn peers of the configuration into peers of an invitation, and back.

Place     cli/contact_invite.py, cli/contact_add.py -> here -> config/edit.py, cli/peers.py
Spec      docs/apps/invitation.md "Peers"
Keeps     a peer is called only when the user asked for it; a peer that is configured already stays
          as it is
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.cli.places import find_config
from dexmesh.errors import ConfigError, ContactError, DecodeError, DexmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dexmesh.apps.contacts.invitation import InvitedPeer
    from dexmesh.config.settings import ConnectTo

_MAX_JSON = 4096


def peers_to_invite(words: Sequence[str], config: Path | None) -> tuple[InvitedPeer, ...]:
    """The peers named on the command line: as endpoints of the configuration, or as public peers are
    published (`"192.0.2.7:41234": {"publicKey": ..., "password": ...}`)."""
    return tuple(_published(word) if "{" in word else _configured(word, config) for word in words)


def describe_peers(peers: Sequence[InvitedPeer]) -> list[str]:
    """How to use the peers of an invitation, in words."""
    lines = [
        "the invitation names peers through which the mesh is reached (--with-peers calls them):"
    ]
    return lines + [_command(peer) for peer in peers]


def call_peers(peers: Sequence[InvitedPeer], config: Path | None) -> list[str]:
    """Write the peers into the configuration and tell the running node; what became of each."""
    path = find_config(config)
    if path is None:
        return ["there is no configuration for the peers: `dexmesh config new` makes one"]
    return [f"peer {peer.endpoint}: {_call(peer, path, config)}" for peer in peers]


def _call(peer: InvitedPeer, path: Path, config: Path | None) -> str:
    from dexmesh.cli.config import load_settings_in
    from dexmesh.cli.peers import add_live
    from dexmesh.config.edit import NewPeer, add_peer
    from dexmesh.config.files import read_config_file, write_secret_file

    if not peer.password:
        return f"has no password in the invitation; ask for it: {_command(peer).strip()}"
    new = NewPeer(
        endpoint=peer.endpoint,
        public_key=peer.key,
        password=peer.password.encode(),
        login=peer.login.encode() or None,
    )
    try:
        after = add_peer(read_config_file(path), str(path), new)
        load_settings_in(after, path)
        write_secret_file(path, after, overwrite=True)
    except ConfigError as error:
        problem = error.problems[0]
        return f"not added: {problem.message}"
    except DexmeshError as error:
        return f"not added: {error}"
    return f"is in {path}; the running node: {add_live(config, new)}"


def _configured(endpoint: str, config: Path | None) -> InvitedPeer:
    from dexmesh.apps.contacts.invitation import InvitedPeer
    from dexmesh.cli.config import load_file

    path = find_config(config)
    peers = []
    if path is not None:
        settings = load_file(path).settings
        peers = [peer for one in settings.udp_interfaces for peer in one.connect_to]
    for peer in peers:
        if _endpoint(peer) == endpoint:
            login = b"" if peer.login is None else peer.login
            return InvitedPeer(endpoint, peer.public_key, _text(login), _text(peer.password))
    known = ", ".join(map(_endpoint, peers)) or "nobody"
    raise ContactError(f"{endpoint!r} is no peer of the configuration", f"It calls: {known}")


def _endpoint(peer: ConnectTo) -> str:
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"{host}:{peer.port}"


def _published(word: str) -> InvitedPeer:
    from dexmesh.apps.contacts.invitation import InvitedPeer
    from dexmesh.wire.keys import decode_key

    text = word.strip().rstrip(",")
    try:
        if len(text) > _MAX_JSON:
            raise ValueError("too long")
        told = json.loads(text if text.startswith("{") else f"{{{text}}}")
        [(endpoint, fields)] = told.items()
        key, password = decode_key(fields["publicKey"]), fields["password"]
        login = fields.get("login", "")
        if not isinstance(password, str) or not isinstance(login, str):
            raise ValueError("no text")
    except (ValueError, KeyError, TypeError, AttributeError, DecodeError, RecursionError):
        hint = '"192.0.2.7:41234": {"publicKey": "KEY.k", "password": "..."}'
        raise ContactError("that is no peer as they are published", f"Write {hint}") from None
    return InvitedPeer(endpoint, key, login, password)


def _command(peer: InvitedPeer) -> str:
    from shlex import quote

    from dexmesh.wire.keys import encode_key

    login = f" --login {quote(peer.login)}" if peer.login else ""
    secret = f"   (password: {peer.password})" if peer.password else ""
    return (
        f"    dexmesh peer add {quote(peer.endpoint)} --key {encode_key(peer.key)}{login}{secret}"
    )


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ContactError("a password that is not UTF-8 fits into no invitation") from None
