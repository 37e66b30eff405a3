"""Show the mesh at work with real programs: three machines, no other network, a mail and a call.

Place     `dexmesh demo`, `make demo`; tests/netns/test_demo.py runs it too
Spec      shared mail notes §3 (OpenSMTPD configuration); README "The demo"
Keeps     every step either works and says so, or ends the demo with a non-zero exit; nothing is left behind
Not here  the machines (lab.py), the nodes in them (demo_node.py), steps 6 to 8 (demo_file.py, demo_mail.py,
          demo_call.py)
"""

from __future__ import annotations

import json
import re

from dexmesh.cli import demo_call, demo_mail
from dexmesh.cli.demo_file import FILE_BYTES, fetch_file
from dexmesh.cli.demo_node import Node, Say, dexmesh, escaped, read_node, timed
from dexmesh.cli.lab import Lab, wait_until
from dexmesh.errors import HostError
from dexmesh.values import dataclass, field

LINK_WAIT_S = 20.0


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
            self._call,
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
            dexmesh(machine, "config", "new", str(config))
            self.nodes[name] = read_node(machine, config)
            self.say(f"   {name}: {self.nodes[name].address}")
        self._introduce("a", "10.99.1.2", "r")
        self._introduce("b", "10.99.2.1", "r")
        names = "a" if demo_mail.has_stock_server() else "ab"
        self.say(f"   `dexmesh mail on` on {' and '.join(names)}: a mail node comes with the node")
        for name in names:
            demo_mail.switch_on(self.nodes[name])
        self.say("   `dexmesh phone on` on a and b")
        for name in "ab":
            demo_call.switch_on(self.nodes[name])

    def _introduce(self, caller: str, underlay: str, called: str) -> None:
        node, other = self.nodes[caller], self.nodes[called]
        self.say(
            f"   {caller} is told how to call {called}: `dexmesh peer add {underlay}:{other.port} …`"
        )
        node.with_config(
            *("peer", "add", f"{underlay}:{other.port}", "--key", other.key),
            *("--password-stdin", "--login", other.login, "--name", called),
            "--no-live",
            stdin=other.password + "\n",
        )

    def _start(self) -> None:
        self.say("\n[b]3. `dexmesh up` on each machine[/b]")
        for name, node in self.nodes.items():
            took = node.start()
            self.say(f"   {name} is online after {took:.1f} s")

    def _show_links(self) -> None:
        self.say("\n[b]4. The links[/b], as `dexmesh peers` shows them on r:")
        relay = self.nodes["r"]

        def linked() -> bool:
            peers = json.loads(relay.with_config("peers", "--json"))
            states: list[str] = [peer["state"] for peer in peers["peers"]]
            return states.count("ESTABLISHED") == 2

        wait_until(linked, LINK_WAIT_S, "both links of r")
        for line in relay.with_config("peers").splitlines():
            self.say("   " + escaped(line))

    def _ping(self) -> None:
        target = self.nodes["b"].address
        self.say(f"\n[b]5. ping[/b] from a to b, through r: `ping {target}`")
        machine = self.nodes["a"].machine
        took = timed(
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
        self.say(f"\n[b]6. A file of {FILE_BYTES // 10**6} MB[/b] over HTTP from b to a")
        rate, digest = fetch_file(self.nodes["b"], self.nodes["a"])
        self.facts["file_mbit_s"] = round(rate / 1e6)
        self.say(f"   {rate / 1e6:.0f} Mbit/s; SHA-256 {digest[:16]}… agrees on both sides")

    def _send_mail(self) -> None:
        other = "stock OpenSMTPD" if demo_mail.has_stock_server() else "our mail node"
        self.say(f"\n[b]7. A mail and its answer[/b]: our mail node on a, {other} on b")
        self.facts |= demo_mail.send_and_answer(self.nodes["a"], self.nodes["b"], self.say)

    def _call(self) -> None:
        self.say("\n[b]8. A text, a call, a voicemail[/b]: `dexmesh text`, `call` and `phone`")
        self.facts |= demo_call.text_and_call(self.nodes["a"], self.nodes["b"], self.say)
