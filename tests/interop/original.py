"""Run the original cjdroute in a small machine, for tests that prove we are taken for one of its own.

The binary comes from CJDROUTE; its JavaScript tools are looked for beside it, in `tools/`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dexmesh.cli.lab import Lab, Machine, wait_until
from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import address_of, encode_key

PORT = 5000
ORIGINAL = os.environ.get("CJDROUTE", "")

needs_original = pytest.mark.skipif(
    not ORIGINAL, reason="CJDROUTE is unset: no original cjdroute to test against"
)


@dataclass(slots=True)
class Original:
    """A node of the original in a machine."""

    machine: Machine
    private_hex: str
    key: str
    address: str
    padded: str
    password: str = "the-password-of-this-node"
    login: str = "friend"
    connect_to: dict[str, dict[str, str]] = field(default_factory=dict)
    bind6: str | None = None
    beacon: int = 0

    @classmethod
    def make(cls, lab: Lab, name: str) -> Original:
        """A machine with a fresh key; nothing is started."""
        private = generate_private_key(os.urandom)
        key = public_key_of(bytes(private))
        address = address_of(key)
        return cls(
            lab.machine(name),
            private.hex(),
            encode_key(key),
            format_address(address),
            format_padded(address),
        )

    @property
    def config(self) -> Path:
        """Where its cjdroute.conf is."""
        return self.machine.folder / "cjdroute.conf"

    def write_config(self) -> Path:
        """Its cjdroute.conf, in the strict form of the original."""
        conf = {
            "privateKey": self.private_hex,
            "publicKey": self.key,
            "ipv6": self.padded,
            "authorizedPasswords": [{"password": self.password, "user": self.login}],
            "admin": {"bind": "127.0.0.1:11234", "password": "NONE"},
            "interfaces": {"UDPInterface": self._udp_interfaces()},
            "router": {"interface": {"type": "TUNInterface"}},
            "security": [{"setuser": 0}, {"chroot": 0}, {"noforks": 0}, {"seccomp": 0}],
            "pipe": str(self.machine.folder / "pipe.sock"),
            "logging": {"logTo": "stdout"},
            "version": 2,
        }
        self.config.write_text(json.dumps(conf, indent=1))
        return self.config

    def _udp_interfaces(self) -> list[dict[str, object]]:
        four = {to: how for to, how in self.connect_to.items() if not to.startswith("[")}
        six = {to: how for to, how in self.connect_to.items() if to.startswith("[")}
        udp: list[dict[str, object]] = [
            {"bind": f"0.0.0.0:{PORT}", "connectTo": four, **self._beacon_keys()}
        ]
        return [*udp, {"bind": self.bind6, "connectTo": six}] if self.bind6 else udp

    def _beacon_keys(self) -> dict[str, object]:
        if not self.beacon:
            return {}
        return {"beacon": self.beacon, "beaconDevices": ["all"], "beaconPort": 64512}

    def start(self) -> None:
        """Start it and wait until its address is on the TUN."""
        with self.write_config().open("rb") as conf:
            self.machine.start([ORIGINAL, "--nobg"], log="node.log", stdin=conf)
        wait_until(
            lambda: self.address in self.machine.run(["ip", "-6", "addr"]).stdout,
            20,
            f"the original on {self.machine.name}",
        )

    def stop(self, signal: str = "KILL") -> None:
        """End both its processes and wait until they are gone."""
        running = ["-f", "cjdroute (--nobg|core)"]  # the dead that nobody buried have no arguments
        self.machine.run(["pkill", f"-{signal}", *running], check=False)
        wait_until(
            lambda: self.machine.run(["pgrep", *running], check=False).returncode != 0,
            10,
            "the original to end",
        )

    def peers(self) -> list[dict[str, object]]:
        """What `dexmesh peers --json` says about it: the admin RPC is the same."""
        argv = [sys.executable, "-m", "dexmesh", "peers", "--json", "--config", str(self.config)]
        found: list[dict[str, object]] = json.loads(self.machine.run(argv).stdout)["peers"]
        return found

    def tool(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run one of the original's own JavaScript tools in this machine."""
        return run_tool(self.machine, name, *arguments, check=check)


def run_tool(machine: Machine, name: str, *arguments: str, check: bool = True) -> str:
    """Run one of the original's JavaScript tools; skipped with a reason where they are not there."""
    path = Path(ORIGINAL).parent / "tools" / name
    if not path.exists():
        pytest.skip(f"the tools of the original are not beside CJDROUTE ({path})")
    argv = ["timeout", "20", "node", "--no-deprecation", str(path), *arguments]
    return machine.run(argv, check=check, env={"HOME": str(machine.folder)}).stdout
