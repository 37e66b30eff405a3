"""Build small machines inside this one: each with its own network, host name, users and mail spool.

Place     cli/demo.py and tests/netns use it
Spec      unshare(1), nsenter(1), veth(4)
Keeps     everything a machine runs dies with it, and it dies with us; the host's network, users and
          spool are never touched
Not here  what runs in the machines
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from dexmesh.errors import HostError

USER = "stuart"  # every machine has this person
USER_ID = 6800
_WAIT_STEP_S = 0.05
_HOLDER = (
    "setpriv --pdeathsig KILL "  # even if we are killed
    "unshare --fork --pid --mount-proc --net --mount --uts --kill-child --propagation private --"
)

# What a fresh machine does before anything runs in it. $1 is its name, $2 its folder.
_BOOT = r"""
set -e
hostname "$1"
ip link set lo up
for place in /run /var/spool /var/mail /home /mnt; do
    [ -d "$place" ] && mount -t tmpfs -o mode=755 tmpfs "$place"
done
mkdir -p /run/lock /home/stuart /var/spool/smtpd
chmod 711 /var/spool/smtpd
chmod 1777 /var/mail
chown 6800:6800 /home/stuart 2>/dev/null || true
for file in passwd group hosts resolv.conf aliases; do
    [ -e "/etc/$file" ] || continue
    mount --bind "$2/etc/$file" "/etc/$file"
done
echo ready > "$2/ready"
exec sleep infinity
"""


class Machine:
    """One small machine. `folder` is its scratch place on the host, seen at the same path inside."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._people = {USER: USER_ID}
        self._write_etc()
        self._holder = subprocess.Popen(
            [*_HOLDER.split(), "sh", "-c", _BOOT, "boot", name, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "boot.log").open("wb"),
            start_new_session=True,
        )
        self.pid = self._wait_booted()

    def _write_etc(self) -> None:
        etc = self.folder / "etc"
        etc.mkdir(parents=True)
        passwd = Path("/etc/passwd").read_text(encoding="utf-8")
        group = Path("/etc/group").read_text(encoding="utf-8")
        (etc / "passwd").write_text(
            passwd + f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/sh\n"
        )
        (etc / "group").write_text(group + f"{USER}:x:{USER_ID}:\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost\n")
        (etc / "resolv.conf").write_text("# no name server: the mesh needs none\n")
        (etc / "aliases").write_text(f"root: {USER}\n")

    def _wait_booted(self) -> int:
        wait_until(
            lambda: (self.folder / "ready").exists() or self._holder.poll() is not None,
            10,
            f"machine {self.name} to boot",
        )
        children = f"/proc/{self._holder.pid}/task/{self._holder.pid}/children"
        try:
            return int(Path(children).read_text(encoding="ascii").split()[0])
        except (OSError, IndexError, ValueError):
            reason = (self.folder / "boot.log").read_text(errors="replace").strip()
            raise HostError(
                f"cannot make the machine {self.name}: {reason or 'it ended at once'}",
                "namespaces are needed: run as root, or see `make test` about user namespaces",
            ) from None

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as a command line that runs inside this machine."""
        return ["nsenter", "-t", str(self.pid), "--net", "--mount", "--uts", "--pid", "--", *argv]

    def add_person(self, name: str) -> None:
        """Let somebody else live here, too, with a home."""
        number = self._people[name] = USER_ID + len(self._people)
        etc = self.folder / "etc"
        with (etc / "passwd").open("a") as passwd, (etc / "group").open("a") as group:
            passwd.write(f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n")
            group.write(f"{name}:x:{number}:\n")
        self.run(["install", "-d", "-o", name, "-g", name, f"/home/{name}"])

    def as_person(self, argv: Sequence[str], name: str = USER) -> list[str]:
        """`argv` as somebody who lives here runs it."""
        number = self._people[name]
        rights = [f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        names = [f"HOME=/home/{name}", f"USER={name}", f"LOGNAME={name}", "LC_ALL=C.UTF-8"]
        return ["setpriv", *rights, "env", "-C", f"/home/{name}", *names, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout_s: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and wait for it. Raises HostError when it fails and `check` is set."""
        done = subprocess.run(
            self.command(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()) or "it said nothing"
            raise HostError(f"{self.name}: `{' '.join(argv)}` failed ({done.returncode}): {said}")
        return done

    def start(
        self,
        argv: Sequence[str],
        *,
        log: str,
        stdin: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; its output goes to `<folder>/<log>`. It dies with the machine."""
        with (self.folder / log).open("ab") as out:
            return subprocess.Popen(
                self.command(argv),
                stdin=stdin or subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """What a started program has said so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def set_link(self, device: str, is_up: bool) -> None:
        """Plug or unplug the cable at this end."""
        self.run(["ip", "link", "set", device, "up" if is_up else "down"])

    def stop(self) -> None:
        """Switch the machine off: everything in it ends."""
        if self._holder.poll() is None:
            os.killpg(self._holder.pid, signal.SIGKILL)
        self._holder.wait(10)


class Lab:
    """Some machines and the cables between them. Use as a context manager."""

    def __init__(self, prefix: str = "dexmesh") -> None:
        self._require_tools()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        self.folder.chmod(0o755)
        self.machines: dict[str, Machine] = {}
        self._cables = 0

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Switch everything off and remove every trace."""
        for machine in self.machines.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                machine.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def machine(self, name: str) -> Machine:
        """A new machine; `name` is also its host name."""
        folder = self.folder / name
        folder.mkdir()
        self.machines[name] = machine = Machine(name, folder)
        return machine

    def cable(self, left: Machine, right: Machine) -> tuple[str, str]:
        """Join two machines; returns the IPv4 addresses of both ends (10.99.N.1 and .2).

        The device at each end is called `to-<other machine>`; it also has fd99:N::1 or ::2.
        """
        self._cables += 1
        names = f"to-{right.name}", f"to-{left.name}"
        left_end = [names[0], "netns", str(left.pid)]
        right_end = [names[1], "netns", str(right.pid)]
        run_on_host(["ip", "link", "add", *left_end, "type", "veth", "peer", "name", *right_end])
        for number, (machine, device) in enumerate(zip((left, right), names, strict=True), start=1):
            for address in (
                f"10.99.{self._cables}.{number}/24",
                f"fd99:{self._cables}::{number}/64",
            ):
                extra = ["nodad"] if ":" in address else []
                machine.run(["ip", "addr", "add", address, "dev", device, *extra])
            machine.set_link(device, is_up=True)
        return f"10.99.{self._cables}.1", f"10.99.{self._cables}.2"

    @staticmethod
    def _require_tools() -> None:
        for program, package in (
            ("setpriv", "util-linux"),
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("ip", "iproute2"),
        ):
            if shutil.which(program) is None:
                raise HostError(f"{program} is missing", f"apt-get install {package}")
        if os.geteuid() != 0:
            raise HostError(
                "small machines need root (network namespaces)",
                "run it as root, or through `make demo`, which looks for another way",
            )


def run_on_host(argv: Sequence[str]) -> None:
    """Run a program outside the machines; HostError when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")


def wait_until(is_true: Callable[[], bool], limit_s: float, what: str) -> float:
    """Wait for a condition and return the seconds it took; HostError after `limit_s`."""
    start = time.monotonic()
    while not is_true():
        if time.monotonic() - start > limit_s:
            raise HostError(f"waited {limit_s:g} s for {what}")
        time.sleep(_WAIT_STEP_S)
    return time.monotonic() - start
