"""Receive mail with our mail node and with OpenSMTPD, in turns, and print the ratio: `make bench-mail`.

Place     `python -m bench.mail` -> bench/lab/smtp_load.py in one machine, the receivers in the other
Spec      issue 4 "Load": at least 300 small mails a second over 20 connections, each on disk before its 250
Keeps     both receivers get the same mails over the same cable; every accepted mail is counted on disk
Not here  the queue under load (tests/netns), the store alone (bench/mail_store.py)
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dexmesh.cli.lab import USER, Lab, Machine, wait_until
from dexmesh.errors import HostError
from dexmesh.values import dataclass
from dexmesh.wire.address import format_padded, parse_address

SOURCES = 4  # an address may have ten connections
CONNECTIONS = 20
BODY_BYTES = 1000
TARGET_PER_S = 300.0
_SMTPD = "/usr/sbin/smtpd"
_PYTHON = (sys.executable, "-m", "dexmesh")
_LISTEN = """
import socket, sys
with socket.create_connection((sys.argv[1], 25), 10) as called:
    print(called.makefile().readline())
    called.sendall(b"QUIT\\r\\n")
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """A key that no node of this bench runs: addresses are put on the cable by hand."""

    config: Path
    address: str


@dataclass(frozen=True, slots=True)
class Bench:
    """Two machines and a cable that carries mesh addresses."""

    sender: Machine
    receiver: Machine
    sources: tuple[Identity, ...]
    me: Identity

    def measure(self, mails: int) -> float:
        """Mails accepted in a second."""
        load = {
            "host": self.me.address,
            "recipient": f"{USER}@[IPv6:{format_padded(parse_address(self.me.address))}]",
            "sources": [one.address for one in self.sources],
            "connections": CONNECTIONS,
            "mails": mails,
            "body_bytes": BODY_BYTES,
        }
        argv = [sys.executable, "-m", "bench.lab.smtp_load", json.dumps(load)]
        said = self.sender.run(argv, timeout_s=300, env={"PYTHONPATH": str(Path.cwd())})
        return mails / float(json.loads(said.stdout)["seconds"])


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 if mail was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.mail", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--mails", type=int, default=3000, help="mails a round (3000)")
    parser.add_argument("--json", action="store_true", help="print an object")
    options = parser.parse_args(arguments)
    rates: dict[str, list[float]] = {"dexmesh": [], "OpenSMTPD": []}
    for number in range(options.rounds):
        for name, start in (("dexmesh", start_ours), ("OpenSMTPD", start_opensmtpd)):
            print(
                f"round {number + 1} of {options.rounds}: {name} ...", file=sys.stderr, flush=True
            )
            rates[name].append(_measure(name, start, options.mails))
            print(f"  {rates[name][-1]:.0f} mails/s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["dexmesh"] / medians["OpenSMTPD"]
    if options.json:
        print(json.dumps({"rates": rates, "medians": medians, "ratio": ratio}))
        return 0
    verdict = "met" if medians["dexmesh"] >= TARGET_PER_S else "MISSED"
    print(
        f"small mails accepted and on disk, {CONNECTIONS} connections, median of {options.rounds}:\n"
        f"  dexmesh {medians['dexmesh']:.0f}/s, OpenSMTPD {medians['OpenSMTPD']:.0f}/s, "
        f"ratio {ratio:.2f}; target >= {TARGET_PER_S:.0f}/s: {verdict}"
    )
    return 0


def _measure(name: str, start: Callable[[Bench], Path], mails: int) -> float:
    with Lab("dexmesh-bench") as lab:
        bench = build(lab)
        box = start(bench)
        wait_until(lambda: _greets(bench), 60, f"{name} to greet")
        try:
            rate = bench.measure(mails)
        except HostError as error:
            logs = "".join(bench.receiver.log(log)[-2000:] for log in ("mail.log", "smtpd.log"))
            raise HostError(f"{name}: {error}\n{logs}") from None
        wait_until(lambda: _count(bench.receiver, box) == mails, 120, f"{mails} mails in {box}")
        return rate


def build(lab: Lab) -> Bench:
    """The machines, with their mesh addresses on the cable."""
    sender, receiver = lab.machine("sender"), lab.machine("receiver")
    lab.cable(sender, receiver)
    sources = tuple(_identity(sender, "to-receiver") for _ in range(SOURCES))
    return Bench(sender, receiver, sources, _identity(receiver, "to-sender"))


def _identity(machine: Machine, device: str) -> Identity:
    """A fresh configuration, whose address is put on the cable."""
    config = machine.folder / f"{secrets.token_hex(4)}.conf"
    machine.run([*_PYTHON, "config", "new", str(config)])
    said = machine.run([*_PYTHON, "address", "--config", str(config), "--json"]).stdout
    forms = json.loads(said)
    machine.run(["ip", "addr", "add", f"{forms['address']}/8", "dev", device, "nodad"])
    return Identity(config, forms["address"])


def start_ours(bench: Bench) -> Path:
    """Our mail node on the receiver, which knows all senders."""
    machine = bench.receiver
    home = Path(f"/home/{USER}/mesh")
    at_home = ("--home", str(home))
    machine.run(
        [*_PYTHON, "mail", "on", "--account", USER, "--config", str(bench.me.config), *at_home]
    )
    for number, source in enumerate(bench.sources):
        address = f"{USER}@[IPv6:{source.address}]"
        machine.run([*_PYTHON, "contact", "add", f"sender{number}", address, *at_home])
    machine.start(
        [*_PYTHON, "mail", "serve", "--config", str(bench.me.config), *at_home], log="mail.log"
    )
    return home / "mail" / "users" / USER / "Maildir"


def start_opensmtpd(bench: Bench) -> Path:
    """OpenSMTPD on the receiver, delivering into a Maildir as well."""
    machine, padded = bench.receiver, format_padded(parse_address(bench.me.address))
    config = machine.folder / "smtpd.conf"
    config.write_text(
        f"""table me {{ "[IPv6:{padded}]" }}
listen on {padded} hostname "[IPv6:{padded}]"
action "local" maildir "/home/{USER}/Maildir"
match from src "fc00::/8" for domain <me> action "local"
"""
    )
    machine.start([_SMTPD, "-d", "-f", str(config)], log="smtpd.log")
    return Path(f"/home/{USER}/Maildir")


def _greets(bench: Bench) -> bool:
    """Whether it says 220: a port may be open long before its program serves it."""
    asked = bench.sender.run([sys.executable, "-c", _LISTEN, bench.me.address], check=False)
    return asked.stdout.startswith("220")


def _count(machine: Machine, box: Path) -> int:
    command = f"find {box}/new {box}/cur -type f 2>/dev/null | wc -l"
    return int(machine.run(["sh", "-c", command], check=False).stdout or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
