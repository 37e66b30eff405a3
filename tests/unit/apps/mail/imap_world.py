"""An IMAP server on loopback, and clients for it, for the tests of imap/."""

from __future__ import annotations

import asyncio
import datetime
import imaplib
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dexmesh.apps.mail.imap.boxes import Boxes
from dexmesh.apps.mail.imap.server import ImapServer
from dexmesh.errors import MailError

MESSAGE = b"From: eve@[IPv6:fc00::1]\r\nSubject: hello\r\n\r\nbody\r\n"
PASSWORD = "correct"
MAX_MESSAGE_BYTES = 36_700_160


class ImapWorld:
    """The server in a thread of its own, users bob, alice and carl (an mbox), what they are allowed."""

    def __init__(self, folder: Path) -> None:
        self.users = folder / "users"
        self.mbox = folder / "carl.mbox"
        self.room = 1 << 40
        self.tls = _tls(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.executor = ThreadPoolExecutor(4)
        self.port = 0
        self.server = self._run(self._start())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> ImapServer:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.boxes = Boxes(self.users, self.executor, {"carl": self.mbox})
        server = ImapServer(self.boxes, self._check, self._check_room, MAX_MESSAGE_BYTES)
        await server.serve(listening, self.tls)
        return server

    async def _check(self, user: str, password: str) -> bool:
        return user in ("bob", "alice", "carl") and password == PASSWORD

    async def _check_room(self, user: str, size: int) -> None:
        if size > self.room:
            raise MailError(452, "4.2.2", "the mailbox is full")

    def close_folders(self) -> None:
        """As the service does when it ends."""
        self._run(self.boxes.close())

    def close(self) -> None:
        """End it all."""
        self._run(self.server.close())
        self._run(self.boxes.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self.executor.shutdown()

    def client(self, user: str | None = "bob", *, starts_tls: bool = False) -> imaplib.IMAP4:
        """A client, logged in."""
        imap = imaplib.IMAP4("127.0.0.1", self.port, timeout=20)
        if starts_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            imap.starttls(context)
        if user is not None:
            imap.login(user, PASSWORD)
        return imap

    def raw(self) -> socket.socket:
        """A bare connection, its greeting read."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        assert sock.recv(4096).startswith(b"* OK")
        return sock

    def deliver(
        self, name: str, data: bytes = MESSAGE, user: str = "bob", folder: str = ""
    ) -> None:
        """What a delivery agent does, with LF line ends."""
        maildir = self.users / user / "Maildir" / folder
        for place in ("tmp", "new", "cur"):
            (maildir / place).mkdir(parents=True, exist_ok=True)
        draft = maildir / "tmp" / name
        draft.write_bytes(data.replace(b"\r\n", b"\n"))
        draft.rename(maildir / "new" / name)


def ok(answer: tuple[str, list[Any]]) -> list[Any]:
    """The data of an answer that must be OK."""
    assert answer[0] == "OK", answer
    return answer[1]


def fetched(answer: tuple[str, list[Any]]) -> bytes:
    """The first literal of a FETCH answer."""
    literal = ok(answer)[0][1]
    assert isinstance(literal, bytes)
    return literal


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "tls.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
