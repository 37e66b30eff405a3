"""Decide from the rows of the session and peer tables that a node has come back.

Place     signs.py hands in what it read -> here -> whether that is a sign of life
Spec      docs/apps/mail.md §4 "Send when the peer comes back"; docs/protocol/08 §6.3, §6.4
Keeps     only what the other node sent counts: a row that our own packets made, or bytes that go out,
          are no sign; a node that stays is told once, not at every look
Not here  reading the tables (signs.py)
"""

from __future__ import annotations

from enum import Enum

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

QUIET_MS = 8000  # ours: silence of that length that ends is a return
LONGEST_QUIET_MS = 600_000  # ours: what it takes at most for a node whose returns led to nothing
FRESH_MS = 10_000  # ours: at the first look, heard of so lately is being there

_KEYED = frozenset({"RECEIVED_KEY", "ESTABLISHED"})  # docs/protocol/05 §5: it has answered us

# Metric classes that only the node itself can cause (docs/protocol/05 §8.1): it answered a ping, sent
# a message, sent a packet. What a supernode says of it is none.
_PROVED = frozenset({0xFF50, 0xFF51, 0xFF70})


class Table(Enum):
    """Where a row stands."""

    SESSIONS = "sessions"
    LINKS = "links"


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says of a node. `last_in_ms` is Unix milliseconds, 0 where it is not said (v22).

    A handle of the other side that changed means that the node was started anew. The metric of v22
    grows by one each millisecond and falls back when something comes in.
    """

    state: str
    handle: int = 0
    send_handle: int = 0
    last_in_ms: int = 0
    metric: int = 0

    @property
    def is_keyed(self) -> bool:
        """Whether the other side has proved that it is there, at some time."""
        return self.state in _KEYED


class Presence:
    """What was seen of the nodes that somebody waits for."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Address, Table], Row | None] = {}
        self._returns: dict[Address, int] = {}

    def handle_row(self, address: Address, table: Table, row: Row | None, unix_ms: int) -> bool:
        """A look at the table: the row of this node, None if it has none. Whether it is a sign."""
        place = (address, table)
        is_first = place not in self._seen
        before = self._seen.get(place)
        self._seen[place] = row
        if row is None or not row.is_keyed:
            return False
        if is_first:
            return row.last_in_ms > 0 and unix_ms - row.last_in_ms < FRESH_MS
        if before is None or not before.is_keyed:
            return True
        if (before.handle, before.send_handle) != (row.handle, row.send_handle):
            return True
        if row.last_in_ms > 0:
            return self._is_return(address, row.last_in_ms - before.last_in_ms)
        is_proved = row.metric >> 16 in _PROVED
        return is_proved and self._is_return(address, before.metric - row.metric)

    def _is_return(self, address: Address, quiet_ms: int) -> bool:
        """Whether a silence that ended was an absence.

        A node that is there and idle is silent for a while, too. Whoever is still waited for after
        some returns is there and takes no mail: he has to be silent twice as long each time.
        """
        count = self._returns.get(address, 0)
        if quiet_ms < min(QUIET_MS << count, LONGEST_QUIET_MS):
            return False
        self._returns[address] = min(count + 1, 16)
        return True

    def is_seen(self, address: Address, table: Table) -> bool:
        """Whether there was a look for this node already."""
        return (address, table) in self._seen

    def row(self, address: Address, table: Table) -> Row | None:
        """The row of the last look."""
        return self._seen.get((address, table))

    def forget_except(self, wanted: frozenset[Address]) -> None:
        """Nobody waits for the others any more."""
        self._seen = {place: row for place, row in self._seen.items() if place[0] in wanted}
        self._returns = {one: count for one, count in self._returns.items() if one in wanted}

    def forget_all(self) -> None:
        """Our own node is another one: every row is new to us."""
        self._seen.clear()
