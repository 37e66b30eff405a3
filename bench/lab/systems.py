"""Say what can carry packets between machines, and write the configuration each node starts with.

Place     bench/rows.py names the systems -> here -> lab/course.py starts them
Spec      docs/protocol/09 §1 (the strict form of cjdroute.conf: ours and the original read the same)
Not here  machines and cables (dexmesh/cli/lab.py)
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import address_of, encode_key

PORT = 5000
CONF = "{conf}"  # in a command: the path of the configuration, which is also on standard input

BARE = "bare link"
ORIGINAL = "original"
OURS = "ours"
OURS_TO_ORIGINAL = "ours+original"  # a sends, b receives
ORIGINAL_TO_OURS = "original+ours"
DEXMESH_UP = "dexmesh up"


@dataclass(frozen=True, slots=True)
class System:
    """One command for all nodes, or one each in the order of the line; none is the bare link."""

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, number: int, conf: Path) -> list[str]:
        """What to run on the machine with this number, counted from 0."""
        words = self.commands[number % len(self.commands)]
        return [str(conf) if word == CONF else word for word in words]


def our_cjdroute() -> tuple[str, ...]:
    """The twin of the original: our program of the same name, in the same way."""
    return (str(Path(sys.executable).parent / "cjdroute"), "--nobg")


def known_systems(cjdroute: str | None) -> dict[str, System]:
    """Every system by name; `cjdroute` is the original's path, without it its systems are not there."""
    dexmesh = str(Path(sys.executable).parent / "dexmesh")
    systems = [
        System(BARE),
        System(OURS, (our_cjdroute(),)),
        System(DEXMESH_UP, ((dexmesh, "up", "--plain", "--config", CONF),)),
    ]
    if cjdroute is not None:
        original = (cjdroute, "--nobg")
        systems += [
            System(ORIGINAL, (original,)),
            System(OURS_TO_ORIGINAL, (our_cjdroute(), original)),
            System(ORIGINAL_TO_OURS, (original, our_cjdroute())),
        ]
    return {system.name: system for system in systems}


@dataclass(frozen=True, slots=True)
class Identity:
    """A fresh key pair in the forms of a configuration."""

    private_hex: str
    key: str
    address: str
    padded: str

    @classmethod
    def make(cls) -> Identity:
        """A key pair from the randomness of the operating system."""
        private = generate_private_key(os.urandom)
        key = public_key_of(bytes(private))
        address = address_of(key)
        return cls(private.hex(), encode_key(key), format_address(address), format_padded(address))


@dataclass(frozen=True, slots=True)
class Link:
    """One UDP interface: the address it is bound to, and whom it calls there."""

    own_host: str
    called_host: str = ""
    called: Identity | None = None


def configuration(node: Identity, links: Sequence[Link], pipe: Path) -> str:
    """A cjdroute.conf. `pipe` is the original's: two originals may not share one."""
    return json.dumps(
        {
            "privateKey": node.private_hex,
            "publicKey": node.key,
            "ipv6": node.padded,
            "authorizedPasswords": [{"password": _password(node), "user": "lab"}],
            "admin": {"bind": "127.0.0.1:11234", "password": "NONE"},
            "interfaces": {"UDPInterface": [_udp(link) for link in links]},
            "router": {
                "supernodes": [],
                "interface": {"type": "TUNInterface"},
                "ipTunnel": {"allowedConnections": [], "outgoingConnections": []},
            },
            "security": [
                {"setuser": 0},
                {"chroot": 0},
                {"nofiles": 0},
                {"noforks": 0},
                {"seccomp": 0},
                {"setupComplete": 1},
            ],
            "logging": {},
            "noBackground": 1,
            "version": 2,
            "pipe": str(pipe),
        },
        indent=1,
    )


def _udp(link: Link) -> dict[str, object]:
    calls = {}
    if link.called is not None:
        calls[f"{link.called_host}:{PORT}"] = {
            "login": "lab",
            "password": _password(link.called),
            "publicKey": link.called.key,
        }
    return {"bind": f"{link.own_host}:{PORT}", "connectTo": calls}


def _password(node: Identity) -> str:
    return f"lab-password-{node.key[:16]}"
