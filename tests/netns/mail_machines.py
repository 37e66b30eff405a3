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

_COMES_UP = {"mail": "mail is served users=", "phone": "calls and texts are served"}
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
        """Start the service and wait until it says that it serves."""
        lives = self.lives("mail") + self.lives("phone")
        options = ["--home", str(self.home), "--config", str(self.config)]
        argv = [*DEXMESH, "mail", "serve", *options]
        running = self.machine.start(argv, log="mail.log")
        try:
            wait_until(
                lambda: self.lives("mail") + self.lives("phone") > lives, 20, "the mail service"
            )
        except HostError as error:
            raise AssertionError(f"{error}\n{self.machine.log('mail.log')}") from None
        return running

    def lives(self, of: str) -> int:
        """How many workers have come up so far with mail, or with the phone."""
        return self.machine.log("mail.log").count(_COMES_UP[of])

    def is_serving(self) -> bool:
        """Whether the worker answers."""
        status = [*DEXMESH, "mail", "status", "--json", "--home", str(self.home)]
        return self.machine.run(status, check=False).returncode == 0

    def worker(self) -> int | None:
        """The process that does the work, as the host numbers it; None between two lives."""
        network = Path(f"/proc/{self.machine.pid}/ns/net").readlink()
        with os.scandir("/proc") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # it ended meanwhile
                    is_his = entry.name.isdigit() and entry.stat().st_uid == USER_ID  # few are
                    process = Path(entry.path)
                    if is_his and (process / "ns/net").readlink() == network and _works(process):
                        return int(entry.name)
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


def _works(process: Path) -> bool:
    """Whether this is a service whose parent is one as well, its supervisor."""
    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
    return all(
        b"mail\0serve" in (one / "cmdline").read_bytes() for one in (process, Path("/proc", parent))
    )
