"""Send many small mails over many connections at once, and say how fast they were accepted.

Place     bench/mail.py runs it in the sending machine: `python -m bench.lab.smtp_load JSON`
Spec      RFC 5321; docs/apps/mail.md §4 (100 mails a session, 10 connections an address)
Keeps     a mail counts only after its 250; nothing else happens between two commands of a connection
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence

from dexmesh.values import dataclass

MAILS_PER_SESSION = 100
CONNECTS_AT_ONCE = (
    4  # OpenSMTPD has room for five that wait: a sixth may wait a minute for its greeting
)
_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """`sources` are mesh addresses of this machine; connections are shared out among them."""

    host: str
    recipient: str
    sources: tuple[str, ...]
    connections: int
    mails: int
    body_bytes: int


async def send_all(load: Load) -> float:
    """Seconds from the first connect to the last 250."""
    left = iter(range(load.mails))
    door = asyncio.Semaphore(CONNECTS_AT_ONCE)
    start = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(load.connections):
            source = load.sources[number % len(load.sources)]
            tasks.create_task(_connection(load, source, left, door))
    return time.monotonic() - start


async def _connection(
    load: Load, source: str, numbers: Iterator[int], door: asyncio.Semaphore
) -> None:
    number = next(numbers, None)
    while number is not None:
        async with door:
            reader, writer = await asyncio.open_connection(load.host, 25, local_addr=(source, 0))
            await _answer(reader, b"220")
        await _ask(reader, writer, f"EHLO [IPv6:{source}]", b"250")
        for _ in range(MAILS_PER_SESSION):
            if number is None:
                break
            await _mail(reader, writer, load, source, number)
            number = next(numbers, None)
        await _ask(reader, writer, "QUIT", b"221")
        writer.close()


async def _mail(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, load: Load, source: str, number: int
) -> None:
    sender = f"stuart@[IPv6:{source}]"
    await _ask(reader, writer, f"MAIL FROM:<{sender}>", b"250")
    await _ask(reader, writer, f"RCPT TO:<{load.recipient}>", b"250")
    await _ask(reader, writer, "DATA", b"354")
    line = "No server stood between us.\r\n"
    text = (
        f"From: <{sender}>\r\nTo: <{load.recipient}>\r\nSubject: mail {number}\r\n"
        f"Message-ID: <{number}.{time.time_ns()}@bench>\r\n\r\n"
        f"{line * (load.body_bytes // len(line))}.\r\n"
    )
    writer.write(text.encode())
    await _answer(reader, b"250")


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: str, wanted: bytes
) -> None:
    writer.write(command.encode() + b"\r\n")
    await _answer(reader, wanted)


async def _answer(reader: asyncio.StreamReader, wanted: bytes) -> None:
    async with asyncio.timeout(_ANSWER_S):
        line = await reader.readline()
        while line[3:4] == b"-":
            line = await reader.readline()
    if not line.startswith(wanted):
        raise SystemExit(f"wanted {wanted.decode()}, got {line.decode(errors='replace')!r}")


def main(argv: Sequence[str]) -> int:
    """Send what the JSON object in the first argument says; print the seconds."""
    asked = json.loads(argv[0])
    load = Load(**{**asked, "sources": tuple(asked["sources"])})
    print(json.dumps({"seconds": asyncio.run(send_all(load))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
