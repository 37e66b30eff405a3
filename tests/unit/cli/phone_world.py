"""Two phones of two nodes in one process: the real service behind real control sockets, no network.

Signalling goes from one service to the other in memory; the sound of seats goes over the loopback, as
`LoopSeat` brings it there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from dexmesh.apps.base.carrier import QueuedText
from dexmesh.apps.base.control import ControlClient, ControlServer, Users
from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import (
    AppSettings,
    MailSettings,
    PhoneSettings,
    UserSettings,
    save_settings,
)
from dexmesh.apps.call import control_calls
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.people import Acquaintances, Inhabitants
from dexmesh.apps.call.preferences import Preferences
from dexmesh.apps.call.seat.seat import Seat
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.store.history import History
from dexmesh.apps.call.texting import Texting
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import Contact
from dexmesh.apps.mail.queue import MailQueue
from dexmesh.apps.mail.texting import TextDelivery
from dexmesh.cli.call_line import Line, SeatedLine, sit
from dexmesh.cli.call_show import Story
from dexmesh.cli.call_sound import Wishes
from dexmesh.cli.inbox import Commander, Inbox, Key, Quit
from dexmesh.cli.phone_seat import DeskPhone
from dexmesh.wire.address import Address, format_address
from dexmesh.wire.keys import PublicKey
from tests.unit.apps.call.seat.ports import port_range
from tests.unit.config.samples import node_key

T = TypeVar("T")
SILENT = Wishes(is_silent=True)
PORTS = port_range(27_400, 40)
LOOPBACK = Address(socket.inet_pton(socket.AF_INET6, "::1"))


class LoopSeat(Seat):
    """A seat whose sound stays on this machine."""

    def __init__(self, _host: str, *arguments: Any, **options: Any) -> None:
        super().__init__("::1", *arguments, **options)

    def start(self, plan: MediaPlan) -> None:
        super().start(dataclasses.replace(plan, remote=LOOPBACK))


class PhoneNode:
    """One node: its home, its phone, its control socket."""

    def __init__(self, world: PhoneWorld, folder: Path, key: PublicKey, *users: str) -> None:
        self.world, self.home, self.me = world, Home(folder), Me.of(key)
        folder.mkdir(parents=True)
        self.settings = AppSettings(
            key,
            MailSettings(users=tuple(map(UserSettings, users))),
            phone=PhoneSettings(is_on=True, media_ports=(PORTS[0], PORTS[-2]), has_voicemail=False),
        )
        save_settings(self.home, self.settings)
        self.book = AddressBook(self.home.contacts)
        self.is_online = True
        self.mailed: list[str] = []
        self.signs: list[Address] = []  # of life, told to the mail
        self.history = History(folder / "phone")

    async def start(self) -> None:
        await self.history.open()
        self.service = PhoneService(
            *(self.me, self.settings),
            Acquaintances(self.me, self.book, lambda _address: False),
            Inhabitants(self.settings.mail),
            self.history,
            Preferences(self.home.path / "phone" / "users.json", self.settings.phone),
            self.signs.append,
        )
        self.service._transport.send = self._send  # type: ignore[method-assign]
        self.queue = MailQueue(self.home, self.world.executor)
        await self.queue.open()
        self.delivery = TextDelivery(self.queue.texts)
        texting = Texting(self.service, self.queue.texts, self._mail)
        self.delivery.take_carrier(texting)
        self.tasks = [
            asyncio.ensure_future(self.delivery.run()),
            asyncio.ensure_future(self.service.write()),
        ]
        self.server = ControlServer(Users(self.settings.mail, os.geteuid()))
        control_calls.register(self.server, self.service, texting, self.book)
        await self.server.start(self.home.control_socket)

    async def close(self) -> None:
        await self.server.close()
        await self.service.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.queue.close()
        await self.history.close()

    async def _mail(self, _user: str, text: QueuedText) -> None:
        self.mailed.append(text.body)

    def _send(self, peer: Peer, data: bytes) -> None:
        other = self.world.at(peer.address)
        loop = asyncio.get_running_loop()
        if other is None or not other.is_online or not self.is_online:
            loop.call_soon(self.service._fail, peer, time.monotonic())
        else:
            source = Peer(self.me.address, 5060, is_tcp=peer.is_tcp)
            loop.call_soon(lambda: other.service._take(data, source, time.monotonic()))

    def client(self, user: str | None = None) -> ControlClient:
        return ControlClient(self.home.control_socket, user, 20, "phone")

    def knows(self, other: PhoneNode, petname: str, user: str) -> None:
        """The other one is in the address book."""
        self.book.add(Contact(petname, "", (Mailbox(user, literal(other.me.address)),)))


class Told:
    """A `Show` for tests: what was told, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.words: list[str] = []
        self._news = threading.Condition()

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        with self._news:
            self.events.append(event)
            self.words += [words] if words else []
            self._news.notify_all()

    def draw(self, story: Story, now: float) -> None:
        pass

    def rest(self) -> None:
        pass

    def wait_for(self, name: str, **facts: Any) -> Mapping[str, Any]:
        """The event of that name, with those facts, when it came."""
        with self._news:
            assert self._news.wait_for(lambda: self._find(name, facts) is not None, 20), self.events
            return self._find(name, facts) or {}

    def _find(self, name: str, facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for event in self.events:
            if event["event"] == name and facts.items() <= event.items():
                return event
        return None


class Person:
    """Somebody at a node, with a program of the phone in a thread."""

    def __init__(self, node: PhoneNode, codecs: tuple[str, ...] = ("PCMU",)) -> None:
        self.inbox, self.told = Inbox(), Told()
        self.line = Line(
            *(node.client, self.inbox, Commander(node.client(), self.inbox), self.told),
            *(format_address(node.me.address), PORTS, codecs, True),
        )
        self.desk: DeskPhone | None = None

    @contextlib.contextmanager
    def at_desk(self, *, answers: bool = False, wishes: Wishes = SILENT) -> Iterator[Told]:
        """`dexmesh phone` runs meanwhile."""
        self.desk = DeskPhone(self.line, wishes, answers_itself=answers)
        with self._running(self.desk.run):
            self.told.wait_for("attached")
            yield self.told

    @contextlib.contextmanager
    def calling(self, name: str, wishes: Wishes = SILENT) -> Iterator[Told]:
        """`dexmesh call` runs meanwhile."""
        seated = SeatedLine(self.line, wishes, Story(name, name))
        seated.begin("call.dial", to=name)
        with self._running(lambda: sit(self.line, seated)):
            yield self.told

    def press(self, keys: str) -> None:
        """Press keys, in the program that runs."""
        for char in keys:
            self.inbox.put(Key(char))

    def hang_up_and_leave(self) -> None:
        """End the program, as a signal does."""
        self.inbox.put(Quit(15))

    @contextlib.contextmanager
    def _running(self, work: Callable[[], object]) -> Iterator[None]:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.hang_up_and_leave()
            thread.join(20)
            self.line.commander.close()
            assert not thread.is_alive()


class PhoneWorld:
    """alice and bob, who know each other; each may have more people at home."""

    def __init__(self, folder: Path) -> None:
        self.executor = ThreadPoolExecutor(4)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.alice = PhoneNode(self, folder / "alice", node_key(1)[1], "alice")
        self.bob = PhoneNode(self, folder / "bob", node_key(2)[1], "bob", "ben")
        self.nodes = (self.alice, self.bob)
        for node in self.nodes:
            self.do(node.start())
        self.alice.knows(self.bob, "bob", "bob")
        self.bob.knows(self.alice, "alice", "alice")

    def at(self, address: Address) -> PhoneNode | None:
        return next((node for node in self.nodes if node.me.address == address), None)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this in the loop of the services."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        for node in self.nodes:
            self.do(node.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self.executor.shutdown()
