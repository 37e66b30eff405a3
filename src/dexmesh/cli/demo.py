"""Show the mesh at work with real programs: three machines, no other network, one mail.

Place     `dexmesh demo`, `make demo`; tests/netns/test_demo.py runs it too
Spec      shared mail notes §3 (OpenSMTPD configuration); README "The demo"
Keeps     every step either works and says so, or ends the demo with a non-zero exit; nothing is left behind
Not here  the machines themselves (lab.py)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dexmesh.cli.lab import USER, Lab, Machine, wait_until
from dexmesh.errors import HostError
from dexmesh.values import dataclass, field

FILE_BYTES = 200_000_000
MAIL_WAIT_S = 30.0
LINK_WAIT_S = 20.0
HTTP_PORT = 8080
_CHUNK_BYTES = 1 << 20
_SMTPD = "/usr/sbin/smtpd"

Say = Callable[[str], None]


@dataclass(slots=True)
class Node:
    """A machine with a running node: its configuration and its mesh address in both spellings."""

    machine: Machine
    config: Path
    address: str
    padded: str
    key: str
    port: int
    password: str
    login: str


@dataclass(slots=True)
class Demo:
    """The demonstration as a list of steps. `facts` collects what was measured, for --json."""

    say: Say
    lab: Lab
    nodes: dict[str, Node] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)

    def run(self) -> None:
        """All steps in order; raises HostError at the first that fails."""
        for step in (
            self._build,
            self._configure,
            self._start,
            self._show_links,
            self._ping,
            self._fetch_file,
            self._send_mail,
        ):
            step()

    # --- steps ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.say(
            "[b]1. Three machines[/b]: a, r and b. Cables a–r and r–b; a and b have no other network."
        )
        a, r, b = (self.lab.machine(name) for name in "arb")
        self.lab.cable(a, r)
        self.lab.cable(r, b)
        unreachable = a.run(["ping", "-c", "1", "-W", "1", "10.99.2.2"], check=False)
        if unreachable.returncode == 0:
            raise HostError("a reaches b without the mesh: the demo would prove nothing")
        self.say("   a cannot reach b over IPv4: ping 10.99.2.2 fails, as it should.")

    def _configure(self) -> None:
        self.say(
            "\n[b]2. A configuration each[/b]: `dexmesh config new` draws key, password and port."
        )
        for name, machine in self.lab.machines.items():
            config = machine.folder / "cjdroute.conf"
            self._dexmesh(machine, "config", "new", str(config))
            self.nodes[name] = self._read_node(machine, config)
            self.say(f"   {name}: {self.nodes[name].address}")
        self._introduce("a", "10.99.1.2", "r")
        self._introduce("b", "10.99.2.1", "r")

    def _introduce(self, caller: str, underlay: str, called: str) -> None:
        node, other = self.nodes[caller], self.nodes[called]
        self.say(
            f"   {caller} is told how to call {called}: `dexmesh peer add {underlay}:{other.port} …`"
        )
        self._dexmesh(
            node.machine,
            *("peer", "add", f"{underlay}:{other.port}", "--key", other.key),
            *("--password-stdin", "--login", other.login, "--name", called),
            *("--config", str(node.config), "--no-live"),
            stdin=other.password + "\n",
        )

    def _start(self) -> None:
        self.say("\n[b]3. `dexmesh up` on each machine[/b]")
        for name, node in self.nodes.items():
            node.machine.start(
                [sys.executable, "-m", "dexmesh", "up", "--config", str(node.config)],
                log="node.log",
            )
            took = self._timed(
                lambda node=node: self._dexmesh(  # type: ignore[misc]
                    node.machine, "wait-online", "--timeout", "20", "--config", str(node.config)
                )
            )
            self.say(f"   {name} is online after {took:.1f} s")

    def _show_links(self) -> None:
        self.say("\n[b]4. The links[/b], as `dexmesh peers` shows them on r:")
        relay = self.nodes["r"]

        def linked() -> bool:
            peers = json.loads(
                self._dexmesh(relay.machine, "peers", "--json", "--config", str(relay.config))
            )
            states: list[str] = [peer["state"] for peer in peers["peers"]]
            return states.count("ESTABLISHED") == 2

        wait_until(linked, LINK_WAIT_S, "both links of r")
        for line in self._dexmesh(
            relay.machine, "peers", "--config", str(relay.config)
        ).splitlines():
            self.say("   " + line.replace("[", r"\["))

    def _ping(self) -> None:
        target = self.nodes["b"].address
        self.say(f"\n[b]5. ping[/b] from a to b, through r: `ping {target}`")
        machine = self.nodes["a"].machine
        took = self._timed(
            lambda: wait_until(
                lambda: (
                    machine.run(["ping", "-c", "1", "-W", "1", target], check=False).returncode == 0
                ),
                LINK_WAIT_S,
                "the first reply from b",
            )
        )
        said = machine.run(["ping", "-c", "5", "-i", "0.2", target]).stdout
        found = re.search(r"= [\d.]+/([\d.]+)/", said)
        self.facts["ping_ms"] = float(found.group(1)) if found else None
        self.facts["first_reply_s"] = round(took, 2)
        for line in said.strip().splitlines()[-2:]:
            self.say("   " + line)

    def _fetch_file(self) -> None:
        a, b = self.nodes["a"], self.nodes["b"]
        self.say(f"\n[b]6. A file of {FILE_BYTES // 10**6} MB[/b] over HTTP from b to a")
        served = b.machine.folder / "www"
        served.mkdir()
        wanted = _make_file(served / "file.bin", FILE_BYTES)
        b.machine.start(
            [
                sys.executable,
                "-m",
                "http.server",
                str(HTTP_PORT),
                "--bind",
                b.address,
                "-d",
                str(served),
            ],
            log="http.log",
        )
        got = a.machine.folder / "file.bin"
        url = f"http://[{b.address}]:{HTTP_PORT}/file.bin"
        fetch = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--retry",
            "10",
            "--retry-connrefused",
        ]
        fetch += [
            "--retry-delay",
            "1",
            "--max-time",
            "300",
            "-o",
            str(got),
            "-w",
            "%{speed_download}",
            url,
        ]
        rate = float(a.machine.run(fetch, timeout_s=330).stdout)
        found = _hash_file(got)
        if found != wanted:
            raise HostError(f"the file arrived damaged: SHA-256 {found}, wanted {wanted}")
        got.unlink()
        self.facts["file_mbit_s"] = round(rate * 8 / 1e6)
        self.say(f"   {rate * 8 / 1e6:.0f} Mbit/s; SHA-256 {found[:16]}… agrees on both sides")

    def _send_mail(self) -> None:
        if os.environ.get("DEXMESH_USERNS"):
            self.say(
                "\n[b]7. A mail[/b] is left out: OpenSMTPD needs several users, so it needs real root."
            )
            self.facts["mail"] = "left out: not root"
            return
        a, b = self.nodes["a"], self.nodes["b"]
        self.say("\n[b]7. A mail[/b] from s-nail on a, through OpenSMTPD on a, to OpenSMTPD on b")
        for node in (a, b):
            _start_mail_server(node)
        sender, receiver = f"{USER}@[IPv6:{a.padded}]", f"{USER}@[IPv6:{b.padded}]"
        mailrc = a.machine.folder / "mailrc"
        mailrc.write_text(
            f"set v15-compat\nset mta=smtp://localhost\nset smtp-auth=none\nset from={sender}\n"
        )
        took = self._timed(lambda: self._deliver(a, b, mailrc, receiver))
        self.facts["mail_s"] = round(took, 2)
        text = (b.machine.run(["cat", f"/var/mail/{USER}"])).stdout
        self.say(f"   arrived in {USER}'s mailbox on b after {took:.1f} s:")
        for line in text.strip().splitlines():
            self.say("   | " + line.replace("[", r"\["))

    def _deliver(self, a: Node, b: Node, mailrc: Path, receiver: str) -> None:
        send = ["s-nail", "-:/", "-s", "Hello over the mesh", receiver]
        a.machine.run(
            send,
            stdin="No server stood between us.\n",
            env={"MAILRC": str(mailrc), "NAIL_EXTRA_RC": str(mailrc)},
        )

        def arrived() -> bool:
            box = b.machine.run(["cat", f"/var/mail/{USER}"], check=False).stdout
            return "No server stood between us." in box

        try:
            wait_until(arrived, MAIL_WAIT_S, "the mail")
        except HostError as error:
            raise HostError(
                f"{error}\na: {a.machine.log('smtpd.log')}\nb: {b.machine.log('smtpd.log')}"
            ) from None

    # --- helpers ----------------------------------------------------------------------------

    def _dexmesh(self, machine: Machine, *arguments: str, stdin: str | None = None) -> str:
        return machine.run([sys.executable, "-m", "dexmesh", *arguments], stdin=stdin).stdout

    def _read_node(self, machine: Machine, config: Path) -> Node:
        shown = json.loads(
            self._dexmesh(machine, "config", "check", "--json", "--show-secrets", str(config))
        )
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

    @staticmethod
    def _timed(step: Callable[[], object]) -> float:
        start = time.monotonic()
        step()
        return time.monotonic() - start


def _start_mail_server(node: Node) -> None:
    config = node.machine.folder / "smtpd.conf"
    config.write_text(
        f"""table aliases file:/etc/aliases
table me {{ "[IPv6:{node.padded}]", "[IPv6:{node.address}]", "{node.key}" }}
listen on {node.padded} hostname "[IPv6:{node.padded}]"
listen on lo hostname "[IPv6:{node.padded}]"
action "local" mbox alias <aliases>
action "mesh" relay helo "[IPv6:{node.padded}]" src {node.padded}
match from src "fc00::/8" for domain <me> action "local"
match from local for domain <me> action "local"
match for local action "local"
match from local for any action "mesh"
"""
    )
    if shutil.which(_SMTPD) is None:
        raise HostError("OpenSMTPD is missing", "apt-get install opensmtpd")
    node.machine.run([_SMTPD, "-n", "-f", str(config)])
    node.machine.start([_SMTPD, "-d", "-f", str(config)], log="smtpd.log")
    wait_until(lambda: _listens(node.machine), 15, f"OpenSMTPD on {node.machine.name}")


def _listens(machine: Machine) -> bool:
    return ":25 " in machine.run(["ss", "-Hltn"], check=False).stdout


def _make_file(path: Path, size: int) -> str:
    """Write `size` bytes that do not compress; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        left = size
        while left:
            chunk = os.urandom(min(left, _CHUNK_BYTES))
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
