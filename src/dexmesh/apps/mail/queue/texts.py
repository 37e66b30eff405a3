"""The texts in the queue: the table, and every question and change.

Place     mailqueue.py calls these with the connection of its thread -> SQLite
Spec      docs/apps/sip.md §3 (MESSAGE: kept "in the same queue as mail"); docs/decisions/0013
Keeps     texts for one node are tried in the order they were written; every question is answered from
          an index; at most MAX_TEXTS wait
Not here  mails (tables.py, progress.py); who sends a text (base/carrier.py)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from dexmesh.apps.base.carrier import QueuedText, WaitingText
from dexmesh.apps.mail.proto.schedule import is_over, wait_after
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

MAX_TEXTS = 10_000  # ours
MAX_TEXTS_OF_NODE = 500  # ours: for one node
# Ours: a phone that is switched on at a node that was there all the time gives no sign of life. One
# question in 5 minutes is what sip.md §3 "Presence" allows, and the text is one.
LONGEST_WAIT_S = 300.0

SCHEMA = """
CREATE TABLE texts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, address BLOB NOT NULL,
    uri TEXT NOT NULL, body TEXT NOT NULL, message_id TEXT NOT NULL,
    created_unix REAL NOT NULL, created_q REAL NOT NULL, next_q REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '');
CREATE INDEX texts_due ON texts (next_q);
CREATE INDEX texts_for ON texts (address, id);
"""
_TEXT = "id, user, address, uri, body, message_id, created_unix"


def add_text(connection: sqlite3.Connection, text: QueuedText, q: float) -> int:
    """Take it in; its number. It is due at once. Raises MailError 452 where too many wait."""
    (everywhere,) = connection.execute("SELECT COUNT(*) FROM texts").fetchone()
    (there,) = connection.execute(
        "SELECT COUNT(*) FROM texts WHERE address = ?", (text.address,)
    ).fetchone()
    if everywhere >= MAX_TEXTS or there >= MAX_TEXTS_OF_NODE:
        hint = "`dexmesh texts --waiting` shows them, `dexmesh mail cancel` takes them out"
        raise MailError(452, "4.3.1", "too many texts wait", hint=hint)
    cursor = connection.execute(
        "INSERT INTO texts (user, address, uri, body, message_id, created_unix, created_q,"
        " next_q) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(text.user, text.address, text.uri, text.body, text.message_id),
            *(text.created_unix, q, q),
        ),
    )
    return cursor.lastrowid or 0


def nodes_due(connection: sqlite3.Connection, q: float, limit: int) -> list[Address]:
    """The nodes that a text is due for, the longest due first."""
    rows = connection.execute(
        "SELECT address, MIN(next_q) FROM texts WHERE next_q <= ? GROUP BY address"
        " ORDER BY 2 LIMIT ?",
        (q, limit),
    )
    return [Address(address) for address, _ in rows]


def next_due(connection: sqlite3.Connection) -> float | None:
    """When (queue time) a text is due; None if none waits."""
    at: float | None = connection.execute("SELECT MIN(next_q) FROM texts").fetchone()[0]
    return at


def nodes(connection: sqlite3.Connection, limit: int) -> list[Address]:
    """The nodes that texts wait for."""
    rows = connection.execute("SELECT DISTINCT address FROM texts LIMIT ?", (limit,))
    return [Address(address) for (address,) in rows]


def texts_for(connection: sqlite3.Connection, address: Address, limit: int) -> list[QueuedText]:
    """What waits for a node, oldest first."""
    rows = connection.execute(
        f"SELECT {_TEXT} FROM texts WHERE address = ? ORDER BY id LIMIT ?",  # noqa: S608 our own words
        (address, limit),
    )
    return [_text(row) for row in rows]


def remove_text(connection: sqlite3.Connection, number: int) -> None:
    """It waits no longer."""
    connection.execute("DELETE FROM texts WHERE id = ?", (number,))


def put_off(
    connection: sqlite3.Connection,
    address: Address,
    reason: str,
    after_s: float,
    q: float,
    chance: float,
) -> list[QueuedText]:
    """A try failed: all texts for that node wait. Those that waited long enough, which are given up."""
    (tries,) = connection.execute(
        "SELECT COALESCE(MAX(tries), 0) FROM texts WHERE address = ?", (address,)
    ).fetchone()
    at = q + max(after_s, min(wait_after(tries + 1, chance), LONGEST_WAIT_S))
    connection.execute(
        "UPDATE texts SET tries = ?, next_q = ?, reason = ? WHERE address = ?",
        (tries + 1, at, reason[:500], address),
    )
    rows = connection.execute(
        f"SELECT {_TEXT}, created_q FROM texts WHERE address = ? ORDER BY id",  # noqa: S608 our own words
        (address,),
    ).fetchall()
    return [_text(row[:-1]) for row in rows if is_over(row[-1], q)]


def wake(connection: sqlite3.Connection, address: Address, q: float) -> None:
    """That node showed itself: its texts are due, and their schedule begins anew."""
    connection.execute(
        "UPDATE texts SET next_q = MIN(next_q, ?), tries = MIN(tries, 1) WHERE address = ?",
        (q, address),
    )


def waiting_texts(
    connection: sqlite3.Connection, user: str | None, limit: int, q: float, unix_time: float
) -> list[WaitingText]:
    """How they stand, oldest first; of one user, or of all."""
    rows = connection.execute(
        f"SELECT {_TEXT}, tries, next_q, reason FROM texts"  # noqa: S608 our own words
        " WHERE ?1 IS NULL OR user = ?1 ORDER BY id LIMIT ?2",
        (user, limit),
    )
    return [
        WaitingText(_text(row[:-3]), row[-3], unix_time + (row[-2] - q), row[-1]) for row in rows
    ]


def retry_texts(
    connection: sqlite3.Connection, numbers: Sequence[int] | None, user: str | None, q: float
) -> list[Address]:
    """Make them due now (None: all of the user); the node of each."""
    addresses = [address for _, address in _chosen(connection, numbers, user)]
    for address in set(addresses):
        wake(connection, address, q)
    return addresses


def cancel_texts(
    connection: sqlite3.Connection, numbers: Sequence[int] | None, user: str | None
) -> list[QueuedText]:
    """Take them out (None: all of the user); what was taken."""
    taken = []
    for number, _ in _chosen(connection, numbers, user):
        row = connection.execute(
            f"DELETE FROM texts WHERE id = ? RETURNING {_TEXT}",  # noqa: S608 our own words
            (number,),
        ).fetchone()
        taken.append(_text(row))
    return taken


def _chosen(
    connection: sqlite3.Connection, numbers: Iterable[int] | None, user: str | None
) -> list[tuple[int, Address]]:
    rows = connection.execute(
        "SELECT id, address FROM texts WHERE ?1 IS NULL OR user = ?1", (user,)
    ).fetchall()
    wanted = None if numbers is None else set(numbers)
    return [(number, Address(at)) for number, at in rows if wanted is None or number in wanted]


def _text(row: tuple[int, str, bytes, str, str, str, float]) -> QueuedText:
    number, user, address, uri, body, message_id, created_unix = row
    return QueuedText(number, user, Address(address), uri, body, message_id, created_unix)
