"""Be a node: wire settings, data plane, control plane, admin RPC and operating system on one page.

Place     cli/up.py and cli/cjdroute.py call run(); everything else is called from here
Spec      docs/protocol/09 §3 (order), §4 (privileges), §5 (decisions and exit codes)
Keeps     what was opened is closed again, however the node ends; READY is said when the address
          is on the TUN and the links are being called
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Protocol

from dexmesh.admin.endpoint import AdminEndpoint
from dexmesh.admin.services import NodeServices
from dexmesh.config.settings import Settings, TunKind, UdpInterfaceSettings
from dexmesh.engine import _native
from dexmesh.engine.door import EngineDoor
from dexmesh.engine.messages import InterfaceNumber
from dexmesh.errors import HostError, UsageError
from dexmesh.host.admin import open_admin
from dexmesh.host.answers import Answers
from dexmesh.host.beacons import LanBeacons, open_beacon_socket
from dexmesh.host.device import TunDevice
from dexmesh.host.logs import TextFormatter, send_logs_to, set_up_logging
from dexmesh.host.names import NamedPeers, PeerByName
from dexmesh.host.netlink import NetworkWatch
from dexmesh.host.privileges import account_to_become, drop_privileges
from dexmesh.host.pump import Pump
from dexmesh.host.reports import Reports
from dexmesh.host.services import HostServices
from dexmesh.host.systemd import notify
from dexmesh.host.underlay import UnderlaySocket, open_udp
from dexmesh.mesh.credentials import CredentialRefusedError
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.node import Node, NodeOptions
from dexmesh.mesh.notices import Notice, SendBeacon
from dexmesh.values import dataclass
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import encode_key

WATCH_S = 1.0

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Somebody who looks at the running node once a second (cli/panel.py); also a log handler."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def update(self, node: NodeServices) -> None: ...


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. `ready` is called once when the node can be used."""

    foreground: bool = True
    ready: Callable[[], None] | None = None
    watcher: Watcher | None = None


