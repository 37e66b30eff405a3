"""Call a port 25 to see who answers: for ourselves, and for a node that asks whether we reach it.

Place     smtp.py (the verb XDEXMESHCALLBACK), reach.py -> here -> a socket
Spec      shared issue "Reply-ability"; docs/apps/mail.md §4 "Receiver"
Keeps     a call goes out from our mesh address; nothing but the state of the port is told; every wait
          ends; who asks is called at its own address or not at all
Not here  how often (proto/reach.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable

from dexmesh.apps.mail.proto.reach import CallbackLimiter, Port, format_callback, judge_greeting
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address

SMTP_PORT = 25
CONNECT_S = 10.0  # ours
CALLBACK_GREETING_S = 5.0  # ours: we greet within 0.2 s
MAX_LINE_BYTES = 2048
MAX_LINES = 64  # of one reply

REFUSED_BACK = "451 4.7.1 asked too often, try again later"

_STATES = {
    errno.ECONNREFUSED: Port.REFUSED,
    errno.ECONNRESET: Port.REFUSED,
    errno.ENETUNREACH: Port.UNREACHABLE,
    errno.EHOSTUNREACH: Port.UNREACHABLE,
    errno.EACCES: Port.UNREACHABLE,
    errno.EPERM: Port.UNREACHABLE,
    errno.ETIMEDOUT: Port.SILENT,
}


class CallFailedError(Exception):
    """A call did not get as far as a reply. `has_address` is False where our own address is not up."""

    def __init__(self, port: Port, *, has_address: bool = True) -> None:
        super().__init__(port.value)
        self.port = port
        self.has_address = has_address


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply: its code and the texts of its lines."""

    code: int
    lines: tuple[str, ...]


class Call:
    """An open SMTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, line: str, wait_s: float) -> Reply:
        """Send a command and read its reply. Raises CallFailedError."""
        self._writer.write(line.encode("ascii") + b"\r\n")
        return await self.listen(wait_s)

    async def listen(self, wait_s: float) -> Reply:
        """Read one reply. Raises CallFailedError."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(wait_s):
                for _ in range(MAX_LINES):
                    line = await self._reader.readuntil(b"\n")
                    text = line.decode("ascii", "replace").rstrip("\r\n")
                    if not text[:3].isdigit() or text[3:4] not in ("", " ", "-"):
                        raise CallFailedError(Port.NOT_SMTP)
                    lines.append(text[4:])
                    if text[3:4] != "-":
                        return Reply(int(text[:3]), tuple(lines))
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise CallFailedError(Port.NO_GREETING) from error
        except asyncio.LimitOverrunError as error:
            raise CallFailedError(Port.NOT_SMTP) from error
        raise CallFailedError(Port.NOT_SMTP)

    def close(self) -> None:
        """Say goodbye without waiting for it."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(b"QUIT\r\n")
        self._writer.close()


@contextlib.asynccontextmanager
async def call(address: Address, source: Address | None, port: int) -> AsyncIterator[Call]:
    """Connect to a node from our mesh address (None: any). Raises CallFailedError."""
    local = None if source is None else (format_address(source), 0)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                format_address(address), port, local_addr=local, limit=MAX_LINE_BYTES
            )
    except TimeoutError:
        raise CallFailedError(Port.SILENT) from None
    except OSError as error:
        raise _failure(error) from error
    one = Call(reader, writer)
    try:
        yield one
    finally:
        one.close()


def _failure(error: OSError) -> CallFailedError:
    code = error.errno
    has_address = code != errno.EADDRNOTAVAIL  # of `bind`; ENETUNREACH is what our node answers
    return CallFailedError(_STATES.get(code or 0, Port.UNREACHABLE), has_address=has_address)


async def callback_probe(address: Address, source: Address | None, port: int = SMTP_PORT) -> Port:
    """What the port 25 of a node says to a caller."""
    try:
        async with call(address, source, port) as one:
            return judge_greeting((await one.listen(CALLBACK_GREETING_S)).code)
    except CallFailedError as error:
        return error.port


class Callbacks:
    """Answers nodes that ask whether we can reach them. One per service."""

    def __init__(
        self, source: Address | None, clock: Callable[[], float], port: int = SMTP_PORT
    ) -> None:
        self._source = source
        self._clock = clock
        self._port = port
        self._limiter = CallbackLimiter()
        self.refused = 0

    async def answer(self, caller: Address) -> str:
        """The SMTP reply for whoever is connected from this address."""
        if not self._limiter.admit(caller, self._clock()):
            self.refused += 1
            return REFUSED_BACK
        try:
            return format_callback(await callback_probe(caller, self._source, self._port))
        finally:
            self._limiter.release()
