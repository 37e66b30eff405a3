"""Answer admin datagrams: read, authenticate, call, write.

Place     endpoint.py hands datagrams in and sends what comes out; functions/* do the work
Spec      docs/protocol/08 §1 (limits, silence), §3 (envelope), §4 (authentication)
Keeps     one datagram gives at most one immediate reply; anything that is no request gives none;
          at most MAX_PENDING calls wait for their answers
Not here  sockets, tasks and clocks (endpoint.py)
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable

from dexmesh.admin.auth import Authenticator, Source, cookie_at
from dexmesh.admin.registry import Arguments, Caller, Function, Registry
from dexmesh.admin.values import Answer, encode_answer
from dexmesh.errors import AdminError, DecodeError, DexmeshError, UnknownFunctionError
from dexmesh.values import dataclass
from dexmesh.wire.bencode import BencodeDict, decode_bencode_dict

MAX_REQUEST_BYTES = 512  # 08 §1
TOO_BIG = b"d5:error16:Request too big.e"  # 08 §1: always these bytes
UNKNOWN_FUNCTION = "No functions matched your request, try Admin_availableFunctions()"  # 08 §3
AUTH_FAILED = "Auth failed."  # 08 §4
BUSY = "no open slots to store ping, try later."  # 08 §6.5; ours for every function that waits
UNKNOWN_ERROR = "Unknown error."  # 08 §6.2

MAX_PENDING = 64  # ours

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    """A datagram to send."""

    source: Source
    data: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A call whose answers come later: await or iterate `answers`, then `finish` it."""

    source: Source
    txid: bytes
    answers: Awaitable[Answer] | AsyncGenerator[Answer, None]


class AdminServer:
    """One per node. Performs no I/O itself; what its functions do is behind NodeServices.

    `drops` counts the datagrams that got no reply, and replies that were not sent, by reason.
    """

    def __init__(self, registry: Registry, password: bytes) -> None:
        self._registry = registry
        self._authenticator = Authenticator(password)
        self._pending = 0
        self.drops: Counter[str] = Counter()

    def handle_datagram(
        self, data: bytes, source: Source, unix_ms: int, now: float
    ) -> Reply | Pending | None:
        """What to do about a datagram: send a reply, wait for one, or nothing."""
        if len(data) > MAX_REQUEST_BYTES:
            return Reply(source, TOO_BIG)
        try:
            request = decode_bencode_dict(data, max_bytes=MAX_REQUEST_BYTES)
        except DecodeError:
            self.drop("admin: not a request")
            return None
        query = request.get(b"q")
        if not isinstance(query, bytes):
            self.drop("admin: not a request")
            return None
        txid = request.get(b"txid")
        txid = txid if isinstance(txid, bytes) else b""
        try:
            if query == b"cookie":
                return self._reply(source, txid, {"cookie": str(cookie_at(unix_ms))})
            return self._call(query, data, request, self._caller(source, txid, unix_ms, now))
        except AdminError as error:
            return self._reply(source, txid, {"error": error.wire_text})

    def late_reply(self, pending: Pending, answer: Answer, now: float) -> Reply | None:
        """The datagram for an answer that came later; None if its caller is tracked no more."""
        if not self.is_tracked(pending.source, now):
            self.drop("admin: reply to a caller that left")
            return None
        return self._reply(pending.source, pending.txid, answer)

    def finish(self, pending: Pending) -> None:
        """No more answers come for this call."""
        self._pending -= 1

    def is_tracked(self, source: Source, now: float) -> bool:
        """Whether messages may be sent to this source on their own (08 §4.1)."""
        return self._authenticator.tracked.holds(source, now)

    def drop(self, reason: str) -> None:
        """Count a datagram that is not answered, or a reply that is not sent."""
        self.drops[reason] += 1

    def _caller(self, source: Source, txid: bytes, unix_ms: int, now: float) -> Caller:
        tracked = self._authenticator.tracked
        if self._authenticator.is_open:
            tracked.learn(source, now)
        return Caller(source, txid, tracked.refresh(source, now), now, unix_ms)

    def _call(
        self, query: bytes, data: bytes, request: BencodeDict, caller: Caller
    ) -> Reply | Pending:
        """Call the function a request asks for. Raises AdminError."""
        name, is_authenticated = query, self._authenticator.is_open
        if query == b"auth":
            name = self._authenticated_name(data, request, caller)
            is_authenticated = True
            caller = Caller(caller.source, caller.txid, True, caller.now, caller.unix_ms)
        function = self._registry.find(name, is_authenticated=is_authenticated)
        if function is None:
            raise UnknownFunctionError(UNKNOWN_FUNCTION)
        given = request.get(b"args")
        arguments = function.check(given if isinstance(given, dict) else {})
        return self._run(function, arguments, caller)

    def _authenticated_name(self, data: bytes, request: BencodeDict, caller: Caller) -> bytes:
        """The function an authenticated request asks for, empty if it names none."""
        admitted = self._authenticator.admits(
            data, request, caller.source, caller.unix_ms, caller.now
        )
        if not admitted:
            raise AdminError(AUTH_FAILED)
        self._authenticator.tracked.learn(caller.source, caller.now)
        name = request.get(b"aq")
        return name if isinstance(name, bytes) else b""

    def _run(self, function: Function, arguments: Arguments, caller: Caller) -> Reply | Pending:
        if function.is_late and self._pending >= MAX_PENDING:
            raise AdminError(BUSY)
        try:
            outcome = function.handler(arguments, caller)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not leave the caller waiting
            return self._reply(caller.source, caller.txid, answer_of(error))
        if isinstance(outcome, Awaitable | AsyncGenerator):
            self._pending += 1
            return Pending(caller.source, caller.txid, outcome)
        return self._reply(caller.source, caller.txid, outcome)

    def _reply(self, source: Source, txid: bytes, answer: Answer) -> Reply:
        return Reply(source, encode_answer(answer, txid))


def answer_of(error: Exception) -> Answer:
    """What a caller may read about a failure; even a bug of ours is answered, and logged."""
    if isinstance(error, AdminError):
        return {"error": error.wire_text}
    is_bug = not isinstance(error, DexmeshError)
    trace = error if is_bug else None
    log.warning("an admin call failed", extra={"reason": str(error)}, exc_info=trace)
    return {"error": UNKNOWN_ERROR}
