"""The table of calls and texts: how it looks, and every question and change.

Place     history.py calls these with the connection of its thread -> SQLite
Spec      docs/apps/sip.md §3 (a text seen twice is shown once); issue 5 "one history"
Keeps     at most MAX_ENTRIES a user, MAX_REQUESTS of strangers beside them, MAX_TEXT_BYTES of texts: the
          oldest is forgotten first (what waits to be sent is not), and strangers never push out
          friends; every question is answered from an index
Not here  threads (base/writer.py), what calls and texts do (phone/)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

VERSION = 1
BUSY_S = 10.0
MAX_ENTRIES = 20_000  # ours: of one user
MAX_REQUESTS = 2_000  # ours: of strangers, of one user
MAX_TEXT_BYTES = 64 << 20  # ours: of one user
MAX_FOUND_CHARS = 4 << 20  # ours: of texts in one answer, which is written and read as a whole
TWICE_S = 7 * 86400.0  # ours, as in mail: the same text within this time is the same

_FORGET_EVERY, _WEIGH_EVERY = 64, 512  # entries: the bounds are kept to within so many

_SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, kind TEXT NOT NULL,
    is_outgoing INTEGER NOT NULL, address BLOB NOT NULL, remote_user TEXT NOT NULL,
    claimed_name TEXT NOT NULL, is_request INTEGER NOT NULL, is_flagged INTEGER NOT NULL,
    at_unix REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, talked_s REAL NOT NULL,
    text TEXT NOT NULL, message_id TEXT NOT NULL, mail TEXT NOT NULL, is_seen INTEGER NOT NULL);
CREATE INDEX entries_of ON entries (user, kind, id);
CREATE INDEX entries_with ON entries (user, address, id);
CREATE INDEX entries_twice ON entries (message_id, address) WHERE message_id <> '';
"""
_COLUMNS = (
    "id, user, kind, is_outgoing, address, remote_user, claimed_name, is_request, is_flagged,"
    " at_unix, state, reason, talked_s, text, message_id, mail, is_seen"
)


class Kind(StrEnum):
    """What an entry is about."""

    CALL = "call"
    TEXT = "text"


class State(StrEnum):
    """What became of it."""

    ANSWERED = "answered"
    MISSED = "missed"
    DECLINED = "declined"  # by the person here
    FAILED = "failed"  # a call of ours that nobody answered
    VOICEMAIL = "voicemail"  # missed, and something was said to the machine
    RECEIVED = "received"
    WAITING = "waiting"  # a text of ours that is not there yet
    DELIVERED = "delivered"
    DISPLAYED = "displayed"  # he has read it, his program says
    REFUSED = "refused"
    TAKEN_BACK = "taken back"  # by whoever wrote it
    MAILED = "sent as mail"


@dataclass(frozen=True, slots=True)
class Entry:
    """A call or a text of a user. `address`: the other node, checked; `claimed_name` is not.

    `number` is 0 before it is stored. `talked_s`: seconds of a call. `message_id`: of a text, unique
    with `address`. `mail`: the Message-ID of the mail with what was said to the machine.
    """

    user: str
    kind: Kind
    is_outgoing: bool
    address: Address
    at_unix: float
    state: State
    remote_user: str = ""
    claimed_name: str = ""
    is_request: bool = False
    is_flagged: bool = False
    reason: str = ""
    talked_s: float = 0.0
    text: str = ""
    message_id: str = ""
    mail: str = ""
    is_seen: bool = True
    number: int = 0


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread; commits wait for the disk."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Make the table if it is not there."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def add(connection: sqlite3.Connection, entry: Entry) -> int | None:
    """Store it; its number. None for a text that is there already."""
    if entry.message_id and not entry.is_outgoing:
        twice = connection.execute(
            "SELECT 1 FROM entries WHERE message_id = ? AND message_id <> '' AND address = ?"
            " AND user = ? AND is_outgoing = 0 AND at_unix > ? LIMIT 1",
            (entry.message_id, entry.address, entry.user, entry.at_unix - TWICE_S),
        ).fetchone()
        if twice is not None:
            return None
    cursor = connection.execute(
        "INSERT INTO entries (user, kind, is_outgoing, address, remote_user, claimed_name,"
        " is_request, is_flagged, at_unix, state, reason, talked_s, text, message_id, mail, is_seen)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(entry.user, entry.kind, entry.is_outgoing, entry.address, entry.remote_user),
            *(entry.claimed_name, entry.is_request, entry.is_flagged, entry.at_unix, entry.state),
            *(entry.reason, entry.talked_s, entry.text, entry.message_id, entry.mail),
            entry.is_seen,
        ),
    )
    number = cursor.lastrowid or 0
    if number % _FORGET_EVERY == 0:
        _forget_too_many(connection)
    if number % _WEIGH_EVERY == 0:
        _forget_too_much(connection)
    return number


