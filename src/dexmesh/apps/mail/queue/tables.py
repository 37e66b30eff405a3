"""The tables of the queue: how they look, and how mails enter, are shown and are taken out.

Place     mailqueue.py calls these with the connection of its thread -> SQLite
Spec      docs/apps/mail.md §4 Queue
Keeps     one row per recipient; a message without rows has no file; every question is answered
          from an index, however long the queue is
Not here  what happens to mails on their way out (progress.py, reports.py), threads (writer.py)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dexmesh.apps.mail.proto.schedule import QueueClock
from dexmesh.apps.mail.queue import texts
from dexmesh.apps.mail.queue.files import Written
from dexmesh.apps.mail.queue.rows import DsnAsked, QueueId, State, Waiting
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

VERSION = 2
BUSY_S = 10.0
MAX_SPELLINGS = 20_000  # ours: the longest unused is forgotten

_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, sender TEXT NOT NULL,
    user TEXT NOT NULL, size INTEGER NOT NULL, is_8bit INTEGER NOT NULL, is_utf8 INTEGER NOT NULL,
    returns_full INTEGER NOT NULL, envelope_id TEXT NOT NULL, created_unix REAL NOT NULL);
CREATE TABLE recipients (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL, address BLOB NOT NULL,
    local TEXT NOT NULL, domain TEXT NOT NULL, notify INTEGER, original TEXT NOT NULL,
    created_q REAL NOT NULL, next_q REAL NOT NULL, tried_q REAL, tries INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0, code INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT '',
    report INTEGER, warning INTEGER);
CREATE INDEX recipients_waiting ON recipients (address, next_q, message) WHERE state = 0;
CREATE INDEX recipients_aging ON recipients (address, created_q) WHERE state = 0;
CREATE INDEX recipients_of ON recipients (message);
CREATE INDEX recipients_reported ON recipients (report) WHERE report IS NOT NULL;
CREATE INDEX recipients_warned ON recipients (warning) WHERE warning IS NOT NULL;
CREATE TABLE remotes (
    address BLOB PRIMARY KEY, tries INTEGER NOT NULL DEFAULT 0, next_q REAL NOT NULL,
    text TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX remotes_due ON remotes (next_q);
CREATE TABLE reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT, message INTEGER NOT NULL, action TEXT NOT NULL,
    address BLOB NOT NULL, created_unix REAL NOT NULL, next_q REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0);
CREATE INDEX reports_due ON reports (next_q);
CREATE TABLE spellings (
    address BLOB PRIMARY KEY, domain TEXT NOT NULL, used_q REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), q REAL NOT NULL, unix REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Gone:
    """A message that left the tables: its file may be removed."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail on its way into the tables. Addresses go with the recipients (local, domain)."""

    written: Written
    sender: str
    user: str
    recipients: Sequence[tuple[Address, str, str]]
    asked: DsnAsked


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread; commits wait for the disk."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -2048")
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables that are not there; those of older versions stay as they are."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    missing = (_SCHEMA, texts.SCHEMA)[version:]
    for schema in missing:
        for statement in schema.split(";"):
            connection.execute(statement)
    if missing:
        connection.execute(f"PRAGMA user_version = {VERSION}")


def resume_clock(connection: sqlite3.Connection, unix_time: float, now: float) -> QueueClock:
    """The clock that goes on where the last run ended."""
    row = connection.execute("SELECT q, unix FROM clock").fetchone()
    if row is None:
        return QueueClock(-now)
    return QueueClock.resume(row[0], row[1], unix_time=unix_time, now=now)


def save_clock(connection: sqlite3.Connection, q: float, unix_time: float) -> None:
    """Remember how late it is."""
    connection.execute(
        "INSERT INTO clock VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET q = excluded.q,"
        " unix = excluded.unix",
        (q, unix_time),
    )


