"""Two machines on a cable that carries mesh addresses, with our mail node on them and no mesh node.

    a (stuart) ---- cable with fc00::/8 ---- b (stuart)

Mail programs see only addresses: whether a TUN or a cable carries them is all the same to them. Tests
that are about mail alone are quicker and steadier this way.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from dexmesh.cli.lab import USER, USER_ID, Lab, Machine, wait_until
from dexmesh.config.files import write_secret_file
from dexmesh.config.generate import generate
from dexmesh.config.reader import load_settings
from dexmesh.engine.keys import public_key_of
from dexmesh.errors import HostError
from dexmesh.values import dataclass
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import encode_key

DEXMESH = (sys.executable, "-m", "dexmesh")


@dataclass(slots=True)
class MailMachine:
    """A machine with a key whose address is on its cable, and a home for mail."""

    machine: Machine
    config: Path
    key: str
    address: str
    home: Path

    @property
    def mailbox(self) -> str:
        """The person on it."""
        return f"{USER}@[IPv6:{self.address}]"

    @property
    def maildir(self) -> Path:
        """Where the mail is, as seen from inside the machine."""
        return self.home / "mail" / "users" / USER / "Maildir"

    def dexmesh(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a `dexmesh` command on this machine's home."""
        argv = [*DEXMESH, *arguments, "--home", str(self.home)]
        return self.machine.run(argv, check=check, stdin=stdin).stdout

    def switch_on(self, *options: str) -> None:
        """`dexmesh mail on`, for stuart."""
        self.dexmesh("mail", "on", "--account", USER, "--config", str(self.config), *options)

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the service and wait until it answers."""
        options = ["--home", str(self.home), "--config", str(self.config)]
        argv = [*DEXMESH, "mail", "serve", *options]
        running = self.machine.start(argv, log="mail.log")
        try:
            wait_until(self.is_serving, 20, "the mail service")
        except HostError as error:
            raise AssertionError(f"{error}\n{self.machine.log('mail.log')}") from None
        return running

    def is_serving(self) -> bool:
        """Whether the worker answers."""
        status = [*DEXMESH, "mail", "status", "--json", "--home", str(self.home)]
        return self.machine.run(status, check=False).returncode == 0

    def worker(self) -> int | None:
        """The process that does the work, as the host numbers it; None between two lives."""
        ours = _processes_in(self.machine)
        for pid, parent in ours.items():
            with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
                if parent in ours and Path(f"/proc/{pid}").stat().st_uid == USER_ID:
                    return pid
        return None


def mail_machines(lab: Lab) -> tuple[MailMachine, MailMachine]:
    """a and b, not switched on yet."""
    left, right = lab.machine("a"), lab.machine("b")
    lab.cable(left, right)
    return _mail_machine(left, "to-b"), _mail_machine(right, "to-a")


def _mail_machine(machine: Machine, device: str) -> MailMachine:
    config = machine.folder / "cjdroute.conf"
    text = generate(os.urandom, public_key_of)  # `dexmesh config new`, without a process
    write_secret_file(config, text)
    settings = load_settings(text.encode(), str(config)).settings
    address = format_address(settings.address)
    machine.run(["ip", "addr", "add", f"{address}/8", "dev", device, "nodad"])
    home = Path(f"/home/{USER}/mesh")
    return MailMachine(machine, config, encode_key(settings.public_key), address, home)


def _processes_in(machine: Machine) -> dict[int, int]:
    """pid -> parent of the `mail serve` processes in the machine's network, by the host's numbers."""
    network = Path(f"/proc/{machine.pid}/ns/net").readlink()
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/net").readlink() == network:
                pid = int(entry.name)
                if "mail serve" in _command_of(pid):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[pid] = int(fields[1])
        except OSError:
            continue
    return found


def _command_of(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""