def _forget_too_many(connection: sqlite3.Connection) -> None:
    for user in _users(connection):
        for is_request, most in ((False, MAX_ENTRIES), (True, MAX_REQUESTS)):
            connection.execute(
                "DELETE FROM entries WHERE user = ?1 AND is_request = ?2 AND state <> ?3 AND id <="
                " (SELECT id FROM entries WHERE user = ?1 AND is_request = ?2"
                " ORDER BY id DESC LIMIT 1 OFFSET ?4)",
                (user, is_request, State.WAITING, most),
            )


def _forget_too_much(connection: sqlite3.Connection) -> None:
    """The texts behind the newest MAX_TEXT_BYTES. Reads them all, so it is done more seldom."""
    for user in _users(connection):
        connection.execute(
            "DELETE FROM entries WHERE user = ?1 AND kind = ?2 AND state <> ?3 AND id <="
            " (SELECT MAX(id) FROM (SELECT id, SUM(length(CAST(text AS BLOB)))"
            " OVER (ORDER BY id DESC) AS bytes FROM entries WHERE user = ?1 AND kind = ?2)"
            " WHERE bytes > ?4)",
            (user, Kind.TEXT, State.WAITING, MAX_TEXT_BYTES),
        )


def _users(connection: sqlite3.Connection) -> list[str]:
    """Everybody: one user may never have the number that makes us look, where users take turns."""
    rows = connection.execute("SELECT DISTINCT user FROM entries").fetchall()
    return [user for (user,) in rows]


def settle(connection: sqlite3.Connection, number: int, state: State, reason: str) -> bool:
    """A text of ours has a new state; False if it is not there or was settled before."""
    cursor = connection.execute(
        "UPDATE entries SET state = ?, reason = ? WHERE id = ? AND state = ?",
        (state, reason, number, State.WAITING),
    )
    return cursor.rowcount > 0


def settle_text(connection: sqlite3.Connection, message_id: str, state: State, reason: str) -> bool:
    """The same for a text known by its id."""
    row = connection.execute(
        "SELECT id FROM entries WHERE message_id = ? AND is_outgoing = 1 AND message_id <> ''"
        " ORDER BY id DESC LIMIT 1",
        (message_id,),
    ).fetchone()
    return row is not None and settle(connection, row[0], state, reason)


def waiting_texts(connection: sqlite3.Connection) -> list[str]:
    """The ids of all texts of ours that wait. Asked once, at the start: this one has no index."""
    rows = connection.execute(
        "SELECT message_id FROM entries WHERE kind = ? AND is_outgoing = 1 AND state = ?",
        (Kind.TEXT, State.WAITING),
    )
    return [message_id for (message_id,) in rows]


def receipt(
    connection: sqlite3.Connection, address: Address, message_id: str, state: State
) -> bool:
    """The other side says more about a text of ours."""
    cursor = connection.execute(
        "UPDATE entries SET state = ? WHERE message_id = ? AND message_id <> '' AND address = ?"
        " AND is_outgoing = 1 AND state = ?",
        (state, message_id, address, State.DELIVERED),
    )
    return cursor.rowcount > 0


