"""What happens to the mails of the queue on their way out.

Place     delivery.py through mailqueue.py -> here -> SQLite
Spec      docs/apps/mail.md §4 Queue
Keeps     a recipient is waiting, or kept for a report, or gone: nothing is forgotten before its
          end is on the disk; a silent node costs one row, however many mails wait for it
Not here  what an answer means (proto/attempts.py), what a report says (proto/bounces.py)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from dexmesh.apps.mail.proto.attempts import Due, Needs, Outcome, Verdict
from dexmesh.apps.mail.proto.bounces import Action
from dexmesh.apps.mail.proto.schedule import (
    LIFE_S,
    WARN_AFTER_S,
    deserves_warning,
    is_over,
    wait_after,
)
from dexmesh.apps.mail.queue.rows import Envelope, Notify, QueueId, Recipient, State, Work
from dexmesh.apps.mail.queue.tables import Gone, drop_idle_remote, remove_if_done
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

AGAIN_AFTER_S = 60.0  # ours: a recipient refused for now is not asked for sooner after a sign
MOST_BREAKS = 3  # ours: a mail that breaks more connections than that waits for its time
EXPIRED = "4.4.7"  # RFC 3463: delivery time expired
MAX_AT_ONCE = 200  # ours: how many mails of one node grow old in one commit

_IS_DUE = "state = 0 AND (next_q <= ? OR tried_q <= ? OR (code = 0 AND tries BETWEEN 1 AND ?))"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: queue time, wall clock, and a chance in [0, 1) for the schedule."""

    q: float
    unix_time: float
    chance: float


def due(connection: sqlite3.Connection, q: float, limit: int) -> list[Due]:
    """Nodes to be called, those that never failed first."""
    rows = connection.execute(
        "SELECT address, tries FROM remotes WHERE next_q <= ? ORDER BY tries, next_q LIMIT ?",
        (q, limit),
    )
    return [Due(Address(address), tries) for address, tries in rows]


def next_due(connection: sqlite3.Connection) -> float | None:
    """When, in queue time, the next node is due."""
    found: float | None = connection.execute("SELECT MIN(next_q) FROM remotes").fetchone()[0]
    return found


def is_known(connection: sqlite3.Connection, address: Address) -> bool:
    """Whether mail waits for a node."""
    row = connection.execute("SELECT 1 FROM remotes WHERE address = ?", (address,)).fetchone()
    return row is not None


def work_for(
    connection: sqlite3.Connection, address: Address, q: float, limit: int, *, is_flush: bool
) -> list[Work]:
    """The oldest mails due for a node; those under which a connection broke come last.

    A flush also takes those refused for now a while ago, and those that broke off with the connection: that
    says nothing of the mail, unless it happens again and again.
    """
    rows = _Due(q, q - AGAIN_AFTER_S if is_flush else -1.0, MOST_BREAKS if is_flush else 0)
    numbers = connection.execute(
        "SELECT message, MAX(tries > 0 AND code = 0) FROM recipients WHERE address = ?"  # noqa: S608
        f" AND {_IS_DUE} GROUP BY message ORDER BY 2, message LIMIT ?",
        (address, *rows, limit),
    ).fetchall()
    return [_work(connection, number, address, rows) for number, _ in numbers]


class _Due(NamedTuple):
    """For _IS_DUE: the queue time, when one refused for now was tried last, and how often one broke off."""

    q: float
    tried_before: float
    breaks: int


def _work(connection: sqlite3.Connection, number: int, address: Address, due: _Due) -> Work:
    rows = connection.execute(
        "SELECT id, local, domain, notify, original FROM recipients WHERE message = ?"  # noqa: S608
        f" AND address = ? AND {_IS_DUE} ORDER BY id",
        (number, address, *due),
    )
    recipients = tuple(
        Recipient(row, local, domain, None if notify is None else Notify(notify), original)
        for row, local, domain, notify, original in rows
    )
    return Work(envelope(connection, number), recipients)


def envelope(connection: sqlite3.Connection, number: int) -> Envelope:
    """A message, without its text."""
    row = connection.execute(
        "SELECT file, sender, user, size, is_8bit, is_utf8, returns_full, envelope_id,"
        " created_unix FROM messages WHERE id = ?",
        (number,),
    ).fetchone()
    file, sender, user, size, is_8bit, is_utf8, returns_full, envelope_id, created = row
    needs = Needs(size, bool(is_8bit), bool(is_utf8))
    return Envelope(
        QueueId(number), file, sender, user, needs, bool(returns_full), envelope_id, created
    )


