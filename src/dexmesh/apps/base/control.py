"""Take commands from programs on this machine: one JSON object a line over a Unix socket.

Place     cli/ -> ControlClient -> socket in the home -> ControlServer -> apps' registered calls
Spec      ours: request {"call", "user"?, "arguments"}; replies {"result"} or {"item"}* {"end"},
          else {"error"}
Keeps     the kernel says who calls (SO_PEERCRED); nobody acts for another, except root and the account
          of the service; lines, clients and waits are bounded
Not here  what the calls do (apps/mail/control_calls.py and others)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pwd
import secrets
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from dexmesh.apps.base.settings import MailSettings
from dexmesh.errors import AppError, DexmeshError, MailError, NoServiceError, PermissionNeededError
from dexmesh.values import dataclass

MAX_REQUEST_BYTES = 1 << 20  # ours: messages come by submission, not here
MAX_REPLY_BYTES = 64 << 20  # ours: what a client believes; a whole message fits
MAX_CLIENTS = 64  # ours; more are told to come back
MAX_CLIENTS_OF_ONE = 24  # ours: of one account, so that none shuts out the others
IDLE_S = 60.0  # ours: a client that says nothing
CALL_S = 300.0  # ours: the longest call, and the longest wait between two items
MAX_NAMED = 10  # ours: users, in a hint
PATIENCE_S = 60.0  # ours: a client waits that long for a reply

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the Unix account, and the local user it acts for."""

    uid: int
    user: str


Reply: TypeAlias = dict[str, Any]
Call: TypeAlias = Callable[[Caller, Reply], Awaitable[Reply | AsyncIterator[Reply]]]
"""One call: the caller and the arguments in, a result or a stream of items out. Raises DexmeshError."""


class Users:
    """Which local users a Unix account may act for."""

    def __init__(self, settings: MailSettings, service_uid: int) -> None:
        self._names = tuple(user.name for user in settings.users)
        self._service_uid = service_uid
        self._of_uid: dict[int, list[str]] = {}
        for user in settings.users:
            with contextlib.suppress(KeyError):
                uid = pwd.getpwnam(user.account_name).pw_uid
                self._of_uid.setdefault(uid, []).append(user.name)

    def judge(self, uid: int, wanted: str | None) -> str:
        """The user this account acts for. Raises PermissionNeededError if it may not.

        Root and the account of the service may name anybody, and are nobody ("") where there are no
        users yet.
        """
        own = self._of_uid.get(uid, [])
        is_trusted = uid in (0, self._service_uid)
        allowed = [*own, *self._names] if is_trusted else own
        if wanted is None and (allowed or is_trusted):
            return allowed[0] if allowed else ""
        if wanted is not None and wanted.lower() in allowed:
            return wanted.lower()
        if wanted is not None and is_trusted:
            some = ", ".join(self._names[:MAX_NAMED])
            more = ", ..." if len(self._names) > MAX_NAMED else ""
            known = f"users are: {some}{more}; " if some else ""
            hint = f"{known}`dexmesh mail user add NAME` adds somebody, for mail and phone"
            raise AppError(f"nobody here is called {wanted!r}", hint)
        raise PermissionNeededError(
            "this account has neither mailbox nor phone here"
            if wanted is None
            else f"you are not {wanted!r}",
            "the owner of the service can add you: `dexmesh mail user add NAME --account YOU`",
        )


class _ClientLeftError(ConnectionResetError):
    """Nobody listens any more."""


class _Reader(asyncio.StreamReader):
    """Knows at once that its client left, although nobody reads: a seat may be waited for (call/)."""

    def __init__(self) -> None:
        super().__init__(limit=MAX_REQUEST_BYTES)
        self.left = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.left.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.left.set()


