"""Tell systemd-resolved to ask us for names of the mesh, on the TUN device, for as long as we run.

Place     cli/mail_serve.py (as root, around the supervisor) -> here -> resolvectl
Spec      docs/apps/mail.md §2; resolvectl(1), systemd-resolved.service(8) "routing domains";
          a server on a loopback address works for a link since systemd 248 (tried with 252)
Keeps     resolv.conf is never touched; a link somebody else gave a server is left alone; what was
          set is taken back at the end; done again when the device or systemd-resolved starts anew
Not here  machines without systemd-resolved (advice.py); the answers (server.py)
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from dexmesh.apps.base.settings import NamesSettings
from dexmesh.apps.names.zones import Zone
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

CHECK_S = 5.0  # ours
PROGRAM_S = 10.0  # ours: resolvectl waits for D-Bus
SOCKET = "/run/systemd/resolve/io.systemd.Resolve"
LINKS = Path("/run/systemd/resolve/netif")  # what systemd-resolved keeps of each link
ADDRESSES = Path("/proc/net/if_inet6")

_PR_SET_PDEATHSIG = 1
_TENTATIVE = 0x40
_IFF_UP = 1

State: TypeAlias = tuple[object, ...]
"""Equal as long as nothing happened that takes our registration away."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """The network device that carries our mesh address."""

    name: str
    index: int


def device_of(address: Address) -> Device | None:
    """The device with this address, if it is up and the address can be used."""
    try:
        lines = ADDRESSES.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        is_usable = len(fields) == 6 and not int(fields[4], 16) & _TENTATIVE
        if is_usable and bytes.fromhex(fields[0]) == address and _is_up(fields[5]):
            return Device(fields[5], int(fields[1], 16))
    return None


def _is_up(device: str) -> bool:
    try:
        flags = Path(f"/sys/class/net/{device}/flags").read_text(encoding="ascii")
    except OSError:
        return True  # no sysfs here: the address being there has to do
    return bool(int(flags, 16) & _IFF_UP)


def is_resolved_running() -> bool:
    """Whether systemd-resolved takes calls on this machine."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        sock.connect(SOCKET)
        return True
    return False


def server_text(host: str, port: int) -> str:
    """Our resolver as resolvectl writes it: `127.0.0.67`, `127.0.0.67:5353`, `[::1]:5353`."""
    if port == 53:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def commands(device: str, host: str, port: int) -> tuple[tuple[str, ...], ...]:
    """What to run, in this order: the server comes last, so that it is never asked for other names."""
    domains = tuple(f"~{zone.text}" for zone in Zone)
    return (
        ("resolvectl", "domain", device, *domains),
        ("resolvectl", "default-route", device, "no"),
        ("resolvectl", "dnssec", device, "no"),  # nobody signs what is computed
        ("resolvectl", "dnsovertls", device, "no"),
        ("resolvectl", "llmnr", device, "no"),  # a link to the whole mesh is no local network
        ("resolvectl", "mdns", device, "no"),
        ("resolvectl", "dns", device, server_text(host, port)),
    )


def undo_command(device: str) -> tuple[str, ...]:
    """What takes it back."""
    return ("resolvectl", "revert", device)


def servers_in(said: str) -> tuple[str, ...]:
    """The servers in what `resolvectl dns DEVICE` prints: `Link 2 (tun0): 127.0.0.67`."""
    return tuple(said.partition("): ")[2].split())


def current_servers(device: str) -> tuple[str, ...]:
    """The servers a link has now. Raises OSError or subprocess errors when nobody can tell."""
    return servers_in(_run(("resolvectl", "dns", device)))


class Registration:
    """Keeps one resolver registered. `check` is to be called every few seconds."""

    def __init__(self, address: Address, host: str, port: int) -> None:
        self._address = address
        self._host = host
        self._port = port
        self._done: tuple[Device, State] | None = None
        self._last_word = ""

    def check(self) -> None:
        """Register where that is not so yet, or no more. Never raises."""
        device = device_of(self._address)
        if device is None or not is_resolved_running():
            self._done = None
            return
        if self._done == (device, _state_of(device)):
            return
        try:
            self._register(device)
        except (OSError, subprocess.SubprocessError) as error:
            self._say_once(f"systemd-resolved does not take our names: {error}")

    def undo(self) -> None:
        """Take back what was set. Never raises."""
        if self._done is None:
            return
        device = self._done[0]
        self._done = None
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if current_servers(device.name) == (self._server,):
                _run(undo_command(device.name))

    @property
    def _server(self) -> str:
        return server_text(self._host, self._port)

    def _register(self, device: Device) -> None:
        servers = current_servers(device.name)
        if servers not in ((), (self._server,)):
            self._say_once(f"{device.name} has name servers of somebody else: they stay")
            self._done = None
            return
        for command in commands(device.name, self._host, self._port):
            _run(command)
        self._done = (device, _state_of(device))
        log.info("systemd-resolved asks us for names of the mesh", extra={"device": device.name})

    def _say_once(self, text: str) -> None:
        if text != self._last_word:
            self._last_word = text
            log.warning(text)


def _state_of(device: Device) -> State:
    """Changes when systemd-resolved starts anew, and when somebody changes the link in it."""
    found: list[object] = [device]
    for path in (Path(SOCKET), LINKS / str(device.index)):
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def _run(command: Sequence[str]) -> str:
    """Run a program; what it printed. Raises OSError, subprocess.SubprocessError."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PROGRAM_S,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()[:200]
        raise OSError(f"`{' '.join(command)}` failed: {reason or done.returncode}")
    return done.stdout.decode(errors="replace")


# --- A process of its own, which may do this while the worker may not -------------------------------


@contextlib.contextmanager
def registering(address: Address, settings: NamesSettings) -> Iterator[None]:
    """Keep the resolver registered while the body runs, where that is possible at all.

    To be entered as root, before any thread or socket of ours exists: it forks.
    """
    is_possible = os.geteuid() == 0 and shutil.which("resolvectl") is not None
    if not settings.is_on or not is_possible:
        yield
        return
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _register_for_ever(parent, Registration(address, settings.host, settings.port))
    try:
        yield
    finally:
        if os.getpid() == parent:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)


def _register_for_ever(parent: int, registration: Registration) -> NoReturn:
    """The child: checks until it is told to end, or its parent is gone."""
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        while os.getppid() == parent:
            registration.check()
            if signal.sigtimedwait(ending, CHECK_S) is not None:
                break
        registration.undo()
        code = 0
    except BaseException:  # noqa: BLE001 the last word of this process
        traceback.print_exc()
    finally:
        os._exit(code)