def record_outcomes(
    connection: sqlite3.Connection,
    work: Work,
    address: Address,
    outcomes: Sequence[tuple[Recipient, Outcome, bool]],
    at: Moment,
) -> list[Gone]:
    """What became of each recipient; the flag says whether a receipt is ours to write."""
    message, is_bounce = work.envelope.id, not work.envelope.sender
    present = _waiting_rows(connection, message)
    ended: dict[Action, list[tuple[int, Outcome]]] = {Action.FAILED: [], Action.RELAYED: []}
    for one, said, wants_receipt in outcomes:
        if one.id not in present:
            continue  # cancelled while it was on its way
        outcome = said
        if said.verdict is Verdict.RETRY:
            outcome = _put_off(connection, one, message, address, said, is_bounce, at)
        wants_report = Notify.USUAL if one.notify is None else one.notify
        if outcome.verdict is Verdict.FAILED and Notify.FAILURE in wants_report and not is_bounce:
            ended[Action.FAILED].append((one.id, outcome))
        elif outcome.verdict is Verdict.DELIVERED and wants_receipt and not is_bounce:
            ended[Action.RELAYED].append((one.id, outcome))
        elif outcome.verdict is not Verdict.RETRY:
            connection.execute("DELETE FROM recipients WHERE id = ?", (one.id,))
    for action, rows in ended.items():
        if rows:
            _keep_for_report(connection, message, address, action, rows, at)
    return remove_if_done(connection, message)


def give_up(connection: sqlite3.Connection, message: QueueId, why: Outcome, at: Moment) -> None:
    """A mail that waits can be sent to nobody any more."""
    rows = connection.execute(
        "SELECT DISTINCT address FROM recipients WHERE message = ? AND state = 0", (message,)
    ).fetchall()
    for (raw,) in rows:
        address = Address(raw)
        work = _work(connection, message, address, _Due(float("inf"), -1.0, 0))
        outcomes = [(one, why, False) for one in work.recipients]
        record_outcomes(connection, work, address, outcomes, at)
        drop_idle_remote(connection, address)


def _waiting_rows(connection: sqlite3.Connection, message: int) -> set[int]:
    rows = connection.execute(
        "SELECT id FROM recipients WHERE message = ? AND state = 0", (message,)
    )
    return {row for (row,) in rows}


def _put_off(
    connection: sqlite3.Connection,
    one: Recipient,
    message: int,
    address: Address,
    outcome: Outcome,
    is_bounce: bool,
    at: Moment,
) -> Outcome:
    """Try this recipient later, unless it has waited long enough."""
    tries, created, warning = connection.execute(
        "SELECT tries, created_q, warning FROM recipients WHERE id = ?", (one.id,)
    ).fetchone()
    if is_over(created, at.q):
        return _expired(outcome)
    connection.execute(
        "UPDATE recipients SET tries = ?, next_q = ?, tried_q = ?, code = ?, status = ?, text = ?"
        " WHERE id = ?",
        (tries + 1, at.q + wait_after(tries + 1, at.chance), at.q, *_said(outcome), one.id),
    )
    is_asked = one.notify is None or Notify.DELAY in one.notify
    if warning is None and is_asked and not is_bounce and deserves_warning(created, at.q):
        _warn(connection, message, address, [one.id], at)
    return outcome


def _said(outcome: Outcome) -> tuple[int, str, str]:
    return outcome.code, outcome.enhanced, outcome.text


def _expired(last: Outcome) -> Outcome:
    days = round(LIFE_S / 86400)
    text = f"given up after {days} days; the last try: {last.as_text}"
    return Outcome(Verdict.FAILED, last.code, EXPIRED, text)


def _keep_for_report(
    connection: sqlite3.Connection,
    message: int,
    address: Address,
    action: Action,
    rows: Sequence[tuple[int, Outcome]],
    at: Moment,
) -> None:
    number = _new_report(connection, message, address, action, at)
    state = State.FAILED if action is Action.FAILED else State.RELAYED
    for row, outcome in rows:
        connection.execute(
            "UPDATE recipients SET state = ?, report = ?, code = ?, status = ?, text = ?"
            " WHERE id = ?",
            (state, number, *_said(outcome), row),
        )


