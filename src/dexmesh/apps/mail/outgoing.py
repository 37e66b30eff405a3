"""Hand mails to the mail server of one node, over one connection.

Place     delivery.py gives the node and its work -> here -> what became of each recipient
Spec      docs/apps/mail.md §1 (spellings), §4 "Queue" (time limits); RFC 5321, RFC 3461 §4
Keeps     from our mesh address to the node's, nothing is looked up; every wait has a limit; a message is
          read from its file piece by piece; a recipient whose answer is unknown is tried again
Not here  who is called and when (delivery.py); what answers mean (proto/attempts.py)
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPHeloError, SMTPResponseException
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse

from dexmesh.apps.base.domains import parse_domain
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.liveness import notice_silence
from dexmesh.apps.mail.proto.attempts import (
    TEXT_GONE,
    Outcome,
    Verdict,
    judge,
    obstacle,
    unreachable,
)
from dexmesh.apps.mail.proto.sending import DotStuffer
from dexmesh.apps.mail.proto.spellings import candidates, may_be_spelling
from dexmesh.apps.mail.queue.rows import Notify, Recipient, Work
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address
from dexmesh.wire.keys import PublicKey

CONNECT_S = 30.0  # mail.md §4
GREETING_S = 300.0  # mail.md §4: a stock server with dead DNS takes 75 s
COMMAND_S = 300.0  # mail.md §4
DATA_S = 600.0  # mail.md §4
QUIT_S = 2.0  # ours
STALL_S = 300.0  # ours: a piece of the message that does not leave
START_INPUT = 354  # RFC 5321 §4.2
SERVICE_ENDS = 421  # RFC 5321 §3.8
CHUNK_BYTES = 128 << 10

_XTEXT = re.compile(r"[^!-*,-<>-~]")
_WORDS = {
    errno.ECONNREFUSED: "no mail server answers there",
    errno.EHOSTUNREACH: "no way leads there at the moment",
    errno.ENETUNREACH: "no way leads there at the moment",  # our own node says so (ICMPv6)
    errno.EADDRNOTAVAIL: "this machine is not on the mesh: `dexmesh up`",
    errno.ETIMEDOUT: "the node does not answer",
}


class CallError(Exception):
    """The node could not be spoken to; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Target:
    """A node to call; `spelling` is what it took last time, `key` its key if that is known."""

    address: Address
    port: int
    spelling: str | None
    key: PublicKey | None


Fate = tuple[Recipient, Outcome, bool]
"""A recipient, what became of it, and whether a receipt is ours to write."""


@asynccontextmanager
async def connected(
    me: Me,
    target: Target,
    within_s: float = CONNECT_S,
    taken: Callable[[socket.socket], None] | None = None,
) -> AsyncIterator[Outgoing]:
    """A session with the node's mail server; `taken` hears of the connection before the greeting.

    Raises CallError.
    """
    opened = await _connect(me, target, within_s)
    if taken is not None:
        taken(opened)
    client = SMTP(
        hostname=format_address(target.address),
        port=None,
        sock=opened,
        local_hostname=me.literal,
        start_tls=False,
        timeout=GREETING_S,
    )
    try:
        session = await _greet(client, me, target)
        yield session
        if not session.is_broken:
            with suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=QUIT_S)
    finally:
        _drop(client, opened)


async def _connect(me: Me, target: Target, within_s: float) -> socket.socket:
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    # With its protocol: asyncio switches TCP_NODELAY on only where it is told that this is TCP. Without, the
    # dot that ends a message waits for the acknowledgement of its text.
    opened = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_TCP)
    try:
        opened.setblocking(False)
        opened.bind((format_address(me.address), 0))
        async with asyncio.timeout(within_s):
            where = (format_address(target.address), target.port)
            await asyncio.get_running_loop().sock_connect(opened, where)
        notice_silence(opened)
    except TimeoutError:
        opened.close()
        raise CallError(unreachable(_WORDS[errno.ETIMEDOUT])) from None
    except OSError as error:
        opened.close()
        raise CallError(unreachable(_words(error))) from error
    except BaseException:
        opened.close()
        raise
    return opened


def _drop(client: SMTP, opened: socket.socket) -> None:
    """Close at once, also with a message half on its way."""
    transport = client.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()  # closes the socket once the loop has let go of it
    else:
        opened.close()