def keep_voicemail(connection: sqlite3.Connection, number: int, mail: str, talked_s: float) -> None:
    """What was said to the machine lies in this mail."""
    connection.execute(
        "UPDATE entries SET state = ?, mail = ?, talked_s = ? WHERE id = ?",
        (State.VOICEMAIL, mail, talked_s, number),
    )


def mark_seen(connection: sqlite3.Connection, user: str, numbers: Sequence[int]) -> None:
    """The user has seen these, and of others nothing is known."""
    connection.executemany(
        "UPDATE entries SET is_seen = 1 WHERE id = ? AND user = ? AND is_seen = 0",
        [(number, user) for number in numbers],
    )


def strangers(connection: sqlite3.Connection, user: str) -> list[Address]:
    """Who wrote or called as a stranger."""
    rows = connection.execute(
        "SELECT DISTINCT address FROM entries WHERE user = ? AND is_request = 1", (user,)
    )
    return [Address(address) for (address,) in rows]


def take_in(connection: sqlite3.Connection, user: str, addresses: Sequence[Address]) -> None:
    """These are strangers no more: what they wrote stands among the rest."""
    connection.executemany(
        "UPDATE entries SET is_request = 0 WHERE user = ? AND address = ? AND is_request = 1",
        [(user, address) for address in addresses],
    )


@dataclass(frozen=True, slots=True)
class Question:
    """Which entries: the latest `limit` of the user before number `before`, oldest first."""

    user: str
    kind: Kind | None = None
    address: Address | None = None
    is_request: bool | None = None
    is_seen: bool | None = None
    before: int | None = None
    limit: int = 50


def find(connection: sqlite3.Connection, question: Question) -> list[Entry]:
    """The entries asked for, oldest first: the latest, as far as MAX_FOUND_CHARS of texts go."""
    wanted: list[tuple[str, object]] = [("user = ?", question.user)]
    for name, value in (
        ("kind", question.kind),
        ("address", question.address),
        ("is_request", question.is_request),
        ("is_seen", question.is_seen),
    ):
        if value is not None:
            wanted.append((f"{name} = ?", value))
    if question.before is not None:
        wanted.append(("id < ?", question.before))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(one for one, _ in wanted)}"  # noqa: S608 our own words
        " ORDER BY id DESC LIMIT ?",
        (*(value for _, value in wanted), question.limit),
    )
    found: list[Entry] = []
    chars = 0
    for entry in map(_entry, rows):
        chars += len(entry.text)
        if found and chars > MAX_FOUND_CHARS:
            break
        found.append(entry)
    return found[::-1]


def by_number(connection: sqlite3.Connection, user: str, number: int) -> Entry | None:
    """The entry of that number, if it is this user's."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE id = ? AND user = ?",  # noqa: S608 our own words
        (number, user),
    ).fetchone()
    return None if row is None else _entry(row)


def _entry(row: tuple[object, ...]) -> Entry:
    values = dict(zip(_COLUMNS.replace(" ", "").split(","), row, strict=True))
    return Entry(
        number=int(str(values["id"])),
        user=str(values["user"]),
        kind=Kind(str(values["kind"])),
        is_outgoing=bool(values["is_outgoing"]),
        address=Address(bytes(values["address"])),  # type: ignore[call-overload]
        remote_user=str(values["remote_user"]),
        claimed_name=str(values["claimed_name"]),
        is_request=bool(values["is_request"]),
        is_flagged=bool(values["is_flagged"]),
        at_unix=float(str(values["at_unix"])),
        state=State(str(values["state"])),
        reason=str(values["reason"]),
        talked_s=float(str(values["talked_s"])),
        text=str(values["text"]),
        message_id=str(values["message_id"]),
        mail=str(values["mail"]),
        is_seen=bool(values["is_seen"]),
    )
