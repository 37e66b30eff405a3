"""Keep in SQLite what was delivered, how full the store is, who is blocked and what strangers sent.

Place     commit.py, quota.py, strangers.py -> here -> home/mail/received.db
Spec      docs/apps/mail.md §4 "Duplicate guard"; https://sqlite.org/wal.html
Keeps     what a method did is on disk when it returns, or it raises and nothing is changed; after an
          error the file is opened anew, by its name; at most MAX_ROWS deliveries are remembered,
          for GUARD_S
Not here  the messages (maildir.py, mbox.py), threads: one caller at a time (writer.py)
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NewType

from dexmesh.apps.mail.proto.strangers import Pair, StrangerCount
from dexmesh.apps.mail.store.values import OUTGOING, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

DeliveryId = NewType("DeliveryId", bytes)
"""Names a mail for a user: 16 bytes, the same for every re-send of it."""

GUARD_S = 7 * 86400  # docs/apps/mail.md §4: a re-send within 7 days is a duplicate
MAX_ROWS = 500_000  # ours; beyond it the oldest are forgotten early
MAX_BLOCKED = 100_000  # ours
_PURGE_ROWS = 1000  # ours: forgotten at a time
_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivered (
    id BLOB PRIMARY KEY, unix_time INTEGER NOT NULL, user TEXT NOT NULL, folder TEXT NOT NULL,
    key TEXT NOT NULL, sender TEXT NOT NULL, mbox_start INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivered_time ON delivered (unix_time);
CREATE TABLE IF NOT EXISTS used (user TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocked (address BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS strangers (
    address BLOB NOT NULL, user TEXT NOT NULL, day INTEGER NOT NULL, mails INTEGER NOT NULL,
    bytes INTEGER NOT NULL, PRIMARY KEY (address, user)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writes (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER);
INSERT OR IGNORE INTO writes VALUES (1, 0);
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery: decided, and done unless its staged file is still there.

    `mbox_start` is the length of the mbox before the mail was appended, None for a Maildir.
    """

    id: DeliveryId
    unix_time: int
    user: str
    folder: str
    key: str
    sender: str = ""
    mbox_start: int | None = None