async def _greet(client: SMTP, me: Me, target: Target) -> Outgoing:
    try:
        await client.connect()
        try:
            await client.ehlo(timeout=COMMAND_S)
        except SMTPHeloError:  # a server older than RFC 1869
            await client.helo(timeout=COMMAND_S)
    except SMTPResponseException as error:
        said = judge(error.code, error.message)
        later = Outcome(Verdict.RETRY, said.code, said.enhanced, said.text)
        raise CallError(later) from error
    except (SMTPException, OSError) as error:
        raise CallError(unreachable(_words(error))) from error
    return Outgoing(client, me, target)


def _words(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if number is not None:
        return _WORDS.get(number, os.strerror(number))
    return " ".join(str(error).split()) or type(error).__name__


class Outgoing:
    """One session. Once `is_broken` it is of no more use."""

    def __init__(self, client: SMTP, me: Me, target: Target) -> None:
        self._client = client
        self._me = me
        self._target = target
        self._has_mail = False
        self.is_broken = False
        self.is_deciding = False
        """Whether the node has all of a message and has not said yet whether it takes it."""
        self.spelling: str | None = None
        """The domain the node took, once it took one."""

    async def hand_over(self, work: Work, path: Path) -> list[Fate]:
        """Send one message to its recipients. Nothing raises for what the other side does; when the
        connection breaks, `is_broken` is set.
        """
        fates: list[Fate] = []
        try:
            file = await asyncio.get_running_loop().run_in_executor(None, path.open, "rb")
        except OSError as error:
            self._settle_rest(work, fates, _unreadable(error))
            return fates
        with file:
            try:
                await self._hand_over(work, file, fates)
            except (SMTPException, OSError) as error:
                self.is_broken = True
                text = f"the connection broke: {_words(error)}"
                self._settle_rest(work, fates, unreachable(text))
            except ValueError:  # of aiosmtplib, before anything is sent
                text = "an address of it cannot be written in a command"
                self._settle_rest(work, fates, Outcome(Verdict.FAILED, 0, "5.1.3", text))
        return fates

    async def _hand_over(self, work: Work, file: BinaryIO, fates: list[Fate]) -> None:
        known, names = self._client.esmtp_extensions, [one.local for one in work.recipients]
        is_ascii = all(name.isascii() for name in (work.envelope.sender, *names))
        hindered = obstacle(work.envelope.needs, known, has_utf8_address=not is_ascii)
        if hindered is not None:
            self._settle_rest(work, fates, hindered)
            return
        await self._reset()
        said = await self._command("MAIL", f"FROM:<{self._sender(work)}>", self._mail_words(work))
        self._has_mail = True
        if said.verdict is not Verdict.DELIVERED:
            self._settle_rest(work, fates, said)
            return
        taken = []
        for one in work.recipients:
            answer = await self._recipient(one)
            if answer.verdict is Verdict.DELIVERED:
                taken.append(one)
            else:
                fates.append((one, answer, False))
        if taken:
            end = await self._data(file)
            self._has_mail = False
            has_dsn = "dsn" in self._client.esmtp_extensions
            fates += [(one, end, _wants_receipt(one) and not has_dsn) for one in taken]

    def _sender(self, work: Work) -> str:
        """On the wire we are a literal: old servers know nothing else (mail.md §1)."""
        local, _, domain = work.envelope.sender.rpartition("@")
        is_ours = parse_domain(domain) == self._me.address
        return f"{local}@{self._me.literal}" if is_ours else work.envelope.sender

    async def _reset(self) -> None:
        if self._has_mail:
            self._has_mail = False
            await self._client.execute_command(b"RSET", timeout=COMMAND_S)

    async def _recipient(self, one: Recipient) -> Outcome:
        """RCPT in the spelling that works; else in all the others, one after the other."""
        remembered = self.spelling or self._target.spelling
        domains = candidates(one.domain, self._target.address, remembered, self._target.key)
        first: Outcome | None = None
        for domain in domains:
            try:
                answer = await self._command(
                    "RCPT", f"TO:<{one.local}@{domain}>", self._words_of(one)
                )
            except (SMTPException, OSError):
                if first is None:
                    raise
                self.is_broken = True  # it hangs up on so many questions: its first answer counts
                return first
            if answer.verdict is Verdict.DELIVERED:
                self.spelling = domain
                return answer
            first = first or answer
            is_proven = domain == self.spelling  # it took this spelling for somebody else
            if is_proven or not may_be_spelling(answer.code, answer.enhanced):
                return answer if answer.verdict is Verdict.RETRY else first
        return first or unreachable("no spelling of the address is left")

    async def _command(self, verb: str, path: str, words: Sequence[str]) -> Outcome:
        if self.is_broken:
            raise ConnectionError("it was closed")
        line = " ".join(part for part in (verb, path, *words) if part).encode(
            "utf-8", "surrogateescape"
        )
        said = await self._client.execute_command(line, timeout=COMMAND_S)
        self.is_broken = said.code == SERVICE_ENDS
        return judge(said.code, said.message)

    def _mail_words(self, work: Work) -> list[str]:
        known, needs = self._client.esmtp_extensions, work.envelope.needs
        words = [f"SIZE={needs.size}"] if "size" in known else []
        words += ["BODY=8BITMIME"] if needs.is_8bit else []
        words += ["SMTPUTF8"] if needs.is_utf8 and "smtputf8" in known else []
        if "dsn" in known and work.envelope.sender:
            words.append("RET=FULL" if work.envelope.returns_full else "RET=HDRS")
            if work.envelope.envelope_id:
                words.append(f"ENVID={_xtext(work.envelope.envelope_id)}")
        return words

    def _words_of(self, one: Recipient) -> list[str]:
        if "dsn" not in self._client.esmtp_extensions:
            return []
        words = []
        if one.notify is not None:
            chosen = [word.name or "" for word in Notify if word in one.notify and word]
            words.append(f"NOTIFY={','.join(chosen) or 'NEVER'}")
        if one.original:
            words.append(f"ORCPT={_xtext(one.original)}")
        return words

    async def _data(self, file: BinaryIO) -> Outcome:
        answer = await self._command("DATA", "", ())
        if answer.code != START_INPUT:
            is_odd = answer.verdict is Verdict.DELIVERED
            return unreachable("a strange answer to DATA") if is_odd else answer
        protocol = self._client.protocol
        if protocol is None:
            raise ConnectionError("it was closed")
        answering = asyncio.create_task(protocol.read_response())
        try:
            return await self._text(file, protocol, answering)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _text(
        self, file: BinaryIO, protocol: SMTPProtocol, answering: asyncio.Task[SMTPResponse]
    ) -> Outcome:
        """The text, as fast as the other side takes it; it may answer before all of it is there."""
        stuffer, loop = DotStuffer(), asyncio.get_running_loop()
        while chunk := await loop.run_in_executor(None, file.read, CHUNK_BYTES):
            protocol.write(stuffer.feed(chunk))
            if await _answered_early(protocol, answering):
                self.is_broken = True  # the rest of the text is not for reading
                early = judge(*answering.result())
                is_odd = early.verdict is Verdict.DELIVERED
                return unreachable("an answer before the end of the text") if is_odd else early
        self.is_deciding = True
        protocol.write(b".\r\n")
        try:
            async with asyncio.timeout(DATA_S):
                said = await answering
        finally:
            self.is_deciding = False
        return judge(said.code, said.message)

    def _settle_rest(self, work: Work, fates: list[Fate], outcome: Outcome) -> None:
        """The same for every recipient that has no outcome yet."""
        settled = {one.id for one, *_ in fates}
        fates += [(one, outcome, False) for one in work.recipients if one.id not in settled]


async def _answered_early(protocol: SMTPProtocol, answering: asyncio.Task[SMTPResponse]) -> bool:
    """Wait until the socket takes more, so that a big message does not pile up in memory; or until
    the other side says something, which it should not yet.
    """
    draining = asyncio.ensure_future(protocol._drain_helper())  # as asyncio.StreamWriter.drain
    try:
        await asyncio.wait(
            (draining, answering), timeout=STALL_S, return_when=asyncio.FIRST_COMPLETED
        )
        if answering.done():
            return True
        if not draining.done():
            raise TimeoutError("the node takes no more of the text")
        draining.result()
        return False
    finally:
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)


def _unreadable(error: OSError) -> Outcome:
    """Our own disk."""
    if isinstance(error, FileNotFoundError):
        return TEXT_GONE
    return Outcome(Verdict.RETRY, 0, "4.3.0", "the disk of this machine cannot be read now")


def _wants_receipt(one: Recipient) -> bool:
    return one.notify is not None and Notify.SUCCESS in one.notify


def _xtext(text: str) -> str:
    """RFC 3461 §4: what may not stand in a parameter as it is, as +XX."""
    return _XTEXT.sub(lambda match: "".join(f"+{byte:02X}" for byte in match[0].encode()), text)
