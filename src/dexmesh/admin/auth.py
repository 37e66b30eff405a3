"""Decide who may call what: cookies, hashes over raw datagrams, tracked addresses.

Place     server.py asks; exchange.py makes the hashes a client needs with the same functions
Spec      docs/protocol/08 §4, §4.1 and §11
Keeps     the received bytes are hashed, never a re-encoding; comparison takes constant time;
          every table is bounded, the least recently used entry gives way
Not here  the clock: `unix_ms` and `now` come in
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections import OrderedDict
from typing import TypeAlias

from dexmesh.errors import BindError
from dexmesh.wire.bencode import BencodeDict, BencodeValue

Source: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""Where a datagram came from, as sockets say it: host, port, and two more numbers with IPv6."""

COOKIE_UNIT_MS = 1024  # 08 §4
COOKIE_WINDOW = 20  # 08 §4: cookies this many units old are accepted, none from the future
HASHED_BYTES = 63  # 08 §4: of password and cookie together
HASH_DIGITS = 64
OPEN_PASSWORD = b"NONE"  # 08 §4: everybody may call everything

TRACKED_S = 30.0  # 08 §4.1
MAX_TRACKED = 1024  # ours

FAILURE_BURST = 20  # ours: wrong passwords in a row before an address has to wait
FAILURES_PER_S = 2.0  # ours: and how fast it may try again
MAX_FAILING = 1024  # ours

_DIGITS = re.compile(rb"[0-9]{1,20}")


def cookie_at(unix_ms: int) -> int:
    """The cookie of this moment: units of 1.024 s since the Unix epoch."""
    return unix_ms // COOKIE_UNIT_MS


def password_hash(password: bytes, cookie: int) -> bytes:
    """`h1` of 08 §4: 64 hex digits that stand where the hash of the datagram will be."""
    text = (password + b"%d" % cookie)[:HASHED_BYTES]
    return hashlib.sha256(text).hexdigest().encode()


def datagram_hash(datagram: bytes) -> bytes:
    """`h2` of 08 §4: the hash of a datagram that carries `h1`."""
    return hashlib.sha256(datagram).hexdigest().encode()


def refuse_open_bind(host: str, password: bytes | None) -> None:
    """Raise BindError for an admin address that others reach without a password worth the name."""
    is_open = password in (OPEN_PASSWORD, b"")
    if is_open and not ipaddress.ip_address(host).is_loopback:
        raise BindError(
            f"the admin address {host} can be reached by others, and its password is NONE",
            'Bind "admin" to 127.0.0.1, or give it a password.',
        )


class Authenticator:
    """One per server: holds the admin password, and who has shown that they know it."""

    def __init__(self, password: bytes) -> None:
        self._password = password
        self._failures = FailureLimit()
        self.tracked = TrackedAddresses()

    @property
    def is_open(self) -> bool:
        """Whether everybody may call everything."""
        return self._password == OPEN_PASSWORD

    def admits(
        self, data: bytes, request: BencodeDict, source: Source, unix_ms: int, now: float
    ) -> bool:
        """Whether this request (`data` as it came) proves that its sender knows the password.

        An address that guessed too often is refused unheard, unless its port is a tracked one.
        """
        is_known = self.tracked.holds(source, now)
        if not is_known and not self._failures.allows(source[0], now):
            return False
        if _is_proved(self._password, data, request, unix_ms):
            return True
        self._failures.learn(source[0], now)
        return False


def _is_proved(password: bytes, data: bytes, request: BencodeDict, unix_ms: int) -> bool:
    cookie, claimed = _cookie_of(request.get(b"cookie")), request.get(b"hash")
    if cookie is None or not 0 <= cookie_at(unix_ms) - cookie <= COOKIE_WINDOW:
        return False
    if not isinstance(claimed, bytes) or len(claimed) != HASH_DIGITS:
        return False
    signed = data.replace(claimed, password_hash(password, cookie), 1)
    return hmac.compare_digest(datagram_hash(signed), claimed)


def _cookie_of(value: BencodeValue | None) -> int | None:
    if isinstance(value, int):
        return value
    if isinstance(value, bytes) and _DIGITS.fullmatch(value):
        return int(value)
    return None


class TrackedAddresses:
    """Where delayed replies may be sent: sources that proved the password lately (08 §4.1)."""

    def __init__(self) -> None:
        self._last: OrderedDict[Source, float] = OrderedDict()

    def learn(self, source: Source, now: float) -> None:
        """Track a source from now on; the one silent for longest gives way if there are too many."""
        self._last[source] = now
        self._last.move_to_end(source)
        if len(self._last) > MAX_TRACKED:
            self._last.popitem(last=False)

    def refresh(self, source: Source, now: float) -> bool:
        """Whether the source is tracked; if so, for another TRACKED_S."""
        if not self.holds(source, now):
            return False
        self.learn(source, now)
        return True

    def holds(self, source: Source, now: float) -> bool:
        """Whether the source is tracked. One that is so no more is forgotten."""
        last = self._last.get(source)
        if last is None:
            return False
        if now - last <= TRACKED_S:
            return True
        del self._last[source]
        return False

    def __len__(self) -> int:
        return len(self._last)


class FailureLimit:
    """How often an address may still guess: a bucket of FAILURE_BURST guesses each."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, host: str, now: float) -> bool:
        """Whether one more guess is listened to."""
        return self._left(host, now) >= 1

    def learn(self, host: str, now: float) -> None:
        """A guess was wrong."""
        left = max(self._left(host, now) - 1, 0)
        self._buckets[host] = (left, now)
        self._buckets.move_to_end(host)
        if len(self._buckets) > MAX_FAILING:
            self._buckets.popitem(last=False)

    def _left(self, host: str, now: float) -> float:
        left, since = self._buckets.get(host, (float(FAILURE_BURST), now))
        return min(left + (now - since) * FAILURES_PER_S, FAILURE_BURST)

    def __len__(self) -> int:
        return len(self._buckets)