def _warn(
    connection: sqlite3.Connection,
    message: int,
    address: Address,
    rows: Sequence[int],
    at: Moment,
) -> None:
    number = _new_report(connection, message, address, Action.DELAYED, at)
    for row in rows:
        connection.execute("UPDATE recipients SET warning = ? WHERE id = ?", (number, row))


def _new_report(
    connection: sqlite3.Connection, message: int, address: Address, action: Action, at: Moment
) -> int:
    cursor = connection.execute(
        "INSERT INTO reports (message, action, address, created_unix, next_q)"
        " VALUES (?, ?, ?, ?, ?)",
        (message, action.value, address, at.unix_time, at.q),
    )
    return cursor.lastrowid or 0


def record_silence(
    connection: sqlite3.Connection, address: Address, outcome: Outcome, at: Moment
) -> list[Gone]:
    """A node could not be reached: all its mails wait for the next call, and grow old."""
    row = connection.execute("SELECT tries FROM remotes WHERE address = ?", (address,)).fetchone()
    tries = 1 if row is None else row[0] + 1
    connection.execute(
        "UPDATE remotes SET tries = ?, next_q = ?, text = ? WHERE address = ?",
        (tries, at.q + wait_after(tries, at.chance), outcome.as_text, address),
    )
    gone = _grow_old(connection, address, outcome, at)
    drop_idle_remote(connection, address)
    return gone


def _grow_old(
    connection: sqlite3.Connection, address: Address, last: Outcome, at: Moment
) -> list[Gone]:
    gone: list[Gone] = []
    for message, rows in _older_than(connection, address, at.q - LIFE_S, "").items():
        asked = [row for row, notify, sender in rows if sender and Notify.FAILURE in notify]
        for row, *_ in rows:
            if row not in asked:
                connection.execute("DELETE FROM recipients WHERE id = ?", (row,))
        if asked:
            ended = [(row, _expired(last)) for row in asked]
            _keep_for_report(connection, message, address, Action.FAILED, ended, at)
        gone += remove_if_done(connection, message)
    unwarned = "AND r.warning IS NULL"
    for message, rows in _older_than(connection, address, at.q - WARN_AFTER_S, unwarned).items():
        asked = [row for row, notify, sender in rows if sender and Notify.DELAY in notify]
        for row, *_ in rows:
            connection.execute("UPDATE recipients SET warning = 0 WHERE id = ?", (row,))
        if asked:
            _warn(connection, message, address, asked, at)
    return gone


def _older_than(
    connection: sqlite3.Connection, address: Address, created_q: float, more: str
) -> dict[int, list[tuple[int, Notify, str]]]:
    """The oldest waiting recipients by message, with what their senders want to hear."""
    found: dict[int, list[tuple[int, Notify, str]]] = {}
    rows = connection.execute(
        "SELECT r.message, r.id, r.notify, m.sender FROM recipients r"  # noqa: S608 our own words
        " JOIN messages m ON m.id = r.message"
        f" WHERE r.address = ? AND r.state = 0 AND r.created_q <= ? {more}"
        " ORDER BY r.created_q LIMIT ?",
        (address, created_q, MAX_AT_ONCE),
    )
    for message, row, notify, sender in rows:
        wanted = Notify.USUAL if notify is None else Notify(notify)
        found.setdefault(message, []).append((row, wanted, sender))
    return found


def record_reached(connection: sqlite3.Connection, address: Address) -> None:
    """The mail server of a node has answered."""
    connection.execute("UPDATE remotes SET tries = 0, text = '' WHERE address = ?", (address,))


def settle(connection: sqlite3.Connection, address: Address, q: float) -> None:
    """A call that reached the node is over: the next one is for the first mail that is due."""
    (first,) = connection.execute(
        "SELECT MIN(next_q) FROM recipients WHERE address = ? AND state = 0", (address,)
    ).fetchone()
    if first is None:
        drop_idle_remote(connection, address)
        return
    connection.execute("UPDATE remotes SET next_q = ? WHERE address = ?", (max(first, q), address))
