"""A mail server that says what a test wants, on ::1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

EVERYTHING = ("SIZE 36700160", "8BITMIME", "SMTPUTF8", "DSN")

Answer = str | None
"""A reply line; None hangs up."""


class ScriptedServer:
    """Speaks SMTP. `answers` overrides replies by the start of a command line; what it was told is in
    `lines`, the messages it took in `messages`."""

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        extensions: tuple[str, ...] = EVERYTHING,
        judge: Callable[[str], Answer] | None = None,
    ) -> None:
        self._answers = dict(answers or {})
        self._extensions = extensions
        self._judge = judge
        self.lines: list[str] = []
        self.messages: list[bytes] = []
        self.sessions = 0
        self.port = 0

    def commands(self, verb: str) -> list[str]:
        """The lines that began with this."""
        return [line for line in self.lines if line.startswith(verb)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        server = await asyncio.start_server(self._serve, "::1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self._answer("GREETING", "220 here")
        while answer is not None:
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
            if answer.startswith("354"):
                early = self._answers.get("EARLY")
                if early is not None:
                    await reader.readexactly(1000)
                    writer.write(early.encode() + b"\r\n")
                    await asyncio.sleep(60)  # it reads no more
                text = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(text)
                answer = self._answer("END", "250 2.0.0 taken")
                continue
            line = (await reader.readuntil(b"\r\n")).decode().rstrip()
            self.lines.append(line)
            answer = self._answer(line, self._usual(line))
            if line == "QUIT":
                return

    def _answer(self, line: str, usual: str) -> Answer:
        if self._judge is not None and (said := self._judge(line)) is not None:
            return said
        for start, answer in self._answers.items():
            if line.startswith(start):
                return answer
        return usual

    def _usual(self, line: str) -> str:
        if line.startswith("EHLO"):
            return "\r\n".join([*(f"250-{one}" for one in ("here", *self._extensions)), "250 HELP"])
        return "354 go on" if line == "DATA" else "250 ok"
