"""A machine of the demonstration with its node: how it is started, stopped and asked.

Place     cli/demo.py and its steps (demo_file.py, demo_mail.py) -> here -> cli/lab.py
Keeps     each machine has a configuration and a home of the apps of its own
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dexmesh.cli.lab import USER, USER_ID, Machine, wait_until
from dexmesh.values import dataclass

_END_S = 15.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with a node: its configuration and its mesh address in both spellings."""

    machine: Machine
    config: Path
    address: str
    padded: str
    key: str
    port: int
    password: str
    login: str

    @property
    def mailbox(self) -> str:
        """The mail address of the person who lives there."""
        return f"{USER}@[IPv6:{self.address}]"

    def dexmesh(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command of ours there; what it says."""
        return dexmesh(self.machine, *arguments, stdin=stdin)

    def apps(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command of the apps there; in a user namespace as the one who has the mail."""
        argv = [*as_mail_user(), sys.executable, "-m", "dexmesh", *arguments]
        return self.machine.run(argv, stdin=stdin, env=_environment(self.machine)).stdout

    @property
    def environment(self) -> dict[str, str]:
        """What programs of ours are told there: the home of the apps of this machine."""
        return _environment(self.machine)

    def serve_mail(self) -> None:
        """Run the mail service by itself: in a user namespace the node cannot start it."""
        self.machine.run(["sysctl", "-q", "-w", "net.ipv4.ip_unprivileged_port_start=0"])
        argv = [*as_mail_user(), sys.executable, "-m", "dexmesh", "mail", "serve"]
        argv += ["--config", str(self.config)]
        self.machine.start(argv, log="mail.log", env=_environment(self.machine))

    def with_config(self, *arguments: str, stdin: str | None = None) -> str:
        """The same for commands that want to know which node is meant."""
        return self.dexmesh(*arguments, "--config", str(self.config), stdin=stdin)

    def start(self) -> float:
        """Start the node; the seconds until its address can be used."""
        argv = [sys.executable, "-m", "dexmesh", "up", "--config", str(self.config)]
        home = {} if has_users() else {"DEXMESH_HOME": str(self.machine.folder / "none")}
        self.machine.start(argv, log="node.log", env=_environment(self.machine) | home)
        return timed(lambda: self.with_config("wait-online", "--timeout", "20"))

    def stop(self) -> None:
        """End the node and wait until it is gone."""
        running = ["-f", "dexmesh up"]
        self.machine.run(["pkill", "-TERM", *running], check=False)
        wait_until(
            lambda: self.machine.run(["pgrep", *running], check=False).returncode != 0,
            _END_S,
            f"the node on {self.machine.name} to end",
        )


def read_node(machine: Machine, config: Path) -> Node:
    """The node that this configuration is of."""
    shown = json.loads(dexmesh(machine, "config", "check", "--json", "--show-secrets", str(config)))
    credential = shown["authorizedPasswords"][0]
    return Node(
        machine=machine,
        config=config,
        address=shown["address"],
        padded=shown["address_padded"],
        key=shown["public_key"],
        port=shown["udp_ports"][0],
        password=credential["password"],
        login=credential["user"],
    )


def dexmesh(machine: Machine, *arguments: str, stdin: str | None = None) -> str:
    """Run a command of ours in a machine; HostError with what it said if it fails."""
    argv = [sys.executable, "-m", "dexmesh", *arguments]
    return machine.run(argv, stdin=stdin, env=_environment(machine)).stdout


def has_users() -> bool:
    """Whether there are others than root: a user namespace of our own has one user."""
    return not os.environ.get("DEXMESH_USERNS")


def as_mail_user() -> list[str]:
    """Before a command of the apps, which refuse to be root: the only user, under another number."""
    if has_users():
        return []
    return ["unshare", "--user", f"--map-user={USER_ID}", f"--map-group={USER_ID}", "--"]


def _environment(machine: Machine) -> dict[str, str]:
    return {"DEXMESH_HOME": str(machine.folder / "apps")}


def timed(step: Callable[[], object]) -> float:
    """Do it; the seconds it took."""
    start = time.monotonic()
    step()
    return time.monotonic() - start


def escaped(line: str) -> str:
    """A line of a program as markup that shows it as it is."""
    return line.replace("[", r"\[")


def show(say: Say, text: str) -> None:
    """What a program said, a little to the right."""
    for line in text.strip().splitlines():
        say("   | " + escaped(line.expandtabs(4)))
