"""Keep the passwords of the local mail users, and let nobody guess them.

Place     IMAP and submission logins -> here; `dexmesh mail password` -> here -> home/mail/passwords
Spec      docs/apps/mail.md §4 "Reading" (logins are local); the format below is ours
Keeps     the file is 0600 and replaced whole; a password is shown once, when it is made, and only its
          scrypt hash stays; unknown users cost as much time as known ones; guessing is slowed down
          per user, with a table that cannot grow
Not here  who may use the control socket (base/control.py): that needs no password

One line a user: `name:scrypt:14:8:1:<salt, hex>:<hash, hex>` (log2 N, r, p).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.config.files import write_secret_file
from dexmesh.errors import HostError
from dexmesh.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

LOG_N, R, P = 14, 8, 1  # ours: 16 MiB and about 50 ms a try
LONGEST_PASSWORD = 256  # ours, characters
MOST_USERS = 1000  # ours
FREE_FAILURES = 10  # ours: wrong tries a user has at once
REFILL_S = 5.0  # ours: and one more every so often
CHECKS_AT_ONCE = 2  # ours: of 16 MiB each

_SALT_BYTES, _HASH_BYTES = 16, 32
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Hashed:
    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def matches(self, password: str) -> bool:
        made = _scrypt(password, self.salt, self.log_n, self.r, self.p)
        return hmac.compare_digest(made, self.digest)


_NOBODY = _Hashed(LOG_N, R, P, bytes(_SALT_BYTES), bytes(_HASH_BYTES))


class PasswordBook:
    """The file with the hashes. Reads it anew for each question: it is small, and others write it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def renew(self, user: str) -> str:
        """Give the user a new password and return it; the old one is void. Raises HostError."""
        if not user or any(c in user for c in ":\r\n\0"):
            raise HostError(f"{user!r} cannot have a password: no ':' and no line ends in names")
        entries = self._read()
        entries[user] = hash_password(password := make_password())
        if len(entries) > MOST_USERS:
            raise HostError(f"more than {MOST_USERS} users have a password")
        self._write(entries)
        return password

    def remove(self, user: str) -> bool:
        """Take the user's password away; False if he had none. Raises HostError."""
        entries = self._read()
        if entries.pop(user, None) is None:
            return False
        self._write(entries)
        return True

    def has(self, user: str) -> bool:
        """Whether this user has a password."""
        return user in self._read()

    def check(self, user: str, password: str) -> bool:
        """Whether this is the user's password. Takes some 50 ms on purpose: not for an event loop."""
        text = self._read().get(user)
        known = _parse(text) if text is not None else None
        is_right = (known or _NOBODY).matches(password[:LONGEST_PASSWORD])
        return is_right and known is not None and len(password) <= LONGEST_PASSWORD

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_FILE_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise HostError(f"{self._path} cannot be read: {error.strerror}") from None
        lines = (line.partition(":") for line in text.splitlines())
        return {user: rest for user, _, rest in lines if user and not user.startswith("#")}

    def _write(self, entries: dict[str, str]) -> None:
        text = "".join(f"{user}:{rest}\n" for user, rest in entries.items())
        write_secret_file(self._path, text, overwrite=True)


def make_password() -> str:
    """Four groups of four letters and digits: 79 bits, easy to type."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hash_password(password: str) -> str:
    """What the file says about a password, after the user's name."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(password, salt, LOG_N, R, P)
    return f"scrypt:{LOG_N}:{R}:{P}:{salt.hex()}:{digest.hex()}"


def _parse(text: str) -> _Hashed | None:
    """The hash a line holds; None where it is none of ours, or so costly that it would hurt."""
    try:
        kind, log_n, r, p, salt, digest = text.strip().split(":")
        found = _Hashed(int(log_n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(digest))
    except ValueError:
        return None
    is_ours = kind == "scrypt" and 1 <= found.log_n <= LOG_N and found.r == R and found.p == P
    return found if is_ours and found.salt and len(found.digest) == _HASH_BYTES else None


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, dklen=_HASH_BYTES)


class GuessLimiter:
    """How many wrong passwords a user may have. Reads no clock.

    Only users who exist have a place of their own; all others share one, so the table is bounded.
    """

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, float]] = {}  # user -> failures counted, at

    def wait_s(self, user: str, now: float) -> float:
        """Seconds until this user may try again; 0 if at once."""
        return max(0.0, (self._level(user, now) - (FREE_FAILURES - 1)) * REFILL_S)

    def handle_failure(self, user: str, now: float) -> None:
        """One wrong password more."""
        self._spent[user] = (self._level(user, now) + 1, now)

    def handle_success(self, user: str) -> None:
        """The right password: all is forgiven."""
        self._spent.pop(user, None)

    def _level(self, user: str, now: float) -> float:
        level, at = self._spent.get(user, (0.0, now))
        return max(0.0, level - (now - at) / REFILL_S)


class Logins:
    """Checks passwords away from the event loop, few at a time, and refuses those who guess."""

    def __init__(
        self,
        book: PasswordBook,
        is_user: Callable[[str], bool],
        executor: Executor | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._is_user = is_user
        self._executor = executor
        self._now = now
        self._limiter = GuessLimiter()
        self._places = asyncio.Semaphore(CHECKS_AT_ONCE)
        self.refused: dict[str, int] = {"wrong password": 0, "too many tries": 0}

    async def check(self, user: str, password: str) -> bool:
        """Whether this is a local user with his password."""
        account = user if self._is_user(user) else ""
        async with self._places:
            if self._limiter.wait_s(account, self._now()) > 0:
                self.refused["too many tries"] += 1
                return False
            loop = asyncio.get_running_loop()
            is_right = await loop.run_in_executor(
                self._executor, self._book.check, account, password
            )
            if is_right and account:
                self._limiter.handle_success(account)
                return True
            self._limiter.handle_failure(account, self._now())
            self.refused["wrong password"] += 1
            return False
