"""Both mail servers on loopback ports, over a store and a queue that only remember.

A client that connects from 127.0.0.N is the node fc00::N to the receiver; to the submission it is a
program of this machine.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.apps.mail.queue.rows import DsnAsked, QueueId
from dexmesh.apps.mail.receiver import MailReceiver
from dexmesh.apps.mail.serving import Limits
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, ReceivedMail
from dexmesh.apps.mail.submission import Submission
from dexmesh.errors import MailError
from dexmesh.wire.address import Address, parse_address
from dexmesh.wire.keys import PublicKey
from tests.unit.config.samples import PUBLIC

KEY: PublicKey = PUBLIC
ME = Me.of(KEY)
USERS = (UserSettings("bob"), UserSettings("alice"))
SETTINGS = MailSettings(
    is_on=True,
    users=USERS,
    aliases={"root": ("bob",), "all": ("bob", "alice")},
    host_names=("desk", "desk.example"),
    max_message_bytes=1_000_000,
)


def node(number: int) -> Address:
    """The node that connects from 127.0.0.number."""
    return parse_address(f"fc00::{number:x}")


PEER = node(2)
PEER_LITERAL = "[IPv6:fc00::2]"


def source(transport: asyncio.BaseTransport) -> Address | None:
    """127.0.0.N is fc00::N; 127.0.1.N is somebody who is not on the mesh."""
    host = transport.get_extra_info("peername")[0]
    _, _, third, last = map(int, host.split("."))
    return node(last) if third == 0 else parse_address(f"fe80::{last:x}")


def on_the_wire(spooled: bytes) -> bytes:
    """A message as it travels, however its lines end on disk."""
    return spooled.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass
class Stored:
    """What a deliver call was about, and the bytes that lay in the spool."""

    mail: ReceivedMail
    data: bytes


@dataclass
class FakeStore:
    """Remembers; refuses what the test says."""

    stored: list[Stored] = field(default_factory=list)
    judged: list[tuple[Address | None, str, int]] = field(default_factory=list)
    blocked: set[Address] = field(default_factory=set)
    refuse_users: dict[str, MailError] = field(default_factory=dict)
    room: dict[str, int] = field(default_factory=dict)
    stranger_error: MailError | None = None
    wait: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        self.entered.set()
        if self.wait is not None:
            await self.wait.wait()
        if mail.user in self.refuse_users:
            raise self.refuse_users[mail.user]
        spooled = mail.spool.read_bytes()
        assert mail.remote is None or b"\r\n" not in spooled  # else the store copies it
        self.stored.append(Stored(mail, on_the_wire(spooled)))
        return DeliveryResult(False, "key", mail.folder)

    async def admit_stranger(
        self, mails: Sequence[ReceivedMail], unix_time: float
    ) -> Sequence[ReceivedMail]:
        self.judged += [(mail.remote, mail.user, mail.size) for mail in mails]
        if self.stranger_error is not None:
            raise self.stranger_error
        return [replace(mail, is_counted=True) for mail in mails]

    def require_room(self, user: str, size: int) -> None:
        if size > self.room.get(user, size):
            raise MailError(452, "4.2.2", "the mailbox is full, try again later")

    def is_blocked(self, address: Address) -> bool:
        return address in self.blocked


@dataclass
class FakeQueue:
    """Remembers what was queued."""

    added: list[tuple[bytes, str, list[str], str, DsnAsked | None]] = field(default_factory=list)
    error: MailError | None = None

    async def add(
        self,
        message: Path | bytes,
        sender: str,
        recipients: Sequence[Mailbox],
        *,
        user: str = "",
        asked: DsnAsked | None = None,
    ) -> QueueId:
        if self.error is not None:
            raise self.error
        data = message if isinstance(message, bytes) else on_the_wire(message.read_bytes())  # noqa: ASYNC240
        self.added.append((data, sender, [str(one) for one in recipients], user, asked))
        return QueueId(len(self.added))


@dataclass
class FakeBook:
    """One contact: stuart, on the node fc00::2."""

    known: set[Address] = field(default_factory=lambda: {PEER})

    def by_address(self, address: Address) -> Sequence[object]:
        return ("stuart",) if address in self.known else ()

    def address_of(self, petname: str) -> Address | None:
        return PEER if petname == "stuart" else None


@dataclass
class FakeSigns:
    """Remembers who was heard of."""

    addresses: list[Address] = field(default_factory=list)

    def heard(self, address: Address) -> None:
        self.addresses.append(address)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something the servers do by themselves."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 nobody tells us
            await asyncio.sleep(0.01)


class FakeLogins:
    """The password of every user is his name backwards."""

    async def check(self, user: str, password: str) -> bool:
        return user in {"bob", "alice"} and password == user[::-1]


class Client:
    """A client that says exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> str:
        """The next reply, all its lines; empty when the server closed."""
        lines: list[str] = []
        while True:
            async with asyncio.timeout(10):
                line = (await self.reader.readline()).decode()
            lines.append(line)
            if not line or line[3:4] != "-":
                return "".join(lines)

    async def say(self, line: str | bytes) -> str:
        """One command line, and the reply."""
        await self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def all_until_closed(self) -> str:
        """Everything the server still says."""
        async with asyncio.timeout(20):
            return (await self.reader.read()).decode("utf-8", "replace")

    async def envelope(self, sender: str, *recipients: str) -> str:
        """EHLO to DATA; the reply to DATA."""
        assert (await self.say("EHLO client")).startswith("250")
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        for one in recipients:
            assert (await self.say(f"RCPT TO:<{one}>")).startswith("250")
        return await self.say("DATA")

    async def mail(self, sender: str, recipients: Sequence[str], message: bytes) -> str:
        """A whole mail, `message` with its dots stuffed; the last reply."""
        assert (await self.envelope(sender, *recipients)).startswith("354")
        await self.send(message + b".\r\n")
        return await self.reply()

    def close(self) -> None:
        """Hang up."""
        self.writer.close()

    def vanish(self) -> None:
        """Be gone without a farewell: the server sees a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class World:
    """The servers and what lies behind them."""

    def __init__(self, folder: Path, settings: MailSettings, limits: Limits, budget: int) -> None:
        self.folder = folder
        self.store = FakeStore()
        self.queue = FakeQueue()
        self.book = FakeBook()
        self.signs = FakeSigns()
        self.executor = ThreadPoolExecutor(4)
        self.spool = Spool(folder, self.executor, budget)
        self.receiver = MailReceiver(
            ME, settings, self.store, self.book, self.signs, self.spool,
            limits=limits, source=source, unix_time=lambda: 1_764_000_000.0,
        )  # fmt: skip
        self.submission = Submission(
            ME, settings, self.store, self.queue, self.book, self.spool, FakeLogins(),
            unix_time=lambda: 1_764_000_000.0,
        )  # fmt: skip
        self.receiver_port = self.submission_port = 0
        self._clients: list[Client] = []

    async def start(self, tls: Any = None) -> None:
        """Listen on free ports."""
        await self.spool.open()
        self.receiver_port = await self._listen(self.receiver.serve)
        self.submission_port = await self._listen(lambda sock: self.submission.serve(sock, tls))

    async def _listen(self, serve: Any) -> int:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        await serve(listening)
        return port

    async def connect(self, number: int = 2, *, to: str = "receiver", third: int = 0) -> Client:
        """A client of the receiver (as the node fc00::number) or the submission; no greeting read."""
        port = self.receiver_port if to == "receiver" else self.submission_port
        local = (f"127.0.{third}.{number}", 0)
        client = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=local))
        self._clients.append(client)
        return client

    async def client(self, number: int = 2, *, to: str = "receiver") -> Client:
        """A client that has been greeted."""
        client = await self.connect(number, to=to)
        assert (await client.reply()).startswith("220 ")
        return client

    def left_in_spool(self) -> list[str]:
        """Files nobody removed."""
        return [path.name for path in self.folder.iterdir()]

    async def stop(self) -> None:
        """Close everything."""
        for client in self._clients:
            client.close()
        await self.receiver.close()
        await self.submission.close()
        self.executor.shutdown()


@asynccontextmanager
async def mail_world(
    folder: Path,
    settings: MailSettings = SETTINGS,
    *,
    limits: Limits | None = None,
    budget: int = 1 << 28,
    tls: Any = None,
) -> AsyncIterator[World]:
    """Both servers, up for as long as the block lasts."""
    world = World(folder / "spool", settings, limits or Limits(), budget)
    await world.start(tls)
    try:
        yield world
    finally:
        await world.stop()
