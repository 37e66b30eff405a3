"""The reports that senders are still to get.

Place     reports.py of the app, through mailqueue.py -> here -> SQLite
Spec      RFC 3464; docs/apps/mail.md §4 Queue
Keeps     a report is told again until it is told for certain, each time with the same content
Not here  when a report is due (progress.py)
"""

from __future__ import annotations

import sqlite3

from dexmesh.apps.mail.proto.bounces import Action, Concerned
from dexmesh.apps.mail.proto.schedule import wait_after
from dexmesh.apps.mail.queue.progress import Moment, envelope
from dexmesh.apps.mail.queue.rows import Envelope, State
from dexmesh.apps.mail.queue.tables import Gone, drop_idle_remote, remove_if_done
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_TRIES = 2000  # ours: a mailbox that takes nothing for a month
_USUAL_STATUS = {Action.FAILED: "5.0.0", Action.DELAYED: "4.4.1", Action.RELAYED: "2.0.0"}


@dataclass(frozen=True, slots=True)
class PendingReport:
    """A report to be told, with the mail it is about."""

    number: int
    action: Action
    remote: Address
    created_unix: float
    envelope: Envelope
    concerned: tuple[Concerned, ...]


def next_report(connection: sqlite3.Connection, q: float) -> PendingReport | None:
    """The oldest report that is due. One that concerns nobody any more is no report."""
    row = connection.execute(
        "SELECT number, action, address, created_unix, message FROM reports"
        " WHERE next_q <= ? ORDER BY next_q LIMIT 1",
        (q,),
    ).fetchone()
    if row is None:
        return None
    number, action_text, address, created_unix, message = row
    action, remote = Action(action_text), Address(address)
    concerned = tuple(_concerned(connection, number, action, remote))
    return PendingReport(
        number, action, remote, created_unix, envelope(connection, message), concerned
    )


def next_due(connection: sqlite3.Connection) -> float | None:
    """When, in queue time, the next report is due."""
    found: float | None = connection.execute("SELECT MIN(next_q) FROM reports").fetchone()[0]
    return found


def _concerned(
    connection: sqlite3.Connection, number: int, action: Action, remote: Address
) -> list[Concerned]:
    column = "warning" if action is Action.DELAYED else "report"
    rows = connection.execute(
        "SELECT local || '@' || domain, code, status, text, original FROM recipients"  # noqa: S608
        f" WHERE {column} = ? ORDER BY id",
        (number,),
    ).fetchall()
    silence = connection.execute("SELECT text FROM remotes WHERE address = ?", (remote,)).fetchone()
    found = []
    for mailbox, code, status, text, original in rows:
        said = " ".join(part for part in (str(code or ""), status, text) if part)
        said = said or (silence[0] if silence else "") or "no answer"
        shown = status if _fits(status, action) else _USUAL_STATUS[action]
        found.append(Concerned(mailbox, shown, said, bool(code), original))
    return found


def _fits(status: str, action: Action) -> bool:
    """Whether a status says what the action says. A mail that grew too old failed with 4.4.7."""
    first = {Action.FAILED: "54", Action.DELAYED: "4", Action.RELAYED: "2"}[action]
    return status[:1] in first if status else False


def finish_report(connection: sqlite3.Connection, number: int) -> list[Gone]:
    """A report is told: what was kept for it goes."""
    row = connection.execute("SELECT message, address FROM reports WHERE number = ?", (number,))
    found = row.fetchone()
    if found is None:
        return []
    connection.execute("DELETE FROM reports WHERE number = ?", (number,))
    connection.execute(
        "DELETE FROM recipients WHERE report = ? AND state != ?", (number, State.WAITING)
    )
    drop_idle_remote(connection, Address(found[1]))
    return remove_if_done(connection, found[0])


def put_off_report(connection: sqlite3.Connection, number: int, at: Moment) -> int:
    """A report could not be told now; how often that happened."""
    row = connection.execute(
        "UPDATE reports SET tries = tries + 1 WHERE number = ? RETURNING tries", (number,)
    ).fetchone()
    tries = 0 if row is None else int(row[0])
    connection.execute(
        "UPDATE reports SET next_q = ? WHERE number = ?",
        (at.q + wait_after(tries, at.chance), number),
    )
    return tries
