"""Speak with one IMAP client: pymap's machine, with our limits and our way of writing.

Place     server.py accepts -> here -> pymap parses and decides -> backend.py
Spec      RFC 3501; RFC 7888 (literals without a question); RFC 3501 §5.4 (30 minutes)
Keeps     memory a client can claim is bounded before it is claimed; silent clients and clients that
          do not read are let go; plain text sent before TLS is never taken for what came after it;
          nothing that is said is logged; whatever goes wrong ends one command or one connection
Not here  what is offered (config.py), how FETCH is answered (fetch.py)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable

from proxyprotocol.sock import SocketInfo
from pymap.imap import IMAPConnection
from pymap.imap.state import ConnectionState
from pymap.parsing.command import Command
from pymap.parsing.command.nonauth import StartTLSCommand
from pymap.parsing.command.select import FetchCommand
from pymap.parsing.response import (
    CommandResponse,
    Response,
    ResponseBye,
    ResponseCode,
    ResponseNo,
    ResponseOk,
)
from pymap.selected import SelectedMailbox

from dexmesh.apps.mail.imap.backend import Message
from dexmesh.apps.mail.imap.config import Config
from dexmesh.apps.mail.imap.content import Contents
from dexmesh.apps.mail.imap.fetch import FetchLines, Piece
from dexmesh.apps.mail.imap.sessions import Login
from dexmesh.errors import DexmeshError

LINE_BYTES = 256 << 10  # ours: of a command without its literals
EARLY_LITERALS_BYTES = 4 << 10  # ours: before login
SMALL_LITERALS_BYTES = 64 << 10  # ours: need no place
LITERAL_ROOM_BYTES = 48 << 20  # ours: of messages being appended by all clients, copied thrice each
EARLY_PATIENCE_S = 60.0  # ours: before login
PATIENCE_S = 31 * 60.0  # RFC 3501 §5.4: at least 30 minutes
WRITE_PATIENCE_S = 60.0  # ours: for a client to read WRITE_BYTES
WRITE_BYTES = 256 << 10  # ours
_LINES_A_TURN = 100  # ours: then others have their turn

_LITERAL_PLUS = re.compile(rb"\{(\d{1,12})\+\}\r?\n$")


class TooMuchError(Exception):
    """The client claims more than it may have."""


class Room:
    """Bytes that all clients together may have in literals."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._changed = asyncio.Condition()

    async def take(self, size: int) -> None:
        """Wait until so much is free."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size

    async def give_back(self, size: int) -> None:
        """It is free again."""
        async with self._changed:
            self._free += size
            self._changed.notify_all()


class State(ConnectionState):
    """What a client may do next. Answers FETCH our way, and disk errors instead of ending."""

    def __init__(self, login: Login, config: Config, contents: Contents) -> None:
        super().__init__(login, config)
        self._contents = contents

    @property
    def is_logged_in(self) -> bool:
        """Whether a password was right."""
        return self._session is not None

    async def do_fetch(self, cmd: FetchCommand) -> tuple[CommandResponse, SelectedMailbox | None]:
        if not cmd.uid:
            self.selected.hide_expunged = True
        is_read = any(attribute.set_seen for attribute in cmd.attributes)
        found, updates = await self.session.fetch_messages(
            self.selected, cmd.sequence_set, is_read and not self.selected.readonly
        )
        messages = [(number, one) for number, one in found if isinstance(one, Message)]
        answer = ResponseOk(cmd.tag, cmd.command + b" completed.")
        answer.add_untagged(
            FetchLines(messages, cmd.attributes, self.selected.session_flags, self._contents)
        )
        return answer, updates

    async def do_command(self, cmd: Command) -> CommandResponse:
        try:
            return await super().do_command(cmd)
        except DexmeshError as error:
            return ResponseNo(cmd.tag, _flat(str(error)), ResponseCode.of(b"OVERQUOTA"))
        except (FileNotFoundError, NotADirectoryError):
            return ResponseNo(
                cmd.tag, b"It is not there any more.", ResponseCode.of(b"NONEXISTENT")
            )
        except OSError as error:
            reason = _flat(f"The store failed: {error.strerror or error}.")
            return ResponseNo(cmd.tag, reason, ResponseCode.of(b"UNAVAILABLE"))


def _flat(text: str) -> bytes:
    return re.sub(rb"[^\x20-\x7e]", b"?", text.encode("ascii", "replace"))[:300]


class Connection(IMAPConnection):
    """One client."""

    def __init__(
        self,
        config: Config,
        reader: StreamReader,
        writer: StreamWriter,
        sock_info: SocketInfo,
        room: Room,
    ) -> None:
        super().__init__(config.commands, config, reader, writer, sock_info)
        self._room = room
        self._taken = 0
        self._seen_bytes = 0
        self._max_literals = config.parsing_params.max_append_len or 0
        self._state: State | None = None

    async def run(self, state: ConnectionState) -> None:
        self._state = state if isinstance(state, State) else None
        try:
            await self._run_state(state)
        finally:
            await self._give_back()

    @classmethod
    def _print(cls, log_format: str, output: str | bytes) -> None:
        """What clients say and read is logged by nobody."""

    @property
    def _is_logged_in(self) -> bool:
        return self._state is not None and self._state.is_logged_in

    # Reading

    async def read_command(self, state: ConnectionState) -> Command:
        await self._give_back()
        self._seen_bytes = 0
        try:
            return await super().read_command(state)
        except TooMuchError:
            await self._say_bye(b"That is too much.", b"TOOBIG")
        except TimeoutError:
            await self._say_bye(b"You were silent for too long.", b"UNAVAILABLE")
        raise EOFError

    async def readline(self) -> memoryview:
        patience = PATIENCE_S if self._is_logged_in else EARLY_PATIENCE_S
        async with asyncio.timeout(patience):
            line = bytearray(await self._line())
            while match := _LITERAL_PLUS.search(line, max(0, len(line) - 20)):
                size = int(match.group(1))
                await self._claim(size)
                line += await self.reader.readexactly(size)
                line += await self._line()
        return memoryview(line)

    async def read_continuation(self, literal_length: int) -> memoryview:
        await self._claim(literal_length)
        patience = PATIENCE_S if self._is_logged_in else EARLY_PATIENCE_S
        async with asyncio.timeout(patience):
            literal = await self.reader.readexactly(literal_length)
        return memoryview(literal + bytes(await self.readline()))

    async def _line(self) -> bytes:
        try:
            line = await self.reader.readline()
        except ValueError:
            raise TooMuchError from None
        if not line.endswith(b"\n"):
            raise EOFError
        self._seen_bytes += len(line)
        if self._seen_bytes > LINE_BYTES:
            raise TooMuchError
        return line

    async def _claim(self, size: int) -> None:
        """Make sure a literal of this size may come, before it does."""
        most = (
            self._max_literals + SMALL_LITERALS_BYTES
            if self._is_logged_in
            else EARLY_LITERALS_BYTES
        )
        if self._taken + size > most:
            raise TooMuchError
        if self._taken + size > SMALL_LITERALS_BYTES:
            async with asyncio.timeout(EARLY_PATIENCE_S):
                await self._room.take(size)
            self._taken += size

    async def _give_back(self) -> None:
        taken, self._taken = self._taken, 0
        if taken:
            await self._room.give_back(taken)

    async def start_tls(self) -> None:
        await super().start_tls()
        self.reader._transport = self.writer.transport  # type: ignore[attr-defined] # as Python 3.13 does

    # Writing

    async def write_response(self, resp: Response) -> None:
        try:
            if isinstance(resp, CommandResponse):
                for untagged in resp._untagged:
                    await self._write_untagged(untagged)
                last = b"%b %b\r\n" % (resp.tag, resp.text)
            else:
                last = bytes(resp)
            if resp.tag != b"*" and self._is_tls_wanted(resp):
                self._pause_for_tls()
            await self._write([last])
        except (ConnectionError, TimeoutError):
            self.writer.transport.abort()

    async def _write_untagged(self, untagged: Response) -> None:
        if not isinstance(untagged, FetchLines):
            await self._write([bytes(untagged)])
            return
        count = 0
        async for pieces in untagged.pieces():
            await self._write(pieces)
            count += 1
            if count % _LINES_A_TURN == 0:
                await asyncio.sleep(0)

    async def _write(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            for start in range(0, len(piece), WRITE_BYTES):
                self.writer.write(piece[start : start + WRITE_BYTES])
                if self.writer.transport.get_write_buffer_size() > WRITE_BYTES // 4:
                    async with asyncio.timeout(WRITE_PATIENCE_S):
                        await self.writer.drain()

    def _is_tls_wanted(self, resp: Response) -> bool:
        from pymap.context import current_command

        is_starttls = isinstance(current_command.get(None), StartTLSCommand)
        return is_starttls and isinstance(resp, ResponseOk)

    def _pause_for_tls(self) -> None:
        """Nothing that follows STARTTLS in plain text counts; what follows our OK is TLS."""
        if self.reader._buffer:  # type: ignore[attr-defined] # no public way to look
            raise ConnectionResetError("plain text after STARTTLS")
        transport = self.writer.transport
        if isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()

    async def send_error_disconnect(self) -> None:
        with contextlib.suppress(OSError):
            await self._say_bye(b"The connection ends here.", b"UNAVAILABLE")

    async def _say_bye(self, reason: bytes, code: bytes) -> None:
        await self.write_response(ResponseBye(reason, ResponseCode.of(code)))