def reconcile(connection: sqlite3.Connection, names: set[str]) -> tuple[set[str], list[QueueId]]:
    """After a crash: the files nobody needs, and the mails whose file is lost."""
    known = {file: QueueId(number) for number, file in _all_files(connection)}
    lost = [number for file, number in known.items() if file not in names]
    connection.execute(
        "DELETE FROM remotes WHERE NOT EXISTS (SELECT 1 FROM recipients"
        " WHERE recipients.address = remotes.address AND state = 0)"
    )
    return names - known.keys(), lost


def _all_files(connection: sqlite3.Connection) -> Iterable[tuple[int, str]]:
    return connection.execute("SELECT id, file FROM messages")


def totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many messages there are, and their bytes."""
    count, size = connection.execute("SELECT COUNT(*), TOTAL(size) FROM messages").fetchone()
    return count, int(size)


def add(connection: sqlite3.Connection, mail: NewMail, q: float, unix_time: float) -> QueueId:
    """A mail enters; its nodes are called at once."""
    needs, asked = mail.written.needs, mail.asked
    is_utf8 = (
        needs.is_utf8 or not (mail.sender + "".join(one[1] for one in mail.recipients)).isascii()
    )
    cursor = connection.execute(
        "INSERT INTO messages (file, sender, user, size, is_8bit, is_utf8, returns_full,"
        " envelope_id, created_unix) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(mail.written.file, mail.sender, mail.user, needs.size, needs.is_8bit, is_utf8),
            *(asked.returns_full, asked.envelope_id, unix_time),
        ),
    )
    number = cursor.lastrowid
    for position, (address, local, domain) in enumerate(mail.recipients):
        notify = asked.notify_of(position)
        connection.execute(
            "INSERT INTO recipients (message, address, local, domain, notify, original, created_q,"
            " next_q) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, address, local, domain, None if notify is None else int(notify)),
                *(asked.original_of(position), q, q),
            ),
        )
    for address in {address for address, _, _ in mail.recipients}:
        wake(connection, address, q)
    return QueueId(number or 0)


def wake(connection: sqlite3.Connection, address: Address, q: float) -> None:
    """Call a node now, and begin its schedule anew. What it said last time is kept."""
    connection.execute(
        "INSERT INTO remotes (address, next_q) VALUES (?, ?) ON CONFLICT DO UPDATE SET"
        " next_q = MIN(next_q, excluded.next_q), tries = MIN(tries, 1)",
        (address, q),
    )


def remove_if_done(connection: sqlite3.Connection, message: int) -> list[Gone]:
    """Take a message out once none of its recipients is left."""
    left = connection.execute("SELECT 1 FROM recipients WHERE message = ? LIMIT 1", (message,))
    if left.fetchone() is not None:
        return []
    row = connection.execute("SELECT file, size FROM messages WHERE id = ?", (message,)).fetchone()
    connection.execute("DELETE FROM messages WHERE id = ?", (message,))
    connection.execute("DELETE FROM reports WHERE message = ?", (message,))
    return [] if row is None else [Gone(*row)]


def cancel(
    connection: sqlite3.Connection, message: QueueId, user: str | None
) -> tuple[int, list[Gone]]:
    """Take a mail out; how many recipients will not get it. Other users' mails are not found."""
    if not _belongs(connection, message, user):
        return 0, []
    rows = connection.execute(
        "DELETE FROM recipients WHERE message = ? AND state = ? RETURNING address",
        (message, State.WAITING),
    ).fetchall()
    for address in {row[0] for row in rows}:
        drop_idle_remote(connection, address)
    return len(rows), remove_if_done(connection, message)


def retry(
    connection: sqlite3.Connection, message: QueueId, user: str | None, q: float
) -> list[Address]:
    """Make a mail due now; the nodes it is for."""
    if not _belongs(connection, message, user):
        return []
    rows = connection.execute(
        "UPDATE recipients SET next_q = MIN(next_q, ?) WHERE message = ? AND state = ?"
        " RETURNING address",
        (q, message, State.WAITING),
    ).fetchall()
    addresses = sorted({Address(row[0]) for row in rows})
    for address in addresses:
        wake(connection, address, q)
    return addresses


