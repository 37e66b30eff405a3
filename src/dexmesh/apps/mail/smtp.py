"""Speak SMTP with one client; what may be said is decided by the role (receiver or submission).

Place     serving.py admits a connection -> here -> receiver.py or submission.py take the mail
Spec      docs/apps/mail.md §4; RFC 5321, 1870 (SIZE), 2034 (enhanced codes), 2920 (PIPELINING),
          3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8)
Keeps     every wait has a limit, every session an end; each refusal is counted; addresses and
          contents reach no log; 250 after DATA only when the role says the mail is on disk
Not here  what the two roles have in common (roles.py), reading lines (inbox.py), messages (incoming.py),
          arguments (proto/commands.py)

aiosmtpd gives the protocol object, STARTTLS and the table of commands. Its command loop is not used:
it logs what clients say, takes a bare LF for a line end, and knows no enhanced codes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

from dexmesh.apps.mail.counters import Event
from dexmesh.apps.mail.inbox import READ_BYTES, Inbox, LineError
from dexmesh.apps.mail.incoming import IncomingMessage, Message
from dexmesh.apps.mail.proto.commands import (
    Path,
    decode_login,
    decode_plain,
    judge_mail_parameters,
    judge_rcpt_parameters,
    parse_path,
)
from dexmesh.apps.mail.proto.reach import CALLBACK_KEYWORD
from dexmesh.apps.mail.proto.refusals import Reason, Refusal, printable
from dexmesh.apps.mail.roles import Recipient, Talk
from dexmesh.apps.mail.spool import NO_ROOM
from dexmesh.wire.address import Address

if TYPE_CHECKING:
    from dexmesh.apps.mail.serving import MailServer

COMMAND_BYTES = 1000  # mail.md §4
MAX_RECIPIENTS = 100  # mail.md §4
MAX_MAILS = 100  # mail.md §4, in one session
IDLE_S = 300.0  # mail.md §4
QUIET_S = 1800.0  # ours: a session without a mail ends, however it is kept busy
SESSION_S = 6 * 3600.0  # ours: the end of any session
PARTING_S = 10.0  # ours: what was said last may take so long to leave
SLOW_START_S = 600.0  # ours: after that a message must have come at MIN_RATE on average
MIN_RATE = 1024.0  # ours, bytes per second
TAKE_S = 540.0  # ours: clients wait 600 s for the answer to a message
MAX_JUNK = 10  # ours: unknown commands
MAX_COMMANDS = 1000  # ours: commands without a mail
MAX_WRONG_PASSWORDS = 3  # ours, in one session

BAD_ORDER = Refusal(503, "5.5.1", "not now: EHLO, MAIL, RCPT, DATA is the order", Reason.BAD_ORDER)
UNKNOWN = Refusal(500, "5.5.2", "unknown command", Reason.UNKNOWN_COMMAND)
OUR_FAULT = Refusal(451, "4.3.0", "internal error, try again later", Reason.OUR_FAULT)
IDLE = Refusal(421, "4.4.2", "idle for too long", Reason.IDLE)
CLOSING = Refusal(421, "4.3.2", "the mail service ends here for now", Reason.CLOSING)

_log = logging.getLogger(__name__)
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd's own: it names who connects


class Conversation(SMTP):
    """One connection. `push` and the methods `smtp_*` are called by aiosmtpd's table of commands."""

    line_length_limit = READ_BYTES

    def __init__(self, server: MailServer, remote: Address) -> None:
        self._server = server
        self._role = server.role
        self.talk = Talk(remote)
        super().__init__(
            object(),
            hostname=self._role.hostname,
            tls_context=self._role.tls,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )
        self._inbox: Inbox | None = None
        self._replies = bytearray()
        self._is_over = self._is_taking = False
        self._junk = self._commands = self._mails = self._wrong_passwords = 0
        self._progress_at = self.loop.time()

    # --- The connection ---------------------------------------------------------------------------

    def abort(self) -> None:
        """End the connection now."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def part(self) -> None:
        """The server ends: say so now, or after the answer to the message that is being delivered."""
        if not self._is_taking and not self._is_over:
            self._server.counters.refuse(Reason.CLOSING)
            self._writer.write(bytes(self._replies) + f"{CLOSING}\r\n".encode())
            self._replies.clear()
            self._close()
        self._is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        """Free the place."""
        self._server.leave(self)
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client says no more, but may still listen: go on with what it said."""
        if self._reader is not None:
            self._reader.feed_eof()
        return self.session is not None and self.session.ssl is None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The last resort; every wait has a shorter limit of its own."""
        super()._reset_timeout(duration or SESSION_S)

    def _timeout_cb(self) -> None:
        """Not `close`, which waits for a client that reads nothing."""
        self.abort()

    def _close(self) -> None:
        """Let what was said leave, but not for ever: the place is wanted."""
        self._writer.close()
        if self.transport is not None:
            self._reset_timeout(PARTING_S)

    async def _handle_client(self) -> None:
        self._inbox = Inbox(self._reader)
        try:
            await self.push(f"220 {self.hostname} ESMTP dexmesh")
            while not self._is_over:
                line = await self._next_line(self._inbox)
                if line is None:
                    break
                await self._obey(line)
            await self._flush()
        except TimeoutError:
            self._server.counters.refuse(Reason.IDLE)
            self._writer.write(f"{IDLE}\r\n".encode())
        except (ConnectionError, ssl.SSLError):
            _log.debug("connection lost")
        finally:
            self._close()

    async def _next_line(self, inbox: Inbox) -> bytes | None:
        if not inbox.has_line:
            await self._flush()
        quiet = QUIET_S - (self.loop.time() - self._progress_at)
        try:
            async with asyncio.timeout(max(0.0, min(IDLE_S, quiet))):
                return await inbox.line(COMMAND_BYTES)
        except LineError as error:
            await self._refuse(Refusal(500, "5.5.2", error.text, Reason.BAD_LINE))
            self._is_over = self._is_over or error.is_final
            self._count_junk()
            return b"" if not self._is_over else None

    async def _obey(self, line: bytes) -> None:
        """Carry out one command line."""
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            await self._end(Refusal(421, "4.7.0", "too many commands", Reason.TOO_MANY_COMMANDS))
            return
        if not line:
            return
        verb, _, argument = line.partition(b" ")
        method = self._method(verb)
        if method is None:
            await self._refuse(UNKNOWN)
            self._count_junk()
            if self._is_over:
                await self._end(Refusal(421, "4.7.0", "too many errors", Reason.JUNK))
            return
        try:
            text = argument.decode().strip()
        except UnicodeDecodeError:
            await self._refuse(Refusal(501, "5.5.4", "not UTF-8", Reason.BAD_PARAMETER))
            return
        await self._attempt(method, text or None)

    async def _attempt(
        self, method: Callable[[str | None], Awaitable[None]], argument: str | None
    ) -> None:
        try:
            await method(argument)
        except (TimeoutError, ConnectionError, ssl.SSLError):
            raise
        except Exception:  # noqa: BLE001 the last resort of this app: the connection ends, the service goes on
            _log.exception("a command failed")
            await self._end(Refusal(421, "4.3.0", OUR_FAULT.text, Reason.OUR_FAULT))

    def _method(self, verb: bytes) -> Callable[[str | None], Awaitable[None]] | None:
        try:
            name = verb.decode("ascii").upper()
        except UnicodeDecodeError:
            return None
        method: Callable[[str | None], Awaitable[None]] | None = self._smtp_methods.get(name)
        return method

    def _count_junk(self) -> None:
        self._junk += 1
        self._is_over = self._is_over or self._junk >= MAX_JUNK

    # --- Replies ----------------------------------------------------------------------------------

    async def push(self, status: str | bytes) -> None:
        """Answer; what a client need not wait for goes out together."""
        data = status if isinstance(status, bytes) else status.encode("utf-8", "replace")
        self._replies += data + b"\r\n"
        if self._inbox is None or not self._inbox.has_line:
            await self._flush()

    async def _flush(self) -> None:
        if self._replies:
            self._writer.write(bytes(self._replies))
            self._replies.clear()
            async with asyncio.timeout(IDLE_S):
                await self._writer.drain()

    async def _refuse(self, refusal: Refusal) -> None:
        self._server.counters.refuse(refusal.reason)
        await self.push(str(refusal))

    async def _end(self, refusal: Refusal) -> None:
        self._is_over = True
        await self._refuse(refusal)

    # --- Commands without a mail ------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str | None) -> None:  # noqa: N802
        """Greet back."""
        if not await self._greet(hostname, is_extended=False):
            return
        await self.push(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str | None) -> None:  # noqa: N802
        """Greet back, and say what we can."""
        if not await self._greet(hostname, is_extended=True):
            return
        lines = [self.hostname, f"SIZE {self._role.max_bytes}", "8BITMIME", "PIPELINING",
                 "ENHANCEDSTATUSCODES", "SMTPUTF8"]  # fmt: skip
        lines += ["DSN"] * self._role.has_dsn
        lines += [CALLBACK_KEYWORD] * (self._role.callbacks is not None)
        lines += ["AUTH PLAIN LOGIN"] * self._role.has_login
        if self.tls_context is not None and not self.talk.is_encrypted:
            lines.append("STARTTLS")
        last = len(lines) - 1
        text = "\r\n".join(
            f"250{' ' if number == last else '-'}{line}" for number, line in enumerate(lines)
        )
        await self.push(text)

    async def _greet(self, hostname: str | None, is_extended: bool) -> bool:
        if not hostname:
            await self._refuse(
                Refusal(501, "5.5.4", "say who you are: EHLO name", Reason.BAD_PARAMETER)
            )
            return False
        self.talk.forget_mail()
        self.talk.helo = printable(hostname)[:255]
        self.talk.is_extended = is_extended
        return True

    async def smtp_NOOP(self, _arg: str | None) -> None:  # noqa: N802
        """Do nothing."""
        await self.push("250 2.0.0 Ok")

    async def smtp_RSET(self, _arg: str | None) -> None:  # noqa: N802
        """Forget the mail that was begun."""
        self.talk.forget_mail()
        await self.push("250 2.0.0 Ok")

    async def smtp_QUIT(self, _arg: str | None) -> None:  # noqa: N802
        """Part."""
        self._is_over = True
        await self.push("221 2.0.0 Bye")

    async def smtp_HELP(self, _arg: str | None) -> None:  # noqa: N802
        """Say what is understood."""
        await self.push("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP QUIT")

    async def smtp_VRFY(self, _arg: str | None) -> None:  # noqa: N802
        """Tell nobody who has a mailbox here."""
        await self.push("252 2.5.0 send a mail and see")

    async def smtp_XDEXMESHCALLBACK(self, arg: str | None) -> None:  # noqa: N802
        """Ours: call the port 25 of the node that asks, and say who answered (callback.py)."""
        if arg or self._role.callbacks is None or not self.talk.is_extended:
            await self._refuse(UNKNOWN)
            return
        await self._flush()
        await self.push(await self._role.callbacks.answer(self.talk.remote))

    async def smtp_EXPN(self, _arg: str | None) -> None:  # noqa: N802
        """Tell nobody who is behind an alias."""
        await self._refuse(Refusal(502, "5.5.1", "not offered", Reason.UNKNOWN_COMMAND))

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802
        """Go on encrypted; what was sent before the handshake is forgotten."""
        if arg or self.tls_context is None or self.talk.is_encrypted or self._inbox is None:
            await self._refuse(Refusal(503, "5.5.1", "no TLS now", Reason.BAD_ORDER))
            return
        self._inbox.clear()
        try:
            await super().smtp_STARTTLS(None)
        except Exception:  # noqa: BLE001 whatever the handshake meets, the connection is of no use
            self._server.counters.refuse(Reason.TLS_FAILED)
            self._is_over = True
            self.abort()
            self.connection_lost(None)  # nobody else says so: the handshake never got to us
            return
        self._inbox.clear()
        self._server.counters.add(Event.TLS)
        self.talk = Talk(self.talk.remote, is_encrypted=True)

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802
        """PLAIN and LOGIN, for programs that insist on a password."""
        if not self._role.has_login:
            await self._refuse(Refusal(502, "5.5.1", "no login here", Reason.UNKNOWN_COMMAND))
            return
        if not self.talk.is_extended or self.talk.user is not None or self.talk.has_sender:
            await self._refuse(BAD_ORDER)
            return
        mechanism, _, first = (arg or "").partition(" ")
        ask = {"PLAIN": self._ask_plain, "LOGIN": self._ask_login}.get(mechanism.upper())
        if ask is None:
            await self._refuse(Refusal(504, "5.5.4", "only PLAIN and LOGIN", Reason.BAD_PARAMETER))
            return
        login = await ask(first.strip())
        if login is None:
            await self._refuse(
                Refusal(501, "5.5.2", "login cancelled or malformed", Reason.BAD_PARAMETER)
            )
            return
        user = await self._role.authenticate(*login)
        if user is not None:
            self.talk.user = user
            await self.push("235 2.7.0 welcome")
            return
        self._wrong_passwords += 1
        await self._refuse(Refusal(535, "5.7.8", "wrong user or password", Reason.BAD_PASSWORD))
        if self._wrong_passwords >= MAX_WRONG_PASSWORDS:
            await self._end(Refusal(421, "4.7.0", "too many tries", Reason.BAD_PASSWORD))

    async def _ask_plain(self, first: str) -> tuple[str, str] | None:
        answer = await self._challenge(b"") if not first else decode_login(first)
        return None if answer is None else decode_plain(answer)

    async def _ask_login(self, first: str) -> tuple[str, str] | None:
        name = await self._challenge(b"VXNlcm5hbWU6") if not first else decode_login(first)
        password = None if name is None else await self._challenge(b"UGFzc3dvcmQ6")
        if name is None or password is None:
            return None
        return name.decode("utf-8", "replace"), password.decode("utf-8", "replace")

    async def _challenge(self, question: bytes) -> bytes | None:
        await self.push(b"334 " + question)
        line = await self._next_line(self._inbox) if self._inbox is not None else None
        return None if line is None or line == b"*" else decode_login(line.decode("latin-1"))

    # --- A mail -----------------------------------------------------------------------------------

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Begin a mail."""
        if not self.talk.helo or self.talk.has_sender:
            await self._refuse(BAD_ORDER)
            return
        if self._mails >= MAX_MAILS:
            text = f"no more than {MAX_MAILS} mails in one session"
            await self._end(Refusal(421, "4.7.0", text, Reason.TOO_MANY_MAILS))
            return
        path = parse_path(arg, "FROM")
        refusal = path if isinstance(path, Refusal) else self._judge_mail(path)
        if refusal is not None or isinstance(path, Refusal):
            await self._refuse(refusal or OUR_FAULT)
            return
        self.talk.has_sender, self.talk.sender = True, path.mailbox
        self.talk.parameters = path.parameters
        await self.push("250 2.1.0 Ok")

    def _judge_mail(self, path: Path) -> Refusal | None:
        refusal = judge_mail_parameters(path.parameters, self._role.max_bytes, self._role.has_dsn)
        if refusal is not None:
            return refusal
        size = int(path.parameters.get("SIZE", 0))
        refusal = self._role.judge_sender(self.talk, path.mailbox, size)
        if refusal is None and not self._server.spool.has_room(size):
            return NO_ROOM
        return refusal

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """Add a recipient."""
        if not self.talk.has_sender:
            await self._refuse(BAD_ORDER)
            return
        recipient = self._judge_rcpt(arg)
        if isinstance(recipient, Refusal):
            await self._refuse(recipient)
            return
        self.talk.recipients.append(recipient)
        await self.push("250 2.1.5 Ok")

    def _judge_rcpt(self, arg: str | None) -> Recipient | Refusal:
        if len(self.talk.recipients) >= MAX_RECIPIENTS:
            text = f"no more than {MAX_RECIPIENTS} recipients at once"
            return Refusal(452, "4.5.3", text, Reason.TOO_MANY_RECIPIENTS)
        path = parse_path(arg, "TO")
        if isinstance(path, Refusal):
            return path
        refusal = judge_rcpt_parameters(path.parameters, self._role.has_dsn)
        if refusal is not None or path.mailbox is None:
            return refusal or OUR_FAULT
        return self._role.judge_recipient(self.talk, path.mailbox, path.parameters)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Take the message in; answer when the role has it on disk, or refuses it."""
        if arg or not self.talk.recipients or self._inbox is None:
            await self._refuse(BAD_ORDER)
            return
        await self.push("354 go on, end with a line that is a single dot")
        await self._flush()
        incoming = IncomingMessage(
            self._server.spool,
            self._role.max_bytes,
            lambda header: self._role.edit_header(self.talk, header),
        )
        try:
            refusal = await self._receive(incoming, self._inbox)
        except BaseException:
            with contextlib.suppress(asyncio.CancelledError):
                await incoming.remove()
            raise
        self._progress_at, self._commands = self.loop.time(), 0
        self._mails += 1
        self.talk.forget_mail()
        if refusal is None:
            await self.push("250 2.0.0 Ok, the mail is safe")
        elif refusal.reason is Reason.LOST:
            self._server.counters.refuse(refusal.reason)
        else:
            await self._refuse(refusal)

    async def _receive(self, incoming: IncomingMessage, inbox: Inbox) -> Refusal | None:
        began = self.loop.time()
        while not incoming.is_done:
            async with asyncio.timeout(IDLE_S):
                chunk = await inbox.chunk()
            refusal = _judge_progress(incoming, chunk, self.loop.time() - began)
            if refusal is not None:
                self._is_over = True
                await incoming.remove()
                return refusal
            rest = await incoming.feed(chunk)
        inbox.put_back(rest)
        message = await incoming.finish()
        if isinstance(message, Refusal):
            return message
        return await self._hand_over(message)

    async def _hand_over(self, message: Message) -> Refusal | None:
        """Let the role take the message, to the end even if this connection is lost meanwhile."""
        counters, size = self._server.counters, message.file.size
        talk = replace(self.talk)  # the role keeps this one, whatever happens to ours
        try:
            self._is_taking = True
            work = self._role.take(talk, message)
            refusal = await self._server.finish(work, TAKE_S)
        except Exception:  # noqa: BLE001 the client must hear something; the cause is in the log
            _log.exception("a message could not be taken")
            return OUR_FAULT
        finally:
            self._is_taking = False
        if refusal is None:
            counters.add(Event.MAIL)
            counters.add(Event.RECIPIENT, len(talk.recipients))
            counters.add(Event.BYTES, size)
        return refusal


def _judge_progress(incoming: IncomingMessage, chunk: bytes, seconds: float) -> Refusal | None:
    """Whether it makes sense to go on reading this message."""
    if not chunk:
        return Refusal(421, "4.4.2", "connection lost", Reason.LOST)
    if incoming.is_hopeless and incoming.refusal is not None:
        return incoming.refusal
    if seconds > SLOW_START_S and incoming.received_bytes < (seconds - SLOW_START_S) * MIN_RATE:
        return Refusal(421, "4.4.2", "the message comes too slowly", Reason.TOO_SLOW)
    return None
