"""Small machines with real nodes in them, for every test that needs TUN, sockets and namespaces."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dexmesh.cli.lab import Lab, Machine, wait_until
from dexmesh.config.edit import NewPeer, add_peer
from dexmesh.config.files import read_config_file, write_secret_file
from dexmesh.config.generate import generate
from dexmesh.config.reader import load_settings
from dexmesh.engine.keys import public_key_of
from dexmesh.errors import HostError
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import decode_key, encode_key

PORT = 5000


@dataclass(slots=True)
class RunningNode:
    """A node of ours in a machine: how to start it, stop it and ask it."""

    machine: Machine
    config: Path
    address: str
    key: str
    password: str
    login: str
    _lives: int = 0  # that came up before this one

    def dexmesh(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a `dexmesh` command in the machine."""
        argv = [sys.executable, "-m", "dexmesh", *arguments, "--config", str(self.config)]
        return self.machine.run(argv, check=check, stdin=stdin).stdout

    def start(self, env: dict[str, str] | None = None) -> None:
        """Start the node and wait until its address can be used."""
        self.begin(env)
        self.wait_online()

    def begin(self, env: dict[str, str] | None = None) -> None:
        """Start the node."""
        self._lives = self._came_up()
        argv = [sys.executable, "-m", "dexmesh", "up", "--config", str(self.config)]
        self.machine.start(argv, log="node.log", env=env)

    def wait_online(self) -> None:
        """Wait until the node says that it is up; `dexmesh wait-online` would be a process more."""
        try:
            wait_until(lambda: self._came_up() > self._lives, 30, "the node to be up")
        except HostError as error:
            raise AssertionError(f"{error}\n{self.machine.log('node.log')}") from error

    def _came_up(self) -> int:
        return self.machine.log("node.log").count("the node is up address=")

    def stop(self, signal: str = "TERM") -> None:
        """End the node and wait until it is gone."""
        self.machine.run(["pkill", f"-{signal}", "-f", "dexmesh up"], check=False)
        wait_until(
            lambda: self.machine.run(["pgrep", "-f", "dexmesh up"], check=False).returncode != 0,
            10,
            "the node to end",
        )

    def peers(self) -> list[dict[str, object]]:
        """What `dexmesh peers --json` says."""
        found: list[dict[str, object]] = json.loads(self.dexmesh("peers", "--json"))["peers"]
        return found

    def is_linked(self, count: int = 1) -> bool:
        """Whether that many links are established."""
        return sum(peer["state"] == "ESTABLISHED" for peer in self.peers()) >= count

    def reaches(self, other: RunningNode, wait_s: int = 1) -> bool:
        """Whether one ICMP ping gets an answer."""
        argv = ["ping", "-c", "1", "-W", str(wait_s), other.address]
        return self.machine.run(argv, check=False).returncode == 0


class World:
    """Machines by name, each with a configuration of ours bound to port 5000."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nodes: dict[str, RunningNode] = {}

    def node(self, name: str) -> RunningNode:
        """A machine with a fresh configuration; nothing is started."""
        machine = self.lab.machine(name)
        config = machine.folder / "cjdroute.conf"
        text = _on_port(generate(os.urandom, public_key_of), PORT)  # no process: see mail_machines
        write_secret_file(config, text)
        settings = load_settings(text.encode(), str(config)).settings
        credential = settings.authorized_passwords[0]
        assert credential.user is not None
        node = RunningNode(
            machine,
            config,
            format_address(settings.address),
            encode_key(settings.public_key),
            credential.password.decode(),
            credential.user.decode(),
        )
        self.nodes[name] = node
        return node

    def join(self, caller: RunningNode, called: RunningNode, *, ipv6: bool = False) -> str:
        """A cable, and the caller's configuration says how to call; returns the endpoint called."""
        _, host = self.lab.cable(caller.machine, called.machine)
        if ipv6:
            host = f"[fd99:{host.split('.')[2]}::2]"
        endpoint = f"{host}:{PORT}"
        self.tell(caller, called, endpoint)
        return endpoint

    def tell(self, caller: RunningNode, called: RunningNode, endpoint: str) -> None:
        """Write the called node into the caller's configuration."""
        peer = NewPeer(
            endpoint,
            decode_key(called.key),
            called.password.encode(),
            login=called.login.encode(),
            peer_name=called.machine.name,
        )
        text = add_peer(read_config_file(caller.config), str(caller.config), peer)
        load_settings(text, str(caller.config))
        write_secret_file(caller.config, text, overwrite=True)


def _on_port(text: str, port: int) -> str:
    """The configuration, bound to this port and no other."""
    drawn = load_settings(text.encode(), "new").settings.udp_interfaces[0].bind_port
    return text.replace(f":{drawn}", f":{port}")


@pytest.fixture
def world() -> Iterator[World]:
    """An empty world; everything in it is gone after the test."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        yield World(lab)