def delivery_id(mail: ReceivedMail) -> DeliveryId:
    """The same for the same (node, Message-ID, body, user); INBOX and Requests make no difference."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (
        mail.remote or b"",
        mail.message_id.encode("utf-8", "surrogateescape"),
        mail.body_hash,
        mail.user.encode(),
        mail.folder.encode() if mail.folder in OUTGOING else b"",
    ):
        digest.update(len(part).to_bytes(4, "big") + part)
    return DeliveryId(digest.digest())


class Journal:
    """The tables. Every method raises sqlite3.Error or OSError when the disk does not take it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._rows = 0
        self._last_purge = 0.0
        self.forgotten_early = 0

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # Deliveries

    def find(self, ids: Iterable[DeliveryId]) -> dict[DeliveryId, Row]:
        """Those of these deliveries that are remembered."""
        found = {}
        with self._using() as connection:
            for one in ids:
                query = "SELECT * FROM delivered WHERE id = ?"
                values = connection.execute(query, (one,)).fetchone()
                if values is not None:
                    found[one] = Row(*values)
        return found

    def add(self, rows: Iterable[Row], used: Mapping[str, int], unix_time: float) -> None:
        """Remember deliveries, and how much each user has now: all of it or nothing."""
        values = [
            (row.id, row.unix_time, row.user, row.folder, row.key, row.sender, row.mbox_start)
            for row in rows
        ]
        with self._change() as connection:
            connection.executemany("INSERT INTO delivered VALUES (?,?,?,?,?,?,?)", values)
            _write_used(connection, used)
            self._purge(connection, unix_time, len(values))
        self._rows += len(values)

    def forget(self, ids: Iterable[DeliveryId]) -> None:
        """Deliveries that came to nothing. When this returns, no crash brings them back."""
        with self._change() as connection:
            connection.executemany("DELETE FROM delivered WHERE id = ?", [(one,) for one in ids])
            # A commit that failed half-way may lie in the log, valid; this one is written over it.
            connection.execute("UPDATE writes SET count = count + 1")

    def _purge(self, connection: sqlite3.Connection, unix_time: float, added: int) -> None:
        oldest = (
            "DELETE FROM delivered WHERE id IN"
            " (SELECT id FROM delivered WHERE unix_time < ? ORDER BY unix_time LIMIT ?)"
        )
        over = self._rows + added - MAX_ROWS
        if over > 0:
            done = connection.execute(oldest, (1 << 62, over + _PURGE_ROWS))
            self._rows -= done.rowcount
            self.forgotten_early += done.rowcount
        elif abs(unix_time - self._last_purge) > 60:
            done = connection.execute(oldest, (int(unix_time - GUARD_S), _PURGE_ROWS))
            self._rows -= done.rowcount
            if done.rowcount < _PURGE_ROWS:
                self._last_purge = unix_time

    # Quota

    def used(self) -> dict[str, int]:
        """How many bytes each user had when last counted."""
        with self._using() as connection:
            return dict(connection.execute("SELECT user, bytes FROM used").fetchall())

    def set_used(self, used: Mapping[str, int]) -> None:
        """What a count found."""
        with self._change() as connection:
            _write_used(connection, used)

    # Blocked nodes and strangers

    def blocked(self) -> set[Address]:
        """Every blocked node."""
        with self._using() as connection:
            return {Address(row[0]) for row in connection.execute("SELECT address FROM blocked")}

    def block(self, address: Address) -> None:
        """Block a node. Raises MailError when MAX_BLOCKED are."""
        with self._change() as connection:
            (count,) = connection.execute("SELECT count(*) FROM blocked").fetchone()
            if count >= MAX_BLOCKED:
                raise MailError(
                    452, "4.3.1", f"{MAX_BLOCKED} nodes are blocked already", hint="unblock some"
                )
            connection.execute("INSERT OR IGNORE INTO blocked VALUES (?)", (address,))

    def unblock(self, address: Address) -> None:
        """Let a node in again."""
        with self._change() as connection:
            connection.execute("DELETE FROM blocked WHERE address = ?", (address,))

    def strangers(self) -> tuple[int, dict[Pair, StrangerCount]]:
        """The last day strangers were counted on, and what each sent to whom."""
        query = "SELECT day, address, user, mails, bytes FROM strangers"
        with self._using() as connection:
            rows = connection.execute(query).fetchall()
        today = max((row[0] for row in rows), default=0)
        return today, {
            (Address(address), user): StrangerCount(mails, size)
            for day, address, user, mails, size in rows
            if day == today
        }

    def set_strangers(self, day: int, counts: Mapping[Pair, StrangerCount | None]) -> None:
        """What strangers sent to users that day; None takes the line out. Other days are forgotten."""
        insert = "INSERT OR REPLACE INTO strangers VALUES (?,?,?,?,?)"
        with self._change() as connection:
            connection.execute("DELETE FROM strangers WHERE day <> ?", (day,))
            for pair, count in counts.items():
                if count is None:
                    connection.execute("DELETE FROM strangers WHERE address = ? AND user = ?", pair)
                else:
                    connection.execute(insert, (*pair, day, count.mails, count.size))

    # The file

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._open()
            assert self._connection is not None  # noqa: S101 for the type checker
            yield self._connection
        except sqlite3.Error:
            self.close()  # the file system may have gone and come back meanwhile
            raise

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def _open(self) -> None:
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            self._set_aside()
            self._connection = self._connect()

    def _set_aside(self) -> None:
        """No mail is lost with a broken journal; only re-sends of this week may come twice."""
        _log.error("the journal of received mail is broken and set aside, a new one begins")
        for ending in ("-wal", "-shm", ""):
            part = self._path.with_name(self._path.name + ending)
            with contextlib.suppress(FileNotFoundError):
                part.rename(part.with_name(f"broken-{part.name}"))

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=5, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 500")
            connection.execute("PRAGMA journal_size_limit = 4194304")
            connection.executescript(_SCHEMA)
            (self._rows,) = connection.execute("SELECT count(*) FROM delivered").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


def _write_used(connection: sqlite3.Connection, used: Mapping[str, int]) -> None:
    connection.executemany("INSERT OR REPLACE INTO used VALUES (?,?)", list(used.items()))