def run(settings: Settings, options: RunOptions) -> int:
    """Be a node until SIGINT, SIGTERM, SIGHUP or Core_exit; the exit code.

    Raises HostError (with a hint) for what the operating system refuses at the start.
    """
    set_up_logging(settings.logging, sys.stdout if settings.logging.to_stdout else None)
    if isinstance(options.watcher, logging.Handler):
        options.watcher.setFormatter(TextFormatter())
        send_logs_to(options.watcher)
    try:
        return asyncio.run(Daemon(settings, options).run())
    except* HostError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[HostError]) -> HostError:
    """The first error of a task group, without the group around it."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class Daemon:
    """One node in one process."""

    def __init__(self, settings: Settings, options: RunOptions) -> None:
        self._settings = settings
        self._options = options
        self._stop = asyncio.Event()
        self._exit_code = 0
        self._repairs: asyncio.TaskGroup
        self._answers = Answers()
        self._reports = Reports(time.monotonic())
        self._runner = _native.Runner(bytes(settings.private_key), os.urandom(32))
        self._door = EngineDoor(self._runner)
        self._node = Node(Identity(settings.public_key), NodeOptions(), random.SystemRandom())
        self._pump = Pump(self._node, self._door, self._runner, self._hear, self._handle_faults)
        self._tun = TunDevice(self._runner, settings.address)
        self._services = HostServices(
            self._node, self._door, self._runner, self._answers, self._stop.set
        )
        self._services.pump, self._services.tun = self._pump, self._tun
        self._beacons = LanBeacons(self._node.beacons, self._pump.run, lambda: self._tun.name)
        self._services.beacons = self._beacons
        self._admin: AdminEndpoint | None = None
        self._watch = NetworkWatch(self._handle_network_changed)

    async def run(self) -> int:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asked not to be ended
                loop.add_signal_handler(number, self._stop.set)
        async with asyncio.TaskGroup() as tasks:
            self._repairs = tasks
            self._services.names = NamedPeers(self._services, tasks)
            try:
                await self._start()
                await self._serve()
            finally:
                await self._close()
        return self._exit_code

    # --- Start --------------------------------------------------------------------------------------

    async def _start(self) -> None:
        settings = self._settings
        account_to_become(settings.security.user)  # refused before the network hears of us
        self._pump.start()
        self._add_passwords()
        self._admin = await open_admin(
            settings.admin, self._services, with_log_stream=not settings.logging.to_stdout
        )
        for interface in settings.udp_interfaces:
            self._open_interface(interface)
        await self._start_tun()
        self._give_up_privileges()
        self._watch.start()
        self._pump.run()
        log.info(
            "the node is up",
            extra={
                "address": format_address(settings.address),
                "key": encode_key(settings.public_key),
            },
        )
        notify("READY=1", f"STATUS={format_address(settings.address)}")
        if self._options.ready is not None:
            self._options.ready()

    def _add_passwords(self) -> None:
        for entry in self._settings.authorized_passwords:
            user = None if entry.user is None else entry.user.decode(errors="replace")
            try:
                self._node.credentials.add(entry.password, user, entry.address)
            except CredentialRefusedError as error:
                raise HostError(
                    f"the credential of {user!r} was refused: {error.reason}"
                ) from error

    def _open_interface(self, interface: UdpInterfaceSettings) -> None:
        opened = open_udp(interface.bind_host, interface.bind_port, interface.dscp)
        view = self._services.attach(opened)
        log.info("listening for links", extra={"interface": view.name})
        if interface.beacon and interface.beacon_port is not None:
            self._open_beacons(view.interface, opened, interface, interface.beacon_port)
        for peer in interface.connect_to:
            self._services.call(
                PeerByName(
                    interface=view.interface,
                    is_ipv6=opened.is_ipv6,
                    host=peer.host,
                    port=peer.port,
                    key=peer.public_key,
                    password=peer.password,
                    login=None if peer.login is None else peer.login.decode(errors="replace"),
                    peer_name=peer.peer_name,
                )
            )

    def _open_beacons(
        self,
        number: InterfaceNumber,
        opened: UnderlaySocket,
        interface: UdpInterfaceSettings,
        port: int,
    ) -> None:
        """A node that cannot find nodes by itself still has the peers it was given."""
        try:
            beacons = open_beacon_socket(opened, port, interface.dscp)
        except HostError as error:
            log.error("no beacons", extra={"reason": str(error), "hint": error.hint})
            return
        self._beacons.attach(number, beacons)
        self._beacons.set_devices(number, interface.beacon_devices)
        self._beacons.set_state(number, interface.beacon)

    async def _start_tun(self) -> None:
        """As in the original, a TUN that cannot be made is no reason not to relay for others."""
        tun = self._settings.tun
        if tun.kind is TunKind.SOCKET:
            raise HostError("SocketInterface is not supported yet", "use TUNInterface")
        if tun.kind is TunKind.NONE:
            return
        try:
            await self._tun.start(tun.device)
        except HostError as error:
            log.error(
                "no TUN: this machine has no mesh address",
                extra={"reason": str(error), "hint": error.hint},
            )

    def _give_up_privileges(self) -> None:
        security = self._settings.security
        for name, asked in (("nofiles", security.nofiles), ("chroot", security.chroot)):
            if asked:
                log.debug("security step not done, see docs/decisions/0004", extra={"step": name})
        self._tun.keep_spares()
        drop_privileges(security.user, security.keep_net_admin)
        self._runner.give_up_rights()

    # --- Serve --------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        watcher = self._options.watcher
        if watcher is None:
            await self._stop.wait()
            return
        watcher.start()
        try:
            while not self._stop.is_set():
                watcher.update(self._services)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_S):
                        await self._stop.wait()
        finally:
            watcher.stop()

    def _hear(self, notice: Notice) -> None:
        if isinstance(notice, SendBeacon):
            self._beacons.send(notice)
        self._answers.handle_notice(notice)
        self._reports.report(notice, asyncio.get_running_loop().time())

    def _handle_faults(self) -> None:
        """Something of the data plane stopped working by itself."""
        for kind, interface, reason in self._runner.take_faults():
            log.error("the data plane lost something", extra={"what": kind, "reason": reason})
            if kind == "thread ended":
                self._exit_code = 1
                self._stop.set()
            elif kind == "tun gone":
                self._repairs.create_task(self._tun.repair(self._settings.tun.device))
            elif interface is not None:
                self._services.reopen(InterfaceNumber(interface))

    def _handle_network_changed(self) -> None:
        log.debug("the network of this machine changed")
        self._node.handle_network_changed(asyncio.get_running_loop().time())
        self._services.names.handle_network_changed()
        self._pump.run()

    # --- Stop ---------------------------------------------------------------------------------------

    async def _close(self) -> None:
        notify("STOPPING=1")
        self._services.names.stop()
        self._watch.stop()
        if self._admin is not None:
            await self._admin.close()
        with contextlib.suppress(UsageError):
            self._pump.stop()
        self._services.detach_all()
        self._tun.close()
        self._runner.stop()
        log.info("the node is down")