def silent_nodes(connection: sqlite3.Connection, limit: int) -> list[Address]:
    """The nodes that did not answer the last call, those called next first."""
    rows = connection.execute(
        "SELECT address FROM remotes WHERE tries > 0 ORDER BY next_q LIMIT ?", (limit,)
    )
    return [Address(address) for (address,) in rows]


def drop_idle_remote(connection: sqlite3.Connection, address: Address) -> None:
    """Forget a node that no mail waits for."""
    connection.execute(
        "DELETE FROM remotes WHERE address = ? AND NOT EXISTS (SELECT 1 FROM recipients"
        " WHERE address = ? AND state = 0)",
        (address, address),
    )


def _belongs(connection: sqlite3.Connection, message: QueueId, user: str | None) -> bool:
    row = connection.execute("SELECT user FROM messages WHERE id = ?", (message,)).fetchone()
    return row is not None and user in (None, row[0])


def numbers(connection: sqlite3.Connection, user: str | None) -> list[QueueId]:
    """Every mail, oldest first; of one user, or of all."""
    rows = connection.execute(
        "SELECT id FROM messages WHERE ? IS NULL OR user = ? ORDER BY id", (user, user)
    )
    return [QueueId(number) for (number,) in rows]


def waiting(
    connection: sqlite3.Connection,
    user: str | None,
    number: QueueId | None,
    limit: int,
    q: float,
    unix_time: float,
) -> list[Waiting]:
    """What is in the queue, oldest first; of one user and one mail, if they are given."""
    rows = connection.execute(
        "SELECT m.id, m.user, m.sender, r.local || '@' || r.domain, r.address, m.size,"
        " m.created_unix, MAX(r.tries, COALESCE(n.tries, 0)), MAX(r.next_q, COALESCE(n.next_q, 0)),"
        " r.state, r.code, r.status, CASE r.text WHEN '' THEN COALESCE(n.text, '') ELSE r.text END"
        " FROM messages m JOIN recipients r ON r.message = m.id"
        " LEFT JOIN remotes n ON n.address = r.address"
        " WHERE (? IS NULL OR m.user = ?) AND (? IS NULL OR m.id = ?)"
        " ORDER BY m.id, r.id LIMIT ?",
        (user, user, number, number, limit),
    )
    return [_waiting(row, unix_time - q) for row in rows]


def _waiting(row: tuple[Any, ...], shift_s: float) -> Waiting:
    *known, next_q, state, code, status, text = row
    number, user, sender, recipient, address, size, created, tries = known
    reason = " ".join(str(part) for part in (code, status, text) if part)
    who = (QueueId(number), user, sender, recipient, Address(address))
    return Waiting(*who, size, created, tries, next_q + shift_s, State(state), reason)


def remembered_spelling(connection: sqlite3.Connection, address: Address) -> str | None:
    """The domain this node took last time."""
    row = connection.execute(
        "SELECT domain FROM spellings WHERE address = ?", (address,)
    ).fetchone()
    return None if row is None else str(row[0])


def known_nodes(connection: sqlite3.Connection, limit: int) -> list[Address]:
    """The nodes whose spelling is known, those it was used for last first."""
    rows = connection.execute(
        "SELECT address FROM spellings ORDER BY used_q DESC LIMIT ?", (limit,)
    )
    return [Address(address) for (address,) in rows]


def remember_spelling(
    connection: sqlite3.Connection, address: Address, domain: str, q: float
) -> None:
    """This node takes this domain. Beyond MAX_SPELLINGS the longest unused is forgotten."""
    connection.execute(
        "INSERT INTO spellings VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
        " domain = excluded.domain, used_q = excluded.used_q",
        (address, domain, q),
    )
    (count,) = connection.execute("SELECT COUNT(*) FROM spellings").fetchone()
    if count > MAX_SPELLINGS:
        connection.execute(
            "DELETE FROM spellings WHERE address IN"
            " (SELECT address FROM spellings ORDER BY used_q LIMIT ?)",
            (count - MAX_SPELLINGS,),
        )