class ControlServer:
    """The socket and the calls behind it."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._calls: dict[str, Call] = {}
        self._absent: dict[str, NoServiceError] = {}
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._inode = 0
        self._clients: set[asyncio.Task[None]] = set()
        self._served: Counter[int] = Counter()  # by uid

    def register(self, name: str, call: Call) -> None:
        """Offer a call. A name is given once."""
        if name in self._calls:
            raise ValueError(f"the control call {name} is registered twice")
        self._calls[name] = call

    def explain(self, group: str, why: NoServiceError) -> None:
        """Say this to whoever asks for a call `group.…` that is not offered (yet)."""
        self._absent[group] = why

    async def start(self, path: Path) -> None:
        """Listen there; a socket that a dead service left behind is replaced without a gap."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            listening.bind(str(draft))
            draft.chmod(0o666)  # who may do what is decided by the account that calls
            listening.listen(MAX_CLIENTS)
            self._inode = draft.stat().st_ino
            draft.rename(path)
        except OSError:
            listening.close()
            draft.unlink(missing_ok=True)
            raise
        self._path = path
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._protocol, sock=listening)

    async def close(self) -> None:
        """Stop listening and end every client."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = _Reader()
        return asyncio.StreamReaderProtocol(reader, lambda _, writer: self._greet(reader, writer))

    def _greet(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        try:
            uid = _uid_of(writer)
            if uid != 0 and not self._has_room(uid):
                busy = AppError("the service is busy", "try again in a moment")
                await _send(writer, _error(busy))
                return
            self._served[uid] += 1
            try:
                await self._hear(uid, reader, writer)
            finally:
                self._served[uid] -= 1
        except (OSError, TimeoutError, ValueError):  # gone, silent, or a line that is too long
            return
        finally:
            writer.close()

    def _has_room(self, uid: int) -> bool:
        return self._served.total() < MAX_CLIENTS and self._served[uid] < MAX_CLIENTS_OF_ONE

    async def _hear(self, uid: int, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        """Every request of a client, until it leaves or is silent."""
        while True:
            async with asyncio.timeout(IDLE_S):
                line = await reader.readline()
            if not line.endswith(b"\n"):
                return
            await self._answer(uid, line, reader, writer)

    async def _answer(
        self, uid: int, line: bytes, reader: _Reader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            name, user, arguments = _request(line)
            call = self._calls.get(name)
            if call is None:
                raise self._unknown(name)
            caller = Caller(uid, self._users.judge(uid, user))
            result = await self._result(call, caller, arguments)
            if isinstance(result, dict):
                await _send(writer, {"result": result})
            else:
                await self._stream(result, reader, writer)
        except DexmeshError as error:
            await _send(writer, _error(error))
        except TimeoutError:
            late = AppError("the service took too long", "try again; the log may say more")
            await _send(writer, _error(late))
        except _ClientLeftError:
            raise
        except OSError as error:
            log.warning("a control call failed", extra={"reason": str(error)})
            await _send(writer, _error(AppError(f"the service failed: {error.strerror or error}")))

    def _unknown(self, name: str) -> AppError:
        unknown = AppError(f"the service knows no call {name!r}", "is it an older version?")
        return self._absent.get(name.partition(".")[0], unknown)

    async def _result(
        self, call: Call, caller: Caller, arguments: Reply
    ) -> Reply | AsyncIterator[Reply]:
        try:
            async with asyncio.timeout(CALL_S):
                return await call(caller, arguments)
        except (DexmeshError, OSError, TimeoutError):
            raise
        except Exception:
            log.exception("a control call failed")
            raise AppError("the service made a mistake", "its log says more") from None

    async def _stream(
        self,
        items: AsyncIterator[Reply],
        reader: _Reader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Every item as it comes. When the client leaves, whoever makes them is told (aclose)."""
        sending = asyncio.ensure_future(_send_all(items, writer))
        left = asyncio.ensure_future(reader.left.wait())
        try:
            await asyncio.wait({sending, left}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise _ClientLeftError
            sending.result()
        except (DexmeshError, OSError, TimeoutError):
            raise
        except Exception:
            log.exception("a control call failed")
            raise AppError("the service made a mistake", "its log says more") from None
        finally:
            sending.cancel()
            left.cancel()
            await asyncio.wait({sending, left})
            aclose = getattr(items, "aclose", None)
            if aclose is not None:
                await aclose()
        await _send(writer, {"end": True})


async def _send_all(items: AsyncIterator[Reply], writer: asyncio.StreamWriter) -> None:
    """One task for all of them: an item is on its way with the turn of the loop that brought it."""
    while True:
        async with asyncio.timeout(CALL_S):
            item = await anext(items, None)
        if item is None:
            return
        await _send(writer, {"item": item})


def _uid_of(writer: asyncio.StreamWriter) -> int:
    sock = writer.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


def _request(line: bytes) -> tuple[str, str | None, Reply]:
    try:
        request = json.loads(line)
        if b"\\u" in line:  # JSON can say half a character, and nothing behind us can keep one
            json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise AppError("a request must be UTF-8", "half a character is in it") from None
    except (ValueError, RecursionError):
        raise AppError("a request must be one JSON object in one line") from None
    if not isinstance(request, dict):
        raise AppError("a request must be a JSON object")
    name, user = request.get("call"), request.get("user")
    arguments = request.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise AppError('a request has a "call" and "arguments"')
    if user is not None and not isinstance(user, str):
        raise AppError('the "user" of a request is a name')
    return name, user, arguments


def _error(error: DexmeshError) -> Reply:
    told: Reply = {"text": str(error), "hint": error.hint, "kind": "app"}
    if isinstance(error, MailError):
        told |= {"kind": "mail", "code": error.code, "enhanced": error.enhanced}
        told["text"] = error.public_text
    elif isinstance(error, PermissionNeededError):
        told["kind"] = "permission"
    elif isinstance(error, NoServiceError):
        told["kind"] = "no service"
    return {"error": told}


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Raises _ClientLeftError, TimeoutError for a client that does not read."""
    writer.write(json.dumps(reply, ensure_ascii=True).encode() + b"\n")
    try:
        async with asyncio.timeout(IDLE_S):
            await writer.drain()
    except TimeoutError:
        raise
    except OSError:
        raise _ClientLeftError from None


# --- The other end ------------------------------------------------------------------------------------


class ControlClient:
    """A program that commands the service. Blocking; a context manager; connects with the first call.

    `app` is what people want of it (mail, phone), for the words of errors.
    """

    def __init__(
        self,
        path: Path,
        user: str | None = None,
        patience_s: float = PATIENCE_S,
        app: str = "mail",
    ) -> None:
        self._path = path
        self._user = user
        self._patience_s = patience_s
        self._app = app
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; another thread that waits for a reply gets NoServiceError."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # `close` alone would let it wait on
            connection.close()
        self._buffer.clear()

    def call(self, name: str, **arguments: Any) -> Reply:
        """The result of one call.

        Raises NoServiceError when nobody is there, MailError and AppError for what the service says,
        PermissionNeededError when this account may not.
        """
        self._send(name, arguments)
        result = self._receive().get("result")
        if not isinstance(result, dict):
            raise self._confused()
        return result

    def stream(self, name: str, **arguments: Any) -> Iterator[Reply]:
        """Every item of a call that gives many, as they come. Raises like `call`."""
        self._send(name, arguments)
        while True:
            reply = self._receive()
            if "end" in reply:
                return
            item = reply.get("item")
            if not isinstance(item, dict):
                raise self._confused()
            yield item

    def _send(self, name: str, arguments: Mapping[str, Any]) -> None:
        request: Reply = {"call": name, "arguments": dict(arguments)}
        if self._user is not None:
            request["user"] = self._user
        line = json.dumps(request, ensure_ascii=True).encode() + b"\n"
        if len(line) > MAX_REQUEST_BYTES:
            raise AppError("too long for the control socket", "send long texts as a mail")
        try:
            self._connected().sendall(line)
        except OSError as error:
            raise self._gone(error) from None

    def _connected(self) -> socket.socket:
        connection = self._socket
        if connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            self._socket = connection  # another thread may close it from now on
            connection.settimeout(self._patience_s)
            connection.connect(str(self._path))
        return connection

    def _receive(self) -> Reply:
        try:
            line = self._line()
            reply = json.loads(line)
        except OSError as error:
            raise self._gone(error) from None
        except ValueError:
            raise self._confused() from None
        if not isinstance(reply, dict):
            raise self._confused()
        if "error" in reply:
            raise _told(reply["error"])
        return reply

    def _line(self) -> bytes:
        connection = self._socket
        if connection is None:  # another thread closed it: a new one would wait for no answer
            raise ConnectionResetError("the connection was closed here")
        while (end := self._buffer.find(b"\n")) < 0:
            data = connection.recv(1 << 16)
            if not data:
                raise ConnectionResetError("the service ended the connection")
            if len(self._buffer) + len(data) > MAX_REPLY_BYTES:
                raise self._confused()
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _gone(self, error: OSError) -> DexmeshError:
        self.close()
        if isinstance(error, TimeoutError):
            return AppError(f"the {self._app} service does not answer", "its log may say why")
        if isinstance(error, PermissionError):
            return PermissionNeededError(
                f"{self._path} may not be reached by you", "run it as the owner of that folder"
            )
        return NoServiceError(
            f"the {self._app} service is not running here",
            f"`dexmesh {self._app} on` switches it on, `dexmesh up` (or `dexmesh mail serve`) starts it",
        )

    def _confused(self) -> AppError:
        self.close()
        return AppError(f"{self._path} does not speak our language", "is it another version?")


def _told(error: Any) -> DexmeshError:
    """The exception that the service raised."""
    told = error if isinstance(error, dict) else {}
    text, hint = str(told.get("text", "it failed")), str(told.get("hint", ""))
    if told.get("kind") == "mail":
        return MailError(
            int(told.get("code", 550)), str(told.get("enhanced", "5.0.0")), text, hint=hint
        )
    if told.get("kind") == "permission":
        return PermissionNeededError(text, hint)
    if told.get("kind") == "no service":
        return NoServiceError(text, hint)
    return AppError(text, hint)
