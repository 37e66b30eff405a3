"""`dexmesh doctor` on a machine with a real node and mail service, well and then broken, part by part.

a (node, mail) ---- b (node)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.names.checks import has_opensmtpd
from dexmesh.cli.lab import USER, wait_until
from tests.netns.conftest import RunningNode, World

pytestmark = pytest.mark.netns

DEXMESH = [sys.executable, "-m", "dexmesh"]
_HOLD = """
import socket, sys, time
one = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
time.sleep(600)
"""


class Patient:
    """A node whose machine is looked at."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.machine = node.machine
        self.home = Path(f"/home/{USER}/mesh")
        self.took_s = 0.0
        self.notes: dict[str, list[dict[str, Any]]] = {}  # of the last look

    def dexmesh(self, *words: str) -> None:
        """Run a command about its mail."""
        options = ["--home", str(self.home)]
        if words[:2] == ("mail", "on"):
            options += ["--config", str(self.node.config)]
        self.machine.run([*DEXMESH, *words, *options])

    def serve(self) -> None:
        """Start the mail service."""
        options = ["--home", str(self.home), "--config", str(self.node.config)]
        self.machine.start([*DEXMESH, "mail", "serve", *options], log="mail.log")
        status = [*DEXMESH, "mail", "status", "--json", "--home", str(self.home)]
        wait_until(
            lambda: self.machine.run(status, check=False).returncode == 0, 20, "the mail service"
        )

    def use(self, server: str) -> None:
        """What programs ask for names."""
        (self.machine.folder / "etc" / "resolv.conf").write_text(f"nameserver {server}\n")

    def examine(self) -> dict[str, list[dict[str, Any]]]:
        """What is wrong, by name; and doctor's exit code agrees."""
        begin = time.monotonic()
        options = ["--json", "--home", str(self.home), "--config", str(self.node.config)]
        done = self.machine.run([*DEXMESH, "doctor", *options], check=False)
        self.took_s = time.monotonic() - begin
        told = json.loads(done.stdout)
        found: dict[str, list[dict[str, Any]]] = {}
        self.notes.clear()
        for one in told["findings"]:
            if one["level"] != "ok":
                kept = found if one["level"] == "wrong" else self.notes
                kept.setdefault(one["name"], []).append(one)
        assert done.returncode == (1 if found else 0)
        return found


def test_a_machine_that_is_well_and_everything_that_can_break(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(a, b)
    a.start()
    b.start()
    wait_until(lambda: a.is_linked(), 15, "the link")
    patient = Patient(a)
    patient.dexmesh("mail", "on", "--account", USER)
    patient.serve()
    patient.use("127.0.0.67")
    assert patient.examine() == {}

    # No name server at all: programs know no names, mail and phone need none.
    (a.machine.folder / "etc" / "resolv.conf").write_text("")
    assert patient.examine() == {}
    assert patient.notes.keys() >= {"names.system"}

    # A name server that swallows questions: as measured, stock OpenSMTPD greets after 75 s.
    patient.use("10.99.1.77")
    wrong = patient.examine()
    found = wrong if has_opensmtpd() else patient.notes
    assert {"names.unreachable", "names.system"} <= set(found)
    assert "10.99.1.77" in found["names.unreachable"][0]["what"]
    assert patient.took_s < 30  # a lookup would wait for minutes; how quick it is, a unit test says
    patient.use("127.0.0.67")

    (a.machine.folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    found = patient.examine()
    assert set(found) <= {"names.host"}  # wrong only where OpenSMTPD is installed
    (a.machine.folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 a\n")

    a.machine.run(["ip", "link", "add", "mesh2", "type", "veth", "peer", "name", "mesh3"])
    a.machine.run(["ip", "link", "set", "mesh2", "up"])
    a.machine.run(["ip", "-6", "route", "add", "fc00::/8", "dev", "mesh2", "metric", "2048"])
    found = patient.examine()
    assert set(found) == {"node.route"}
    assert "mesh2" in found["node.route"][0]["what"]
    a.machine.run(["ip", "link", "del", "mesh2"])

    a.machine.run(["chmod", "755", str(patient.home / "mail")])
    assert set(patient.examine()) == {"mail.home"}
    a.machine.run(["chmod", "700", str(patient.home / "mail")])

    b.stop()
    wait_until(lambda: not a.is_linked(), 60, "the link to be noticed as down")
    assert set(patient.examine()) == {"node.links"}

    a.machine.run(["pkill", "-TERM", "-o", "-f", "mail serve"])
    wait_until(lambda: "mail.service" in patient.examine(), 20, "the service to end")
    a.machine.start([sys.executable, "-c", _HOLD, "127.0.0.1", "143"], log="hold.log")
    wait_until(lambda: "ready" in a.machine.log("hold.log"), 10, "a foreign program on 143")
    found = patient.examine()
    assert "127.0.0.1:143" in found["mail.port"][0]["what"]
    assert "process" in found["mail.port"][0]["what"]
    assert "names.server" in found

    a.stop()
    assert {"node.running", "node.address"} <= set(patient.examine())
